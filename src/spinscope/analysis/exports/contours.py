"""Outlines of objects along the edges of their pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spinscope.analysis.objects import BAND_PX

# Directions of an edge, clockwise: east, south, west, north. The object is on its right.
_EAST, _SOUTH, _WEST, _NORTH = range(4)


@dataclass(frozen=True)
class Contour:
    """Outline of one object.

    Corner (y, x) is the upper left corner of pixel (y, x): a single pixel has the corners (y, x),
    (y, x + 1), (y + 1, x + 1), (y + 1, x). Filled (even-odd), the rings give the object exactly.

    Attributes
    ----------
    number : int
        Number of the object.
    outer : (k, 2) int array
        Corners (y, x) of the outer ring, closed implicitly.
    holes : list of (k, 2) int arrays
        Corners of each hole.
    """

    number: int
    outer: np.ndarray
    holes: list[np.ndarray] = field(default_factory=list)


def contours(numbers: np.ndarray) -> list[Contour]:
    """Trace the outlines of all objects along the edges of their pixels.

    All edges between object pixels and others are followed at once, with the object on the right;
    pixels that meet only in a corner stay together.

    Parameters
    ----------
    numbers : (H, W) int array
        Object numbers, 0 outside; 8-connected objects that do not touch each other.

    Returns
    -------
    list of Contour
        Outlines in order of the numbers.
    """
    width = numbers.shape[1]
    starts = _edges(numbers).reshape(-1)
    corner = np.flatnonzero(starts)
    ways = starts[corner]
    code = np.sort(np.concatenate([corner[ways >> way & 1 > 0] * 4 + way for way in range(4)]))
    if not len(code):
        return []
    corner, way = code >> 2, code & 3
    follows = _following(code, starts, width + 1)
    corners = np.empty(len(code), dtype=bool)
    corners[follows] = way != way[follows]
    y, x = np.divmod(corner, width + 1)
    right_of = numbers[
        y - ((way == _WEST) | (way == _NORTH)), x - ((way == _SOUTH) | (way == _WEST))
    ]
    found: dict[int, Contour] = {}
    for ring in _rings(follows):
        ring_corners = ring[corners[ring]]
        points = np.stack([y[ring_corners], x[ring_corners]], axis=1)
        owner = int(right_of[ring[0]])
        # edges are in reading order, and the first corner of an object is on its outer border
        if owner in found:
            found[owner].holes.append(points)
        else:
            found[owner] = Contour(owner, points)
    return [found[owner] for owner in sorted(found)]


def _edges(numbers: np.ndarray) -> np.ndarray:
    """Edges that start at each corner, (H + 1, W + 1) uint8, one bit per direction."""
    height, width = numbers.shape
    starts = np.zeros((height + 1, width + 1), dtype=np.uint8)
    rows = max(1, BAND_PX // max(1, width))
    for top in range(0, height, rows):
        end = min(top + rows, height)
        inside = np.zeros((end - top + 2, width + 2), dtype=bool)  # a pixel of margin all around
        above = min(top, 1)
        near = numbers[top - above : end + 1] > 0
        inside[1 - above : 1 - above + len(near), 1:-1] = near
        own = inside[1:-1, 1:-1]
        for way, (down, right), other in (
            (_EAST, (0, 0), inside[:-2, 1:-1]),
            (_SOUTH, (0, 1), inside[1:-1, 2:]),
            (_WEST, (1, 1), inside[2:, 1:-1]),
            (_NORTH, (1, 0), inside[1:-1, :-2]),
        ):
            border = (own & ~other).view(np.uint8) << way
            starts[top + down : end + down, right : right + width] |= border
    return starts


def _following(code: np.ndarray, starts: np.ndarray, stride: int) -> np.ndarray:
    """Index of the edge that follows each edge: to the left if there is one, else straight on."""
    way = code & 3
    end = (code >> 2) + np.array([1, stride, -1, -stride])[way]
    left, right = (way + 3) & 3, (way + 1) & 3
    open_to = starts[end].astype(np.int64)
    onward = np.where(open_to >> left & 1, left, np.where(open_to >> way & 1, way, right))
    return np.searchsorted(code, end * 4 + onward)


def _rings(follows: np.ndarray):
    """Yield closed rings of edges, each as indices in order."""
    following = follows.tolist()
    seen = bytearray(len(following))
    for first in range(len(following)):
        if seen[first]:
            continue
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            ring.append(edge)
            edge = following[edge]
        yield np.array(ring)
