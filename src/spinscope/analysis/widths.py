"""Domains in difference images by half contrast, and the width of stripes.

The width of a stripe is measured along the normal of its middle line, between the places where the
contrast is halfway between the two levels, interpolated between pixels.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spinscope.analysis.domains import domain_width, white_noise
from spinscope.analysis.fits import student
from spinscope.errors import SpinscopeError

MOST_CHORDS = 1500
"""Places at which the stripes of a frame are measured."""
LEVEL_SD = 0.1
"""Standard deviation of the level of a boundary, in units of the contrast."""

_SIGMAS = (0.7, 1.0, 1.4, 2.0, 2.8)  # px
_NOISE = 0.12  # of the smoothed image, in units of the contrast
_STEP = 0.5  # px along a chord
_STRIPE = 8.0  # area over width squared of a domain, above which it is a stripe
_EVEN = 0.4  # standard deviation of the widths of stripes, relative to their mean; at most
_CHORDS = 20  # fewest widths of a frame
_BLOCKS = 4  # parts of a side, whose scatter gives the error


class Levels(NamedTuple):
    """Grey levels of the two directions of the magnetisation, and the smoothing that they need."""

    up: float
    """Level of the saturated film, or of the larger area."""
    reversed: float
    noise: float
    """Standard deviation of the white noise of a pixel."""
    sigma: float
    """Of the Gaussian filter, px."""


def grey_levels(frames: np.ndarray, saturated: float | None = None) -> Levels:
    """Two grey levels of difference images.

    Parameters
    ----------
    frames : (n, H, W) array
        Frames that hold both directions, spread over the recording.
    saturated : float, optional
        Grey level of the saturated film; by default that of the larger area.

    Raises
    ------
    SpinscopeError
        If two levels do not rise above the noise.
    """
    frames = np.asarray(frames, np.float32)
    noise = float(np.median([white_noise(frame) for frame in frames]))
    sigma = _SIGMAS[0]
    low = high = np.nan
    for sigma in _SIGMAS:
        smooth = np.stack([ndimage.gaussian_filter(frame, sigma) for frame in frames])
        low, high = _two_levels(smooth.ravel())
        if noise / (2 * np.sqrt(np.pi) * sigma) < _NOISE * (high - low):
            break
    else:
        raise SpinscopeError(
            f"the domains have a contrast of {high - low:.3g}, below the noise of "
            f"{noise:.3g} per pixel: average more frames (--average)"
        )
    if saturated is None:
        saturated = low if np.mean(smooth > (low + high) / 2) < 0.5 else high
    up, other = (low, high) if abs(saturated - low) < abs(saturated - high) else (high, low)
    return Levels(float(up), float(other), noise, sigma)


def _two_levels(values: np.ndarray) -> tuple[float, float]:
    """Means of the values on either side of the middle of both, without those near it."""
    values = values[:: max(1, values.size // 200_000)]
    low, high = np.quantile(values, [0.005, 0.995])
    for _ in range(30):
        middle, quarter = (low + high) / 2, (high - low) / 4
        below, above = values[values < middle - quarter / 2], values[values > middle + quarter / 2]
        if not len(below) or not len(above):
            break
        new = float(np.median(below)), float(np.median(above))
        if np.allclose(new, (low, high), rtol=0, atol=1e-4 * max(high - low, 1e-12)):
            break
        low, high = new
    return float(low), float(high)


def reversal(image: np.ndarray, levels: Levels) -> np.ndarray:
    """Smoothed fraction of the reversal: 0 up, 1 reversed; (H, W) float32.

    Parameters
    ----------
    image : (H, W) array
        Grey levels.
    levels : Levels
        See `grey_levels`.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), levels.sigma)
    return (smooth - np.float32(levels.up)) / np.float32(levels.reversed - levels.up)


