"""Corpus of films: reproducible, resumable, complete in its description."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinscope.corpora import films as film_corpus
from spinscope.corpora.chunks import film_chunks
from spinscope.corpora.films import (
    draw_film,
    grid_of,
    make_film_corpus,
    open_films,
    relaxed_films,
)
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.physics.film import seeded_state
from spinscope.physics.topology import state, topological_charge


@pytest.fixture(scope="module")
def made(film_settings, tmp_path_factory):
    """Corpus of five films in three chunks."""
    return make_film_corpus(tmp_path_factory.mktemp("films") / "corpus", 5, 7, film_settings)


def killed_after(n: int):
    """Progress bar that is interrupted after `n` films."""

    def progress(items, **_):
        for done, item in enumerate(items):
            if done == n:
                raise KeyboardInterrupt
            yield item

    return progress


def test_a_film_is_drawn_within_the_ranges_by_its_number(film_settings):
    draws = [draw_film(number, 7, film_settings) for number in range(40)]
    for draw in draws:
        material = draw.material
        for name in ("a_ex", "dmi", "ku", "b_ext"):
            low, high = getattr(film_settings, name)
            assert low <= getattr(material, name) <= high
        assert draw.ms.min() >= 1.5e5 and draw.ms.max() <= 3e5
        assert material.ms == pytest.approx(draw.ms.mean(), rel=1e-6)
        assert np.linalg.norm(draw.m, axis=0) == pytest.approx(1, abs=1e-6)
        assert draw.grain is not None or len(np.unique(draw.ms)) == 1
    assert 30 <= sum(draw.grain is not None for draw in draws) <= 40
    assert abs(np.mean([draw.m[2].mean() for draw in draws])) < 0.02  # no direction is preferred
    again, other = draw_film(3, 7, film_settings), draw_film(3, 8, film_settings)
    assert again.material == draws[3].material
    assert np.array_equal(again.m, draws[3].m)
    assert other.material != draws[3].material


def test_the_exchange_of_a_draw_is_weak_between_its_grains(film_settings):
    draw = next(
        d for d in (draw_film(n, 7, film_settings) for n in range(9)) if d.grain is not None
    )
    links = draw.start(grid_of(film_settings)).arrays["links"] / (draw.material.a_ex * 1e12)
    assert set(np.round(np.unique(links), 5)) == {np.float32(0.9), np.float32(1)}


def test_every_stored_film_is_relaxed_and_described(made, film_settings):
    films = open_films(made)
    assert len(films) == 5
    assert films.header["complete"]
    assert films.header["films"] == 5
    assert sum(films.header["states"].values()) == 5
    assert films.header["not_converged"] == []
    for row, film in zip(films.rows, films, strict=True):
        assert row["torque"] <= film_settings.tolerance
        assert film.m.shape == (32, 32, 3)
        assert np.linalg.norm(film.m, axis=-1) == pytest.approx(1, abs=1e-6)
        assert row["charge"] == pytest.approx(round(row["charge"]), abs=1e-5)
        assert topological_charge(film.m) == pytest.approx(row["charge"], abs=1e-4)
        assert state(film.m).kind == row["kind"]
        draw = draw_film(row["number"], 7, film_settings)
        assert film.material == draw.material
        assert (film.grain is None) == (draw.grain is None) == (not row["grained"])
        if film.grain is not None:
            assert np.array_equal(film.grain, draw.grain)
            assert np.array_equal(film.ms, draw.ms)


def test_the_same_seed_gives_the_same_bytes(made, film_settings, tmp_path):
    again = make_film_corpus(tmp_path / "again", 5, 7, film_settings)
    assert sha256_folder(again) == sha256_folder(made)
    other = make_film_corpus(tmp_path / "other", 2, 8, film_settings)
    assert open_films(other).rows[0]["energy"] != open_films(made).rows[0]["energy"]


def test_an_interrupted_corpus_is_resumed_to_the_same_bytes(made, film_settings, tmp_path):
    path = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        make_film_corpus(path, 5, 7, film_settings, progress=killed_after(4))
    films = open_films(path)
    assert 2 <= len(films) < 5
    assert not films.header["complete"]
    (path / ".x.films.json").write_text("what a kill leaves of a file")
    seen = []
    make_film_corpus(
        path, 5, 7, film_settings, progress=lambda items, total, **_: seen.append(total) or items
    )
    assert seen == [5 - len(films)]
    (path / ".x.films.json").unlink()
    assert sha256_folder(path) == sha256_folder(made)


def test_a_corpus_grows_to_the_same_bytes(made, film_settings, tmp_path):
    path = make_film_corpus(tmp_path / "grown", 3, 7, film_settings)
    with pytest.raises(KeyboardInterrupt):
        make_film_corpus(path, 5, 7, film_settings, progress=killed_after(0))
    header = open_films(path).header
    assert not header["complete"]
    assert header["films"] == 2  # what stands; the part of one film is made anew
    make_film_corpus(path, 5, 7, film_settings)
    assert sha256_folder(path) == sha256_folder(made)
    make_film_corpus(path, 3, 7, film_settings)  # nothing is taken away
    assert sha256_folder(path) == sha256_folder(made)


@pytest.mark.parametrize("damage", ["m", "grain", "rows"])
def test_a_damaged_chunk_is_an_error_and_written_again(made, film_settings, tmp_path, damage):
    import shutil

    path = shutil.copytree(made, tmp_path / "damaged")
    if damage == "m":
        file = path / "m-0001.npy"
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "grain":
        (path / "grain-0001.npy").unlink()
    else:
        (path / "part-0001.json").write_text("[{")
    with pytest.raises(SpinscopeError, match=r"part-0001\.json is damaged"):
        open_films(path)
    make_film_corpus(path, 5, 7, film_settings)
    assert sha256_folder(path) == sha256_folder(made)


def test_films_that_do_not_converge_are_listed_and_not_stored(film_settings, tmp_path, monkeypatch):
    """With this tolerance only films that are relaxed at the start are stored."""
    real = draw_film

    def draw(number, seed, settings):
        drawn = real(number, seed, settings)
        if number in (1, 2):
            drawn.m[:] = np.array([0, 0, 1])[:, None, None]
        if number == 3:
            drawn.m[0, 4, 4] = np.nan
        return drawn

    monkeypatch.setattr(film_corpus, "draw_film", draw)
    few = film_settings.model_copy(update={"tolerance": 1e-9, "max_evaluations": 20})
    films = open_films(make_film_corpus(tmp_path / "few", 4, 7, few))
    assert [row["name"] for row in films.rows] == ["film-00001", "film-00002"]
    assert [row["kind"] for row in films.rows] == ["uniform", "uniform"]
    assert films.header["states"] == {"uniform": 2}
    for film in films:
        assert film.m[..., 2].min() > 0.99
    named = {row["name"]: row for row in films.header["not_converged"]}
    assert set(named) == {"film-00000", "film-00003"}
    assert named["film-00000"]["torque"] > few.tolerance
    assert named["film-00003"]["torque"] is None


def test_a_corpus_without_a_relaxed_film_is_an_error(film_settings, tmp_path):
    few = film_settings.model_copy(update={"tolerance": 1e-9, "max_evaluations": 20})
    path = make_film_corpus(tmp_path / "none", 2, 7, few)
    assert json.loads((path / "films.json").read_text())["films"] == 0
    with pytest.raises(SpinscopeError, match="at least one relaxed film"):
        open_films(path)


def test_another_corpus_in_the_folder_is_refused(made, film_settings, tmp_path):
    before = sha256_folder(made)
    with pytest.raises(SpinscopeError, match="seed = 7, not 8"):
        make_film_corpus(made, 5, 8, film_settings)
    warmer = film_settings.model_copy(update={"b_ext": (0.1, 0.2)})
    with pytest.raises(SpinscopeError, match=r"b_ext = \[0.4, 0.4\], not \[0.1, 0.2\]"):
        make_film_corpus(made, 5, 7, warmer)
    assert sha256_folder(made) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SpinscopeError, match="holds other files"):
        make_film_corpus(tmp_path, 5, 7, film_settings)
    with pytest.raises(SpinscopeError, match="is a file"):
        make_film_corpus(tmp_path / "notes.txt", 5, 7, film_settings)
    with pytest.raises(SpinscopeError, match="no corpus of films"):
        open_films(tmp_path)
    (tmp_path / "films.json").write_text("{")
    with pytest.raises(SpinscopeError, match="must be JSON"):
        open_films(tmp_path)


def test_more_kinds_of_grain_than_a_byte_holds_are_refused(film_settings):
    many = film_settings.model_copy(update={"grains": 300, "grained_fraction": 1.0})
    with pytest.raises(SpinscopeError, match=r"\(=300\)"):
        draw_film(0, 7, many)


def test_seeded_films_begin_with_discs_and_keep_them(film_settings):
    seeded = film_settings.model_copy(update={"initial": "skyrmions", "grained_fraction": 0.0})
    material = draw_film(0, 7, seeded).material
    m = seeded_state(material, (128, 128), np.random.default_rng(0))
    assert np.linalg.norm(m, axis=0) == pytest.approx(1, abs=1e-6)
    assert 0.05 < (m[2] < 0).mean() < 0.35
    (row, relaxed, grain), *_ = relaxed_films([0], 7, seeded)
    assert grain is None
    assert row["kind"] == "skyrmions"
    assert row["charge"] == pytest.approx(-row["objects"], abs=1e-5)
    assert row["objects"] >= 1
    assert relaxed[..., 2].max() > 0.9


def test_chunks_made_one_by_one_are_those_of_the_corpus(made, film_settings, tmp_path):
    path, five = tmp_path / "corpus", film_settings.model_copy(update={"n": 5})
    corpus = film_chunks(path, 7, five)
    assert corpus.missing() == [0, 1, 2]
    for chunk in (2, 1, 0):
        corpus.make(chunk)
    assert corpus.missing() == []
    make_film_corpus(path, 5, 7, film_settings)
    assert sha256_folder(path) == sha256_folder(made)
    with pytest.raises(SpinscopeError, match="films with seed = 7, not 8"):
        film_chunks(path, 8, five).missing()
