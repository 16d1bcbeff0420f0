"""Frames of a numpy array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from spinscope.recordings.base import Recording, RecordingError, check_size, white_level


class ArrayRecording(Recording):
    """Frames of an array that is in memory.

    Parameters
    ----------
    frames : (n, H, W) or (H, W) array
        Pixels, of any type of real numbers.
    name : str
        Name of the recording.
    """

    def __init__(self, frames: np.ndarray, name: str = "array"):
        self.name, self.path = name, Path(name)
        frames = frames[None] if frames.ndim == 2 else frames
        if frames.ndim != 3 or not len(frames):
            raise RecordingError(f"{name} of shape {frames.shape} must be (n, H, W) or (H, W)")
        if frames.dtype.kind not in "buif":
            raise RecordingError(f"{name}: {frames.dtype} pixels; must be real numbers")
        check_size(name, *frames.shape[1:])
        self._frames = frames
        self.n, self.shape = len(frames), frames.shape[1:]
        self.scale = white_level(frames.dtype)
        self.fingerprint = hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()

    def stored(self, index: int) -> np.ndarray:
        """Return the stored pixels (H, W) of one frame."""
        self.check_index(index)
        return self._frames[index]
