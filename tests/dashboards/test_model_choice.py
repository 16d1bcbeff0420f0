"""The model that a page opens with, and a model of another modality than the frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tests.conftest import discs
from tests.dashboards.conftest import DASHBOARDS, open_page, settle, text

from spinscope.config import Params, bundled_models, load_params
from spinscope.datasets import Record, write_moke
from spinscope.datasets.shards import write_corpus

MODELS = bundled_models().resolve()
USES_MODELS = ("predictions.py", "sizes.py", "compare.py", "review.py")
FOREIGN = "bundled:ltem-unet is a model of Lorentz images, and these frames are Kerr images"


@pytest.fixture
def params(tmp_path, monkeypatch) -> Params:
    """Settings of a project with four Kerr frames and no registered model."""
    rng = np.random.default_rng(7)
    frames = [(Record(f"f{k}", k, 2), *discs(rng, size=128, n=20)) for k in range(4)]
    write_moke(tmp_path / "data/moke", frames)
    params = load_params("demo", [f"data.path={tmp_path}/data/moke"])
    settle(tmp_path, params, monkeypatch)
    (tmp_path / "models").symlink_to(MODELS)
    return params


def _key(page: str) -> str:
    return "review model" if page == "review.py" else "model"


@pytest.mark.parametrize("page", USES_MODELS)
def test_kerr_frames_open_with_a_kerr_model(params, page):
    app = open_page(page)
    assert not app.exception
    assert not app.error, text(app)
    assert app.selectbox(_key(page)).value == "bundled:moke-unet"
    assert not app.warning
    assert app.query_params[_key(page).replace(" ", "-")] == "bundled:moke-unet"


def test_lorentz_images_open_with_a_lorentz_model(params, tmp_path):
    rng = np.random.default_rng(7)
    images = [discs(rng, size=64) for _ in range(2)]
    frames = (
        ({"name": f"l{k}", "source": k, "batch": 2}, np.uint8(255 * image), label % 2)
        for k, (image, label) in enumerate(images)
    )
    write_corpus(tmp_path / "build/corpus/ltem", frames, header={"kind": "ltem", "seed": 8})
    app = open_page("predictions.py")
    app.selectbox("data").set_value("ltem (simulated)").run()
    assert not app.error, text(app)
    assert app.selectbox("model").value == "bundled:ltem-unet"
    assert not app.warning
    app.selectbox("data").set_value("moke (experimental)").run()
    assert app.selectbox("model").value == "bundled:moke-unet"
    assert not app.warning


def test_the_address_holds_the_model(params):
    app = AppTest.from_file(str(DASHBOARDS / "predictions.py"), default_timeout=120)
    app.query_params["model"] = "bundled:moke-unet-simulated"
    app.run()
    assert not app.error, text(app)
    assert app.selectbox("model").value == "bundled:moke-unet-simulated"
    assert "model bundled:moke-unet-simulated" in text(app)


@pytest.mark.parametrize("page", ["predictions.py", "sizes.py", "compare.py"])
def test_a_model_of_another_modality_is_warned_about(params, page):
    app = open_page(page)
    app.selectbox("model").set_value("bundled:ltem-unet").run()
    assert not app.exception
    assert FOREIGN in app.warning[0].value
    if page == "compare.py":
        assert app.selectbox("model b").value == "bundled:ltem-unet-published"


def test_no_mask_of_another_modality_is_saved(params, load):
    app = open_page("review.py")
    app.text_input("reviewer").set_value("Ada").run()
    app.selectbox("review model").set_value("bundled:ltem-unet").run()
    assert FOREIGN in app.warning[0].value
    desk = app.session_state["desk"]["desk"]
    encoded = load("editor").encode_mask(desk.mask)
    action = {"action": "accept", "id": desk.identity, "mask": encoded}
    outcome = load("desk").act(desk, action, "Ada")
    assert outcome.bad
    assert "Nothing was saved" in outcome.text
    assert desk.reviews.frames() == []
    assert not load("desk").act(replace(desk, refusal=""), action, "Ada").bad
    # Whoever knows better says what the frames are.
    app.segmented_control(_imaging(app)).set_value("Lorentz").run()
    assert not app.warning
    assert app.session_state["desk"]["desk"].refusal == ""
    assert app.query_params["modality"] == "Lorentz"


def _imaging(app) -> str:
    return next(c.key for c in app.segmented_control if c.label == "Imaging")


def test_a_version_that_nobody_promoted_is_never_chosen_by_itself(params, load, monkeypatch):
    models, choose = load("models"), load("choose")
    newest = models.Listed("models:/moke-unet/2", "version 2 · MCC 0.99", "Kerr", False)
    in_lab = models.Listed("models:/moke-unet@lab", "@lab (version 1)", "Kerr", True)
    monkeypatch.setattr(models, "open_tracking", lambda _: type("Store", (), {"uri": ""})())
    monkeypatch.setattr(choose, "models", models)
    for registered, preset in (([newest], "bundled:moke-unet"), ([newest, in_lab], in_lab.ref)):
        monkeypatch.setattr(models, "_registered", lambda *_, known=registered: known)
        known = models.listed(params, "Kerr")
        assert newest in known
        assert choose._preset(params, known, None) == preset
    lorentz = models.listed(params, "Lorentz")
    assert choose._preset(params, lorentz, None) == "bundled:ltem-unet"


def test_a_file_is_uploaded_once(params, load, monkeypatch, tmp_path):
    recordings = load("recordings")
    file = type("File", (), {"name": "../up/f.png", "getvalue": lambda self: b"pixels"})()
    monkeypatch.setattr(recordings.st, "file_uploader", lambda *_, **__: file)
    path = recordings.upload("File of frames", ["png"])
    assert path.parent.parent == tmp_path / "build/uploads"
    assert (path.name, path.read_bytes()) == ("f.png", b"pixels")
    assert recordings.upload("File of frames", ["png"]) == path
    assert len(list(Path(tmp_path / "build/uploads").iterdir())) == 1


def test_frames_can_be_uploaded(params):
    app = open_page("review.py")
    app.selectbox("recording").set_value("upload a file …").run()
    assert not app.exception
    assert "Choose a file to upload" in app.info[0].value


def test_the_slider_shows_the_names_of_the_table_and_the_objects_are_counted(params):
    app = open_page("review.py")
    app.select_slider("position").set_value(2).run()
    desk = app.session_state["desk"]["desk"]
    assert desk.frame == "f2"
    assert app.select_slider("position").label == "Frame, 3 of 4"
    assert app.select_slider("position").options == ["f0", "f1", "f2", "f3"]
    n = len(load_objects(desk.mask == 1))
    assert f"{n} skyrmion" in text(app)


def load_objects(mask):
    from spinscope.analysis import label_objects

    return label_objects(mask)[1]
