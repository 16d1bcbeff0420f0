"""The verb `phase`: a simulated series with known displacement gives phase and induction."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.physics.test_through_focal import SHIFTS, series
from tests.physics.test_tie import MS, PIXEL, THICKNESS, error

from spinscope.cli import app
from spinscope.errors import SpinscopeError
from spinscope.jobs.phase import phase
from spinscope.physics.tie import integrated_induction

DEFOCUS = 1e-4


def write(path, image, pixel_size_nm: float | None = PIXEL * 1e9):
    """Write an image as float32 ImageJ TIFF."""
    size = {"metadata": {"axes": "YX" if np.ndim(image) == 2 else "ZYX"}}
    if pixel_size_nm is not None:
        size["metadata"]["unit"] = "nm"
        size["resolution"] = (1 / pixel_size_nm,) * 2
    tifffile.imwrite(path, (1000 * np.asarray(image)).astype(np.float32), imagej=True, **size)
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Files at underfocus, in focus and at overfocus, and the true phase."""
    folder = tmp_path_factory.mktemp("series")
    images, true = series((-DEFOCUS, 0, DEFOCUS), SHIFTS)
    names = ("under", "focus", "over")
    return [write(folder / f"{n}.tif", i) for n, i in zip(names, images, strict=True)], true


def test_phase_and_induction_of_a_series_come_back(given, tmp_path):
    files, true = given
    found = phase(files, tmp_path, defocus=[DEFOCUS], thickness=THICKNESS)
    assert np.abs(np.array(found["shifts_px"]) - SHIFTS).max() < 0.1
    true = true[slice(*found["rows"]), slice(*found["columns"])]
    with tifffile.TiffFile(tmp_path / "under.induction.tif") as file:
        got, text = file.asarray(), file.imagej_metadata
        assert file.pages[0].tags[282].value[0] / file.pages[0].tags[282].value[1] == (
            pytest.approx(1 / (PIXEL * 1e9), rel=1e-4)
        )
    assert got.dtype == np.float32
    assert text["unit"] == "nm"
    by, bx = integrated_induction(true, PIXEL, periodic=False)
    assert error(got, np.stack([bx, by]) / THICKNESS) < 0.1
    assert np.hypot(*got).max() < 1.1 * MS * 4e-7 * np.pi
    assert error(tifffile.imread(tmp_path / "under.phase.tif"), true) < 0.3
    assert json.loads((tmp_path / "under.phase.json").read_text()) == found
    assert found["induction_unit"] == "T"
    assert [len(one["sha256"]) for one in found["files"]] == [64] * 3
    with Image.open(tmp_path / "under.induction.png") as picture:
        assert picture.size == (true.shape[1] + 8 + 96, true.shape[0])


def test_without_a_thickness_the_induction_is_integrated(given, tmp_path):
    thick = phase(given[0], tmp_path / "a", defocus=[DEFOCUS], thickness=THICKNESS)
    stacked = phase(given[0], tmp_path / "b", defocus=[-DEFOCUS, 0, DEFOCUS])
    assert stacked["induction_unit"] == "T nm"
    assert stacked["induction_mean"] == pytest.approx(
        thick["induction_mean"] * THICKNESS * 1e9, rel=1e-4
    )


def test_a_stack_gives_what_its_images_give(given, tmp_path):
    images = [tifffile.imread(path) for path in given[0]]
    stack = write(tmp_path / "stack.tif", np.stack(images) / 1000)
    one = phase([stack], tmp_path / "a", defocus=[-DEFOCUS, 0, DEFOCUS])
    other = phase(given[0], tmp_path / "b", defocus=[DEFOCUS])
    assert one["phase_sd"] == pytest.approx(other["phase_sd"], rel=1e-4)


def test_the_verb_writes_and_prints(given, tmp_path, capsys):
    words = ["phase", *map(str, given[0]), "--defocus", "100", "--out", str(tmp_path / "p")]
    app([*words, "--json"], standalone_mode=False)
    answer = json.loads(capsys.readouterr().out)
    assert answer["defocus_um"] == [-100, 0, 100]
    app(words, standalone_mode=False)
    assert "under.induction.png" in capsys.readouterr().out
    with pytest.raises(SpinscopeError, match=r"--defocus x must be numbers in µm"):
        app([*words[:4], "--defocus", "x"], standalone_mode=False)


def refuses(sentence: str):
    return pytest.raises(SpinscopeError, match=rf"\A(?!.*\n).*{sentence}")


def test_bad_input_is_named(given, tmp_path):
    under, focus, over = given[0]
    out = tmp_path / "out"
    for defocus in (0.0, -DEFOCUS, float("nan")):
        with refuses("--defocus .* must be positive"):
            phase(given[0], out, defocus=[defocus])
    small = write(tmp_path / "small.tif", tifffile.imread(over)[:-2])
    with refuses("images of 208x208, 208x208, 206x208 pixels must be of one size"):
        phase([under, focus, small], out, defocus=[DEFOCUS])
    bare = [write(tmp_path / f"{k}.tif", tifffile.imread(path), None)
            for k, path in enumerate(given[0])]  # fmt: skip
    with refuses(r"0\.tif: its pixel size is unknown or not a length; give --pixel-size"):
        phase(bare, out, defocus=[DEFOCUS])
    pixels = tmp_path / "pixels.tif"
    tifffile.imwrite(pixels, tifffile.imread(under), imagej=True, resolution=(1, 1),
                     metadata={"unit": "pixel"})  # fmt: skip
    with refuses("its pixel size is unknown or not a length"):
        phase([pixels, *bare[1:]], out, defocus=[DEFOCUS])
    other = write(tmp_path / "other.tif", tifffile.imread(over), 4)
    with refuses(r"pixel sizes differ \(under.tif 3 nm, focus.tif 3 nm, other.tif 4 nm\)"):
        phase([under, focus, other], out, defocus=[DEFOCUS])
    with refuses("2 images are given; a series has at least three"):
        phase([under, over], out, defocus=[DEFOCUS])
    with refuses("must be one value per image for a series of 4 images"):
        phase([*given[0], over], out, defocus=[DEFOCUS])
    with refuses("thickness"):
        phase(given[0], out, defocus=[DEFOCUS], thickness=0)
    with refuses("voltage"):
        phase(given[0], out, defocus=[DEFOCUS], voltage=-1)
    assert not out.exists()
