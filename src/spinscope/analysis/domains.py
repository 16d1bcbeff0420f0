r"""Width, correlation and signs of domains in an image, and the range of signs of a training.

The signs of an image are the numbers by which a physicist recognises domains. The image is
compared with two grey levels separated by walls, on an inclined background,

.. math:: I(r) = a\,(G_\sigma * M)(r) + b_0 + b_1 x + b_2 y + n(r),

with the mask M of the upper level, smoothed by a Gaussian of the width of the walls, and white
noise n. Contrast, noise and residual follow from the fit; width and shape of the domains from the
mask. A model stores the range of the signs of its training views, see `trained_range`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import fft, ndimage

from spinscope.errors import SpinscopeError

_CURVATURE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
_LOWER_QUARTILE = 0.31864  # of |x| for a normal distribution of unit variance
_SMOOTHING = (0.0, 0.7, 1.0, 1.4, 2.0)  # standard deviations of Gaussians, px
_WALLS = np.geomspace(0.3, 6.0, 14)  # standard deviations of smoothed walls, px
_WALL_WIDTH = math.pi * math.sqrt(math.pi / 2)  # of a wall tanh(x / Δ), π Δ, for the same slope
_NOISE = 0.12  # largest noise of an image that is divided into two levels, in units of contrast


class _Levels(NamedTuple):
    """Two grey levels on an inclined background."""

    upper: np.ndarray
    """Mask of the upper level."""
    background: np.ndarray
    contrast: float
    noise: float
    """Standard deviation of white noise, grey levels."""


@dataclass(frozen=True)
class Signs:
    """What is seen of domains in an image; lengths in m, the rest dimensionless."""

    side: float
    """Shorter side of the image."""
    contrast: float
    """Difference of the two grey levels; 0 for a uniform image, whose other signs are 0."""
    noise: float = 0.0
    """Standard deviation of the white noise of a pixel, in units of the contrast."""
    slope: float = 0.0
    """Height of the inclined background, in units of the contrast."""
    clipped: float = 0.0
    """Share of a level at the end of the grey scale, less that of the other level."""
    residual: float = 0.0
    """Structure that two levels do not explain: standard deviation in units of the contrast."""
    minority: float = 0.0
    """Share of the area of the less frequent level."""
    width: float = 0.0
    """Mean width of the domains: area per length of the walls."""
    wall: float = 0.0
    """Width of the walls, that of the imaging included."""
    roughness: float = 0.0
    """Length of the walls, relative to that of smoothed walls."""
    pieces: float = 0.0
    """Connected domains in an area of width × width."""
    pixels: int = 0
    """Number of pixels along the shorter side."""


def domain_width(image: np.ndarray, pixel_size: float) -> float:
    r"""Half the period of the domains, from the peak of the power spectrum.

    The wave number is the power-weighted geometric mean over a band around the peak. White noise
    is subtracted. The mean of ln k is that of a single wave, whatever the window: ln k is a
    harmonic function in two dimensions.

    Parameters
    ----------
    image : (H, W) array
        Grey levels; more than two periods a side for an accuracy of 2 %.
    pixel_size : float
        Edge of a pixel, m.

    Returns
    -------
    float
        Width in m.

    Raises
    ------
    SpinscopeError
        If the image is uniform or smaller than 8 px.
    """
    image = _checked(image)
    if np.ptp(image) == 0:
        raise SpinscopeError("image is the same everywhere: it has no domains")
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    size = tuple(4 * n for n in image.shape)
    spectrum = fft.rfft2((image - np.average(image, weights=window)) * window, s=size)
    power = np.square(np.abs(spectrum)) - white_noise(image) ** 2 * np.square(window).sum()
    power[:, 1:-1] *= 2  # the half plane that rfft2 leaves out
    k = np.hypot(fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1]))
    step = 1 / max(size)
    rings = np.bincount(np.rint(k / step).astype(int).ravel(), power.ravel())
    rings = ndimage.gaussian_filter1d(rings[: round(0.5 / step)], 1.5)
    first = round(0.75 / min(image.shape) / step)
    peak = (first + int(np.argmax(rings[first:]))) * step
    for _ in range(4):
        band = (k > 0.45 * peak) & (k < 1.7 * peak)
        if (total := power[band].sum()) <= 0:
            break
        peak = float(np.exp((power[band] * np.log(k[band])).sum() / total))
    return pixel_size / (2 * peak)


def correlation(image: np.ndarray, pixel_size: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Two-point correlation, averaged over directions and free of white noise.

    .. math:: C(r) = \frac{\langle \delta I(x)\,\delta I(x + r)\rangle}{\langle\delta I^2\rangle}

    Parameters
    ----------
    image : (H, W) array
        Grey levels, not periodic.
    pixel_size : float
        Edge of a pixel, m.

    Returns
    -------
    r, C : (n,) array
        Distances from 0 to half the shorter side in steps of about a pixel, m; correlation, 1 at
        r = 0.

    Raises
    ------
    SpinscopeError
        If the image is uniform or smaller than 8 px.
    """
    image = _checked(image)
    if np.ptp(image) == 0:
        raise SpinscopeError("image is the same everywhere: it has no correlation")
    height, width = image.shape
    size = (2 * height, 2 * width)
    product = fft.irfft2(np.square(np.abs(fft.rfft2(image - image.mean(), s=size))), s=size)
    pairs = np.outer(*(n - np.abs(fft.fftfreq(2 * n, 1 / (2 * n))) for n in image.shape))
    distance = np.hypot(
        fft.fftfreq(size[0], 1 / size[0])[:, None], fft.fftfreq(size[1], 1 / size[1])
    )
    number = np.rint(distance).astype(int)
    used = number <= min(image.shape) // 2
    weights, products, distances = (
        np.bincount(number[used], values[used]) for values in (pairs, product, distance * pairs)
    )
    values = products / weights
    values[0] = max(values[0] - white_noise(image) ** 2, values[0] / 20)
    return distances / weights * pixel_size, values / values[0]


