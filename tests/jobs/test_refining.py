"""The closed loop on patterns whose domain width is a known function of the parameter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import section

from spinscope.analysis.domains import domain_width
from spinscope.corpora.domains import corpus_header, open_domains
from spinscope.datasets.shards import read_header
from spinscope.errors import SpinscopeError
from spinscope.evaluation.estimates import square_tiles
from spinscope.jobs.refining import FILMS, STEPS, FilmBank, conditions_of, refine
from spinscope.physics.domain_images import degraded, kerr_image, view

CELL, SIZE = 4e-9, 256
LOW, HIGH = 1e-4, 1e-3
SIDE = 750e-9
PIXEL = SIDE / 64


def pattern(value: float, rng: np.random.Generator) -> np.ndarray:
    """Labyrinth (SIZE, SIZE) of m_z whose domains are 140 to 60 nm wide from LOW to HIGH."""
    width = 140e-9 - 80e-9 * (value - LOW) / (HIGH - LOW)
    k = np.hypot(np.fft.fftfreq(SIZE, CELL)[:, None], np.fft.rfftfreq(SIZE, CELL))
    band = np.exp(-0.5 * ((k - 0.5 / width) / (0.12 / width)) ** 2)
    wave = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * band, (SIZE, SIZE))
    return np.tanh(3 * wave / wave.std()).astype(np.float32)


class Patterns:
    """Films of `pattern` in place of relaxed ones."""

    cell, side = CELL, SIZE * CELL
    values = np.linspace(LOW, HIGH, STEPS + 1)

    def __init__(self):
        self.asked = []

    def films(self, node: int) -> np.ndarray:
        self.asked.append(node)
        rng = np.random.default_rng([7, node])
        return np.stack([pattern(self.values[node], rng) for _ in range(3)])


def biased(image: np.ndarray, pixel_size: float) -> float:
    """Estimate that follows the domain width with a quarter of the right slope."""
    width = domain_width(image, pixel_size)
    return 0.3e-3 + 0.25 * (LOW + (140e-9 - width) / 80e-9 * (HIGH - LOW))


def image_of(value: float, seed: int, **effects: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clean = kerr_image(view(pattern(value, rng), CELL, SIDE))
    return np.clip(degraded(clean, rng, **effects), 0, 1)


@pytest.mark.parametrize("value", [0.25e-3, 0.9e-3])
def test_the_bias_of_an_estimate_is_corrected(value):
    image = image_of(value, 1, noise=0.1, blur_px=1.0, contrast=0.5)
    bank, first = Patterns(), biased(image, PIXEL)
    assert abs(first - value) > 0.1e-3
    result = refine(image[None], PIXEL, (first, 0.05e-3), biased, bank)
    assert result.value == pytest.approx(value, abs=0.06e-3)
    assert result.low < value < result.high
    assert result.high - result.low < 0.2e-3
    assert np.trapezoid(result.density, result.values) == pytest.approx(1)
    assert abs(result.after.width) < 0.1
    assert value < 0.5e-3 or result.before.width > 0.1  # films of the estimate are too wide
    assert result.after.correlation < 0.6 * result.before.correlation
    assert result.probability > 0.01
    assert len(bank.asked) == len(set(bank.asked)) == result.films / 3


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.5])
def test_grey_levels_noise_and_blur_of_an_image_are_recovered(blur):
    rng = np.random.default_rng(0)
    views = [view(pattern(0.4e-3, rng), CELL, SIDE) for _ in range(16)]
    effects = {"noise": 0.08, "blur_px": blur, "contrast": 0.5}
    tiles = np.stack([image_of(0.4e-3, seed, **effects) for seed in range(6)]) + 0.1
    found = conditions_of(tiles, views, PIXEL)
    assert found.blur_px == pytest.approx(blur, abs=0.25)
    assert found.noise == pytest.approx(0.04, rel=0.1)
    assert (found.low, found.high) == pytest.approx((0.35, 0.85), abs=0.02)


def test_films_of_another_kind_are_improbable():
    """Stripes of one direction have another correlation than any labyrinth."""
    x = np.arange(64) * PIXEL
    stripes = 0.5 + 0.4 * np.sin(np.pi * x / 100e-9) + np.zeros((64, 1))
    stripes += np.random.default_rng(0).normal(0, 0.02, (64, 64))
    image = np.clip(stripes, 0, 1).astype(np.float32)
    result = refine(image[None], PIXEL, (0.5e-3, 0.05e-3), biased, Patterns())
    assert result.probability < 1e-3


def test_several_tiles_narrow_the_posterior():
    tiles = np.stack([image_of(0.5e-3, seed, noise=0.1) for seed in range(4)])
    one, four = (
        refine(part, PIXEL, (0.45e-3, 0.05e-3), biased, Patterns()) for part in (tiles[:1], tiles)
    )
    assert four.sd < 0.75 * one.sd
    assert four.value == pytest.approx(0.5e-3, abs=0.05e-3)


def test_an_image_without_domains_is_refused():
    with pytest.raises(SpinscopeError, match="no domains"):
        refine(np.full((1, 64, 64), 0.5, np.float32), PIXEL, (5e-4, 1e-4), biased, Patterns())


@pytest.mark.parametrize(
    ("shape", "pixel", "count", "side"),
    [((64, 64), 10e-9, 1, 64), ((40, 64), 10e-9, 1, 40), ((256, 300), 10e-9, 6, 64),
     ((300, 60), 10e-9, 5, 60)],
)  # fmt: skip
def test_tiles_are_square_and_no_larger_than_a_film(shape, pixel, count, side):
    image = np.random.default_rng(0).random(shape, np.float32)
    tiles = square_tiles(image, pixel, 1e-6, 64)
    assert tiles.shape == (count, side, side)


def test_a_tile_of_many_pixels_is_averaged():
    image = np.kron(np.eye(64, dtype=np.float32), np.ones((3, 3), np.float32))
    (tile,) = square_tiles(image, 5e-9, 1e-6, 64)
    np.testing.assert_allclose(tile, np.eye(64), atol=1e-6)


@pytest.fixture
def bank(tmp_path):
    header = {**corpus_header("dmi", 0, section("domains", tolerance=0.05)), "pixels": 32}
    header |= {"size": 32, "scales_nm": [128], "dmi": [1e-3, 3e-3], "friction": 0.0}
    return replace(FilmBank.of_corpus(header), folder=tmp_path, count=2)


def test_films_are_relaxed_once_for_all_images(bank, monkeypatch):
    films = bank.films(10)
    assert films.shape[1:] == (32, 32) and 1 <= len(films) <= 2
    assert np.abs(films).max() <= 1 and films.std() > 0.3
    monkeypatch.setattr(FilmBank, "_relaxed", None)
    np.testing.assert_array_equal(bank.films(10), films)
    np.testing.assert_array_equal(replace(bank, count=1).films(10), films[:1])
    with pytest.raises(TypeError):  # further films are missing
        replace(bank, count=3).films(10)
    other = replace(bank, settings=bank.settings.model_copy(update={"tolerance": 0.04}))
    with pytest.raises(TypeError):  # another film is not read in place of this one
        other.films(10)


def test_views_of_a_large_film_count_as_films(bank):
    header = {**corpus_header("dmi", 0, section("domains")), "size": 512, "cell_nm": 4.0,
              "pixels": 64, "scales_nm": [500]}  # fmt: skip
    counts = [FilmBank.of_corpus(header, side).count for side in (2.0e-6, 1.2e-6, 1e-6, 3e-7)]
    assert counts == [FILMS, FILMS, 1, 1]


def test_a_model_without_a_corpus_cannot_be_refined():
    with pytest.raises(SpinscopeError, match="does not describe the films"):
        FilmBank.of_corpus({"kind": "lattice"})


def test_the_films_are_those_of_a_complete_corpus(domains_folder):
    store = open_domains(domains_folder).store
    bank = FilmBank.of_corpus(read_header(domains_folder))
    assert (bank.parameter, bank.cell) == (store.parameter, store.cell)
    assert (bank.values[0], bank.values[-1]) == store.limits
    assert round(bank.side / bank.cell) == store.levels(0).shape[0]
