"""Export masks to other programs: outlines, label images, tables, tracks, overlays, videos.

Each module writes one format. `KINDS` holds the writers, which write their target whole or not at
all and hold one frame in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.analysis.exports.coco import write_coco
from spinscope.analysis.exports.frames import Frame, Frames, number
from spinscope.analysis.exports.geojson import write_geojson
from spinscope.analysis.exports.ngff import write_zarr
from spinscope.analysis.exports.ome import write_class_image, write_object_image
from spinscope.analysis.exports.overlays import write_overlays
from spinscope.analysis.exports.rois import write_rois
from spinscope.analysis.exports.table import write_table
from spinscope.analysis.exports.trackmate import write_trackmate
from spinscope.analysis.exports.video import write_video
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder

if TYPE_CHECKING:
    import pandas as pd

DRAWN = {"png", "mp4", "zarr"}
"""Formats that contain the images of the frames."""

FOLDERS = {"png", "zarr"}
"""Formats that are a folder."""

SUFFIXES = {
    "roi": ".rois.zip",
    "labels": ".objects.ome.tif",
    "classes": ".classes.ome.tif",
    "coco": ".coco.json",
    "geojson": ".geojson",
    "zarr": ".ome.zarr",
    "csv": ".objects.csv",
    "png": ".overlays",
    "mp4": ".mp4",
    "trackmate": ".trackmate.xml",
}
"""Format → suffix of its file or folder."""


def _writer(kind: str, write_frames: Callable[..., None]) -> Callable[..., int]:
    """Writer of one format, from the function that writes its content."""

    def write_kind(
        target: Path | str,
        frames: Iterable[Frame],
        *,
        classes: Sequence[str],
        pixel_size: float | None = None,
        interval: float | None = None,
        names: Callable[[int], str] = number,
        min_px: int = 1,
        tracks: pd.DataFrame | None = None,
        source: Path | None = None,
        reviewers: Callable[[int], str] | None = None,
        **options: Any,
    ) -> int:
        """Write frames to a file or folder, and return their number.

        Objects are numbered 1 … n by class and frame, as in the table of objects.

        Parameters
        ----------
        target : Path or str
            File or folder to write.
        frames : iterable of Frame
            Index, image (H, W) of any real type or None, and mask (H, W) uint8 of each frame.
        classes : sequence of str
            Name of each class.
        pixel_size, interval : float, optional
            Pixel size in m and time between frames in s.
        names : callable
            Index → name of a frame; by default its number.
        min_px : int
            Objects of fewer pixels are left out.
        tracks : DataFrame, optional
            Columns `frame`, `object` and `track`: the tracks that "trackmate" writes, by default
            those of `link`.
        source : Path, optional
            File of the recording, which "trackmate" names.
        reviewers : callable, optional
            Index → who reviewed the mask, "" for nobody; then "csv" has a column `reviewer`.
        **options
            Options of the format, as `object_class` of "labels".

        Raises
        ------
        SpinscopeError
            For no frame, frames of several sizes, a class without a name, a missing image of a
            format in `DRAWN`, and a target that cannot be written.
        """
        drawn = kind in DRAWN
        checked = Frames(
            frames, classes, pixel_size, interval, names, min_px, drawn, tracks, source, reviewers
        )
        try:
            with (atomic_folder if kind in FOLDERS else atomic_file)(target) as partial:
                write_frames(partial, checked, **options)
        except OSError as error:  # a full disk, missing rights
            raise SpinscopeError(
                f"{target} cannot be written: {error.strerror or error}; nothing of it was kept"
            ) from error
        return checked.count

    return write_kind


KINDS = {
    kind: _writer(kind, write_frames)
    for kind, write_frames in {
        "roi": write_rois,
        "labels": write_object_image,
        "classes": write_class_image,
        "coco": write_coco,
        "geojson": write_geojson,
        "zarr": write_zarr,
        "csv": write_table,
        "png": write_overlays,
        "mp4": write_video,
        "trackmate": write_trackmate,
    }.items()
}
"""Format → function that writes it."""


def chosen(words: Sequence[str]) -> list[str]:
    """Formats that words name: each a format, several with commas between them, or "all".

    Raises
    ------
    SpinscopeError
        For an unknown format.

    Examples
    --------
    >>> chosen(["roi,mp4", "roi"])
    ['roi', 'mp4']
    """
    kinds: dict[str, None] = {}
    for kind in (part.strip() for word in words for part in word.split(",")):
        if kind != "all" and kind not in KINDS:
            raise SpinscopeError(f"export {kind!r} must be one of {', '.join(KINDS)}, or all")
        kinds |= dict.fromkeys(KINDS if kind == "all" else [kind])
    return list(kinds)


def write(
    kinds: Sequence[str], stem: Path, frames: Callable[[], Iterable[Frame]], **options: Any
) -> dict[str, Path]:
    """Write frames in several formats.

    Parameters
    ----------
    kinds : sequence of str
        Formats, as `chosen` reads them.
    stem : Path
        Path of the files without their suffix.
    frames : callable
        Returns the frames, once per format.
    **options
        Parameters of the writers.

    Returns
    -------
    dict
        Format → file.

    Raises
    ------
    SpinscopeError
        For an unknown format.
    """
    targets = {kind: stem.with_name(stem.name + SUFFIXES[kind]) for kind in chosen(kinds)}
    for kind, target in targets.items():
        KINDS[kind](target, frames(), **options)
    return targets


__all__ = ["DRAWN", "KINDS", "SUFFIXES", "chosen", "number", "write"]
