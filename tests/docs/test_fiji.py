"""The commands that the macro for Fiji executes, run as it would run them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from tests.conftest import discs
from typer.testing import CliRunner

from spinscope.cli import app

MACRO = Path(__file__).parents[2] / "docs/Spinscope_Segment.ijm"

pytestmark = pytest.mark.slow


def _calls(names: dict) -> list[list[str]]:
    """Words of each exec() of the macro after the command itself."""
    code = MACRO.read_text().replace("File.separator", repr(os.sep))
    calls = re.findall(r"exec\((.*)\);", code)
    given = {**names, "command": "spinscope", "d2s": lambda value, digits: f"{value:.{digits}f}"}
    return [list(eval(f"({call},)", {"__builtins__": {}}, given))[1:] for call in calls]


def test_the_commands_of_the_macro_write_rois_where_it_opens_them(tmp_path):
    image, _ = discs(np.random.default_rng(1), size=96, n=9)
    path = tmp_path / "recording.tif"
    tifffile.imwrite(path, np.round(255 * image).astype(np.uint8), imagej=True)
    folder = f"{tmp_path}{os.sep}"
    names = {"folder": folder, "title": path.name, "name": path.stem, "pixel": 120}
    names |= {"model": "bundled:moke-unet", "results": f"{folder}masks"}
    with_size, without_size, export = _calls(names)
    assert with_size[:-2] == without_size
    for words in (with_size, export):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    (rois,) = re.findall(r"^rois = (.*);", MACRO.read_text(), re.MULTILINE)
    opened = eval(rois.replace("File.separator", repr(os.sep)), {"__builtins__": {}}, names)
    found = roifile.ImagejRoi.fromfile(opened)
    summary = json.loads((tmp_path / "masks/recording/summary.json").read_text())
    assert summary["recording"]["pixel_size_nm"] == 120
    assert len(found) >= summary["statistics"]["objects"] > 0
