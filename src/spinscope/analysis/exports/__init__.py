"""Export masks to other programs: ROI sets, label images, COCO, tables, overlays and videos.

Every writer has the same signature, writes its target whole or not at all, and holds one frame in
memory at a time; `write_table` describes the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from spinscope.analysis.exports.coco import write_coco
from spinscope.analysis.exports.frames import Frame, number
from spinscope.analysis.exports.ome import write_class_image, write_object_image
from spinscope.analysis.exports.overlays import write_overlays
from spinscope.analysis.exports.rois import write_rois
from spinscope.analysis.exports.table import write_table
from spinscope.analysis.exports.video import write_video
from spinscope.errors import SpinscopeError

KINDS = {
    "roi": write_rois,
    "labels": write_object_image,
    "classes": write_class_image,
    "coco": write_coco,
    "csv": write_table,
    "png": write_overlays,
    "mp4": write_video,
}
"""Format → function that writes it."""

SUFFIXES = {
    "roi": ".rois.zip",
    "labels": ".objects.ome.tif",
    "classes": ".classes.ome.tif",
    "coco": ".coco.json",
    "csv": ".objects.csv",
    "png": ".overlays",
    "mp4": ".mp4",
}
"""Format → suffix of its file."""

DRAWN = {"png", "mp4"}
"""Formats that are drawn on the images of the frames."""


def write(
    kinds: Sequence[str], stem: Path, frames: Callable[[], Iterable[Frame]], **options: Any
) -> dict[str, Path]:
    """Write frames in several formats.

    Parameters
    ----------
    kinds : sequence of str
        Formats, of `KINDS`.
    stem : Path
        Path of the files without their suffix.
    frames : callable
        Returns the frames, once per format.
    **options
        Parameters of the writers, see `write_table`.

    Returns
    -------
    dict
        Format → file.

    Raises
    ------
    SpinscopeError
        For an unknown format.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise SpinscopeError(f"export {kind!r} must be one of {', '.join(KINDS)}")
    targets = {kind: stem.with_name(stem.name + SUFFIXES[kind]) for kind in kinds}
    for kind, target in targets.items():
        KINDS[kind](target, frames(), **options)
    return targets


__all__ = ["DRAWN", "KINDS", "SUFFIXES", "number", "write"]
