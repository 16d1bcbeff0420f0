"""Noise of Lorentz micrographs, in the order of the published training set.

Gaussian noise, shot noise, salt and pepper, blur and contrast, and before them an uneven
illumination. Images run from 0 to 1.
Source: McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError


def grey(intensity: np.ndarray) -> np.ndarray:
    """Intensities (..., H, W) stretched so that each picture runs from 0 to 1, float32.

    A picture without contrast is grey, 0.5.
    """
    low = intensity.min(axis=(-2, -1), keepdims=True)
    span = intensity.max(axis=(-2, -1), keepdims=True) - low
    flat = span <= 1e-6 * np.abs(low)  # what rounding leaves of a picture without contrast
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
    """The picture `image` (H, W) in [0, 1] as a camera hands it over, (H, W) float32 in [0, 1].

    gaussian : standard deviation of white noise.   poisson : electrons that a pixel of value 1
    counts, 0 for no shot noise (the fewer, the noisier).   salt : part of the pixels that are 0 or
    1, half each.   blur : pixels, standard deviation of the point spread, mirrored at the borders.
    gamma : exponent of the contrast.   background : standard deviation of an uneven illumination,
    a surface of second order.
    Raises SpinscopeError for an image out of range or a parameter out of range.
    """
    image = np.array(image, dtype=np.float32)
    if image.ndim != 2:
        raise SpinscopeError(f"image of shape {image.shape} must be (H, W)")
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise SpinscopeError(f"image must be in [0, 1]; it runs from {low:.4g} to {high:.4g}")
    _check(gaussian=gaussian, poisson=poisson, salt=salt, blur=blur, background=background)
    if not (np.isfinite(gamma) and gamma > 0):
        raise SpinscopeError(f"gamma (={gamma}) must be positive")
    if salt > 1:
        raise SpinscopeError(f"salt (={salt}) must be between 0 and 1")
    if background:
        image += background * _surface(image.shape, rng)
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


def _check(**parameters: float) -> None:
    for name, value in parameters.items():
        if not (np.isfinite(value) and value >= 0):
            raise SpinscopeError(f"{name} (={value}) must be finite and not negative")


def _surface(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A surface of second order, of zero mean and unit variance."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    a = rng.normal(size=5).astype(np.float32)
    surface = a[0] * y + a[1] * x + a[2] * x * y + a[3] * y * y + a[4] * x * x
    surface -= surface.mean()
    return surface / max(float(surface.std()), 1e-6)
