"""Corpus of domain films for magnetic parameters, seen at several imaging scales.

A source is one film: relaxed from random spins, with a constant drawn from its range and an
anisotropy that varies from cell to cell. The corpus stores m_z of whole films with 8 bits. A frame
of the dataset is the view of a film at one scale; its label is the drawn constant.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from spinscope.config import Domains, DomainSet
from spinscope.corpora import writing
from spinscope.corpora.writing import Row
from spinscope.datasets.dataset import Dataset, Record
from spinscope.datasets.shards import HEADER as CORPUS
from spinscope.datasets.shards import ShardStore, open_shards, own_folder, read_header, write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics.domain_images import kerr_image, view
from spinscope.physics.effective_field import Grid, arrays, require_jax
from spinscope.physics.film import Material, random_state
from spinscope.physics.minimise import Relaxed, Start, relax
from spinscope.progress import Progress, no_progress

GENERATOR = 2
"""Version of the films; raised when the same seed and settings give other films."""
BATCHES = 6
KIND = "domains"
HEADER = "films.json"
"""Header of the folder of an unfinished corpus."""

Parameter = Literal["dmi", "ms"]
"""Constant of a film that a network estimates: D in J/m², or Ms in A/m."""

FEWEST = 0.02
"""Share of the film that each kind of domain covers at least; else the film is saturated."""
_LEVELS = 255


@dataclass(frozen=True)
class DomainFilm:
    """A film before it is relaxed."""

    number: int
    material: Material
    ku_spread: float
    """Standard deviation of the anisotropy from cell to cell, relative to its mean."""
    friction: float
    """Pressure below which a wall does not move, J/m³."""
    m: np.ndarray
    """Initial magnetisation, (3, H, W)."""
    ku: np.ndarray
    """Anisotropy of each cell, (H, W) in J/m³."""

    def start(self, grid: Grid) -> Start:
        """Return the film as input of the minimiser."""
        one, material = np.ones((1, *grid.shape)), self.material
        values = arrays(
            grid,
            material.ms * one,
            np.array([material.a_ex]),
            np.array([material.dmi]),
            self.ku[None],
            np.array([material.b_ext]),
            friction=np.array([self.friction]) if self.friction else None,
        )
        return Start(self.m, {key: value[0] for key, value in values.items()})


def grid_of(parameter: Parameter, settings: Domains) -> Grid:
    """Return the grid of the films of which a parameter varies."""
    size = settings.sets[parameter].size
    return Grid(size, size, settings.cell_nm * 1e-9, settings.thickness_nm * 1e-9)


def draw_domain(
    number: int,
    seed: int,
    parameter: Parameter,
    settings: Domains,
    *,
    value: float | None = None,
) -> DomainFilm:
    """Draw constants, pinning and initial state of film `number`.

    Parameters
    ----------
    number, seed : int
        The film is a function of both.
    parameter : {"dmi", "ms"}
        Names the set of ranges.
    settings : Domains
    value : float, optional
        Value of the parameter in place of the drawn one, SI units.
    """
    ranges: DomainSet = settings.sets[parameter]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    shape = (ranges.size, ranges.size)
    drawn = {
        key: writing.uniform(rng, getattr(ranges, key))
        for key in ("ms", "a_ex", "dmi", "ku", "ku_spread")
    }
    spread = drawn.pop("ku_spread")
    if value is not None:
        drawn[parameter] = value
    material = Material(
        **drawn,
        dmi_kind=settings.dmi_kind,
        cell=settings.cell_nm * 1e-9,
        thickness=settings.thickness_nm * 1e-9,
    )
    relative = 1 + spread * rng.standard_normal(shape, dtype=np.float32)
    ku = (material.ku * relative).astype(np.float32)
    m = random_state(material, shape, rng)
    return DomainFilm(number, material, spread, ranges.friction, m, ku)


def relaxed_domains(
    films: Iterable[DomainFilm], parameter: Parameter, settings: Domains
) -> Iterator[tuple[DomainFilm, Relaxed]]:
    """Relax films; yield them in the order in which they are done."""
    grid = grid_of(parameter, settings)
    waiting: dict[int, DomainFilm] = {}

    def starts() -> Iterator[Start]:
        for index, film in enumerate(films):
            waiting[index] = film
            yield film.start(grid)

    for index, result in relax(
        grid,
        settings.dmi_kind,
        starts(),
        tolerance=settings.tolerance,
        evaluations=settings.max_evaluations,
        coarse=True,
    ):
        yield waiting.pop(index), result


def corpus_header(parameter: Parameter, seed: int, settings: Domains) -> dict[str, Any]:
    """Header of a corpus; corpora of the same header and number of films are the same."""
    decisive = settings.model_dump(mode="json", exclude={"n", "sets", "pixels", "shard_films"})
    ranges = settings.sets[parameter].model_dump(mode="json", exclude={"scales_nm"})
    return {"kind": KIND, "generator": GENERATOR, "parameter": parameter, "seed": seed,
            **decisive, **ranges}  # fmt: skip


def make_domain_corpus(
    path: Path | str,
    parameter: Parameter,
    seed: int,
    settings: Domains,
    *,
    progress: Progress = no_progress,
) -> Path:
    """Relax the films of a corpus; an interrupted corpus is resumed.

    Finished chunks are kept in a hidden folder beside `path` until the corpus is complete. Films
    that do not converge, or that are saturated, are counted in the header and left out.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    parameter : {"dmi", "ms"}
        Constant that is drawn from its range; it names the set of ranges.
    seed : int
        Seed of all draws.
    settings : Domains
        Number, size, ranges, scales and tolerance.
    progress : callable
        Wraps the films as they are done.

    Raises
    ------
    SpinscopeError
        If the folder holds other files, the extra ``sim`` is missing, or no film has domains.
    """
    require_jax()
    path, size = Path(path), settings.shard_films
    own_folder(path, CORPUS)
    header = corpus_header(parameter, seed, settings)
    parts = path.with_name(f".{path.name}.parts")
    if (parts / HEADER).is_file() and not writing.same_corpus(parts / HEADER, header):
        shutil.rmtree(parts)
    writing.claim_folder(parts, HEADER, header)
    missing = writing.missing_chunks(settings.n, size, lambda chunk: _rows(parts, chunk))
    queue = [number for numbers in missing.values() for number in numbers]
    drawn = (draw_domain(number, seed, parameter, settings) for number in queue)
    done = (film_row(film, result) for film, result in relaxed_domains(drawn, parameter, settings))
    films = progress(done, total=len(queue), desc="films")
    for chunk, items in writing.complete_chunks(films, missing, size):
        rows, levels = zip(*items, strict=True)
        writing.write_chunk(parts, chunk, list(rows), {"m_z": np.stack(levels)})
    rows = [row for chunk in writing.chunk_numbers(parts) for row in _rows(parts, chunk)]
    left_out = {
        "not_converged": sum(not row["converged"] for row in rows),
        "saturated": sum(row["converged"] and row["saturated"] for row in rows),
    }
    views = {
        "films": settings.n,
        "scales_nm": list(settings.sets[parameter].scales_nm),
        "pixels": settings.pixels,
    }
    write_corpus(path, _frames(parts), header={**header, **views, **left_out}, shard_frames=size)
    shutil.rmtree(parts)
    return path


def film_row(film: DomainFilm, relaxed: Relaxed) -> tuple[Row, np.ndarray]:
    """Describe a relaxed film; returns its row and m_z as levels, (H, W) uint8."""
    m_z, material = relaxed.m[2], film.material
    up = float((m_z > 0).mean()) if np.isfinite(m_z).all() else 0.0
    row = {
        "name": f"{film.number:05d}",
        "number": film.number,
        "source": film.number,
        "batch": film.number % BATCHES,
        **{key: writing.short(getattr(material, key)) for key in ("ms", "a_ex", "dmi", "ku")},
        "ku_spread": writing.short(film.ku_spread),
        "friction": film.friction,
        "energy": writing.short(relaxed.energy),
        "torque": writing.short(relaxed.torque),
        "up": round(up, 4),
        "evaluations": round(relaxed.evaluations),
        "converged": relaxed.converged,
        "saturated": not FEWEST <= up <= 1 - FEWEST,
    }
    levels = np.rint(np.nan_to_num(kerr_image(m_z)) * _LEVELS).astype(np.uint8)
    return row, levels


def _rows(parts: Path, chunk: int) -> list[Row]:
    return writing.read_rows(parts, chunk, ("m_z",), lambda _: True)


def _frames(parts: Path) -> Iterator[tuple[Row, np.ndarray, None]]:
    """Rows and levels of the films that are relaxed and have domains."""
    hidden = ("number", "converged", "saturated")
    for chunk in writing.chunk_numbers(parts):
        levels = writing.open_array(parts, "m_z", chunk)
        for place, row in enumerate(_rows(parts, chunk)):
            if row["converged"] and not row["saturated"]:
                yield {k: v for k, v in row.items() if k not in hidden}, levels[place], None


@dataclass
class DomainStore(ShardStore):
    """Views of the films of a packed corpus; the index counts the scales of a film first."""

    GREY: ClassVar[bool] = False
    parameter: Parameter = "dmi"
    cell: float = 4e-9
    """Edge of a cell, m."""
    scales: tuple[float, ...] = (1e-6,)
    """Sides of the views, m."""
    pixels: int = 64
    limits: tuple[float, float] = (0.0, 1.0)
    """Range of the parameter, SI units."""

    def levels(self, index: int) -> np.ndarray:
        """Levels of m_z of the whole film of a view, (H, W) uint8: 0 is -1, 255 is +1.

        Raises
        ------
        SpinscopeError
            If the shard does not hold films.
        """
        levels = self._stored(self.row(index), self.names(index)[0])
        if levels.dtype != np.uint8 or levels.ndim != 2:
            raise SpinscopeError(
                f"the films are {levels.dtype} of the shape {levels.shape}; they must be uint8 "
                "(H, W)"
            )
        return levels

    def row(self, index: int) -> dict[str, str]:
        """Row of the film of a view in the manifest."""
        return self.rows[index // len(self.scales)]

    def film(self, index: int) -> np.ndarray:
        """Normal magnetisation of the whole film of a view, (H, W) float32."""
        levels = self.levels(index)
        return levels.astype(np.float32) * np.float32(2 / _LEVELS) - 1

    def scale(self, index: int) -> float:
        """Side of a view, m."""
        return self.scales[index % len(self.scales)]

    def pixel_size(self, index: int) -> float:
        """Pixel size of a view, m."""
        return self.scale(index) / self.pixels

    def image(self, index: int) -> np.ndarray:
        """View of a film at a scale, (pixels, pixels) float32 in [0, 1]; its place is fixed."""
        film, scale = self.film(index), self.scale(index)
        rng = np.random.default_rng([int(self.row(index)["source"]), round(scale * 1e12)])
        origin = tuple(int(n) for n in rng.integers(film.shape))
        return kerr_image(view(film, self.cell, scale, origin, self.pixels))

    def label(self, index: int) -> np.ndarray:
        """Value of the parameter, (1,) float32 in SI units."""
        return np.array([float(self.row(index)[self.parameter])], np.float32)

    def names(self, index: int) -> tuple[str, str]:
        """Return the shard of a view, and the manifest, which holds its label."""
        return super().names(index // len(self.scales))[0], "manifest.csv"

    def depth(self, index: int) -> int:
        """Return the bits per pixel of a film."""
        return 8


def films_of(dataset: Dataset) -> list[int]:
    """Index of one view of each film, in the order of the dataset."""
    first: dict[str, int] = {}
    for index, row in enumerate(dataset.rows):
        first.setdefault(dataset.store.row(row)["name"], index)
    return list(first.values())


def open_domains(path: Path | str) -> Dataset:
    """Open a corpus of domain films as a dataset of views: one frame per film and scale.

    Raises
    ------
    SpinscopeError
        If the folder holds no corpus of domain films.
    """
    path = Path(path)
    if not (path / CORPUS).is_file():
        raise SpinscopeError(
            f"there are no domain films at {path}: run `spinscope corpus domains`, or name a "
            "corpus with --set data.path=FOLDER"
        )
    header = read_header(path)
    if header.get("kind") != KIND:
        raise SpinscopeError(
            f"{path} holds a corpus of kind {header.get('kind')!r}; parameter-cnn needs one of "
            "domains"
        )
    films = open_shards(path)
    scales = tuple(scale * 1e-9 for scale in header["scales_nm"])
    store = DomainStore(
        path,
        films.store.rows,
        parameter=header["parameter"],
        cell=header["cell_nm"] * 1e-9,
        scales=scales,
        pixels=header["pixels"],
        limits=tuple(header[header["parameter"]]),
    )
    records = tuple(
        Record(f"{record.name}-{scale * 1e9:.0f}nm", record.source, record.batch)
        for record in films.records
        for scale in scales
    )
    return replace(films, records=records, store=store, rows=tuple(range(len(records))))
