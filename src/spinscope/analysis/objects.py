"""Objects of a mask: 8-connected components, stored as horizontal runs of pixels.

A run is a contiguous section of a row. Every quantity of an object is a sum over its runs, and
there are about twenty times fewer runs than pixels, so that all objects are measured at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spinscope.errors import SpinscopeError

BAND_PX = 1 << 22
"""Pixels processed at a time, which bounds the memory for frames of any size."""


@dataclass(frozen=True)
class Runs:
    """Whole objects as runs, sorted by object, row and column.

    Attributes
    ----------
    stride : int
        Width of the frame + 1.
    start, stop : (r,) int64 arrays
        Ends of the runs as row * stride + column, half open.
    number : (r,) array
        Object of each run, 0 … n - 1, in order of the first pixel.
    holes : (n,) array
        Number of 4-connected background regions that each object encloses.
    """

    stride: int
    start: np.ndarray
    stop: np.ndarray
    number: np.ndarray
    holes: np.ndarray

    def __len__(self) -> int:
        return len(self.holes)

    @property
    def row(self) -> np.ndarray:
        """Row of each run."""
        return self.start // self.stride

    @property
    def length(self) -> np.ndarray:
        """Number of pixels of each run."""
        return self.stop - self.start

    @property
    def areas(self) -> np.ndarray:
        """Number of pixels of each object."""
        return self.sum(self.length).astype(np.int64)

    @property
    def first(self) -> np.ndarray:
        """Index of the first run of each object."""
        return np.searchsorted(self.number, np.arange(len(self)))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum values (r,) over the runs of each object, (n,) float64."""
        return np.bincount(self.number, weights=values, minlength=len(self))


def object_runs(mask: np.ndarray, min_px: int = 1) -> Iterator[Runs]:
    """Yield the objects of a mask as runs, in batches of whole objects, from top to bottom.

    An object is in the batch of the band of `BAND_PX` pixels in which it ends; a smaller frame is
    one batch, and there is always at least one, which may be empty. The runs of objects that
    continue below are kept for the next band: the memory needed is that of a band and of the
    objects that cross it.

    Parameters
    ----------
    mask : (H, W) bool array
        Pixels of objects.
    min_px : int
        Objects of fewer pixels are left out.

    Raises
    ------
    SpinscopeError
        For a mask that is not (H, W) bool and for `min_px` below 1.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise SpinscopeError(
            f"mask of shape {mask.shape} and type {mask.dtype} must be (H, W) of type bool"
        )
    if min_px < 1:
        raise SpinscopeError(f"min_px (={min_px}) must be at least 1")
    height, stride = mask.shape[0], mask.shape[1] + 1
    rows = max(1, BAND_PX // stride)
    bands, waiting, fresh = [], 0, 0
    for top in range(0, max(height, 1), rows):
        band = _find_runs(mask[top : top + rows]) + top * stride
        bands.append(band)
        fresh += band.shape[1]
        end = min(top + rows, height)
        if fresh < waiting and end < height:
            continue  # objects that cross many bands are not connected again in each
        start, stop = np.concatenate(bands, axis=1)
        bands.clear()
        number, edges = _connect(start, stop, stride)
        areas = np.bincount(number, weights=stop - start)
        continued = np.zeros(len(areas), dtype=bool)
        if end < height:
            continued[number[np.searchsorted(start, (end - 1) * stride) :]] = True
        whole = _whole(stride, start, stop, number, edges, ~continued & (areas >= min_px))
        keep = continued[number]
        bands = [np.stack([start[keep], stop[keep]])]
        waiting, fresh = bands[0].shape[1], 0
        del start, stop, number, edges, keep
        yield whole


def label_objects(mask: np.ndarray, min_px: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Number the 8-connected objects of a mask, in order of their first pixel.

    Parameters
    ----------
    mask : (H, W) bool array
        Pixels of objects.
    min_px : int
        Objects of fewer pixels are left out.

    Returns
    -------
    numbers : (H, W) int32 array
        Number of the object of each pixel, 0 outside objects.
    areas : (n,) array
        Number of pixels of the objects 1 … n.

    Raises
    ------
    SpinscopeError
        For a mask that is not (H, W) bool and for `min_px` below 1.
    """
    numbers = np.zeros(mask.shape, dtype=np.int32)
    areas, first = [], []
    for runs in object_runs(mask, min_px):
        paint(numbers, runs, sum(map(len, areas)))
        areas.append(runs.areas)
        first.append(runs.start[runs.first])
    order = in_order(numbers, np.concatenate(first))
    return numbers, np.concatenate(areas)[order]


