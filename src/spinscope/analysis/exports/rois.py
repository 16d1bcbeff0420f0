"""Outlines of objects for the ROI Manager of ImageJ and Fiji."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.contours import contours
from spinscope.analysis.exports.frames import Frame, checked, number, objects, written
from spinscope.classes import COLOURS


def write_rois(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write a ROI set: one traced outline an object, at the position of its frame (from 1).

    A ROI is called `FRAME-OBJECT-CLASS`, as 0007-0012-skyrmion, and holds the object with its holes
    filled; each hole follows as a ROI of its own, 0007-0012-skyrmion-hole-1 (XOR in the ROI Manager
    gives the object exactly). Sizes are in pixels: ImageJ scales them by the image that is open.
    """
    count = 0
    with written(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for index, _, mask in checked(frames, classes):
            for class_, name, numbers, _ in objects(mask, classes, min_px):
                for contour in contours(numbers):
                    stem = f"{names(index)}-{contour.number:04d}-{name}"
                    _add(file, contour.outer, stem, index, class_)
                    for k, hole in enumerate(contour.holes, 1):
                        _add(file, hole, f"{stem}-hole-{k}", index, class_)
            count += 1
    return count


def _add(file: zipfile.ZipFile, ring: np.ndarray, name: str, index: int, class_: int) -> None:
    import roifile

    roi = roifile.ImagejRoi.frompoints(ring[:, ::-1], name=name, position=index)
    roi.roitype = roifile.ROI_TYPE.TRACED
    roi.bottom, roi.right = (int(side) for side in ring.max(axis=0))
    roi.stroke_color = b"\xff" + COLOURS[class_ % len(COLOURS)].tobytes()
    file.writestr(f"{name}.roi", roi.tobytes())
