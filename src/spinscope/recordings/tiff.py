"""Frames of a TIFF stack: TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks.

On opening only the chain of page headers is read; the header and pixels of a frame are read when
the frame is requested, so that one frame is in memory however long the stack is.
"""

from __future__ import annotations

import contextlib
import logging
import math
import operator
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.images import MAX_PIXELS, grey_of
from spinscope.recordings.base import (
    Recording,
    RecordingError,
    check_size,
    fingerprint,
    white_level,
)
from spinscope.recordings.calibration import Calibration, calibration

if TYPE_CHECKING:
    import tifffile

_COMPRESSIONS = {1, 5, 8, 32773, 32946, 34925, 50000}
"""None, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard: decoders that stop at a bound."""

_MAPPED = 2**27
"""Uncompressed frames of more bytes than this are mapped into memory, not copied."""

_CHANNELS = 4
"""No microscope image has more channels than this."""

_THREADED = 2**23
_BUFFER = 2**24


class TiffRecording(Recording):
    """Frames of a TIFF file: one page per frame, or planes stored one after another."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem.removesuffix(".ome")
        self.fingerprint = fingerprint([path])
        self._lock = threading.Lock()
        self._tiff = _open(path)
        self._offsets, complete, next_page = _chain(self._tiff)
        first = self._page(0)
        self.shape, self._dtype = _size(first), first.dtype
        with _damaged(path, 0), _quiet():
            known = calibration(first, str(path))
        _check_axes(path, known)
        self.pixel_size, self.interval = known.pixel_size, known.interval
        self.times = known.plane_times
        self.labels = _labels(self._tiff)
        pages = len(self._offsets)
        self.n = max(known.n or 0, pages if complete else pages + 1)
        if pages == 1 and not complete and known.n is None:
            self.n = max(self.n, self._planes_before(first, next_page))
        self._planes = self._first_plane(first, next_page) if pages < self.n else None
        self.scale = _full_scale(self._dtype, first.bitspersample)
        self.scale = self._camera_scale(known)

    def close(self) -> None:
        """Close the file; frames that were mapped stay valid, the next read opens it again."""
        self._tiff.filehandle.close()

    def stored(self, index: int) -> np.ndarray:
        """Read the stored pixels (H, W) of one frame; a very large uncompressed one is mapped."""
        self.check_index(index)
        self._tiff.filehandle.open()
        if self._planes is not None:
            return self._plain(self._planes + index * self._bytes, index)
        if index >= len(self._offsets):
            raise self._cut(index)
        page = self._page(index)
        scale = _full_scale(page.dtype, page.bitspersample, self.scale)
        self.check_like(_size(page), scale, index)
        if _is_plain(page):
            return self._plain(page.dataoffsets[0], index, page.dtype)
        return self._decoded(page, index)

    @property
    def _bytes(self) -> int:
        """Size of an uncompressed frame."""
        return math.prod(self.shape) * self._dtype.itemsize

    def _cut(self, index: int) -> RecordingError:
        """Error for a frame that is missing at the end of the file."""
        return RecordingError(
            f"{self.path} is cut off: frame {index} of {self.n} is not in the file; "
            f"{'the frame' if index == 1 else f'the {index} frames'} before it can be read"
            if index
            else f"{self.path} is cut off in its first frame",
            index,
        )

    def _page(self, index: int) -> tifffile.TiffPage:
        """Header of a frame, checked."""
        import tifffile

        with _damaged(self.path, index):
            with self._lock, _quiet():
                self._tiff.filehandle.seek(self._offsets[index])
                page = tifffile.TiffPage(self._tiff, index=index)
            _check_page(page, str(self.path), index)
        return page

    def _first_plane(self, first: tifffile.TiffPage, next_page: int) -> int | None:
        """Offset of the first plane, if all promised planes must follow it without a gap.

        That is so where the next header is behind them all (ImageJ, tifffile) or missing (ImageJ
        beyond 4 GB): planes are found although headers are missing.
        """
        if not _is_plain(first):
            return None
        start = first.dataoffsets[0]
        if 0 < next_page < start + self.n * self._bytes:
            return None
        if len(self._offsets) > 1:
            with contextlib.suppress(RecordingError):
                return start if self._page(1).dataoffsets[0] == start + self._bytes else None
        return start

    def _planes_before(self, first: tifffile.TiffPage, next_page: int) -> int:
        """Number of planes that fit between the first header and the place of the second."""
        if not _is_plain(first) or first.offset > first.dataoffsets[0]:
            return 0
        return (next_page - first.dataoffsets[0]) // self._bytes

    def _camera_scale(self, known: Calibration) -> float:
        """Full scale of a camera of 8 to 15 bits, if the file names one and frame 0 fits it."""
        if self._dtype != np.uint16 or self.scale != 65535:
            return self.scale
        top = 2.0**known.bits - 1 if known.bits and 8 <= known.bits < 16 else known.display
        if top not in {2.0**bits - 1 for bits in range(8, 16)}:
            return self.scale
        return top if self.read(0).max() <= top else self.scale

    def _plain(self, offset: int, index: int, dtype: np.dtype | None = None) -> np.ndarray:
        """Pixels that are stored as in memory, but for the order of bytes."""
        dtype = (dtype or self._dtype).newbyteorder(self._tiff.byteorder)
        size, file = math.prod(self.shape) * dtype.itemsize, self._tiff.filehandle.fileno()
        if offset + size > os.fstat(file).st_size:
            raise self._cut(index)
        if size > _MAPPED and dtype.isnative:
            return np.memmap(self._tiff.filehandle.path, dtype, "r", offset, self.shape)
        pixels = np.empty(self.shape, dtype.newbyteorder("="))
        view, done = memoryview(pixels.reshape(-1).view(np.uint8)), 0
        while done < size:
            count = os.preadv(file, [view[done : done + 2**30]], offset + done)
            if not count:
                raise self._cut(index)
            done += count
        return pixels if dtype.isnative else pixels.byteswap(inplace=True)

    def _decoded(self, page: tifffile.TiffPage, index: int) -> np.ndarray:
        """Pixels of a compressed frame."""
        with _damaged(self.path, index):
            end = max(map(operator.add, page.dataoffsets, page.databytecounts))
        if end > os.fstat(self._tiff.filehandle.fileno()).st_size:
            raise self._cut(index)
        workers = None if self._bytes > _THREADED else 1
        try:
            with self._lock, _quiet():
                pixels = page.asarray(maxworkers=workers, buffersize=_BUFFER)
        except Exception as error:  # tifffile and its decoders raise many kinds on damaged files
            text = " ".join(str(error).split())
            raise RecordingError(
                f"{self.path}: frame {index} cannot be decoded: {text}", index
            ) from error
        if page.samplesperpixel == 1:
            return pixels
        channels = pixels if page.planarconfig == 1 else np.moveaxis(pixels, 0, -1)
        try:
            return grey_of(channels[..., : _colours(page)], f"{self.path}: frame {index}")
        except SpinscopeError as error:
            raise RecordingError(str(error), index) from error


def _open(path: Path) -> tifffile.TiffFile:
    """Open a TIFF that has a page."""
    import tifffile

    try:
        with _quiet():
            tiff = tifffile.TiffFile(path)
            tiff.pages.first  # noqa: B018 - IndexError where there is none
    except IndexError as error:
        raise RecordingError(f"{path} is not a readable TIFF: it has no page") from error
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise RecordingError(f"{path} is not a readable TIFF: {error}") from error
    return tiff


def _labels(tiff: tifffile.TiffFile) -> list[str]:
    """Labels of the frames that ImageJ stores, empty without readable ones."""
    with contextlib.suppress(Exception), _quiet():  # tifffile raises many kinds on damaged files
        known = (tiff.imagej_metadata or {}).get("Labels", [])
        return [str(label) for label in ([known] if isinstance(known, str) else known)]
    return []


def _chain(tiff: tifffile.TiffFile) -> tuple[list[int], bool, int]:
    """Offsets of the page headers, whether their chain is complete, and the offset of page 1."""
    layout, file = tiff.tiff, tiff.filehandle.fileno()
    size = os.fstat(file).st_size
    offset = tiff.pages.first.offset
    offsets: list[int] = []
    seen, second = set(), None
    while offset:
        if offset in seen or offset >= size:
            return offsets, False, second or 0
        try:
            (tags,) = struct.unpack(layout.tagnoformat, os.pread(file, layout.tagnosize, offset))
            place = offset + layout.tagnosize + tags * layout.tagsize
            (following,) = struct.unpack(
                layout.offsetformat, os.pread(file, layout.offsetsize, place)
            )
        except (struct.error, OverflowError):  # beyond the file
            return offsets, False, second or 0
        seen.add(offset)
        offsets.append(offset)
        second = following if second is None else second
        offset = following
    return offsets, True, second or 0


def _check_page(page: tifffile.TiffPage, name: str, index: int) -> None:
    """Refuse a page that is not a micrograph or is too large, before anything is decoded."""
    sides = [page.imagelength, page.imagewidth, page.tilelength, page.tilewidth]
    if not all(isinstance(side, int) for side in sides):  # a list times a number is a long list
        raise RecordingError(f"{name}: the header of frame {index} is damaged: no size", index)
    check_size(name, page.imagelength, page.imagewidth, index)
    if not 1 <= page.samplesperpixel <= _CHANNELS or (
        page.photometric == 2 and page.samplesperpixel < 3
    ):
        raise RecordingError(
            f"{name}: frame {index} has {page.samplesperpixel} channels; a micrograph must be "
            "grayscale",
            index,
        )
    if page.imagedepth != 1:
        raise RecordingError(f"{name}: frame {index} is a volume; it must be one plane", index)
    if page.dtype is None or page.dtype.kind not in "buif":
        raise RecordingError(
            f"{name}: frame {index} has pixels of {page.bitspersample} bit "
            f"({page.dtype or 'of an unknown kind'}); must be real numbers",
            index,
        )
    if page.compression not in _COMPRESSIONS:
        kind = getattr(page.compression, "name", page.compression)
        raise RecordingError(
            f"{name}: frame {index} is compressed by {kind}; must be uncompressed, LZW, Deflate, "
            "PackBits, LZMA or Zstandard",
            index,
        )
    if page.is_tiled and page.tilelength * page.tilewidth > MAX_PIXELS:
        raise RecordingError(
            f"{name}: frame {index} promises tiles of {page.tilewidth}x{page.tilelength} pixels; "
            f"at most {MAX_PIXELS} are read",
            index,
        )
    stored, needed = len(page.dataoffsets), math.prod(page.chunked)
    if stored != needed or len(page.databytecounts) != stored or 0 in page.databytecounts:
        raise RecordingError(f"{name}: frame {index} lacks some of its {needed} pieces", index)


def _check_axes(path: Path, known: Calibration) -> None:
    """Refuse several channels, and sections at several times."""
    # Programs that know no axes store the frames of a recording as its channels.
    unnamed = known.sections == known.times == 1 and known.channels > _CHANNELS
    if known.channels > 1 and not unnamed:
        raise RecordingError(f"{path}: has {known.channels} channels; a recording must have one")
    if known.sections > 1 and known.times > 1:
        raise RecordingError(
            f"{path}: has {known.sections} sections in depth at each of {known.times} times; "
            "a recording must have one of the two"
        )


def _is_plain(page: tifffile.TiffPage) -> bool:
    """Whether pixels are stored as in memory, but for the order of bytes."""
    return (
        page.compression == 1
        and page.samplesperpixel == 1
        and page.predictor == 1
        and page.fillorder == 1
        and page.bitspersample == page.dtype.itemsize * 8
        and page.is_contiguous
    )


def _size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of a page in px."""
    return page.imagelength, page.imagewidth


def _colours(page: tifffile.TiffPage) -> int:
    """Number of channels of a page without those of its transparency."""
    return page.samplesperpixel - len(page.extrasamples or ())


def _full_scale(dtype: np.dtype, bits: int, camera: float = 65535.0) -> float:
    """Pixel value of white; 16 bits may hold the values of a camera of fewer bits."""
    if dtype.str[1:] != "u2":
        return white_level(dtype)
    return 2.0**bits - 1 if isinstance(bits, int) and bits < 16 else camera


@contextlib.contextmanager
def _damaged(path: Path, index: int) -> Iterator[None]:
    """Turn any error in a header into one sentence."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:  # tifffile and damaged values raise many kinds
        text = " ".join(str(error).split())
        raise RecordingError(
            f"{path}: the header of frame {index} is damaged: {text}", index
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress tifffile's log: problems that matter are raised as one sentence."""
    logger, nothing = logging.getLogger("tifffile"), lambda record: False
    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
