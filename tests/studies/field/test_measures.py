"""What a field makes of lattices: recovered truth, closed forms, and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.physics.annealing import Schedule, anneal
from spinscope.physics.lattice import Hamiltonian, effective_field, mean_angle, torque
from spinscope.studies.field import measures
from spinscope.studies.field.measures import Field, Tests, TrueField

HAMILTONIAN = Hamiltonian()
TRUE = Field(TrueField(HAMILTONIAN), mix=1.0)


@pytest.fixture(scope="module")
def tests() -> Tests:
    schedule = Schedule(sweeps=100, alignments=300)
    lattices = [anneal((64, 64), HAMILTONIAN, schedule, seed=(9, k)) for k in range(2)]
    return Tests(lattices, HAMILTONIAN, seed=1)


def knowing(tests: Tests, number: int) -> Field:
    """Field of one annealed lattice, whatever the spins."""
    field = effective_field(tests.lattices[number], HAMILTONIAN)
    return Field(lambda m: field)


def helix(kind: str, period: int = 16, size: int = 64) -> np.ndarray:
    """Helix along x of lower energy: Néel for an interfacial DMI, Bloch for a bulk one."""
    angle = 2 * np.pi * np.arange(size) / period
    zero = np.zeros(size)
    in_plane = (np.sin(angle), zero) if kind == "interfacial" else (zero, np.sin(angle))
    m = np.stack([*in_plane, np.cos(angle)], -1)
    both = [np.broadcast_to(m * sign, (size, size, 3)).astype(np.float32)
            for sign in ((1, 1, 1), (-1, -1, 1))]  # fmt: skip
    return min(both, key=lambda one: Tests([one], Hamiltonian(dmi_kind=kind)).energy(one))


def test_a_field_that_knows_the_lattice_removes_every_noise(tests):
    one = Tests(tests.lattices[:1], HAMILTONIAN, tests.seed)
    rows = measures.denoise(knowing(tests, 0), one)
    assert [row["alpha"] for row in rows] == [0.5, 1.0, 1.5, 2.0, 2.5]
    # The angle between S and S + αR, R uniform on the sphere: 45° at α = 1 by symmetry.
    assert rows[1]["before"]["mean"] == pytest.approx(45, abs=0.6)
    aligned = np.degrees(
        np.arcsin(torque(one.lattices[0], TRUE.call(one.lattices[0])))
    )  # the largest angle between spin and field that the annealing left
    for row in rows:
        assert row["after"]["mean"] <= aligned
        assert row["before"]["mean"] > 20
        assert len(row["angles"]) == measures.DENOISING + 1


def test_a_gaussian_filter_is_the_baseline_of_noise_removal(tests):
    rows = measures.smooth(tests)
    before = measures.denoise(TRUE, tests)
    for ours, row in zip(before, rows, strict=True):
        assert row["after"]["mean"] < ours["before"]["mean"] / 2
    assert rows[-1]["width"] > rows[0]["width"]  # more noise needs a wider filter


def test_only_the_defect_is_changed_and_measured(tests):
    broken, mask = tests.broken(0, "square")
    assert mask.sum() == measures.SIDE**2
    assert not broken[mask].any()
    rows = measures.repair(knowing(tests, 0), Tests(tests.lattices[:1], HAMILTONIAN, tests.seed))
    assert [row["kind"] for row in rows] == ["rows", "square"]
    assert rows[0]["before"]["mean"] == pytest.approx(90, abs=5)  # random spins
    assert rows[1]["before"] is None
    for row in rows:
        assert row["after"]["mean"] < 1
    broken, mask = tests.broken(1, "rows")
    m, _, _ = TRUE.follow(broken, 5, known=~mask)
    np.testing.assert_array_equal(m[~mask], tests.lattices[1][~mask])


@pytest.mark.parametrize("kind", ["interfacial", "bulk"])
def test_the_gradient_gives_the_components_of_a_helix(kind):
    m = helix(kind)
    found = measures.along_gradient(m[..., 2], Hamiltonian(dmi_kind=kind))
    assert mean_angle(m, found) < 1e-3


def test_all_components_follow_from_m_z(tests):
    found, base = measures.complete(TRUE, tests), measures.complete_by_gradient(tests)
    assert found["angle"]["mean"] < base["angle"]["mean"] < 15
    assert found["angle"]["n"] == 2
    assert found["charge_right"] == 1
    other = Field(TrueField(Hamiltonian(dmi=-0.3)), mix=1.0)
    assert measures.complete(other, tests)["angle"]["mean"] > 30


def test_greedy_steps_lower_the_energy_of_random_spins(tests, monkeypatch):
    monkeypatch.setattr(measures, "STARTS", 2)
    found = measures.generate(TRUE, tests)
    assert len(found["energy"]) == measures.ITERATIONS + 1
    assert found["energy"][0] == pytest.approx(0, abs=0.05)
    assert np.all(np.diff(found["energy"]) < 0)
    assert found["last"]["mean"] == pytest.approx(found["energy"][-1])
    assert found["seconds"] > 0


def test_slow_annealing_ends_lower(tests, monkeypatch):
    monkeypatch.setattr(measures, "STARTS", 3)
    monkeypatch.setattr(measures, "MONTE_CARLO", (300, 5))
    slow, fast = measures.anneal(tests)
    assert (slow["sweeps"], fast["sweeps"]) == (300, 5)
    assert -2.05 < slow["energy"]["mean"] < fast["energy"]["mean"]
    assert slow["seconds"] > fast["seconds"]


def test_a_strong_field_saturates_and_a_weak_one_magnetises(tests, monkeypatch):
    monkeypatch.setattr(measures, "FIELDS", (0.05, 1.0))
    monkeypatch.setattr(measures, "AGITATED", 600)
    monkeypatch.setattr(measures, "MONTE_CARLO", (100,))
    weak, strong = measures.respond(TRUE, tests)
    carlo = measures.respond_by_monte_carlo(tests)
    for state in (strong["greedy"], strong["thermal"], carlo[1]):
        assert state["mz"] == pytest.approx(1, abs=0.02)
        assert state["charge"] == 0
        assert state["energy"] == pytest.approx(-3, abs=0.02)
    for state in (weak["greedy"], weak["thermal"], carlo[0]):
        assert 0.1 < state["mz"] < 0.9
