"""The page of a results folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.conftest import discs
from tests.dashboards.conftest import open_page, settle, text
from tests.live.conftest import dark

from spinscope.api import Segmentation
from spinscope.config import load_params
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import Results, open_results
from spinscope.recordings import open_recording
from spinscope.reviews.folder import Reviews

MODELS = [{"ref": "bundled:moke-unet", "sha256": "ab" * 32}]


@pytest.fixture
def segmented(tmp_path, monkeypatch) -> Results:
    """A project with the results of six frames, `masks/film`."""
    settle(tmp_path, load_params("laptop"), monkeypatch)
    rng = np.random.default_rng(3)
    image, _ = discs(rng, size=72, n=7)
    moving = [np.roll(image, step, axis=1) for step in range(6)]
    frames = np.round(255 * np.stack(moving)).astype(np.uint8)
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", metadata={"axes": "TYX"})
    settings = {"models": MODELS, "min_px": 4, "tta": 1}
    recording = open_recording(path, pixel_size=2e-7)
    return segment_recording(
        recording, dark(), tmp_path / "masks/film", settings=settings, min_px=4
    )


def press(app, label: str):
    return next(button for button in app.button if button.label == label).click().run()


def metrics(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_a_project_without_results_names_the_command(tmp_path, monkeypatch):
    settle(tmp_path, load_params("laptop"), monkeypatch)
    app = open_page("results.py")
    assert not app.exception
    assert "spinscope segment FILE" in app.info[0].value


def test_frames_objects_and_sizes(segmented):
    app = open_page("results.py")
    assert not app.exception
    assert not app.error, text(app)
    assert app.selectbox("results").value == "masks/film"
    objects = segmented.objects
    first = objects[objects["frame"] == 0]
    assert metrics(app)["Per frame"].startswith(f"{len(objects) / 6:.1f} ± ")
    assert len(app.dataframe[0].value) == len(first)
    assert "diameter_nm" not in app.dataframe[0].value
    app.segmented_control("unit").set_value("nm").run()
    assert "diameter_px" not in app.dataframe[0].value
    sd = objects["diameter_nm_sd_boundary"].mean()
    assert metrics(app)["Boundary, nm"] == f"± {sd:.2f}"
    assert metrics(app)["Diameter, nm"].startswith(f"{objects['diameter_nm'].mean():.2f}")
    assert len(app.get("vega_lite_chart")) == 3
    assert len(app.get("image")) == 1


def test_warnings_are_shown(segmented):
    path = segmented.folder / "summary.json"
    warning = "the masks are doubtful"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": [warning]}))
    assert [one.value for one in open_page("results.py").warning] == [warning]
    assert Segmentation.open(segmented.folder).warnings == (warning,)


def test_what_is_left_out_is_shown(segmented):
    part = {"kind": "information bar", "reason": "grey level 0", "y0": 40, "x0": 0, "y1": 64}
    path = segmented.folder / "summary.json"
    path.write_text(json.dumps({**segmented.summary, "left_out": [{**part, "x1": 72}]}))
    app = open_page("results.py")
    assert not app.exception
    assert "Left out: information bar, rows 40 to 63, columns 0 to 71 (grey level 0)" in text(app)


def test_lattice_and_tracks_are_measured_and_drawn(segmented):
    app = press(open_page("results.py"), "Measure lattice and tracks")
    assert not app.exception
    assert not app.error, text(app)
    assert (segmented.folder / "tracks.csv").is_file()
    quantities = next(d.value for d in app.dataframe if "quantity" in d.value)
    assert any(name.startswith("nearest_px") for name in quantities["quantity"])
    assert len(app.get("vega_lite_chart")) == 6
    assert "tracks." in text(app)


def test_reviewed_masks_are_measured_and_exported(segmented, tmp_path, load):
    app = open_page("results.py")
    assert "has been reviewed yet" in text(app)
    recording = segmented.recording()
    folder = load("desk").reviews_folder(recording.name, recording.fingerprint)
    Reviews.open(folder).add(
        "0002",
        recording.read(2) / np.float32(255),
        np.zeros((72, 72), np.uint8),
        status="corrected",
        who="Ada",
        model="bundled:moke-unet",
        model_sha256="ab" * 32,
        before=segmented.mask(2),
    )
    app.run()
    assert "1 corrected" in text(app)
    app = press(app, "Measure with the reviewed masks")
    assert not app.exception
    assert not app.error, text(app)
    assert app.selectbox("results").value == "masks/film-reviewed"
    assert "These masks hold the reviews of 1 frames" in text(app)
    new = open_results(tmp_path / "masks/film-reviewed")
    assert not (new.objects["frame"] == 2).any()
    app = press(app, "Export")
    assert not app.error, text(app)
    assert list(new.folder.glob("*.csv"))
    assert "masks/film-reviewed/film" in text(app)


def test_a_recording_that_moved_leaves_its_masks(segmented, tmp_path):
    (tmp_path / "film.tif").unlink()
    app = open_page("results.py")
    assert not app.exception
    assert len(app.get("image")) == 1
    assert "The recording cannot be read, only its masks" in text(app)


@pytest.mark.parametrize("name", ["nowhere", "masks"])
def test_a_folder_without_results_is_one_sentence(segmented, name):
    app = open_page("results.py")
    app.selectbox("results").set_value("another folder …").run()
    assert "Type the path" in app.info[0].value
    app.text_input("results path").set_value(name).run()
    assert not app.exception
    assert "must be a folder of `segment`" in app.error[0].value
    assert Path(name).name in app.error[0].value
