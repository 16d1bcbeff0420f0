r"""Through-focal series of Lorentz images: displacement between the images, and the phase.

Magnetic contrast is opposite at under- and overfocus, and that of the structure of a film is not:
the images correlate positively in some waves and negatively in others. The displacement :math:`d`
of a spectrum :math:`F` against another one :math:`S` therefore maximises

.. math:: \sum_k w(|k|)\,\mathrm{Re}\,\frac{(F(k)\,S^*(k))^2}{|F(k)\,S(k)|^{3/2}}\,e^{2ik\cdot d},

in which the sign of each wave does not count.

Light that enters through the border of the images is unknown: where magnetic contrast is cut by the
border, the phase has an error that varies slowly over the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics.tie import through_focal_phase

SIGNIFICANT = 8.0
"""Peaks of the correlation below this many standard deviations are those of noise."""

_ROUNDS = 8
_LONGEST, _SHORTEST = 3.0, 4.0
"""Waves that count: so many fit into the image at least, and so many px are their period."""


class Series(NamedTuple):
    """Aligned series.

    Attributes
    ----------
    images : (n, h, w) array
        Part that is in view in all images; the mean of each is 1.
    shifts : (n, 2) array
        Displacement (y, x) of the sample in each image against the one in focus, px.
    rows, columns : slice
        Place of the part in the image in focus.
    focus_aligned : bool
        Whether the image in focus shows a structure. If not, its place is unknown and without
        effect: it is taken in the middle of the others.
    """

    images: np.ndarray
    shifts: np.ndarray
    rows: slice
    columns: slice
    focus_aligned: bool


def displacement(image: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, float]:
    """Measure the displacement of an image, whatever the sign of its contrast.

    Parameters
    ----------
    image, reference : (H, W) array
        Intensities.

    Returns
    -------
    (2,) array
        Displacement (y, x) of the image against the reference in px, positive downwards and to the
        right; at most a quarter of the sides.
    float
        Height of the peak of the correlation in its standard deviations.
    """
    shape = np.array(image.shape)
    window = np.multiply.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in shape))
    frequencies = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1]))
    low, high = _LONGEST / shape.min(), 1 / _SHORTEST
    weight = np.exp(-((frequencies / high) ** 2)) * (1 - np.exp(-((frequencies / low) ** 4)))

    def spectrum(values: np.ndarray) -> np.ndarray:
        return fft.rfft2((values - values.mean()) * window)

    known = spectrum(reference).conj()
    found, peak = np.zeros(2), 0.0
    for _ in range(_ROUNDS):
        cross = spectrum(_moved(image, found)) * known
        size = np.abs(cross)
        squared = np.divide(cross**2, size**1.5, out=np.zeros_like(cross), where=size > 0) * weight
        correlation = fft.irfft2(squared, s=tuple(shape))
        place = np.unravel_index(np.argmax(correlation), correlation.shape)
        spread = float(correlation.std())
        peak = float(correlation[place]) / spread if spread else 0.0
        step = np.array([_top(correlation, place, axis) for axis in (0, 1)]) / 2
        found = found + step
        if np.abs(step).max() < 1e-3 or np.any(np.abs(found) > shape / 4):
            break
    return found, peak


def align(images: Sequence[np.ndarray], defocus: Sequence[float]) -> Series:
    """Align a through-focal series and scale its images to a mean of 1.

    Parameters
    ----------
    images : sequence of (H, W) arrays
        Intensities.
    defocus : sequence of float
        Defocus of each image in m; one is 0.

    Returns
    -------
    Series
        Aligned images.

    Raises
    ------
    SpinscopeError
        If shapes differ, the defocus does not fit, an image has no light, or images cannot be
        aligned.
    """
    values = [np.asarray(image, dtype=np.float64) for image in images]
    shapes = {value.shape for value in values}
    if len(shapes) != 1:
        text = ", ".join("x".join(map(str, value.shape)) for value in values)
        raise SpinscopeError(f"images of {text} pixels must be of one size")
    focus = _focus(defocus, len(values))
    for z, value in zip(defocus, values, strict=True):
        if not (np.isfinite(value).all() and value.mean() > 0):
            raise SpinscopeError(
                f"the image at defocus {z * 1e6:g} µm must be finite and of positive mean"
            )
    outer = [k for k in range(len(values)) if k != focus]
    found = [displacement(values[k], values[focus]) for k in outer]
    if not (focus_aligned := min(peak for _, peak in found) >= SIGNIFICANT):
        first = values[outer[0]]
        found = [(np.zeros(2), np.inf), *(displacement(values[k], first) for k in outer[1:])]
        for k, (_, peak) in zip(outer, found, strict=True):
            if peak < SIGNIFICANT:
                raise SpinscopeError(
                    f"the images at defocus {defocus[k] * 1e6:g} and {defocus[outer[0]] * 1e6:g} "
                    f"µm show nothing in common (peak of the correlation {peak:.1f} standard "
                    f"deviations; must be at least {SIGNIFICANT:g})"
                )
    shifts = np.zeros((len(values), 2))
    shifts[outer] = [place for place, _ in found]
    if not focus_aligned:
        shifts[focus] = shifts[outer].mean(axis=0)
    shifts = shifts - shifts[focus]
    rows, columns = (_in_view(shifts[:, k], values[0].shape[k]) for k in (0, 1))
    moved = [_moved(value, shift) for value, shift in zip(values, shifts, strict=True)]
    seen = np.stack([value[rows, columns] for value in moved])
    if min(seen.shape[1:]) < 8:
        raise SpinscopeError(
            f"images that are displaced by up to {np.abs(shifts).max():.1f} px have nothing in "
            "common in view"
        )
    seen /= seen.mean(axis=(1, 2), keepdims=True)
    return Series(seen, shifts, rows, columns, focus_aligned)


def series_phase(
    images: np.ndarray,
    defocus: Sequence[float],
    pixel_size: float,
    voltage: float,
    *,
    regularisation: float = 0.0,
    mirrored: bool = False,
) -> np.ndarray:
    r"""Phase from an aligned series; :math:`\partial I/\partial z` is the slope fitted to all.

    Parameters
    ----------
    images : (n, H, W) array
        Intensities.
    defocus : sequence of float
        Defocus of each image in m; one is 0.
    pixel_size, voltage, regularisation, mirrored
        See `tie.through_focal_phase`.

    Returns
    -------
    (H, W) array
        Phase in rad, zero mean.

    Raises
    ------
    SpinscopeError
        If the defocus does not fit, or `tie.through_focal_phase` refuses the images.
    """
    focus = _focus(defocus, len(images))
    z = np.asarray(defocus, dtype=np.float64)
    largest = float(np.abs(z).max())
    weights = (z - z.mean()) / np.sum((z - z.mean()) ** 2)
    change = np.tensordot(weights, images, axes=1) * largest
    return through_focal_phase(
        images[focus] - change, images[focus], images[focus] + change, largest, pixel_size,
        voltage, regularisation=regularisation, mirrored=mirrored,
    )  # fmt: skip


def _focus(defocus: Sequence[float], n: int) -> int:
    """Number of the image in focus, of a series with images on both sides of it."""
    if len(defocus) != n:
        raise SpinscopeError(f"{len(defocus)} values of defocus must be one per image, of {n}")
    if not np.isfinite(defocus).all() or len(set(defocus)) != n:
        raise SpinscopeError(f"defocus (={list(defocus)}) must be different numbers of metres")
    if 0 not in defocus or not min(defocus) < 0 < max(defocus):
        raise SpinscopeError(
            f"defocus ({', '.join(f'{z * 1e6:g}' for z in defocus)} µm) must be 0 for one image, "
            "and negative (underfocus) and positive (overfocus) for others"
        )
    return list(defocus).index(0)


def _moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Image moved back by a displacement, by cubic splines; borders are repeated."""
    return image if not np.any(shift) else ndimage.shift(image, -shift, order=3, mode="nearest")


def _top(correlation: np.ndarray, place: Sequence[int], axis: int) -> float:
    """Place of the maximum along an axis, by a parabola through three pixels; 0 is the origin."""
    side = correlation.shape[axis]
    around = [np.array(place) for _ in range(3)]
    for offset, at in zip((-1, 0, 1), around, strict=True):
        at[axis] = (at[axis] + offset) % side
    before, top, after = (correlation[tuple(at)] for at in around)
    curvature = before - 2 * top + after
    fraction = (before - after) / (2 * curvature) if curvature < 0 else 0.0
    return float((place[axis] + side // 2) % side - side // 2 + fraction)


def _in_view(shifts: np.ndarray, side: int) -> slice:
    """Pixels along an axis that are in view in all images."""
    first, last = max(0, int(np.ceil(-shifts.min()))), side - max(0, int(np.ceil(shifts.max())))
    return slice(first, max(first, last))