def white_noise(image: np.ndarray) -> float:
    """Standard deviation of the white noise of an image, insensitive to domains and their walls.

    The lower quartile of the second mixed difference of each pixel; walls may cover half the image.

    Parameters
    ----------
    image : (H, W) array

    References
    ----------
    Immerkær, Comput. Vis. Image Underst. 64, 300 (1996).
    """
    difference = np.abs(ndimage.convolve(np.asarray(image, float), _CURVATURE)[1:-1, 1:-1])
    return float(np.quantile(difference, 0.25) / _LOWER_QUARTILE)


def signs(image: np.ndarray, pixel_size: float) -> Signs:
    """Signs of domains in an image as large as a training view.

    Parameters
    ----------
    image : (H, W) array
        Grey levels; bright or dark domains may be up.
    pixel_size : float
        Edge of a pixel, m.

    Raises
    ------
    SpinscopeError
        If the image is smaller than 8 px or has values that are not finite.
    """
    image = _checked(image)
    size = min(image.shape)
    side = size * pixel_size
    if np.ptp(image) <= 1e-6 * max(1.0, float(np.abs(image).max())):
        return Signs(side, 0.0)
    levels = _levels(image)
    upper = levels.upper
    sigma, contrast, residual, background = _fit(image, upper, levels.noise)
    if not contrast > 0:
        return Signs(side, 0.0)
    length = max(_wall_length(upper), 1e-6)
    radius = max(1.0, min(0.15 / length, size / 20))
    smooth = ndimage.gaussian_filter(upper.astype(np.float32), radius) > 0.5
    pieces = ndimage.label(upper)[1] + ndimage.label(~upper)[1]
    ends = [
        float(np.mean(image[mask] == end)) if mask.any() else 0.0
        for mask, end in ((upper, image.max()), (~upper, image.min()))
    ]
    return Signs(
        side=side,
        contrast=contrast,
        noise=levels.noise / contrast,
        slope=float(np.ptp(background)) / contrast,
        clipped=abs(ends[0] - ends[1]),
        residual=residual / contrast,
        minority=float(min(upper.mean(), 1 - upper.mean())),
        width=pixel_size / length,
        wall=_WALL_WIDTH * sigma * pixel_size,
        roughness=length / max(_wall_length(smooth), 0.2 * length),
        pieces=pieces / max(1.0, image.size * length**2),
        pixels=size,
    )


@dataclass(frozen=True)
class _Rule:
    """How a sign is compared with the range of a training."""

    reason: str
    name: str
    low: bool = False
    high: bool = False
    floor: float = 0.0
    """Smallest value of a highest limit, and of a lowest one."""
    ceiling: float = math.inf
    """Largest value of a highest limit."""
    length: bool = False
    """Whether the sign is a length; its margin is relative."""

    def text(self, value: float) -> str:
        return _nm(value) if self.length else f"{value:.2g}"


