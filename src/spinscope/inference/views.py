"""Augmented views of an image for test-time augmentation (TTA): rotated and mirrored copies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

View = tuple[int, bool]
"""Number of quarter rotations, then whether the image is mirrored left to right."""

VIEWS: dict[int, tuple[View, ...]] = {
    1: ((0, False),),
    2: ((0, False), (2, True)),
    3: ((0, False), (0, True), (2, True)),
    8: tuple((quarters, mirror) for quarters in range(4) for mirror in (False, True)),
}
"""Augmented views that are averaged, by their number. 1: the image. 2: the image and its mirror
image top to bottom. 3: the image and both mirror images, as published. 8: the dihedral group."""

VIEWS_OF_SYMMETRY: dict[str, tuple[View, ...]] = {
    "square": VIEWS[8],
    "axis": VIEWS[2],
    "none": VIEWS[1],
}
"""Symmetry of the training augmentation → augmented views that a model may be averaged over."""


def transform(array: np.ndarray, view: View) -> np.ndarray:
    """Rotate an (H, W, ...) array by quarter rotations, then mirror it left to right."""
    quarters, mirror = view
    rotated = np.rot90(array, quarters)
    return rotated[:, ::-1] if mirror else rotated


def undo(array: np.ndarray, view: View) -> np.ndarray:
    """Invert `transform`.

    >>> a = np.arange(6).reshape(2, 3)
    >>> all((undo(transform(a, v), v) == a).all() for v in VIEWS[8])
    True
    """
    quarters, mirror = view
    return np.rot90(array[:, ::-1] if mirror else array, -quarters)


def mean_of(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean of float32 arrays of one shape, and a single array unchanged."""
    arrays, count = iter(arrays), 1
    total = next(arrays)
    for count, array in enumerate(arrays, 2):
        total = total + array if count == 2 else np.add(total, array, out=total)
    return total if count == 1 else total / np.float32(count)
