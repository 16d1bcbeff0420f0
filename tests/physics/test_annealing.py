"""Monte Carlo of spin lattices against exact thermodynamics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import spherical_in

from spinscope.errors import SpinscopeError
from spinscope.physics.annealing import Lattice, Schedule, anneal
from spinscope.physics.lattice import (
    Hamiltonian,
    effective_field,
    energy,
    energy_of_field,
    random_spins,
    torque,
    unit,
)

FREE = {"dmi": 0.0, "exchange": 0.0}


def sampled(hamiltonian, temperature, samples, *, side=64, reflections=0, warm=20):
    """Spins after each of `samples` sweeps, (samples, side, side, 3)."""
    start = random_spins((side, side), np.random.default_rng(5))
    lattice = Lattice(start, hamiltonian, 5)
    lattice.sweep(np.full(warm, temperature), reflections)
    found = []
    for _ in range(samples):
        lattice.sweep([temperature], reflections)
        found.append(lattice.m)
    return np.stack(found).astype(np.float64)


def ring(beta: float) -> tuple[float, float]:
    """Logarithm of the partition function of a 2×2 lattice, and its mean squared magnetisation.

    Every neighbour of a site is one twice, so that the lattice is a ring of four spins with the
    coupling 2J; the interfacial interaction cancels. The eigenvalues of its transfer matrix are the
    modified spherical Bessel functions i_l (Fisher, Am. J. Phys. 32, 343 (1964)).
    """
    order = np.arange(40)
    value = spherical_in(np.arange(41), 2 * beta)
    here, after = value[:-1], value[1:]
    partition = np.sum((2 * order + 1) * here**4)
    first, second = (
        np.sum((order + 1) * (here ** (4 - r) * after**r + after ** (4 - r) * here**r)) / partition
        for r in (1, 2)
    )
    return float(np.log(partition)), float((4 + 8 * first + 4 * second) / 16)


@pytest.mark.parametrize(("temperature", "reflections"), [(0.7, 0), (2.0, 2)])
def test_a_ring_of_four_has_its_exact_energy_heat_and_magnetisation(temperature, reflections):
    hamiltonian = Hamiltonian(dmi=0.3)
    m = sampled(hamiltonian, temperature, 12_000, side=2, reflections=reflections)
    total = -(m * effective_field(m, hamiltonian)).sum((1, 2, 3)) / 2
    squared = np.square(m.mean((1, 2))).sum(-1)
    beta, step = 1 / temperature, 1e-3
    before, middle, after = (ring(beta + shift)[0] for shift in (-step, 0, step))
    exact = -(after - before) / (2 * step)
    heat = beta**2 * (after - 2 * middle + before) / step**2
    assert total.mean() == pytest.approx(exact, rel=0.01)
    assert beta**2 * total.var() == pytest.approx(heat, rel=0.06)
    assert squared.mean() == pytest.approx(ring(beta)[1], rel=0.015)


def test_energies_agree_with_a_plain_metropolis_walk():
    """Strong DMI at a temperature where no expansion holds."""
    hamiltonian, temperature, rng = Hamiltonian(dmi=0.8), 0.5, np.random.default_rng(0)
    found = sampled(hamiltonian, temperature, 2000, side=16)
    m, plain, colour = found[:: 2000 // 16], [], np.indices((16, 16)).sum(0) % 2
    for turn in range(400):
        new = unit(m + 0.8 * rng.standard_normal(m.shape))
        loss = -((new - m) * effective_field(m, hamiltonian)).sum(-1)
        accepted = rng.random(loss.shape) < np.exp(-np.maximum(loss, 0) / temperature)
        m = np.where((accepted & (colour == turn % 2))[..., None], new, m)
        if turn % 4 == 3:
            plain.append(energy_of_field(m, effective_field(m, hamiltonian)))
    assert energy(found, hamiltonian) == pytest.approx(np.mean(plain[5:]), abs=0.008)
    assert np.mean(plain) < -1.6  # without the DMI −1.45


@pytest.mark.parametrize("ratio", [0.2, 1.0, 5.0, 80.0])
def test_free_spins_in_a_field_follow_the_langevin_function(ratio):
    """Mean and mean square of the component along the field, at B/T = `ratio`."""
    m = sampled(Hamiltonian(**FREE, field=0.4), 0.4 / ratio, 60)
    (x, y, z), square = m.mean((0, 1, 2)), np.square(m[..., 2]).mean()
    langevin = 1 / np.tanh(ratio) - 1 / ratio
    assert z == pytest.approx(langevin, abs=0.004)
    assert square == pytest.approx(1 - 2 * langevin / ratio, abs=0.004)
    assert (x, y) == pytest.approx((0, 0), abs=0.004)


@pytest.mark.parametrize(("field", "anisotropy"), [(1e-3, 1.0), (1e-3, -1.0), (0.5, 0.8)])
@pytest.mark.parametrize("reflections", [0, 2])
def test_anisotropic_spins_have_the_moments_of_their_distribution(field, anisotropy, reflections):
    temperature = 0.5

    def weight(z):
        return np.exp((anisotropy * z**2 + field * z) / temperature)

    norm = quad(weight, -1, 1)[0]
    first, second = (quad(lambda z, k=k: z**k * weight(z), -1, 1)[0] / norm for k in (1, 2))

    hamiltonian = Hamiltonian(**FREE, field=field, anisotropy=anisotropy)
    z = sampled(hamiltonian, temperature, 80, reflections=reflections)[..., 2]
    assert (z.mean(), np.square(z).mean()) == pytest.approx((first, second), abs=0.006)


@pytest.mark.parametrize("dmi", [0.0, 0.3])
def test_the_specific_heat_tends_to_one_at_low_temperature(dmi):
    """Two quadratic degrees of freedom per spin; energies in units of k_B T."""
    hamiltonian = Hamiltonian(dmi=dmi)
    m = anneal((32, 32), hamiltonian, Schedule(sweeps=300), seed=2)
    lowest, temperatures = energy(m, hamiltonian), (0.005, 0.01)
    lattice, means = Lattice(m, hamiltonian, 3), []
    for temperature in temperatures:
        lattice.sweep(np.full(100, temperature), 3)
        found = []
        for _ in range(200):
            lattice.sweep([temperature], 3)
            found.append(energy(lattice.m, hamiltonian))
        means.append(np.mean(found))
    assert (means[1] - means[0]) / 0.005 == pytest.approx(1, abs=0.05)
    assert (means[0] - lowest) / 0.005 == pytest.approx(1, abs=0.05)


def test_reflections_keep_the_energy_and_move_the_spins():
    hamiltonian, start = Hamiltonian(), random_spins((32, 32), np.random.default_rng(0))
    plain, reflected = (Lattice(start, hamiltonian, 1) for _ in range(2))
    plain.sweep([0.5])
    reflected.sweep([0.5], 4)
    assert energy(reflected.m, hamiltonian) == pytest.approx(energy(plain.m, hamiltonian), abs=1e-5)
    assert np.abs(reflected.m - plain.m).mean() > 0.3


@pytest.mark.parametrize("kind", ["interfacial", "bulk"])
@pytest.mark.parametrize(("field", "anisotropy"), [(0.0, 0.0), (0.05, 0.1)])
def test_an_update_uses_the_effective_field(kind, field, anisotropy):
    """A full alignment of the second sublattice leaves no torque on it."""
    hamiltonian = Hamiltonian(0.3, kind, field, anisotropy)
    m = random_spins((16, 20), np.random.default_rng(0))
    lattice = Lattice(m, hamiltonian, 0)
    lattice.align(1, relaxation=1.0)
    field = effective_field(lattice.m, hamiltonian)
    if anisotropy:  # the aligned spins changed their own part of the field
        field[..., 2] += 2 * anisotropy * (m - lattice.m)[..., 2]
    y, x = np.indices(m.shape[:2])
    second = (x + y) % 2 == 1
    assert torque(lattice.m[second], field[second]) < 1e-5
    assert torque(lattice.m[~second], field[~second]) > 0.1


def test_an_annealed_lattice_is_stationary_and_close_to_the_ground_state():
    """The ground state of the interfacial lattice is the helix along a diagonal."""
    hamiltonian = Hamiltonian()
    m = anneal((48, 48), hamiltonian, Schedule(sweeps=400, alignments=600), seed=1)
    np.testing.assert_allclose(np.linalg.norm(m, axis=-1), 1, atol=1e-6)
    assert torque(m, effective_field(m, hamiltonian)) < 0.01
    ground = -2 * np.hypot(1, 0.3 / np.sqrt(2))
    assert ground <= energy(m, hamiltonian) < ground + 0.006


def test_slow_annealing_finds_lower_energies():
    hamiltonian = Hamiltonian()
    fast, slow = (
        np.mean([energy(anneal((32, 32), hamiltonian, Schedule(sweeps=n), seed=k), hamiltonian)
                 for k in range(4)])
        for n in (10, 400)
    )  # fmt: skip
    assert slow < fast - 0.001


def test_a_seed_gives_the_same_bytes_on_any_number_of_threads():
    def make(seed: int) -> bytes:
        schedule = Schedule(sweeps=30, alignments=30)
        return anneal((32, 48), Hamiltonian(anisotropy=0.1), schedule, seed=(9, seed)).tobytes()

    alone = [make(seed) for seed in range(6)]
    assert len(set(alone)) == 6
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(6))) == alone


def test_an_odd_side_is_refused():
    with pytest.raises(SpinscopeError, match="15×16 sites; the checkerboard needs even numbers"):
        anneal((15, 16), Hamiltonian(), Schedule(), seed=0)


def test_spins_without_a_field_are_refused():
    with pytest.raises(SpinscopeError, match="exchange, DMI and field are 0"):
        anneal((16, 16), Hamiltonian(**FREE, anisotropy=1.0), Schedule(), seed=0)
