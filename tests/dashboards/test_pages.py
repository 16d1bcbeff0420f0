"""Every page, run as Streamlit runs it."""

from __future__ import annotations

import ast
import importlib
import shutil
import sys

import numpy as np
import pytest
from tests.dashboards.conftest import DASHBOARDS, PAGES, REASON, open_page, settle, text

from spinscope import families, jobs
from spinscope.classes import SKYRMION
from spinscope.config import load_params, project_root
from spinscope.datasets import open_dataset
from spinscope.datasets.describe import QUANTITIES
from spinscope.evaluation.metrics import confusion, scores
from spinscope.families import Metric
from spinscope.images import to_scheme
from spinscope.inference.predict import Predictor
from spinscope.tracking import open_store, resolve, version
from spinscope.tracking.registry import tag

CHECKOUT = project_root()


def _metrics(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize(("name", "title"), PAGES.items())
def test_a_page_opens_without_an_error(opened, name, title):
    app = opened(name)
    assert not app.exception
    assert not app.error, text(app)
    assert app.title[0].value == title


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("predictions.py", "spinscope corpus kerr"),
        ("review.py", "spinscope corpus kerr"),
        ("compare.py", "spinscope corpus kerr"),
        ("sizes.py", "spinscope corpus kerr"),
        ("seeds.py", "spinscope train FAMILY"),
        ("registry.py", "spinscope train FAMILY"),
        ("drift.py", "spinscope flow run nightly"),
        ("likeness.py", "spinscope corpus kerr"),
        ("estimate.py", "spinscope train parameter-cnn"),
        ("probes.py", "spinscope study probes"),
    ],
)
def test_an_empty_project_names_the_command_to_run(opened_empty, tmp_path, name, command):
    app = opened_empty(name)
    assert not app.exception
    assert not app.error
    assert command in app.info[0].value
    assert not (tmp_path / "mlruns").exists()  # looking creates nothing


def test_a_frame_is_shown_while_the_model_is_loaded(opened, monkeypatch):
    app = opened("predictions.py")
    components = sys.modules["components"]  # as the page sees them, whatever ran before
    models = components.models

    def interrupted(*_, **__):
        raise components.layout.SpinscopeError("the model is being loaded")

    monkeypatch.setattr(models, "segment", interrupted)
    monkeypatch.setattr(models, "ready", lambda: False)
    app.run()
    assert not app.exception
    assert "is being loaded" in app.error[0].value
    assert len(app.get("image")) == 2


def test_the_imports_of_the_first_page_exist(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(DASHBOARDS))
    start = importlib.import_module("start")
    start.import_needed()
    assert set(start.NEEDED) <= sys.modules.keys()
    assert "cannot be imported" not in capsys.readouterr().err


def test_a_frame_and_its_scores(opened, project):
    _, params = project
    app = opened("predictions.py")
    assert len(app.get("image")) == 2
    frames = open_dataset(params.data.path).select(batches=params.data.validation_batches)
    predictor = Predictor.load(resolve(params.tracking, "models:/moke-unet@lab"))
    shown = app.selectbox("frame").options.index(app.selectbox("frame").value)
    found, record = predictor.classes(frames.image(shown)), frames.records[shown]
    mcc = scores(confusion(to_scheme(frames.label(shown), 3), found, 3))["mcc"]
    assert _metrics(app)["MCC"] == f"{mcc:.3f}"
    assert f"Frame {record.name}, source {record.source}" in text(app)


@pytest.mark.parametrize("file", PAGES)
def test_a_page_has_no_bare_string(file):
    """Streamlit would print it above the title."""
    later = ast.parse((DASHBOARDS / file).read_text()).body[1:]
    alone = [line for line in later if isinstance(line, ast.Expr)
             and isinstance(line.value, ast.Constant)]  # fmt: skip
    assert not alone


def test_stepping_through_frames_wraps_around(opened):
    app = opened("predictions.py")
    names = app.selectbox("frame").options
    app.selectbox("frame").set_value(names[0]).run()
    app.button("next").click().run()
    assert app.selectbox("frame").value == names[1]
    app.button("previous").click().run()
    app.button("previous").click().run()
    assert app.selectbox("frame").value == names[-1]


def test_the_first_frame_is_the_one_with_the_most_skyrmions(opened, project):
    app = opened("predictions.py")
    _, splits = jobs.split(project[1])
    frames = splits.validation
    areas = [(frames.label(k) == SKYRMION).mean() for k in range(len(frames))]
    shown = app.selectbox("frame").options.index(app.selectbox("frame").value)
    assert areas[shown] == max(areas) > min(areas)


