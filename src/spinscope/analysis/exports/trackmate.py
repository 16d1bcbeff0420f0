"""Objects and their tracks as a file of TrackMate, the tracking program of Fiji."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.shapes import measure
from spinscope.analysis.tables import DIGITS
from spinscope.analysis.tracks import link
from spinscope.errors import SpinscopeError
from spinscope.files import provenance

if TYPE_CHECKING:
    import pandas as pd

VERSION = "7.11.1"
"""Version of TrackMate whose format is written."""

_SPOT_FEATURES = (
    ("QUALITY", "Quality", "QUALITY", False),
    ("POSITION_X", "X", "POSITION", False),
    ("POSITION_Y", "Y", "POSITION", False),
    ("POSITION_Z", "Z", "POSITION", False),
    ("POSITION_T", "T", "TIME", False),
    ("FRAME", "Frame", "NONE", True),
    ("RADIUS", "Radius", "LENGTH", False),
    ("VISIBILITY", "Visibility", "NONE", True),
    ("OBJECT", "Object", "NONE", True),
    ("AREA", "Area", "AREA", False),
    ("MAJOR", "Long axis", "LENGTH", False),
    ("MINOR", "Short axis", "LENGTH", False),
    ("ECCENTRICITY", "Eccentricity", "NONE", False),
    ("INTENSITY", "Intensity", "NONE", False),
    ("CONTRAST", "Contrast", "NONE", False),
    ("TOUCHES_BORDER", "At border", "NONE", True),
)
"""Feature, name, dimension, and whether its values are integers."""

_EDGE_FEATURES = (
    ("SPOT_SOURCE_ID", "Source ID", "NONE", True),
    ("SPOT_TARGET_ID", "Target ID", "NONE", True),
    ("LINK_COST", "Cost", "COST", False),
    ("DISPLACEMENT", "Displacement", "LENGTH", False),
)

_TRACK_FEATURES = (
    ("TRACK_INDEX", "Index", "NONE", True),
    ("TRACK_ID", "ID", "NONE", True),
    ("NUMBER_SPOTS", "Spots", "NONE", True),
    ("TRACK_DURATION", "Duration", "TIME", False),
    ("TRACK_START", "Start", "TIME", False),
    ("TRACK_STOP", "Stop", "TIME", False),
)

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot contain."""


def write_trackmate(target: Path, frames: Frames) -> None:
    """Write one spot per object of the first class, and the tracks of at least two spots.

    Positions are centroids in µm, in px where the pixel size is unknown, with the centre of the
    first pixel at (0, 0), as in TrackMate; times are in s, otherwise in frames. Tracks are
    `frames.tracks`, by default the links of `link`. Objects that cannot be linked are spots without
    tracks, and the log of the file has the reason.

    References
    ----------
    Ershov et al., Nature Methods 19, 829 (2022); `fiji.plugin.trackmate.io.TmXmlReader`.
    """
    spots, shape = _measured(frames)
    spots["track"], reason = _tracks(spots, frames.tracks)
    size = 1.0 if frames.pixel_size is None else frames.pixel_size * 1e6
    step = 1.0 if frames.interval is None else frames.interval
    units = {
        "spatialunits": "pixel" if frames.pixel_size is None else "µm",
        "timeunits": "frame" if frames.interval is None else "s",
    }
    log = f"spinscope {provenance()['spinscope_version']}: {len(spots)} objects. {reason}".strip()
    with target.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f'<TrackMate version="{VERSION}">\n<Log>{escape(log)}</Log>\n')
        file.write(f"<Model{_attributes(units)}>\n")
        file.writelines(_declarations())
        file.writelines(_all_spots(spots, frames.names, shape[0], size, step))
        file.writelines(_all_tracks(spots, size, step))
        file.write("</Model>\n")
        file.writelines(_settings(spots, frames.source, shape, size, step))
        file.write('<GUIState state="ConfigureViews" />\n</TrackMate>\n')


