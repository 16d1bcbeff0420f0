"""Grains of a polycrystalline film: a periodic Voronoi tessellation and its material constants."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from spinscope.errors import SpinscopeError


def voronoi_grains(
    shape: tuple[int, int], cell: float, size: float, kinds: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a periodic Voronoi tessellation, as mumax3's ``ext_makegrains`` does.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of cells.
    cell : float
        Edge of a cell in m.
    size : float
        Size of a grain in m: the number of grains is Poisson distributed with a mean of one per
        `size` squared, and at least one.
    kinds : int
        Number of kinds, 1 to 256; each grain is of one, drawn uniformly.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (H, W) uint8 array
        Kind of the grain of each cell.

    Raises
    ------
    SpinscopeError
        If the size is not positive or the number of kinds is out of range.
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
    """Draw the saturation magnetisation of each kind of grain.

    Parameters
    ----------
    mean : float
        Mean saturation magnetisation in A/m.
    spread : float
        Largest relative deviation; values are drawn in whole per cents of the mean.
    limits : (float, float)
        Range of the values in A/m.
    kinds : int
        Number of kinds.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (kinds,) array
        Saturation magnetisation in A/m.

    Raises
    ------
    SpinscopeError
        If no value lies within the limits.

    References
    ----------
    McCray et al., APL Mach. Learn. 2, 026120 (2024).
    """
    low, high = limits
    largest = round(100 * spread)
    values = mean * (1 + np.arange(-largest, largest + 1) / 100)
    allowed = values[(values >= low) & (values <= high)]
    if not len(allowed):
        raise SpinscopeError(
            f"grains: no Ms within {spread:.0%} of {mean:g} A/m lies in {low:g} to {high:g} A/m"
        )
    return rng.choice(allowed, kinds)


def exchange_factors(grain: np.ndarray, across: float) -> np.ndarray:
    """Factor on the exchange between neighbouring cells of a periodic film.

    Parameters
    ----------
    grain : (H, W) array
        Grain of each cell.
    across : float
        Factor between cells of different grains; 1 within a grain.

    Returns
    -------
    (2, H, W) float32 array
        Factor with the next cell along x and along y.
    """
    borders = np.stack([grain != np.roll(grain, -1, axis) for axis in (1, 0)])
    return np.where(borders, np.float32(across), np.float32(1))
