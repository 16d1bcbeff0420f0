"""Outlines of devices: areas, distances and their masks."""

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics import devices


def test_disc_and_polygon_have_their_areas():
    assert np.sum(devices.disc((80, 80), 40, 39.5, 20) > 0) == pytest.approx(400 * np.pi, rel=0.01)
    triangle = [(9.5, 9.5), (9.5, 69.5), (59.5, 39.5)]
    assert np.sum(devices.polygon((80, 80), triangle) > 0) == pytest.approx(1500, rel=0.02)


def test_distance_is_signed_and_in_pixels():
    square = devices.polygon((60, 60), [(20, 20), (20, 40), (40, 40), (40, 20)])
    assert square[30, 30] == pytest.approx(10)
    assert square[30, 10] == pytest.approx(-10)
    turned = devices.polygon((60, 60), [(40, 20), (40, 40), (20, 40), (20, 20)])
    assert np.allclose(square, turned)


def test_masks_are_disjoint_and_the_band_has_its_width():
    inside, edge = devices.device_masks(devices.disc((100, 100), 50, 50, 30), 6)
    assert not (inside & edge).any()
    assert edge[50].sum() == pytest.approx(12, abs=2)
    assert inside[50].sum() == pytest.approx(54, abs=2)


@pytest.mark.parametrize("kind", devices.DEVICES)
def test_every_kind_has_film_and_outside(kind):
    rng = np.random.default_rng(1)
    parts = [np.mean(devices.draw_device(kind, (96, 128), rng) > 0) for _ in range(12)]
    assert 0 < np.median(parts) < 0.95
    assert len(set(parts)) > 6


def test_bad_outlines_are_errors():
    with pytest.raises(SpinscopeError, match="2 corners"):
        devices.polygon((8, 8), [(0, 0), (1, 1)])
    with pytest.raises(SpinscopeError, match="one line"):
        devices.polygon((8, 8), [(0, 0), (1, 1), (2, 2)])
    with pytest.raises(SpinscopeError, match="device 'ring' must be one of discs"):
        devices.draw_device("ring", (8, 8), np.random.default_rng(0))
