"""Raw camera frames of a film with known contrast, drift, light, stripes and hot pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import fft, ndimage

from spinscope.config import Intake, load_params

MARGIN = 24


@dataclass(frozen=True)
class Raw:
    """Raw frames (n, H, W) uint16, and their truth."""

    frames: np.ndarray
    contrast: np.ndarray
    """Contrast (n, H, W) against the first frame, at the place of the first frame."""
    drift: np.ndarray
    hot: np.ndarray


def moved(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Periodic image whose content is displaced by a fraction of a pixel."""
    ky, kx = fft.fftfreq(image.shape[0])[:, None], fft.rfftfreq(image.shape[1])
    return fft.irfft2(fft.rfft2(image) * np.exp(-2j * np.pi * (ky * y + kx * x)), s=image.shape)


def structure(shape: tuple[int, int], rng: np.random.Generator, dust: int = 40) -> np.ndarray:
    """Non-magnetic structure of zero mean and unit SD: roughness and dust, blurred by optics."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5, mode="wrap")
    specks = np.zeros(shape)
    for _ in range(dust):
        cy, cx, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(1.5, 4)
        specks -= np.clip(0.5 + radius - np.hypot(y - cy, x - cx), 0, 1)
    both = rough / rough.std() + 6 * ndimage.gaussian_filter(specks, 1.2, mode="wrap")
    return (both - both.mean()) / both.std()


def reversal(shape: tuple[int, int], n: int, rng: np.random.Generator) -> np.ndarray:
    """Magnetisation (n, H, W) that reverses by domains, from -1 to +1."""
    base = ndimage.gaussian_filter(rng.standard_normal(shape), 12, mode="wrap")
    levels = np.quantile(base, np.linspace(1, 0, n))
    return np.stack([np.tanh((base - level) / base.std() * 12) for level in levels])


def raw(
    n: int = 12,
    shape: tuple[int, int] = (96, 128),
    *,
    seed: int = 0,
    kerr: float = 0.02,
    rough: float = 0.05,
    noise: float = 0.01,
    drift: float = 3.0,
    light: float = 0.02,
    stripe: float = 0.0,
    hot: int = 6,
    level: float = 8000.0,
) -> Raw:
    """Raw frames of a film that reverses; all amplitudes relative to the mean intensity."""
    rng = np.random.default_rng(seed)
    large = (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN)
    inner = slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN)
    reflectivity = 1 + rough * structure(large, rng)
    m = reversal(large, n, rng)
    drifts = np.cumsum(rng.uniform(-1, 1, (n, 2)), axis=0) * drift / max(np.sqrt(n), 1)
    drifts -= drifts[0]
    y, x = (np.linspace(-1, 1, side) for side in shape)
    bad = np.zeros(shape, dtype=bool)
    bad.flat[rng.choice(bad.size, hot, replace=False)] = True
    frames = []
    for k in range(n):
        scene = moved(reflectivity * (1 + kerr * m[k]), *drifts[k])[inner]
        lamp = 1 + light * (np.sin(k) * y[:, None] + np.cos(k) * x + 0.3 * np.sin(2 * k) * x**2)
        uneven = 1 - 0.1 * y[:, None] ** 2 - 0.05 * x**2
        frame = scene * lamp * uneven
        frame += noise * rng.standard_normal(shape)
        frame += stripe * rng.standard_normal((shape[0], 1))
        frame[bad] += 0.4
        frames.append(frame)
    levels = np.clip(np.rint(np.array(frames) * level), 0, 65535).astype(np.uint16)
    truth = ((1 + kerr * m) / (1 + kerr * m[0]) - 1)[(slice(None), *inner)]
    return Raw(levels, truth, drifts, bad)


@pytest.fixture(scope="session")
def settings() -> Intake:
    """Settings as shipped."""
    return load_params().intake
