"""Frames of a numpy array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from spinscope.recordings.base import Recording, RecordingError, check_float, check_size

_SCALES = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


class ArrayRecording(Recording):
    """Frames of an array that is in memory.

    Parameters
    ----------
    frames : (n, H, W) or (H, W) array
        Pixels: uint8, uint16, or floating-point in [0, 1].
    name : str
        Name of the recording.
    """

    def __init__(self, frames: np.ndarray, name: str = "array"):
        self.name, self.path = name, Path(name)
        frames = frames[None] if frames.ndim == 2 else frames
        if frames.ndim != 3 or not len(frames):
            raise RecordingError(f"{name} of shape {frames.shape} must be (n, H, W) or (H, W)")
        if frames.dtype not in _SCALES and frames.dtype.kind != "f":
            raise RecordingError(
                f"{name}: {frames.dtype} pixels; must be uint8, uint16 or floating-point in [0, 1]"
            )
        check_size(name, *frames.shape[1:])
        self._frames = frames
        self.n, self.shape = len(frames), frames.shape[1:]
        self.scale = _SCALES.get(frames.dtype, 1.0)
        self.fingerprint = hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()

    def read(self, index: int) -> np.ndarray:
        """Return the pixels (H, W) of one frame."""
        self.check_index(index)
        pixels = self._frames[index]
        return check_float(self.name, pixels, index) if pixels.dtype.kind == "f" else pixels