def test_an_alias_moved_around_the_gates_is_shown(opened, project):
    client = open_store(project[1].tracking).client
    lab = client.get_registered_model("moke-unet").aliases["lab"]
    other = str(3 - int(lab))
    client.set_registered_model_alias("moke-unet", "lab", other)
    try:
        app = opened("registry.py")
        assert not app.exception
        tables = [table.value.astype(str).to_csv() for table in app.dataframe]
        assert any("moved outside the gates" in table for table in tables)
    finally:
        client.set_registered_model_alias("moke-unet", "lab", lab)


def test_displays_of_a_frame(opened):
    app = opened("predictions.py")
    app.segmented_control("display").set_value("Side by side").run()
    assert len(app.get("image")) == 3
    app.segmented_control("display").set_value("Differences").run()
    assert len(app.get("image")) == 2
    app.select_slider("zoom").set_value(4).run()
    app.slider("x").set_value(100).run()
    assert not app.exception
    assert not app.error


def test_augmentation_and_another_model_and_a_frame_of_the_training(opened):
    app = opened("predictions.py")
    app.selectbox("views").set_value(8).run()
    app.selectbox("model").set_value("models:/moke-unet/2").run()
    assert "model models:/moke-unet/2" in text(app)
    assert not app.warning
    app.multiselect("batches").set_value([0]).run()
    assert "train on this frame" in app.warning[0].value


def test_a_folder_that_is_typed_in(opened, project):
    root, _ = project
    app = opened("predictions.py")
    app.selectbox("data").set_value("another folder …").run()
    assert "Type the path" in app.info[0].value
    app.text_input("data path").set_value(str(root / "build/corpus/kerr")).run()
    assert not app.error
    assert "one of 6" in app.selectbox("frame").label
    app.text_input("data path").set_value(str(root / "nowhere")).run()
    assert "does not exist or is not a folder" in app.error[0].value
    assert not app.exception


def test_choices_hold_on_the_next_page(opened):
    app = opened("app.py")
    app.selectbox("model").set_value("models:/moke-unet/1").run()
    app.switch_page("sizes.py").run()
    assert app.title[0].value == "Sizes"
    assert app.selectbox("model").value == "models:/moke-unet/1"


def test_sizes_of_a_model_against_itself_are_equal(opened):
    app = opened("sizes.py")
    table = app.dataframe[0].value
    assert table.index.tolist() == ["label", "A: models:/moke-unet@lab"]
    app.selectbox("model b").set_value("models:/moke-unet/1").run()
    assert not app.exception
    a, b = app.dataframe[0].value.iloc[1:].to_numpy(dtype=float)
    np.testing.assert_allclose(a, b)
    assert "Wasserstein distance 0.00 px" in text(app)
    assert len(app.dataframe[1].value) == 4


def test_sizes_in_micrometres(opened):
    app = opened("sizes.py")
    px = app.dataframe[0].value.loc["label", "mean diameter, px"]
    app.number_input("pixel size").set_value(0.25).run()
    assert app.dataframe[0].value.loc["label", "mean diameter, µm"] == pytest.approx(px / 4)


def test_seeds_with_mean_and_spread(opened, project):
    app = opened("seeds.py")
    table = app.dataframe[0].value
    mean, sd = table["MCC"].mean(), table["MCC"].std(ddof=1)
    assert _metrics(app)["MCC"] == f"{mean:.3f} ± {sd:.3f}"
    assert len(table) == 2
    assert len(app.get("vega_lite_chart")) == 3


def test_the_registry_shows_who_when_and_why(opened):
    app = opened("registry.py")
    assert _metrics(app)["In the lab"] == "version 1"
    history = app.dataframe[-1].value
    assert history["action"].tolist() == ["rollback", "promote", "promote"]
    assert history["who"].tolist() == ["Emmy", "Ada", "Ada"]
    assert history["reason"].tolist() == ["counts drift", REASON, "the first model"]
    gates = next(d.value for d in app.dataframe if "gate" in d.value)
    assert "validated data" in gates["gate"].tolist()
    difference = next(d.value for d in app.dataframe if "key" in d.value)
    changed = difference.set_index("key")["change"]
    assert changed["mcc.mean"] == pytest.approx(0.01, abs=1e-6)


