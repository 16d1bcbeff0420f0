"""Input of the network `scaled`: an image resampled to a fixed pixel size, on a square canvas."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 256
"""Side of the canvas, px."""
_STEPS = 250
"""Pixels of the canvas along the largest imaging scale."""


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
        image, 0 outside.
    """
    image = np.asarray(image, np.float32)
    rows, columns = (_resampling(n, round(pixel_size / pixel, 9)) for n in image.shape)
    small = (rows @ image @ columns.T)[:SIDE, :SIDE]
    out = np.zeros((SIDE, SIDE, 2), np.float32)
    height, width = small.shape
    out[:height, :width, 0] = (small - small.mean()) / max(float(small.std()), 1e-6)
    out[:height, :width, 1] = 1
    return out


@lru_cache(256)
def _resampling(n: int, ratio: float) -> np.ndarray:
    """Weights of linear interpolation, widened to an average where pixels are combined."""
    count = max(1, round(n * ratio))
    centres = (np.arange(count) + 0.5) * n / count - 0.5
    width = max(1.0, n / count)
    weights = np.maximum(0, 1 - np.abs(np.arange(n) - centres[:, None]) / width)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
