"""The page of Lorentz models: curves of the study, and one film live."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.dashboards.conftest import open_page, settle, text
from tests.studies.lorentz.films import made, stand_in, written

from spinscope.config import load_params, project_root
from spinscope.corpora.films import open_films
from spinscope.inference.geometry import Geometry
from spinscope.inference.predict import Predictor
from spinscope.models.store import INFO, write_sums
from spinscope.studies import models as study_models
from spinscope.studies import report as studies
from spinscope.studies.lorentz import STUDY
from spinscope.studies.lorentz import scores as lorentz
from spinscope.studies.models import Subject

CHECKOUT = project_root()
BUNDLED = CHECKOUT / "models/moke-unet"


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Path:
    """A project with films, the report of a study of two stand-ins, and a model folder."""
    root = tmp_path_factory.mktemp("lorentz")
    films = written(root / "build/corpus/films", made(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_LTEM", str(root / "none"))
        patch.setattr(studies, "png", partial(studies.png, dpi=20))
        patch.setattr(lorentz, "NOISE", (0.0, 0.1, 0.5, 1.0))
        patch.setattr(lorentz, "DEFOCUS_MM", (-1.0, -2.0))
        patch.setattr(lorentz, "TILT_DEG", (20.0, 30.0))
        patch.setattr(lorentz, "AXIS_DEG", (0, 90))
        patch.setattr(
            study_models, "subject", lambda _, name: Subject(name, name, name, stand_in(), 1)
        )
        params = load_params("laptop", family="ltem-unet")
        given = {"models": ["fixed", "ranges"], "films": films, "numbers": "2:4"}
        STUDY(params, root / "build/reports", **given)
    model = shutil.copytree(BUNDLED, root / "model")
    info = json.loads((model / INFO).read_text())
    (model / INFO).write_text(json.dumps({**info, "axis_deg": 0.0}))
    write_sums(model)
    return root


@pytest.fixture
def opened(studied, monkeypatch):
    """Open the page of that project."""
    settle(studied, load_params("laptop"), monkeypatch)
    # The settings of the family are those of the checkout.
    shutil.copy(CHECKOUT / "params.yaml", studied / "params.yaml")
    return open_page("lorentz.py")


def test_a_missing_report_names_the_command_to_run(tmp_path, monkeypatch):
    settle(tmp_path, load_params("laptop"), monkeypatch)
    shutil.copy(CHECKOUT / "params.yaml", tmp_path / "params.yaml")
    app = open_page("lorentz.py")
    assert not app.exception
    assert "spinscope study ltem" in app.info[0].value
    app.segmented_control("lorentz display").set_value("One film").run()
    assert not app.exception
    assert "spinscope corpus films" in app.info[0].value
    assert not (tmp_path / "mlruns").exists()


def test_shipped_results_are_shown_where_nothing_was_studied(tmp_path, monkeypatch):
    settle(tmp_path, load_params("laptop"), monkeypatch)
    shutil.copy(CHECKOUT / "params.yaml", tmp_path / "params.yaml")
    shutil.copytree(CHECKOUT / "docs/results", tmp_path / "docs/results")
    app = open_page("lorentz.py")
    assert not app.exception
    assert not app.error, text(app)
    assert "These results come with the code" in app.info[0].value
    assert "spinscope study ltem --model REF" in app.info[0].value
    assert len(app.get("vega_lite_chart")) == 5
    assert len(app.dataframe) == 2


def test_curves_sizes_and_findings(opened, studied):
    app = opened
    assert not app.exception
    assert not app.error, text(app)
    assert len(app.get("vega_lite_chart")) == 5
    report = json.loads((studied / "build/reports/ltem.json").read_text())
    sizes, findings = (frame.value for frame in app.dataframe)
    assert sizes[""].tolist() == ["true", "fixed", "ranges"]
    size = report["curves"]["fixed"]["noise"][0]["diameter"]
    assert sizes["mean, nm"].iloc[0] == pytest.approx(size["true"]["mean"])
    assert sizes["Wasserstein, nm"].iloc[1] == pytest.approx(size["wasserstein"])
    assert len(findings) == len(report["rows"])
    assert "2 films (number 2 to 3 of films)" in text(app)
    app.segmented_control("lorentz size noise").set_value("100").run()
    assert app.dataframe[0].value["skyrmions"].iloc[0] == size["true"]["n"]
    app.multiselect("lorentz models").set_value(["ranges"]).run()
    app.selectbox("lorentz score").set_value("jaccard").run()
    assert not app.exception
    assert app.dataframe[0].value[""].tolist() == ["true", "ranges"]
    app.multiselect("lorentz models").set_value([]).run()
    assert "Choose a model" in app.info[0].value


def test_one_film_live(opened, studied):
    loaded = Predictor.load(studied / "model", "auto")  # converted: the page uses the same engine
    app = opened
    app.segmented_control("lorentz display").set_value("One film").run()
    app.selectbox("lorentz model").set_value("another folder …").run()
    app.text_input("lorentz model path").set_value(str(studied / "model")).run()
    assert not app.exception
    assert not app.error, text(app)
    assert app.selectbox("lorentz film films").options[:3] == [
        "film-00002 · test", "film-00003 · test", "film-00000",
    ]  # fmt: skip
    assert len(app.get("image")) == 3
    shown = {metric.label: metric.value for metric in app.metric}

    settings = load_params("laptop", family="ltem-unet")
    films = open_films(studied / "build/corpus/films")  # rounded as on disk
    one = lorentz.specimens(films, [2], settings.ltem)[0]

    def score(point: lorentz.Point) -> str:
        image = lorentz.simulated_image(one, point, settings.ltem, settings.seed)
        turn = Geometry(point.axis_deg) if point.axis_known else None
        found = Predictor(loaded.engine, loaded.info, geometry=turn).classes(image)
        return f"{lorentz.image_scores(one.label, found)['accuracy']:.3f}"

    assert shown["Pixel accuracy"] == score(lorentz.Point())
    app.slider("lorentz noise").set_value(50)
    app.slider("lorentz axis").set_value(45).run()
    without_axis = app.metric[2].value
    assert without_axis == score(lorentz.Point(noise=0.5, axis_deg=45.0))
    app.toggle("lorentz known").set_value(True).run()
    with_axis = app.metric[2].value
    assert with_axis == score(lorentz.Point(noise=0.5, axis_deg=45.0, axis_known=True))
    assert with_axis != without_axis


def test_a_model_without_a_tilt_axis_is_not_given_one(opened):
    app = opened
    app.segmented_control("lorentz display").set_value("One film").run()
    app.selectbox("lorentz model").set_value("another folder …").run()
    app.text_input("lorentz model path").set_value(str(BUNDLED)).run()
    assert not app.error, text(app)
    assert [toggle.key for toggle in app.toggle] == ["lorentz clipped"]


def test_a_damaged_report_is_named(opened, studied):
    path = studied / "build/reports/ltem.json"
    before = path.read_text()
    try:
        path.write_text('{"rows": [')
        app = open_page("lorentz.py")
        assert "ltem.json must be a report of" in app.error[0].value
        assert not app.exception
    finally:
        path.write_text(before)


def test_means_of_the_chart_are_those_of_the_report(studied, load):
    study = load("lorentz_study")
    report = json.loads((studied / "build/reports/ltem.json").read_text())
    table = study.curve_table(report, ["fixed"], "axis", "f1")
    unchanged = table[table["style"] == "unchanged"]
    np.testing.assert_allclose(
        unchanged["y"], [s["f1"]["mean"] for s in report["curves"]["fixed"]["axis"]]
    )
    assert set(table["style"]) == {"unchanged", "axis given"}
    assert study.published(report, "jaccard")["y"].tolist() == [0.861, 0.874, 0.551]
