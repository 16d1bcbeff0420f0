"""Open a recording: a file, a folder or an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinscope.recordings.applied import with_applied
from spinscope.recordings.array import ArrayRecording
from spinscope.recordings.base import (
    IMAGE,
    TIFF,
    VIDEO,
    Recording,
    RecordingError,
    check_pixel_size,
)
from spinscope.recordings.folder import FolderRecording
from spinscope.recordings.kinds import KINDS, ZARR
from spinscope.recordings.ome_zarr import ZarrRecording
from spinscope.recordings.tiff import TiffRecording
from spinscope.recordings.video import VideoRecording


def open_recording(
    source: Path | str | np.ndarray,
    *,
    pixel_size: float | None = None,
    only: Sequence[str] | None = None,
) -> Recording:
    """Open an image, a TIFF stack, a video, a microscope's file, a folder of images or an array.

    Parameters
    ----------
    source : Path, str or (n, H, W) array
        File, folder, or frames of any type of real numbers.
    pixel_size : float, optional
        Pixel size in m, which overrides the file's metadata.
    only : sequence of str, optional
        Names of the frames of a folder, in the order wanted; by default all in natural order.

    Returns
    -------
    Recording
        Frames with their calibration, and what was done to the sample (`applied`).

    Raises
    ------
    RecordingError
        Where it cannot be opened, the pixel size is not from 0.5 nm to 10 µm, or the first frame is
        not a micrograph: one channel or equal ones, at least 8 pixels a side, at most 2**29 pixels.
        Also for a table of applied quantities that does not fit, see `with_applied`.

    Examples
    --------
    >>> open_recording(np.zeros((5, 32, 48), dtype=np.uint8)).shape
    (32, 48)
    """
    check_pixel_size(pixel_size)
    if isinstance(source, np.ndarray):
        recording: Recording = ArrayRecording(source)
    else:
        recording = _open_path(Path(source), only)
    if pixel_size is not None:
        recording.pixel_size = float(pixel_size)
    return with_applied(recording)


def _open_path(path: Path, only: Sequence[str] | None) -> Recording:
    """Open a folder or a file, by its suffix."""
    if path.is_dir() and path.suffix.lower() == ZARR:
        return ZarrRecording(path)
    if path.is_dir():
        return FolderRecording(path, only)
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    kind = path.suffix.lower()
    if kind in KINDS:
        return KINDS[kind](path)
    for suffixes, recording in (
        (TIFF, TiffRecording), (VIDEO, VideoRecording), (IMAGE, FolderRecording)
    ):  # fmt: skip
        if kind in suffixes:
            return recording(path)
    raise RecordingError(
        f"{path}: a file that ends in {path.suffix or 'nothing'!r} cannot be read; frames come "
        "from PNG, TIFF, BMP or JPEG images, AVI, MP4, MOV or MKV videos, MRC, EMD, DM3, DM4, SER, "
        "EMI, TVIPS, SIF, DCIMG, B16, PCORAW or OME-Zarr files, or a folder of images"
    )
