"""Smooth surfaces, for an uneven illumination."""

from __future__ import annotations

import numpy as np


def quadratic_surface(
    shape: tuple[int, int], rng: np.random.Generator, curvature: float = 1.0
) -> np.ndarray:
    """Draw a surface of second order with zero mean.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    rng : numpy.random.Generator
        Random numbers.
    curvature : float, default 1
        Standard deviation of the three coefficients of second order; that of the two of first
        order is 1, in coordinates from -1 to 1.

    Returns
    -------
    (H, W) float32 array
    """
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    scale = np.array([1, 1, curvature, curvature, curvature], dtype=np.float32)
    a = rng.normal(size=5).astype(np.float32) * scale
    surface = a[0] * y + a[1] * x + a[2] * x * y + a[3] * y * y + a[4] * x * x
    return surface - surface.mean()
