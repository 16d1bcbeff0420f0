"""Frames of a folder of images, one file a frame, in natural order of their names."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.images import read_pixels
from spinscope.recordings.base import (
    IMAGE,
    TIFF,
    RecordingError,
    check_index,
    check_like,
    check_size,
    fingerprint,
)


class FolderRecording:
    """Images of a folder, or one image file: the frame's name is the stem of its file.

    Size, depth and pixel size are those of the first frame.
    """

    interval: float | None = None

    def __init__(self, path: Path, only: Sequence[str] | None = None):
        self.path = path
        self.name = path.resolve().name if path.is_dir() else path.stem
        self.files = image_files(path) if path.is_dir() else [path]
        if only is not None:
            self.files = _named(path, self.files, only)
        if not self.files:
            raise RecordingError(f"{path} holds no image ({', '.join(sorted(IMAGE))})")
        stems = Counter(file.stem for file in self.files)
        if twice := [stem for stem, count in stems.items() if count > 1]:
            raise RecordingError(
                f"{path}: two images are named {twice[0]!r}; their masks would collide"
            )
        self.n = len(self.files)
        self.fingerprint = fingerprint(self.files)
        pixels, self.scale, self.pixel_size = read_file(self.files[0], 0)
        self.shape = pixels.shape

    def names(self, index: int) -> str:
        """Stem of the frame's file."""
        return self.files[index].stem

    def read(self, index: int) -> np.ndarray:
        """Raw pixels (H, W) of one frame."""
        check_index(self, index, self.n)
        pixels, scale, _ = read_file(self.files[index], index)
        check_like(str(self.files[index]), pixels.shape, scale, self, index)
        return pixels

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(index, raw pixels) in order."""
        for index in range(start, self.n):
            yield index, self.read(index)


def _named(folder: Path, files: list[Path], names: Sequence[str]) -> list[Path]:
    """The files of these stems, in their order."""
    of_stem = {file.stem: file for file in files}
    for index, name in enumerate(names):
        if name not in of_stem:
            raise RecordingError(f"{folder}: frame {name!r} is no longer there", index)
    return [of_stem[name] for name in names]


def image_files(folder: Path) -> list[Path]:
    """Images of a folder in natural order; hidden files and other kinds are left out."""
    return sorted(
        (file for file in folder.iterdir() if is_image(file.name) and file.is_file()), key=natural
    )


def is_image(name: str) -> bool:
    """Whether a file of this name counts: its suffix is an image's, and it is not hidden."""
    return Path(name).suffix.lower() in IMAGE and not name.startswith(".")


def natural(path: Path) -> list:
    """Key that sorts frame2 before frame10.

    >>> sorted([Path("a10.png"), Path("a2.png"), Path("a01.png")], key=natural)[0].name
    'a01.png'
    """
    parts = re.split(r"(\d+)", path.name)
    return [*((int(part), "") if part.isdigit() else (-1, part) for part in parts), path.name]


def read_file(path: Path, index: int) -> tuple[np.ndarray, float, float | None]:
    """(raw pixels, scale, pixel size in metres or None) of a file that holds one image.

    Raises RecordingError with `index`.
    """
    if path.suffix.lower() in TIFF:
        return _read_tiff(path, index)
    try:
        pixels, scale = read_pixels(path)
    except SpinscopeError as error:
        raise RecordingError(str(error), index) from error
    check_size(str(path), *pixels.shape, index)
    if pixels.dtype not in (np.uint8, np.uint16):  # 32-bit or 1-bit modes of Pillow
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > scale:
            raise RecordingError(
                f"{path}: values span {low} to {high}; must be within 0 to {scale:g}", index
            )
        pixels = (pixels * (255 if scale == 1 else 1)).astype(np.uint8 if scale == 1 else np.uint16)
        scale = 255.0 if scale == 1 else scale
    return pixels, scale, None


def _read_tiff(path: Path, index: int) -> tuple[np.ndarray, float, float | None]:
    from spinscope.recordings.tiff import TiffRecording

    try:
        with contextlib.closing(TiffRecording(path)) as stack:
            if stack.n != 1:
                raise RecordingError(
                    f"{path} holds {stack.n} frames; an image of a folder must be one (open the "
                    "stack by its own name)"
                )
            return stack.read(0), stack.scale, stack.pixel_size
    except (SpinscopeError, OSError) as error:
        raise RecordingError(str(error), index) from error
