"""Noise of Lorentz images, in the order of the published training set.

Uneven illumination, Gaussian noise, shot noise, salt and pepper, blur and contrast. Images are in
[0, 1].

References
----------
McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics.surface import quadratic_surface


def grey(intensity: np.ndarray) -> np.ndarray:
    """Stretch images to the range from 0 to 1.

    Parameters
    ----------
    intensity : (..., H, W) array
        Intensities.

    Returns
    -------
    (..., H, W) float32 array
        Grey levels; 0.5 for an image without contrast.
    """
    low = intensity.min(axis=(-2, -1), keepdims=True)
    span = intensity.max(axis=(-2, -1), keepdims=True) - low
    flat = span <= 1e-6 * np.abs(low)  # no contrast, up to rounding
    stretched = (intensity - low) / np.where(flat, 1, span)
    return np.where(flat, np.float32(0.5), stretched).astype(np.float32)


def add(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    gaussian: float = 0.0,
    poisson: float = 0.0,
    salt: float = 0.0,
    blur: float = 0.0,
    gamma: float = 1.0,
    background: float = 0.0,
) -> np.ndarray:
    """Add the noise of a camera to an image.

    Parameters
    ----------
    image : (H, W) array
        Image in [0, 1].
    rng : numpy.random.Generator
        Random numbers.
    gaussian : float, default 0
        Standard deviation of white noise.
    poisson : float, default 0
        Electrons counted by a pixel of value 1; 0 for no shot noise.
    salt : float, default 0
        Fraction of the pixels that are set to 0 or 1, half each.
    blur : float, default 0
        Standard deviation of the point spread in pixels; the image is mirrored at its borders.
    gamma : float, default 1
        Exponent of the contrast.
    background : float, default 0
        Standard deviation of the uneven illumination, a surface of second order.

    Returns
    -------
    (H, W) float32 array
        Image in [0, 1].

    Raises
    ------
    SpinscopeError
        If the image or a parameter is out of range.
    """
    image = np.array(image, dtype=np.float32)
    if image.ndim != 2:
        raise SpinscopeError(f"image of shape {image.shape} must be (H, W)")
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise SpinscopeError(f"image must be in [0, 1]; it runs from {low:.4g} to {high:.4g}")
    for name, value in (
        ("gaussian", gaussian), ("poisson", poisson), ("salt", salt), ("blur", blur),
        ("background", background),
    ):  # fmt: skip
        if not (np.isfinite(value) and value >= 0):
            raise SpinscopeError(f"{name} (={value}) must be finite and not negative")
    if not (np.isfinite(gamma) and gamma > 0):
        raise SpinscopeError(f"gamma (={gamma}) must be positive")
    if salt > 1:
        raise SpinscopeError(f"salt (={salt}) must be between 0 and 1")
    if background:
        surface = quadratic_surface(image.shape, rng)
        image += background * (surface / max(float(surface.std()), 1e-6))
    if gaussian:
        image += np.float32(gaussian) * rng.standard_normal(image.shape, dtype=np.float32)
    if poisson:
        counts = rng.poisson(np.float64(poisson) * np.clip(image, 0, 1))
        image = (counts / poisson).astype(np.float32)
    np.clip(image, 0, 1, out=image)
    if salt:
        drawn = rng.random(image.shape, dtype=np.float32)
        image[drawn < salt / 2] = 0
        image[drawn > 1 - salt / 2] = 1
    if blur:
        image = ndimage.gaussian_filter(image, blur, mode="reflect")
    if gamma != 1:
        image **= np.float32(gamma)
    return image
