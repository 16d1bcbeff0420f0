"""Frames of a file, a folder, an array or a camera, with their calibration."""

from spinscope.recordings.base import Recording, RecordingError, image_of
from spinscope.recordings.opening import open_recording, watch

__all__ = ["Recording", "RecordingError", "image_of", "open_recording", "watch"]