def half_contrast(fraction: np.ndarray, level: float = 0.5, min_px: int = 12) -> np.ndarray:
    """Mask of the reversed domains, without specks in either of the two.

    Parameters
    ----------
    fraction : (H, W) array
        Result of `reversal`.
    level : float, default 0.5
        Fraction at the boundary.
    min_px : int, default 12
        Smaller domains and holes are filled.
    """
    mask = np.asarray(fraction) > level
    for _ in range(2):
        labels, count = ndimage.label(mask)
        if count:
            small = np.bincount(labels.ravel()) < min_px
            small[0] = False
            mask = mask & ~small[labels]
        mask = ~mask
    return mask


def domain_row(fraction: np.ndarray, mask: np.ndarray, diameter_px: np.ndarray) -> dict[str, float]:
    """Area fraction, number and mean diameter of the reversed domains of a frame.

    Parameters
    ----------
    fraction : (H, W) array
        Result of `reversal`.
    mask : (H, W) bool array
        Result of `half_contrast`.
    diameter_px : (n,) array
        Diameters of its domains.

    Returns
    -------
    dict
        `area_fraction`, `objects`, `diameter_px_mean` (missing without domains), and
        `_sd_boundary` of both, the change when the boundary is drawn `LEVEL_SD` away.
    """
    covered = float(mask.mean())
    if not covered:
        return {"area_fraction": 0.0, "objects": 0, "area_fraction_sd_boundary": 0.0}
    below, above = (float((fraction > 0.5 + side).mean()) for side in (-LEVEL_SD, LEVEL_SD))
    change, mean = abs(below - above) / 2, float(np.mean(diameter_px))
    return {
        "area_fraction": covered,
        "objects": len(diameter_px),
        "area_fraction_sd_boundary": change,
        "diameter_px_mean": mean,
        "diameter_px_mean_sd_boundary": mean * change / covered / 2,
    }


def stripe_figures(
    fraction: np.ndarray, mask: np.ndarray, areas_px: np.ndarray
) -> dict[str, float] | None:
    """Widths of the stripes of a frame, None where its domains are no stripes.

    Stripes are domains of which the average, weighted by area, has at least 8 times the square of
    their width, and whose widths scatter by at most 0.4 of their mean.

    Parameters
    ----------
    fraction : (H, W) array
        Result of `reversal`.
    mask : (H, W) bool array
        Result of `half_contrast`.
    areas_px : (n,) array
        Areas of its domains.

    Returns
    -------
    dict or None
        Result of `width_figures`, `width_px_mean_sd_boundary` (the change when the boundary is
        drawn `LEVEL_SD` away) and `period_px` (NaN where the spectrum has no peak).
    """
    if not 0.02 < mask.mean() < 0.98:
        return None
    chords = stripe_widths(fraction)
    if len(chords["width_px"]) < _CHORDS:
        return None
    width = float(np.median(chords["width_px"]))
    figures = width_figures(chords, fraction.shape)
    if (
        np.average(areas_px, weights=areas_px) < _STRIPE * width**2
        or figures["width_px_sd"] > _EVEN * figures["width_px_mean"]
    ):
        return None
    edges = [stripe_widths(fraction, 0.5 + side)["width_px"] for side in (-LEVEL_SD, LEVEL_SD)]
    figures["width_px_mean_sd_boundary"] = (
        abs(edges[0].mean() - edges[1].mean()) / 2 if all(map(len, edges)) else np.nan
    )
    figures["period_px"] = np.nan
    with contextlib.suppress(SpinscopeError):
        figures["period_px"] = 2 * domain_width(fraction, 1.0)
    return figures


