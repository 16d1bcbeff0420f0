"""Label images: object numbers or class indices as TIFF, PNG, OME-Zarr or NumPy arrays."""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path

import numpy as np

from spinscope.analysis.imports.target import Drawn, Masks, Target
from spinscope.classes import CLASSES
from spinscope.errors import SpinscopeError
from spinscope.images import read_label
from spinscope.recordings import Recording, RecordingError, open_recording
from spinscope.recordings.base import TIFF

_CLASS_IMAGE = re.compile(r'Name="classes: ([^"]*)"')
_COLOUR = {"P", "RGB", "RGBA"}


def read_label_image(path: Path, target: Target, class_indices: bool = False) -> Masks:
    """Read label images: a file with one page per frame, or a folder with one file per frame.

    Pixels are object numbers, 0 outside objects, or class indices. An OME-TIFF that names its
    classes, as `spinscope export` writes it, contains class indices, and PNG files in the colours
    of label files contain classes.

    Parameters
    ----------
    path : Path
        File with one frame or with as many as the recording, or folder of files with the names of
        frames.
    target : Target
        Frames and classes.
    class_indices : bool
        Whether pixels are class indices instead of object numbers.

    Raises
    ------
    SpinscopeError
        For a file that cannot be read, masks of another size or number than the frames, and pixels
        that are no whole numbers from 0.
    """
    if coloured := _coloured(path):
        target.check_count(len(coloured), path)
        return {
            target.named(file.name, path): functools.partial(_of_colours, file, target)
            for file in coloured
        }
    labels = open_recording(path)
    with contextlib.closing(labels):
        target.check_count(labels.n, path)
        target.check_shape(labels.shape, path, "a mask")
        if path.is_dir() and labels.separate:
            frames = [target.named(name, path) for name in labels.labels]
        elif labels.n == len(target.names):
            frames = list(range(labels.n))
        elif labels.n == 1 and (frame := target.find(path.name)) is not None:
            frames = [frame]
        else:
            count = "1 mask" if labels.n == 1 else f"{labels.n} masks"
            raise SpinscopeError(
                f"{path} holds {count}, {target.path} has "
                f"{len(target.names)} frames; a stack must have one mask per frame, in grey levels "
                "and not as colours, and a single mask the name of its frame"
            )
    classes = _class_names(path)
    return {
        frame: functools.partial(_of_page, labels, k, target, class_indices or bool(classes))
        for k, frame in enumerate(frames)
    }


def numbered(
    numbers: np.ndarray, masks: Path, target: Target, what: str, class_indices: bool = False
) -> Drawn:
    """Mask from an array of object numbers or class indices.

    Parameters
    ----------
    numbers : (H, W) array
        Whole numbers from 0, of any type.
    masks : Path
        File, for messages.
    target : Target
        Frames and classes.
    what : str
        Name of the mask, for messages.
    class_indices : bool
        Whether they are class indices.

    Raises
    ------
    SpinscopeError
        For another size than the frames, numbers that are not whole or below 0, and unknown
        classes.
    """
    target.check_shape(numbers.shape, masks, what)
    whole = numbers.dtype.kind in "bui" or (
        numbers.dtype.kind == "f" and bool((numbers == np.floor(numbers)).all())
    )
    if not whole or (numbers.dtype.kind != "b" and numbers.min() < 0):
        low, high = float(numbers.min()), float(numbers.max())
        raise SpinscopeError(
            f"{masks}: values of {what} span {low:g} to {high:g}; a label image must hold whole "
            "numbers from 0 (0 outside objects): export labels, not probabilities or an overlay"
        )
    if class_indices:
        target.check_class(numbers, masks, what)
        return Drawn(numbers.astype(np.uint8), -1)
    found = np.unique(numbers)
    label = np.where(numbers > 0, target.default, 0).astype(np.uint8)
    # One number for everything is a mask of the class, not one object.
    return Drawn(label, -1 if len(found) <= 2 else int(np.count_nonzero(found)))


def _of_page(labels: Recording, k: int, target: Target, class_indices: bool) -> Drawn:
    what = f"mask {k}" if labels.n > 1 else "the mask"
    try:
        with contextlib.closing(labels):
            pixels = labels.stored(k)
    except RecordingError as error:  # of a mask, not of a frame
        raise SpinscopeError(str(error)) from error
    return numbered(pixels, labels.path, target, what, class_indices)


def _of_colours(file: Path, target: Target) -> Drawn:
    label = read_label(file)
    target.check_shape(label.shape, file, "the mask")
    return Drawn(label, -1)


def _coloured(path: Path) -> list[Path]:
    """PNG files in colour, of a folder or alone; empty for other files."""
    from PIL import Image

    files = sorted(path.glob("*.png")) if path.is_dir() else [path]
    if not files or files[0].suffix.lower() != ".png":
        return []
    try:
        with Image.open(files[0]) as file:
            return files if file.mode in _COLOUR else []
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise SpinscopeError(f"{files[0]} is not a readable image: {error}") from error


def _class_names(path: Path) -> str:
    """Classes that the OME-XML of a TIFF names, empty where it names none."""
    import tifffile

    if path.is_dir() or path.suffix.lower() not in TIFF:
        return ""
    try:
        with tifffile.TiffFile(path) as file:
            found = _CLASS_IMAGE.search(file.ome_metadata or "")
    except Exception as error:  # tifffile raises many kinds on damaged files
        text = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"{path} is not a readable TIFF: {text:.200}") from error
    names = [word.split()[-1] for word in found[1].split(", ") if word.split()] if found else []
    if tuple(names) != CLASSES[: len(names)]:
        raise SpinscopeError(
            f"{path} names the classes {', '.join(names)}; they must be {', '.join(CLASSES)}, in "
            "this order"
        )
    return found[1] if found else ""
