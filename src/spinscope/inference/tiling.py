"""Images larger than memory allows, computed in overlapping tiles that are blended smoothly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from spinscope.errors import SpinscopeError

Apply = Callable[[slice, slice], np.ndarray]
"""(rows, columns) of an image → class probabilities (h, w, C) of that window."""


@dataclass(frozen=True)
class Tiling:
    """Size of the tiles of a large image.

    Parameters
    ----------
    side : int
        Largest side of a tile in px.
    overlap : int
        Pixels that neighbouring tiles have in common, at most a quarter of `side`, so that no
        pixel lies in three tiles of a row.
    """

    side: int = 1024
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= self.side // 4:
            raise SpinscopeError(
                f"tile overlap (={self.overlap}) must be from 1 to a quarter of the tile's side "
                f"({self.side // 4})"
            )

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an image of this shape is computed in one piece."""
        return shape[0] * shape[1] <= self.side**2

    def windows(self, length: int, grid: int) -> list[slice]:
        """Return windows that cover `length` pixels and start at multiples of `grid` pixels.

        >>> Tiling(64, 16).windows(130, 8)
        [slice(0, 64, None), slice(32, 96, None), slice(72, 130, None)]
        """
        side = self.side // grid * grid
        if side <= self.overlap + grid:
            raise SpinscopeError(
                f"tile (={self.side}) must be larger than its overlap (={self.overlap}) and twice "
                f"the network's grid of {grid} pixels"
            )
        if length <= side:
            return [slice(0, length)]
        last = -(-(length - side) // grid)  # starts are counted in grid steps
        gaps = -(-last // max((side - self.overlap) // grid, 1))
        starts = [k * last // gaps * grid for k in range(gaps + 1)]
        return [slice(start, min(start + side, length)) for start in starts]


def blend(windows: list[slice]) -> list[np.ndarray]:
    """Return the weights of each window along one axis; they add up to 1 at every pixel.

    Where two windows overlap, the weight passes from one to the other as a cosine over the middle
    half: the outer quarters, where a window lacks its surroundings, have no weight.
    """
    weights = [np.ones(window.stop - window.start, dtype=np.float32) for window in windows]
    for left, right, before, after in zip(
        windows[:-1], windows[1:], weights[:-1], weights[1:], strict=True
    ):
        shared = left.stop - right.start
        position = (np.arange(shared, dtype=np.float32) + 0.5) / shared
        rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(2 * position - 0.5, 0, 1))
        before[-shared:] *= 1 - rise
        after[:shared] *= rise
    return weights


def tiled(
    apply: Apply,
    shape: tuple[int, int],
    tiling: Tiling,
    grid: int,
    classes: int,
    workers: int = 1,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the class probabilities of an image in bands of finished rows, from the top down.

    Only one row of tiles is in memory.

    Parameters
    ----------
    apply : callable
        Computes the class probabilities of a window.
    shape : (int, int)
        Height and width of the image.
    tiling : Tiling
        Size of the tiles.
    grid : int
        Tiles start at multiples of this many pixels.
    classes : int
        Number of classes.
    workers : int
        Tiles computed at once.

    Yields
    ------
    rows : slice
        Rows of the band.
    probabilities : (h, W, C) float32 array
        Class probabilities.
    """
    rows, columns = (tiling.windows(length, grid) for length in shape)
    row_weights, column_weights = blend(rows), blend(columns)
    below = np.zeros((0, shape[1], classes), dtype=np.float32)  # rows shared with the next band
    with ThreadPoolExecutor(workers) as pool:
        for k, (row, row_weight) in enumerate(zip(rows, row_weights, strict=True)):
            band = np.zeros((row.stop - row.start, shape[1], classes), dtype=np.float32)
            band[: len(below)] = below
            for start in range(0, len(columns), workers):
                batch = slice(start, start + workers)
                windows = pool.map(partial(apply, row), columns[batch])
                for column, weight, window in zip(
                    columns[batch], column_weights[batch], windows, strict=True
                ):
                    window *= row_weight[:, None, None] * weight[None, :, None]
                    band[:, column] += window
            end = rows[k + 1].start if k + 1 < len(rows) else row.stop
            yield slice(row.start, end), band[: end - row.start]
            below = band[end - row.start :].copy()
            del band  # free the memory before the next band is made
