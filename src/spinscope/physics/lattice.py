r"""Classical spins on a periodic square lattice with exchange and DMI.

.. math::
   H = -J \sum_{\langle ij\rangle} S_i \cdot S_j
       + \sum_{\langle ij\rangle} D_{ij} \cdot (S_i \times S_j)
       - K \sum_i (S_i^z)^2 - B \sum_i S_i^z

Energies are in units of the exchange J and lengths in units of the lattice constant; x points to
the right (columns), y down (rows). The DMI vector of the bond along the unit vector r is
:math:`D\,\hat z\times r` (interfacial) or :math:`D\,r` (bulk).

References
----------
Lee et al., Sci. Rep. 11, 22937 (2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from spinscope.errors import SpinscopeError

SMALLEST = 16
"""Sites on the shorter side of the smallest lattice to which a network is applied."""

_UNIT = 1e-3  # largest deviation of the length of a spin from 1


@dataclass(frozen=True)
class Hamiltonian:
    """Interactions of the spins of a square lattice, in units of the exchange.

    Parameters
    ----------
    dmi : float, default 0.3
        Magnitude of the DMI vector D, with the sign of the chirality.
    dmi_kind : {"interfacial", "bulk"}, default "interfacial"
    field : float, default 0
        External field B along +z.
    anisotropy : float, default 0
        Perpendicular anisotropy K; positive for an easy axis along z.
    exchange : float, default 1
        Exchange J; 0 only to decouple the spins.
    """

    dmi: float = 0.3
    dmi_kind: Literal["interfacial", "bulk"] = "interfacial"
    field: float = 0.0
    anisotropy: float = 0.0
    exchange: float = 1.0

    @classmethod
    def of_header(cls, header: Mapping[str, Any]) -> Hamiltonian:
        """Hamiltonian of a corpus of lattices by its header."""
        return cls(header["dmi"], header["dmi_kind"], header["field"], header["anisotropy"])

    @property
    def bonds(self) -> np.ndarray:
        """DMI vectors of the bonds along +x and +y, (2, 3)."""
        if self.dmi_kind == "bulk":
            return self.dmi * np.array([[1.0, 0, 0], [0, 1, 0]])
        return self.dmi * np.array([[0.0, 1, 0], [-1, 0, 0]])


def effective_field(m: np.ndarray, hamiltonian: Hamiltonian) -> np.ndarray:
    r"""Effective field of every spin, :math:`F_i = -\partial H / \partial S_i`.

    Parameters
    ----------
    m : (..., H, W, 3) array
        Unit vectors.
    hamiltonian : Hamiltonian

    Returns
    -------
    (..., H, W, 3) array
        In units of J, of the type of `m`.
    """
    right, left = np.roll(m, -1, -2), np.roll(m, 1, -2)
    below, above = np.roll(m, -1, -3), np.roll(m, 1, -3)
    field = hamiltonian.exchange * (right + left + below + above)
    for difference, bond in zip((right - left, below - above), hamiltonian.bonds, strict=True):
        for axis in np.flatnonzero(bond):  # minus the cross product with a bond along an axis
            after, before = (axis + 1) % 3, (axis + 2) % 3
            field[..., after] -= bond[axis] * difference[..., before]
            field[..., before] += bond[axis] * difference[..., after]
    field[..., 2] += 2 * hamiltonian.anisotropy * m[..., 2] + hamiltonian.field
    return field.astype(m.dtype, copy=False)


def energy(m: np.ndarray, hamiltonian: Hamiltonian) -> float:
    """Energy per site in units of J, the mean over all lattices of `m`.

    Parameters
    ----------
    m : (..., H, W, 3) array
        Unit vectors.
    hamiltonian : Hamiltonian
    """
    m = np.asarray(m, np.float64)
    right, below = np.roll(m, -1, -2), np.roll(m, -1, -3)
    along_x, along_y = hamiltonian.bonds
    exchange = -hamiltonian.exchange * (m * (right + below)).sum(-1)
    dmi = np.cross(m, right) @ along_x + np.cross(m, below) @ along_y
    z = m[..., 2]
    return float((exchange + dmi - hamiltonian.anisotropy * z**2 - hamiltonian.field * z).mean())


def energy_of_field(m: np.ndarray, field: np.ndarray, external: float = 0.0) -> float:
    r"""Energy per site from an effective field.

    .. math:: E = -\frac{1}{2} \langle S \cdot F \rangle - B \langle S^z \rangle

    Parameters
    ----------
    m, field : (..., H, W, 3) array
        Unit vectors, and their effective field without the external one, in units of J.
    external : float, default 0
        External field along +z.
    """
    m = np.asarray(m, np.float64)
    return float(-(m * field).sum(-1).mean() / 2 - external * m[..., 2].mean())


def torque(m: np.ndarray, field: np.ndarray) -> float:
    """Largest sine of the angle between a spin and its effective field."""
    return float(np.linalg.norm(np.cross(m, unit(field)), axis=-1).max())


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1; a zero vector becomes +z."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    up = np.zeros_like(vectors)
    up[..., 2] = 1
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), up)


def mean_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Mean angle between two arrays of unit vectors (..., 3), degrees."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return float(np.degrees(np.arctan2(sine, (a * b).sum(-1))).mean())


def helix_pitch(dmi: float, exchange: float = 1.0) -> float:
    """Period of the helix of lowest energy along an axis, 2π / atan(D / J), in sites."""
    return float(2 * np.pi / np.arctan2(abs(dmi), exchange))


def random_spins(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Independent spins, uniform on the sphere, (H, W, 3) float32."""
    return unit(rng.standard_normal((*shape, 3), dtype=np.float32))


