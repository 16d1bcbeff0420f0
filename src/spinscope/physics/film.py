"""A magnetic film: its material, its magnetisation and the state it is in.

A film is one layer of square cells, periodic in its plane; the magnetisation does not vary through
its thickness. A field along +z is positive, so the background has m_z = +1 and the cores of
skyrmions m_z = -1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spinscope.errors import SpinscopeError

MU_0 = 1.25663706127e-6
"""Vacuum permeability in T m/A (CODATA 2022)."""

Dmi = Literal["interfacial", "bulk"]


@dataclass(frozen=True)
class Material:
    """What a film is made of, and the field it lies in."""

    ms: float
    """Mean saturation magnetisation, A/m."""
    a_ex: float
    """Exchange stiffness, J/m."""
    dmi: float
    """Dzyaloshinskii-Moriya constant, J/m²; its sign is that of mumax3."""
    ku: float = 0.0
    """Uniaxial anisotropy along z, J/m³."""
    b_ext: float = 0.0
    """External field along z, T."""
    dmi_kind: Dmi = "interfacial"
    cell: float = 3e-9
    """Edge of a cell in the plane, m."""
    thickness: float = 27.5e-9
    """m."""

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
        """sqrt(2 A / (mu_0 Ms²)), m."""
        return float(np.sqrt(2 * self.a_ex / (MU_0 * self.ms**2)))

    @property
    def helix_period(self) -> float:
        """4 pi A / |D|, m: the period of the spin spiral that exchange and DMI alone make."""
        return float(4 * np.pi * self.a_ex / abs(self.dmi)) if self.dmi else float("inf")


@dataclass(frozen=True)
class Film:
    """The magnetisation of a film.

    m : (H, W, 3) float32 unit vectors, components x (columns), y (rows), z.
    ms : (H, W) float32 A/m, or None where it is `material.ms` everywhere.
    grain : (H, W) uint8 number of each cell's grain, or None for a uniform film.
    """

    m: np.ndarray
    material: Material
    ms: np.ndarray | None = None
    grain: np.ndarray | None = None

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
        """(H, W) in cells."""
        return self.m.shape[:2]


def turned(film: Film, quarters: int, mirrored: bool = False) -> Film:
    """The film turned by quarter turns, then mirrored left to right: one of the same energy.

    A mirror reverses what is not along its normal, as magnetisation is an axial vector; with all
    spins reversed, which the field along z undoes for m_z, (m_x, m_y, m_z)(x, y) becomes
    (-m_x, m_y, m_z)(-x, y). Only interfacial DMI keeps its energy then.
    Raises SpinscopeError for the mirror image of a film with bulk DMI.
    """
    if mirrored and film.material.dmi_kind == "bulk":
        raise SpinscopeError("a film with bulk DMI (dmi_kind) has no mirror image of equal energy")

    def laid(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        array = np.rot90(array, quarters)
        return array[:, ::-1] if mirrored else array

    m = laid(film.m)
    for _ in range(quarters % 4):
        m = np.stack([m[..., 1], -m[..., 0], m[..., 2]], axis=-1)
    if mirrored:
        m = m * np.array([-1, 1, 1], dtype=m.dtype)
    return replace(
        film, m=np.ascontiguousarray(m, np.float32), ms=laid(film.ms), grain=laid(film.grain)
    )
