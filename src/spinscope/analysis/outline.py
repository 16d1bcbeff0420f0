"""Outlines of objects row by row: bounding box, convex hull and the ring around an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinscope.analysis.objects import Runs

_FAR = np.int64(1) << 40  # farther than any column

BOX = ("y0_px", "x0_px", "y1_px", "x1_px")
"""Columns of the bounding box of an object, half open."""


@dataclass(frozen=True)
class Outline:
    """Extent of objects in each of their rows, sorted by object and row.

    Attributes
    ----------
    number, row, left, right : (k,) arrays
        Object, row and extent in columns, half open; an object has every row from its first to its
        last.
    start : (n + 1,) array
        Index of the first row of each of the n objects.
    """

    number: np.ndarray
    row: np.ndarray
    left: np.ndarray
    right: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, runs: Runs) -> Outline:
        """Return the outline of objects given as runs."""
        row = runs.row
        first = np.ones(len(row), dtype=bool)
        first[1:] = (runs.number[1:] != runs.number[:-1]) | (row[1:] != row[:-1])
        last = np.append(first[1:], first[:1])
        number, rows = runs.number[first], row[first]
        return cls(
            number=number,
            row=rows,
            left=runs.start[first] - rows * runs.stride,
            right=runs.stop[last] - rows * runs.stride,
            start=np.searchsorted(number, np.arange(len(runs) + 1)),
        )

    def box(self) -> dict[str, np.ndarray]:
        """Return the bounding boxes `y0_px`, `x0_px`, `y1_px`, `x1_px`, half open."""
        start = self.start[:-1]
        if not len(start):
            return {name: np.zeros(0, dtype=np.int64) for name in BOX}
        return {
            "y0_px": self.row[start],
            "x0_px": np.minimum.reduceat(self.left, start),
            "y1_px": self.row[self.start[1:] - 1] + 1,
            "x1_px": np.maximum.reduceat(self.right, start),
        }

    def convex_area(self) -> np.ndarray:
        """Return the number of pixels whose centre lies in or on the convex hull of each object.

        As in scikit-image, the hull is that of the points half a pixel above, below, left and right
        of each pixel centre. It is exact: on the grid of half pixels, Y = 2y, X = 2x, the left
        border is the lower convex envelope of X(Y), and the right border its mirror image.
        """
        count = len(self.start) - 1
        number = np.concatenate([self.number, self.number + count])
        row, edge = np.tile(self.row, 2), np.concatenate([self.left, 1 - self.right])
        pixels = self.start[1:] - self.start[:-1]
        for y, x, chain in _convex(*_borders(number, row, edge)):
            pixels -= _inner_columns(y, x, chain, count)
        return pixels

    def ring(self, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return outlines widened by `width` pixels, as (number, row, left, right)."""
        from scipy.ndimage import minimum_filter1d

        number = np.arange(len(self.start) - 1)
        rows = np.diff(self.start) + 2 * width
        wide = np.repeat(number, rows)
        own = np.arange(len(self.row)) + self.number * 2 * width + width
        edge = []
        for column in (self.left, -self.right):
            padded = np.full(len(wide), _FAR)
            padded[own] = column
            edge.append(minimum_filter1d(padded, 2 * width + 1, mode="constant", cval=_FAR))
        first = np.cumsum(rows) - rows
        row = np.arange(len(wide)) - np.repeat(first - self.row[self.start[:-1]] + width, rows)
        return wide, row, edge[0] - width, -edge[1] + width


def _borders(number, row, edge) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (y, x, chain) of left borders on the grid of half pixels, sorted by chain and y.

    Each row has its left midpoint. The midpoint of an upper or lower pixel edge matters at the
    ends, and between rows that differ by more than one pixel.
    """
    first = np.ones(len(row), dtype=bool)
    first[1:] = number[1:] != number[:-1]
    last = np.append(first[1:], first[:1])
    below = np.append(edge[1:], 0)
    step = last | (np.abs(below - edge) > 1)
    points = 1 + first + step.astype(np.int64)
    at = np.cumsum(points) - points  # index of the first point of each row
    y, x = np.empty((2, int(points.sum())), dtype=np.int64)
    y[at[first]], x[at[first]] = 2 * row[first] - 1, 2 * edge[first]
    own = at + first
    y[own], x[own] = 2 * row, 2 * edge - 1
    under = own[step] + 1
    y[under] = 2 * row[step] + 1
    x[under] = 2 * np.where(last, edge, np.minimum(edge, below))[step]
    return y, x, np.repeat(number, points)


def _convex(y, x, chain):
    """Yield vertices (y, x, chain) of the lower convex envelopes x(y), in batches of whole chains.

    A point on or above the chord of two others of its chain is not a vertex; a chain without a
    point above its neighbours' chord is convex. Neighbours at growing distances shorten long
    concave borders in few rounds.
    """
    far = 1
    while len(y):
        ends = np.ones(len(y), dtype=bool)
        ends[1:] = chain[1:] != chain[:-1]
        first = np.flatnonzero(ends)
        ends[np.append(first[1:], len(y)) - 1] = True
        inner = np.flatnonzero(~ends)
        keep = ends
        keep[inner] = _below(y, x, inner - 1, inner, inner + 1)
        if far > 1:
            sizes = np.diff(np.append(first, len(y)))
            start = np.repeat(first, sizes)[inner]
            stop = np.repeat(first + sizes - 1, sizes)[inner]
            a, c = np.maximum(inner - far, start), np.minimum(inner + far, stop)
            keep[inner] &= _below(y, x, a, inner, c)
        convex = np.logical_and.reduceat(keep, first)
        done = np.repeat(convex, np.diff(np.append(first, len(y))))
        yield y[done], x[done], chain[done]
        keep &= ~done
        y, x, chain = y[keep], x[keep], chain[keep]
        far *= 2


def _below(y, x, a, b, c) -> np.ndarray:
    """Whether b is below the chord from a to c."""
    return (x[b] - x[a]) * (y[c] - y[a]) < (x[c] - x[a]) * (y[b] - y[a])


def _inner_columns(y, x, chain, count) -> np.ndarray:
    """Sum (count,) over rows of the first pixel column on or right of a convex border."""
    edge = np.flatnonzero(chain[1:] == chain[:-1])
    ya, xa, yb, xb = y[edge], x[edge], y[edge + 1], x[edge + 1]
    first = (ya + 1) // 2
    rows = (yb + 1) // 2 - first
    end = np.cumsum(rows)
    row = np.arange(end[-1] if len(end) else 0) + np.repeat(first - end + rows, rows)
    height, along = np.repeat(yb - ya, rows), 2 * row - np.repeat(ya, rows)
    doubled = np.repeat(xa, rows) * height + np.repeat(xb - xa, rows) * along
    column = -(-doubled // (2 * height))
    number = np.repeat(chain[edge], rows) % count
    return np.bincount(number, weights=column, minlength=count).astype(np.int64)
