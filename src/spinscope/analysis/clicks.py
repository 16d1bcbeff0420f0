"""Corrections of a mask by clicks and scribbles, guided by the probability map of a model.

The probability of an object that a model misses is low, but rises above its surroundings, and the
object is about as large as the others: a click floods the mean of the map and of a usual object,
down to a level between the surroundings and the peak. A scribble names pixels of one class; a
random walk on the map decides about the pixels around it.
"""

from __future__ import annotations

import math

import numpy as np

from spinscope.analysis.objects import label_objects
from spinscope.classes import BACKGROUND
from spinscope.errors import SpinscopeError

DEFAULT_AREA = 64.0
"""Area in px of an object where the mask holds no other."""

LEVEL_FRACTION = 0.35
"""Level of the mean of two maps: the probability, 0 in the surroundings and 1 at the peak, and a
disc of the typical area at the click, whose edge is a pixel or two wide."""

_MOST_AREA = 2.0
"""An added object has at most this many times the typical area."""
_REACH_PX = 2
"""The click may miss the peak of the object by this distance."""
_WALK_BETA = 130.0
"""Resistance of the random walk to steps of the probability."""
_CORE = 0.6
"""Pixels of an object at this fraction of its largest depth are certain."""


def typical_area(mask: np.ndarray, object_class: int) -> float:
    """Return the median area in px of the objects of a class, `DEFAULT_AREA` without objects.

    Parameters
    ----------
    mask : (H, W) array
        Class indices.
    object_class : int
        Index of the class.
    """
    areas = label_objects(mask == object_class)[1]
    return float(np.median(areas)) if len(areas) else DEFAULT_AREA


def click(
    mask: np.ndarray,
    foreground: np.ndarray,
    at: tuple[int, int],
    object_class: int,
    *,
    area: float | None = None,
) -> np.ndarray:
    """Remove the object at a pixel, or add one where there is none.

    Parameters
    ----------
    mask : (H, W) uint8 array
        Class indices; it is not changed.
    foreground : (H, W) array
        Probability that a pixel belongs to any object.
    at : (y, x)
        Pixel that was clicked.
    object_class : int
        Class of an added object.
    area : float, optional
        Typical area of an object in px, by default that of the mask (`typical_area`). An added
        object is at most twice as large.

    Returns
    -------
    (H, W) uint8 array
        Corrected mask.

    Raises
    ------
    SpinscopeError
        For a pixel outside the mask, a map of another shape, and the class of the background.
    """
    _check(mask, foreground, np.array([at]))
    if object_class == BACKGROUND:
        raise SpinscopeError("object_class (=0) must be a class of objects, not the background")
    corrected = mask.copy()
    if mask[at] != BACKGROUND:
        corrected[_object_at(mask, at)] = BACKGROUND
        return corrected
    area = typical_area(mask, object_class) if area is None else area
    section, seed = _window(mask.shape, np.array([at]), max(12, math.ceil(2.5 * _diameter(area))))
    free = mask[section] == BACKGROUND
    added = _flood(foreground[section], free, tuple(seed[0]), area)
    corrected[section][added] = object_class
    return corrected


def scribble(
    mask: np.ndarray,
    foreground: np.ndarray,
    pixels: np.ndarray,
    object_class: int,
    *,
    area: float | None = None,
) -> np.ndarray:
    """Segment the surroundings of a scribble again.

    Parameters
    ----------
    mask : (H, W) uint8 array
        Class indices; it is not changed.
    foreground : (H, W) array
        Probability that a pixel belongs to any object.
    pixels : (n, 2) int array
        Pixels (y, x) of the scribble, which get the class in any case.
    object_class : int
        Class of the scribble. Objects that a scribble of the background crosses are cut there and
        lose what lies beyond; other classes add pixels around the scribble, and join the objects of
        this class that it crosses.
    area : float, optional
        Typical area of an object in px, by default that of the mask (`typical_area`).

    Returns
    -------
    (H, W) uint8 array
        Corrected mask.

    Raises
    ------
    SpinscopeError
        For no pixel, a pixel outside the mask, and a map of another shape.

    References
    ----------
    Grady, IEEE Trans. Pattern Anal. Mach. Intell. 28, 1768 (2006): random walker.
    """
    pixels = np.asarray(pixels, dtype=np.int64).reshape(-1, 2)
    _check(mask, foreground, pixels)
    area = typical_area(mask, object_class or 1) if area is None else area
    margin = max(8, math.ceil(1.5 * _diameter(area)))
    crossed = _objects_under(mask, pixels)
    if object_class != BACKGROUND:
        crossed &= mask == object_class
    section, _ = _window(mask.shape, np.concatenate([pixels, np.argwhere(crossed)]), margin)
    drawn = np.zeros(mask.shape, dtype=bool)
    drawn[tuple(pixels.T)] = True
    parts = mask[section], foreground[section], drawn[section], crossed[section]
    corrected = mask.copy()
    if object_class == BACKGROUND:
        corrected[section] = _cut(*parts, area)
    else:
        corrected[section] = _extended(*parts, object_class, area)
    return corrected


