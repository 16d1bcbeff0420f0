"""The accessor of DataArrays: named dimensions, coordinates and units in and out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray
from tests.conftest import discs
from tests.live.conftest import dark

import spinscope
import spinscope.xarray
from spinscope.errors import SpinscopeError

PIXEL = 2e-7
PAGE = Path(__file__).parents[1] / "docs/xarray.md"


def disc_frames(size: int = 96) -> np.ndarray:
    """(4, size, size) float32: discs that move by a pixel per frame."""
    image, label = discs(np.random.default_rng(4), size=size + 16, n=24)
    image[label == 2] = 0.6
    return np.stack([image[k : k + size, 8 : size + 8] for k in range(4)]).astype(np.float32)


def stack(path: Path) -> Path:
    """Write the frames as a 16-bit stack."""
    pixels = np.round(disc_frames() * 65535).astype(np.uint16)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


@pytest.fixture
def image() -> xarray.DataArray:
    return spinscope.xarray.open_recording(disc_frames(), pixel_size=PIXEL, interval=0.5)


def test_a_recording_has_named_dimensions_and_units(image):
    assert image.dims == ("time", "y", "x")
    np.testing.assert_allclose(image["x"][3], 0.6)
    assert [image[dim].attrs["units"] for dim in image.dims] == ["s", "µm", "µm"]
    assert image.spinscope.pixel_size == pytest.approx(PIXEL)
    assert image.spinscope.interval == pytest.approx(0.5)
    plain = spinscope.xarray.open_recording(disc_frames())
    assert plain.dims == ("frame", "y", "x")
    assert plain["y"].attrs["units"] == "px"
    assert plain.spinscope.pixel_size is plain.spinscope.interval is None


def test_the_mask_is_that_of_segment_and_the_coordinates_are_kept(image):
    image = image.rename("kerr").assign_coords(field_mt=("time", [1.0, 2.0, 3.0, 4.0]))
    found = image.spinscope.segment(dark(), probability=True)
    result = spinscope.segment(image.values, dark(), pixel_size=PIXEL, interval=0.5)
    np.testing.assert_array_equal(found["mask"], result.masks)
    xarray.testing.assert_identical(found["kerr"], image)
    for name in ("mask", "probability"):
        assert found[name].dims == image.dims
        assert set(image.coords) <= set(found[name].coords)
    np.testing.assert_array_equal(found["probability"] >= 0.5, found["mask"] == 1)
    names = found["mask"].attrs["flag_meanings"].split()
    assert names == ["background", "skyrmion", "defect"]
    np.testing.assert_array_equal(found["diameter_nm"], result.objects["diameter_nm"])
    units = {name: found[name].attrs.get("units") for name in ("area_um2", "area_px", "contrast")}
    assert units == {"area_um2": "µm²", "area_px": "px²", "contrast": None}
    np.testing.assert_array_equal(found["object_time"], 0.5 * found["frame_index"])


def test_a_section_gives_the_places_in_the_whole_image(image):
    flipped = image.isel(time=-1, y=slice(None, None, -1), x=slice(16, None))
    found = flipped.spinscope.segment(dark())
    assert found["mask"].dims == ("y", "x")
    assert float(found["mask"]["time"]) == 1.5
    whole = image.isel(time=-1).spinscope.segment(dark())
    assert found.sizes["object"] > 5
    for y, x, inside in zip(
        found["object_y"], found["object_x"], ~found["touches_border"], strict=True
    ):
        distance = np.hypot(whole["object_y"] - y, whole["object_x"] - x)
        assert not inside or distance.min() < 1e-9


def test_information_bars_have_no_probability():
    pixels = (1000 * disc_frames(128)[0]).astype(np.uint16) + 5000
    pixels[-20:] = 0
    image = xarray.DataArray(pixels, dims=("y", "x"))
    found = image.spinscope.segment(dark(-2), region="auto", probability=True)
    assert (found["mask"][-20:] == 3).all()
    assert found["probability"][-20:].isnull().all()
    assert not found["probability"][:-24].isnull().any()


def test_masks_are_measured_with_and_without_their_images(image):
    found = image.spinscope.segment(dark())
    tables = found["mask"].spinscope.measure(image, memory=1)
    expected = spinscope.segment(image.values, dark(), pixel_size=PIXEL, interval=0.5)
    np.testing.assert_allclose(tables["objects"]["contrast"], expected.objects["contrast"])
    frames = spinscope.measure(expected, memory=1)
    np.testing.assert_allclose(tables["order"]["psi6_mean"], frames["order"]["psi6_mean"])
    xarray.testing.assert_equal(tables["order"]["time"], image["time"])
    np.testing.assert_allclose(tables["msd"]["msd_um2"], frames["msd"]["msd_um2"])
    assert tables["msd"]["lag_s"].sel(lag_frames=2) == pytest.approx(1.0)
    step = tables["figures"]["value"].sel(figure="step_px")
    assert float(step) == pytest.approx(np.sqrt(0.5), rel=0.2)
    assert tables["lifetimes"].sizes["track"] == frames["lifetimes"].shape[0]

    alone = (found["mask"] == 1).spinscope.measure()
    assert not {"contrast", "intensity"} & set(alone["objects"])
    xarray.testing.assert_equal(
        alone["objects"]["diameter_um"].drop_attrs(), tables["objects"]["diameter_um"].drop_attrs()
    )


def test_one_image_is_measured(image):
    mask = image.isel(time=0).spinscope.segment(dark())["mask"]
    tables = mask.spinscope.measure()
    assert dict(tables["frames"].sizes) == {"frame": 1}
    assert "tracks" not in tables


def test_a_result_becomes_a_dataset(tmp_path):
    result = spinscope.segment(stack(tmp_path / "stack.tif"), dark(), pixel_size=PIXEL)
    dataset = spinscope.xarray.to_dataset(result)
    assert dataset["mask"].dims == ("frame", "y", "x")
    assert dataset.attrs["pixel_size_m"] == PIXEL
    np.testing.assert_array_equal(dataset["mask"], result.masks)
    np.testing.assert_allclose(dataset["image"], disc_frames(), atol=1e-5)
    again = dataset["image"].spinscope.segment(dark())
    xarray.testing.assert_equal(again["mask"], dataset["mask"])


def test_a_folder_without_its_recording_has_no_image(tmp_path):
    from spinscope.live.pipeline import segment_recording
    from spinscope.recordings import open_recording

    path = stack(tmp_path / "stack.tif")
    segment_recording(open_recording(path, pixel_size=PIXEL), dark(), tmp_path / "out", settings={})
    assert "image" in spinscope.xarray.to_dataset(tmp_path / "out")
    path.unlink()
    dataset = spinscope.xarray.to_dataset(tmp_path / "out")
    assert "image" not in dataset
    assert dataset["mask"].spinscope.pixel_size == pytest.approx(PIXEL)
    assert dataset.sizes["object"] > 10


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda a: a.transpose("y", "x", "time"), r"\(y, x, time\) must be \(y, x\) or \(time,"),
        (lambda a: a.rename(time="z"), r"dimensions \(z, y, x\)"),
        (lambda a: a.assign_coords(y=("y", a["y"].values ** 2, {"units": "um"})), "evenly spaced"),
        (lambda a: a.assign_coords(y=("y", 2 * a["y"].values, {"units": "um"})), "square"),
        (lambda a: a.assign_coords(y=("y", a["y"].values, {"units": "ell"})), r"y \(='ell'\)"),
        (lambda a: a.assign_coords(y=a["y"] * 1e3).drop_vars("x"), "pixel size"),
        (lambda a: a.isel(time=[0, 0, 1, 2]), "time must increase"),
        (lambda a: a.astype(complex), "real numbers"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(image, change, rule):
    with xarray.set_options(keep_attrs=True), pytest.raises(SpinscopeError, match=rule) as error:
        change(image).spinscope.segment(dark())
    assert "\n" not in str(error.value)


def test_what_is_no_mask_is_refused(image):
    mask = image.spinscope.segment(dark())["mask"]
    with pytest.raises(SpinscopeError, match="integers from 0 to 4: background, skyrmion"):
        image.spinscope.measure()
    with pytest.raises(SpinscopeError, match="integers from 0 to 4"):
        (mask + 6).spinscope.measure()
    with pytest.raises(SpinscopeError, match="must have the sizes of the mask"):
        mask.spinscope.measure(image.isel(time=0))
    with pytest.raises(SpinscopeError, match=r"measure\.search_rang"):
        mask.spinscope.measure(search_rang=3)


def test_dates_are_times(image):
    start = np.datetime64("2026-11-01T12:00:00", "ns")
    dates = start + (image["time"].values * 1e9).astype("timedelta64[ns]")
    assert image.assign_coords(time=dates).spinscope.interval == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("import sys, spinscope; spinscope.segment; print('xarray' in sys.modules)", "False"),
        (
            "import sys; sys.modules['xarray'] = None\ntry:\n    import spinscope.xarray\n"
            "except Exception as error:\n    print(error)",
            "pip install 'spinscope[xarray]'",
        ),
    ],
)
def test_xarray_is_imported_on_request_and_a_missing_one_is_named(code, end):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith(end), done.stderr


def test_the_page_works_as_it_is_printed(tmp_path, monkeypatch):
    from spinscope.live.pipeline import segment_recording
    from spinscope.recordings import open_recording

    monkeypatch.chdir(tmp_path)
    recording = open_recording(stack(Path("stack.tif")))
    segment_recording(recording, dark(), Path("masks/stack"), settings={})
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    assert names["diameter"].sizes == {"object_time": 4}
    assert float(names["part"]["object_x"].min()) > 40 * 0.2
