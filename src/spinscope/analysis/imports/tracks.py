"""Tracks that were made or corrected in another program: TrackMate, or any table of spots.

A spot is a place in a frame, and the track that it belongs to. `spinscope.analysis.assign_tracks`
gives its track to the object that it lies on.
"""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

import numpy as np

from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

_METRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1e-9),
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1e-6),
    **dict.fromkeys(("micrometers", "micrometres"), 1e-6),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e-3),
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
}
_PIXEL = {"", "px", "pixel", "pixels", "pix"}

_TRACK = ("track", "track_id", "trackid", "particle")
_FRAME = ("frame", "t")
_AXIS = re.compile(r"(?:position[ _])?([xy])(?:[ _]*[\[(]?([^\])]*)[\])]?)?")
_NO_TRACK = {"", "none", "nan", "null", "na"}
_HEADER_ROWS = 3  # of a table of TrackMate, after the names of the columns
_UNIT_ROW = 2  # of them
_FARTHEST = 2.0**31  # px


@dataclass
class _Spots:
    """Spots of a file, checked one by one as they are read."""

    path: Path
    n_frames: int
    frame: array = field(default_factory=lambda: array("q"))
    y: array = field(default_factory=lambda: array("d"))
    x: array = field(default_factory=lambda: array("d"))

    def add(self, where: str, frame: str | None, y: str | None, x: str | None) -> None:
        """Add a spot; `where` names it in messages."""
        number = _number(frame)
        if number is None or not number.is_integer():
            raise SpinscopeError(f"{self.path}: {where}: frame (={frame!r:.40}) must be an integer")
        if not 0 <= number < self.n_frames:
            raise SpinscopeError(
                f"{self.path}: {where} lies in frame {number:.15g}; the recording has frames 0 to "
                f"{self.n_frames - 1}, counted from 0: give the results that the tracks belong to"
            )
        place = {"y": _number(y), "x": _number(x)}
        for name, value in place.items():
            if value is None:
                given = {"y": y, "x": x}[name]
                raise SpinscopeError(
                    f"{self.path}: {where}: {name} (={given!r:.40}) must be a finite number"
                )
        self.frame.append(int(number))
        self.y.append(place["y"])
        self.x.append(place["x"])


def read_tracks(
    path: Path | str,
    *,
    n_frames: int,
    shape: tuple[int, int] | None = None,
    pixel_size: float | None = None,
) -> pd.DataFrame:
    """Read the spots of a file and the track of each.

    Parameters
    ----------
    path : Path or str
        XML of TrackMate; its CSV of spots, with three rows of titles and units after the header; or
        a table (commas, semicolons or tabs) with columns `track` (also `TRACK_ID`, `particle`),
        `frame` (also `t`) and `x`, `y`: in px, or as `x_um`, `y (nm)`, in a unit.
    n_frames : int
        Number of frames of the recording. Frames are counted from 0.
    shape : (int, int), optional
        Height and width of its frames in px, which those of a TrackMate XML must be.
    pixel_size : float, optional
        Pixel size in m, which positions in other units than px need. A TrackMate XML contains its
        own.

    Returns
    -------
    DataFrame
        `frame`, `y_px`, `x_px`, `track`, in the order of the file. A spot without a track has one
        of its own. Spots and tracks that TrackMate hides are left out.

    Raises
    ------
    SpinscopeError
        For a file without tracks, another frame size, an unknown unit or scale, a frame beyond the
        recording, and a track with two spots in one frame.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4096)
        read = _read_xml if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else _read_table
        table = read(path, n_frames, shape, pixel_size)
    except OSError as error:
        raise SpinscopeError(f"tracks {path} cannot be read: {error.strerror}") from error
    if not len(table):
        raise SpinscopeError(f"{path} contains no spot, so it has no tracks")
    twice = table[table.duplicated(["track", "frame"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        same = twice[(twice["track"] == first["track"]) & (twice["frame"] == first["frame"])]
        places = " and ".join(f"({y:.1f}, {x:.1f})" for y, x in same[["y_px", "x_px"]].values[:2])
        raise SpinscopeError(
            f"{path}: a track has {len(same)} spots in frame {first['frame']:.0f}, at y, x = "
            f"{places} px; tracks cannot split or merge: cut the track there"
        )
    return table


def _number(text: str | None) -> float | None:
    """Finite number of a text, None for anything else."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _pixels_per_unit(unit: str, pixel_size: float | None, path: Path) -> float:
    """Pixels per unit of length."""
    unit = unit.strip().strip("()[]").strip().lower()
    if unit in _PIXEL:
        return 1.0
    if unit not in _METRES:
        raise SpinscopeError(f"{path}: unit {unit!r:.40} of the positions must be px, nm, µm or mm")
    if pixel_size is None:
        raise SpinscopeError(
            f"{path}: positions are in {unit}, and the results have no pixel size: segment the "
            "recording with --pixel-size, or give positions in px"
        )
    return _METRES[unit] / pixel_size