_RULES = {
    "noise": _Rule("contrast", "noise relative to the contrast", high=True, floor=0.05, ceiling=1),
    "slope": _Rule("background", "slope relative to the contrast", high=True, floor=0.15),
    "clipped": _Rule("saturated", "share of a level at the end of the scale", high=True, floor=0.5),
    "minority": _Rule("unequal domains", "share of the rarer level", low=True, floor=0.01),
    "width": _Rule(
        "domain width", "area per length of the walls", low=True, high=True, length=True
    ),
    "wall": _Rule("wall width", "width of the walls", low=True, high=True, length=True),
    "residual": _Rule("not a domain image", "structure beside two levels", high=True, floor=0.03),
    "roughness": _Rule("not a domain image", "roughness of the walls", high=True, floor=1.1),
    "pieces": _Rule("not a domain image", "domains per square of their width", high=True),
}
_TOLERANCE = 0.1  # of the sides
_FEWEST = 0.75  # pixels, relative to those of the training views
_MARGIN = 0.1  # of a limit, relative to its distance from the median
_MOST_SCALES = 12


def trained_range(examples: Sequence[Signs]) -> dict[str, Any]:
    """Range of the signs of training views, by imaging scale, as plain numbers for JSON.

    The limits at a scale exclude 0.5 % of the views at either end and are widened by a margin that
    decreases with their number. Views without domains are omitted.

    Parameters
    ----------
    examples : sequence of Signs
        Views as the training shows them, degraded ones included.

    Returns
    -------
    dict
        `pixels` of a view; `sides` in m; `limits`: for each sign the lowest and the highest value
        at each side.

    Raises
    ------
    SpinscopeError
        If no view has domains.
    """
    usable = [example for example in examples if _has_domains(example)]
    if not usable:
        raise SpinscopeError("training views must have domains; none of them has")
    sides = np.array([example.side for example in usable])
    groups = _scales(sides)
    limits: dict[str, list[list[float]]] = {}
    for sign, rule in _RULES.items():
        values = np.array([getattr(example, sign) for example in usable])
        low, high = zip(*(_limits(values[group], rule) for group in groups), strict=True)
        limits[sign] = [list(low), list(high)]
    return {
        "pixels": int(np.median([example.pixels for example in usable])),
        "sides": [float(np.median(sides[group])) for group in groups],
        "limits": limits,
    }


def reasons(found: Signs, trained: Mapping[str, Any]) -> list[str]:
    """Why an image is outside the range of a training: sign, value and limit; [] if it is inside.

    Parameters
    ----------
    found : Signs
        Signs of an image no larger than a training view, with as many pixels.
    trained : dict
        See `trained_range`.
    """
    sides, given = trained["sides"], []
    if not (1 - _TOLERANCE) * sides[0] <= found.side <= (1 + _TOLERANCE) * sides[-1]:
        given.append(
            f"scale: the image is {_nm(found.side)} wide; the training has {_nm(sides[0])} to "
            f"{_nm(sides[-1])}"
        )
    if found.contrast == 0:
        return [*given, "no domains: all pixels have the same grey level"]
    if found.pixels < _FEWEST * trained["pixels"]:
        given.append(
            f"scale: {_nm(found.side)} have {found.pixels} px; the training has "
            f"{trained['pixels']} px, of which {_FEWEST:.0%} are needed"
        )
    place = math.log(found.side)
    for sign, rule in _RULES.items():
        low, high = (
            float(np.interp(place, np.log(sides), ends)) for ends in trained["limits"][sign]
        )
        value = getattr(found, sign)
        if (rule.low and value < low) or (rule.high and value > high):
            limit = f"at least {rule.text(low)}" if value < low else f"at most {rule.text(high)}"
            given.append(
                f"{rule.reason}: {rule.name} is {rule.text(value)}; {limit} in the training"
            )
    if not _has_domains(found):
        given.append("no domains: two levels do not rise above the noise, or one is hardly present")
    return given


def _nm(length: float) -> str:
    nm = length * 1e9
    return f"{nm:.0f} nm" if nm >= 100 else f"{nm:.3g} nm"


def _has_domains(found: Signs) -> bool:
    """Whether two levels rise above the noise and cover some area."""
    return (
        found.contrast > 0
        and found.noise < _RULES["noise"].ceiling
        and found.minority > _RULES["minority"].floor
    )


def _levels(image: np.ndarray) -> _Levels:
    """Divide an image into two levels on an inclined background, smoothed against noise."""
    noise, background = white_noise(image), np.zeros_like(image)
    contrast, upper = 0.0, np.zeros(image.shape, bool)
    for _ in range(4):
        flat = image - background
        contrast = contrast or _threshold(flat)[1]
        sigma = next(
            (
                s
                for s in _SMOOTHING
                if noise / max(1, 2 * math.sqrt(math.pi) * s) < _NOISE * contrast
            ),
            _SMOOTHING[-1],
        )
        flat = ndimage.gaussian_filter(flat, sigma) if sigma else flat
        upper = flat > _threshold(flat)[0]
        contrast, background, _ = _regression(image, upper.astype(float))
    return _Levels(upper, background, contrast, noise)


