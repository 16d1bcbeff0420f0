"""Open a recording: one function for files and folders, one for a folder that is being filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spinscope.recordings.base import IMAGE, TIFF, VIDEO, Recording, RecordingError
from spinscope.recordings.folder import FolderRecording
from spinscope.recordings.tiff import TiffRecording
from spinscope.recordings.video import VideoRecording
from spinscope.recordings.watch import WatchedFolder


def open_recording(
    path: Path | str, *, pixel_size: float | None = None, only: Sequence[str] | None = None
) -> Recording:
    """Open an image, a TIFF stack, a video or a folder of images.

    pixel_size : metres; takes the place of what the file says.
    only : names of the frames of a folder, in the order wanted; all in natural order by default.
    Raises RecordingError where it cannot be opened or its first frame is not a micrograph: grayscale,
    at least 8 pixels a side and at most 2**29 pixels.
    """
    path = Path(path)
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise RecordingError(f"pixel size (={pixel_size}) must be a positive length in metres")
    if path.is_dir():
        recording: Recording = FolderRecording(path, only)
    elif not path.exists():
        raise RecordingError(f"{path} does not exist")
    elif (kind := path.suffix.lower()) in TIFF:
        recording = TiffRecording(path)
    elif kind in VIDEO:
        recording = VideoRecording(path)
    elif kind in IMAGE:
        recording = FolderRecording(path)
    else:
        raise RecordingError(
            f"{path}: a file that ends in {path.suffix or 'nothing'!r} cannot be read; frames come "
            "from PNG, TIFF, BMP or JPEG images, AVI, MP4, MOV or MKV videos, or a folder of images"
        )
    if pixel_size is not None:
        recording.pixel_size = float(pixel_size)
    return recording


def watch(
    folder: Path | str,
    *,
    settle: float = 1.0,
    poll: float = 0.1,
    stop: Callable[[], bool] = lambda: False,
    idle: float | None = None,
    pixel_size: float | None = None,
) -> Recording:
    """Frames of a folder that a camera is filling, each as soon as its file is whole.

    settle : a file that has not grown for so many seconds is taken to be whole; one that opens
    cleanly is taken at once.   poll : seconds between two looks.
    `frames()` ends when `stop()` is true or no new file came for `idle` seconds (None: never).
    `n` is None; `shape`, `scale` and `pixel_size` wait for the first frame.
    Raises RecordingError where the folder does not exist, and from `frames()` where it vanishes.
    """
    return WatchedFolder(
        Path(folder), settle=settle, poll=poll, stop=stop, idle=idle, pixel_size=pixel_size
    )
