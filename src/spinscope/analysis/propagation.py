"""Corrections of one frame, proposed in its neighbours where the film has moved to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spinscope.analysis.objects import label_objects
from spinscope.classes import BACKGROUND
from spinscope.errors import SpinscopeError

FOUND = 0.5
"""An object of which a mask has at least this fraction is in it."""

SUPPORT = 0.1
"""Mean probability at an added object that ends its proposals if it is lower."""

ALIKE = 0.7
"""IoU of a removed object with one of the next frame that is removed as well."""

_AWAY = 0.01
"""Mean probability that a place one pixel beside the expected one must have more."""


@dataclass
class _Change:
    """An object that was added or removed: its pixels (n, 2) in the last frame."""

    pixels: np.ndarray
    object_class: int
    added: bool


def propagate(
    before: np.ndarray,
    after: np.ndarray,
    neighbours: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[np.ndarray]:
    """Propose the corrections of a frame in the frames that follow it.

    Objects that were added, completed from less than half, or removed move like the whole frame, by
    the shift at which the probabilities of two frames correlate best. Where the mask has less than
    half of an added object, its shape is proposed, as long as the mean probability there reaches
    `SUPPORT`; it is drawn a pixel beside the expected place if the probability is higher there. A
    removed object is removed as long as an object of nearly the same pixels (`ALIKE`) is at its
    place, like dust. A change ends in the first frame that does not support it, and where less than
    half of it is in the frame; the proposals end with the last change.

    Parameters
    ----------
    before, after : (H, W) uint8 array
        Mask of the model, and the corrected mask.
    neighbours : iterable of ((H, W) array, (H, W) array)
        Mask and probability of any object of each following frame, or each preceding one in
        backward order.

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
    changes, last = _changes(before, after), after != BACKGROUND
    for mask, foreground in neighbours:
        step, proposed, supported = _step(last, foreground), mask.copy(), []
        for change in changes:
            apply = _add if change.added else _remove
            moved = _Change(change.pixels + step, change.object_class, change.added)
            found = apply(proposed, foreground, moved)
            if found is not None:
                supported.append(found)
        changes, last = supported, foreground
        if not changes:
            return
        yield proposed


def _changes(before: np.ndarray, after: np.ndarray) -> list[_Change]:
    """Added objects, of which the mask before has less than half, and removed objects."""
    found = []
    for mask, other, added in ((after, before, True), (before, after, False)):
        for object_class in np.unique(mask[mask != BACKGROUND]):
            numbers, areas = label_objects(mask == object_class)
            shared = np.bincount(numbers[other == object_class], minlength=len(areas) + 1)[1:]
            lost = shared < FOUND * np.array(areas) if added else shared == 0
            for k in np.flatnonzero(lost) + 1:
                found.append(_Change(np.argwhere(numbers == k), int(object_class), added))
    return found


def _step(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Shift (y, x) in px by which two maps of probability correlate best."""
    from scipy import fft

    spectra = [fft.rfft2(values - values.mean()) for values in (one, other)]
    correlation = fft.irfft2(spectra[0].conj() * spectra[1], s=one.shape)
    shape = np.array(one.shape)
    peak = np.array(np.unravel_index(correlation.argmax(), one.shape))
    return np.where(peak > shape // 2, peak - shape, peak)


def _inside(pixels: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and columns of the pixels that lie in a frame, None for less than half of them."""
    kept = ((pixels >= 0) & (pixels < shape)).all(axis=1)
    return tuple(pixels[kept].T) if kept.mean() >= FOUND else None


def _add(mask: np.ndarray, foreground: np.ndarray, change: _Change) -> _Change | None:
    """Draw an object on a mask; None where it leaves the frame or the map shows nothing."""
    best, highest = None, SUPPORT
    for y in (0, -1, 1):
        for x in (0, -1, 1):
            pixels = change.pixels + np.array([y, x])
            if (places := _inside(pixels, mask.shape)) is None:
                continue
            score = foreground[places].mean() - _AWAY * np.hypot(y, x)
            if score > highest:
                best, highest = (pixels, places), score
    if best is None:
        return None
    pixels, places = best
    if (mask[places] == change.object_class).mean() < FOUND:
        there = mask[places]
        mask[places] = np.where(there == BACKGROUND, change.object_class, there)
    return _Change(pixels, change.object_class, True)


def _remove(mask: np.ndarray, foreground: np.ndarray, change: _Change) -> _Change | None:
    """Remove the object of the same pixels from a mask; None where there is none."""
    if (places := _inside(change.pixels, mask.shape)) is None:
        return None
    numbers, areas = label_objects(mask == change.object_class)
    shared = np.bincount(numbers[places], minlength=len(areas) + 1)[1:]
    if not shared.any():
        return None
    k = int(shared.argmax())
    if shared[k] < ALIKE * (len(places[0]) + areas[k] - shared[k]):
        return None
    pixels = np.argwhere(numbers == k + 1)
    mask[tuple(pixels.T)] = BACKGROUND
    return _Change(pixels, change.object_class, False)
