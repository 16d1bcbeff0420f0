"""Input of the network `scaled`: an image resampled to a fixed pixel size, on a square canvas."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 256
"""Side of the canvas, px."""
_STEPS = 250
"""Pixels of the canvas along the largest imaging scale."""
_UNIT = _STEPS / 8
"""Side of a part of an image in canvas px is a multiple of this: about a block of the network."""


def canvas_pixel(largest: float) -> float:
    """Pixel size of the canvas in m for the largest imaging scale in m."""
    return largest / _STEPS


def canvas(image: np.ndarray, pixel_size: float, pixel: float) -> np.ndarray:
    """Resample an image to the pixel size of the canvas and standardise it.

    Parameters
    ----------
    image : (H, W) array
        Image of at most 256 canvas pixels along each side; the rest is cut off.
    pixel_size, pixel : float
        Pixel sizes of image and canvas, m.

    Returns
    -------
    (256, 256, 2) float32 array
        Grey levels of mean 0 and standard deviation 1, 0 outside the image; and 1 inside the
        image, 0 outside. It is the first of `canvases`.
    """
    return canvases(image, pixel_size, pixel)[0]


def canvases(image: np.ndarray, pixel_size: float, pixel: float) -> np.ndarray:
    """Resample an image; cut it into parts that fill the blocks of the network, and cover it.

    The network averages over blocks of 32 px. A block that the image fills in another way than in
    the training would bias the estimate, so that the side of a part is a multiple of an eighth of
    the largest imaging scale, as those of the training views are.

    Parameters
    ----------
    image, pixel_size, pixel
        See `canvas`.

    Returns
    -------
    (n, 256, 256, 2) float32 array
        One, two or four parts, each as `canvas` describes.
    """
    image = np.asarray(image, np.float32)
    rows, columns = (_resampling(n, round(pixel_size / pixel, 9)) for n in image.shape)
    small = (rows @ image @ columns.T)[:SIDE, :SIDE]
    places = [_parts(n) for n in small.shape]
    return np.stack(
        [_standardised(small[row, column]) for row in places[0] for column in places[1]]
    )


def _standardised(part: np.ndarray) -> np.ndarray:
    out = np.zeros((SIDE, SIDE, 2), np.float32)
    height, width = part.shape
    out[:height, :width, 0] = (part - part.mean()) / max(float(part.std()), 1e-6)
    out[:height, :width, 1] = 1
    return out


def _parts(n: int) -> list[slice]:
    """Parts of n pixels whose sides are multiples of a unit: all pixels, or both ends."""
    side = min(n, int(max(1, (n + 1) // _UNIT) * _UNIT + 0.5))
    return [slice(0, n)] if side == n else [slice(0, side), slice(n - side, n)]


@lru_cache(256)
def _resampling(n: int, ratio: float) -> np.ndarray:
    """Weights of linear interpolation, widened to an average where pixels are combined."""
    count = max(1, round(n * ratio))
    centres = (np.arange(count) + 0.5) * n / count - 0.5
    width = max(1.0, n / count)
    weights = np.maximum(0, 1 - np.abs(np.arange(n) - centres[:, None]) / width)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
