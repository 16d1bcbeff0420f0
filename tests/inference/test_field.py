"""Effective fields of lattices of any size."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.inference.field import FieldPredictor, export
from spinscope.models.field_networks import field_network, fit_field, local_network
from spinscope.models.linear_field import ARCHITECTURES
from spinscope.models.store import save_model, write_sums
from spinscope.physics.lattice import Hamiltonian, effective_field, random_spins


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    """A model folder with random weights and its OpenVINO network."""
    network = field_network(request.param, seed=3)
    path = tmp_path_factory.mktemp("field") / request.param
    save_model(path, network, {"family": "field-fcn", "architecture": request.param}, "# A card\n")
    export(path, path)
    write_sums(path)
    return path


def test_both_engines_agree(folder):
    m = random_spins((48, 32), np.random.default_rng(0))
    fields = [FieldPredictor.load(folder, engine)(m) for engine in ("keras", "openvino")]
    assert fields[0].shape == m.shape
    np.testing.assert_allclose(fields[0], fields[1], atol=1e-4)


def test_both_engines_have_the_linear_part_of_the_local_network(folder):
    keras, openvino = (FieldPredictor.load(folder, engine) for engine in ("keras", "openvino"))
    if folder.name == "published":
        assert keras.linear is None and openvino.linear is None
    else:
        m = random_spins((16, 16), np.random.default_rng(0))
        np.testing.assert_array_equal(keras.linear(m), openvino.linear(m))


@pytest.mark.parametrize("shape", [(16, 16), (20, 33), (32, 50)])
def test_a_lattice_of_any_size_is_periodic(tmp_path, shape):
    network, rng = local_network(seed=0), np.random.default_rng(0)
    spins = random_spins((32, 32), rng)[None]
    fit_field(network, spins, effective_field(spins, Hamiltonian()))
    save_model(tmp_path / "m", network, {"architecture": "local"}, "# A card\n")
    predictor = FieldPredictor.load(tmp_path / "m", "keras")
    aligned = np.zeros((*shape, 3), np.float32)
    aligned[..., 2] = 1
    np.testing.assert_allclose(
        predictor(aligned), effective_field(aligned, Hamiltonian()), atol=1e-5
    )
    # A corner that is continued periodically sees the opposite corner.
    m = random_spins(shape, rng)
    changed = m.copy()
    changed[-1, -1] *= -1
    assert np.abs(predictor(changed)[0, 0] - predictor(m)[0, 0]).max() > 0
    assert predictor(m).shape == m.shape


def test_a_lattice_smaller_than_the_reach_is_refused(folder):
    with pytest.raises(SpinscopeError, match="15×16 sites; each side must have at least 16"):
        FieldPredictor.load(folder, "keras")(np.zeros((15, 16, 3), np.float32))


def test_a_missing_export_is_named(folder, tmp_path):
    save_model(tmp_path / "m", local_network(), {"architecture": "local"}, "# A card\n")
    with pytest.raises(SpinscopeError, match="engine 'openvino' needs OpenVINO and the file"):
        FieldPredictor.load(tmp_path / "m", "openvino")
