"""Effective field and energy of spin lattices: gradients, symmetries and the helix."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import (
    Hamiltonian,
    checked_spins,
    effective_field,
    energy,
    energy_of_field,
    erased_square,
    helix_pitch,
    mean_angle,
    noisy,
    noisy_rows,
    random_spins,
    torque,
    unit,
)

FREE = {"dmi": 0.0, "exchange": 0.0}
TERMS = {
    "exchange": Hamiltonian(dmi=0.0),
    "interfacial": Hamiltonian(dmi=0.7, exchange=0.0),
    "bulk": Hamiltonian(dmi=-0.7, dmi_kind="bulk", exchange=0.0),
    "field": Hamiltonian(**FREE, field=0.4),
    "anisotropy": Hamiltonian(**FREE, anisotropy=-0.6),
    "all": Hamiltonian(0.3, "bulk", 0.2, 0.1),
}
EACH_TERM = pytest.mark.parametrize("hamiltonian", TERMS.values(), ids=TERMS)
EACH_KIND = pytest.mark.parametrize("kind", ["interfacial", "bulk"])


def spins(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((height, width, 3)))


@EACH_TERM
def test_the_field_is_minus_the_gradient_of_the_energy(hamiltonian):
    m, step = spins(), 1e-3
    field = effective_field(m, hamiltonian)
    assert np.abs(field).max() > 0.1
    gradient = np.empty_like(m)
    for place in np.ndindex(m.shape):
        shift = np.zeros_like(m)
        shift[place] = step
        change = energy(m + shift, hamiltonian) - energy(m - shift, hamiltonian)
        gradient[place] = m[..., 0].size * change / (2 * step)
    np.testing.assert_allclose(field, -gradient, atol=1e-9)  # exact: the energy is quadratic


@EACH_TERM
def test_the_energy_of_a_bond_is_that_of_the_hamiltonian(hamiltonian):
    """Two different spins in a uniform lattice, from the sum over bonds as it is written."""
    m = spins()
    height, width = m.shape[:2]
    total = 0.0
    for y, x in np.ndindex(height, width):
        for across, down in ((1, 0), (0, 1)):
            s, t = m[y, x], m[(y + down) % height, (x + across) % width]
            r = np.array([across, down, 0.0])
            d = r if hamiltonian.dmi_kind == "bulk" else np.cross([0, 0, 1], r)
            total += -hamiltonian.exchange * s @ t + hamiltonian.dmi * d @ np.cross(s, t)
        total -= hamiltonian.anisotropy * m[y, x, 2] ** 2 + hamiltonian.field * m[y, x, 2]
    assert energy(m, hamiltonian) == pytest.approx(total / (height * width), rel=1e-12)


@EACH_TERM
def test_translations_commute_with_the_field(hamiltonian):
    m = spins()
    shifted = np.roll(m, (2, -3), (0, 1))
    expected = np.roll(effective_field(m, hamiltonian), (2, -3), (0, 1))
    np.testing.assert_array_equal(effective_field(shifted, hamiltonian), expected)


@EACH_TERM
def test_rotations_by_90_degrees_commute_with_the_field(hamiltonian):
    m = spins()
    expected = rotated(effective_field(m, hamiltonian))
    np.testing.assert_allclose(effective_field(rotated(m), hamiltonian), expected, atol=1e-12)
    only_sites = effective_field(np.rot90(m), hamiltonian)
    assert (hamiltonian.dmi == 0) == np.allclose(
        only_sites, np.rot90(effective_field(m, hamiltonian))
    )


def rotated(vectors: np.ndarray) -> np.ndarray:
    """Lattice rotated by a quarter turn with its vectors: right becomes up, down becomes right."""
    x, y, z = np.moveaxis(np.rot90(vectors), -1, 0)
    return np.stack([y, -x, z], -1)


@EACH_KIND
def test_only_the_interfacial_interaction_allows_a_mirror(kind):
    """Spins are axial vectors: the mirror x → −x reverses their y and z components."""
    hamiltonian, mirror = Hamiltonian(dmi_kind=kind), np.array([1, -1, -1])
    m = spins()
    found = effective_field(m[:, ::-1] * mirror, hamiltonian)
    same = np.allclose(found, effective_field(m, hamiltonian)[:, ::-1] * mirror)
    assert same == (kind == "interfacial")


def helix(waves: float, length: int, kind: str, *, sign: float = 1.0) -> np.ndarray:
    """Helix along x, `waves` periods in `length` sites, (16, length, 3)."""
    angle = sign * 2 * np.pi * waves * np.arange(length) / length
    zero = np.zeros(length)
    rotating = [np.sin(angle), zero] if kind == "interfacial" else [zero, np.sin(angle)]
    m = np.stack([*rotating, np.cos(angle)], -1)
    return np.tile(m, (16, 1, 1))


@EACH_KIND
@pytest.mark.parametrize("dmi", [0.3, -0.3, 0.6])
def test_the_helix_of_lowest_energy_has_the_pitch(dmi, kind):
    hamiltonian, length = Hamiltonian(dmi, kind), 400
    energies = {
        (waves, sign): energy(helix(waves, length, kind, sign=sign), hamiltonian)
        for waves in range(1, 60)
        for sign in (1, -1)
    }
    (waves, sign), lowest = min(energies.items(), key=lambda item: item[1])
    assert abs(waves - length / helix_pitch(dmi)) <= 0.5
    assert lowest < energies[waves, -sign] - 0.08  # the other handedness
    assert lowest == pytest.approx(-1 - np.hypot(1, dmi), abs=1e-4)


@EACH_KIND
def test_a_commensurate_helix_is_stationary(kind):
    dmi = np.tan(2 * np.pi / 20)
    assert helix_pitch(dmi) == pytest.approx(20)
    signs = {}
    for sign in (1, -1):
        m = helix(3, 60, kind, sign=sign)
        field = effective_field(m, Hamiltonian(dmi, kind))
        assert torque(m, field) < 1e-12
        signs[sign] = energy_of_field(m, field)
    assert min(signs.values()) == pytest.approx(-1 - np.hypot(1, dmi), rel=1e-12)
    assert max(signs.values()) == pytest.approx(-1 - np.cos(2 * np.pi / 20) * (1 - dmi**2))


def test_the_energy_follows_from_the_field():
    m = spins()
    hamiltonian = Hamiltonian(0.3, field=0.2)
    inner = effective_field(m, Hamiltonian(0.3))
    assert energy_of_field(m, inner, 0.2) == pytest.approx(energy(m, hamiltonian), rel=1e-12)


def test_torque_is_the_sine_of_the_angle_to_the_field():
    m = np.tile([0.0, 0.0, 1.0], (16, 16, 1))
    field = m.copy()
    field[3, 4] = 2 * np.array([np.sin(0.2), 0, np.cos(0.2)])
    assert torque(m, field) == pytest.approx(np.sin(0.2))


def test_random_spins_cover_the_sphere_evenly():
    m = random_spins((256, 256), np.random.default_rng(0)).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(m.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(m.T @ m / len(m), np.eye(3) / 3, atol=0.01)


def test_noise_tilts_spins_as_expected():
    """Small noise tilts by α times the mean length of the perpendicular part of R, π/4."""
    m, rng = np.tile(np.float32([0, 0, 1]), (128, 128, 1)), np.random.default_rng(0)
    assert np.radians(mean_angle(noisy(m, 0.02, rng), m)) == pytest.approx(
        0.02 * np.pi / 4, rel=0.02
    )
    assert mean_angle(noisy(m, 1e4, rng), m) == pytest.approx(90, abs=1)


def test_defects_have_their_size_and_leave_the_rest():
    m = spins(20, 24).astype(np.float32)
    damaged, rows = noisy_rows(m, 5, np.random.default_rng(1))
    assert rows.all(1).sum() == 5
    assert rows.any(1).sum() == 5
    erased, square = erased_square(m, 7, np.random.default_rng(1))
    assert square.sum() == 49
    assert not erased[square].any()
    for found, mask in ((damaged, rows), (erased, square)):
        np.testing.assert_array_equal(found[~mask], m[~mask])
        assert (found[mask] != m[mask]).any(-1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[..., :2], r"x\.npy has the shape \(20, 20, 2\); spins must be \(H, W, 3\)"),
        (lambda m: m[:15], "15×20 sites; each side must have at least 16"),
        (lambda m: np.where(m > 2, m, np.nan), "NaN or infinity"),
        (lambda m: m * 1.1, "has the length 1.1; spins must be unit vectors"),
        (lambda m: m * (np.arange(20) != 7)[:, None], r"row 0, column 7 has the length 0"),
    ],
)
def test_bad_spins_are_named(change, message):
    m = np.tile([0.6, 0.0, 0.8], (20, 20, 1))
    assert checked_spins(m).dtype == np.float32
    with pytest.raises(SpinscopeError, match=message):
        checked_spins(change(m), "x.npy")
