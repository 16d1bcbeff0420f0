"""Training examples of effective fields: lattices shifted, rotated and, if wanted, corrupted.

Example `number` is a pure function of the seed and the number.
"""

from __future__ import annotations

import numpy as np

from spinscope.physics.lattice import (
    Hamiltonian,
    effective_field,
    erased_square,
    noisy,
    noisy_rows,
    unit,
)

LARGEST_NOISE = 2.5
"""Strength of the strongest noise of a training example."""


def rotated_spins(m: np.ndarray, quarters: int) -> np.ndarray:
    """Lattice rotated by quarter turns, places and vectors alike.

    Exchange and both kinds of DMI are invariant under this rotation.

    Parameters
    ----------
    m : (..., H, W, 3) array
    quarters : int
        Turns by 90°, from +x towards -y (anticlockwise on the screen).
    """
    m = np.rot90(m, quarters, axes=(-3, -2))
    for _ in range(quarters % 4):
        x, y, z = m[..., 0], m[..., 1], m[..., 2]
        m = np.stack([y, -x, z], axis=-1)
    return m


def moved(m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Periodic lattice, shifted and rotated at random."""
    height, width = m.shape[:2]
    m = np.roll(m, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
    return rotated_spins(m, int(rng.integers(4)))


def example(
    m: np.ndarray, hamiltonian: Hamiltonian, rng: np.random.Generator, *, corrupt: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One pair of spins and effective field.

    With `corrupt` the spins have noise, missing components or missing sites; the field is that of
    the lattice without them.

    Parameters
    ----------
    m : (H, W, 3) array
        Annealed lattice, H = W.
    hamiltonian : Hamiltonian
    rng : numpy Generator
    corrupt : bool

    Returns
    -------
    spins, field : (H, W, 3) float32 arrays
    """
    m = moved(m, rng)
    field = effective_field(m, hamiltonian)
    if not corrupt:
        return m, field
    kind, side = rng.random(), min(m.shape[:2])
    if kind < 0.4:
        m = noisy(m, rng.uniform(0, LARGEST_NOISE), rng)
    elif kind < 0.7:
        m = m * np.array([0, 0, 1], np.float32)
        if rng.random() < 0.5:
            m[..., 2] += rng.uniform(0, 0.3) * rng.standard_normal(m.shape[:2], np.float32)
    elif kind < 0.85:
        m = noisy_rows(m, int(rng.integers(1, side // 4 + 1)), rng)[0]
    else:
        m = erased_square(m, int(rng.integers(4, side // 4 + 1)), rng)[0]
    return m, field


def disordered(m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spins turned by a few degrees at random."""
    return unit(m + np.float32(0.1) * rng.standard_normal(m.shape, np.float32))
