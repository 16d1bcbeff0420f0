"""The registry: versions are complete and unchanged when they are read."""

from __future__ import annotations

import json
from importlib import metadata

import mlflow
import numpy as np
import pandas as pd
import pytest
from tests.tracking.conftest import (
    Threshold,
    frames,
    mask_of,
    report,
    small_network,
    threshold,
    threshold_folder,
)

from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.families.moke_unet import FAMILY
from spinscope.files import sha256_folder
from spinscope.inference.predict import Predictor
from spinscope.models.store import load_model
from spinscope.tracking import (
    compare,
    parent_run,
    register,
    resolve,
    seed_run,
    version,
    versions,
)
from spinscope.tracking.registry import (
    current,
    intact,
    names,
    predictions,
    same_version,
    stored_predictions,
    version_folder,
)
from spinscope.tracking.runs import log_datasets, log_report


class Retrained(Threshold):
    """A model whose folder another training writes while it is registered."""

    def __init__(self, folder):
        self.folder = folder

    def predictor(self, folder, params=None, *, streams=1):
        (self.folder / "model.keras").write_text("0.25")
        return super().predictor(folder, params, streams=streams)


def test_a_version_is_of_one_network_although_its_folder_changes(store, registered, tmp_path):
    v = registered(level=0.5, family=Retrained(tmp_path / "model-0"))
    assert intact(store, v) is None
    image, output = stored_predictions(store, v)[0]
    assert (output == (image < 0.5)).all()
    with pytest.raises(SpinscopeError, match="model-1 is not the scored one"):
        registered(tags_added={"network.sha256": "0" * 64})
    assert len(versions(store)) == 1


def test_a_version_has_its_measured_numbers_as_tags(store, registered, tags):
    v = registered((0.90, 0.92, 0.94), report={"predicted": 93})
    assert (v.ref, v.card) == ("models:/moke-unet/1", "# A threshold\n")
    assert v.number("mcc.mean") == pytest.approx(0.92)
    assert v.number("mcc.sd") == pytest.approx(0.02)
    assert v.number("mcc") == 0.90
    assert v.number("count_error") == pytest.approx(0.07)
    assert v.number("frame_ms") == 40
    assert v.tags["seeds"] == "1,2,3"
    assert v.tags["data.validated"] == "true"
    assert tags.items() <= v.tags.items()
    assert v.number("no such tag") is None


def test_the_model_folder_comes_back_byte_for_byte(store, registered, tmp_path):
    v = registered(level=0.25)
    folder = resolve(store, v.ref)
    assert sha256_folder(folder) == sha256_folder(tmp_path / "model-0")
    stored = stored_predictions(store, v)
    for (image, mask), frame in zip(stored, frames(), strict=True):
        assert (image == frame).all()
        assert (mask == (frame < 0.25)).all()


