"""Boundaries of objects that a network found at a coarse scale, placed by the frame itself.

A network places a boundary within about half of its pixels, each of which is several pixels of the
frame at a coarse scale. The brightness of the frame places it better: halfway from film to object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spinscope.inference.geometry import Geometry

_REACH, _WALL, _CLOSE, _NEAR = 2, 1.5, 3, 8
"""Distances from the boundary of the network, in its pixels: the frame decides up to the first;
beyond the second and up to the third, pixels have the brightness of film and object."""
_COARSER = 2
"""Halvings of the grid of the network that are tried against noise."""
_CLEAR = 4.0
"""Contrast in standard deviations of the film from which the frame decides."""
_FAINT = 0.5
"""Objects with less than this fraction of the median contrast are none: all domains have alike."""
_FILM, _OBJECT = 0.02, 0.98
"""Probabilities of pixels that are certainly film and object."""
_FEW = 1e-3
"""Least share of chosen pixels whose mean is known."""
_SOME = 20_000
"""Pixels from which a spread is found."""
_EIGHT = np.ones((3, 3))


class Edges(NamedTuple):
    """Boundaries of objects on the grid of the frame.

    Attributes
    ----------
    band : (H, W) bool array
        Pixels for which the frame decides.
    contrast : (H, W) float32 array
        There, 0 with the brightness of the film and 1 with that of the object, which is 1/2 at the
        boundary.
    """

    band: np.ndarray
    contrast: np.ndarray


def half_contrast_edges(
    scaled: Callable[[float], np.ndarray], found: np.ndarray, scale: float, shape: tuple[int, int]
) -> Edges | None:
    """Find where a frame is halfway from film to object, near the boundaries of a mask.

    The frame is smoothed as little as its noise allows. Thin objects keep their boundary.

    Parameters
    ----------
    scaled : callable
        Returns the frame with dark objects, (h, w), at a scale.
    found : (h, w) bool array
        Objects at `scale`.
    scale : float
        Ratio between the pixels of the mask and those of the frame, below 1.
    shape : (int, int)
        Height and width of the frame.

    Returns
    -------
    Edges or None
        None where noise hides the contrast on every grid, or no object is thick enough.
    """
    image = scaled(scale)
    mask = found & ~_faint(image, found)
    sides = _Sides.of(image, mask)
    for _ in range(2):  # the brightness beside the boundary is better known when this is
        if sides is None:
            return None
        mask = sides.attached(sides.contrast(image))[0]
        sides = _Sides.of(image, mask)
    halvings = round(-np.log2(scale)) + _COARSER
    for grid in [2.0**-k for k in range(halvings + 1)] if sides is not None else ():
        seen = scaled(grid)
        near = sides.on(grid / scale, seen.shape)
        contrast = near.contrast(seen)
        if _CLEAR * _spread(contrast[near.film]) < 1:
            contrast = near.attached(contrast)[1]
            if grid < 1:
                contrast = Geometry(scale=grid).undo(contrast[..., None], shape)[..., 0]
            network = Geometry(scale=scale)
            band, changed, mask = (
                network.nearest(one, shape) for one in (sides.band, found ^ mask, mask)
            )
            contrast = np.where(changed & ~band, mask, contrast)
            return Edges(band | changed, np.clip(contrast, _FILM, _OBJECT))
    return None


class _Sides(NamedTuple):
    """Both sides of the boundaries of a mask, on one grid.

    Attributes
    ----------
    mask : (h, w) bool array
        Objects.
    inside, outside : (h, w) arrays
        Brightness of objects and of the film near each pixel.
    band, sure, film : (h, w) bool arrays
        Pixels near boundaries that the frame decides, those whose mask stays, and film beside
        boundaries.
    """

    mask: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    band: np.ndarray
    sure: np.ndarray
    film: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray) -> _Sides | None:
        """Measure an image with dark objects beside the boundaries of a mask; None without any."""
        labels, n = ndimage.label(mask, _EIGHT)
        depth = ndimage.distance_transform_edt(mask)
        away = ndimage.distance_transform_edt(~mask)
        thick = np.zeros(n + 1, bool)
        thick[labels[depth > _REACH]] = True
        if mask.all() or not thick.any():
            return None
        film = (away > _WALL) & (away <= _NEAR)
        inside = _near(image, thick[labels] & (depth > _WALL) & (depth <= _NEAR))
        outside = _near(image, film)
        known = np.isfinite(inside) & np.isfinite(outside)
        inside, outside = (np.where(known, one, 0) for one in (inside, outside))
        sure = np.where(mask, depth, away) > _REACH
        thin = mask & ~thick[labels]
        apart = ndimage.binary_dilation(thin, _EIGHT, iterations=_REACH)
        band = known & ~sure & ~apart & (outside > inside)
        return cls(mask, inside, outside, band, sure | thin, film)

    def on(self, ratio: float, shape: tuple[int, int]) -> _Sides:
        """Return the same on a grid of another shape, that is finer by a ratio."""
        grid = Geometry(scale=1 / ratio)
        smooth = [grid.undo(one[..., None], shape)[..., 0] for one in (self.inside, self.outside)]
        mask, *rest = (grid.nearest(one, shape) for one in (self.mask, *self[3:]))
        return _Sides(mask, *smooth, *rest)

    def contrast(self, image: np.ndarray) -> np.ndarray:
        """Contrast (h, w) of an image: 0 with the brightness of the film, 1 with the objects'."""
        step = self.outside - self.inside
        return (self.outside - image) / np.where(step > 0, step, np.inf)

    def attached(self, contrast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mask that ends at half contrast, and the contrast, both without specks."""
        mask = np.where(self.band, contrast > 0.5, self.mask)
        for part, rest in ((mask, _FILM), (~mask, _OBJECT)):
            labels, n = ndimage.label(part)
            loose = np.ones(n + 1, bool)
            loose[labels[self.sure]] = False
            speck = part & loose[labels]
            mask, contrast = mask ^ speck, np.where(speck, rest, contrast)
        return mask, contrast


def _near(image: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of the chosen pixels near each pixel, NaN where there are none."""
    total, weight = (
        ndimage.gaussian_filter(one.astype(np.float32), _NEAR, truncate=2)
        for one in (np.where(chosen, image, 0), chosen)
    )
    return np.where(weight > _FEW, total / np.maximum(weight, _FEW), np.nan)


def _faint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Objects of a mask, (h, w), without a wall as steep as that of most object pixels."""
    labels, n = ndimage.label(mask, _EIGHT)
    depth = ndimage.distance_transform_edt(mask)
    away, (y, x) = ndimage.distance_transform_edt(~mask, return_indices=True)

    def mean(numbers: np.ndarray, distance: np.ndarray) -> np.ndarray:
        chosen = (distance > _WALL) & (distance <= _CLOSE)
        count = np.bincount(numbers[chosen], minlength=n + 1)
        return np.bincount(numbers[chosen], image[chosen], n + 1) / np.where(count, count, np.nan)

    step = mean(labels[y, x], away) - mean(labels, depth)
    known = mask & np.isfinite(step)[labels]
    if not known.any():
        return known
    return known & (step < _FAINT * np.median(step[labels[known]]))[labels]


def _spread(values: np.ndarray) -> float:
    """Standard deviation from the median deviation of some of the values."""
    some = values[:: max(1, values.size // _SOME)]
    return 1.4826 * float(np.median(np.abs(some - np.median(some)))) if some.size else np.inf
