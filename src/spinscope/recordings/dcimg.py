"""Frames of a DCIMG file of a Hamamatsu camera.

The format is not published. Its layout, little-endian, is the one that the package `dcimg` (MIT)
found, for both versions: 7 (header of a session, frames, footer) and 0x1000000 (every frame with a
footer of 32 bytes). A camera stores the first four pixels of one row elsewhere.

References
----------
G. Mazzamuto, dcimg (github.com/lens-biophotonics/dcimg), attributes of `DCIMGFile`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinscope.recordings.base import RecordingError, check_size
from spinscope.recordings.file import FileRecording

_OLD, _NEW = 0x7, 0x1000000
_FOOTER = 32
_MOVED = 4
_MOVED_ROW = 1023


@dataclass(frozen=True)
class _Session:
    """Places in the file, in bytes.

    Attributes
    ----------
    n, depth, width, height, row, image : int
        Number of frames, bytes of a pixel, sides in px, bytes of a row and of a frame.
    start, stride : int
        First frame, and distance of frames.
    moved_row : int
        Row whose first four pixels are elsewhere, -1 for none.
    moved, moved_stride : int
        Those of the first frame, and their distance.
    times, times_stride : int
        Time of the first frame, and their distance.
    """

    n: int
    depth: int
    width: int
    height: int
    row: int
    image: int
    start: int
    stride: int
    moved_row: int
    moved: int
    moved_stride: int
    times: int
    times_stride: int


class DcimgRecording(FileRecording):
    """Frames of a DCIMG file, memory-mapped; its format has no pixel size."""

    def _open(self) -> Any:
        raw = np.memmap(self.path, np.uint8, "r")
        if raw[:5].tobytes() != b"DCIMG":
            raise RecordingError(f"{self.path} is no DCIMG file: it must begin with DCIMG")
        version, start = _u4(raw, 8), _u4(raw, 40)
        if version not in (_OLD, _NEW):
            raise RecordingError(f"{self.path}: DCIMG of version {version:#x} cannot be read")
        self._session = known = _old(raw, start) if version == _OLD else _new(raw, start)
        check_size(self.path, known.height, known.width)
        if known.depth not in (1, 2) or known.row < known.width * known.depth:
            raise ValueError(f"{known.depth} bytes per pixel and {known.row} per row do not fit")
        self.metadata = {"version": version, **vars(known)}
        self._raw = raw
        if known.n > 1:
            first, last = (self._time(k) for k in (0, known.n - 1))
            self._calibrate(None, None, (last - first) / (known.n - 1))
        strides = (known.stride, known.row, known.depth)
        shape = (known.n, known.height, known.width)
        return np.ndarray(shape, f"<u{known.depth}", raw, known.start, strides)

    def _shut(self) -> None:
        """Drop the memory map."""
        del self._raw

    def _frame(self, index: int) -> np.ndarray:
        """Pixels of a frame, those in another place included."""
        pixels, known = np.array(self._frames[index]), self._session
        if 0 <= known.moved_row < known.height:
            place = known.moved + index * known.moved_stride
            pixels[known.moved_row, :_MOVED] = np.ndarray(_MOVED, pixels.dtype, self._raw, place)
        return pixels

    def _time(self, index: int) -> float:
        """Time of a frame in s."""
        place = self._session.times + index * self._session.times_stride
        return _u4(self._raw, place) + 1e-6 * _u4(self._raw, place + 4)


def _old(raw: np.ndarray, head: int) -> _Session:
    """Session of a file of version 7."""
    n, depth, _, width, row, height, image = (_u4(raw, head + k) for k in range(32, 60, 4))
    end = head + _u8(raw, head + 72)
    second = end + _u8(raw, end + 8)
    moved = _u8(raw, second + 88)
    kept = _u4(raw, end + 40) == moved + _MOVED * depth * n
    return _Session(
        n, depth, width, height, row, image,
        start=head + _u4(raw, head + 68),
        stride=image,
        moved_row=_u4(raw, second + 100) // max(row, 1) if kept else -1,
        moved=end + moved,
        moved_stride=_MOVED * depth,
        times=end + 272 + 4 * n,
        times_stride=8,
    )  # fmt: skip


def _new(raw: np.ndarray, head: int) -> _Session:
    """Session of a file of version 0x1000000."""
    n, depth, _, width, height, row, image = (_u4(raw, head + k) for k in range(60, 88, 4))
    start, stride = head + _u8(raw, head + 96), image + _FOOTER
    _, columns, y0, rows = struct.unpack_from("<4H", raw, head + 712)
    binning = rows // max(height, 1)
    if binning != columns // max(width, 1):
        raise ValueError("binning differs between rows and columns")
    return _Session(
        n, depth, width, height, row, image,
        start=start,
        stride=stride,
        moved_row=(_MOVED_ROW - y0) // max(binning, 1),
        moved=start + image + 12,
        moved_stride=stride,
        times=start + image + 4,
        times_stride=stride,
    )  # fmt: skip


def _u4(raw: np.ndarray, place: int) -> int:
    """Integer of 4 bytes."""
    return struct.unpack_from("<I", raw, place)[0]


def _u8(raw: np.ndarray, place: int) -> int:
    """Integer of 8 bytes."""
    return struct.unpack_from("<Q", raw, place)[0]
