"""Estimates that are marked: the interval of an image unlike those of the training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spinscope.analysis.domains import signs, trained_range
from spinscope.evaluation.estimates import judged, with_error
from spinscope.inference.parameters import Distribution

FOUND, LIMITS = Distribution(4e-4, 1e-5, 3.9e-4, 4.2e-4), (1e-4, 1e-3)
PIXEL = 5e-9


def stripes(size: int, period: float = 24, seed: int = 0) -> np.ndarray:
    """Wavy stripes with noise, grey levels in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    phase = rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (x + 3 * np.sin(y / 15 + phase)) / period + phase)
    return np.clip(0.5 + 0.4 * np.tanh(4 * wave) + rng.normal(0, 0.02, wave.shape), 0, 1)


@pytest.fixture(scope="module")
def predictor():
    """A model that was trained on views of 64 px and always gives the same answer."""
    views = [signs(stripes(64, period, k), PIXEL) for k in range(12) for period in (20, 24, 28)]

    class Network:
        info = {"pixels": 64, "trained": trained_range(views)}  # noqa: RUF012
        scales, limits, parameter = (64 * PIXEL,), LIMITS, "dmi"
        found = FOUND

        def __call__(self, image, pixel_size):
            return self.found

    return Network()


@pytest.mark.parametrize("size", [64, 150])
def test_images_like_those_of_the_training_keep_their_interval(predictor, size):
    network, found, why = judged(predictor, stripes(size, seed=99), PIXEL)
    assert why == []
    assert found.side == pytest.approx(64 * PIXEL)
    assert with_error(network, why, LIMITS) == FOUND


def test_another_image_has_the_interval_of_the_training(predictor):
    inclined = 0.5 * stripes(64, seed=99) + np.linspace(0, 0.5, 64)
    network, _, why = judged(predictor, inclined, PIXEL)
    assert [reason.partition(":")[0] for reason in why] == ["background"]
    found = with_error(network, why, LIMITS)
    assert (found.low, found.high) == LIMITS
    assert found.mean == FOUND.mean
    # The standard deviation of a uniform distribution.
    assert found.sd == pytest.approx(np.random.default_rng(0).uniform(*LIMITS, 100_000).std(), 0.02)
    far = Distribution(5e-3, 1e-5, 4.9e-3, 5.1e-3)
    assert with_error(far, why, LIMITS).mean == LIMITS[1]


def test_an_image_without_domains_has_no_estimate(predictor):
    network, _, why = judged(predictor, np.full((64, 64), 0.4), PIXEL)
    assert any(reason.startswith("no domains") for reason in why)
    assert with_error(network, why, LIMITS) is None


def test_a_value_far_outside_the_training_is_marked(predictor, monkeypatch):
    monkeypatch.setattr(predictor, "found", Distribution(1.43e-3, 1e-4, 1.2e-3, 1.6e-3))
    network, _, why = judged(predictor, stripes(64, seed=99), PIXEL)
    assert why == ["value: D is 1.43 mJ/m²; the training has 0.1 to 1 mJ/m²"]
    assert with_error(network, why, LIMITS).mean == LIMITS[1]
    monkeypatch.setattr(predictor, "found", Distribution(1.05e-3, 1e-4, 9e-4, 1.2e-3))
    assert judged(predictor, stripes(64, seed=99), PIXEL)[2] == []


def test_pixels_that_are_too_large_are_named(predictor):
    network, _, why = judged(predictor, stripes(64), 40e-9)
    assert network is None
    assert why == [
        "pixel size: 40 nm, so that a view of the training (320 nm) has 8 px; at least 16"
    ]
    assert with_error(network, why, LIMITS) is None


def test_a_model_without_the_range_of_its_training_is_never_certain():
    bare = SimpleNamespace(
        info={"pixels": 64}, scales=(64 * PIXEL,), limits=LIMITS, parameter="dmi"
    )
    bare = type("Bare", (), {**vars(bare), "__call__": lambda *_: FOUND})()
    network, _, why = judged(bare, stripes(64), PIXEL)
    assert why == ["training: the model does not contain the range of its training images"]
    assert with_error(network, why, LIMITS).low == LIMITS[0]
