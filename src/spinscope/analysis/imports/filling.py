"""Pixels inside outlines: an object is drawn from its corners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CROSSINGS = 1 << 20
"""Crossings of edges and rows that are computed at once."""

Window = tuple[slice, slice]


def filled(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[Window, np.ndarray]:
    """Pixels of a frame whose centre is inside closed rings, by the even-odd rule.

    Parameters
    ----------
    rings : sequence of (k, 2) arrays
        Corners (y, x) in px, finite; pixel (0, 0) spans 0 to 1. The last joins the first.
    shape : (int, int)
        Height and width of the frame.

    Returns
    -------
    window : (slice, slice)
        Part of the frame that contains the rings.
    inside : (h, w) bool array
        Pixels of the window inside the rings.
    """
    window = _window(np.concatenate(rings), shape)
    (y0, y1), (x0, x1) = ((side.start, side.stop) for side in window)
    toggles = np.zeros((y1 - y0, x1 - x0 + 1), dtype=np.uint8)
    for ring in rings if toggles.size else ():
        start, end = np.asarray(ring, float), np.roll(np.asarray(ring, float), -1, axis=0)
        low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
        first, last = (np.clip(np.ceil(y - 0.5), y0, y1).astype(np.int64) for y in (low, high))
        steep = np.flatnonzero(last > first)
        total = np.cumsum((last - first)[steep])
        for chunk in np.split(steep, np.flatnonzero(np.diff(total // _CROSSINGS)) + 1):
            count = (last - first)[chunk]
            edge = np.repeat(chunk, count)
            row = np.arange(count.sum()) + np.repeat(first[chunk] - np.cumsum(count) + count, count)
            (ya, xa), (yb, xb) = start[edge].T, end[edge].T
            x = xa + (row + 0.5 - ya) * (xb - xa) / (yb - ya)
            column = np.clip(np.ceil(x - 0.5), x0, x1).astype(np.int64)
            np.add.at(toggles, (row - y0, column - x0), 1)  # of uint8: the parity survives
    return window, np.cumsum(toggles, axis=1, dtype=np.uint8)[:, :-1] % 2 > 0


def ellipse(box: Sequence[float], shape: tuple[int, int]) -> tuple[Window, np.ndarray]:
    """Pixels of a frame whose centre is inside the ellipse of a box (y0, x0, y1, x1) in px.

    Parameters
    ----------
    box : sequence of float
        Upper left and lower right corner.
    shape : (int, int)
        Height and width of the frame.

    Returns
    -------
    window, inside
        As `filled`.
    """
    y0, x0, y1, x1 = map(float, box)
    window = _window(np.array([[y0, x0], [y1, x1]]), shape)
    y, x = (np.arange(side.start, side.stop) + 0.5 for side in window)
    height, width = max(y1 - y0, 1e-9) / 2, max(x1 - x0, 1e-9) / 2
    across = ((x - (x0 + x1) / 2) / width) ** 2
    return window, ((y - (y0 + y1) / 2) / height)[:, None] ** 2 + across <= 1


def _window(corners: np.ndarray, shape: tuple[int, int]) -> Window:
    """Part of a frame that contains corners, empty where they are outside."""
    low = [np.floor(corners[:, axis].min()) for axis in (0, 1)]
    high = [np.ceil(corners[:, axis].max()) for axis in (0, 1)]
    ends = [
        [int(np.clip(value, 0, side)) for value in pair]
        for *pair, side in zip(low, high, shape, strict=True)
    ]
    return slice(*ends[0]), slice(*ends[1])


def enclosed(ring: np.ndarray) -> float:
    """Area inside a ring (k, 2) in px², within the frame or not."""
    ring = np.asarray(ring, float)
    y, x = (ring - ring[0]).T
    return abs(float(y @ np.roll(x, -1) - x @ np.roll(y, -1))) / 2
