"""Brownian skyrmions: drawn tracks have the given motion."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics import KerrOptics, brownian_frame, brownian_skyrmions

SHAPE = (120, 160)


def test_steps_have_the_variance_of_the_diffusion_constant():
    table = brownian_skyrmions(
        400, 3, (1000, 1000), 2.0, np.random.default_rng(0), drift=(1.0, -0.5)
    )
    first, second = (table["frame"] == k for k in (0, 1))
    _, i, j = np.intersect1d(
        table["skyrmion"][first], table["skyrmion"][second], return_indices=True
    )
    for name, mean in (("true_y_px", 1.0), ("true_x_px", -0.5)):
        steps = table[name][second][j] - table[name][first][i]
        assert steps.mean() == pytest.approx(mean, abs=0.3)
        assert steps.var() == pytest.approx(4.0, rel=0.2)
    np.testing.assert_array_equal(table["y_px"], table["true_y_px"])


def test_the_same_seed_gives_the_same_tracks_and_a_constant_number():
    a, b = (
        brownian_skyrmions(
            30, 200, SHAPE, 1.0, np.random.default_rng(4), lifetime=20, localisation=0.5, missed=0.1
        )
        for _ in range(2)
    )
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert np.bincount(a["frame"]).mean() == pytest.approx(30 * 0.9, rel=0.1)
    noise = a["y_px"] - a["true_y_px"]
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    last = a["frame"] == 199
    assert (a["skyrmion"][last] > 100).any()


def test_a_frame_shows_its_skyrmions():
    rng = np.random.default_rng(1)
    table = brownian_skyrmions(6, 2, SHAPE, 1.0, rng, diameter=(20, 20))
    image, label = brownian_frame(table, 1, SHAPE, KerrOptics(noise=0.01), rng)
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1
    seen = table["frame"] == 1
    for y, x in zip(table["true_y_px"][seen], table["true_x_px"][seen], strict=True):
        assert label[round(y), round(x)] == 1
    whole = seen & ~table["touches_border"]
    assert image[label == 1].mean() < image[label == 0].mean() - 0.1
    assert whole.any()


def test_bad_input_is_an_error():
    for keywords in ({"diffusion": -1.0}, {"diffusion": 1.0, "lifetime": 0.0}):
        with pytest.raises(SpinscopeError, match="must"):
            brownian_skyrmions(3, 3, SHAPE, rng=np.random.default_rng(0), **keywords)
