r"""Raw frames of a Kerr microscope: what the camera sees before any reference is subtracted.

The electrons that a pixel collects in frame :math:`k` are

.. math:: N = N_0\, g_k\, L_k(r)\, S\big[R(r)\,(1 + \tfrac12 C m_k(r))\big](r - d_k),

with the reflectivity :math:`R` (film 1, dust and scratches), the magnetisation :math:`m`, the Kerr
contrast :math:`C` (a few percent), the blur :math:`S` of the optics, the displacement :math:`d` of
the sample, the uneven light :math:`L` that changes slowly, and the brightness :math:`g` of the
lamp. The camera adds shot noise, read noise, an offset per row that changes from frame to frame,
and hot pixels, and counts in 12 or 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics.kerr import Defect, relief
from spinscope.physics.surface import quadratic_surface


@dataclass(frozen=True)
class Camera:
    """Camera, light and stage; fractions are those of the mean intensity."""

    bits: int = 12
    """Bits per pixel, 8 to 16."""
    contrast: float = 0.03
    """Kerr contrast C between opposite domains."""
    exposure: float = 0.55
    """Mean intensity as a fraction of full scale."""
    electrons: float = 30_000.0
    """Electrons at full scale."""
    read: float = 8.0
    """Standard deviation of the read noise, electrons."""
    blur: float = 1.0
    """Standard deviation of the point spread, pixels."""
    texture: float = 0.01
    """Standard deviation of the reflectivity of the film, from its roughness."""
    uneven: float = 0.12
    """Standard deviation of the light over the frame."""
    uneven_drift: float = 0.01
    """Standard deviation of the change of the light over the frame, from first to last frame."""
    lamp: float = 0.001
    """Standard deviation of the brightness of the lamp over the frames."""
    drift: float = 3.0
    """Length of the way that the sample drifts from first to last frame, pixels."""
    vibration: float = 0.1
    """Standard deviation of a random displacement of each frame, along each axis, pixels."""
    rows: float = 0.001
    """Standard deviation of the offset of a row, new in each frame."""
    hot: float = 1e-4
    """Fraction of pixels that are hot."""

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 16:
            raise SpinscopeError(f"bits (={self.bits}) must be 8 to 16")
        for name in ("exposure", "electrons"):
            if not getattr(self, name) > 0:
                raise SpinscopeError(f"{name} (={getattr(self, name)}) must be above 0")

    @property
    def white(self) -> int:
        """Largest number that the camera counts."""
        return 2**self.bits - 1


def drift_path(n: int, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Draw the displacement of the sample, (n, 2) float64 array, (y, x) in pixels; 0 in frame 0.

    Parameters
    ----------
    n : int
        Number of frames.
    camera : Camera
        Drift and vibration.
    rng : numpy.random.Generator
        Random numbers.
    """
    angle = rng.uniform(0, 2 * np.pi)
    time = np.linspace(0, 1, n)
    along = camera.drift * time * np.array([[np.sin(angle)], [np.cos(angle)]])
    bend = (
        0.15 * camera.drift * np.sin(np.pi * time) * np.array([[np.cos(angle)], [-np.sin(angle)]])
    )
    path = (along + bend).T + rng.normal(0, camera.vibration, (n, 2))
    return path - path[0]


def raw_frames(
    m: np.ndarray,
    camera: Camera,
    drift: np.ndarray,
    rng: np.random.Generator,
    *,
    defects: Sequence[Defect] = (),
) -> Iterator[np.ndarray]:
    """Yield the raw frames of a series of magnetisations.

    Parameters
    ----------
    m : (n, H, W) array
        Magnetisation along the normal in [-1, 1].
    camera : Camera
        Camera, light and stage.
    drift : (n, 2) array
        Displacement (y, x) of the sample in each frame, positive down and to the right, pixels.
    rng : numpy.random.Generator
        Random numbers of light, roughness and noise.
    defects : sequence of Defect
        Dust and scratches, which do not magnetise; see `spinscope.physics.kerr.Defect`.

    Yields
    ------
    (H, W) uint16 array

    Raises
    ------
    SpinscopeError
        If `drift` has not one row per frame.
    """
    n, *shape = m.shape
    if np.shape(drift) != (n, 2):
        raise SpinscopeError(f"drift must be (y, x) of {n} frames, is {np.shape(drift)}")
    reflectivity, covered = _sample(tuple(shape), camera, rng, defects)
    light = 1 + camera.uneven * _unit(quadratic_surface(tuple(shape), rng))
    change = camera.uneven_drift * _unit(quadratic_surface(tuple(shape), rng))
    light = np.maximum(light, 0.05)
    lamp = 1 + camera.lamp * rng.standard_normal(n)
    lamp[0] = 1.0
    hot = rng.random(shape) < camera.hot
    hot_level = rng.uniform(0.7, 1.0, shape) * camera.white
    full, noise = camera.electrons, np.random.default_rng(rng.integers(2**63))
    margin = _margin(reflectivity.shape, tuple(shape))
    inner = tuple(slice(a, a + size) for a, size in zip(margin, shape, strict=True))
    for k in range(n):
        film = np.pad(m[k], [(a, a) for a in margin], mode="edge") * (1 - covered)
        sample = reflectivity * (1 + np.float32(camera.contrast / 2) * film)
        sample = ndimage.gaussian_filter(sample, camera.blur, mode="nearest", truncate=4)
        sample = ndimage.shift(sample, drift[k], order=3, mode="nearest")[inner]
        here = lamp[k] * (light + change * (k / max(n - 1, 1)))
        electrons = noise.poisson(np.maximum(full * camera.exposure * here * sample, 0))
        electrons = electrons + camera.read * noise.standard_normal(shape)
        electrons += full * camera.exposure * camera.rows * noise.standard_normal((shape[0], 1))
        counts = electrons * (camera.white / full)
        counts[hot] = hot_level[hot]
        yield np.clip(np.rint(counts), 0, camera.white).astype(np.uint16)


def _sample(
    shape: tuple[int, int], camera: Camera, rng: np.random.Generator, defects: Sequence[Defect]
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectivity and covered fraction of the sample, which extends beyond the frame."""
    margin = 16
    wide = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    moved = [_moved(one, margin) for one in defects]
    added, covered = relief(wide, moved)
    rough = ndimage.gaussian_filter(rng.standard_normal(wide, dtype=np.float32), 1.0, mode="wrap")
    reflectivity = 1 + camera.texture * rough / rough.std() + 0.5 * added
    return np.maximum(reflectivity, 0.05).astype(np.float32), covered


def _margin(wide: tuple[int, ...], shape: tuple[int, int]) -> tuple[int, int]:
    """Width of the sample above and left of the frame."""
    return (wide[0] - shape[0]) // 2, (wide[1] - shape[1]) // 2


def _moved(defect: Defect, by: float) -> Defect:
    """Defect at its place on the sample, which begins `by` pixels before the frame."""
    return replace(defect, y=defect.y + by, x=defect.x + by)


def _unit(surface: np.ndarray) -> np.ndarray:
    """Surface of unit standard deviation."""
    return surface / max(float(surface.std()), 1e-6)
