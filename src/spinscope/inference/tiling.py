"""Frames larger than memory allows, as overlapping tiles that are blended smoothly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from spinscope.errors import SpinscopeError

Apply = Callable[[slice, slice], np.ndarray]
"""(rows, columns) of a frame → class probabilities (h, w, C) of that window."""


@dataclass(frozen=True)
class Tiling:
    """Tiles of at most `side` pixels that share `overlap` pixels with each neighbour."""

    side: int = 1024
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= self.side // 4:  # so that no pixel counts in three windows
            raise SpinscopeError(
                f"tile overlap (={self.overlap}) must be from 1 to a quarter of the tile's side "
                f"({self.side // 4})"
            )

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a frame is computed in one piece."""
        return shape[0] * shape[1] <= self.side**2

    def windows(self, length: int, multiple: int) -> list[slice]:
        """Windows that cover `length` pixels, each starting at a multiple of the network's grid.

        >>> Tiling(64, 16).windows(130, 8)
        [slice(0, 64, None), slice(32, 96, None), slice(72, 130, None)]
        """
        side = self.side // multiple * multiple
        if side <= self.overlap + multiple:
            raise SpinscopeError(
                f"tile (={self.side}) must be larger than its overlap (={self.overlap}) and twice "
                f"the network's grid of {multiple} pixels"
            )
        if length <= side:
            return [slice(0, length)]
        last = -(-(length - side) // multiple)  # starts are counted in grid steps
        gaps = -(-last // max((side - self.overlap) // multiple, 1))
        starts = [k * last // gaps * multiple for k in range(gaps + 1)]
        return [slice(start, min(start + side, length)) for start in starts]


def blend(windows: list[slice]) -> list[np.ndarray]:
    """Weights of each window along one axis; over all windows they add up to 1 at every pixel.

    Where two windows share pixels the weight passes from one to the other as a cosine over the
    middle half: the outer quarters, where a window lacks its surroundings, count for nothing.
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
    multiple: int,
    classes: int,
    workers: int = 1,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Class probabilities of a frame in bands of finished rows, from the top down.

    Only one row of tiles is in memory. `workers` windows are computed at once.
    Yields (rows, (h, W, C) float32).
    """
    rows, columns = (tiling.windows(length, multiple) for length in shape)
    down, across = blend(rows), blend(columns)
    carried = np.zeros((0, shape[1], classes), dtype=np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for k, (row, weight) in enumerate(zip(rows, down, strict=True)):
            band = np.zeros((row.stop - row.start, shape[1], classes), dtype=np.float32)
            band[: len(carried)] = carried
            for start in range(0, len(columns), workers):
                some = slice(start, start + workers)
                windows = pool.map(partial(apply, row), columns[some])
                for column, share, window in zip(columns[some], across[some], windows, strict=True):
                    window *= weight[:, None, None] * share[None, :, None]
                    band[:, column] += window
            end = rows[k + 1].start if k + 1 < len(rows) else row.stop
            yield slice(row.start, end), band[: end - row.start]
            carried = band[end - row.start :].copy()
            del band  # before the next is made
