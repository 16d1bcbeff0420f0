"""Corrections of one frame, proposed in its neighbours along the tracks of the objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spinscope.analysis.clicks import click
from spinscope.analysis.objects import label_objects
from spinscope.analysis.shapes import measure
from spinscope.analysis.tracks import link
from spinscope.classes import BACKGROUND
from spinscope.errors import SpinscopeError

SUPPORT = 0.15
"""Probability that a proposed object must reach; in the film it is some hundredths."""

_AREA_RATIO = 2.5
"""A changed object has between 1/2.5 and 2.5 times the area that it had in the frame before."""
_NEIGHBOURS = 8
"""Objects whose steps tell how far the objects around them move."""


@dataclass
class _Change:
    """An object that was added or removed: its centre and area in the last frame."""

    centre: np.ndarray
    area: float
    object_class: int
    added: bool


def propagate(
    before: np.ndarray,
    after: np.ndarray,
    neighbours: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[np.ndarray]:
    """Propose the corrections of a frame in the frames that follow it.

    Whole objects that were added or removed are followed; each moves like its eight nearest linked
    objects (see `link`). An added object is proposed where the probability near its predicted place
    reaches `SUPPORT` and a click there gives an object of similar area. A removed object is removed
    as long as an object of similar area is near its predicted place. A change ends in the first
    frame that does not support it, and the proposals end with the last change.

    Parameters
    ----------
    before, after : (H, W) uint8 array
        Mask of the model, and the corrected mask.
    neighbours : iterable of ((H, W) array, (H, W) array)
        Mask and probability of any object (see `click`) of each following frame, or each preceding
        one in backward order.

    Yields
    ------
    (H, W) uint8 array
        Proposed mask of each neighbour.

    Raises
    ------
    SpinscopeError
        For masks of different shapes.

    Examples
    --------
    >>> mask = np.zeros((32, 32), np.uint8)
    >>> corrected = mask.copy()
    >>> corrected[10:16, 10:16] = 1
    >>> foreground = np.zeros((32, 32))
    >>> foreground[10:16, 11:17] = 0.4
    >>> (found,) = propagate(mask, corrected, [(mask, foreground)])
    >>> bool(found[10:16, 11:17].all()), bool(found[:, :9].any())
    (True, False)
    """
    if before.shape != after.shape:
        raise SpinscopeError(f"masks must have one shape, not {before.shape} and {after.shape}")
    changes, known = _changes(before, after), after
    for mask, foreground in neighbours:
        steps = _steps(known, mask)
        proposed, supported = mask.copy(), []
        for change in changes:
            place = change.centre + _nearest_step(steps, change.centre)
            found = _applied(proposed, foreground, change, place)
            if found is not None:
                proposed, moved = found
                supported.append(moved)
        changes = supported
        if not changes:
            return
        yield proposed
        known = proposed


def _changes(before: np.ndarray, after: np.ndarray) -> list[_Change]:
    """Objects of one mask that share no pixel with an object of their class in the other."""
    found = []
    for mask, other, added in ((after, before, True), (before, after, False)):
        for object_class in np.unique(mask[mask != BACKGROUND]):
            numbers, areas = label_objects(mask == object_class)
            shared = np.unique(numbers[other == object_class])
            for k in np.setdiff1d(np.arange(1, len(areas) + 1), shared):
                centre = np.argwhere(numbers == k).mean(axis=0)
                found.append(_Change(centre, float(areas[k - 1]), int(object_class), added))
    return found


def _steps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Positions of linked objects of two frames: (n, 4) y and x before, y and x after, in px."""
    import pandas as pd

    tables = []
    for frame, mask in enumerate((one, other)):
        columns = measure(mask != BACKGROUND)
        names = ("y_px", "x_px", "diameter_px")
        tables.append(pd.DataFrame({"frame": frame, **{key: columns[key] for key in names}}))
    try:
        tracks = link(pd.concat(tables, ignore_index=True))
    except SpinscopeError:  # too few objects, or links that are ambiguous
        return np.empty((0, 4))
    pairs = tracks[tracks.frame == 0].merge(tracks[tracks.frame == 1], on="track")
    return pairs[["y_px_x", "x_px_x", "y_px_y", "x_px_y"]].to_numpy()


def _nearest_step(steps: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Median step of the linked objects that are nearest to a point, 0 without any."""
    if not len(steps):
        return np.zeros(2)
    nearest = np.argsort(((steps[:, :2] - centre) ** 2).sum(axis=1))[:_NEIGHBOURS]
    return np.median(steps[nearest, 2:] - steps[nearest, :2], axis=0)


def _applied(
    mask: np.ndarray, foreground: np.ndarray, change: _Change, place: np.ndarray
) -> tuple[np.ndarray, _Change] | None:
    """Mask with a change near a place, and the change as it is there; None without support."""
    y, x = np.round(place).astype(int)
    if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]):
        return None
    radius = np.sqrt(change.area / np.pi)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    near = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= max(2.0, radius) ** 2
    own = near & (mask == change.object_class)
    if not change.added:
        if not own.any():
            return None
        at = _nearest_pixel(own, place)
        removed = click(mask, foreground, at, change.object_class)
        return _similar(
            removed, _moved(change, (mask != BACKGROUND) & (removed == BACKGROUND)), change
        )
    if own.any():  # the model finds it here
        at = _nearest_pixel(own, place)
        cleared = click(mask, foreground, at, change.object_class)
        return mask, _moved(change, cleared != mask)
    free = near & (mask == BACKGROUND)
    if not free.any():
        return None
    at = np.unravel_index(np.where(free, foreground, -1).argmax(), mask.shape)
    if foreground[at] < SUPPORT:
        return None
    added = click(mask, foreground, at, change.object_class, area=change.area)
    return _similar(added, _moved(change, added != mask), change)


def _similar(
    mask: np.ndarray, moved: _Change, change: _Change
) -> tuple[np.ndarray, _Change] | None:
    """A mask and the change in it, None where the object has another size than before."""
    if not 1 / _AREA_RATIO < moved.area / change.area < _AREA_RATIO:
        return None
    return mask, moved


def _nearest_pixel(pixels: np.ndarray, place: np.ndarray) -> tuple[int, int]:
    """Pixel of an (H, W) bool array that is nearest to a place."""
    found = np.argwhere(pixels)
    y, x = found[((found - place) ** 2).sum(axis=1).argmin()]
    return int(y), int(x)


def _moved(change: _Change, pixels: np.ndarray) -> _Change:
    """The change at the object of these pixels."""
    centre = np.argwhere(pixels).mean(axis=0)
    return _Change(centre, float(pixels.sum()), change.object_class, change.added)
