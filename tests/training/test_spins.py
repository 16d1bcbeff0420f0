"""Training examples of effective fields."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.physics.lattice import Hamiltonian, effective_field, mean_angle, random_spins
from spinscope.training.spins import example, moved, rotated_spins


@pytest.mark.parametrize("kind", ["interfacial", "bulk"])
def test_rotated_and_shifted_lattices_obey_the_same_hamiltonian(kind):
    hamiltonian = Hamiltonian(dmi_kind=kind, field=0.1, anisotropy=0.2)
    m = random_spins((16, 16), np.random.default_rng(0))
    for quarters in range(4):
        np.testing.assert_allclose(
            effective_field(rotated_spins(m, quarters), hamiltonian),
            rotated_spins(effective_field(m, hamiltonian), quarters),
            atol=1e-5,
        )
    np.testing.assert_array_equal(rotated_spins(rotated_spins(m, 1), 3), m)


def test_a_clean_example_is_a_moved_lattice_with_its_field():
    m = random_spins((16, 16), np.random.default_rng(0))
    spins, field = example(m, Hamiltonian(), np.random.default_rng(1), corrupt=False)
    np.testing.assert_array_equal(spins, moved(m, np.random.default_rng(1)))
    np.testing.assert_allclose(field, effective_field(spins, Hamiltonian()), atol=1e-6)


def test_corrupted_examples_keep_the_field_of_the_clean_lattice():
    m = random_spins((16, 16), np.random.default_rng(0))
    kinds = set()
    for seed in range(40):
        spins, field = example(m, Hamiltonian(), np.random.default_rng(seed), corrupt=True)
        clean = moved(m, np.random.default_rng(seed))
        np.testing.assert_allclose(field, effective_field(clean, Hamiltonian()), atol=1e-6)
        same = np.isclose(spins, clean, atol=1e-6).all(-1).mean()
        missing = (spins == 0).all(-1).mean()
        z_only = (spins[..., :2] == 0).all()
        kinds.add("z" if z_only else "square" if missing else "rows" if same > 0.5 else "noise")
        assert spins.dtype == np.float32
        if kinds == {"noise"}:
            assert mean_angle(spins, clean) < 90
    assert kinds == {"z", "square", "rows", "noise"}
