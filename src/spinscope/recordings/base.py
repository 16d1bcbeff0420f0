"""Base class of all recordings, and the checks that they have in common.

Frames are read as (H, W) uint8, uint16 or float32, order (y, x): unsigned pixels of 8 and 16 bit
as the recording stores them, others as intensities, see `Recording.intensity`. `image_of` converts
them to the (H, W) float32 images in [0, 1] used elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from spinscope.config import PIXEL_SIZES_NM
from spinscope.errors import SpinscopeError
from spinscope.images import MAX_PIXELS, MIN_SIDE

TIFF = {".tif", ".tiff", ".btf", ".tf8", ".pcoraw"}
VIDEO = {".avi", ".mp4", ".m4v", ".mov", ".mkv"}
IMAGE = {".png", ".bmp", ".jpg", ".jpeg"} | TIFF

_ENDS = 1 << 16

_CLIPPED = 0.01
"""At most this fraction of the pixels of a frame may be outside the range of the recording."""


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
    span : (float, float) or None
        Stored values that become the intensities 0 and 1, where they are not of 8 or 16 bit; None
        before the first of them is read.
    separate : bool
        Whether each frame is a file of its own.
    metadata : mapping
        Original metadata of a microscope's file, as its reader names them; empty for other files.
    labels : sequence of str
        Label of each frame in the metadata, or its file name in a folder; empty without labels.
    times : sequence of float
        Time of each frame in s in the metadata; empty where it is unknown.
    applied : mapping
        What was done to the sample, see `spinscope.recordings.applied`: column → (n,) float64
        array, NaN where unknown. Filled in by `open_recording`.
    """

    name: str
    path: Path
    n: int | None
    shape: tuple[int, int]
    scale: float
    pixel_size: float | None = None
    interval: float | None = None
    fingerprint: str
    span: tuple[float, float] | None = None
    separate: bool = False
    metadata: Mapping[str, Any] = MappingProxyType({})
    labels: Sequence[str] = ()
    times: Sequence[float] = ()
    applied: Mapping[str, np.ndarray] = MappingProxyType({})

    def names(self, index: int) -> str:
        """Return the name of a frame: its number from 0 with leading zeros, as "0007"."""
        return f"{index:0{max(4, len(str(self.n - 1)))}d}"

    def applied_at(self, index: int) -> dict[str, float]:
        """Return what was done to the sample in one frame: column → value, NaN where unknown."""
        return {column: float(values[index]) for column, values in self.applied.items()}

    @abstractmethod
    def stored(self, index: int) -> np.ndarray:
        """Read the pixels (H, W) of one frame as they are stored, of any type of numbers."""

    def read(self, index: int) -> np.ndarray:
        """Read the pixels (H, W) of one frame.

        Raises
        ------
        RecordingError
            Where there is no such frame, or it cannot be read.
        """
        return self.intensity(self.stored(index), index)

    def intensity(self, pixels: np.ndarray, index: int) -> np.ndarray:
        """Map the stored values of one frame to intensities.

        Unsigned pixels of 8 and 16 bit remain as they are, and signed ones are shifted by half of
        their range: -32768 becomes 0, and 0 becomes 32768. Other numbers are mapped linearly, all
        frames of a recording alike: those of `spanning` in [0, 1] remain as they are, else `span`
        is their range, extended by half of it at both ends.

        Parameters
        ----------
        pixels : (H, W) array
            Stored values.
        index : int
            Number of the frame.

        Returns
        -------
        (H, W) uint8, uint16 or float32 array
            Intensities; float32 in [0, 1], values outside clipped.

        Raises
        ------
        RecordingError
            Where values are not finite, or over 1 % of them are outside `span`.
        """
        if pixels.dtype.kind == "b":
            return pixels.astype(np.uint8) * np.uint8(255)
        if pixels.dtype.kind == "c":
            raise RecordingError(
                f"{self.path}: pixels of frame {index} are {pixels.dtype}; must be real", index
            )
        if pixels.dtype.itemsize <= 2 and pixels.dtype.kind in "ui":
            return pixels if pixels.dtype.kind == "u" else _shifted(pixels)
        check_finite(self.path, pixels, index)
        if self.span is None:
            self.span = span_of([pixels, *self._stored(self.spanning())])
        low, high = self.span
        image = np.subtract(pixels, low, dtype=np.float64)
        image /= high - low
        outside = np.count_nonzero((image < 0) | (image > 1))
        if outside > _CLIPPED * image.size:
            raise RecordingError(
                f"{self.path}: values of frame {index} span {pixels.min():g} to {pixels.max():g}; "
                f"at most {_CLIPPED:.0%} of its pixels may be outside the range of the recording, "
                f"{low:g} to {high:g}",
                index,
            )
        return np.clip(image, 0, 1).astype(np.float32)

    def spanning(self) -> set[int]:
        """Frames that decide the range of all: the first, the middle and the last one."""
        return {0, self.n // 2, self.n - 1}

    def _stored(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the stored values of frames, as far as they can be read and are finite."""
        for index in indices:
            with contextlib.suppress(RecordingError, OSError):
                pixels = self.stored(index)
                check_finite(self.path, pixels, index)
                yield pixels

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over (index, pixels) in order.

        Raises
        ------
        RecordingError
            At the first frame that cannot be read; `frames(error.index + 1)` continues behind it.
        """
        for index in range(start, self.n):
            yield index, self.read(index)

    def frames_or_errors(self, start: int = 0) -> Iterator[tuple[int, np.ndarray | RecordingError]]:
        """Iterate over (index, pixels) in order; a frame that cannot be read gives its error.

        Raises
        ------
        RecordingError
            Where no frame can be read, and where a file ends before its last two frames or more.
        """
        lost: list[RecordingError] = []
        good = start > 0
        index = start
        while index < self.n:
            try:
                for index, pixels in self.frames(index):  # noqa: B020 - resumes behind an error
                    yield from ((error.index, error) for error in lost)
                    yield index, pixels
                    lost, good = [], True
                    index += 1
                if index < self.n:
                    raise RecordingError(
                        f"{self.path} ends before frame {index} of {self.n}", index
                    )
            except RecordingError as error:
                error.index = max(error.index, index)
                lost.append(error)
                index = error.index + 1
        if lost and (not good or not (self.separate or len(lost) == 1)):
            raise lost[0]
        yield from ((error.index, error) for error in lost)

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


def check_finite(name: str | Path, pixels: np.ndarray, index: int = 0) -> None:
    """Refuse pixels that are NaN or infinite."""
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise RecordingError(
            f"{name}: {bad} pixels of frame {index} are NaN or infinite; all must be finite", index
        )


def white_level(dtype: np.dtype) -> float:
    """Return the pixel value of white after `Recording.intensity`.

    >>> white_level(np.dtype("int16")), white_level(np.dtype("float32"))
    (65535.0, 1.0)
    """
    if dtype.kind == "b" or (dtype.kind in "ui" and dtype.itemsize == 1):
        return 255.0
    return 65535.0 if dtype.kind in "ui" and dtype.itemsize == 2 else 1.0


def span_of(frames: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the values that become the intensities 0 and 1.

    >>> span_of([np.array([0.2, 0.9])]), span_of([np.array([-10, 10])])
    ((0.0, 1.0), (-20.0, 20.0))
    """
    ranges = [(float(pixels.min()), float(pixels.max()), pixels.dtype.kind) for pixels in frames]
    low, high = min(row[0] for row in ranges), max(row[1] for row in ranges)
    if low >= 0 and high <= 1 and ranges[0][2] == "f":
        return 0.0, 1.0
    margin = (high - low) / 2 or max(abs(high), 1.0)
    return low - margin, high + margin


def _shifted(pixels: np.ndarray) -> np.ndarray:
    """Signed pixels as unsigned ones, shifted by half of their range."""
    kind = np.dtype(f"u{pixels.dtype.itemsize}")
    return pixels.astype(pixels.dtype.newbyteorder("=")).view(kind) ^ kind.type(
        1 << 8 * kind.itemsize - 1
    )


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
