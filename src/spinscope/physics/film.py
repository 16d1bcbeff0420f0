"""A magnetic film: material, magnetisation, initial states and symmetries.

A film is one layer of square cells, periodic in its plane; its magnetisation is uniform through
the thickness. A field along +z is positive, so that the background has m_z = +1 and the core of a
skyrmion m_z = -1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spinscope.errors import SpinscopeError

MU_0 = 1.25663706127e-6
"""Vacuum permeability in T m/A (CODATA 2022)."""

Dmi = Literal["interfacial", "bulk"]
"""Symmetry of the Dzyaloshinskii-Moriya interaction."""


@dataclass(frozen=True)
class Material:
    """Material constants and geometry of a film, and the external field."""

    ms: float
    """Mean saturation magnetisation, A/m."""
    a_ex: float
    """Exchange stiffness, J/m."""
    dmi: float
    """Dzyaloshinskii-Moriya constant, J/m², with the sign convention of mumax3."""
    ku: float = 0.0
    """Uniaxial anisotropy along z, J/m³."""
    b_ext: float = 0.0
    """External field along z, T."""
    dmi_kind: Dmi = "interfacial"
    """Symmetry of the Dzyaloshinskii-Moriya interaction."""
    cell: float = 3e-9
    """Edge of a cell in the plane, m."""
    thickness: float = 27.5e-9
    """Thickness of the film, m."""

    def __post_init__(self) -> None:
        for name in ("ms", "a_ex", "cell", "thickness"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise SpinscopeError(f"material: {name} (={value}) must be a positive number")
        for name in ("dmi", "ku", "b_ext"):
            if not np.isfinite(getattr(self, name)):
                raise SpinscopeError(f"material: {name} (={getattr(self, name)}) must be finite")
        if self.dmi_kind not in ("interfacial", "bulk"):
            raise SpinscopeError(
                f"material: dmi_kind (={self.dmi_kind!r}) must be interfacial or bulk"
            )

    @property
    def exchange_length(self) -> float:
        r"""Exchange length :math:`\sqrt{2A/\mu_0 M_s^2}`, m."""
        return float(np.sqrt(2 * self.a_ex / (MU_0 * self.ms**2)))

    @property
    def helix_period(self) -> float:
        r"""Period :math:`4\pi A/|D|` of the spin spiral of exchange and DMI alone, m."""
        return float(4 * np.pi * self.a_ex / abs(self.dmi)) if self.dmi else float("inf")


@dataclass(frozen=True)
class Film:
    """Magnetisation and material of a film."""

    m: np.ndarray
    """Unit magnetisation, (H, W, 3) float32; components x (along columns), y (down rows), z."""
    material: Material
    ms: np.ndarray | None = None
    """Saturation magnetisation, (H, W) float32 in A/m; None for `material.ms` everywhere."""
    grain: np.ndarray | None = None
    """Grain of each cell, (H, W) uint8; None for a film without grains."""

    def __post_init__(self) -> None:
        if self.m.ndim != 3 or self.m.shape[-1] != 3:
            raise SpinscopeError(f"film: m has shape {self.m.shape}; it must be (H, W, 3)")
        for name in ("ms", "grain"):
            value = getattr(self, name)
            if value is not None and value.shape != self.m.shape[:2]:
                raise SpinscopeError(
                    f"film: {name} has shape {value.shape}, m {self.m.shape[:2]}; they must be one"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells, (H, W)."""
        return self.m.shape[:2]


def rotated(film: Film, quarters: int, mirrored: bool = False) -> Film:
    """Rotate a film by quarter turns, then mirror it left to right; its energy is unchanged.

    Magnetisation is an axial vector: a mirror reverses the components in its plane. Reversing all
    spins restores m_z to the external field, so that (m_x, m_y, m_z)(x, y) becomes
    (-m_x, m_y, m_z)(-x, y). This conserves the energy of interfacial DMI, not of bulk DMI.

    Parameters
    ----------
    film : Film
        Film to transform.
    quarters : int
        Anticlockwise quarter turns of the image, as of `numpy.rot90`.
    mirrored : bool, default False
        Whether to mirror the rotated film.

    Raises
    ------
    SpinscopeError
        If a film with bulk DMI is to be mirrored.
    """
    if mirrored and film.material.dmi_kind == "bulk":
        raise SpinscopeError("a film with bulk DMI (dmi_kind) has no mirror image of equal energy")

    def moved(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        array = np.rot90(array, quarters)
        return array[:, ::-1] if mirrored else array

    m = moved(film.m)
    for _ in range(quarters % 4):
        m = np.stack([m[..., 1], -m[..., 0], m[..., 2]], axis=-1)
    if mirrored:
        m = m * np.array([-1, 1, 1], dtype=m.dtype)
    m = np.ascontiguousarray(m, np.float32)
    return replace(film, m=m, ms=moved(film.ms), grain=moved(film.grain))


def random_state(
    material: Material, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw every spin in a random direction, as after a quench from above the Curie temperature.

    Returns
    -------
    (3, H, W) float32 array
        Unit magnetisation; it does not depend on the material.
    """
    m = rng.standard_normal((3, *shape), dtype=np.float32)
    return m / np.sqrt((m * m).sum(0))


def seeded_state(
    material: Material, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw a film along +z with reversed discs on a disordered triangular lattice.

    Parameters
    ----------
    material : Material
        The lattice constant is 1 to 1.6 times its helix period, at most 200 nm.
    shape : (int, int)
        Rows and columns of cells.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (3, H, W) float32 array
        Unit magnetisation.
    """
    height, width = shape
    spacing = min(material.helix_period * rng.uniform(1.0, 1.6), 200e-9) / material.cell
    rows, columns = max(1, round(height / (spacing * 0.866))), max(1, round(width / spacing))
    y, x = np.mgrid[:height, :width]
    up = np.ones(shape, dtype=bool)
    for row, column in np.ndindex(rows, columns):
        centre = np.array([(row + 0.5) / rows, (column + 0.25 + 0.5 * (row % 2)) / columns])
        cy, cx = centre * shape + rng.normal(0, 0.12 * spacing, 2)
        dy = (y - cy + height / 2) % height - height / 2
        dx = (x - cx + width / 2) % width - width / 2
        up &= dy**2 + dx**2 > (0.25 * spacing) ** 2
    m = 0.2 * rng.standard_normal((3, *shape), dtype=np.float32)
    m[2] += np.where(up, np.float32(1), np.float32(-1))
    return m / np.sqrt((m * m).sum(0))