def _check(mask: np.ndarray, foreground: np.ndarray, pixels: np.ndarray) -> None:
    if foreground.shape != mask.shape:
        raise SpinscopeError(
            f"foreground {foreground.shape} must have the shape of the mask, {mask.shape}"
        )
    if not len(pixels):
        raise SpinscopeError("a scribble must have at least one pixel")
    outside = ((pixels < 0) | (pixels >= mask.shape)).any(axis=1)
    if outside.any():
        y, x = pixels[outside][0]
        raise SpinscopeError(f"pixel (y={y}, x={x}) must lie in the mask, {mask.shape}")


def _diameter(area: float) -> float:
    return 2 * math.sqrt(area / math.pi)


def _window(
    shape: tuple[int, ...], pixels: np.ndarray, margin: int
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Section of a frame around pixels, and the pixels in it."""
    low = np.maximum(pixels.min(axis=0) - margin, 0)
    high = np.minimum(pixels.max(axis=0) + margin + 1, shape)
    return (slice(low[0], high[0]), slice(low[1], high[1])), pixels - low


def _object_at(mask: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """Pixels (H, W) bool of the 8-connected object of one class at a pixel."""
    from skimage.segmentation import flood

    return flood(mask, at, connectivity=2)


def _objects_under(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool of the objects that a scribble crosses."""
    under = np.zeros(mask.shape, dtype=bool)
    for y, x in pixels:
        if mask[y, x] != BACKGROUND and not under[y, x]:
            under |= _object_at(mask, (y, x))
    return under


def _flood(
    probability: np.ndarray, free: np.ndarray, at: tuple[int, int], area: float
) -> np.ndarray:
    """Pixels of the object whose peak is near a pixel, at a level that its surroundings set."""
    from scipy import ndimage

    rows, columns = np.ogrid[: probability.shape[0], : probability.shape[1]]
    distance2 = (rows - at[0]) ** 2 + (columns - at[1]) ** 2
    near = free & (distance2 <= _REACH_PX**2)
    peak = np.unravel_index(np.where(near, probability, -np.inf).argmax(), probability.shape)
    radius2 = area / math.pi
    around = free & (distance2 > 2.5 * radius2) & (distance2 < 16 * radius2)
    low = float(np.median(probability[around])) if around.any() else 0.0
    rise = float(probability[peak]) - low
    if rise <= 0:  # the map shows nothing here: a disc of the typical area
        return free & (distance2 <= radius2)
    height = np.clip((probability - low) / rise, 0, 1.5)
    usual = 1 / (1 + np.exp(np.sqrt(distance2) - math.sqrt(radius2)))
    height = (height + usual) / 2
    for step in range(7):
        inside = free & (height >= LEVEL_FRACTION + 0.1 * step)
        inside[peak] = True
        numbers, _ = ndimage.label(inside)
        found = numbers == numbers[peak]
        if found.sum() <= _MOST_AREA * area:
            break
    filled = ndimage.binary_fill_holes(found) & free
    filled[at] = True  # what was clicked always belongs to it
    return filled


def _extended(
    part: np.ndarray,
    foreground: np.ndarray,
    drawn: np.ndarray,
    crossed: np.ndarray,
    object_class: int,
    area: float,
) -> np.ndarray:
    """Mask around a scribble of a class of objects."""
    from scipy.ndimage import distance_transform_edt

    own = drawn | crossed
    beyond = distance_transform_edt(~drawn) > 1.5 * _diameter(area) / 2 + 1
    others = (part != BACKGROUND) & ~own
    inside = _walk(foreground, own, (beyond | others) & ~own)
    decided = part.copy()
    decided[inside & ~others] = object_class
    decided[drawn] = object_class
    return decided


def _cut(
    part: np.ndarray, foreground: np.ndarray, drawn: np.ndarray, crossed: np.ndarray, area: float
) -> np.ndarray:
    """Mask around a scribble of the background, which cuts objects."""
    from scipy import ndimage

    decided = part.copy()
    decided[drawn] = BACKGROUND
    rest = crossed & ~drawn
    pieces, n = ndimage.label(rest)
    certain = np.zeros(part.shape, dtype=bool)
    for k in range(1, n + 1):
        piece = pieces == k
        if piece.sum() < 0.1 * area:  # a splinter at the edge of the stroke
            continue
        depth = ndimage.distance_transform_edt(piece)
        certain |= piece & (depth >= _CORE * depth.max())
    if not certain.any():
        decided[rest] = BACKGROUND
        return decided
    inside = _walk(foreground, certain, drawn | (part == BACKGROUND))
    decided[rest & ~inside] = BACKGROUND
    return decided


def _walk(probability: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Pixels that a random walk from them reaches `inside` first, (h, w) bool."""
    from skimage.segmentation import random_walker

    seeds = np.where(inside, 2, np.where(outside, 1, 0))
    if not (seeds == 0).any() or not outside.any() or not inside.any():
        return inside
    data = np.asarray(probability, dtype=np.float64)
    walk = {"beta": _WALK_BETA, "mode": "cg_j", "tol": 1e-4, "prob_tol": 0.1}
    return random_walker(data, seeds, **walk) == 2
