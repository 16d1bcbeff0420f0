"""Export of films as mumax3 scripts, so that another program can compute them.

A script sets the constants of `film.Material`; the regions of a film with grains are in an OVF
file beside it. mumax3 has its own random numbers: a run from a seed gives another pattern of the
same kind, a run from a given start can give the same film.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.corpora.ovf import write_ovf
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file

if TYPE_CHECKING:
    from spinscope.physics.film import Film, Material

REGIONS = 256
"""Regions that mumax3 can distinguish."""


@dataclass(frozen=True)
class Grains:
    """Grains of a film: regions with their own saturation magnetisation.

    Exactly one of `regions` and `size` is given.
    """

    ms: tuple[float, ...]
    """Saturation magnetisation of each region, A/m."""
    exchange: float = 0.9
    """Factor on the exchange between two regions."""
    regions: str | None = None
    """Name of the OVF file of region numbers, beside the script."""
    size: float | None = None
    """Size of grains drawn by mumax3, m."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.ms) <= REGIONS:
            raise SpinscopeError(
                f"grains: {len(self.ms)} regions; mumax3 can tell 1 to {REGIONS} apart"
            )
        for region, ms in enumerate(self.ms):
            if not (math.isfinite(ms) and ms >= 0):
                raise SpinscopeError(
                    f"grains: Ms of region {region} (={ms}) must be a number from 0 on"
                )
        if not (math.isfinite(self.exchange) and self.exchange >= 0):
            raise SpinscopeError(f"grains: exchange (={self.exchange}) must be a factor from 0 on")
        if (self.regions is None) == (self.size is None):
            raise SpinscopeError("grains: exactly one of regions and size must be given")
        if self.size is not None and not (math.isfinite(self.size) and self.size > 0):
            raise SpinscopeError(f"grains: size (={self.size}) must be a positive length in m")

    def lines(self, seed: int) -> list[str]:
        """Return the lines of a script; `seed` is that of grains which mumax3 draws."""
        count = len(self.ms)
        if self.regions is not None:
            lines = [f"regions.LoadFile({_string(self.regions)})"]
        else:
            lines = [f"ext_makegrains({float(self.size)!r}, {count}, {seed})"]
        lines += [f"Msat.SetRegion({region}, {float(ms)!r})" for region, ms in enumerate(self.ms)]
        if count > 1 and self.exchange != 1:
            lines += [
                f"for i := 0; i < {count}; i++ {{",
                f"\tfor j := i + 1; j < {count}; j++ {{",
                f"\t\text_ScaleExchange(i, j, {float(self.exchange)!r})",
                "\t}",
                "}",
            ]
        return [*lines, ""]


def grains_of(film: Film, regions: str, exchange: float = 0.9) -> Grains | None:
    """Return the grains of a film; None for a film without grains.

    Parameters
    ----------
    film : Film
        Film with at most 256 grains.
    regions : str
        Name of the OVF file of region numbers.
    exchange : float, default 0.9
        Factor on the exchange between grains.

    Raises
    ------
    SpinscopeError
        If the saturation magnetisation varies within a grain, or without grains: mumax3 has one
        value per region.
    """
    if film.grain is None:
        if film.ms is not None and np.ptp(film.ms) > 0:
            raise SpinscopeError(
                "film: Ms varies though it has no grains; mumax3 must have one Ms a region"
            )
        return None
    ms = np.broadcast_to(film.material.ms if film.ms is None else film.ms, film.shape)
    low, high = np.full(REGIONS, np.inf), np.full(REGIONS, -np.inf)
    np.minimum.at(low, film.grain, ms)
    np.maximum.at(high, film.grain, ms)
    if (high > low).any():
        grain = int(np.argmax(high > low))
        raise SpinscopeError(
            f"film: Ms of grain {grain} varies from {low[grain]:g} to {high[grain]:g} A/m; mumax3 "
            "must have one Ms a region"
        )
    low[~np.isfinite(low)] = film.material.ms
    return Grains(tuple(low[: int(film.grain.max()) + 1].tolist()), exchange, regions)