def test_a_version_contains_no_pickle(store, registered):
    v = registered()
    packed = version_folder(store, v).parents[1]
    kept = [path.name for path in packed.rglob("*") if path.is_file()]
    assert "served.py" in kept
    assert not [name for name in kept if name.endswith((".pkl", ".pickle"))]
    flavour = mlflow.models.Model.load(str(packed))
    assert flavour.flavors["python_function"]["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert flavour.signature.inputs.input_names() == ["image"]
    assert {"mask", "objects", "model"} <= set(flavour.signature.outputs.input_names())
    assert list(flavour.load_input_example(str(packed))) == ["image"]


def test_a_version_brings_its_code_and_names_packages_of_an_index(store, registered):
    packed = version_folder(store, registered()).parents[1]
    requirements = (packed / "requirements.txt").read_text().split()
    named = dict(line.split("==") for line in requirements)
    assert named == {name: metadata.version(name) for name in named}
    assert named.keys() >= {"keras", "mlflow", "numpy", "openvino"}
    assert "spinscope" not in named
    code = packed / "code/spinscope"
    assert (code / "tracking/serving.py").is_file()
    assert {path.suffix for path in code.rglob("*.*")} <= {".py", ".html", ".yaml"}


def test_mlflow_compares_logged_models_by_parameters_and_metrics(
    store, registered, params, tags, moke_folder
):
    dataset = open_dataset(moke_folder)
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        log_datasets(run, {"validation": dataset}, tags["data.hash"])
        log_report(run, report(0.9))
    v = registered((0.9, 0.92), run=run)
    (output,) = store.client.get_run(run.run_id).outputs.model_outputs
    model = store.client.get_logged_model(output.model_id)
    (link,) = json.loads(model.tags["mlflow.modelVersions"])
    assert (link["name"], int(link["version"])) == (v.name, v.version)
    assert (model.source_run_id, model.model_type) == (run.run_id, "moke-unet")
    assert model.params == store.client.get_run(run.run_id).data.params
    assert (model.params["training.epochs"], model.params["seed"]) == ("2", "1")
    measured = {metric.key: metric for metric in model.metrics}
    assert measured["validation.mcc"].value == 0.9
    assert measured["validation.objects.true"].value == 100
    assert measured["validation.mcc"].dataset_name == "moke validation"
    # The run's own numbers are those of the model, logged once.
    for key in ("validation.mcc", "validation.frame_ms"):
        assert len(store.client.get_metric_history(run.run_id, key)) == 1
    found = store.client.search_logged_models(
        [store.experiment_id], "metrics.`validation.mcc` > 0.85 AND params.`model.width` = '4'"
    )
    assert [one.model_id for one in found] == [model.model_id]


@pytest.fixture
def network(tmp_path):
    """Folder of a small, untrained network of three classes."""
    return small_network(tmp_path / "network")


def test_mlflow_gives_the_mask_that_the_predictor_gives(store, registered, network):
    v = register(
        store,
        FAMILY,
        registered().run_id,
        network,
        "moke-unet",
        seed=1,
        reports={1: report(0.9)},
        lineage={},
        validated=True,
        examples=frames(),
    )
    image = frames()[1]
    served = mlflow.pyfunc.load_model(str(version_folder(store, v).parents[1]))
    (answer,) = served.predict(pd.DataFrame({"image": [image]}))
    mask = mask_of(answer)
    assert (mask.dtype, mask.shape) == (np.uint8, image.shape)
    # What is served may be computed in bf16.
    assert np.mean(mask == Predictor.load(network).classes(image)) > 0.98
    keras_model = mlflow.keras.load_model(str(version_folder(store, v).parents[1]))
    expected, _ = load_model(network)
    batch = image[None, :32, :32, None]
    assert (np.asarray(keras_model(batch)) == np.asarray(expected(batch))).all()
    assert (stored_predictions(store, v)[1][1] == Predictor.load(network).classes(image)).all()
    assert (predictions(FAMILY, resolve(store, v.ref), [image])[0] == mask).mean() > 0.98


def test_references_that_need_no_registry_open_none(network, params):
    closed = params.tracking.model_copy(update={"uri": "http://127.0.0.1:9"})
    assert resolve(closed, str(network)) == network


@pytest.mark.parametrize(
    ("model_ref", "says"),
    [
        ("models:/moke-unet/9", r"'moke-unet' has no version 9; there are: 1, 2"),
        ("models:/moke-unet@best", r"'moke-unet' has no alias 'best'; aliases are: none"),
        ("models:/other@lab", r"'other' is not registered; registered are: moke-unet"),
        ("models:/moke-unet", r"must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/moke' or name = '/1", r"model name .* must be letters, digits"),
        ("bundled:nothing", r"'bundled:nothing' does not exist"),
    ],
)
def test_an_unknown_reference_is_refused_with_the_known_ones(store, registered, model_ref, says):
    registered()
    registered()
    with pytest.raises(SpinscopeError, match=says):
        resolve(store, model_ref)


def test_a_version_whose_files_are_gone_is_named(store, registered):
    v = registered()
    (version_folder(store, v)).rename(version_folder(store, v).with_name("elsewhere"))
    with pytest.raises(SpinscopeError, match=r"models:/moke-unet/1: .*model is missing"):
        resolve(store, v.ref)


def test_a_registration_that_dies_leaves_no_version(store, registered, tmp_path, monkeypatch):
    registered()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store.client, "log_model_artifacts", full)
        with pytest.raises(SpinscopeError, match="No space left on device"):
            registered()
    assert version(store, "moke-unet").version == 1
    assert registered().version == 2


def test_the_registered_seed_must_have_a_report_and_frames(store, registered):
    with pytest.raises(SpinscopeError, match=r"reports hold seeds \[1, 2, 3\]; seed 7 must be one"):
        registered(seed=7)
    with pytest.raises(SpinscopeError, match="at least one frame"):
        registered(examples=[])


def test_the_tables_of_versions(store, registered):
    a = registered((0.90, 0.92))
    b = registered((0.94, 0.96), validated=False)
    table = versions(store).set_index("version")
    assert table.index.tolist() == [2, 1]
    assert table.loc[2, "mcc"] == pytest.approx(0.95)
    assert table["validated"].to_dict() == {2: False, 1: True}
    assert versions(store, "moke-unet").equals(versions(store))
    changes = compare(a, b).set_index("key")["change"]
    assert changes["mcc.mean"] == pytest.approx(0.04)
    assert "git.commit" not in changes
    assert current(store, "moke-unet") is None


def test_an_empty_registry_has_an_empty_table(store):
    assert versions(store).empty


def test_two_stand_ins_differ(tmp_path):
    """The stand-in of these tests depends on its file, or the tests above could not fail."""
    folders = [threshold_folder(tmp_path / str(level), level) for level in (0.2, 0.8)]
    masks = [threshold(folder, frames(1))[0].mean() for folder in folders]
    assert masks == pytest.approx([0.2, 0.8], abs=0.05)


def test_names_without_a_version_hide_no_other(store, registered):
    """Other programs create such names, and an interrupted registration leaves one."""
    registered()
    for name in ("empty", "Kerr model of another program"):
        store.client.create_registered_model(name)
    store.client.create_model_version("Kerr model of another program", "/nowhere")
    assert names(store) == ["moke-unet"]
    assert versions(store)["name"].tolist() == ["moke-unet"]
    assert same_version(store, "empty", {}) is None
    with pytest.raises(SpinscopeError, match=r"'empty' is not registered.*: moke-unet"):
        version(store, "empty")
