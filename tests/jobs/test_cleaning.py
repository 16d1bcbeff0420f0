"""Jobs that clean recordings: recipes and stored drift are applied again, bad input is named."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.intake.conftest import raw

from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora.raw_kerr import write_raw_recording
from spinscope.errors import SpinscopeError
from spinscope.jobs.cleaning import read_drift
from spinscope.physics.raw_kerr import Camera
from spinscope.recordings import open_recording


@pytest.fixture(scope="module")
def series():
    return raw(8, (96, 128), drift=4)


@pytest.fixture
def folder(series, tmp_path, monkeypatch):
    """Folder with a raw recording, a reference, and one frame of another size."""
    (tmp_path / "raw").mkdir()
    tifffile.imwrite(tmp_path / "raw/film.tif", series.frames, photometric="minisblack")
    flat = raw(4, (96, 128), kerr=0, drift=0)
    tifffile.imwrite(tmp_path / "raw/flat.tif", flat.frames, photometric="minisblack")
    tifffile.imwrite(tmp_path / "raw/small.tif", flat.frames[:, :80], photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_gives_the_same_bytes_again(folder):
    params = load_params(None, ["intake.stripes=rows", "intake.hot_sd=7"])
    film = folder / "raw/film.tif"
    (row,) = jobs.clean_recordings(params, [film], folder / "one", str(folder / "raw/flat.tif"))
    assert (row["frames"], row["shape_px"], row["lost"]) == (8, [96, 128], [])
    settings, reference, path = jobs.applied_recipe(folder / "one/film.intake.json")
    assert (settings.stripes, settings.hot_sd, path) == ("rows", 7, film)
    assert settings.span == row["span"]
    again = params.model_copy(update={"intake": settings})
    jobs.clean_recordings(again, [path], folder / "two", reference)
    jobs.clean_recordings(again, [path], folder / "three", reference)
    tables = [(folder / name / "film.csv").read_bytes() for name in ("one", "two", "three")]
    assert tables[0] == tables[1] == tables[2]
    stacks = [tifffile.imread(folder / name / "film.tif") for name in ("one", "two")]
    assert np.array_equal(*stacks)
    files = [(folder / name / "film.tif").read_bytes() for name in ("two", "three")]
    assert files[0] == files[1]


def test_a_simulated_camera_series_gives_back_its_drift_and_loop(tmp_path):
    film = tmp_path / "raw/loop.tif"
    truth = write_raw_recording("loop", film, n=24, shape=(192, 256), camera=Camera(lamp=0))
    (row,) = jobs.clean_recordings(load_params(), [film], tmp_path / "clean", "first:4")
    table = pd.read_csv(tmp_path / "clean/loop.csv")
    for column in ("drift_y_px", "drift_x_px"):
        error = table[column] - np.array(truth[column])
        assert np.sqrt(np.mean(error**2)) < 0.05
    half = Camera().contrast / 2
    expected = (1 + half * np.array(truth["mean_m"])) / (1 + half * truth["mean_m"][0]) - 1
    slope, _ = np.polyfit(expected, table["intensity"], 1)
    assert slope == pytest.approx(1, abs=0.1)  # dust, which covers a few percent, has no contrast
    assert np.corrcoef(expected, table["intensity"])[0, 1] > 0.995
    assert row["hot_pixels"] == pytest.approx(1e-4 * 192 * 256, abs=6)
    opened = open_recording(tmp_path / "clean/loop.tif")
    assert opened.pixel_size == pytest.approx(0.5e-6)
    assert opened.applied["field_mt"] == pytest.approx(open_recording(film).applied["field_mt"])


def test_a_recipe_whose_reference_changed_is_refused(folder, series):
    flat = folder / "raw/flat.tif"
    jobs.clean_recordings(load_params(), [folder / "raw/film.tif"], folder / "out", str(flat))
    recipe = folder / "out/film.intake.json"
    tifffile.imwrite(flat, series.frames, photometric="minisblack")
    with pytest.raises(SpinscopeError, match=r"flat\.tif has changed since"):
        jobs.applied_recipe(recipe)
    assert jobs.applied_recipe(recipe, "mean")[1] == "mean"
    flat.unlink()
    with pytest.raises(SpinscopeError, match="does not exist; give --reference"):
        jobs.applied_recipe(recipe)


@pytest.mark.parametrize("text", ["", "[]", '{"settings": {}}', '{"settings": {"x": 1}}'])
def test_a_file_that_is_no_recipe_is_named(tmp_path, text):
    (tmp_path / "x.intake.json").write_text(text)
    with pytest.raises(SpinscopeError, match=r"x\.intake\.json is not a recipe"):
        jobs.applied_recipe(tmp_path / "x.intake.json")


def test_stored_drift_is_applied_and_checked(folder, series):
    film = folder / "raw/film.tif"
    jobs.clean_recordings(load_params(), [film], folder / "one")
    table = folder / "one/film.csv"
    (row,) = jobs.clean_recordings(load_params(), [film], folder / "two", drift=table)
    assert row["drift"]["kind"] == "stored"
    again = pd.read_csv(folder / "two/film.csv")
    assert np.allclose(again, pd.read_csv(table), atol=1e-5)
    lost = pd.read_csv(table)
    lost.loc[3, "drift_y_px"] = np.nan
    lost.to_csv(folder / "lost.csv", index=False)
    assert read_drift(folder / "lost.csv")[3, 0] == lost["drift_y_px"][2]
    (folder / "other.csv").write_text("frame,drift_y_px\n0,1\n")
    with pytest.raises(SpinscopeError, match="must have the columns drift_y_px, drift_x_px"):
        read_drift(folder / "other.csv")
    with pytest.raises(SpinscopeError, match="is not a readable table"):
        read_drift(folder / "missing.csv")


def test_an_early_end_is_named_and_the_others_are_cleaned(folder, series):
    frames = series.frames.copy()
    frames[5:] = np.roll(frames[5:], 50, axis=2)
    tifffile.imwrite(folder / "raw/gone.tif", frames, photometric="minisblack")
    paths = [folder / "raw/gone.tif", folder / "raw/film.tif"]
    rows = jobs.clean_recordings(load_params(None, ["intake.max_drift_px=20"]), paths, folder / "o")
    assert [row["frames"] for row in rows] == [5, 8]
    assert "frame 5 has drifted" in rows[0]["error"] and "error" not in rows[1]


def test_bad_input_is_named(folder):
    film, params = folder / "raw/film.tif", load_params()
    for paths, reference, text in (
        ([], "first", "at least one raw recording"),
        ([film, film], "first", "two recordings are named 'film'"),
        ([film], "nothing.tif", "must be an existing file, first, first:N, mean or none"),
        ([film], "first:0", "must be an existing file"),
        ([film], str(folder / "raw/small.tif"), "is 128x80 pixels, the recording 128x96"),
    ):
        with pytest.raises(SpinscopeError, match=text):
            jobs.clean_recordings(params, paths, folder / "out", reference)
    assert not list(folder.glob("out/film*"))


def test_the_recipe_holds_what_was_done(folder):
    jobs.clean_recordings(load_params(), [folder / "raw/film.tif"], folder / "out", "mean")
    recipe = json.loads((folder / "out/film.intake.json").read_text())
    assert recipe["reference"]["kind"] == "mean"
    assert set(load_params().intake.model_dump()) == set(recipe["settings"])
    assert recipe["mapping"].startswith("intensity = 0.5 + contrast / (2 * ")
