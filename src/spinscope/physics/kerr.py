r"""Kerr images from magnetisation: difference of a live frame and a reference frame.

With the reflectivity :math:`R(r)` of the sample (film, bare substrate, dust, scratches) in units
of the image, the fraction :math:`f(r)` of a pixel that is bare film and the magnetisation
:math:`m(r)` along the normal, all blurred by the optics, the difference image is

.. math::
   I = \tfrac12 + f\,[\,b - \tfrac12 - c\,(1 - m)/2\,] + [R(r) - R(r - d)] + g(r) + n(r),

with the level :math:`b` of the background, the contrast :math:`c` of the skyrmions, the drift
:math:`d` between the two frames, an uneven illumination :math:`g`, and shot noise, read noise and
bands :math:`n`. A static, nonmagnetic region is grey; a defect leaves a bright and a dark rim,
clipped by the camera. Images are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from spinscope.classes import BACKGROUND, DEFECT, EDGE, OUTSIDE, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.physics.devices import device_masks
from spinscope.physics.surface import quadratic_surface


@dataclass(frozen=True)
class KerrOptics:
    """Optics and camera; intensities in units of the image, lengths in pixels."""

    level: float = 0.5
    """Intensity of the background."""
    contrast: float = 0.15
    """Intensity of the background less that of a skyrmion; negative for bright skyrmions."""
    blur: float = 1.3
    """Standard deviation of the point spread."""
    noise: float = 0.06
    """Standard deviation of the noise of a pixel of the film."""
    read: float = 0.5
    """Fraction of the noise variance that is read noise; the rest is shot noise."""
    grain: float = 0.0
    """Correlation length of the noise, as the standard deviation of a Gaussian filter."""
    gradient: float = 0.005
    """Standard deviation of the uneven illumination."""
    drift: tuple[float, float] = (0.3, 0.2)
    """Displacement (y, x) of the reference frame."""
    defocus: float = 0.0
    """Additional blur of the reference frame."""
    substrate: float = 0.5
    """Reflectivity outside the device, relative to the film."""
    gain: float = 3.0
    """Image units per unit of reflectivity."""
    bands: float = 0.0
    """Standard deviation of bands along the rows or columns: stripe noise of a camera, streaks."""

    def __post_init__(self) -> None:
        for name in ("blur", "noise", "grain", "gradient", "defocus", "bands"):
            if getattr(self, name) < 0:
                raise SpinscopeError(f"{name} (={getattr(self, name)}) must not be negative")
        if not 0 <= self.read <= 1:
            raise SpinscopeError(f"read (={self.read}) must be between 0 and 1")


@dataclass(frozen=True)
class Defect:
    r"""Dust, a hole or a scratch on the sample; lengths in pixels.

    Its border is :math:`r(\theta) = r_0 (1 + \sum_n a_n \cos((n + 2)\theta))` with the radius
    :math:`r_0` and the lobes :math:`a_n`, elongated along an angle.
    """

    y: float
    x: float
    radius: float
    elongation: float = 1.0
    angle: float = 0.0
    """Direction of the elongation, rad."""
    lobes: tuple[float, ...] = ()
    height: float = 0.5
    """Reflectivity less that of the film."""
    soft: float = 1.0
    """Width of the border, large for dust out of focus."""

    def patch(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the slices of a frame that the defect touches, and its coverage there."""
        extent = self.radius * self.elongation * (1 + sum(map(abs, self.lobes))) + self.soft + 1
        ys, xs = (
            slice(max(0, int(c - extent)), max(0, min(n, int(c + extent) + 2)))
            for c, n in zip((self.y, self.x), shape, strict=True)
        )
        y, x = np.ogrid[ys, xs]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along = ((x - self.x) * cos + (y - self.y) * sin) / self.elongation
        across = (y - self.y) * cos - (x - self.x) * sin
        border = self.radius
        if self.lobes:
            theta = np.arctan2(across, along)
            waves = (a * np.cos((n + 2) * theta) for n, a in enumerate(self.lobes))
            border = self.radius * (1 + sum(waves))
        distance = border - np.hypot(along, across)
        return (ys, xs), np.clip(0.5 + distance / self.soft, 0, 1).astype(np.float32)


