"""Frames on their way out: checked one by one, and cut into objects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spinscope.analysis.objects import label_objects
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file

Frame = tuple[int, np.ndarray | None, np.ndarray]
"""(index, image (H, W) or None, mask (H, W) uint8)."""

GROUND = ("background", "outside", "edge")
"""Classes that are no objects."""


def number(index: int) -> str:
    """A frame's number with leading zeros, its name where it has no other.

    >>> number(7)
    '0007'
    """
    return f"{index:04d}"


def checked(
    frames: Iterable[Frame], classes: Sequence[str], *, images: bool = False
) -> Iterator[Frame]:
    """The frames, if there is one and all are of one size and of the classes named.

    images : every frame must bring its image.
    """
    shape = None
    for index, image, mask in frames:
        shape = shape or mask.shape
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise SpinscopeError(
                f"mask of frame {index}, {mask.dtype} of shape {mask.shape}, must be (H, W) uint8"
            )
        if mask.shape != shape:
            raise SpinscopeError(
                f"mask of frame {index} is {mask.shape[1]}x{mask.shape[0]} pixels; those before it "
                f"are {shape[1]}x{shape[0]}, and all must be of one size"
            )
        if image is not None and image.shape != shape:
            raise SpinscopeError(
                f"image of frame {index}, of shape {image.shape}, must be of its mask's, {shape}"
            )
        if image is None and images:
            raise SpinscopeError(f"image of frame {index} is missing; pictures are drawn on images")
        if (top := int(mask.max(initial=0))) >= len(classes):
            raise SpinscopeError(
                f"mask of frame {index} holds class {top}; only 0 to {len(classes) - 1} "
                f"({', '.join(classes)}) have names"
            )
        yield index, image, mask
    if shape is None:
        raise SpinscopeError("there is no frame to export")


def objects(
    mask: np.ndarray, classes: Sequence[str], min_px: int
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """(index, name, object numbers (H, W) int32, areas (n,)) of every class of objects."""
    for index, name in enumerate(classes):
        if name not in GROUND:
            yield index, name, *label_objects(mask == index, min_px)


@contextlib.contextmanager
def written(target: Path | str) -> Iterator[Path]:
    """`atomic_file`, with one sentence where the target cannot be written."""
    try:
        with atomic_file(target) as partial:
            yield partial
    except OSError as error:  # a full disk, no right to write
        raise SpinscopeError(
            f"{target} cannot be written: {error.strerror or error}; nothing of it was kept"
        ) from error
