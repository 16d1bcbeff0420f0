"""Networks of the effective field."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.models.backend import keras
from spinscope.models.field_networks import (
    EnergyError,
    field_network,
    fit_field,
    local_network,
    log_error,
    published_network,
)
from spinscope.models.linear_field import (
    ARCHITECTURES,
    FIELD,
    linear_field,
    linear_weights,
    size_multiple,
)
from spinscope.physics.lattice import Hamiltonian, effective_field, noisy, random_spins, unit

H = Hamiltonian(dmi=0.3, dmi_kind="bulk", field=0.07, anisotropy=0.2)


def helix(side: int = 32) -> np.ndarray:
    """A helix along x of two periods."""
    angle = 4 * np.pi * np.arange(side) / side
    m = np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=-1)
    return np.broadcast_to(m, (side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_shift_of_the_lattice_shifts_the_field(architecture):
    network, step = field_network(architecture, seed=1), size_multiple(architecture)
    m = random_spins((48, 64), np.random.default_rng(0))[None]
    shifted = np.roll(m, (step, -step), axis=(1, 2))
    expected = np.roll(np.asarray(network(m)), (step, -step), axis=(1, 2))
    np.testing.assert_allclose(np.asarray(network(shifted)), expected, atol=1e-5)


def test_the_published_network_is_as_described():
    layers = published_network().layers
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [8, 16, 32, 64, 32, 16, 8, 3, 3]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    pools = [layer for layer in layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [(pool.pool_size, pool.strides) for pool in pools] == [((3, 3), (2, 2))] * 4


def test_the_linear_part_is_the_hamiltonian():
    """Least squares finds the exact field of lattices that it has not seen."""
    network, rng = local_network(seed=2), np.random.default_rng(0)
    spins = random_spins((64, 32), rng).reshape(2, 32, 32, 3)
    fit_field(network, spins, effective_field(spins, H))
    other = random_spins((32, 32), rng)
    wrapped = np.pad(other, [(1, 1), (1, 1), (0, 0)], mode="wrap")
    for found in (
        np.asarray(network.get_layer(FIELD)(wrapped[None]))[0],
        linear_field(linear_weights(network), other),
    ):
        np.testing.assert_allclose(found, effective_field(other, H), atol=1e-5)
    assert linear_weights(published_network()) is None


def test_the_field_of_aligned_spins_is_exact_and_that_of_noise_is_corrected():
    network, rng = local_network(seed=2), np.random.default_rng(0)
    bulk = Hamiltonian(dmi_kind="bulk")
    spins = random_spins((64, 32), rng).reshape(2, 32, 32, 3)
    fit_field(network, spins, effective_field(spins, bulk))
    m = helix()
    aligned = unit(effective_field(m, bulk))  # one step of alignment; the helix is an extremum
    np.testing.assert_allclose(aligned, m, atol=1e-5)
    np.testing.assert_allclose(np.asarray(network(m[None]))[0], effective_field(m, bulk), atol=1e-5)
    for corrupted in (noisy(m, 1.5, rng), m * np.array([0, 0, 1], np.float32)):
        difference = np.asarray(network(corrupted[None]))[0] - effective_field(corrupted, bulk)
        assert np.abs(difference).max() > 1e-2  # the untrained correction acts


def test_the_energy_error_is_that_of_the_field_along_the_spins():
    m = helix()
    field = effective_field(m, Hamiltonian(dmi_kind="bulk"))
    across = np.cross(m, [1.0, 0, 0]).astype(np.float32)  # costs no energy
    metric = EnergyError()
    metric.update_state(field[None], (1.01 * field + across)[None])
    metric.update_state(field[None], (0.97 * field)[None])
    assert float(metric.result()) == pytest.approx(0.02, abs=1e-5)


def test_the_loss_counts_relative_errors():
    field = np.ones((2, 8, 8, 3), np.float32)
    found = field + np.array([0.1, 0.01], np.float32)[:, None, None, None]
    loss = np.asarray(log_error(field, found))
    assert loss[0] - loss[1] == pytest.approx(np.log(100), rel=1e-2)
