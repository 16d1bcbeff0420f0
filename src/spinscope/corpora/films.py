"""Corpus of relaxed films with material parameters drawn from ranges.

The folder holds ``films.json`` (settings, seed, counts) and chunks of a few films each:
``m-NNNN.npy``, (n, H, W, 3) float16 unit magnetisation, ``grain-NNNN.npy``, (n, H, W) uint8, and
``part-NNNN.json``, whose rows hold parameters and outcome of every film. An interrupted corpus is
resumed at its first missing chunk. A film depends on the seed and its number only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Films
from spinscope.corpora import writing
from spinscope.corpora.writing import Row
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.physics.effective_field import Grid, arrays, require_jax
from spinscope.physics.film import Film, Material, random_state, seeded_state
from spinscope.physics.grains import exchange_factors, grain_ms, voronoi_grains
from spinscope.physics.minimise import Relaxed, Start, relax
from spinscope.physics.topology import state
from spinscope.progress import Progress, no_progress

HEADER = "films.json"
GENERATOR = 2
"""Version of the films; raised when the same seed and settings give other films."""

NO_GRAIN = 255
"""Value of the stored grain map of a film without grains."""

ARRAYS = ("m", "grain")

RelaxedFilm = tuple[Row, np.ndarray, np.ndarray | None]
"""Row, magnetisation (H, W, 3) and grain map (H, W) of a film, None without grains."""


@dataclass(frozen=True)
class Draw:
    """A film before it is relaxed."""

    number: int
    material: Material
    m: np.ndarray
    """Magnetisation, (3, H, W)."""
    ms: np.ndarray
    """Saturation magnetisation, (H, W) in A/m."""
    grain: np.ndarray | None
    """Grain of each cell, (H, W)."""
    exchange: float
    """Factor on the exchange between grains."""

    def start(self, grid: Grid) -> Start:
        """Return the film as input of the minimiser."""
        material = self.material
        links = None if self.grain is None else exchange_factors(self.grain, self.exchange)[None]
        constants = (np.array([getattr(material, key)]) for key in ("a_ex", "dmi", "ku", "b_ext"))
        values = arrays(grid, self.ms[None], *constants, links)
        return Start(self.m, {key: value[0] for key, value in values.items()})


def grid_of(settings: Films) -> Grid:
    """Return the grid of a corpus."""
    return Grid(
        settings.height,
        settings.width,
        settings.cell_nm * 1e-9,
        settings.thickness_nm * 1e-9,
        settings.periodic_images,
    )


def draw_film(number: int, seed: int, settings: Films) -> Draw:
    """Draw material, grains and initial magnetisation of film `number`."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    shape, cell = (settings.height, settings.width), settings.cell_nm * 1e-9
    drawn = {
        key: writing.uniform(rng, getattr(settings, key))
        for key in ("ms", "a_ex", "dmi", "ku", "b_ext")
    }
    grain = None
    ms = np.full(shape, drawn["ms"], dtype=np.float32)
    if rng.random() < settings.grained_fraction:
        grain = voronoi_grains(shape, cell, settings.grain_nm * 1e-9, settings.grains, rng)
        values = grain_ms(drawn["ms"], settings.grain_spread, settings.ms, settings.grains, rng)
        ms = values[grain].astype(np.float32)
    material = Material(
        **drawn | {"ms": float(ms.mean(dtype=np.float64))},
        dmi_kind=settings.dmi_kind,
        cell=cell,
        thickness=settings.thickness_nm * 1e-9,
    )
    initial = random_state if settings.initial == "random" else seeded_state
    return Draw(number, material, initial(material, shape, rng), ms, grain, settings.grain_exchange)


def corpus_header(seed: int, settings: Films) -> dict[str, Any]:
    """Header of a corpus; corpora of the same header and number of films are the same."""
    decisive = settings.model_dump(mode="json", exclude={"n"})
    return {"kind": "films", "generator": GENERATOR, "seed": seed, **decisive}


def make_film_corpus(
    path: Path | str, n: int, seed: int, settings: Films, *, progress: Progress = no_progress
) -> Path:
    """Relax films into a corpus; a partial corpus of the same settings is resumed.

    Films that do not converge are listed in the header with their torque, and left out.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    n : int
        Number of films.
    seed : int
        Seed of all draws.
    settings : Films
        Ranges of the material parameters, grid and tolerance.
    progress : callable
        Wraps the films as they are done.

    Raises
    ------
    SpinscopeError
        If the folder holds a corpus of other settings or other files, or the extra ``sim`` is
        missing.
    """
    require_jax()
    path, size = Path(path), settings.shard_films
    wanted = corpus_header(seed, settings)
    writing.claim_folder(path, HEADER, wanted)
    missing = writing.missing_chunks(n, size, lambda chunk: film_rows(path, chunk))
    queue = [number for numbers in missing.values() for number in numbers]
    if queue:
        write_json(path / HEADER, wanted | {"complete": False, **summary(path, set(missing))})
    films = progress(relaxed_films(queue, seed, settings), total=len(queue), desc="films")
    for chunk, done in writing.complete_chunks(films, missing, size):
        write_films(path, chunk, done)
    write_json(path / HEADER, wanted | {"complete": True, **summary(path)})
    return path


