r"""Steps from a raw frame to its contrast, each on arrays.

A camera records :math:`I(r) = L(r)\,R(r)\,[1 + \kappa m(r)] + s(r)`: uneven light :math:`L`,
reflectivity :math:`R` of the sample, Kerr contrast :math:`\kappa m`, and stripes :math:`s` of the
readout. Against a reference :math:`I_0`, the contrast is

.. math:: c(r) = \frac{[I(r) - s(r)] / (1 + l(r)) - I_0(r)}{I_0(r)} \approx \kappa\,[m(r) - m_0(r)]

with the change :math:`l` of the light since the reference was taken. Frame and reference are
(H, W) float32 in camera units, contrast is dimensionless.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.ndimage import maximum_filter, median_filter, rank_filter

from spinscope.errors import SpinscopeError

Axis = Literal["rows", "columns"]

STRIPE_WINDOW = 31
"""Stripes are offsets of a row or column against this many around it, px."""

_HOT_SD = 6.0
_BLINKING = 2.5
_BLOCKS = 32
_DARKEST = 0.02
_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)


def hot_pixels(frames: np.ndarray, sd: float = _HOT_SD) -> np.ndarray:
    """Find pixels that are hot, dead or blinking.

    In the median of the frames, such a pixel is brighter, or darker, than seven of its eight
    neighbours by `sd` standard deviations of that median: optics spread everything else over
    several pixels. A blinking pixel varies 2.5 times as much in time as all its neighbours.

    Parameters
    ----------
    frames : (n, H, W) array
        First frames of a recording, without drift correction; three or more.
    sd : float, default 6
        Threshold.

    Returns
    -------
    (H, W) bool array
        Pixels to replace.
    """
    middle = np.median(frames, axis=0).astype(np.float32)
    second = rank_filter(middle, -2, footprint=_RING, mode="mirror")
    last = rank_filter(middle, 1, footprint=_RING, mode="mirror")
    # The noise of the median, from differences of neighbours; over half of them show nothing else.
    noise = 1.4826 * np.median(np.abs(np.diff(middle, axis=1))) / np.sqrt(2)
    # With bright light or an edge nearby, neighbours differ more.
    spread = np.maximum(noise, (second - last) / 2)
    hot = (middle > second + sd * spread) | (middle < last - sd * spread)
    if len(frames) >= 8:
        varying = np.std(frames, axis=0, dtype=np.float32)
        around = maximum_filter(np.where(hot, 0, varying), footprint=_RING, mode="mirror")
        hot |= varying > _BLINKING * np.maximum(around, np.median(varying))
    return hot


class Repair:
    """Replace pixels by the median of their neighbours that are not replaced.

    Parameters
    ----------
    mask : (H, W) bool array
        Pixels to replace.
    """

    def __init__(self, mask: np.ndarray):
        padded = np.pad(mask, 1, constant_values=True)
        y, x = np.nonzero(mask)
        self._at = y, x
        offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
        good = np.array([~padded[y + 1 + dy, x + 1 + dx] for dy, dx in offsets]).T
        height, width = mask.shape
        self._rows = np.array([np.clip(y + dy, 0, height - 1) for dy, _ in offsets]).T
        self._columns = np.array([np.clip(x + dx, 0, width - 1) for _, dx in offsets]).T
        alone = ~good.any(axis=1) if len(y) else np.zeros(0, bool)
        self._good = good | alone[:, None]  # amid others: the median of them all

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame (H, W) float32 with the pixels replaced."""
        image = np.array(frame, dtype=np.float32)
        if len(self._at[0]):
            values = np.where(self._good, image[self._rows, self._columns], np.nan)
            image[self._at] = np.nanmedian(values, axis=1)
        return image


def check_reference(
    reference: np.ndarray, frame: np.ndarray, limit: float = 1.25, name: str = "the reference"
) -> None:
    """Refuse a reference that was taken with another exposure or light.

    Parameters
    ----------
    reference, frame : (H, W) arrays
        Reference, and a frame of the recording, in the same units.
    limit : float, default 1.25
        Largest ratio of their mean intensities.
    name : str
        Name of the reference, for the error.

    Raises
    ------
    SpinscopeError
        If the sizes differ, or the mean intensities differ by more than `limit`.
    """
    if reference.shape != frame.shape:
        raise SpinscopeError(
            f"{name} is {reference.shape[1]}x{reference.shape[0]} pixels, the recording "
            f"{frame.shape[1]}x{frame.shape[0]}; both must be of one size: take the reference "
            "with the same camera settings"
        )
    own, other = float(np.mean(reference)), float(np.mean(frame))
    if not (own > 0 and 1 / limit <= other / own <= limit):
        raise SpinscopeError(
            f"{name} has a mean intensity of {own:.4g}, the recording {other:.4g}; they must agree "
            f"within a factor of {limit:g}: take the reference with the exposure and light of the "
            "recording, or choose --reference first or mean"
        )


def divisor(reference: np.ndarray, operation: Literal["divide", "subtract"]) -> np.ndarray:
    """Intensity that differences are divided by.

    Parameters
    ----------
    reference : (H, W) array
        Reference.
    operation : {"divide", "subtract"}
        Divide by the reference pixel by pixel, or by its mean: plain subtraction.

    Returns
    -------
    (H, W) float32 array
        At least 2 % of the median of the reference, so that dark pixels give no huge contrast.
    """
    if operation == "subtract":
        return np.full(reference.shape, np.mean(reference), dtype=np.float32)
    lowest = _DARKEST * float(np.median(reference))
    return np.maximum(reference, max(lowest, 1e-6)).astype(np.float32)


