"""Frames of a folder of images, one frame per file, in natural order of the file names."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.images import read_pixels
from spinscope.recordings.base import (
    IMAGE,
    TIFF,
    Recording,
    RecordingError,
    check_size,
    fingerprint,
)
from spinscope.recordings.kinds import KINDS, SINGLE
from spinscope.recordings.tiff import TiffRecording

_TRIED = 8
"""Files at the start of a folder that may be unreadable."""


class FolderRecording(Recording):
    """Images of a folder, or a single image file; a frame is named by the stem of its file.

    Size, depth and pixel size are those of the first frame that can be read.

    Parameters
    ----------
    path : Path
        Folder or image file.
    only : sequence of str, optional
        Names of the frames wanted, in this order; by default all in natural order.
    """

    separate = True

    def __init__(self, path: Path, only: Sequence[str] | None = None):
        self.path = path
        self.name = path.resolve().name if path.is_dir() else path.stem
        self.files = image_files(path) if path.is_dir() else [path]
        self._listed = only is not None
        if only is not None:
            self.files = _named(path, self.files, only)
        if not self.files:
            raise RecordingError(f"{path} holds no image ({', '.join(sorted(IMAGE | SINGLE))})")
        stems = Counter(file.stem for file in self.files)
        if twice := [stem for stem, count in stems.items() if count > 1]:
            raise RecordingError(
                f"{path}: two images are named {twice[0]!r}; their masks would collide"
            )
        self.n = len(self.files)
        self.labels = [file.stem for file in self.files]
        self.fingerprint = fingerprint(self.files)
        pixels, self.scale, self.pixel_size = self._first()
        self.shape = pixels.shape

    def _first(self) -> tuple[np.ndarray, float, float | None]:
        """Pixels, white level and pixel size of the first frame that can be read."""
        for index, file in enumerate(self.files[:_TRIED]):
            with contextlib.suppress(RecordingError):
                return read_file(file, index)
        return read_file(self.files[0], 0)

    def names(self, index: int) -> str:
        """Return the stem of the frame's file."""
        return self.files[index].stem

    def spanning(self) -> set[int]:
        """Frames that decide the range: of listed frames only the first, as while watching."""
        return {0} if self._listed else super().spanning()

    def stored(self, index: int) -> np.ndarray:
        """Read the stored pixels (H, W) of one frame."""
        self.check_index(index)
        pixels, scale, _ = read_file(self.files[index], index)
        self.check_like(pixels.shape, scale, index, self.files[index])
        return pixels


def _named(folder: Path, files: list[Path], names: Sequence[str]) -> list[Path]:
    """Files of these stems, in their order."""
    by_stem = {file.stem: file for file in files}
    for index, name in enumerate(names):
        if name not in by_stem:
            raise RecordingError(f"{folder}: frame {name!r} is no longer there", index)
    return [by_stem[name] for name in names]


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order, without hidden files."""
    return sorted(
        (file for file in folder.iterdir() if is_image(file.name) and file.is_file()), key=natural
    )


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image and is not hidden."""
    return Path(name).suffix.lower() in IMAGE | SINGLE and not name.startswith(".")


def natural(path: Path) -> list:
    """Return a sort key that puts frame2 before frame10.

    >>> sorted([Path("a10.png"), Path("a2.png"), Path("a01.png")], key=natural)[0].name
    'a01.png'
    """
    pieces = re.split(r"(\d+)", path.name)
    return [*((int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces), path.name]


def read_file(path: Path, index: int) -> tuple[np.ndarray, float, float | None]:
    """Read a file that holds one image.

    Parameters
    ----------
    path : Path
        Image file.
    index : int
        Number of the frame, for error messages.

    Returns
    -------
    pixels : (H, W) array
        Pixels as stored.
    scale : float
        Pixel value of white.
    pixel_size : float or None
        Pixel size in m.

    Raises
    ------
    RecordingError
        Where the file cannot be read or holds several frames.
    """
    suffix = path.suffix.lower()
    if suffix in TIFF or suffix in KINDS:
        return _read_one(TiffRecording if suffix in TIFF else KINDS[suffix], path, index)
    try:
        pixels, scale = read_pixels(path)
    except SpinscopeError as error:
        raise RecordingError(str(error), index) from error
    check_size(path, *pixels.shape, index)
    if pixels.dtype not in (np.uint8, np.uint16):  # 32-bit or 1-bit modes of Pillow
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > scale:
            raise RecordingError(
                f"{path}: values span {low} to {high}; must be within 0 to {scale:g}", index
            )
        pixels = (pixels * (255 if scale == 1 else 1)).astype(np.uint8 if scale == 1 else np.uint16)
        scale = 255.0 if scale == 1 else scale
    return pixels, scale, None


def _read_one(
    kind: Callable[[Path], Recording], path: Path, index: int
) -> tuple[np.ndarray, float, float | None]:
    """Read a file of frames that holds one, as `read_file`."""
    try:
        with contextlib.closing(kind(path)) as stack:
            if stack.n != 1:
                raise RecordingError(
                    f"{path} holds {stack.n} frames; an image of a folder must be one (open the "
                    "stack by its own name)"
                )
            return stack.stored(0), stack.scale, stack.pixel_size
    except (SpinscopeError, OSError) as error:
        raise RecordingError(str(error), index) from error
