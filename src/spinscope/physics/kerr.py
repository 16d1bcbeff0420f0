r"""Kerr micrographs from magnetisation: a live frame less a reference frame of the same place.

With the reflectivity :math:`R(r)` of the sample (film, bare substrate, dust, scratches) in units
of the image, the part :math:`f(r)` of a pixel that bare film covers and the magnetisation
:math:`m(r)` along the normal, all blurred by the optics, the difference image is

.. math::
   I = \tfrac12 + f\,[\,b - \tfrac12 - c\,(1 - m)/2\,] + [R(r) - R(r - d)] + g(r) + n(r),

with the level :math:`b` of the matrix, the contrast :math:`c` of the skyrmions, the drift
:math:`d` between the two frames, an uneven illumination :math:`g` and shot and read noise
:math:`n`. Where nothing moved and nothing is magnetic it is grey; what is bright or dark in itself
leaves a pair of a bright and a dark rim, clipped by the camera. Images run from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from spinscope.classes import BACKGROUND, DEFECT, EDGE, OUTSIDE, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.physics.devices import device_masks


@dataclass(frozen=True)
class KerrOptics:
    """How a frame is taken. Intensities in units of the image, lengths in pixels."""

    level: float = 0.5  # of the matrix
    contrast: float = 0.15  # matrix less skyrmion; negative for bright skyrmions
    blur: float = 1.3  # standard deviation of the point spread
    noise: float = 0.06  # standard deviation in a pixel of the film
    read: float = 0.5  # part of the noise variance that is the camera's, the rest is shot noise
    grain: float = 0.0  # standard deviation of the noise's spatial correlation
    gradient: float = 0.005  # standard deviation of the uneven illumination
    drift: tuple[float, float] = (0.3, 0.2)  # (y, x) of the reference frame
    defocus: float = 0.0  # further blur of the reference frame
    substrate: float = 0.5  # reflectivity outside the device; the film's is 1
    gain: float = 3.0  # image units a unit of reflectivity

    def __post_init__(self) -> None:
        for name in ("blur", "noise", "grain", "gradient", "defocus"):
            if getattr(self, name) < 0:
                raise SpinscopeError(f"{name} (={getattr(self, name)}) must not be negative")
        if not 0 <= self.read <= 1:
            raise SpinscopeError(f"read (={self.read}) must be between 0 and 1")


@dataclass(frozen=True)
class Defect:
    """A grain of dust, a hole or a scratch on the sample.

    Its border is r(theta) = radius (1 + sum_n lobes[n] cos((n + 2) theta)), drawn out by
    `elongation` along `angle`; `height` is its reflectivity less the film's; `soft` the width of
    its border in pixels, large for dust out of focus.
    """

    y: float
    x: float
    radius: float
    elongation: float = 1.0
    angle: float = 0.0
    lobes: tuple[float, ...] = ()
    height: float = 0.5
    soft: float = 1.0

    def patch(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """(where, cover): the slices of a frame it touches and, there, how far it covers it."""
        reach = self.radius * self.elongation * (1 + sum(map(abs, self.lobes))) + self.soft + 1
        ys, xs = (
            slice(max(0, int(c - reach)), max(0, min(n, int(c + reach) + 2)))
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
    """Reflectivity that the defects add, and how far they cover the film: two (H, W) float32."""
    added, covered = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for defect in defects:
        where, cover = defect.patch(shape)
        added[where] += np.float32(defect.height) * cover
        np.maximum(covered[where], cover, out=covered[where])
    return added, covered


def kerr_image(
    m: np.ndarray,
    optics: KerrOptics,
    rng: np.random.Generator,
    *,
    device: np.ndarray | None = None,
    defects: Sequence[Defect] = (),
) -> np.ndarray:
    """Difference image (H, W) float32 in [0, 1] of a film with the magnetisation `m`.

    m : (H, W) in [-1, 1], see `domains.coverage`.   device : (H, W) signed distance to the border
    of the film in pixels, positive inside; None is a film that fills the frame.
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
    image = 0.5 + live - reference + _gradient(shape, optics.gradient, rng) * film
    shot = np.clip(live / optics.gain, 0, 2) * (1 - optics.read)
    image += optics.noise * np.sqrt(optics.read + shot) * _noise(shape, optics.grain, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def kerr_label(
    m: np.ndarray,
    *,
    device: np.ndarray | None = None,
    edge_width: float = 8.0,
    defects: Sequence[Defect] = (),
    drift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Classes (H, W) uint8: 0 background, 1 skyrmion, 2 defect, 3 outside, 4 edge.

    Skyrmion is m < 0 inside the film. A defect goes before all else; it is labelled where it
    stands in the live frame and in the drifted reference, with the rim of its border.
    """
    label = np.where(m < 0, np.uint8(SKYRMION), np.uint8(BACKGROUND))
    if device is not None:
        inside, edge = device_masks(device, edge_width)
        label[~inside] = OUTSIDE
        label[edge] = EDGE
    for defect in defects:
        for dy, dx in ((0.0, 0.0), drift):
            where, cover = _moved(defect, dy, dx).patch(m.shape)
            label[where][cover > 0.05] = DEFECT
    return label


def _moved(defect: Defect, dy: float, dx: float) -> Defect:
    return replace(defect, y=defect.y + dy, x=defect.x + dx, radius=defect.radius + 0.5)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3) if sigma else image


def _gradient(shape: tuple[int, int], spread: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth surface of second order, of zero mean and the standard deviation `spread`."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    a = rng.normal(size=5).astype(np.float32) * np.array([1, 1, 0.5, 0.5, 0.5], dtype=np.float32)
    surface = a[0] * y + a[1] * x + a[2] * x * y + a[3] * y * y + a[4] * x * x
    surface -= surface.mean()
    return surface * np.float32(spread / max(float(surface.std()), 1e-6))


def _noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance, correlated over `grain` pixels."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if grain:
        noise = ndimage.gaussian_filter(noise, grain, mode="wrap", truncate=3)
        noise /= noise.std()
    return noise
