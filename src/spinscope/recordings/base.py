"""Base class of all recordings, and the checks that they have in common.

Frames are read as the recording stores them: (H, W) uint8, uint16 or float32, order (y, x).
`image_of` converts them to the (H, W) float32 images in [0, 1] used elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from spinscope.config import PIXEL_SIZES_NM
from spinscope.errors import SpinscopeError
from spinscope.images import MAX_PIXELS, MIN_SIDE

TIFF = {".tif", ".tiff", ".btf", ".tf8"}
VIDEO = {".avi", ".mp4", ".m4v", ".mov", ".mkv"}
IMAGE = {".png", ".bmp", ".jpg", ".jpeg"} | TIFF

_ENDS = 1 << 16


class RecordingError(SpinscopeError):
    """A frame that cannot be read.

    Parameters
    ----------
    text : str
        One sentence for the user.
    index : int
        Number of the frame; the frames before it are good.
    """

    def __init__(self, text: str, index: int = 0):
        super().__init__(text)
        self.index = index


class Recording(ABC):
    """Frames of one recording, all of one size and one depth.

    Attributes
    ----------
    name : str
        Name of the outputs.
    path : Path
        File or folder of the recording.
    n : int or None
        Number of frames, None where it is not known beforehand.
    shape : (int, int)
        Height and width in px.
    scale : float
        Pixel value of white: 255, 4095, 65535 or 1.
    pixel_size : float or None
        Pixel size in m.
    interval : float or None
        Time between frames in s.
    fingerprint : str
        Hash that changes with the content, from size, modification time, head and tail.
    """

    name: str
    path: Path
    n: int | None
    shape: tuple[int, int]
    scale: float
    pixel_size: float | None = None
    interval: float | None = None
    fingerprint: str

    def names(self, index: int) -> str:
        """Return the name of a frame: its number from 0 with leading zeros, as "0007"."""
        return f"{index:0{max(4, len(str(self.n - 1)))}d}"

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Read the pixels (H, W) of one frame.

        Raises
        ------
        RecordingError
            Where there is no such frame, or it cannot be read.
        """

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over (index, pixels) in order.

        Raises
        ------
        RecordingError
            At the first frame that cannot be read; `frames(error.index + 1)` continues behind it.
        """
        for index in range(start, self.n):
            yield index, self.read(index)

    def close(self) -> None:  # noqa: B027 - most recordings keep no file open
        """Close open files; the next read opens them again."""

    def check_index(self, index: int) -> None:
        """Refuse the number of a frame that does not exist."""
        if not 0 <= index < self.n:
            raise RecordingError(
                f"{self.path}: frame {index} does not exist; it has frames 0 to {self.n - 1}", index
            )

    def check_like(
        self, shape: tuple[int, int], scale: float, index: int, path: Path | None = None
    ) -> None:
        """Refuse a frame of another size or depth than the recording; `path` is its file."""
        name = path or self.path
        if tuple(shape) != tuple(self.shape):
            raise RecordingError(
                f"{name}: frame {index} is {shape[1]}x{shape[0]} pixels; the frames before it are "
                f"{self.shape[1]}x{self.shape[0]}, and all must be of one size",
                index,
            )
        if scale != self.scale:
            raise RecordingError(
                f"{name}: frame {index} has pixels of full scale {scale:g}; the frames before it "
                f"have {self.scale:g}, and all must be of one depth",
                index,
            )


def image_of(raw: np.ndarray, scale: float) -> np.ndarray:
    """Divide pixels by their scale: (H, W) float32 in [0, 1], higher values clipped to 1.

    >>> image_of(np.array([[0, 4095]], dtype=np.uint16), 4095)
    array([[0., 1.]], dtype=float32)
    """
    image = np.divide(raw, np.float32(scale), dtype=np.float32)
    if raw.dtype.kind == "u" and scale < np.iinfo(raw.dtype).max:
        np.minimum(image, 1, out=image)
    return image


def check_pixel_size(pixel_size: float | None) -> float | None:
    """Return a pixel size in m if it is unknown or one that a micrograph can have.

    Raises
    ------
    RecordingError
        If it is not from 0.5 nm to 10 µm.
    """
    low, high = (size * 1e-9 for size in PIXEL_SIZES_NM)
    if pixel_size is None or (low <= pixel_size * (1 + 1e-12) and pixel_size <= high * (1 + 1e-12)):
        return pixel_size
    raise RecordingError(
        f"pixel size (={pixel_size:g}) must be a length from {low:g} m ({low * 1e9:g} nm) to "
        f"{high:g} m ({high * 1e6:g} µm)"
    )


def check_size(name: str | Path, height: int, width: int, index: int = 0) -> None:
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


def check_float(name: str | Path, pixels: np.ndarray, index: int = 0) -> np.ndarray:
    """Return floating-point pixels as float32; refuse any that are not finite and in [0, 1]."""
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


def fingerprint(files: list[Path]) -> str:
    """Hash names, sizes and modification times of files, and head and tail of the first and last.

    Reading a few kB is fast on a network share; the content between is covered by the times.
    """
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


def readable_frames(recording: Recording, indices: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield the frames (H, W) that can be read; a damaged one is reported where it is segmented."""
    for index in indices:
        with contextlib.suppress(RecordingError, OSError):
            yield recording.read(index)