def stripe_widths(fraction: np.ndarray, level: float = 0.5) -> dict[str, np.ndarray]:
    """Widths of reversed stripes along their middle lines.

    Parameters
    ----------
    fraction : (H, W) array
        Smooth image, 0 in one and 1 in the other domains.
    level : float, default 0.5
        Value at the boundary.

    Returns
    -------
    dict of (n,) arrays
        `y_px`, `x_px` of points of middle lines, and `width_px` across the stripe there. A chord
        that leaves the frame is left out.
    """
    fraction = np.asarray(fraction, np.float32)
    mask = fraction > level
    distance = ndimage.distance_transform_edt(mask)
    middle = mask & (distance >= ndimage.maximum_filter(distance, 3)) & (distance >= 1)
    y, x = np.nonzero(middle)
    every = max(1, -(-len(y) // MOST_CHORDS))
    y, x = y[::every], x[::every]
    empty = {"y_px": np.zeros(0), "x_px": np.zeros(0), "width_px": np.zeros(0)}
    if not len(y):
        return empty
    # The direction across the stripe, from the structure tensor around it.
    sigma = max(2.0, float(np.median(distance[y, x])))
    gy, gx = np.gradient(ndimage.gaussian_filter(fraction, 1.0))
    yy, xx, xy = (ndimage.gaussian_filter(a, sigma)[y, x] for a in (gy * gy, gx * gx, gy * gx))
    angle = np.arctan2(2 * xy, yy - xx) / 2
    normal = np.stack([np.cos(angle), np.sin(angle)])
    reach = np.arange(0, 2.5 * float(distance.max()) + 4, _STEP)
    width = np.zeros(len(y))
    for sign in (1, -1):
        places = np.stack([y, x])[:, :, None] + sign * normal[:, :, None] * reach
        inside = np.all(
            (places >= 0) & (places <= np.array(fraction.shape)[:, None, None] - 1), axis=0
        )
        profile = ndimage.map_coordinates(fraction, places, order=1, mode="nearest")
        below = (profile <= level) & inside
        first = below.argmax(axis=1)
        found = below.any(axis=1) & (first > 0)
        rows = np.arange(len(y))
        a, b = profile[rows, np.maximum(first - 1, 0)], profile[rows, first]
        part = np.clip((a - level) / np.where(a - b > 0, a - b, 1), 0, 1)
        width += np.where(found, (first - 1 + part) * _STEP, np.nan)
    known = np.isfinite(width)
    return {"y_px": y[known].astype(float), "x_px": x[known].astype(float),
            "width_px": width[known]}  # fmt: skip


def width_figures(stripes: dict[str, np.ndarray], shape: tuple[int, int]) -> dict[str, float]:
    """Mean and distribution of the widths of a frame.

    Parameters
    ----------
    stripes : dict
        Result of `stripe_widths`.
    shape : (int, int)
        Height and width of the frame in px.

    Returns
    -------
    dict
        `width_px_mean` with `_sd`, from the scatter between 16 parts of the frame, since
        neighbouring widths are alike; `width_px_sd` of the distribution, `width_px_q05`, `_q50`,
        `_q95`, its quantiles; `chords`. NaN without stripes.
    """
    width = stripes["width_px"]
    n = len(width)
    figures = {"width_px_mean": np.nan, "width_px_mean_sd": np.nan, "width_px_sd": np.nan}
    figures |= {f"width_px_q{q:02d}": np.nan for q in (5, 50, 95)} | {"chords": n}
    if not n:
        return figures
    mean = float(width.mean())
    row, column = (
        np.minimum((stripes[f"{axis}_px"] * _BLOCKS / size).astype(int), _BLOCKS - 1)
        for axis, size in zip("yx", shape, strict=True)
    )
    part = row * _BLOCKS + column
    sums = np.bincount(part, width - mean, minlength=_BLOCKS**2)
    filled = int((np.bincount(part, minlength=_BLOCKS**2) > 0).sum())
    sd = np.nan
    if filled > 1:
        sd = np.sqrt(np.sum(sums**2) * filled / (filled - 1)) / n * student(filled - 1)
    low, half, high = np.quantile(width, [0.05, 0.5, 0.95])
    return figures | {
        "width_px_mean": mean,
        "width_px_mean_sd": float(sd),
        "width_px_sd": float(width.std(ddof=1)) if n > 1 else np.nan,
        "width_px_q05": float(low),
        "width_px_q50": float(half),
        "width_px_q95": float(high),
    }
