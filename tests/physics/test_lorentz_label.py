"""Labels of Lorentz images: radii of skyrmions in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.lorentz_label import skyrmion_label

RADIUS, WALL = 12.0, 4.0


def disc(centre=(32, 32), n=64):
    """m_z of a skyrmion in a periodic film, 0 at RADIUS."""
    y, x = ((np.arange(n) - c + n / 2) % n - n / 2 for c in centre)
    return np.tanh((np.hypot(y[:, None], x[None, :]) - RADIUS) / WALL)


@pytest.mark.parametrize("threshold", [0.98, 0.5, 0.0, -0.5])
def test_the_radius_is_that_of_m_z_at_the_threshold(threshold):
    area = skyrmion_label(disc(), threshold=threshold, erosion=0).sum()
    expected = RADIUS + WALL * np.arctanh(threshold)
    assert np.sqrt(area / np.pi) == pytest.approx(expected, abs=0.2)


def test_an_erosion_removes_one_pixel_at_the_border():
    m_z = np.ones((9, 9))
    m_z[2:7, 3:6] = -1
    label = skyrmion_label(m_z, erosion=1)
    assert label.dtype == np.uint8
    assert np.argwhere(label).min(axis=0).tolist() == [3, 4]
    assert label.sum() == 3


def test_skyrmion_across_the_border():
    inside = skyrmion_label(disc(), periodic=True)
    across = skyrmion_label(disc(centre=(0, 10)), periodic=True)
    np.testing.assert_array_equal(np.roll(inside, (-32, -22), (0, 1)), across)
    cut = skyrmion_label(disc(centre=(0, 10)))
    np.testing.assert_array_equal(cut[1:-1, 1:-1], across[1:-1, 1:-1])
    assert not cut[[0, -1]].any()
    assert not cut[:, [0, -1]].any()


@pytest.mark.parametrize(
    ("m_z", "settings", "rule"),
    [
        (np.ones((8, 8)), {}, "threshold (=0.98) leaves no skyrmion"),
        (disc(), {"threshold": -0.9999}, "leaves no skyrmion"),
        (disc(), {"erosion": 40}, "leaves no skyrmion after an erosion of 40: m_z runs from -0.99"),
        (-np.ones((8, 8)), {}, "threshold (=0.98) leaves no background: m_z is at most -1"),
        (disc(), {"threshold": 1.0}, "threshold (=1.0) must lie between -1 and 1"),
        (disc(), {"threshold": np.nan}, "threshold (=nan) must lie"),
        (disc(), {"erosion": -1}, "erosion (=-1) must be a count"),
        (disc() * np.nan, {}, "must be (H, W) and finite"),
        (disc()[0], {}, "m_z of shape (64,) must be (H, W)"),
    ],
)
def test_empty_labels_and_parameters_out_of_range_are_errors(m_z, settings, rule):
    with pytest.raises(SpinscopeError) as error:
        skyrmion_label(m_z, **settings)
    assert rule in str(error.value)
