"""The public functions: a numpy stack in, masks and tables with units out."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.conftest import discs
from tests.live.conftest import dark

import spinscope
from spinscope import jobs
from spinscope.api import Segmentation
from spinscope.config import bundled_models, load_params
from spinscope.errors import SpinscopeError
from spinscope.files import sha256, write_json
from spinscope.inference.predict import Ensemble
from spinscope.models.store import NETWORK
from spinscope.recordings import open_recording

PIXEL = 2e-7


@pytest.fixture
def frames() -> np.ndarray:
    """(4, 96, 96) float32: discs that move by a pixel per frame."""
    image, label = discs(np.random.default_rng(4), size=112, n=24)
    image[label == 2] = 0.6
    return np.stack([image[k : k + 96, 8:104] for k in range(4)]).astype(np.float32)


@pytest.fixture
def result(frames):
    return spinscope.segment(frames, dark(), pixel_size=PIXEL, interval=0.5)


def test_the_import_is_instant_and_names_are_found():
    code = (
        "import sys, spinscope; heavy = {'numpy', 'pandas', 'tensorflow', 'openvino', 'pydantic'}; "
        "heavy &= set(sys.modules); assert not heavy, heavy; "
        "assert set(spinscope.__all__) <= set(dir(spinscope)); spinscope.segment"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'segmen'"):
        _ = spinscope.segmen


def test_a_numpy_stack_gives_masks_and_tables(frames, result):
    model = dark()
    assert result.masks.shape == frames.shape
    assert result.masks.dtype == np.uint8
    for mask, image in zip(result.masks, frames, strict=True):
        np.testing.assert_array_equal(mask, model.classes(image))
    assert isinstance(result.objects, pd.DataFrame)
    assert list(result.frames["objects"]) == list(result.objects.groupby("frame").size())
    np.testing.assert_allclose(result.objects["diameter_nm"], 200 * result.objects["diameter_px"])
    assert result.classes == ("background", "skyrmion", "defect")


def test_tables_bear_units_and_errors(result):
    tables = spinscope.measure(result, memory=1)
    figures = tables["figures"]
    assert figures.loc["step_px", "value"] == pytest.approx(np.sqrt(0.5), rel=0.2)
    assert figures.loc["nearest_nm_mean", "value"] == pytest.approx(
        200 * figures.loc["nearest_px_mean", "value"]
    )
    assert figures.loc["psi6_mean", "sd_frames"] >= 0
    assert {"lattice", "order", "tracks", "lifetimes", "msd"} <= set(tables)
    np.testing.assert_allclose(tables["msd"]["lag_s"], 0.5 * tables["msd"]["lag_frames"])
    coarser = spinscope.measure(result, pixel_size=2 * PIXEL)["figures"]
    np.testing.assert_allclose(
        coarser.loc["nearest_nm_mean", "value"], 2 * figures.loc["nearest_nm_mean", "value"]
    )
    with pytest.raises(SpinscopeError, match=r"measure\.search_rang"):
        spinscope.measure(result, search_rang=3)


def test_every_format_is_exported(result, tmp_path):
    rois = spinscope.export(result, "roi", tmp_path)
    with zipfile.ZipFile(rois) as file:
        assert len(file.namelist()) >= len(result.objects)
    classes = spinscope.export(result, "classes", tmp_path)
    np.testing.assert_array_equal(tifffile.imread(classes), result.masks)
    assert len(list(spinscope.export(result, "png", tmp_path).iterdir())) == 4
    for kind in ("gif", "all"):  # a call writes one format, and returns its file
        with pytest.raises(SpinscopeError, match=f"export '{kind}' must be one of"):
            spinscope.export(result, kind, tmp_path)


def test_the_lab_model_segments_a_file(frames, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.round(frames[:2] * 65535).astype(np.uint16), photometric="minisblack")
    recording = spinscope.open_recording(path, pixel_size=PIXEL)
    model = spinscope.load_model("bundled:moke-unet")
    result = spinscope.segment(recording, model)
    assert result.name == "stack"
    assert len(result.frames) == 2
    image = spinscope.open_recording(frames).read(0)
    assert model.probabilities(image).shape == (*image.shape, 3)
    both = spinscope.load_model(["bundled:moke-unet", "bundled:moke-unet-simulated"])
    assert "diameter_px_sd_views" in spinscope.segment(path, both).objects
    assert spinscope.load_model("bundled:ltem-unet", axis_deg=30.0).geometry is not None


def test_a_results_folder_is_measured_and_exported(frames, tmp_path):
    from spinscope.live.pipeline import segment_recording

    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.round(frames * 65535).astype(np.uint16), photometric="minisblack")
    recording = open_recording(path, pixel_size=PIXEL)
    results = segment_recording(recording, dark(), tmp_path / "out", settings={"min_px": 4})
    assert spinscope.measure(results.folder)["lattice"]["frame"].nunique() == 4
    path.unlink()
    assert spinscope.export(tmp_path / "out", "csv", tmp_path / "csv").is_file()
    with pytest.raises(SpinscopeError, match="missing"):
        spinscope.export(tmp_path / "out", "png", tmp_path / "png")


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        (np.zeros(5, np.uint8), "must be (n, H, W)"),
        (np.zeros((2, 16, 16), complex), "must be real numbers"),
        (np.zeros((2, 4, 16), np.uint8), "a side must be"),
    ],
)
def test_an_array_that_is_no_recording_is_refused(array, rule):
    with pytest.raises(SpinscopeError) as error:
        spinscope.open_recording(array)
    assert rule in str(error.value)
    with pytest.raises(SpinscopeError, match="NaN or infinite"):
        spinscope.segment(np.full((32, 32), np.nan), dark())


def test_scale_and_polarity_are_found_as_by_the_command_line(tmp_path):
    """A bright bubble, larger than any object of the training frames."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256] - 128
    image = 0.5 + 0.15 * (np.hypot(y, x) < 70) + rng.normal(0, 0.05, y.shape)
    path = tmp_path / "bubble.tif"
    tifffile.imwrite(path, np.round(65535 * image).astype(np.uint16), photometric="minisblack")
    result = spinscope.segment(path)
    assert result.conditions["scale"] < 1
    assert result.conditions["polarity"] == "bright"
    assert len(result.objects) == 1
    assert result.objects["diameter_px"][0] == pytest.approx(140, rel=0.03)
    jobs.segment(load_params(), [path], ["bundled:moke-unet"], tmp_path / "masks")
    stored = Segmentation.open(tmp_path / "masks" / "bubble")
    np.testing.assert_array_equal(result.masks, stored.masks)
    assert stored.conditions == result.conditions


