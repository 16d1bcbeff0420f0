"""Import of films: values of the OVF file, and settings for those that it lacks."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.config import load_params
from spinscope.corpora.film_import import MAX_GRAINS, import_films
from spinscope.corpora.films import open_films
from spinscope.corpora.ovf import write_ovf
from spinscope.errors import SpinscopeError

FILMS = load_params(family="ltem-unet").films
CELL = (20e-9, 4e-9, 4e-9)


def skyrmion(size: int = 48, radius: float = 8.0) -> np.ndarray:
    """Néel skyrmion in the middle of a film, (H, W, 3)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    r = np.hypot(y, x)
    theta = 2 * np.arctan2(np.sinh(radius / 2), np.sinh(r / 2))
    m = np.stack([np.sin(theta) * x / r, np.sin(theta) * y / r, np.cos(theta)], axis=-1)
    return m.astype(np.float32)


def test_a_film_in_amperes_per_metre_is_imported_completely(tmp_path):
    m, ms = skyrmion(), 2e5 + 1e4 * (np.arange(48) // 12)[None, :] * np.ones((48, 1))
    file = write_ovf(tmp_path / "one.ovf", m * ms[..., None], CELL, unit="A/m")
    films = open_films(import_films(tmp_path / "films", [file], FILMS))
    assert len(films) == 1
    (row,) = films.rows
    assert (row["name"], row["kind"], row["objects"]) == ("one", "skyrmions", 1)
    assert row["charge"] == pytest.approx(-1)
    film = films[0]
    np.testing.assert_allclose(film.m, m, atol=1e-3)
    np.testing.assert_allclose(film.ms, ms, rtol=1e-5)
    assert film.material.ms == pytest.approx(ms.mean())
    assert (film.material.cell, film.material.thickness) == pytest.approx((4e-9, 20e-9))


def test_many_magnetisations_are_rounded_to_a_five_hundredth_of_their_range(tmp_path):
    ms = 1.5e5 + 1e5 * np.random.default_rng(0).random((48, 48))
    file = write_ovf(tmp_path / "one.ovf", skyrmion() * ms[..., None], CELL, unit="A/m")
    film = open_films(import_films(tmp_path / "films", [file], FILMS))[0]
    assert len(np.unique(film.ms)) <= MAX_GRAINS
    assert np.abs(film.ms - ms).max() <= 0.51 * np.ptp(ms) / (MAX_GRAINS - 1)


def test_unit_vectors_need_the_films_magnetisation(tmp_path):
    file = write_ovf(tmp_path / "one.ovf", skyrmion(), CELL)
    with pytest.raises(SpinscopeError, match=r"one\.ovf holds unit vectors.*films\.ms=\[MS,MS\]"):
        import_films(tmp_path / "films", [file], FILMS)
    assert not (tmp_path / "films").exists()
    known = FILMS.model_copy(update={"ms": (1.8e5, 1.8e5)})
    film = open_films(import_films(tmp_path / "films", [file], known))[0]
    assert film.material.ms == 1.8e5
    assert film.ms is None


def test_films_of_different_sizes_keep_theirs(tmp_path):
    files = [
        write_ovf(tmp_path / f"film{size}.ovf", skyrmion(size) * 2e5, CELL, unit="A/m")
        for size in (32, 48)
    ]
    films = open_films(import_films(tmp_path / "films", files, FILMS))
    assert [film.shape for film in films] == [(32, 32), (48, 48)]
    assert [row["name"] for row in films.rows] == ["film32", "film48"]


def test_files_without_a_film_are_errors(tmp_path):
    hole = skyrmion() * 2e5
    hole[:3, :3] = 0
    file = write_ovf(tmp_path / "hole.ovf", hole, CELL, unit="A/m")
    with pytest.raises(SpinscopeError, match=r"hole\.ovf: 9 cells of 2304 hold no material"):
        import_films(tmp_path / "films", [file], FILMS)
    with pytest.raises(SpinscopeError, match="two films are named 'hole'"):
        import_films(tmp_path / "films", [file, tmp_path / "other" / "hole.ovf"], FILMS)
    with pytest.raises(SpinscopeError, match="at least one OVF file"):
        import_films(tmp_path / "films", [], FILMS)
    with pytest.raises(SpinscopeError, match=r"none\.ovf"):
        import_films(tmp_path / "films", [tmp_path / "none.ovf"], FILMS)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    with pytest.raises(SpinscopeError, match="holds other files"):
        import_films(tmp_path / "taken", [file], FILMS)
