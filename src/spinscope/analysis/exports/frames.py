"""Frames to export, checked one by one and separated into objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.analysis.objects import label_objects
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

Frame = tuple[int, np.ndarray | None, np.ndarray]
"""(index, image (H, W) or None, mask (H, W) uint8)."""

_NO_OBJECTS = ("background", "outside", "edge")


def number(index: int) -> str:
    """Return the number of a frame with leading zeros, the default name.

    >>> number(7)
    '0007'
    """
    return f"{index:04d}"


@dataclass
class Frames:
    """Frames to export; iterating checks them and counts them.

    Parameters
    ----------
    frames : iterable of Frame
        Index, image and mask of each frame, in order.
    classes : sequence of str
        Name of each class.
    pixel_size, interval : float or None
        Pixel size in m and time between frames in s.
    names : callable
        Index → name of a frame.
    min_px : int
        Objects of fewer pixels are left out.
    images : bool
        Whether every frame needs an image.
    tracks : DataFrame or None
        `frame`, `object` and `track` of the objects of the first class, where they were linked.
    source : Path or None
        File of the recording.
    reviewers : callable or None
        Index → who reviewed the mask, "" for nobody.
    """

    frames: Iterable[Frame]
    classes: Sequence[str]
    pixel_size: float | None
    interval: float | None
    names: Callable[[int], str]
    min_px: int
    images: bool
    tracks: pd.DataFrame | None = None
    source: Path | None = None
    reviewers: Callable[[int], str] | None = None
    count: int = 0

    @property
    def object_classes(self) -> list[tuple[int, str]]:
        """Index and name of each class of objects."""
        return [(k, name) for k, name in enumerate(self.classes) if name not in _NO_OBJECTS]

    def objects(self, mask: np.ndarray) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
        """Yield index and name of each class, object numbers (H, W) int32 and areas (n,)."""
        for index, name in self.object_classes:
            yield index, name, *label_objects(mask == index, self.min_px)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises
        ------
        SpinscopeError
            For no frame, masks of several sizes or with unknown classes, and missing images.
        """
        shape = None
        for index, image, mask in self.frames:
            shape = shape or mask.shape
            self._check(index, image, mask, shape)
            yield index, image, mask
            self.count += 1
        if not self.count:
            raise SpinscopeError("there is no frame to export")

    def _check(self, index: int, image: np.ndarray | None, mask: np.ndarray, shape: tuple) -> None:
        """Refuse a frame that cannot be exported."""
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
        if image is None and self.images:
            raise SpinscopeError(f"image of frame {index} is missing; its image is exported too")
        if (top := int(mask.max(initial=0))) >= len(self.classes):
            raise SpinscopeError(
                f"mask of frame {index} holds class {top}; only 0 to {len(self.classes) - 1} "
                f"({', '.join(self.classes)}) have names"
            )