def relief(shape: tuple[int, int], defects: Sequence[Defect]) -> tuple[np.ndarray, np.ndarray]:
    """Sum the reflectivity of defects and their coverage of the film.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    defects : sequence of Defect
        Defects on the sample.

    Returns
    -------
    (H, W) float32 array, (H, W) float32 array
        Added reflectivity; covered fraction of each pixel.
    """
    added, covered = np.zeros((2, *shape), dtype=np.float32)
    for defect in defects:
        patch, cover = defect.patch(shape)
        added[patch] += np.float32(defect.height) * cover
        np.maximum(covered[patch], cover, out=covered[patch])
    return added, covered


def kerr_image(
    m: np.ndarray,
    optics: KerrOptics,
    rng: np.random.Generator,
    *,
    device: np.ndarray | None = None,
    defects: Sequence[Defect] = (),
) -> np.ndarray:
    """Difference image of a film, with noise and defects.

    Parameters
    ----------
    m : (H, W) array
        Magnetisation along the normal in [-1, 1], see `domains.coverage`.
    optics : KerrOptics
        Optics and camera.
    rng : numpy.random.Generator
        Random numbers of noise and illumination.
    device : (H, W) array, optional
        Signed distance to the border of the film in pixels, positive inside; by default the film
        fills the frame.
    defects : sequence of Defect
        Defects on the sample.

    Returns
    -------
    (H, W) float32 array
        Image in [0, 1].
    """
    shape = m.shape
    film = np.float32(1) if device is None else np.clip(device + np.float32(0.5), 0, 1)
    added, covered = relief(shape, defects)
    reflectivity = added + optics.substrate + (1 - optics.substrate) * film
    reflectivity = np.broadcast_to(reflectivity, shape).astype(np.float32) * optics.gain
    magnetic = (
        film * (1 - covered) * ((optics.level - 0.5) - np.float32(optics.contrast / 2) * (1 - m))
    )
    live = _blurred(reflectivity + magnetic, optics.blur)
    drifted = ndimage.shift(reflectivity, optics.drift, order=1, mode="nearest")
    reference = _blurred(drifted, np.hypot(optics.blur, optics.defocus))
    surface = quadratic_surface(shape, rng, curvature=0.5)
    surface = surface * np.float32(optics.gradient / max(float(surface.std()), 1e-6))
    image = 0.5 + live - reference + surface * film
    shot = np.clip(live / optics.gain, 0, 2) * (1 - optics.read)
    image += optics.noise * np.sqrt(optics.read + shot) * _noise(shape, optics.grain, rng)
    if optics.bands:
        image += optics.bands * _bands(shape, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def kerr_label(
    m: np.ndarray,
    *,
    device: np.ndarray | None = None,
    edge_width: float = 8.0,
    defects: Sequence[Defect] = (),
    drift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Label of a Kerr image: skyrmions (m < 0), defects, and outside and edge of a device.

    A defect overrides the other classes. It is labelled at its places in the live frame and in the
    drifted reference frame, including the rim of its border.

    Parameters
    ----------
    m : (H, W) array
        Magnetisation along the normal.
    device : (H, W) array, optional
        Signed distance to the border of the film in pixels, positive inside.
    edge_width : float, default 8
        Width of the edge in pixels.
    defects : sequence of Defect
        Defects on the sample.
    drift : (float, float), default (0, 0)
        Displacement (y, x) of the reference frame in pixels.

    Returns
    -------
    (H, W) uint8 array
        Indices of `spinscope.classes`.
    """
    label = np.where(m < 0, np.uint8(SKYRMION), np.uint8(BACKGROUND))
    if device is not None:
        inside, edge = device_masks(device, edge_width)
        label[~inside] = OUTSIDE
        label[edge] = EDGE
    for defect in defects:
        for dy, dx in ((0.0, 0.0), drift):
            moved = replace(defect, y=defect.y + dy, x=defect.x + dx, radius=defect.radius + 0.5)
            patch, cover = moved.patch(m.shape)
            label[patch][cover > 0.05] = DEFECT
    return label


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Image after a Gaussian blur."""
    return ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3) if sigma else image


def _noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance, correlated over `grain` pixels."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if grain:
        noise = ndimage.gaussian_filter(noise, grain, mode="wrap", truncate=3)
        noise /= noise.std()
    return noise


def _bands(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Bands of unit variance along the rows or the columns, 1 to 20 px wide."""
    width, length = np.exp(rng.uniform(np.log(0.4), np.log(8))), rng.uniform(40, 400)
    sigma = (width, length) if rng.random() < 0.5 else (length, width)
    bands = ndimage.gaussian_filter(
        rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=3
    )
    return bands / max(float(bands.std()), 1e-6)
