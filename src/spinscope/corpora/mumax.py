"""Films as scripts of mumax3, so that another program can compute them again.

A script sets what `film.Material` says; a film of grains needs its map of regions beside it, an
OVF file that mumax3 loads. mumax3 draws other random numbers than we do, so a run from a seed gives
another pattern of the same kind; a run from a given start can give the same film.
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
"""mumax3 counts its regions in one byte."""


@dataclass(frozen=True)
class Grains:
    """Grains of a film: regions of their own saturation magnetisation.

    ms : of each region, from number 0 on, A/m.
    exchange : factor on the exchange between two regions.
    regions : name of an OVF file with each cell's region number, beside the script; or
    size : of a grain, m, where mumax3 is to draw the regions by itself.
    """

    ms: tuple[float, ...]
    exchange: float = 0.9
    regions: str | None = None
    size: float | None = None

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


def grains_of(film: Film, regions: str, exchange: float = 0.9) -> Grains | None:
    """Grains of a film whose map of regions is in the file `regions`; None for a uniform film.

    Raises SpinscopeError where Ms varies within a grain, or varies though the film has no grains:
    mumax3 knows one Ms a region.
    """
    if film.grain is None:
        if film.ms is not None and np.ptp(film.ms) > 0:
            raise SpinscopeError(
                "film: Ms varies though it has no grains; mumax3 must have one Ms a region"
            )
        return None
    ms = film.material.ms if film.ms is None else film.ms
    ms = np.broadcast_to(ms, film.shape)
    low = np.full(REGIONS, np.inf)
    high = np.full(REGIONS, -np.inf)
    np.minimum.at(low, film.grain, ms)
    np.maximum.at(high, film.grain, ms)
    uneven = np.flatnonzero(high > low)
    if uneven.size:
        grain = int(uneven[0])
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
    """Script with which mumax3 relaxes a film, periodic in its plane, and saves it as an OVF file.

    shape : (H, W) cells.   seed : of mumax3's random state and of the grains that it draws.
    images : periods on each side whose demagnetising field is summed.
    start : OVF file to begin with in place of a random state.
    output : name of the saved file; it holds M in A/m, which `ovf.film_of` turns into m and Ms.

    The axis of the anisotropy is always named where there is one: it is the zero vector by
    default, and Ku1 without an axis acts as zero. A published script forgot it, so that films said
    to have Ku1 = 1.5e6 J/m³ were computed with none.

    Raises SpinscopeError for a shape, seed or number of periods that is no such number.
    """
    height, width = shape
    for name, value, least in (
        ("height", height, 1),
        ("width", width, 1),
        ("seed", seed, 0),
        ("images", images, 0),
    ):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise SpinscopeError(
                f"mumax3 script: {name} (={value}) must be a whole number from {least} on"
            )
    cell, thickness = _number(material.cell), _number(material.thickness)
    lines = [
        "// For mumax3.10 or newer; older ones refuse DMI where Ms differs between regions.",
        f"SetGridSize({int(width)}, {int(height)}, 1)",
        f"SetCellSize({cell}, {cell}, {thickness})",
        f"SetPBC({int(images)}, {int(images)}, 0)",
        "",
        f"Msat = {_number(material.ms)}",
        f"Aex = {_number(material.a_ex)}",
        f"{'Dind' if material.dmi_kind == 'interfacial' else 'Dbulk'} = {_number(material.dmi)}",
    ]
    if material.ku:
        lines += [f"Ku1 = {_number(material.ku)}", "anisU = vector(0, 0, 1)"]
    lines += [f"B_ext = vector(0, 0, {_number(material.b_ext)})", f"randSeed({int(seed)})", ""]
    if grains is not None:
        lines += [*_grain_lines(grains, int(seed)), ""]
    if start is None:
        lines += [f"m = RandomMagSeed({int(seed)})"]
    else:
        lines += [f"m.LoadFile({_string(start)})"]
    lines += ["relax()", f"saveas(m_full, {_string(output)})"]
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
    """Write a film's script, and beside it the files that it loads; run mumax3 in that folder.

    NAME.mx3 is the script, NAME.regions.ovf the map of a grained film's regions, NAME.start.ovf
    the state (H, W, 3) to begin with where one is given. Returns the paths, the script's last.
    """
    path = Path(path)
    material = film.material
    cell = (material.thickness, material.cell, material.cell)
    regions = path.with_name(f"{path.stem}.regions.ovf")
    grains = grains_of(film, regions.name, exchange)
    began = None if start is None else path.with_name(f"{path.stem}.start.ovf")
    if start is not None and np.shape(start) != film.m.shape:
        raise SpinscopeError(
            f"start has shape {np.shape(start)}, the film {film.m.shape}; they must be one"
        )
    script = mx3_script(
        material,
        film.shape,
        seed=seed,
        grains=grains,
        images=images,
        start=began and began.name,
        output=path.stem,
    )
    written = []
    if grains is not None:
        written += [write_ovf(regions, film.grain[..., np.newaxis], cell, title="regions")]
    if began is not None:
        written += [write_ovf(began, start, cell)]
    with atomic_file(path) as partial:
        partial.write_text(script)
    return [*written, path]


def _grain_lines(grains: Grains, seed: int) -> list[str]:
    count = len(grains.ms)
    if grains.regions is not None:
        lines = [f"regions.LoadFile({_string(grains.regions)})"]
    else:
        lines = [f"ext_makegrains({_number(grains.size)}, {count}, {seed})"]
    lines += [f"Msat.SetRegion({region}, {_number(ms)})" for region, ms in enumerate(grains.ms)]
    if count > 1 and grains.exchange != 1:
        lines += [
            f"for i := 0; i < {count}; i++ {{",
            f"\tfor j := i + 1; j < {count}; j++ {{",
            f"\t\text_ScaleExchange(i, j, {_number(grains.exchange)})",
            "\t}",
            "}",
        ]
    return lines


def _number(value: float) -> str:
    """Shortest decimal that is this number again."""
    return repr(float(value))


def _string(name: str) -> str:
    """A string of Go, which escapes as JSON does."""
    if not name.isprintable():
        raise SpinscopeError(f"mumax3 script: file name {name!r} must be printable")
    return json.dumps(name, ensure_ascii=False)