def _measured(frames: Frames) -> tuple[pd.DataFrame, tuple[int, int, int]]:
    """Table of all objects of the first class, and number, height and width of the frames."""
    import pandas as pd

    class_, tables, shape = frames.object_classes[0][0], [], (0, 0, 0)
    for index, image, mask in frames:
        found = pd.DataFrame(measure(mask == class_, image, min_px=frames.min_px))
        found.insert(0, "object", np.arange(1, len(found) + 1))
        found.insert(0, "frame", index)
        tables.append(found)
        shape = (index + 1, *mask.shape)
    return pd.concat(tables, ignore_index=True), shape


def _tracks(spots: pd.DataFrame, given: pd.DataFrame | None) -> tuple[np.ndarray, str]:
    """Track of each spot, -1 for none, and why there are none."""
    keys = ["frame", "object"]
    if given is None:
        if spots["frame"].nunique() < 2:
            return np.full(len(spots), -1), ""
        try:
            given = link(spots)
        except SpinscopeError as error:
            return np.full(len(spots), -1), f"No tracks: {error}."
    known = given.drop_duplicates(keys).set_index(keys)["track"]
    found = spots[keys].join(known, on=keys)["track"]
    return found.fillna(-1).to_numpy(dtype=np.int64), ""


def _declarations() -> Iterator[str]:
    """Features of spots, edges and tracks."""
    yield "<FeatureDeclarations>\n"
    for element, features in (
        ("SpotFeatures", _SPOT_FEATURES),
        ("EdgeFeatures", _EDGE_FEATURES),
        ("TrackFeatures", _TRACK_FEATURES),
    ):
        yield f"<{element}>\n"
        for feature, name, dimension, integer in features:
            words = {"feature": feature, "name": name, "shortname": name, "dimension": dimension}
            yield f"<Feature{_attributes(words | {'isint': 'true' if integer else 'false'})} />\n"
        yield f"</{element}>\n"
    yield "</FeatureDeclarations>\n"


def _all_spots(
    spots: pd.DataFrame, names: Callable[[int], str], n_frames: int, size: float, step: float
) -> Iterator[str]:
    """Spots of each frame, numbered by their row."""
    columns = {
        "QUALITY": spots["area_px"],
        "POSITION_X": spots["x_px"] * size,
        "POSITION_Y": spots["y_px"] * size,
        "POSITION_Z": spots["frame"] * 0,
        "POSITION_T": spots["frame"] * step,
        "FRAME": spots["frame"],
        "RADIUS": spots["diameter_px"] * (size / 2),
        "VISIBILITY": spots["frame"] * 0 + 1,
        "OBJECT": spots["object"],
        "AREA": spots["area_px"] * size**2,
        "MAJOR": spots["major_px"] * size,
        "MINOR": spots["minor_px"] * size,
        "ECCENTRICITY": spots["eccentricity"],
        "INTENSITY": spots["intensity"],
        "CONTRAST": spots["contrast"],
        "TOUCHES_BORDER": spots["touches_border"].astype(np.int64),
    }
    yield f'<AllSpots nspots="{len(spots)}">\n'
    bounds = np.searchsorted(spots["frame"], np.arange(n_frames + 1))
    values = [column.to_numpy() for column in columns.values()]
    for frame, (first, last) in enumerate(pairwise(bounds.tolist())):
        yield f'<SpotsInFrame frame="{frame}">\n'
        rows = zip(*(value[first:last].tolist() for value in values), strict=True)
        for spot, row in enumerate(rows, first):
            features = dict(zip(columns, row, strict=True))
            name = f"{names(frame)}-{features['OBJECT']:04d}"
            yield f"<Spot{_attributes({'ID': spot, 'name': name} | features)} />\n"
        yield "</SpotsInFrame>\n"
    yield "</AllSpots>\n"


