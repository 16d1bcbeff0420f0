"""Frames of a file, a folder, an array or a camera, with their calibration."""

from spinscope.recordings.base import (
    Recording,
    RecordingError,
    check_pixel_size,
    image_of,
    readable_frames,
)
from spinscope.recordings.opening import open_recording
from spinscope.recordings.watch import WatchedFolder

__all__ = [
    "Recording",
    "RecordingError",
    "WatchedFolder",
    "check_pixel_size",
    "image_of",
    "open_recording",
    "readable_frames",
]
