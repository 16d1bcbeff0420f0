"""Raw recordings: files that open with their calibration, equal by seed, and give the truth."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from spinscope.config import load_params
from spinscope.corpora.raw_kerr import KINDS, write_raw_recording
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.intake.pipeline import clean_recording
from spinscope.physics.raw_kerr import Camera
from spinscope.recordings import open_recording

SHAPE = (96, 128)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_opens_with_its_calibration_fields_and_truth(kind, tmp_path):
    path = tmp_path / f"{kind}.tif"
    truth = write_raw_recording(kind, path, n=25, seed=3, shape=SHAPE)
    with closing(open_recording(path)) as recording:
        assert (recording.n, recording.shape) == (25, SHAPE)
        assert recording.pixel_size == pytest.approx(0.5e-6)
        assert recording.interval == pytest.approx(truth["interval_s"])
        assert recording.scale == 4095
    table = pd.read_csv(path.with_suffix(".csv"))
    assert list(table.columns[:3]) == ["frame", "time_s", "field_mt"]
    assert ("in_plane_field_mt" in table) == (kind == "in-plane")
    assert len(table) == len(truth["drift_y_px"]) == len(truth["mean_m"]) == 25
    assert truth["mean_m"][:4] == [1.0] * 4
    assert min(truth["mean_m"]) < 0.98
    assert json.loads(path.with_suffix(".truth.json").read_text())["kind"] == kind


def test_equal_seeds_give_equal_files(tmp_path):
    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / name / "loop.tif"
        write_raw_recording("loop", path, n=12, seed=seed, shape=(64, 64))
        with closing(open_recording(path)) as recording:
            hashes.append(b"".join(recording.stored(k).tobytes() for k in range(12)))
        hashes.append(sha256(path.with_suffix(".csv")))
    assert hashes[:2] == hashes[2:4]
    assert hashes[0] != hashes[4]


def test_the_tracks_of_skyrmions_have_the_diffusion_of_the_truth_and_are_drawn():
    series = KINDS["skyrmions"](404, (128, 160), np.random.default_rng(7))
    tracks = pd.DataFrame(series.truth["tracks"])
    steps = tracks.groupby("particle")[["frame", "y_px", "x_px"]].diff().dropna()
    assert (steps["frame"] == 1).mean() > 0.95
    steps = steps.loc[steps["frame"] == 1, ["y_px", "x_px"]].to_numpy()
    measured = (steps**2).mean() / 2 * 0.5**2
    error = measured * np.sqrt(2 / steps.size)
    assert abs(measured - series.truth["diffusion_um2_per_s"]) < 4 * error < 0.02
    inside = tracks[tracks["y_px"].between(0, 127) & tracks["x_px"].between(0, 159)]
    rows, columns = (inside[name].round().astype(int) for name in ("y_px", "x_px"))
    assert (series.m[inside["frame"], rows, columns] == -1).all()


def test_a_clean_recording_recovers_drift_and_magnetisation(tmp_path):
    path = tmp_path / "loop.tif"
    truth = write_raw_recording(
        "loop", path, n=28, seed=5, shape=(128, 160), camera=Camera(lamp=0, bits=16)
    )
    with closing(open_recording(path)) as recording:
        settings = load_params(None, []).intake
        clean = clean_recording(recording, tmp_path / "clean", settings, "first")
    table = pd.read_csv(clean.path.with_suffix(".csv"))
    for axis in "yx":
        np.testing.assert_allclose(table[f"drift_{axis}_px"], truth[f"drift_{axis}_px"], atol=0.1)
    slope, _ = np.polyfit(truth["mean_m"], table["intensity"], 1)
    assert slope == pytest.approx(0.015, rel=0.1)
    assert np.corrcoef(truth["mean_m"], table["intensity"])[0, 1] > 0.98


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"kind": "spin"}, "must be one of loop, bubble, in-plane"),
        ({"out": "loop.png"}, "must end in .tif"),
        ({"n": 5}, r"n \(=5\) must be at least 12"),
        ({"kind": "in-plane", "n": 20}, r"n \(=20\) must be at least 25"),
        ({"shape": (32, 64)}, "must be at least 64 pixels"),
    ],
)
def test_bad_input_is_an_error_and_writes_nothing(keywords, says, tmp_path):
    given = {"kind": "loop", "out": "loop.tif"} | keywords
    with pytest.raises(SpinscopeError, match=says):
        write_raw_recording(given.pop("kind"), tmp_path / given.pop("out"), **given)
    assert not list(tmp_path.iterdir())
