"""Images of the domains of a film: part of it at an imaging scale, as a microscope shows it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError


def view(
    m_z: np.ndarray,
    cell: float,
    side: float,
    origin: tuple[int, int] = (0, 0),
    pixels: int = 64,
) -> np.ndarray:
    """Square part of a periodic film, averaged over the area of each pixel.

    Parameters
    ----------
    m_z : (H, W) array
        Normal component of the magnetisation.
    cell : float
        Edge of a cell, m.
    side : float
        Side of the part, m; at most that of the film.
    origin : (int, int), default (0, 0)
        First row and column of cells.
    pixels : int, default 64
        Side of the view in px.

    Returns
    -------
    (pixels, pixels) float32 array
        Mean m_z of each pixel.

    Raises
    ------
    SpinscopeError
        If the part is larger than the film.
    """
    cells = side / cell
    if not 0 < cells <= min(m_z.shape) + 1e-6:
        raise SpinscopeError(
            f"view: its side (={side * 1e9:.4g} nm) must be at most that of the film "
            f"(={min(m_z.shape) * cell * 1e9:.4g} nm)"
        )
    weights = _area_weights(round(cells, 6), pixels)
    rows, columns = (
        (start + np.arange(weights.shape[1])) % n
        for start, n in zip(origin, m_z.shape, strict=True)
    )
    part = np.asarray(m_z, np.float32)[np.ix_(rows, columns)]
    return weights @ part @ weights.T


@lru_cache(64)
def _area_weights(cells: float, pixels: int) -> np.ndarray:
    """Share of every cell in every pixel, (pixels, ceil(cells)) float32."""
    edges = np.linspace(0, cells, pixels + 1)
    first = np.arange(int(np.ceil(cells - 1e-9)))
    low = np.maximum(edges[:-1, None], first)
    high = np.minimum(edges[1:, None], first + 1)
    return (np.maximum(high - low, 0) * pixels / cells).astype(np.float32)


def kerr_image(m_z: np.ndarray) -> np.ndarray:
    """Image in polar Kerr contrast, which is linear in m_z: grey levels in [0, 1]."""
    return np.clip((np.asarray(m_z, np.float32) + 1) / 2, 0, 1)


def degraded(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    blur_px: float = 0.0,
    noise: float = 0.0,
    contrast: float = 1.0,
    background: float = 0.0,
) -> np.ndarray:
    """Add what a microscope does to an ideal image of grey levels in [0, 1].

    Parameters
    ----------
    image : (H, W) array
    rng : numpy.random.Generator
    blur_px : float, default 0
        Standard deviation of a Gaussian blur, px.
    noise : float, default 0
        Standard deviation of white noise, in units of the contrast of the image.
    contrast : float, default 1
        Difference of the grey levels of up and down.
    background : float, default 0
        Largest height of a linear slope across the image, in units of the contrast.

    Returns
    -------
    (H, W) float32 array
        Grey levels around 0.5, not clipped.
    """
    image = np.asarray(image, np.float32)
    if blur_px:
        image = ndimage.gaussian_filter(image, blur_px, mode="nearest")
    image = image - np.float32(0.5)
    if noise:
        image = image + np.float32(noise) * rng.standard_normal(image.shape, np.float32)
    if background:
        height, width = image.shape
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        slope = (np.cos(angle) * x + np.sin(angle) * y) / 2
        image = image + np.float32(background * rng.uniform()) * slope.astype(np.float32)
    return (np.float32(0.5) + np.float32(contrast) * image).astype(np.float32)
