"""Counts without a network: lattices of known spacing, skyrmions at known places."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import KDTree
from tests.studies.lorentz.films import lattice, made

from spinscope.analysis.spacing import dipoles, expected_objects, lattice_spacing, tilt_axis
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.studies.lorentz.scores import Point, simulated_image, specimens

SIZE = 256


def drawn(places: np.ndarray, spacing: float, axis_deg: float = 0.0, noise: float = 0.0):
    """Dark and bright spots on both sides of each position, along the axis."""
    y, x = np.mgrid[:SIZE, :SIZE]
    step = spacing / 4 * np.array([np.sin(np.radians(axis_deg)), np.cos(np.radians(axis_deg))])
    image = np.random.default_rng(0).normal(0, noise, (SIZE, SIZE))
    for at in places:
        for sign in (-1, 1):
            cy, cx = at + sign * step
            r2 = (y - cy) ** 2 + (x - cx) ** 2
            image += sign * np.exp(-r2 / (2 * (spacing / 6) ** 2))
    return image


@pytest.mark.parametrize(("spacing", "angle"), [(22.0, 0.2), (31.0, 0.0), (40.0, 0.45)])
def test_the_ring_gives_spacing_and_number(spacing, angle):
    places = lattice(SIZE, spacing, angle, jitter=0.08 * spacing)
    image = drawn(places, spacing, noise=0.3)
    assert lattice_spacing(image) == pytest.approx(spacing, rel=0.06)
    assert expected_objects((SIZE, SIZE), spacing) == pytest.approx(len(places), rel=0.08)


@pytest.mark.parametrize("axis", [0.0, 40.0, 180.0])
def test_places_are_found_along_the_axis(axis):
    spacing = 30.0
    places = lattice(SIZE, spacing, 0.2, jitter=2.0)
    inner = places[((places > 10) & (places < SIZE - 10)).all(axis=1)]
    found = dipoles(drawn(places, spacing, axis, noise=0.2), spacing, axis)
    distance, _ = KDTree(found).query(inner)
    assert (distance < 4).mean() > 0.95
    assert len(found) == pytest.approx(len(places), rel=0.1)


@pytest.mark.parametrize("axis", [0.0, 50.0, -120.0, 180.0])
def test_the_axis_points_to_the_bright_side(axis):
    """Skyrmions further apart than they are wide."""
    places = lattice(SIZE, 60.0, 0.2, jitter=4.0)
    angle, coherence, skewness = tilt_axis(drawn(places, 30.0, axis, noise=0.2), 60.0)
    assert abs((angle - axis + 180) % 360 - 180) < 6
    assert coherence > 0.3 and skewness > 0.2
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE))
    assert tilt_axis(noise, 60.0)[1] < 0.2


def test_simulated_skyrmions_are_counted():
    settings = load_params(family="ltem-unet").ltem
    one = specimens(made(1), [0], settings)[0]
    image = simulated_image(one, Point(noise=0.3), settings, 0)
    assert len(dipoles(image, 45.0)) == pytest.approx(4, abs=1)


def test_an_image_without_structure_is_refused():
    with pytest.raises(SpinscopeError, match="same everywhere"):
        lattice_spacing(np.ones((64, 64)))
    assert len(dipoles(np.ones((64, 64)), 10.0)) == 0