def _table(spots: _Spots, track: np.ndarray, scale: tuple[float, float]) -> pd.DataFrame:
    """Table of spots in px."""
    import pandas as pd

    with np.errstate(over="ignore", invalid="ignore"):
        place = np.array([spots.y, spots.x]) * np.array(scale)[:, None]
    if not (np.abs(place) <= _FARTHEST).all():
        raise SpinscopeError(
            f"{spots.path}: positions reach {np.abs(place).max():g} px; check their unit and the "
            "pixel size"
        )
    columns = {"frame": np.array(spots.frame, dtype=np.int64), "y_px": place[0], "x_px": place[1]}
    return pd.DataFrame(columns | {"track": track})


# TrackMate XML


class _TrackMate:
    """Content of a TrackMate XML, collected while it is parsed; the file is never in memory."""

    def __init__(self, path: Path, n_frames: int):
        self.path = path
        self.spots = _Spots(path, n_frames)
        self.unit: str | None = None
        self.image: Mapping[str, str] = {}
        self.rows: dict[str, int] = {}
        self.hidden: set[str] = set()
        self.edges: dict[str, list[tuple[str, str]]] = {}
        self.shown: set[str] | None = None
        self._frame: str | None = None
        self._track = ""
        self._first = True

    def start(self, name: str, values: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if self._first and name != "TrackMate":
            raise SpinscopeError(
                f"{self.path} is no file of TrackMate: its first element is <{name:.40}>; save the "
                "tracks in TrackMate, or export its spots as CSV"
            )
        self._first = False
        if name == "Spot":
            self._spot(values)
        elif name == "Edge":
            ends = (values.get("SPOT_SOURCE_ID", ""), values.get("SPOT_TARGET_ID", ""))
            self.edges.setdefault(self._track, []).append(ends)
        elif name == "SpotsInFrame":
            self._frame = values.get("frame")
        elif name == "Track":
            self._track = values.get("TRACK_ID", "")
        elif name == "FilteredTracks":
            self.shown = set()
        elif name == "TrackID" and self.shown is not None:
            self.shown.add(values.get("TRACK_ID", ""))
        elif name == "Model":
            self.unit = values.get("spatialunits", "")
        elif name == "ImageData":
            self.image = values

    def _spot(self, values: dict[str, str]) -> None:
        """Take a spot."""
        number = values.get("ID", "")
        if number in self.rows or number in self.hidden:
            raise SpinscopeError(f"{self.path}: two spots have the ID {number!r:.40}")
        if _number(values.get("VISIBILITY", "1")) == 0:
            self.hidden.add(number)
            return
        self.rows[number] = len(self.spots.frame)
        frame = values.get("FRAME", self._frame)
        place = (values.get("POSITION_Y"), values.get("POSITION_X"))
        self.spots.add(f"spot {number:.40}", frame, *place)

    def tracks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the track of each spot, (n,) int, and whether it is shown, (n,) bool."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n, links = len(self.rows), []
        shown = np.ones(n, dtype=bool)
        for track, edges in self.edges.items():
            for ends in edges:
                known = (self.rows, self.hidden)
                if unknown := [end for end in ends if not any(end in ids for ids in known)]:
                    raise SpinscopeError(
                        f"{self.path}: track {track:.40} links spot {unknown[0]!r:.40}, which the "
                        "file does not contain"
                    )
                rows = [self.rows[end] for end in ends if end in self.rows]
                if self.shown is not None and track not in self.shown:
                    shown[rows] = False
                elif len(rows) == 2:
                    links.append(rows)
        first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
        graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n))
        return connected_components(graph, directed=False)[1], shown


