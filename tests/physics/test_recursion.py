"""Recursion of spins and effective field, with the true field of a Hamiltonian."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import (
    Hamiltonian,
    effective_field,
    energy,
    mean_angle,
    noisy,
    random_spins,
    unit,
)
from spinscope.physics.recursion import recursion, with_z

H = Hamiltonian(dmi_kind="bulk")
FIELD = partial(effective_field, hamiltonian=H)


def helix(side: int = 42) -> np.ndarray:
    """Helix along x with two periods of 21 sites, the best commensurate ones of D/J = 0.3."""
    angle = 4 * np.pi * np.arange(side) / side
    m = np.stack([0 * angle, -np.sin(angle), np.cos(angle)], axis=-1)
    m = np.broadcast_to(m, (16, side, 3)).astype(np.float32)
    other = m * np.array([1, -1, 1], np.float32)
    return min(m, other, key=lambda spins: energy(spins, H))  # of the two chiralities


def test_an_aligned_state_is_a_fixed_point():
    result = recursion(helix(), FIELD, iterations=3, tolerance=1e-4)
    assert result.stopped == "torque" and result.iterations == 0
    assert result.energy[0] == pytest.approx(energy(helix(), H), abs=1e-6)
    again = recursion(helix(), FIELD, iterations=3)
    assert again.stopped == "iterations" and again.iterations == 3
    np.testing.assert_allclose(again.m, helix(), atol=1e-5)


def test_noise_is_removed_and_the_energy_falls():
    start = noisy(helix(), 0.5, np.random.default_rng(0))
    result = recursion(start, FIELD, iterations=60, mix=4.0)
    assert mean_angle(result.m, helix()) < 0.3 * mean_angle(start, helix())
    assert (np.diff(result.energy) < 1e-6).all()
    assert result.energy[-1] == pytest.approx(energy(result.m, H), abs=1e-6)
    np.testing.assert_allclose(result.field, FIELD(result.m), atol=1e-6)


def test_all_spins_at_once_keep_a_checkerboard_unless_the_old_spin_is_mixed_in():
    sign = np.where(np.indices((16, 16)).sum(0) % 2, -1, 1)[..., None]
    start = unit(np.array([1, 0, 0], np.float32) * sign + np.array([0, 0, 0.01], np.float32))
    ferromagnet = partial(effective_field, hamiltonian=Hamiltonian(dmi=0.0))
    kept = recursion(start, ferromagnet, iterations=30)
    mixed = recursion(start, ferromagnet, iterations=30, mix=4.0)
    assert kept.energy[-1] > 1.9  # energy of opposite neighbours is +2
    assert mixed.energy[-1] < -1.9


def test_damped_alignment_lowers_the_energy_at_every_step():
    start = random_spins((16, 16), np.random.default_rng(1))
    result = recursion(start, FIELD, iterations=200, damping=0.1)
    assert (np.diff(result.energy) < 1e-6).all()
    assert result.energy[-1] < -1.9


@pytest.mark.parametrize("options", [{}, {"mix": 3.0}, {"damping": 0.02}])
def test_langevin_noise_gives_the_angles_of_equilibrium(options):
    """Free spins in a field: the mean squared angle to it is 2T/B for T << B."""
    temperature, external = 0.02, 1.0
    start = np.zeros((64, 64, 3), np.float32)
    start[..., 2] = 1
    result = recursion(
        start, np.zeros_like, iterations=200, external=external, temperature=temperature,
        rng=np.random.default_rng(0), **options,
    )  # fmt: skip
    square = (np.arccos(np.clip(result.m[..., 2], -1, 1)) ** 2).mean()
    assert square == pytest.approx(2 * temperature / external, rel=0.08)


def test_known_sites_and_components_are_kept():
    start = random_spins((16, 42), np.random.default_rng(2))
    known = np.zeros((16, 42), bool)
    known[:, :20] = True
    result = recursion(start, FIELD, iterations=5, known=known)
    np.testing.assert_array_equal(result.m[known], start[known])
    assert np.abs(result.m[~known] - start[~known]).max() > 0.1
    m_z = helix()[..., 2]
    flat = np.zeros_like(helix())
    flat[..., 2] = m_z
    completed = recursion(flat, FIELD, iterations=100, mix=1.0, known_z=m_z)
    np.testing.assert_allclose(completed.m[..., 2], m_z, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(completed.m, axis=-1), 1, atol=1e-5)
    assert mean_angle(completed.m, helix()) < 1


def test_with_z_keeps_the_direction_in_the_plane():
    m = random_spins((16, 16), np.random.default_rng(0))
    np.testing.assert_allclose(with_z(m, m[..., 2]), m, atol=1e-5)
    other = with_z(m, -0.5 * m[..., 2])
    np.testing.assert_allclose(
        np.arctan2(other[..., 1], other[..., 0]), np.arctan2(m[..., 1], m[..., 0]), atol=1e-5
    )


def test_a_field_saturates_the_spins():
    result = recursion(helix(), FIELD, iterations=200, external=3.0)
    assert result.m[..., 2].min() > 0.999
    assert result.energy[-1] == pytest.approx(-2 - 3, abs=1e-2)


@pytest.mark.parametrize(
    "options, rule",
    [
        ({"iterations": -1}, r"iterations \(=-1\) must be at least 0"),
        ({"damping": 0.5}, r"damping \(=0.5\) must be above 0 and at most 0.2"),
        ({"temperature": -1.0}, r"temperature \(=-1\) must be at least 0"),
        ({"temperature": 0.1}, "needs a generator"),
    ],
)
def test_settings_out_of_range_are_named(options, rule):
    with pytest.raises(SpinscopeError, match=rule):
        recursion(helix(), FIELD, **options)