def relaxed_films(numbers: Iterable[int], seed: int, settings: Films) -> Iterator[RelaxedFilm]:
    """Draw and relax films; yield them in the order in which they are done."""
    grid = grid_of(settings)
    draws: dict[int, Draw] = {}

    def starts() -> Iterator[Start]:
        for index, number in enumerate(numbers):
            draws[index] = draw_film(number, seed, settings)
            yield draws[index].start(grid)

    for index, result in relax(
        grid,
        settings.dmi_kind,
        starts(),
        tolerance=settings.tolerance,
        evaluations=settings.max_evaluations,
    ):
        draw = draws.pop(index)
        m = np.ascontiguousarray(np.moveaxis(result.m, 0, -1))
        film = Film(m, draw.material, draw.ms, draw.grain)
        yield film_row(f"film-{draw.number:05d}", draw.number, film, result), m, draw.grain


def film_row(name: str, number: int, film: Film, relaxed: Relaxed | None = None) -> Row:
    """Describe a film; `relaxed` is the outcome of the minimiser, None for an imported film."""
    found = state(film.m) if np.isfinite(film.m).all() else None
    values = None
    if film.grain is not None:
        present, first = np.unique(film.grain, return_index=True)
        values = {str(g): float(film.ms.flat[i]) for g, i in zip(present, first, strict=True)}
    finite = {
        key: value if relaxed and np.isfinite(value := getattr(relaxed, key)) else None
        for key in ("torque", "energy")
    }
    return {
        "name": name,
        "number": number,
        "converged": relaxed is None or relaxed.converged,
        "kind": found.kind if found else "other",
        "objects": found.objects if found else 0,
        "charge": round(found.charge, 6) if found else None,
        **finite,
        "evaluations": round(relaxed.evaluations, 2) if relaxed else 0,
        "grained": film.grain is not None,
        **asdict(film.material),
        "kinds_ms": values,
    }


def film_rows(path: Path, chunk: int) -> list[Row]:
    """Read the rows of a chunk (`writing.read_rows`); only converged films have arrays."""
    return writing.read_rows(path, chunk, ARRAYS, lambda row: row["converged"])


def write_films(path: Path, chunk: int, films: list[RelaxedFilm]) -> None:
    """Write a chunk of films; those that did not converge have a row only."""
    converged = [film for film in films if film[0]["converged"]]
    shape = films[0][1].shape
    none = np.full(shape[:2], NO_GRAIN, dtype=np.uint8)
    grain = [none if grain is None else grain for _, _, grain in converged]
    stacked = {
        "m": np.array([m for _, m, _ in converged], np.float16).reshape(-1, *shape),
        "grain": np.array(grain, np.uint8).reshape(-1, *shape[:2]),
    }
    writing.write_chunk(path, chunk, [row for row, _, _ in films], stacked)


def summary(path: Path, without: Set[int] = frozenset()) -> dict:
    """Count the films of the complete chunks, except those in `without`."""
    chunks = (chunk for chunk in writing.chunk_numbers(path) if chunk not in without)
    rows = [row for chunk in chunks for row in film_rows(path, chunk)]
    states = Counter(row["kind"] for row in rows if row["converged"])
    return {
        "films": states.total(),
        "states": dict(sorted(states.items())),
        "not_converged": [
            {key: row[key] for key in ("name", "torque", "evaluations")}
            for row in rows
            if not row["converged"]
        ],
    }


@dataclass(frozen=True)
class FilmCorpus:
    """Relaxed films on disk; each is read on access."""

    path: Path
    header: dict
    rows: list[Row]
    _places: list[tuple[int, int]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Film:
        (chunk, place), row = self._places[index], self.rows[index]
        m = writing.open_array(self.path, "m", chunk)[place].astype(np.float32)
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
        grain = ms = None
        if row["kinds_ms"] is not None:
            grain = np.array(writing.open_array(self.path, "grain", chunk)[place])
            table = np.zeros(256, dtype=np.float32)
            for number, value in row["kinds_ms"].items():
                table[int(number)] = value
            ms = table[grain]
        material = Material(**{key: row[key] for key in Material.__dataclass_fields__})
        return Film(m, material, ms, grain)

    def __iter__(self) -> Iterator[Film]:
        return (self[index] for index in range(len(self)))


def open_films(path: Path | str) -> FilmCorpus:
    """Open a corpus of films; of a corpus that is being written, the complete chunks.

    Raises
    ------
    SpinscopeError
        If the folder is no corpus of films, a chunk is damaged, or no film is relaxed.
    """
    path = Path(path)
    if not (path / HEADER).is_file():
        raise SpinscopeError(f"{path} is no corpus of films: it holds no {HEADER}")
    header, rows, places = writing.chunk_header(path / HEADER), [], []
    for chunk in writing.chunk_numbers(path):
        converged = [row for row in film_rows(path, chunk) if row["converged"]]
        rows += converged
        places += [(chunk, place) for place in range(len(converged))]
    if not rows:
        raise SpinscopeError(f"{path} must hold at least one relaxed film")
    return FilmCorpus(path, header, rows, places)
