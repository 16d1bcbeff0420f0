"""Packages of bioimage.io, checked by the format's own validator and by ONNX Runtime."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import yaml
from tests.conftest import tracking_at

from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.extras import MissingExtra
from spinscope.inference.predict import Predictor
from spinscope.jobs.packaging import package
from spinscope.models.store import resolve_local

pytest.importorskip("tf2onnx")
spec = pytest.importorskip("bioimageio.spec")


@pytest.fixture(scope="module", params=["moke-unet", "ltem-unet"])
def packed(request, tmp_path_factory):
    """Name of a bundled model and the folder of its unpacked package."""
    folder = tmp_path_factory.mktemp("zoo")
    answer = package(tracking_at(folder), f"bundled:{request.param}", folder / "a.zip")
    assert answer["agreement"] > 0.999
    with zipfile.ZipFile(answer["file"]) as archive:
        archive.extractall(folder / "a")
    return request.param, folder


def test_the_validator_accepts_the_package(packed):
    name, folder = packed
    found = spec.load_description(folder / "a.zip")
    assert found.validation_summary.status == "valid-format"
    assert found.name == f"spinscope {name}"
    assert found.weights.keras_v3 is not None and found.weights.onnx is not None
    assert [axis.id for axis in found.inputs[0].axes] == ["batch", "y", "x", "channel"]
    assert "## Validation" in (folder / "a/README.md").read_text()
    assert "](../" not in (folder / "a/README.md").read_text()


def test_onnx_gives_the_mask_of_spinscope(packed):
    """The package's preprocessing and ONNX weights, carried out here, against the predictor."""
    import onnxruntime

    name, folder = packed
    described = yaml.safe_load((folder / "a/rdf.yaml").read_text())
    tensor = np.load(folder / "a/test_input.npy")
    assert [step["id"] for step in described["inputs"][0]["preprocessing"]] == [
        "zero_mean_unit_variance",
        "clip",
    ]
    given = (tensor - tensor.mean()) / (tensor.std() + 1e-6)
    session = onnxruntime.InferenceSession(str(folder / "a/weights.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: given.clip(-6, 6)})
    np.testing.assert_allclose(found, np.load(folder / "a/test_output.npy"), atol=1e-4)
    level = described["config"]["spinscope"].get("level")
    skyrmion = found[0].argmax(-1) == 1 if level is None else found[0, ..., 1] > level
    mask = Predictor.load(bundled_models() / name).classes(tensor[0, ..., 0])
    assert 0.05 < (mask == 1).mean() < 0.5
    assert (skyrmion == (mask == 1)).mean() >= 0.999


def test_a_package_is_no_model_folder(packed):
    _, folder = packed
    for path in (folder / "a.zip", folder / "a"):
        with pytest.raises(SpinscopeError, match="input axes batch, y, x, channel; spinscope"):
            resolve_local(str(path))
    (folder / "b").mkdir(exist_ok=True)
    (folder / "b/rdf.yaml").write_text("inputs: [{axes: bcyx}]")
    with pytest.raises(SpinscopeError, match="b, c, y, x; spinscope applies only model folders"):
        resolve_local(str(folder / "b"))


def test_a_network_without_masks_is_refused(tmp_path):
    with pytest.raises(SpinscopeError, match="family field-fcn, which makes no masks"):
        package(tracking_at(tmp_path), "bundled:field-fcn", tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'spinscope\[zoo\]'"):
        package(tracking_at(tmp_path), "bundled:moke-unet", tmp_path / "a.zip")
