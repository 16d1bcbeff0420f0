"""A results folder that was changed is read or refused in one sentence."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
import tifffile
from tests.live.conftest import dark
from tests.live.test_pipeline import SETTINGS, run

from spinscope import jobs
from spinscope.errors import SpinscopeError
from spinscope.live.results import MASKS, SUMMARY, open_results
from spinscope.live.stored import check_table

VALUES = (None, "x", "../x", -1, 0, 10**30, 1e308, True, [], {}, [[]], float("nan"), "\ud800", "\0")
FILES = (SUMMARY, "objects.parquet", "frames.parquet", MASKS)


@pytest.fixture
def folder(stack, tmp_path) -> Path:
    return run(stack, tmp_path / "film", dark(), settings={**SETTINGS, "min_px": 1}).folder


def read_all(folder: Path) -> None:
    """Everything that commands and pages read of a results folder."""
    results = open_results(folder)
    assert results.objects["frame"].max() < results.n_frames == len(results.frames)
    assert sum(1 for _ in results.masks()) == results.n_frames
    results.mask(0)
    assert results.name == Path(results.name).name
    assert results.min_px >= 1
    assert (results.pixel_size or 1) > 0
    results.recording().close()


def changed(summary, rng):
    """The summary with one value replaced or one key removed, at any depth."""
    parents, found = [summary], []
    while parents:
        parent = parents.pop()
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        found += [(parent, key) for key in keys]
        parents += [parent[key] for key in keys if isinstance(parent[key], dict | list)]
    parent, key = found[rng.integers(len(found))]
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = VALUES[rng.integers(len(VALUES))]
    return summary


def damage(path: Path, rng: np.random.Generator) -> None:
    """Change one value of a summary, or a few bytes of any file, or cut it off."""
    if path.suffix == ".json" and rng.random() < 0.8:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), rng)))
        return
    body = bytearray(path.read_bytes())
    for place in rng.integers(0, len(body), rng.integers(1, 8)):
        body[place] = rng.integers(256)
    path.write_bytes(body[: rng.integers(len(body))] if rng.random() < 0.2 else body)


def test_whatever_is_changed_it_is_read_or_refused(folder, tmp_path):
    rng = np.random.default_rng(11)
    whole = {name: (folder / name).read_bytes() for name in FILES}
    read_all(folder)
    refused = 0
    for k in range(240):
        path = folder / FILES[k % len(FILES)]
        damage(path, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_all(folder)
        except SpinscopeError as error:
            refused += 1
            assert "\n" not in str(error)
        path.write_bytes(whole[path.name])
    assert refused > 100


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "", "..", "a/b", "a\\b", "a\0"])
def test_an_export_stays_in_its_folder(folder, tmp_path, name):
    path = folder / SUMMARY
    summary = json.loads(path.read_text())
    summary["recording"]["name"] = name
    path.write_text(json.dumps(summary))

    def files() -> set:
        """Those of this test, and where `../../x` would lead."""
        return {*tmp_path.rglob("*"), *tmp_path.parent.glob("x*")}

    before = files()
    with pytest.raises(SpinscopeError, match=r"summary\.json: recording\.name .*without a folder"):
        jobs.export(folder, ["coco"], tmp_path / "out")
    assert files() == before


def test_names_of_frames_stay_in_their_folder(folder):
    path = folder / "frames.parquet"
    table = pd.read_parquet(path)
    table.loc[3, "name"] = "../../x"
    table.to_parquet(path)
    with pytest.raises(SpinscopeError, match=r"frames\.parquet: name .*without a folder"):
        jobs.export(folder, ["png"])


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("frame", 10**12, "from 0 to 9"),
        ("frame", -1, "from 0 to 9"),
        ("y_px", np.inf, "finite"),
        ("diameter_px", 0.0, "finite"),
    ],
)
def test_a_value_of_no_object_is_refused(folder, column, value, rule):
    path = folder / "objects.parquet"
    table = pd.read_parquet(path)
    table.loc[0, column] = value
    table.to_parquet(path)
    with pytest.raises(SpinscopeError, match=rf"objects\.parquet: {column} .*{rule}"):
        _ = open_results(folder).objects


def test_masks_of_other_frames_are_refused(folder):
    masks = tifffile.imread(folder / MASKS)
    for other, rule in ((masks[:4], "has 4 frames"), (masks + 5, "class indices from 0 to 2")):
        tifffile.imwrite(folder / MASKS, other, photometric="minisblack")
        with pytest.raises(SpinscopeError, match=rule):
            open_results(folder).mask(1)


def test_a_name_of_bytes_that_are_no_text_is_refused():
    arrow = pyarrow.array([b"frame.tif", b"\xff001"], pyarrow.binary())
    names = pd.arrays.ArrowStringArray(arrow.cast(pyarrow.string(), safe=False))
    with pytest.raises(SpinscopeError, match="name must contain text"):
        check_table(Path("objects.parquet"), pd.DataFrame({"name": names}), 2)
