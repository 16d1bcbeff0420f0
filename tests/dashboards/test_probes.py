"""The page of the probes, from small reports."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.dashboards.conftest import open_page, settle, text

from spinscope.config import load_params, project_root

CHECKOUT = project_root()
NAMES = ("two classes", "three classes")


def of(*values) -> dict:
    return dict(zip(NAMES, values, strict=True))


PROBES = {
    "models": [{"name": name} for name in NAMES],
    "settings": {"frames": 2, "height": 64, "width": 96},
    "data": {"n_images": 4},
    "published": {"grey": 88},
    "grey": of([1.0] * 90 + [0.0] * 166, [0.0] * 256),
    "patch": of([1.0] * 256, [0.0] * 256),
    "inverted": of(
        {"mcc": 0.8, "mcc_inverted": -0.25, "n_images": 4},
        {"mcc": 0.9, "mcc_inverted": 0.89, "n_images": 4},
    ),
    "speckles": {
        "empty": [{"x": x, "film": of(x, 0), "defects": of(1, 0)} for x in (0.1, 0.2)],
        "real": [{"x": x, "speckles": of(x, 0), "made_up": of(1, 0)} for x in (0.0, 0.2)],
    },
    "limits": {
        curve: [{"x": x, "mcc": of(0.6, 0.3), "sd": of(0.1, 0.1)} for x in (0.1, 0.2)]
        for curve in ("snr", "contrast", "gradient")
    },
    "limit_at": {"snr": of(1.2, None), "contrast": of(0.1, None), "gradient": of(None, None)},
    "enough": 0.8,
}
TTA = {
    "kind": "tta",
    "data": {"n_images": 4},
    "rows": [{"model": "models:/moke-unet/1", "views": views, "mcc": 0.9, "objects_true": 200,
              "objects_predicted": 190, "frame_ms": 8.0} for views in (1, 3, 8)],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of the reports of a project."""
    settle(tmp_path, load_params("laptop"), monkeypatch)
    made = tmp_path / "build/study/moke"
    made.mkdir(parents=True)
    return made


def test_a_missing_report_names_the_command_to_run(folder):
    app = open_page("probes.py")
    assert not app.exception
    assert "spinscope study probes" in app.info[0].value


def test_shipped_results_are_shown_where_no_model_was_probed(folder, tmp_path):
    shutil.copytree(CHECKOUT / "docs/results", tmp_path / "docs/results")
    app = open_page("probes.py")
    assert not app.exception
    assert not app.error, text(app)
    assert "These results come with the code" in app.info[0].value
    assert len(app.get("vega_lite_chart")) == 7
    inverted, views, limits = (frame.value for frame in app.dataframe)
    assert len(inverted) == len(limits) == 2
    assert set(views["views"]) == {1, 3, 8}
    seen = views.set_index("model")["seen in training"]
    assert set(seen["bundled:moke-unet"]) == {"15 of 15"}  # trained on all published frames
    assert set(seen["bundled:moke-unet-simulated"]) == {"0 of 15"}
    (folder / "probes.json").write_text(json.dumps(PROBES))  # models of the project come first
    app = open_page("probes.py")
    assert not app.info
    assert app.dataframe[0].value["model"].tolist() == list(NAMES)


def test_curves_and_tables(folder, load):
    (folder / "probes.json").write_text(json.dumps(PROBES))
    app = open_page("probes.py")
    assert not app.exception
    assert not app.error, text(app)
    assert len(app.get("vega_lite_chart")) == 7
    inverted, limits = (frame.value for frame in app.dataframe)
    assert inverted["MCC, inverted"].tolist() == [-0.25, 0.89]
    assert limits["contrast"].iloc[0] == pytest.approx(25.5)
    assert limits["SNR"].isna().tolist() == [False, True]
    assert "spinscope flow run evaluate-tta" in text(app)
    (folder / "tta.json").write_text(json.dumps(TTA))
    app = open_page("probes.py")
    views = app.dataframe[1].value
    assert views["views"].tolist() == [1, 3, 8]
    assert views["excess, %"].tolist() == pytest.approx([-5.0] * 3)
    assert "200 labelled" in text(app)
    app.multiselect("probe models").set_value(["three classes"]).run()
    assert not app.exception
    assert app.dataframe[0].value["model"].tolist() == ["three classes"]
    app.multiselect("probe models").set_value([]).run()
    assert "Choose a model" in app.info[0].value
    # The colour of a model does not depend on the choice of models.
    helper = load("probe_report")
    shades = load("layout").colours(NAMES)
    chart = helper.grey_chart(PROBES, {"three classes": shades["three classes"]}, "patch").to_dict()
    scale = chart["layer"][0]["encoding"]["color"]["scale"]
    assert scale == {"domain": ["three classes"], "range": [shades["three classes"]]}


def test_without_labelled_frames(folder):
    speckles = {**PROBES["speckles"], "real": None}
    report = {**PROBES, "data": None, "inverted": None, "speckles": speckles}
    (folder / "probes.json").write_text(json.dumps(report))
    app = open_page("probes.py")
    assert not app.exception
    assert not app.error
    assert "There were no labelled frames" in text(app)


def test_a_damaged_report_is_named(folder):
    (folder / "probes.json").write_text('{"models": [')
    app = open_page("probes.py")
    assert "probes.json must be a report of" in app.error[0].value
    assert not app.exception
