"""Base class of recordings that are a file of a microscope or camera.

Only the headers are read on opening. A frame is read when it is requested.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.recordings.base import (
    Recording,
    RecordingError,
    check_pixel_size,
    check_size,
    fingerprint,
    white_level,
)


class FileRecording(Recording):
    """Frames of a file; `_open` returns its array of frames, and sets calibration and metadata.

    Parameters
    ----------
    path : Path
        File, or folder of a store.

    Raises
    ------
    RecordingError
        Where the file is damaged, or no recording.
    """

    _frames: Any = None

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem.removesuffix(".ome")
        self._lock = threading.Lock()
        try:
            self.fingerprint = fingerprint(self._files())
            self._frames = self._open()
            shape, dtype = tuple(self._frames.shape), np.dtype(self._frames.dtype)
        except RecordingError:
            raise
        except Exception as error:  # the readers raise many kinds on damaged files
            text = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(f"{path} is truncated or damaged: {text}") from error
        if len(shape) not in (2, 3) or not all(shape):
            raise RecordingError(f"{path}: data of shape {shape} must be (n, H, W) or (H, W)")
        if dtype.kind not in "buif":
            raise RecordingError(f"{path}: {dtype} pixels; must be real numbers")
        self._single = len(shape) == 2
        self.n, self.shape = int(self._count(shape)), tuple(map(int, self._plane(shape)))
        self.scale = white_level(dtype)
        check_size(path, *self.shape)

    def _files(self) -> list[Path]:
        """Files of the recording."""
        return [self.path]

    @abstractmethod
    def _open(self) -> Any:
        """Return the array of the frames, and set calibration and metadata."""

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._lock:
            if self._frames is not None:
                self._frames = None
                self._shut()

    def _shut(self) -> None:
        """Close what the reader keeps open."""

    def _reopen(self) -> None:
        """Open the file again, with the calibration that the recording has now."""
        known = self.pixel_size, self.interval, self.metadata
        try:
            self._frames = self._open()
        finally:
            self.pixel_size, self.interval, self.metadata = known
        shape = tuple(self._frames.shape)
        if (self._count(shape), self._plane(shape)) != (self.n, self.shape):
            self._frames = None
            raise ValueError("the file has changed since it was opened")

    def _count(self, shape: tuple[int, ...]) -> int:
        """Number of frames."""
        return 1 if self._single else shape[0]

    def _plane(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of a frame in px."""
        return shape[-2:]

    def _frame(self, index: int) -> Any:
        """Pixels of a frame."""
        return self._frames if self._single else self._frames[index]

    def stored(self, index: int) -> np.ndarray:
        """Read the stored pixels (H, W) of one frame."""
        self.check_index(index)
        try:
            with self._lock:
                if self._frames is None:
                    self._reopen()
                pixels = np.array(self._frame(index))
        except Exception as error:  # the readers raise many kinds on damaged files
            text = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(
                f"{self.path}: frame {index} cannot be read: {text}", index
            ) from error
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

    def _calibrate(self, y: float | None, x: float | None, interval: float | None = None) -> None:
        """Set pixel size and interval; pixels that are not square, and no micrograph's, have none.

        Parameters
        ----------
        y, x : float or None
            Sides of a pixel in m.
        interval : float, optional
            Time between frames in s.
        """
        self.interval = interval if interval and interval > 0 else None
        if y and x and abs(y / x - 1) <= 0.01:
            try:
                self.pixel_size = check_pixel_size(x)
            except RecordingError:
                self.pixel_size = None