def test_the_registry_shows_whether_a_training_was_reproduced(opened, project):
    app = opened("registry.py")
    assert "The training has not been repeated yet" in text(app)
    store = open_store(project[1].tracking)
    newest = version(store, "moke-unet")
    why = {"reproduced": "not comparable", "reproduced.why": "the data have changed"}
    tag(store, newest, {**why, "reproduced.when": "2026-11-28T12:00:00+00:00"})
    app = opened("registry.py")
    assert app.warning[0].value == "not comparable on 2026-11-28: the data have changed"
    assert app.dataframe[0].value["reproduced"].tolist()[0] == "not comparable"


@pytest.mark.parametrize("page", ["registry.py", "seeds.py"])
def test_the_metric_is_that_of_the_family(opened, monkeypatch, page):
    metric = Metric("jaccard", "Jaccard index")
    monkeypatch.setattr(type(families.get("moke-unet")), "metric", metric)
    app = opened(page)
    assert not app.exception
    assert not app.error, text(app)
    table = app.dataframe[0].value
    assert "MCC" not in table
    assert table["Jaccard index"].between(0, 1).all()


def test_drift_over_the_nights(opened):
    app = opened("drift.py")
    assert _metrics(app) == {
        "Last night": "2026-11-03", "New recordings": "2", "Out of range": "1", "Not valid": "1",
    }  # fmt: skip
    assert app.warning[0].value == "out of range: blur"
    assert app.selectbox(key="night").options == ["2026-11-03", "2026-11-02", "2026-11-01"]
    recordings, failures = (frame.value for frame in app.dataframe)
    assert recordings["conditions"][0] == "out of range: blur"
    assert failures["rule"][0] == "image not constant"
    app.selectbox(key="measure").set_value("scale").run()  # measured on no recording
    assert not app.exception


def test_simulated_against_real(opened):
    app = opened("likeness.py")
    table = app.dataframe[0].value
    assert QUANTITIES["objects"] in table["quantity"].tolist()
    assert len(app.get("image")) == 8
    app.slider("label opacity").set_value(50).run()
    assert not app.exception
    assert not app.error


def test_a_simulated_dataset_is_compared_with_the_shipped_frames(tmp_path, monkeypatch, project):
    root, _ = project
    settle(tmp_path, load_params("laptop", [f"data.path={tmp_path}/data/moke"]), monkeypatch)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/corpus").symlink_to(root / "build/corpus")
    shutil.copytree(CHECKOUT / "docs/results", tmp_path / "docs/results")
    app = open_page("likeness.py")
    assert not app.exception
    assert not app.error, text(app)
    assert "109 frames" in text(app)
    table = app.dataframe[0].value
    assert table["published Kerr frames: mean"].notna().all()
    assert table["within, %"].between(0, 100).any()
    assert len(app.get("vega_lite_chart")) == 3
    assert len(app.get("image")) == 4


def test_a_broken_registry_is_one_sentence(tmp_path, monkeypatch, project):
    _, params = project
    (tmp_path / "mlflow.db").write_text("not a database, though long enough to look at")
    overrides = [f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", f"data.path={params.data.path}"]
    settle(tmp_path, load_params("laptop", overrides), monkeypatch)
    for name in PAGES.keys() - {
        "drift.py",
        "intake.py",
        "likeness.py",
        "results.py",
        "lorentz.py",
        "probes.py",
    }:  # they open without a registry
        app = open_page(name)
        assert not app.exception
        assert "is not a readable MLflow database" in app.error[0].value


def test_a_version_is_promoted_on_the_page_with_its_gates(opened, monkeypatch):
    import spinscope.jobs
    from spinscope.families import Gate
    from spinscope.tracking import Promotion

    asked = []

    def promote(params, name, version, reason, *, override_gates=None):
        asked.append((name, version, reason, override_gates))
        return Promotion(name, "promote", 1, version, "Ada", "2026-11-28", reason)

    failed = Gate("mean MCC", "at least the limit", 0.4, 0.5, False, 0.3, 0.45)
    monkeypatch.setattr(spinscope.jobs, "check_gates", lambda *_: (failed,))
    monkeypatch.setattr(spinscope.jobs, "promote", promote)
    app = opened("registry.py")
    ref = "models:/moke-unet/2"
    app.button(f"check {ref}").click().run()
    assert not app.exception
    assert "Failed: mean MCC" in text(app)
    app.text_input(f"reason {ref}").set_value("new devices").run()
    assert app.button(f"promote {ref}").disabled
    app.text_input(f"override {ref}").set_value("agreed with Emmy").run()
    app.button(f"promote {ref}").click().run()
    assert asked == [("moke-unet", 2, "new devices", "agreed with Emmy")]
    assert "is version 2" in app.success[0].value
