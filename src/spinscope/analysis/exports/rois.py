"""Outlines of objects for the ROI Manager of ImageJ and Fiji."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.contours import contours
from spinscope.analysis.exports.frames import Frames
from spinscope.classes import COLOURS


def write_rois(target: Path, frames: Frames) -> None:
    """Write a ROI set: one traced outline per object, at the position of its frame (from 1).

    A ROI is named FRAME-OBJECT-CLASS, as 0007-0012-skyrmion, and contains the object with its
    holes filled. Each hole is a ROI of its own, 0007-0012-skyrmion-hole-1; XOR in the ROI Manager
    gives the object exactly. Sizes are in pixels: ImageJ scales them by the open image.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for index, _, mask in frames:
            for class_, name, numbers, _ in frames.objects(mask):
                for contour in contours(numbers):
                    stem = f"{frames.names(index)}-{contour.number:04d}-{name}"
                    _add(file, contour.outer, stem, index, class_)
                    for k, hole in enumerate(contour.holes, 1):
                        _add(file, hole, f"{stem}-hole-{k}", index, class_)


def _add(file: zipfile.ZipFile, ring: np.ndarray, name: str, index: int, class_: int) -> None:
    """Add one closed outline to a ROI set."""
    import roifile

    roi = roifile.ImagejRoi.frompoints(ring[:, ::-1], name=name, position=index)
    roi.roitype = roifile.ROI_TYPE.TRACED
    roi.bottom, roi.right = (int(side) for side in ring.max(axis=0))
    roi.stroke_color = b"\xff" + COLOURS[class_ % len(COLOURS)].tobytes()
    file.writestr(f"{name}.roi", roi.tobytes())