def _threshold(image: np.ndarray) -> tuple[float, float]:
    """Otsu's threshold, and the difference of the means of both sides."""
    values = np.sort(image.ravel())
    n, below = values.size, np.arange(1, values.size)
    sums = np.cumsum(values)
    difference = (sums[-1] - sums[:-1]) / (n - below) - sums[:-1] / below
    best = int(np.argmax(below * (n - below) * difference**2))
    return float(values[best : best + 2].mean()), float(difference[best])


def _regression(image: np.ndarray, pattern: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Amplitude of a pattern in an image, inclined background, and variance of the remainder."""
    basis = _plane(image.shape)
    flat_image, flat_pattern = (
        values.ravel() - basis @ (basis.T @ values.ravel()) for values in (image, pattern)
    )
    amplitude = float(flat_image @ flat_pattern / max(float(flat_pattern @ flat_pattern), 1e-12))
    rest = image - amplitude * pattern
    background = (basis @ (basis.T @ rest.ravel())).reshape(image.shape)
    return amplitude, background, float(np.var(flat_image - amplitude * flat_pattern))


@lru_cache(16)
def _plane(shape: tuple[int, int]) -> np.ndarray:
    """Orthonormal constant and slopes along y and x, (H W, 3)."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    surfaces = (np.ones(shape), y[:, None] + 0 * x, x + 0 * y[:, None])
    return np.stack([s.ravel() / np.linalg.norm(s) for s in surfaces], axis=1)


def _scales(sides: np.ndarray) -> list[np.ndarray]:
    """Indices of the views of each imaging scale, ascending; random scales are binned."""
    number = np.rint(sides * 1e12).astype(int)
    scales = np.unique(number)
    if len(scales) > _MOST_SCALES:
        return np.array_split(np.argsort(sides, kind="stable"), _MOST_SCALES)
    return [np.flatnonzero(number == scale) for scale in scales]


def _limits(values: np.ndarray, rule: _Rule) -> tuple[float, float]:
    """Lowest and highest value of a sign at a scale, with margins."""
    values = np.log(np.maximum(values, 1e-12)) if rule.length else values
    low, middle, high = (float(q) for q in np.quantile(values, [0.005, 0.5, 0.995]))
    margin = _MARGIN + 2 / math.sqrt(len(values))
    low, high = low - margin * (middle - low), high + margin * (high - middle)
    if rule.length:
        low, high = math.exp(low), math.exp(high)
    return max(low, rule.floor), min(max(high, rule.floor), rule.ceiling)


def _fit(
    image: np.ndarray, upper: np.ndarray, noise: float
) -> tuple[float, float, float, np.ndarray]:
    """Width of the walls in px, contrast, standard deviation of the remainder, and background."""
    mask = upper.astype(float)
    found = [_regression(image, ndimage.gaussian_filter(mask, sigma)) for sigma in _WALLS]
    variance = np.array([rest for *_, rest in found])
    best = int(variance.argmin())
    sigma = float(_WALLS[best])
    if 0 < best < len(_WALLS) - 1:  # vertex of the parabola through three points
        left, middle, right = variance[best - 1 : best + 2]
        shift = (left - right) / (2 * max(left - 2 * middle + right, 1e-300))
        sigma *= float((_WALLS[1] / _WALLS[0]) ** shift)
    contrast, background, rest = found[best]
    return sigma, contrast, math.sqrt(max(rest - noise**2, 0.0)), background


def _wall_length(mask: np.ndarray) -> float:
    """Length of the border of a mask per area in 1/px, by Crofton's formula in four directions."""
    steps = (
        mask[:, 1:] != mask[:, :-1],
        mask[1:] != mask[:-1],
        mask[1:, 1:] != mask[:-1, :-1],
        mask[1:, :-1] != mask[:-1, 1:],
    )
    across, down, right, left = (float(step.mean()) for step in steps)
    return math.pi / 8 * (across + down + (right + left) / math.sqrt(2))


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, float)
    if image.ndim != 2 or min(image.shape) < 8 or not np.isfinite(image).all():
        raise SpinscopeError(
            f"image of shape {image.shape} must be (H, W), finite, at least 8 px a side"
        )
    return image