def mx3_script(
    material: Material,
    shape: tuple[int, int],
    *,
    seed: int,
    grains: Grains | None = None,
    images: int = 2,
    start: str | None = None,
    output: str = "m_full",
) -> str:
    """Return the script with which mumax3 relaxes a periodic film and saves it as an OVF file.

    The script names the axis of an anisotropy: mumax3's default is the zero vector, with which Ku1
    has no effect.

    Parameters
    ----------
    material : Material
        Constants of the film.
    shape : (int, int)
        Rows and columns of cells.
    seed : int
        Seed of the random state and of grains that mumax3 draws.
    grains : Grains, optional
        Regions of their own saturation magnetisation.
    images : int, default 2
        Periodic images on each side in the demagnetising field.
    start : str, optional
        OVF file of the initial state; random by default.
    output : str, default "m_full"
        Name of the saved file; it holds M in A/m, see `ovf.film_of`.

    Raises
    ------
    SpinscopeError
        If shape, seed or images are not whole numbers in range, or a file name is not printable.
    """
    height, width = shape
    for name, value, lowest in (
        ("height", height, 1),
        ("width", width, 1),
        ("seed", seed, 0),
        ("images", images, 0),
    ):
        if not isinstance(value, (int, np.integer)) or value < lowest:
            raise SpinscopeError(
                f"mumax3 script: {name} (={value}) must be a whole number from {lowest} on"
            )
    cell, thickness = float(material.cell), float(material.thickness)
    anisotropy = [f"Ku1 = {float(material.ku)!r}", "anisU = vector(0, 0, 1)"]
    lines = [
        "// For mumax3.10 or newer; older ones refuse DMI where Ms differs between regions.",
        f"SetGridSize({width}, {height}, 1)",
        f"SetCellSize({cell!r}, {cell!r}, {thickness!r})",
        f"SetPBC({images}, {images}, 0)",
        "",
        f"Msat = {float(material.ms)!r}",
        f"Aex = {float(material.a_ex)!r}",
        f"{'Dind' if material.dmi_kind == 'interfacial' else 'Dbulk'} = {float(material.dmi)!r}",
        *(anisotropy if material.ku else ()),
        f"B_ext = vector(0, 0, {float(material.b_ext)!r})",
        f"randSeed({seed})",
        "",
        *(grains.lines(seed) if grains else ()),
        f"m = RandomMagSeed({seed})" if start is None else f"m.LoadFile({_string(start)})",
        "relax()",
        f"saveas(m_full, {_string(output)})",
    ]
    return "\n".join(lines) + "\n"


def write_mx3(
    path: Path | str,
    film: Film,
    *,
    seed: int,
    exchange: float = 0.9,
    images: int = 2,
    start: np.ndarray | None = None,
) -> list[Path]:
    """Write the script of a film and, beside it, the files that it loads.

    Parameters
    ----------
    path : Path
        Script; mumax3 is to run in its folder. The map of grains is ``NAME.regions.ovf``, the
        initial state ``NAME.start.ovf``.
    film : Film
        Film to compute.
    seed, exchange, images
        See `mx3_script` and `grains_of`.
    start : (H, W, 3) array, optional
        Initial state.

    Returns
    -------
    list of Path
        The written files; the script is the last.
    """
    path, material = Path(path), film.material
    if start is not None and np.shape(start) != film.m.shape:
        raise SpinscopeError(
            f"start has shape {np.shape(start)}, the film {film.m.shape}; they must be one"
        )
    regions, initial = (path.with_name(f"{path.stem}.{key}.ovf") for key in ("regions", "start"))
    grains = grains_of(film, regions.name, exchange)
    script = mx3_script(
        material,
        film.shape,
        seed=seed,
        grains=grains,
        images=images,
        start=None if start is None else initial.name,
        output=path.stem,
    )
    cell, written = (material.thickness, material.cell, material.cell), []
    if grains is not None:
        written.append(write_ovf(regions, film.grain[..., np.newaxis], cell, title="regions"))
    if start is not None:
        written.append(write_ovf(initial, start, cell))
    with atomic_file(path) as partial:
        partial.write_text(script)
    return [*written, path]


def _string(name: str) -> str:
    """String literal of Go, which has the escapes of JSON."""
    if not name.isprintable():
        raise SpinscopeError(f"mumax3 script: file name {name!r} must be printable")
    return json.dumps(name, ensure_ascii=False)
