r"""Images of the domains of a film: part of it at an imaging scale, as a microscope shows it.

A polar Kerr image is linear in the normal magnetisation :math:`m_z`. A magnetic force microscope
measures the gradient of the stray field. Above a film whose magnetisation does not vary across its
thickness t, the poles of both surfaces give, for every wave vector k,

.. math:: \frac{\partial \tilde H_z}{\partial z}
          = -\tfrac12 M_s k\, e^{-kz} \left(1 - e^{-kt}\right) \tilde m_z(k).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

from spinscope.errors import SpinscopeError

_MARGIN = 10  # cells on either side of a view that the splines use


def view(
    m_z: np.ndarray,
    cell: float,
    side: float,
    origin: tuple[int, int] = (0, 0),
    pixels: int = 64,
) -> np.ndarray:
    """Square part of a periodic film.

    A pixel is the mean over its area; pixels smaller than a cell are interpolated by cubic splines.

    Parameters
    ----------
    m_z : (H, W) array
        Normal component of the magnetisation, or another quantity of the cells.
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
        Mean m_z of each pixel, within the range of the film.

    Raises
    ------
    SpinscopeError
        If the part is larger than the film.
    """
    m_z, cells = np.asarray(m_z, np.float32), round(side / cell, 6)
    if not 0 < cells <= min(m_z.shape) + 1e-6:
        raise SpinscopeError(
            f"view: its side (={side * 1e9:.4g} nm) must be at most that of the film "
            f"(={min(m_z.shape) * cell * 1e9:.4g} nm)"
        )
    if cells < pixels:
        margin, weights = _MARGIN, _spline_weights(cells, pixels)
    else:
        margin, weights = 0, _area_weights(cells, pixels)
    rows, columns = (
        (start - margin + np.arange(weights.shape[1])) % n
        for start, n in zip(origin, m_z.shape, strict=True)
    )
    image = weights @ m_z[np.ix_(rows, columns)] @ weights.T
    return np.clip(image, m_z.min(), m_z.max())


@lru_cache(64)
def _area_weights(cells: float, pixels: int) -> np.ndarray:
    """Share of every cell in every pixel, (pixels, ceil(cells)) float32."""
    edges = np.linspace(0, cells, pixels + 1)
    first = np.arange(int(np.ceil(cells - 1e-9)))
    low = np.maximum(edges[:-1, None], first)
    high = np.minimum(edges[1:, None], first + 1)
    return (np.maximum(high - low, 0) * pixels / cells).astype(np.float32)


@lru_cache(64)
def _spline_weights(cells: float, pixels: int) -> np.ndarray:
    """Weight of every cell at the centre of every pixel, with a margin, float32."""
    count = int(np.ceil(cells - 1e-9)) + 2 * _MARGIN
    centres = (np.arange(pixels) + 0.5) * cells / pixels - 0.5 + _MARGIN
    unit = [
        ndimage.map_coordinates(row, [centres], order=3, mode="mirror") for row in np.eye(count)
    ]
    return np.array(unit, np.float32).T


def resampled(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Image with another number of pixels, averaged over the area of each.

    Parameters
    ----------
    image : (H, W) array
    shape : (int, int)
        Rows and columns of the result.
    """
    rows, columns = (_area_weights(float(n), m) for n, m in zip(image.shape, shape, strict=True))
    return rows @ np.asarray(image, np.float32) @ columns.T


def kerr_image(m_z: np.ndarray) -> np.ndarray:
    """Image in polar Kerr contrast, which is linear in m_z: grey levels in [0, 1]."""
    return np.clip((np.asarray(m_z, np.float32) + 1) / 2, 0, 1)


def stray_field_gradient(
    m_z: np.ndarray, cell: float, thickness: float, height: float
) -> np.ndarray:
    r"""Gradient of the stray field above a periodic film, :math:`-\partial H_z/\partial z / M_s`.

    Parameters
    ----------
    m_z : (H, W) array
        Normal component of the magnetisation.
    cell : float
        Edge of a cell, m.
    thickness : float
        Thickness of the film, m.
    height : float
        Distance from the upper surface, m.

    Returns
    -------
    (H, W) float32 array
        In 1/m; positive above domains that point up.
    """
    rows, columns = m_z.shape
    k = 2 * np.pi * np.hypot(fft.fftfreq(rows, cell)[:, None], fft.rfftfreq(columns, cell))
    transfer = k / 2 * np.exp(-k * height) * -np.expm1(-k * thickness)
    gradient = fft.irfft2(transfer * fft.rfft2(np.asarray(m_z, float)), s=m_z.shape)
    return gradient.astype(np.float32)


def mfm_image(m_z: np.ndarray, cell: float, thickness: float, height: float) -> np.ndarray:
    """Image of a periodic film in a magnetic force microscope with the tip along z.

    Parameters
    ----------
    m_z, cell, thickness, height
        See `stray_field_gradient`.

    Returns
    -------
    (H, W) float32 array
        Grey levels in [0, 1]; 0.5 is no gradient, and the strongest gradient is 0 or 1.
    """
    gradient = stray_field_gradient(m_z, cell, thickness, height)
    strongest = float(np.abs(gradient).max())
    return np.float32(0.5) + gradient / np.float32(2 * strongest or 1)


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