def _read_xml(
    path: Path, n_frames: int, shape: tuple[int, int] | None, pixel_size: float | None
) -> pd.DataFrame:
    """Spots of a TrackMate XML."""
    content = _TrackMate(path, n_frames)

    def refuse(*_: object) -> None:
        raise SpinscopeError(
            f"{path} declares a document type, which files of TrackMate never do; it is not read"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse  # entities can only be declared in there
    parser.StartElementHandler = content.start
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except (expat.ExpatError, ValueError, LookupError) as error:  # also unknown encodings
        raise SpinscopeError(f"{path} is not a readable XML file: {error}") from error
    scale = _xml_scale(content, shape, pixel_size)
    track, shown = content.tracks()
    table = _table(content.spots, track, scale)[shown].reset_index(drop=True)
    return table.assign(track=table["track"].factorize()[0])


def _xml_scale(
    content: _TrackMate, shape: tuple[int, int] | None, pixel_size: float | None
) -> tuple[float, float]:
    """Pixels per unit of y and of x, after the size of the frames has been compared."""
    image, path = content.image, content.path
    size = [_number(image.get(key)) for key in ("height", "width")]
    if shape is not None and None not in size and tuple(size) != tuple(shape):
        raise SpinscopeError(
            f"{path} belongs to frames of {size[1]:.0f}x{size[0]:.0f} px; those of the results are "
            f"{shape[1]}x{shape[0]}: give the results that the tracks belong to"
        )
    pixel = [_number(image.get(key)) for key in ("pixelheight", "pixelwidth")]
    if None not in pixel and min(pixel) > 0:
        return 1 / pixel[0], 1 / pixel[1]
    return (_pixels_per_unit(content.unit or "", pixel_size, path),) * 2


# Tables


def _read_table(
    path: Path, n_frames: int, _: tuple[int, int] | None, pixel_size: float | None
) -> pd.DataFrame:
    """Spots of a table."""
    spots, tracks, numbers = _Spots(path, n_frames), array("q"), {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(1 << 16)
            delimiter = max(",;\t", key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
            rows = csv.reader(file, delimiter=delimiter)
            at, unit, trackmate = _columns(path, names)
            titles = list(islice(rows, _HEADER_ROWS)) if trackmate else []
            if titles and _number(_cell(titles[0], at["frame"])) is None:
                if len(titles) > _UNIT_ROW:
                    unit = _cell(titles[_UNIT_ROW], at["x"])
                titles = []
            scale = _pixels_per_unit(unit, pixel_size, path)
            comma = delimiter != ","
            for cells in chain(titles, rows):
                if not any(cells):
                    continue
                where = f"row {len(tracks) + 1}"
                values = [_cell(cells, at[key]) for key in ("frame", "y", "x")]
                if comma:
                    values = [value.replace(",", ".") for value in values]
                spots.add(where, *values)
                track = _cell(cells, at["track"]).strip()
                if track.lower() in _NO_TRACK:
                    track = f"row {len(tracks)} of none"
                tracks.append(numbers.setdefault(track, len(numbers)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpinscopeError(f"{path} is not a readable table of tracks: {error}") from error
    return _table(spots, np.array(tracks, dtype=np.int64), (scale, scale))


def _cell(cells: Sequence[str], index: int) -> str:
    """Cell of a row, empty where the row is too short."""
    return cells[index] if index < len(cells) else ""


def _columns(path: Path, names: Sequence[str]) -> tuple[dict[str, int], str, bool]:
    """Columns of track, frame, y and x, unit of the positions, and whether they are TrackMate's."""
    known = [name.strip().lower() for name in names]
    found = {}
    for key, words in (("track", _TRACK), ("frame", _FRAME)):
        index = next((known.index(word) for word in words if word in known), None)
        if index is None:
            raise SpinscopeError(
                f"{path} is no table of tracks: it has no column {words[0]}; columns must be "
                "track, frame, x and y, or those of TrackMate's spots"
            )
        found[key] = index
    places: dict[str, dict[str, int]] = {}
    for index, unit, axis in _axes(known):
        places.setdefault(unit, {}).setdefault(axis, index)
    units = [unit for unit, axes in places.items() if len(axes) == 2]
    if not units:
        raise SpinscopeError(
            f"{path} has no columns x and y of one unit; positions must be x, y in px, or as x_um, "
            "y_um in nm, µm or mm"
        )
    unit = min(units, key=lambda unit: unit not in _PIXEL)
    found |= places[unit]
    return found, unit, known[found["x"]].startswith("position")


def _axes(names: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Index, unit and axis of each column with a position."""
    for index, name in enumerate(names):
        match = _AXIS.fullmatch(name)
        unit = match and (match[2] or "").strip()
        if match and (unit in _PIXEL or unit in _METRES):
            yield index, unit, match[1]
