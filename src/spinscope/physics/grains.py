"""Grains of a polycrystalline film: a periodic Voronoi tessellation, and what differs by grain."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from spinscope.errors import SpinscopeError


def voronoi_grains(
    shape: tuple[int, int], cell: float, size: float, kinds: int, rng: np.random.Generator
) -> np.ndarray:
    """Number of the grain that each cell belongs to, (H, W) uint8; periodic.

    Grains grow from points at random, Poisson distributed with one to `size` squared on average
    and at least one; each draws one of `kinds` kinds (256 at most), as mumax3's `ext_makegrains`.
    cell, size : m.
    """
    if size <= 0:
        raise SpinscopeError(f"grains: their size (={size} m) must be positive")
    if not 1 <= kinds <= 256:
        raise SpinscopeError(f"grains: the number of their kinds (={kinds}) must be 1 to 256")
    height, width = shape
    count = max(1, int(rng.poisson(height * width * (cell / size) ** 2)))
    points = rng.uniform(0, 1, (count, 2)) * (height, width)
    kind = rng.integers(0, kinds, count).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    cells = np.stack([y.ravel() + 0.5, x.ravel() + 0.5], axis=1)
    _, nearest = cKDTree(points, boxsize=(height, width)).query(cells)
    return kind[nearest].reshape(shape)


def grain_ms(
    mean: float, spread: float, limits: tuple[float, float], kinds: int, rng: np.random.Generator
) -> np.ndarray:
    """Saturation magnetisation of each kind of grain, (kinds,) A/m.

    Drawn in whole per cents of `mean` within 1 ± `spread`, again where it leaves `limits`: the
    making of McCray et al., APL Mach. Learn. 2, 026120 (2024).
    """
    low, high = limits
    most = round(100 * spread)
    per_cent = np.arange(-most, most + 1)
    values = mean * (1 + per_cent / 100)
    allowed = values[(values >= low) & (values <= high)]
    if not len(allowed):
        raise SpinscopeError(
            f"grains: no Ms within {spread:.0%} of {mean:g} A/m lies in {low:g} to {high:g} A/m"
        )
    return rng.choice(allowed, kinds)


def exchange_factors(grain: np.ndarray, across: float) -> np.ndarray:
    """(2, H, W) factor on the exchange with the next cell along x and along y: `across` grains."""
    along_x = grain != np.roll(grain, -1, 1)
    along_y = grain != np.roll(grain, -1, 0)
    return np.where(np.stack([along_x, along_y]), np.float32(across), np.float32(1))