def test_a_model_keeps_its_own_scale_and_settings_count_more(frames):
    given = dark().with_geometry(scale=0.5)
    same = spinscope.segment(frames, given)
    assert same.conditions["scale"] == 0.5
    named = spinscope.segment(frames, dark(), scale=0.5)
    np.testing.assert_array_equal(same.masks, named.masks)
    assert spinscope.segment(frames, given, scale=1.0).conditions["scale"] == 1.0
    bright = spinscope.segment(1 - frames, dark(), scale=1.0, polarity="bright")
    assert bright.conditions["polarity"] == "bright"
    np.testing.assert_array_equal(bright.masks, spinscope.segment(frames, dark(), scale=1.0).masks)


def test_wrong_settings_are_refused(frames, tmp_path):
    with pytest.raises(SpinscopeError, match=r"'settle_s' must be one of tta, min_px"):
        spinscope.segment(frames, dark(), settle_s=1.0)
    with pytest.raises(SpinscopeError, match=r"segment\.polarity.*'white'"):
        spinscope.segment(frames, dark(), polarity="white")
    level = tmp_path / "level.json"
    level.write_text('{"level": 0.4, "models": ["0"]}')
    with pytest.raises(SpinscopeError, match="give the reference of the model"):
        spinscope.segment(frames, dark(), level=str(level))


def test_a_setting_of_the_call_replaces_that_of_the_model(frames):
    given = dark().with_geometry(scale=0.5)
    assert "scale" not in spinscope.segment(frames, given, scale=None).conditions
    found = spinscope.segment(frames, given, scale="auto", polarity="dark")
    same = spinscope.segment(frames, dark(), scale="auto", polarity="dark")
    np.testing.assert_array_equal(found.masks, same.masks)
    leveled = spinscope.segment(frames, dark().with_level(0.9))
    assert leveled.conditions["level"] == 0.9
    assert spinscope.segment(frames, dark().with_level(0.9), level=0.3).conditions["level"] == 0.3


def test_bright_skyrmions_are_found_by_several_models(frames):
    several = Ensemble.of([dark(), dark(-1.1)])
    dark_ones = spinscope.segment(frames, several, scale=0.5, polarity="dark", probability=True)
    bright = Ensemble.of([dark().under(0.5, True), dark(-1.1).under(0.5, True)])
    assert bright.inverted
    found = spinscope.segment(1 - frames, bright, probability=True)
    assert found.conditions == {"scale": 0.5, "polarity": "bright"}
    assert np.mean(found.masks == dark_ones.masks) > 0.999
    np.testing.assert_allclose(found.probability, dark_ones.probability, atol=1e-3)


def test_a_file_of_a_level_belongs_to_a_reference(frames, tmp_path):
    model = "bundled:moke-unet-simulated"
    checksum = sha256(bundled_models() / "moke-unet-simulated" / NETWORK)
    level = tmp_path / "level.json"
    write_json(level, {"level": 0.4, "models": [checksum]})
    found = spinscope.segment(frames, model, level=level, scale=None, polarity="dark")
    given = spinscope.segment(frames, model, level=0.4, scale=None, polarity="dark")
    assert found.conditions == given.conditions == {"level": 0.4}
    np.testing.assert_array_equal(found.masks, given.masks)
    write_json(level, {"level": 0.4, "models": ["0"]})
    with pytest.raises(SpinscopeError, match="was fitted for another model"):
        spinscope.segment(frames, model, level=level)
