"""A Kerr image on a lattice: the period of drawn stripes, and their in-plane components."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.physics.lattice import Hamiltonian, helix_pitch
from spinscope.studies.field.kerr_image import domain_period, infer, kerr_lattice
from spinscope.studies.field.measures import Field, TrueField

HAMILTONIAN = Hamiltonian()


def stripes(
    period: float, angle: float = 0.0, shape: tuple[int, int] = (150, 180), noise: float = 0.03
) -> np.ndarray:
    """Kerr image of stripes along a direction, with noise and uneven illumination."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = 2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle))
    camera = np.random.default_rng(0).normal(0, noise, shape)
    return 0.5 + 0.15 * np.cos(phase) + 0.2 * y / shape[0] + camera


@pytest.mark.parametrize("period", [9.0, 14.3, 30.0])
@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_the_period_of_stripes_is_found(period, angle):
    assert domain_period(stripes(period, angle)) == pytest.approx(period, rel=0.06)


def test_a_kerr_image_has_the_pitch_of_the_helix_on_the_lattice():
    given, scale = kerr_lattice(stripes(12.0, shape=(150, 400)), HAMILTONIAN)
    pitch = helix_pitch(0.3)
    assert scale["sites_per_px"] == pytest.approx(pitch / 12, rel=0.06)
    inside = given.shown(given.m_z)
    assert inside.shape == pytest.approx((150 * pitch / 12, 320 * pitch / 12), rel=0.06)
    assert domain_period(inside) == pytest.approx(pitch, rel=0.06)


def test_stripes_get_the_components_of_a_neel_helix():
    given, _ = kerr_lattice(stripes(14.0), HAMILTONIAN)
    m, report = infer(Field(TrueField(HAMILTONIAN), mix=1.0), given, HAMILTONIAN)
    assert report["sites"] == list(m.shape[:2])
    assert report["correlation"] > 0.95
    along_x, along_y, _ = np.abs(m[45:-45, 45:-45]).mean((0, 1))
    assert along_x > 10 * along_y  # x is across the stripes
    assert -2.044 < report["energy"] < -2.0