def light_change(ratio: np.ndarray, order: int = 2) -> np.ndarray:
    """Slow variation of a frame over its reference: a polynomial with zero mean.

    The polynomial is fitted to the differences between neighbouring blocks of the frame, not to
    their values, and differences that deviate are given no weight (Tukey). Domains of any size are
    flat inside, and their walls cross few blocks: magnetic contrast is not fitted. The mean over
    the frame remains, because light and magnetisation change it alike.

    Parameters
    ----------
    ratio : (H, W) array
        Frame over reference, about 1.
    order : int, default 2
        Order of the polynomial; 0 for no change.

    Returns
    -------
    (H, W) float32 array
        Relative change of the light.
    """
    height, width = ratio.shape
    block = max(min(ratio.shape) // _BLOCKS, 4)
    rows, columns = height // block, width // block
    powers = [(i, n - i) for n in range(1, order + 1) for i in range(n + 1)]
    if not powers or min(rows, columns) < 3:
        return np.zeros(ratio.shape, np.float32)
    means = (
        ratio[: rows * block, : columns * block]
        .reshape(rows, block, columns, block)
        .mean(axis=(1, 3), dtype=np.float64)
    )
    y = ((np.arange(rows) + 0.5) * block / height * 2 - 1)[:, None]
    x = (np.arange(columns) + 0.5) * block / width * 2 - 1
    terms = np.array([y**i * x**j for i, j in powers])
    steps = np.concatenate([np.diff(terms, axis=k).reshape(len(powers), -1) for k in (1, 2)], 1).T
    found = np.concatenate([np.diff(means, axis=k).ravel() for k in (0, 1)])
    weights = np.ones(len(found))
    for _ in range(8):
        weighted = steps * weights[:, None]
        fit = np.linalg.lstsq(weighted.T @ steps, weighted.T @ found, rcond=None)[0]
        rest = found - steps @ fit
        scale = 1.4826 * np.median(np.abs(rest)) * 7
        if scale == 0:
            break
        weights = np.clip(1 - (rest / scale) ** 2, 0, None) ** 2
    y, x = (((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32) for side in ratio.shape)
    change = np.zeros(ratio.shape, np.float32)
    for i in range(order + 1):
        across = sum(
            (np.float32(c) * x**j for c, (k, j) in zip(fit, powers, strict=True) if k == i),
            np.zeros_like(x),
        )
        change += y[:, None] ** i * across
    return change - np.float32(change.mean(dtype=np.float64))


def stripes(residual: np.ndarray, axis: Axis, window: int = STRIPE_WINDOW) -> np.ndarray:
    """Offsets of the rows or columns of a camera.

    The median of the differences between a row and the next is the difference of their offsets:
    domains are flat across most rows, and their walls are few. Of the sum of these differences, the
    running median over `window` rows is subtracted, so that straight edges across the frame stay.

    Parameters
    ----------
    residual : (H, W) array
        Frame less its reference.
    axis : {"rows", "columns"}
        Direction of the stripes.
    window : int, default 31
        Stripes are finer than this, px.

    Returns
    -------
    (H, 1) or (1, W) float32 array
        Offsets, to subtract.
    """
    across = 0 if axis == "rows" else 1
    if residual.shape[across] <= window:
        raise SpinscopeError(
            f"{residual.shape[across]} {axis} are too few to find stripes among; "
            f"at least {window + 1} are needed"
        )
    steps = np.median(np.diff(residual, axis=across), axis=1 - across)
    profile = np.concatenate([[0.0], np.cumsum(steps, dtype=np.float64)])
    profile -= median_filter(profile, window, mode="mirror")
    return np.expand_dims(profile, 1 - across).astype(np.float32)


def to_intensity(contrast: np.ndarray, span: float) -> tuple[np.ndarray, float]:
    """Map contrast to 16-bit intensities: 0.5 + contrast / (2 `span`), of full scale.

    Parameters
    ----------
    contrast : (H, W) array
        Contrast; 0, no change, becomes 0.5.
    span : float
        Contrast that becomes white; its negative becomes black.

    Returns
    -------
    (H, W) uint16 array
        Intensities.
    float
        Fraction of the pixels that were clipped.
    """
    scaled = np.multiply(contrast, np.float32(32767.5 / span), dtype=np.float32)
    scaled += np.float32(32768)
    clipped = np.count_nonzero((scaled < 0) | (scaled >= 65536)) / max(scaled.size, 1)
    return np.clip(scaled, 0, 65535).astype(np.uint16), float(clipped)


def span_of_contrast(frames: np.ndarray) -> float:
    """Contrast that becomes white: 1.5 times the 99.5 % point of |contrast|, rounded up to 1, 2, 5.

    Parameters
    ----------
    frames : (n, H, W) array
        Contrast of frames that are spread over the recording.
    """
    highest = 1.5 * max(float(np.quantile(np.abs(frame), 0.995)) for frame in frames)
    if highest <= 0:
        return 0.1
    power = 10.0 ** np.floor(np.log10(highest))
    return float(next(f"{step * power:.3g}" for step in (1, 2, 5, 10) if step * power >= highest))
