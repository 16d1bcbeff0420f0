"""Objects of a mask: 8-connected components and their sizes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), dtype=bool)


def label_objects(mask: np.ndarray, min_px: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Number the 8-connected objects of a mask.

    mask : (H, W) bool.   min_px : objects of fewer pixels are left out.
    Returns (numbers (H, W) int32, 0 outside objects; areas (n,) in pixels of objects 1..n).
    """
    numbers, count = ndimage.label(mask, structure=_EIGHT)
    areas = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    if min_px > 1 and count:
        keep = areas >= min_px
        renumber = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(numbers.dtype)
        numbers, areas = renumber[numbers], areas[keep]
    return numbers, areas


def equivalent_diameter(areas: np.ndarray) -> np.ndarray:
    """Diameter of the disc of the same area, in the unit of the square root of `areas`.

    >>> float(equivalent_diameter(np.pi * 4.0**2).round(6))
    8.0
    """
    return np.sqrt(4 * np.asarray(areas, dtype=float) / np.pi)