def paint(numbers: np.ndarray, runs: Runs, before: int = 0) -> None:
    """Write the numbers `before` + 1 … of objects into `numbers`, (H, W) and contiguous."""
    length = runs.length
    end = np.cumsum(length)
    # The pixel of padding per row counts in `start`, but is not in the frame.
    begin = runs.start - runs.row
    pixel = np.arange(end[-1] if len(end) else 0) + np.repeat(begin - end + length, length)
    numbers.reshape(-1)[pixel] = np.repeat(runs.number + (before + 1), length)


def in_order(numbers: np.ndarray | None, first: np.ndarray) -> np.ndarray:
    """Return the order of objects by their first pixel, and renumber `numbers` in place."""
    order = np.argsort(first)
    if numbers is not None and (order[1:] < order[:-1]).any():
        new = np.zeros(len(order) + 1, dtype=np.int32)
        new[order + 1] = np.arange(1, len(order) + 1)
        rows = max(1, BAND_PX // max(1, numbers.shape[1]))
        for top in range(0, len(numbers), rows):
            numbers[top : top + rows] = new[numbers[top : top + rows]]
    return order


def shared_pixels(
    numbers: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pairs of objects of two masks that overlap.

    Parameters
    ----------
    numbers, others : (H, W) int arrays
        Object numbers from 1, 0 outside.

    Returns
    -------
    i, j : (k,) int arrays
        Indices of the objects in both masks, number - 1, in ascending order.
    pixels : (k,) int array
        Number of pixels that they have in common.
    """
    shared = (numbers > 0) & (others > 0)
    width = int(others.max(initial=0)) + 1
    pairs, pixels = np.unique(
        numbers[shared].astype(np.int64) * width + others[shared], return_counts=True
    )
    return pairs // width - 1, pairs % width - 1, pixels


def equivalent_diameter(areas: np.ndarray) -> np.ndarray:
    """Return the diameter of the disc of the same area, in the unit of the root of `areas`.

    >>> float(equivalent_diameter(np.pi * 4.0**2).round(6))
    8.0
    """
    return np.sqrt(4 * np.asarray(areas, dtype=float) / np.pi)


def _find_runs(mask: np.ndarray) -> np.ndarray:
    """Start and stop (2, r) of the runs of a mask, as row * (W + 1) + column."""
    height, width = mask.shape
    padded = np.zeros(height * (width + 1) + 1, dtype=bool)  # one pixel of padding per row
    padded[:-1].reshape(height, width + 1)[:, 1:] = mask
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2).T


def _connect(start: np.ndarray, stop: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Object of each run in raster order, and number of runs it touches in the next row.

    Runs a and b of neighbouring rows touch, corners included, if start_a <= stop_b and start_b <=
    stop_a; the runs that touch a run are consecutive.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    low = np.searchsorted(stop, start + stride)
    edges = np.searchsorted(start, stop + stride, side="right") - low
    ends = np.concatenate([[0], np.cumsum(edges)])
    touched = np.arange(ends[-1]) + np.repeat(low - ends[:-1], edges)
    graph = csr_array((np.ones(len(touched), np.int8), touched, ends), shape=(len(start),) * 2)
    return connected_components(graph, directed=False)[1], edges


def _whole(
    stride: int,
    start: np.ndarray,
    stop: np.ndarray,
    number: np.ndarray,
    edges: np.ndarray,
    keep: np.ndarray,
) -> Runs:
    """Objects whose `keep` is true, numbered without gaps, with the runs of an object adjacent.

    Runs are convex, two of them touch in a segment or a point, and no three meet: the Euler number
    of an object, 1 - holes, is that of the graph of its runs.
    """
    renumbered = np.where(keep, np.cumsum(keep) - 1, -1)[number]
    count = int(np.count_nonzero(keep))
    # Numbers of 16 bits are sorted by radix, several times faster.
    key = renumbered.astype(np.int16 if count < 2**15 else np.int64)
    order = np.argsort(key, kind="stable")[np.count_nonzero(renumbered < 0) :]
    number = renumbered[order]
    runs = np.bincount(number, minlength=count)
    holes = 1 - runs + np.bincount(number, weights=edges[order], minlength=count).astype(np.int64)
    return Runs(stride, start[order], stop[order], number, holes)
