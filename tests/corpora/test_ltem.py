"""Lorentz corpus: reproducible, complete, with shifted and rotated films."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from spinscope.config import load_params
from spinscope.corpora.ltem import GENERATOR, corpus_header, ltem_images, make_ltem_corpus
from spinscope.datasets import open_dataset, split_by_batch
from spinscope.datasets.shards import damaged_files, read_header
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.physics.film import Film, Material, rotated
from spinscope.physics.lorentz import Microscope, lorentz_image
from spinscope.physics.lorentz_label import skyrmion_label

SETTINGS = load_params(family="ltem-unet").ltem.model_copy(
    update={
        "images_per_film": 2,
        "shard_frames": 8,
        "workers": 1,
        "label_mz": 0.98,
        "film_states": ("skyrmions",),
    }
)
VARIED = SETTINGS.model_copy(
    update={
        "tilt_deg": (10.0, 30.0),
        "axis_deg": (-90.0, 90.0),
        "defocus_mm": (-3.0, -1.0),
        "astigmatism_nm": (0.0, 500.0),
        "mirror_blur_px": (0.5, 2.0),
    }
)


@dataclass
class Films:
    """Films in memory."""

    films: list[Film]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, index: int) -> Film:
        return self.films[index]


def skyrmion(rng: np.random.Generator, size: int = 64, radius: float = 7.0) -> Film:
    """A Néel skyrmion at a random place of a periodic film."""
    at = rng.uniform(0, size, 2)
    y, x = ((np.arange(size) - c + size / 2) % size - size / 2 for c in at)
    y, x = np.meshgrid(y, x, indexing="ij")
    r = np.hypot(y, x)
    theta = 2 * np.arctan2(np.sinh(radius / 2.5), np.sinh(r / 2.5))
    m = np.stack([np.sin(theta) * x / (r + 1e-9), np.sin(theta) * y / (r + 1e-9), np.cos(theta)])
    ms = float(rng.uniform(1.5e5, 3e5))
    material = Material(ms=ms, a_ex=1.5e-11, dmi=1.2e-3, b_ext=0.4)
    return Film(np.moveaxis(m, 0, -1).astype(np.float32), material)


def made(n: int, seed: int = 0) -> Films:
    rng = np.random.default_rng(seed)
    rows = [{"name": f"film-{k}", "kind": "skyrmions", "seed": k} for k in range(n)]
    return Films([skyrmion(rng) for _ in range(n)], rows)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_ltem_corpus(tmp_path_factory.mktemp("ltem") / "corpus", made(11), 5, SETTINGS)


def test_same_seed_gives_the_same_bytes_with_any_workers(tmp_path):
    films = made(4)
    one = make_ltem_corpus(tmp_path / "one", films, 5, VARIED)
    threaded = VARIED.model_copy(update={"workers": 3})
    two = make_ltem_corpus(tmp_path / "two", films, 5, threaded)
    assert sha256_folder(one) == sha256_folder(two)
    assert sha256_folder(make_ltem_corpus(tmp_path / "other", films, 6, VARIED)) != sha256_folder(
        one
    )


def test_it_opens_as_a_dataset_of_16_bit_whose_films_stay_in_one_split(corpus):
    assert not damaged_files(corpus)
    header = read_header(corpus)
    assert (header["kind"], header["generator"], header["n"]) == ("ltem", GENERATOR, 22)
    dataset = open_dataset(corpus)
    assert dataset.depth(0) == 16
    assert dataset.sources == tuple(range(11))
    assert all(record.batch == record.source % 10 for record in dataset.records)
    data = load_params(family="ltem-unet").data
    splits = split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)
    assert splits.validation.sources == (8,)
    assert splits.test.sources == (9,)
    image = dataset.image(0)
    assert (image.min(), image.max()) == (0, 1)
    assert set(np.unique(dataset.label(0))) == {0, 1}


def test_an_image_is_the_film_rotated_and_shifted():
    films = made(3)
    frames = list(ltem_images(films, 1, SETTINGS))
    shifts, turns = set(), set()
    for number, (row, image, label) in enumerate(frames):
        film = rotated(films[number // 2], row["quarters"], row["mirrored"])
        turns.add((row["quarters"], row["mirrored"]))
        shift = row["roll_y"], row["roll_x"]
        shifts.add(shift)
        truth = skyrmion_label(film.m[..., 2], threshold=0.98, erosion=1, periodic=True)
        np.testing.assert_array_equal(label, np.roll(truth, shift, (0, 1)))
        plain = lorentz_image(
            film.m, film.material.ms, 27.5e-9, 3e-9, Microscope(), tilt=np.radians(20)
        )
        plain = (plain - plain.min()) / (plain.max() - plain.min())
        np.testing.assert_allclose(image / 65535, np.roll(plain, shift, (0, 1)), atol=2e-5)
    assert len(shifts) == 6
    assert len(turns) > 2
    as_it_is = SETTINGS.model_copy(update={"shift": False, "rotate": False})
    still = list(ltem_images(films, 1, as_it_is))
    assert all(row["roll_y"] == row["roll_x"] == 0 for row, _, _ in still)
    np.testing.assert_array_equal(still[0][1], still[1][1])


def test_rows_hold_the_conditions_of_the_image():
    films = made(12)
    frames = list(ltem_images(films, 2, VARIED))
    for key, (low, high) in {
        "tilt_deg": (10, 30),
        "axis_deg": (-90, 90),
        "defocus_mm": (-3, -1),
        "astigmatism_nm": (0, 500),
        "astigmatism_deg": (0, 180),
        "blur_px": (0.5, 2.0),
    }.items():
        values = np.array([row[key] for row, _, _ in frames])
        assert low <= values.min() < values.max() <= high
        assert len(set(values)) == len(values)
        assert np.ptp(values) > 0.6 * (high - low)
    row, image, _ = frames[5]
    film = rotated(films[2], row["quarters"], row["mirrored"])
    assert (row["film"], row["kind"], row["grains"]) == ("film-2", "skyrmions", False)
    assert row["ms"] == pytest.approx(film.material.ms, rel=1e-5)
    seen = lorentz_image(
        film.m, film.material.ms, 27.5e-9, 3e-9,
        Microscope(
            defocus=row["defocus_mm"] * 1e-3, astigmatism=row["astigmatism_nm"] * 1e-9,
            astigmatism_angle=np.radians(row["astigmatism_deg"]),
        ),
        tilt=np.radians(row["tilt_deg"]), axis=np.radians(row["axis_deg"]),
    )  # fmt: skip
    seen = np.roll(seen, (row["roll_y"], row["roll_x"]), (0, 1))
    assert np.corrcoef(seen.ravel(), image.ravel())[0, 1] > 0.98  # the blur parts them


def test_blur_leaves_no_gradient_at_the_borders():
    for _, image, _ in ltem_images(made(2), 0, VARIED):
        image = image.astype(float)
        spread = image.std()
        for edge in (image[1] - image[0], image[:, -1] - image[:, -2]):
            assert np.abs(edge).max() < 0.35 * spread


def test_other_states_are_left_out_and_batches_still_filled():
    films = made(6)
    films.rows[1]["kind"] = films.rows[4]["kind"] = "stripes"
    frames = list(ltem_images(films, 0, SETTINGS))
    assert [row["film"] for row, _, _ in frames[::2]] == ["film-0", "film-2", "film-3", "film-5"]
    assert [row["batch"] for row, _, _ in frames[::2]] == [0, 1, 2, 3]
    both = SETTINGS.model_copy(update={"film_states": ("skyrmions", "stripes")})
    of_all = {row["name"]: image for row, image, _ in ltem_images(films, 0, both)}
    assert len(of_all) == 12
    for row, image, _ in frames:  # what a film shows does not depend on the others
        np.testing.assert_array_equal(image, of_all[row["name"]])
    with pytest.raises(SpinscopeError, match=r"none of 6 films .* \(=\['mixed'\]\)"):
        list(ltem_images(films, 0, SETTINGS.model_copy(update={"film_states": ("mixed",)})))


def test_a_film_without_skyrmion_or_contrast_is_an_error():
    films = made(2)
    uniform = np.zeros((32, 32, 3), np.float32)
    uniform[..., 2] = 1
    films.films[1] = Film(uniform, films[0].material)
    with pytest.raises(SpinscopeError, match=r"film film-1: "):
        list(ltem_images(films, 0, SETTINGS))


def test_the_header_depends_on_films_seed_and_settings():
    films = made(2)
    same = corpus_header(films, 0, SETTINGS)
    assert same == corpus_header(made(2), 0, SETTINGS.model_copy(update={"workers": 2}))
    assert same != corpus_header(films, 1, SETTINGS)
    assert same != corpus_header(made(3), 0, SETTINGS)
    assert same != corpus_header(films, 0, VARIED)


def test_the_phase_of_grains_follows_their_ms_or_the_mean():
    film = made(1)[0]
    uneven = np.where(np.arange(64) < 32, 1.5e5, 3e5).astype(np.float32) * np.ones((64, 1))
    grained = Films([Film(film.m, film.material, uneven.astype(np.float32))], made(1).rows)
    alone = SETTINGS.model_copy(update={"images_per_film": 1, "shift": False, "rotate": False})
    mean = alone.model_copy(update={"phase_ms": "mean"})
    plain, followed, averaged = (
        next(iter(ltem_images(films, 0, settings)))[1]
        for films, settings in ((made(1), alone), (grained, alone), (grained, mean))
    )
    np.testing.assert_array_equal(averaged, plain)
    assert not np.array_equal(followed, plain)
