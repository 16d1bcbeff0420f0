"""A results folder as pages show it: tables, images, reviews and measurements."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from components import recordings
from components.desk import reviews_folder
from components.recordings import Recording
from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.live.results import MASKS, SUMMARY, Results, open_results
from spinscope.live.stored import parse_json
from spinscope.reviews.folder import Reviews

PLACES = ("masks/*", "build/*", "build/*/*", "build/*/*/*")
"""Patterns of the results folders of a project."""

UNITS = ("px", "nm", "um")

FORMATS = {
    "roi": "roi: ImageJ",
    "labels": "labels: OME-TIFF of object numbers",
    "classes": "classes: OME-TIFF of classes",
    "coco": "coco: annotations",
    "geojson": "geojson: QuPath",
    "zarr": "zarr: OME-Zarr with labels",
    "csv": "csv: table of objects",
    "png": "png: overlays",
    "mp4": "mp4: video",
    "trackmate": "trackmate: tracks for Fiji",
}
"""Format of an export → text."""

COLUMNS = {
    "pair_correlation": ("r_px", "g"),
    "msd": ("msd_px2",),
    "tracks": ("track", "frame", "x_px", "y_px"),
}
"""Table of a measurement → columns of numbers that pages read."""

MAX_DOWNLOAD = 100e6
"""Largest file in bytes that a page offers."""


@dataclass(frozen=True)
class Opened:
    """An opened results folder.

    Parameters
    ----------
    results : Results
        Masks and tables.
    objects : DataFrame
        One row per object.
    names : list of str
        Name of each frame.
    recording : Recording or None
        Frames; None where they cannot be read.
    problem : str
        Why the recording cannot be read.
    unit : str, default "px"
        Unit of the lengths that are shown.
    """

    results: Results
    objects: pd.DataFrame
    names: list[str]
    recording: Recording | None
    problem: str
    unit: str = "px"

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return self.results.summary["classes"]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frames in px."""
        return self.results.mask(0).shape

    @property
    def units(self) -> list[str]:
        """Units in which lengths are known."""
        columns = ((unit, f"diameter_{unit}") for unit in UNITS)
        return [u for u, key in columns if key in self.objects and self.objects[key].notna().any()]

    @property
    def other_units(self) -> tuple[str, ...]:
        """Ends of the names of columns in units that are not shown."""
        others = (unit for unit in UNITS if unit != self.unit)
        ends = ("", "2", "_mean", "_sd", "2_sd", "_sd_views", "2_sd_views", "_sd_boundary")
        return tuple(f"_{unit}{end}" for unit in others for end in ends)

    @property
    def reviews(self) -> Reviews | None:
        """Reviews of the recording; None where it was never opened for review."""
        known = self.results.summary["recording"]
        folder = reviews_folder(known["name"], known["fingerprint"])
        return Reviews.open(folder) if folder.is_dir() else None

    def in_unit(self, unit: str) -> Opened:
        """Return the same results with lengths in another unit."""
        return replace(self, unit=unit)

    def image(self, index: int) -> np.ndarray | None:
        """Image (H, W) of a frame; None where the recording cannot be read."""
        return None if self.recording is None else self.recording.image(index)


def known() -> dict[str, str]:
    """Name → text of the results folders of the project, the newest first."""
    root = project_root()
    found = {
        path.parent
        for place in PLACES
        for path in root.glob(f"{place}/{SUMMARY}")
        if (path.parent / MASKS).is_file()
    }
    newest = sorted(found, key=lambda path: (path / SUMMARY).stat().st_mtime, reverse=True)
    return {name_of(path): name_of(path) for path in newest}


def name_of(folder: Path) -> str:
    """Name of a results folder in the list: its path below the project."""
    return str(shown(folder))


def path_of(name: str) -> Path:
    """Folder of a name in the list, or of a path that was typed."""
    return project_root() / Path(name).expanduser()


def shown(path: Path) -> Path:
    """Path as pages show it: relative to the project where it lies below it."""
    path, root = path.resolve(), project_root().resolve()
    return path.relative_to(root) if path.is_relative_to(root) else path


def open_folder(folder: Path) -> Opened:
    """Open a results folder; its tables are read again only when it has changed.

    Raises
    ------
    SpinscopeError
        If it is not the folder of a segmented recording.
    """
    results = open_results(folder)
    changed = (folder / SUMMARY).stat().st_mtime_ns
    objects, names = _tables(str(folder), changed)
    recording, problem = None, ""
    try:
        recording = recordings.open_recording(folder)
    except (SpinscopeError, OSError) as error:
        problem = str(error)
    return Opened(results, objects, names, recording, problem)


@st.cache_data(max_entries=4, show_spinner="Reading the tables …")
def _tables(folder: str, changed: int) -> tuple[pd.DataFrame, list[str]]:
    """Table of objects and names of the frames."""
    results = open_results(folder)
    return results.objects, [str(name) for name in results.frames["name"]]


def figures(folder: Path, hidden: tuple[str, ...] = ()) -> pd.DataFrame | None:
    """Measured quantities, one per row with its error; None where nothing was measured.

    Parameters
    ----------
    folder : Path
        Results folder.
    hidden : tuple of str
        Ends of the names of quantities that are not shown.
    """
    path = folder / "measurements.json"
    if not path.is_file():
        return None
    try:
        found = parse_json(path)
    except SpinscopeError as error:
        st.warning(str(error))
        return None
    numbers = {key: v for key, v in found.items() if _is_number(v)}
    errors = ("_se", "_sd", "_sd_frames")
    rows = []
    for key, value in numbers.items():
        if not key.endswith((*errors, *hidden)):
            error = next((numbers[key + end] for end in errors if key + end in numbers), None)
            rows.append((key, f"{value:.4g}", "" if error is None else f"{error:.2g}"))
    return pd.DataFrame(rows, columns=["quantity", "value", "SE or SD"])


def _is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number that fits in a float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def table(folder: Path, name: str) -> pd.DataFrame | None:
    """Table that a measurement wrote; None where there is none."""
    path = folder / f"{name}.csv"
    if not path.is_file():
        return None
    try:
        found = pd.read_csv(path)
        found[list(COLUMNS.get(name, ()))].astype(float)
        return found
    except (
        OSError,
        ValueError,
        KeyError,
        OverflowError,
    ) as error:  # pandas' own errors are ValueErrors
        st.warning(f"{path} is not a readable table: {' '.join(str(error).split())[:200]}")
        return None


def review_counts(reviews: Reviews) -> dict[str, int]:
    """Status → number of frames whose last review has it; a corrected mask stays corrected."""
    latest = filter(None, map(reviews.latest, reviews.frames()))
    return dict(
        Counter(
            "corrected"
            if review.status == "accepted" and reviews.was_corrected(review)
            else review.status
            for review in latest
        )
    )