def _all_tracks(spots: pd.DataFrame, size: float, step: float) -> Iterator[str]:
    """Edges of each track of at least two spots, and the numbers of these tracks."""
    tracks = spots.loc[spots["track"] >= 0, ["track", "frame", "y_px", "x_px"]]
    tracks = tracks.sort_values(["track", "frame"])
    bounds = np.flatnonzero(np.diff(tracks["track"], prepend=-1, append=-1))
    ids, place = tracks.index.to_numpy(), tracks[["y_px", "x_px"]].to_numpy() * size
    frame, written = tracks["frame"].to_numpy(), []
    yield "<AllTracks>\n"
    for first, last in pairwise(bounds.tolist()):
        if last - first < 2:
            continue
        number = int(tracks["track"].iloc[first])
        start, stop = float(frame[first] * step), float(frame[last - 1] * step)
        features = {
            "name": f"Track_{number}",
            "TRACK_INDEX": len(written),
            "TRACK_ID": number,
            "NUMBER_SPOTS": last - first,
            "TRACK_DURATION": stop - start,
            "TRACK_START": start,
            "TRACK_STOP": stop,
        }
        yield f"<Track{_attributes(features)}>\n"
        moved = np.hypot(*np.diff(place[first:last], axis=0).T).tolist()
        for (source, target), distance in zip(pairwise(ids[first:last]), moved, strict=True):
            edge = {"SPOT_SOURCE_ID": source, "SPOT_TARGET_ID": target, "LINK_COST": -1.0}
            yield f"<Edge{_attributes(edge | {'DISPLACEMENT': distance})} />\n"
        yield "</Track>\n"
        written.append(number)
    yield "</AllTracks>\n<FilteredTracks>\n"
    yield from (f'<TrackID TRACK_ID="{number}" />\n' for number in written)
    yield "</FilteredTracks>\n"


def _settings(
    spots: pd.DataFrame, source: Path | None, shape: tuple[int, int, int], size: float, step: float
) -> Iterator[str]:
    """Image, and settings as of spots and tracks that were made by hand."""
    n_frames, height, width = shape
    image = {
        "filename": "" if source is None else source.name,
        "folder": "" if source is None else str(source.parent),
        "width": width,
        "height": height,
        "nslices": 1,
        "nframes": n_frames,
        "pixelwidth": size,
        "pixelheight": size,
        "voxeldepth": 1.0,
        "timeinterval": step,
    }
    whole = {
        "xstart": 0, "xend": width - 1, "ystart": 0, "yend": height - 1, "zstart": 0,
        "zend": 0, "tstart": 0, "tend": n_frames - 1,
    }  # fmt: skip
    radius = float(spots["diameter_px"].median()) * size / 2 if len(spots) else size
    detector = {"DETECTOR_NAME": "MANUAL_DETECTOR", "RADIUS": radius}
    threshold = {"feature": "QUALITY", "value": 0.0, "isabove": "true"}
    yield "<Settings>\n"
    yield f"<ImageData{_attributes(image)} />\n"
    yield f"<BasicSettings{_attributes(whole)} />\n"
    yield f"<DetectorSettings{_attributes(detector)} />\n"
    yield f"<InitialSpotFilter{_attributes(threshold)} />\n"
    yield "<SpotFilterCollection />\n"
    yield '<TrackerSettings TRACKER_NAME="MANUAL_TRACKER" />\n'
    yield "<TrackFilterCollection />\n"
    yield "<AnalyzerCollection><SpotAnalyzers /><EdgeAnalyzers /><TrackAnalyzers />"
    yield "</AnalyzerCollection>\n</Settings>\n"


def _attributes(values: dict[str, object]) -> str:
    """Attributes of an element; numbers are rounded as in tables, an unknown one is NaN."""
    return "".join(f" {key}={_value(value)}" for key, value in values.items())


def _value(value: object) -> str:
    """Quoted value of an attribute."""
    if isinstance(value, str):
        return quoteattr(_NO_XML.sub("_", value))
    if isinstance(value, float):
        return f'"{value:.{DIGITS}g}"' if math.isfinite(value) else '"NaN"'
    return f'"{value}"'
