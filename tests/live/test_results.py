"""Results folders written by earlier versions still open, resume and can be exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.live.conftest import dark
from tests.live.test_pipeline import SETTINGS, Dies, run

import spinscope
from spinscope import jobs
from spinscope.analysis.uncertainty import detection_sd
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.inference.predict import Ensemble, Predictor
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import (
    FORMER_COLUMNS,
    FORMER_KEYS,
    FORMER_STATISTICS,
    TABLES,
    open_results,
    present_column,
)
from spinscope.recordings import open_recording

ROOT = Path(__file__).parents[2]
ALL = {**SETTINGS, "min_px": 1}
FORMER = {new: old for old, new in FORMER_KEYS.items()}


def formerly(path: Path, target: Path | None = None) -> None:
    """Rewrite a JSON file with the keys that earlier versions used."""

    def renamed(value):
        if not isinstance(value, dict):
            return value
        value = dict(value)
        for key in ("spinscope_version", "created_utc", "seconds"):
            value.pop(key, None)
        if "white_level" in value:
            nm = value.pop("pixel_size_nm")
            value |= {
                "shape": value.pop("shape_px"),
                "scale": value.pop("white_level"),
                "pixel_size": nm and nm * 1e-9,
                "interval": value.pop("interval_s"),
            }
            return value
        former = FORMER
        if "objects_per_frame" in value:
            former = FORMER | {new: old for old, new in FORMER_STATISTICS.items()}
        return {former.get(key, key): renamed(content) for key, content in value.items()}

    content = renamed(json.loads(path.read_text()))
    path.unlink()
    (target or path).write_text(json.dumps(content))


def former_table(path: Path) -> None:
    """Rewrite a table with the columns that earlier versions used."""
    former = {new: old for old, new in FORMER_COLUMNS[path.stem].items()}
    table = pd.read_parquet(path)
    names = [former.get(name, name) for name in table.columns]
    table.set_axis(names, axis=1).to_parquet(path, index=False)


@pytest.fixture
def former(stack, tmp_path) -> Path:
    """A results folder as earlier versions wrote it."""
    settings = {**SETTINGS, "min_px": 1, "scale": 1.0}
    results = run(stack, tmp_path / "film", dark(), settings=settings)
    formerly(results.folder / "summary.json")
    for name in TABLES:
        former_table(results.folder / f"{name}.parquet")
    summary = json.loads((results.folder / "summary.json").read_text())
    assert {"stream", "about", "former", "stopped", "n", "figures"} <= set(summary)
    assert {"stream", "zoom"} <= set(summary["about"])
    assert {"shape", "scale", "pixel_size", "interval"} <= set(summary["stream"])
    assert "count" in pd.read_parquet(results.folder / "frames.parquet")
    return results.folder


def test_a_former_folder_opens_under_the_present_keys(former, frames):
    results = open_results(former)
    assert results.n_frames == len(frames)
    assert results.summary["settings"]["models"] == SETTINGS["models"]
    assert results.summary["error"] is None
    assert results.summary["statistics"]["objects_per_frame"] > 1
    assert results.summary["statistics"]["diameter_nm_mean"] > 200
    assert (results.shape, results.pixel_size, results.interval) == ((64, 72), 2e-7, None)
    assert {"objects", "uncertain_fraction", "diameter_px_mean"} <= set(results.frames)
    assert {"y0_px", "touches_border"} <= set(results.objects)
    assert results.table("frames", ["objects"])["objects"].min() > 0
    np.testing.assert_array_equal(results.recording().read(2), frames[2])


def test_a_former_folder_is_measured_exported_and_not_segmented_again(former, stack, tmp_path):
    figures = jobs.measure(load_params("demo"), former)
    assert figures["nearest_px_mean"] > 0
    assert jobs.export(former, ["csv", "png"])["csv"].is_file()
    settings = {**SETTINGS, "min_px": 1, "scale": 1.0}
    again = run(stack, former, dark(), settings=settings)
    assert again.summary["timing"]["frames"] == 10
    assert not former.with_name("film.1").exists()


def test_an_unfinished_former_call_is_resumed(stack, predictor, tmp_path):
    whole = run(stack, tmp_path / "whole/film", predictor)
    with pytest.raises(KeyboardInterrupt):
        run(
            stack,
            tmp_path / "film",
            Predictor(Dies(), predictor.info),
            chunk_frames=2,
            workers=1,
        )
    chunks = tmp_path / "film.chunks"
    formerly(chunks / "settings.json")
    for path in chunks.glob("*/recording.json"):
        formerly(path, path.with_name("stream.json"))
        path.with_name("timing.json").unlink()
        for name in TABLES:
            former_table(path.with_name(f"{name}.parquet"))
    chunks.rename(tmp_path / "film.parts")
    done = []
    found = run(stack, tmp_path / "film", predictor, chunk_frames=2, on_frame=done.append)
    assert done[0] >= 4
    pd.testing.assert_frame_equal(found.objects, whole.objects)
    assert sorted(path.name for path in tmp_path.iterdir() if "film." in path.name) == [
        ".film.lock", "film.tif",
    ]  # fmt: skip


def test_chunks_without_the_newer_columns_are_continued(stack, predictor, tmp_path):
    whole = run(stack, tmp_path / "whole/film", predictor)
    with pytest.raises(KeyboardInterrupt):
        run(stack, tmp_path / "film", Predictor(Dies(), predictor.info), chunk_frames=2, workers=1)
    (first, *_) = sorted((tmp_path / "film.chunks").glob("*/objects.parquet"))
    table = pd.read_parquet(first)
    newer = [name for name in table.columns if name.endswith("_sd_boundary")]
    assert newer
    table.drop(columns=newer).to_parquet(first, index=False)
    found = run(stack, tmp_path / "film", predictor, chunk_frames=2)
    old = found.objects["frame"] < 2
    assert found.objects.loc[old, newer].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.objects[~old], whole.objects[~old])
    pd.testing.assert_frame_equal(
        found.objects.drop(columns=newer), whole.objects.drop(columns=newer)
    )
    sd = found.objects["diameter_px_sd_boundary"].mean()
    assert found.summary["statistics"]["diameter_px_mean_sd_boundary"] == pytest.approx(sd)


def test_errors_that_all_frames_share_stay_in_the_mean(stack, predictor, tmp_path):
    found = run(stack, tmp_path / "film", predictor)
    statistics, frames = found.summary["statistics"], found.frames
    for name, column in (
        ("objects_per_frame_sd_detection", "objects_sd_detection"),
        ("area_fraction_mean", "area_fraction"),
        ("area_fraction_mean_sd_boundary", "area_fraction_sd_boundary"),
    ):
        assert statistics[name] == pytest.approx(frames[column].mean())
    for index, objects in found.objects.groupby("frame"):
        expected = detection_sd({name: objects[name].to_numpy() for name in objects})
        assert frames["objects_sd_detection"][index] == pytest.approx(expected)


def test_a_spread_says_over_what():
    assert present_column("objects", "area_um2_sd") == "area_um2_sd_views"
    assert present_column("frames", "count_sd") == "objects_sd_views"
    assert present_column("frames", "diameter_nm_sd") == "diameter_nm_mean_sd_views"
    assert present_column("objects", "found") == "fraction_of_views"
    for name in ("area_um2_sd_views", "fraction_of_views", "objects"):
        assert present_column("objects", name) == name


def test_every_name_has_one_meaning_and_its_unit(stack, tmp_path):
    """A name that is used in two tables is the same quantity in both."""
    results = run(stack, tmp_path / "film", dark(), settings=ALL)
    figures = jobs.measure(load_params("demo"), results.folder)
    summary = results.summary
    for head in (summary, figures, json.loads((results.folder / "measurements.json").read_text())):
        assert head["spinscope_version"] == spinscope.__version__
        assert pd.Timestamp(head["created_utc"]) <= pd.Timestamp.now("UTC")
    assert summary["recording"]["pixel_size_nm"] == 200
    assert not {"pixel_size", "interval", "scale", "shape"} & set(summary["recording"])
    names = [*summary["statistics"], *figures]
    for path in results.folder.glob("*.csv"):
        names += pd.read_csv(path, nrows=0).columns.tolist()
    spreads = {name for name in names if "_sd" in name}
    ends = ("_sd_views", "_sd_objects", "_sd_frames", "_sd_boundary", "_sd_detection")
    assert all(name.endswith(ends) for name in spreads)
    unclear = {"count", "found", "before", "after", "first", "last", "points", "watched", "ends"}
    assert not {*unclear, "lag", "defect", "defects", "y0"} & set(names)
    means = {"diameter_px", "nearest_px", "lifetime_frames"}  # of one object or track
    assert not means & {*summary["statistics"], *figures, *results.frames}


def test_all_csv_files_have_one_dialect(stack, tmp_path):
    results = run(stack, tmp_path / "film", dark(), settings=ALL)
    jobs.measure(load_params("demo"), results.folder)
    jobs.export(results.folder, ["csv"])
    paths = sorted(results.folder.glob("*.csv"))
    assert len(paths) == 9
    for path in paths:
        head, *lines = path.read_text().splitlines()
        assert all(name[0] == name[-1] == '"' for name in head.split(",")), path
        cells = {cell for line in lines for cell in line.split(",")}
        assert not {"True", "False", "nan", "NaN"} & cells, path
        assert max(len(cell.strip("-").replace(".", "").lstrip("0")) for cell in cells) <= 14, path


def test_the_mask_stack_has_its_scale(stack, tmp_path):
    """Also after a merge of chunks, and read by other programs."""
    recording = open_recording(stack, pixel_size=1.2e-7)
    recording.interval = 0.5
    results = segment_recording(
        recording, dark(), tmp_path / "film", settings=SETTINGS, chunk_frames=4
    )
    with tifffile.TiffFile(results.folder / "masks.tif") as file:
        assert file.imagej_metadata["unit"] == "um"
        assert file.imagej_metadata["finterval"] == 0.5
        across, down = file.pages[0].tags[282].value
        assert down / across == pytest.approx(0.12)
        assert file.series[0].shape == (10, 64, 72)
    again = open_recording(results.folder / "masks.tif")
    assert (again.n, again.interval) == (10, 0.5)
    assert again.pixel_size == pytest.approx(1.2e-7)


def test_applied_quantities_are_columns_of_every_table(stack, predictor, tmp_path):
    field = np.arange(10) / 2 - 2
    lines = "\n".join(f"{k},{value}" for k, value in enumerate(field))
    stack.with_suffix(".csv").write_text(f"frame,field_mt\n{lines}\n")
    results = run(stack, tmp_path / "film", predictor)
    assert results.summary["applied"] == ["field_mt"]
    np.testing.assert_array_equal(results.frames["field_mt"], field)
    np.testing.assert_array_equal(results.applied["field_mt"], field)
    jobs.measure(load_params("demo"), results.folder)
    for name in ("objects", "lattice", "order", "tracks"):
        table = pd.read_csv(results.folder / f"{name}.csv")
        np.testing.assert_array_equal(table["field_mt"], field[table["frame"]])
    stack.with_suffix(".csv").write_text(f"frame,field_mt\n{lines[:-3]}7\n")
    with pytest.raises(SpinscopeError, match="has changed since"):
        results.recording()


def test_every_file_column_and_key_is_described(stack, tmp_path):
    results = run(stack, tmp_path / "film", Ensemble.of([dark(), dark(-1.1)]), settings=ALL)
    figures = jobs.measure(load_params("demo"), results.folder)
    jobs.export(results.folder, ["csv"])
    pages = [
        (ROOT / f"docs/{name}.md").read_text() for name in ("measurements", "segment", "exports")
    ]
    text = re.sub(r"```.*?```", "", "".join(pages), flags=re.DOTALL)
    named = set(re.findall(r"`([^`]+)`", text))
    files = {path.name.replace("film", "NAME") for path in results.folder.iterdir()}
    assert files <= named
    summary = results.summary
    names = {*figures, *summary, *summary["recording"], *summary["statistics"], *summary["timing"]}
    for path in results.folder.glob("*.csv"):
        names |= set(pd.read_csv(path, nrows=0))
    for name in sorted(names):
        plain = re.sub(r"_(se|sd_views|sd_frames|sd_objects|sd_boundary|sd_detection)$", "", name)
        pixels = re.sub(r"_(nm|um)(2?)(_mean)?$", r"_px\2\3", plain)
        quantity = re.sub(r"_(px|nm|um)2?$", "", plain)
        assert {name, plain, pixels, quantity} & named, name
