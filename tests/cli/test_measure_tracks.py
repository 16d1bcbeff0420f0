"""Tracks are exported to TrackMate, corrected, and read again by `spinscope measure`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.live.conftest import dark
from tests.live.test_measurements import draw
from tests.live.test_pipeline import run as segmented
from typer.testing import CliRunner

import spinscope
from spinscope.cli import app
from spinscope.files import sha256
from spinscope.live.results import open_results
from spinscope.napari.layers import track_layer

FRAMES = 12


def call(*words: object, code: int = 0) -> str:
    """Run `spinscope WORDS`; the output, or the text of the error."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert bool(done.exception) == bool(code), done.output
    return str(done.exception) if code else done.stdout


def tracks_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "tracks.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Measured results of 12 discs that move; one of them is missing in frame 5."""
    home = tmp_path_factory.mktemp("tracks")
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.arange(20, 90, 26), np.arange(20, 110, 26)), -1).reshape(-1, 2)
    places = grid + np.cumsum(rng.normal(0, 0.5, (FRAMES, len(grid), 2)), axis=0)
    frames = [draw(np.delete(c, 4, 0) if k == 5 else c, (100, 120)) for k, c in enumerate(places)]
    tifffile.imwrite(home / "film.tif", np.stack(frames), photometric="minisblack")
    results = segmented(home / "film.tif", home / "out/film", dark(), pixel_size=2e-7)
    call("measure", results.folder)
    return results.folder


@pytest.fixture
def exported(folder, tmp_path) -> Path:
    """Measured folder with its own tracks, and their TrackMate XML."""
    call("measure", folder)
    path = Path(call("export", folder, "--to", "trackmate", "--out", tmp_path).strip())
    assert path == tmp_path / "film.trackmate.xml"
    return path


def test_unchanged_tracks_come_back_identical(folder, exported):
    before, lives = tracks_of(folder), (folder / "lifetimes.csv").read_bytes()
    figures = json.loads((folder / "measurements.json").read_text())
    assert before["track"].nunique() == 13  # the gap ends one track and begins another
    again = json.loads(call("measure", folder, "--tracks", exported, "--json"))
    pd.testing.assert_frame_equal(tracks_of(folder), before)
    assert (folder / "lifetimes.csv").read_bytes() == lives
    assert again["diffusion_px2_per_frame"] == figures["diffusion_px2_per_frame"]
    assert again["tracks_file"] == {"path": str(exported), "sha256": sha256(exported)}
    assert "search_range_px" in figures and "search_range_px" not in again
    image = ElementTree.parse(exported).getroot().find("Settings/ImageData")
    assert Path(image.get("folder"), image.get("filename")) == folder.parents[1] / "film.tif"


def test_a_swapped_identity_and_a_closed_gap_change_the_tracks_as_edited(folder, exported):
    before = tracks_of(folder)
    root = ElementTree.parse(exported).getroot()
    spots = {
        (int(one.get("FRAME")), int(one.get("OBJECT"))): one.get("ID") for one in root.iter("Spot")
    }
    whole = before.groupby("track").filter(lambda track: len(track) == FRAMES)
    one, other = list(whole["track"].unique()[:2])
    gap = sorted(set(before["track"]) - set(whole["track"]))

    def spot(track: int, frame: int) -> str:
        row = before[(before["track"] == track) & (before["frame"] == frame)].iloc[0]
        return spots[frame, row["object"]]

    swapped = {spot(one, 6): spot(other, 7), spot(other, 6): spot(one, 7)}
    for edge in root.iter("Edge"):
        if edge.get("SPOT_SOURCE_ID") in swapped:
            edge.set("SPOT_TARGET_ID", swapped[edge.get("SPOT_SOURCE_ID")])
    link = {"SPOT_SOURCE_ID": spot(gap[0], 4), "SPOT_TARGET_ID": spot(gap[1], 6)}
    ElementTree.SubElement(root.find(f"Model/AllTracks/Track[@TRACK_ID='{gap[0]}']"), "Edge", link)
    ElementTree.ElementTree(root).write(exported, encoding="utf-8")
    call("measure", folder, "--tracks", exported)

    expected = before.copy()
    late = expected["frame"] > 6
    expected.loc[late, "track"] = expected.loc[late, "track"].replace({one: other, other: one})
    expected["track"] = expected["track"].replace({gap[1]: gap[0]})
    expected = expected.sort_values(["track", "frame"], ignore_index=True)
    pd.testing.assert_frame_equal(tracks_of(folder), expected)
    lives = pd.read_csv(folder / "lifetimes.csv")
    assert (lives["lifetime_frames"] == FRAMES).all() and len(lives) == 12
    # what is exported next has the corrected tracks
    call("export", folder, "--to", "trackmate", "--out", exported.parent)
    tracks = ElementTree.parse(exported).getroot().findall("Model/AllTracks/Track")
    assert sorted(int(track.get("NUMBER_SPOTS")) for track in tracks) == [11, *[12] * 11]
    call("measure", folder)
    pd.testing.assert_frame_equal(tracks_of(folder), before)


def test_a_table_of_some_tracks_measures_these(folder, tmp_path):
    call("measure", folder)
    before = tracks_of(folder)
    kept = before[before["track"] < 3]
    kept.rename(columns={"track": "particle"})[["particle", "frame", "x_um", "y_um"]].to_csv(
        tmp_path / "kept.csv", index=False
    )
    printed = call("measure", folder, "--tracks", tmp_path / "kept.csv")
    lost = len(before) - len(kept)
    assert f"note: {lost} of {len(before)} objects have no spot and belong to no track" in printed
    pd.testing.assert_frame_equal(tracks_of(folder), kept.reset_index(drop=True))
    found = spinscope.measure(folder, tracks=tmp_path / "kept.csv")["tracks"]
    assert found["track"].tolist() == kept["track"].tolist()
    layer, keywords, _ = track_layer(open_results(folder))
    np.testing.assert_array_equal(layer, kept[["track", "frame", "y_px", "x_px"]])
    assert len(keywords["features"]["area_px"]) == len(kept)


def test_tracks_that_do_not_fit_leave_the_measurements_as_they_are(folder, exported, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    beyond, other = tmp_path / "beyond.csv", tmp_path / "other.xml"
    beyond.write_text(f"track,frame,x,y\n0,{FRAMES},20,20\n")
    other.write_text(exported.read_text().replace('height="100"', 'height="99"'))
    error = call("measure", folder, "--tracks", beyond, code=1)
    assert f"row 1 lies in frame {FRAMES}; the recording has frames 0 to {FRAMES - 1}" in error
    error = call("measure", folder, "--tracks", other, code=1)
    assert "belongs to frames of 120x99 px; those of the results are 120x100" in error
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
