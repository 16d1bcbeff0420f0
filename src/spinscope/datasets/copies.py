"""Copies of an image: rotated, mirrored, inverted, or with other grey levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

SIDE = 32
"""Side of a fingerprint, and the smallest side in px of an image that has one."""

MIN_CORRELATION = 0.95
"""Smallest correlation of two copies. Two frames of one pinned sample reach 0.89."""

_CHECKED = 3  # most similar images that are compared pixel by pixel


class Copy(NamedTuple):
    """Two images that are copies of each other, by their indices."""

    first: int
    second: int
    change: str
    """Difference of the second from the first: "mirrored and rotated, inverted"; "" for none."""


def fingerprint(image: np.ndarray) -> np.ndarray:
    """Mean intensities of an image on a coarse grid, standardised.

    The fingerprint of a rotated or mirrored image is the rotated or mirrored fingerprint.

    Parameters
    ----------
    image : (H, W) array

    Returns
    -------
    (32, 32) float32 array
        Zero mean and unit norm; zeros for a constant image and one with a side under 32 px.
    """
    coarse = np.zeros((SIDE, SIDE))
    if min(image.shape) >= SIDE:
        coarse, cells = image, 1.0
        for axis, size in enumerate(image.shape):
            edges = np.round(np.arange(SIDE + 1) * size / SIDE).astype(int)
            coarse = np.add.reduceat(coarse, edges[:-1], axis=axis, dtype=np.float64)
            cells = np.multiply.outer(cells, np.diff(edges))
        coarse = coarse / cells
    return _unit(coarse)


def find_copies(
    fingerprints: np.ndarray, groups: Sequence[str | None], read: Callable[[int], np.ndarray]
) -> Iterator[Copy]:
    """Find images of different groups that are copies of each other.

    Images whose fingerprints agree are compared pixel by pixel, in each of the eight orientations.
    A copy that was also cropped, shifted or rescaled is not found.

    Parameters
    ----------
    fingerprints : (n, 32, 32) array
    groups : sequence of str or None
        Group of each image; None for an image that is compared with none.
    read : callable
        Returns the image of an index, (H, W).

    Yields
    ------
    Copy
        At most three per image and group.
    """
    read = lru_cache(maxsize=32)(read)
    known = fingerprints.any(axis=(1, 2))
    members = {
        name: np.array([k for k, group in enumerate(groups) if group == name and known[k]], int)
        for name in dict.fromkeys(filter(None, groups))
    }
    for one, other in combinations(members.values(), 2):
        if not len(one) or not len(other):
            continue
        rotated = [_oriented(fingerprints[other], k).reshape(len(other), -1).T for k in range(8)]
        for first in one:
            alike = np.abs([fingerprints[first].ravel() @ turned for turned in rotated])
            best = alike.max(axis=0)
            for place in np.argsort(-best)[:_CHECKED]:
                if best[place] < MIN_CORRELATION:
                    break
                second, orientation = int(other[place]), int(alike[:, place].argmax())
                image, copy = read(int(first)), _oriented(read(second), orientation)
                if image.shape != copy.shape:
                    continue
                correlation = float(np.vdot(_unit(image), _unit(copy)))
                if abs(correlation) >= MIN_CORRELATION:
                    yield Copy(int(first), second, _change(orientation, correlation))


def _oriented(images: np.ndarray, k: int) -> np.ndarray:
    """Images (..., H, W) in one of the eight orientations of a rectangle's grid."""
    images = np.rot90(images, k % 4, axes=(-2, -1))
    return np.flip(images, axis=-1) if k >= 4 else images


def _change(orientation: int, correlation: float) -> str:
    """Words for an orientation and the sign of a correlation."""
    turned = ("", "rotated", "rotated", "rotated", "mirrored", "mirrored and rotated")
    turned = (*turned, "mirrored", "mirrored and rotated")[orientation]
    return ", ".join(filter(None, (turned, "inverted" if correlation < 0 else "")))


def _unit(image: np.ndarray) -> np.ndarray:
    """An image with zero mean and unit norm; zeros for a constant one."""
    centred = (image - image.mean(dtype=np.float64)).astype(np.float32)
    norm = float(np.linalg.norm(centred))
    return centred / np.float32(norm) if norm > 1e-6 * image.size**0.5 else centred * 0
