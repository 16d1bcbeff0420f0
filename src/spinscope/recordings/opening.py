"""Open a recording: a file, a folder, an array, or a folder that a camera is filling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spinscope.recordings.array import ArrayRecording
from spinscope.recordings.base import IMAGE, TIFF, VIDEO, Recording, RecordingError
from spinscope.recordings.folder import FolderRecording
from spinscope.recordings.tiff import TiffRecording
from spinscope.recordings.video import VideoRecording
from spinscope.recordings.watch import WatchedFolder


def open_recording(
    source: Path | str | np.ndarray,
    *,
    pixel_size: float | None = None,
    only: Sequence[str] | None = None,
) -> Recording:
    """Open an image, a TIFF stack, a video, a folder of images or an array.

    Parameters
    ----------
    source : Path, str or (n, H, W) array
        File, folder, or frames as uint8, uint16 or floating-point in [0, 1].
    pixel_size : float, optional
        Pixel size in m, which overrides the file's metadata.
    only : sequence of str, optional
        Names of the frames of a folder, in the order wanted; by default all in natural order.

    Returns
    -------
    Recording
        Frames with their calibration.

    Raises
    ------
    RecordingError
        Where it cannot be opened, or its first frame is not a micrograph: grayscale, at least
        8 pixels a side and at most 2**29 pixels.

    Examples
    --------
    >>> open_recording(np.zeros((5, 32, 48), dtype=np.uint8)).shape
    (32, 48)
    """
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise RecordingError(f"pixel size (={pixel_size}) must be a positive length in metres")
    if isinstance(source, np.ndarray):
        recording: Recording = ArrayRecording(source)
    else:
        recording = _open_path(Path(source), only)
    if pixel_size is not None:
        recording.pixel_size = float(pixel_size)
    return recording


def _open_path(path: Path, only: Sequence[str] | None) -> Recording:
    """Open a folder or a file, by its suffix."""
    if path.is_dir():
        return FolderRecording(path, only)
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    kind = path.suffix.lower()
    for suffixes, recording in (
        (TIFF, TiffRecording), (VIDEO, VideoRecording), (IMAGE, FolderRecording)
    ):  # fmt: skip
        if kind in suffixes:
            return recording(path)
    raise RecordingError(
        f"{path}: a file that ends in {path.suffix or 'nothing'!r} cannot be read; frames come "
        "from PNG, TIFF, BMP or JPEG images, AVI, MP4, MOV or MKV videos, or a folder of images"
    )


def watch(
    folder: Path | str,
    *,
    settle: float = 1.0,
    poll: float = 0.1,
    stop: Callable[[], bool] = lambda: False,
    idle: float | None = None,
    pixel_size: float | None = None,
) -> Recording:
    """Open a folder that a camera is filling; each frame is read once its file is complete.

    Parameters
    ----------
    folder : Path or str
        Folder to watch.
    settle : float
        Seconds without growth after which a file is complete; one that opens without an error is
        read at once.
    poll : float
        Seconds between two checks of the folder.
    stop : callable
        `frames()` ends when it returns True.
    idle : float, optional
        `frames()` ends after so many seconds without a new file; by default never.
    pixel_size : float, optional
        Pixel size in m, which overrides the files' metadata.

    Returns
    -------
    Recording
        Frames in order of arrival; `n` is None, and `shape`, `scale` and `pixel_size` wait for the
        first frame.

    Raises
    ------
    RecordingError
        Where the folder does not exist, and from `frames()` where it vanishes.
    """
    return WatchedFolder(
        Path(folder), settle=settle, poll=poll, stop=stop, idle=idle, pixel_size=pixel_size
    )
