"""Raw frames: the camera's numbers, and what is left of them after a perfect background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.kerr import Defect
from spinscope.physics.raw_kerr import Camera, drift_path, raw_frames

SHAPE = (64, 80)
STILL = Camera(uneven_drift=0, lamp=0, drift=0, vibration=0, rows=0, hot=0)


def frames_of(m, camera, seed=0, defects=()):
    """Frames of a series, float64, and the drift."""
    rng = np.random.default_rng(seed)
    drift = drift_path(len(m), camera, rng)
    return np.array(list(raw_frames(m, camera, drift, rng, defects=defects)), float), drift


def halves(n):
    """Films that are up on the left and down on the right, after one that is saturated."""
    m = np.ones((n, *SHAPE), np.float32)
    m[1:, :, SHAPE[1] // 2 :] = -1
    return m


@pytest.mark.parametrize("bits", [12, 16])
def test_opposite_domains_differ_by_the_contrast(bits):
    camera = replace(STILL, bits=bits, contrast=0.04)
    frames, _ = frames_of(halves(9), camera)
    assert frames.max() <= 2**bits - 1
    assert frames.mean() == pytest.approx(camera.exposure * 2**bits, rel=0.03)
    ratio = frames[1:].mean(axis=0) / frames[0]
    left, right = ratio[:, :32].mean(), ratio[:, 48:].mean()
    assert left == pytest.approx(1, abs=1e-3)
    assert left - right == pytest.approx(0.04 / 1.02, abs=1e-3)


def test_noise_is_that_of_the_electrons():
    frames, _ = frames_of(np.ones((40, *SHAPE), np.float32), replace(STILL, bits=16))
    electrons = frames * STILL.electrons / 65535
    expected = electrons.mean(axis=0) + STILL.read**2
    assert (electrons.var(axis=0, ddof=1) / expected).mean() == pytest.approx(1, abs=0.02)


def test_the_sample_moves_by_the_drift_and_the_light_does_not():
    camera = replace(STILL, drift=6.0, electrons=1e8, read=0)
    dust = [Defect(30, 40, 4.0, height=-0.8)]
    frames, drift = frames_of(np.ones((5, *SHAPE), np.float32), camera, defects=dust)
    assert (drift[0] == 0).all()
    assert np.hypot(*drift[-1]) == pytest.approx(6.0, rel=0.01)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = []
    for frame in frames:
        weight = np.maximum(0.75 - frame / np.median(frame), 0)
        places.append([np.average(y, weights=weight), np.average(x, weights=weight)])
    moved = np.array(places) - places[0]
    np.testing.assert_allclose(moved, drift, atol=0.15)


def test_hot_pixels_stay_and_rows_change():
    camera = replace(STILL, hot=0.01, rows=0.01)
    frames, _ = frames_of(np.ones((6, *SHAPE), np.float32), camera)
    hot = (frames.std(axis=0) == 0) & (frames[0] > 0.69 * camera.white)
    assert hot.sum() == pytest.approx(0.01 * hot.size, rel=0.5)
    rows = (frames[1:] - frames[0]).mean(axis=2) / frames.mean()
    assert rows.std() == pytest.approx(0.01 * np.sqrt(2), rel=0.2)


def test_bad_input_is_an_error():
    with pytest.raises(SpinscopeError, match=r"bits \(=20\) must be 8 to 16"):
        Camera(bits=20)
    with pytest.raises(SpinscopeError, match="drift must be"):
        next(raw_frames(halves(3), STILL, np.zeros((2, 2)), np.random.default_rng(0)))
