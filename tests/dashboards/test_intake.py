"""The page of raw recordings: before and after, drift, and the clean recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.dashboards.conftest import open_page, settle, text
from tests.intake.conftest import raw

from spinscope.config import load_params
from spinscope.recordings import open_recording


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project with one raw recording."""
    settle(tmp_path, load_params("demo", [f"data.path={tmp_path}/moke"]), monkeypatch)
    (tmp_path / "build/raw").mkdir(parents=True)
    frames = raw(8, drift=4).frames
    tifffile.imwrite(tmp_path / "build/raw/loop.tif", frames, photometric="minisblack")
    return tmp_path


def numbers(app) -> dict[str, str]:
    assert not app.exception
    return {metric.label: metric.value for metric in app.metric}


def test_a_frame_before_and_after_and_the_drift(root):
    app = open_page("intake.py")
    found = numbers(app)
    drift = [float(word) for word in found["Drift, px"].split()[::2]]
    assert drift == pytest.approx(raw(8, drift=4).drift[3], abs=0.1)
    assert found["Hot pixels"] == "6"
    assert len(app.get("image")) == 2 and len(app.get("vega_lite_chart")) == 1
    assert "no change is mid-grey" in text(app)
    assert not (root / "build/clean").exists()  # looking writes nothing


def test_the_button_writes_the_clean_recording(root):
    app = open_page("intake.py")
    app.selectbox[1].set_value("mean")
    app.text_input[-2].set_value("pad=4,4,40,40").run()
    app.text_input[-1].set_value("field_mt=-7:7; temperature_k=295").run()
    app.button("clean").click().run()
    assert not app.exception and not app.error, text(app)
    assert open_recording(root / "build/clean/loop.tif").n == 8
    table = pd.read_csv(root / "build/clean/loop.csv")
    assert "intensity_pad" in table
    assert table["field_mt"].tolist() == [-7, -5, -3, -1, 1, 3, 5, 7]
    assert (table["temperature_k"] == 295).all()
    assert len(app.get("vega_lite_chart")) == 3
    assert "spinscope segment" in text(app)


def test_bad_input_is_one_sentence(root):
    app = open_page("intake.py")
    app.text_input[0].set_value("0,0,9,9000").run()
    assert "crop (=0,0,9,9000) must be y0,x0,y1,x1 inside frames" in text(app)
    app.text_input[0].set_value("").run()
    app.text_input[2].set_value("pad").run()
    assert "must be NAME=y0,x0,y1,x1" in text(app)
    frames = np.random.default_rng(0).normal(0, 9, (3, 64, 64)).astype(np.float32)
    tifffile.imwrite(root / "difference.tif", frames, photometric="minisblack")
    app = open_page("intake.py")
    app.selectbox("raw recording").set_value("another file or folder …").run()
    assert "Type the path of a raw recording" in text(app)
    app.text_input("raw recording path").set_value(str(root / "difference.tif")).run()
    assert "already a difference image" in text(app)
    assert not app.exception
