"""ROI sets of ImageJ and Fiji: outlines, rectangles, ovals and composites."""

from __future__ import annotations

import functools
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.analysis.imports.drawing import Canvas
from spinscope.analysis.imports.filling import ellipse, enclosed, filled
from spinscope.analysis.imports.target import Drawn, Masks, Target
from spinscope.classes import CLASSES
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    from roifile import ImagejRoi

_ROI_BYTES = 1 << 24
_HOLE = re.compile(r"(.+)-hole-\d+")
_AREA = {"POLYGON", "FREEHAND", "TRACED", "RECT", "OVAL"}


def read_rois(path: Path, target: Target) -> Masks:
    """Read a ROI set (ZIP) or a single ROI.

    A ROI belongs to the frame of its slice, counted from 1. Its class is the last word of its name
    if that is a class, as in `0007-0012-defect`. A ROI `NAME-hole-1` is a hole in the ROI `NAME`.

    Parameters
    ----------
    path : Path
        File, `.zip` or `.roi`.
    target : Target
        Frames and classes.

    Raises
    ------
    SpinscopeError
        For a damaged file, ROIs without an area, and ROIs of no frame.
    """
    objects: dict[int, dict[str, list[ImagejRoi]]] = {}
    for name, roi in _rois(path):
        frame = _frame(path, name, roi, target)
        found = objects.setdefault(frame, {})
        hole = _HOLE.fullmatch(name)
        if hole and hole[1] in found:
            found[hole[1]].append(roi)
        else:
            key, k = name, 1
            while key in found:
                key, k = f"{name} ({k + 1})", k + 1
            found[key] = [roi]
    return {
        frame: functools.partial(_draw, path, target, frame, found)
        for frame, found in objects.items()
    }


def _rois(path: Path) -> list[tuple[str, ImagejRoi]]:
    """Name and content of each ROI of a file, in order."""
    if path.suffix.lower() == ".roi":
        return [(path.stem, _decoded(path, path.name, path.read_bytes()))]
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.lower().endswith(".roi"):
                    continue
                with archive.open(entry) as file:
                    content = file.read(_ROI_BYTES + 1)
                found.append((Path(entry.filename).stem, _decoded(path, entry.filename, content)))
    except SpinscopeError:
        raise
    except Exception as error:  # zipfile raises many kinds on damaged archives
        text = " ".join(str(error).split()) or type(error).__name__
        raise SpinscopeError(f"{path} is not a readable ROI set: {text}") from error
    if not found:
        raise SpinscopeError(
            f"{path} holds no ROI; save the set in the ROI Manager with More › Save"
        )
    return found


def _decoded(path: Path, name: str, content: bytes) -> ImagejRoi:
    import logging

    import roifile

    logging.getLogger("roifile").setLevel(logging.CRITICAL)
    try:
        if len(content) > _ROI_BYTES:
            raise ValueError(f"it is larger than {_ROI_BYTES >> 20} MB")
        roi = roifile.ImagejRoi.frombytes(content)
    except Exception as error:  # roifile raises many kinds on damaged files
        text = " ".join(str(error).split()) or type(error).__name__
        raise SpinscopeError(f"{path}: {name} is not a readable ROI: {text:.200}") from error
    if roi.roitype.name not in _AREA or roi.subtype.name in ("TEXT", "ARROW", "IMAGE"):
        kind = roi.subtype.name if roi.roitype.name in _AREA else roi.roitype.name
        raise SpinscopeError(
            f"{path}: {name} is a ROI of type {kind.lower()}, which has no area; delete it from "
            "the set"
        )
    return roi


def _frame(path: Path, name: str, roi: ImagejRoi, target: Target) -> int:
    """Frame of a ROI, from its slice or its position in a hyperstack."""
    places = [roi.position, roi.t_position, roi.z_position]
    place = next((one for one in places if one > 1), max(places))
    if place <= 0:
        if len(target.names) == 1:
            return 0
        raise SpinscopeError(
            f"{path}: ROI {name!r} has no slice, and {target.path} has {len(target.names)} frames; "
            "set its position in the ROI Manager (Properties) and save the set again"
        )
    return target.at(place - 1, path, f"ROI {name!r} (slice {place})")


def _draw(path: Path, target: Target, frame: int, objects: dict[str, list[ImagejRoi]]) -> Drawn:
    canvas = Canvas(path, target, frame)
    for name, (outer, *holes) in objects.items():
        shown = f"ROI {name!r}"
        if outer.roitype.name == "OVAL":
            y0, x0, y1, x1 = box = _box(outer)
            pixels = ellipse(box, target.shape)
            _check_inside(path, target, shown, (y1 - y0) * (x1 - x0) * np.pi / 4, pixels[1])
        else:
            rings = [ring for roi in (outer, *holes) for ring in _rings(path, name, roi)]
            pixels = filled(rings, target.shape)
            largest = max(rings, key=enclosed)
            inside = filled([largest], target.shape)[1]
            _check_inside(path, target, shown, enclosed(largest), inside)
        word = name.split(" (")[0].rpartition("-")[2].strip().lower()
        class_ = CLASSES.index(word) if word in CLASSES else target.default
        canvas.draw(shown, class_, *pixels)
    return canvas.drawn()


def _check_inside(path: Path, target: Target, name: str, area: float, inside: np.ndarray) -> None:
    """Refuse an object that is mostly outside its frame."""
    count = int(np.count_nonzero(inside))
    if count < area / 2 - 1:
        raise SpinscopeError(
            f"{path}: {name} is mostly outside the frame, {count} of its {area:.0f} pixels are in "
            f"{target.shape[1]}x{target.shape[0]}; give the recording that the ROIs were drawn on"
        )


def _box(roi: ImagejRoi) -> tuple[float, float, float, float]:
    """Box (y0, x0, y1, x1) of a rectangle or oval in px."""
    if roi.subpixelrect:
        box = (roi.yd, roi.xd, roi.yd + roi.heightd, roi.xd + roi.widthd)
        if np.isfinite(box).all():
            return box
    return roi.top, roi.left, roi.bottom, roi.right


def _rings(path: Path, name: str, roi: ImagejRoi) -> list[np.ndarray]:
    """Corners (y, x) of each ring of an outline."""
    try:
        if roi.composite:
            rings = roi.coordinates(multi=True)
        elif roi.roitype.name == "RECT":
            y0, x0, y1, x1 = _box(roi)
            rings = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])]
        else:
            rings = [roi.coordinates()]
        rings = [np.asarray(ring, float)[:, ::-1] for ring in rings if len(ring) > 2]
    except Exception as error:  # curves, and whatever else a damaged path gives
        text = " ".join(str(error).split()) or type(error).__name__
        raise SpinscopeError(f"{path}: ROI {name!r} cannot be drawn: {text:.200}") from error
    if not rings or not all(np.isfinite(ring).all() for ring in rings):
        raise SpinscopeError(
            f"{path}: ROI {name!r} must have three finite corners or more; delete it from the set"
        )
    return rings