def noisy(m: np.ndarray, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Spins with noise: S + αR of length 1, with R uniform on the sphere.

    Parameters
    ----------
    m : (H, W, 3) array
        Unit vectors.
    alpha : float
        Strength of the noise.
    rng : numpy Generator
    """
    return unit(m + np.float32(alpha) * random_spins(m.shape[:2], rng))


def noisy_rows(m: np.ndarray, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spins with `rows` neighbouring rows replaced by noise, and the mask (H, W) of these sites."""
    height, width = m.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[(np.arange(rows) + rng.integers(height)) % height] = True
    return np.where(mask[..., None], random_spins((height, width), rng), m), mask


def erased_square(
    m: np.ndarray, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Spins with a square of zero vectors, and the mask (H, W) of these sites."""
    height, width = m.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[:side, :side] = True
    mask = np.roll(mask, (int(rng.integers(height)), int(rng.integers(width))), (0, 1))
    return np.where(mask[..., None], np.zeros_like(m), m), mask


def checked_spins(m: np.ndarray, name: str = "spins") -> np.ndarray:
    """Return spins as float32 if a network can be applied to them.

    Parameters
    ----------
    m : (H, W, 3) array
    name : str
        What the array is called in an error, such as its file.

    Raises
    ------
    SpinscopeError
        If the array is not of this shape, too small, not finite, or a vector is not of length 1.
    """
    m = np.asarray(m)
    if m.ndim != 3 or m.shape[-1] != 3:
        raise SpinscopeError(f"{name} has the shape {m.shape}; spins must be (H, W, 3)")
    checked_sides(m.shape[:2], name)
    checked_real(m, name)
    if not np.isfinite(m).all():
        raise SpinscopeError(f"{name} contains NaN or infinity; spins must be finite")
    length = np.linalg.norm(m.astype(np.float64), axis=-1)
    worst = np.unravel_index(np.abs(length - 1).argmax(), length.shape)
    if abs(length[worst] - 1) > _UNIT:
        y, x = map(int, worst)
        raise SpinscopeError(
            f"{name}: the vector at row {y}, column {x} has the length {length[worst]:.4g}; "
            f"spins must be unit vectors (within {_UNIT:g})"
        )
    return (m / length[..., None]).astype(np.float32)


def checked_real(values: np.ndarray, name: str = "array") -> None:
    """Check that values are real numbers.

    Raises
    ------
    SpinscopeError
        If they are complex numbers, text or objects.
    """
    if values.dtype.kind not in "biuf":
        raise SpinscopeError(f"{name} has the type {values.dtype}; its values must be real numbers")


def checked_sides(shape: tuple[int, int], name: str = "lattice") -> None:
    """Check that a lattice (H, W) is not smaller than the networks' reach.

    Raises
    ------
    SpinscopeError
        If a side is shorter than `SMALLEST`.
    """
    if min(shape) < SMALLEST:
        raise SpinscopeError(
            f"{name} has {shape[0]}×{shape[1]} sites; each side must have at least {SMALLEST}, "
            "the reach of the network"
        )
