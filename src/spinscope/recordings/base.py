"""Frames of one recording: a stack, a video, a folder of images or a folder that is being filled.

Frames come as the recording holds them, (H, W) uint8, uint16 or float32, order (y, x); `image_of`
makes the (H, W) float32 image in [0, 1] of them that the rest of the program works with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.images import MAX_PIXELS, MIN_SIDE

TIFF = {".tif", ".tiff", ".btf", ".tf8"}
VIDEO = {".avi", ".mp4", ".m4v", ".mov", ".mkv"}
IMAGE = {".png", ".bmp", ".jpg", ".jpeg"} | TIFF

_ENDS = 1 << 16


class RecordingError(SpinscopeError):
    """A frame that cannot be read; `index` is its number, and the frames before it are good."""

    def __init__(self, text: str, index: int = 0):
        super().__init__(text)
        self.index = index


class Recording(Protocol):
    """Frames of one recording, all of one size and one scale.

    name, path : what names the outputs, and where the recording lies.
    n : number of frames that the recording promises, None where it is not known beforehand.
    shape : (H, W).   scale : a pixel's value / scale is in [0, 1] (255, 4095, 65535 or 1).
    pixel_size : metres, None unknown.   interval : seconds between frames, None unknown.
    fingerprint : changes when the bytes do: of size, time of change, head and tail.
    """

    name: str
    path: Path
    n: int | None
    shape: tuple[int, int]
    scale: float
    pixel_size: float | None
    interval: float | None
    fingerprint: str

    def names(self, index: int) -> str:
        """What to call a frame: "0007", or the stem of its file."""
        ...

    def read(self, index: int) -> np.ndarray:
        """Raw pixels (H, W) of one frame.   Raises RecordingError."""
        ...

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(index, raw pixels) in order, decoded one after another.

        Raises RecordingError at the first frame that cannot be read; `frames(error.index + 1)` goes
        on behind it.
        """
        ...


def image_of(raw: np.ndarray, scale: float) -> np.ndarray:
    """(H, W) float32 in [0, 1]: raw pixels over their scale; a value above the scale becomes 1.

    >>> image_of(np.array([[0, 4095]], dtype=np.uint16), 4095)
    array([[0., 1.]], dtype=float32)
    """
    image = np.divide(raw, np.float32(scale), dtype=np.float32)
    if raw.dtype.kind == "u" and scale < np.iinfo(raw.dtype).max:
        np.minimum(image, 1, out=image)
    return image


def check_size(name: str, height: int, width: int, index: int = 0) -> None:
    """Refuse a frame that is too large to decode or too small to be a micrograph."""
    if height * width > MAX_PIXELS:
        raise RecordingError(
            f"{name}: the header promises {width}x{height} pixels; at most {MAX_PIXELS} are read",
            index,
        )
    if min(height, width) < MIN_SIDE:
        raise RecordingError(
            f"{name}: {width}x{height} pixels; a side must be at least {MIN_SIDE}", index
        )


def check_like(
    name: str, shape: tuple[int, int], scale: float, recording: Recording, index: int
) -> None:
    """Refuse a frame that is not of its stream's size or depth."""
    if tuple(shape) != tuple(recording.shape):
        raise RecordingError(
            f"{name}: frame {index} is {shape[1]}x{shape[0]} pixels; the frames before it are "
            f"{recording.shape[1]}x{recording.shape[0]}, and all must be of one size",
            index,
        )
    if scale != recording.scale:
        raise RecordingError(
            f"{name}: frame {index} has pixels of full scale {scale:g}; the frames before it have "
            f"{recording.scale:g}, and all must be of one depth",
            index,
        )


def check_float(name: str, pixels: np.ndarray, index: int = 0) -> np.ndarray:
    """(H, W) float32 of floating-point pixels, if they are finite and in [0, 1]."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(pixels)).sum())
        raise RecordingError(
            f"{name}: {bad} pixels of frame {index} are NaN or infinite; all must be finite", index
        )
    if low < 0 or high > 1:
        raise RecordingError(
            f"{name}: values of frame {index} span {low:g} to {high:g}; floating-point pixels must "
            "lie in [0, 1]",
            index,
        )
    return pixels.astype(np.float32, copy=False)


def check_index(recording: Recording, index: int, n: int) -> None:
    """Refuse the number of a frame that the recording does not promise."""
    if not 0 <= index < n:
        raise RecordingError(
            f"{recording.path}: frame {index} does not exist; it has frames 0 to {n - 1}", index
        )


def fingerprint(files: list[Path]) -> str:
    """SHA-256 over names, sizes, times of change, and head and tail of the first and last file."""
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        digest.update(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    for path in files[:1] + files[1:][-1:]:
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(path.stat().st_size - _ENDS, 0))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()
