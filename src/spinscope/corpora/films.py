"""A corpus of relaxed films for given ranges of material parameters.

A folder holds `films.json` (what it is: settings, seed, what was counted), and parts of a few
films each: `m-NNNN.npy`, (n, H, W, 3) float16 unit magnetisation, `grain-NNNN.npy`, (n, H, W)
uint8, and `part-NNNN.json`, whose rows name parameters and outcome of every film. Parts are
written as they are done; a corpus that was interrupted goes on where it stopped. A film depends
on the seed and its own number alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Films
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json
from spinscope.physics.effective_field import Grid, arrays, require_jax
from spinscope.physics.film import Film, Material
from spinscope.physics.grains import exchange_factors, grain_ms, voronoi_grains
from spinscope.physics.minimise import Relaxed, Start, relax
from spinscope.physics.topology import state

HEADER = "films.json"
GENERATOR = 1  # raise it whenever the same seed and settings give other films
_DECISIVE = (
    "height", "width", "cell_nm", "thickness_nm", "ms", "a_ex", "dmi", "dmi_kind", "ku", "b_ext",
    "grained_fraction", "grains", "grain_nm", "grain_spread", "grain_exchange", "periodic_images", "initial",
    "tolerance", "max_evaluations", "batch", "shard_films",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """A film before it is relaxed."""

    number: int
    material: Material
    m: np.ndarray  # (3, H, W)
    ms: np.ndarray  # (H, W) A/m
    grain: np.ndarray | None  # (H, W)
    exchange: float  # factor between grains

    def start(self, grid: Grid) -> Start:
        """What the minimiser takes."""
        one, material = np.ones(1), self.material
        links = None if self.grain is None else exchange_factors(self.grain, self.exchange)[None]
        values = arrays(
            grid,
            self.ms[None],
            material.a_ex * one,
            material.dmi * one,
            material.ku * one,
            material.b_ext * one,
            links,
        )
        return Start(self.m, {key: value[0] for key, value in values.items()})


def grid_of(settings: Films) -> Grid:
    """The grid of a corpus."""
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
    drawn = {key: float(rng.uniform(*getattr(settings, key))) for key in ("ms", "a_ex", "dmi")}
    drawn |= {key: float(rng.uniform(*getattr(settings, key))) for key in ("ku", "b_ext")}
    grain = None
    ms = np.full(shape, drawn["ms"], dtype=np.float32)
    if rng.random() < settings.grained_fraction:
        grain = voronoi_grains(shape, cell, settings.grain_nm * 1e-9, settings.grains, rng)
        kinds = grain_ms(drawn["ms"], settings.grain_spread, settings.ms, settings.grains, rng)
        ms = kinds[grain].astype(np.float32)
    material = Material(
        **{**drawn, "ms": float(ms.mean(dtype=np.float64))},
        dmi_kind=settings.dmi_kind,
        cell=cell,
        thickness=settings.thickness_nm * 1e-9,
    )
    make = random_state if settings.initial == "random" else seeded_state
    return Draw(number, material, make(material, shape, rng), ms, grain, settings.grain_exchange)


def random_state(
    material: Material, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Every spin in a direction of its own, (3, H, W): a quench from above the Curie point."""
    m = rng.standard_normal((3, *shape), dtype=np.float32)
    return m / np.sqrt((m * m).sum(0))


def seeded_state(
    material: Material, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """A film along +z with reversed discs on a disordered triangular lattice, (3, H, W)."""
    height, width = shape
    spacing = min(material.helix_period * rng.uniform(1.0, 1.6), 200e-9) / material.cell
    rows, columns = max(1, round(height / (spacing * 0.866))), max(1, round(width / spacing))
    y, x = np.mgrid[:height, :width]
    up = np.ones(shape, dtype=bool)
    for row in range(rows):
        for column in range(columns):
            centre = np.array([(row + 0.5) / rows, (column + 0.25 + 0.5 * (row % 2)) / columns])
            cy, cx = centre * shape + rng.normal(0, 0.12 * spacing, 2)
            dy = (y - cy + height / 2) % height - height / 2
            dx = (x - cx + width / 2) % width - width / 2
            up &= dy**2 + dx**2 > (0.25 * spacing) ** 2
    m = 0.2 * rng.standard_normal((3, *shape), dtype=np.float32)
    m[2] += np.where(up, np.float32(1), np.float32(-1))
    return m / np.sqrt((m * m).sum(0))


def make_film_corpus(
    path: Path | str,
    n: int,
    seed: int,
    settings: Films,
    *,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Path:
    """Relax `n` films into the corpus at `path`, going on with what stands there of the same.

    A film that does not converge is named in the header, with what it reached, and not kept.
    Raises SpinscopeError where the folder holds a corpus of other settings, or something else.
    """
    require_jax()
    path = Path(path)
    wanted = {"kind": "films", "generator": GENERATOR, "seed": seed}
    wanted |= {key: settings.model_dump(mode="json")[key] for key in _DECISIVE}
    _claim(path, wanted)
    size = settings.shard_films
    parts = {part: range(part * size, min((part + 1) * size, n)) for part in range(-(-n // size))}
    missing = {
        part: numbers for part, numbers in parts.items() if _numbers(path, part) < set(numbers)
    }
    queue = [number for numbers in missing.values() for number in numbers]
    if queue:
        write_json(path / HEADER, wanted | {"complete": False, **summary(path, set(missing))})
    pending: dict[int, dict[int, tuple[Row, np.ndarray, np.ndarray | None]]] = {}
    for row, m, grain in progress(
        relaxed_films(queue, seed, settings), total=len(queue), desc="films"
    ):
        part = row["number"] // size
        pending.setdefault(part, {})[row["number"]] = (row, m, grain)
        if set(pending[part]) == set(missing[part]):
            write_chunk(path, part, [film for _, film in sorted(pending.pop(part).items())])
    write_json(path / HEADER, wanted | {"complete": True, **summary(path)})
    return path


def relaxed_films(
    numbers: list[int], seed: int, settings: Films
) -> Iterator[tuple[Row, np.ndarray, np.ndarray | None]]:
    """Draw and relax films; yields (row, m (H, W, 3), grain or None) in the order they are done."""
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
        batch=settings.batch,
    ):
        draw = draws.pop(index)
        m = np.ascontiguousarray(np.moveaxis(result.m, 0, -1))
        yield _row(draw, m, result), m, draw.grain


def _row(draw: Draw, m: np.ndarray, result: Relaxed) -> Row:
    reached = state(m) if np.isfinite(m).all() else None
    return {
        "name": f"film-{draw.number:05d}",
        "number": draw.number,
        "converged": result.converged,
        "kind": reached.kind if reached else "other",
        "objects": reached.objects if reached else 0,
        "charge": round(reached.charge, 6) if reached else None,
        "torque": result.torque if np.isfinite(result.torque) else None,
        "energy": result.energy if np.isfinite(result.energy) else None,
        "evaluations": round(result.evaluations, 2),
        "grained": draw.grain is not None,
        **asdict(draw.material),
        "kinds_ms": None if draw.grain is None else _kinds(draw),
    }


def _kinds(draw: Draw) -> dict[str, float]:
    """Ms of the grains that the film holds, by their number."""
    kinds, first = np.unique(draw.grain, return_index=True)
    return {str(k): float(draw.ms.ravel()[i]) for k, i in zip(kinds, first, strict=True)}


def _claim(path: Path, wanted: dict) -> None:
    """Make the folder, or find that it holds the same corpus."""
    header = path / HEADER
    if header.is_file():
        found = _read_header(path)
        for key, value in wanted.items():
            if found.get(key) != value:
                raise SpinscopeError(
                    f"{path} holds films with {key} = {found.get(key)}, not {value}; "
                    "another corpus needs a folder of its own"
                )
        return
    if path.exists() and not path.is_dir():
        raise SpinscopeError(f"{path} is a file; a corpus needs a folder of its own")
    # A name that begins with a dot is what was left of a file when its writing was killed.
    if path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir()):
        raise SpinscopeError(f"{path} holds other files; a corpus needs a folder of its own")
    path.mkdir(parents=True, exist_ok=True)
    write_json(header, wanted | {"complete": False})


def _read_header(path: Path) -> dict:
    try:
        return json.loads((path / HEADER).read_text())
    except ValueError as error:
        raise SpinscopeError(f"{path / HEADER} must be JSON: {error}") from error


def _rows(path: Path, part: int) -> list[Row]:
    """Rows of a part, none where it is not there.

    Raises SpinscopeError where a file of it is missing, damaged, or holds too few films.
    """
    file = path / f"part-{part:04d}.json"
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_text())
        kept = sum(row["converged"] for row in rows)
        for name in ("m", "grain"):
            held = len(np.load(path / f"{name}-{part:04d}.npy", mmap_mode="r"))
            # More, where a part that grew was killed between its arrays and its rows.
            if held < kept:
                raise ValueError(f"{name}-{part:04d}.npy holds {held} films of {kept}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpinscopeError(
            f"{file} is damaged, or an array of it: {error}; making the corpus again with its "
            "settings makes this part anew"
        ) from error
    return rows


def _numbers(path: Path, part: int) -> set[int]:
    """Numbers of the films of a part that can be read."""
    try:
        return {row["number"] for row in _rows(path, part)}
    except SpinscopeError:
        return set()


def write_chunk(
    path: Path, part: int, films: list[tuple[Row, np.ndarray, np.ndarray | None]]
) -> None:
    """Write a part's arrays, then the rows that say it is there."""
    kept = [film for film in films if film[0]["converged"]]
    shape = films[0][1].shape
    none = np.full(shape[:2], 255, dtype=np.uint8)
    m = np.array([m for _, m, _ in kept], dtype=np.float16).reshape(-1, *shape)
    grain = np.array([none if g is None else g for *_, g in kept], np.uint8).reshape(-1, *shape[:2])
    for name, array in (("m", m), ("grain", grain)):
        with atomic_file(path / f"{name}-{part:04d}.npy") as partial, partial.open("wb") as file:
            np.save(file, array)
    write_json(path / f"part-{part:04d}.json", [row for row, *_ in films])


def summary(path: Path, without: Set[int] = frozenset()) -> dict:
    """What the parts hold, but those in `without`."""
    parts = [part for part in _parts(path) if part not in without]
    rows = [row for part in parts for row in _rows(path, part)]
    kept = [row for row in rows if row["converged"]]
    return {
        "films": len(kept),
        "states": dict(sorted(Counter(row["kind"] for row in kept).items())),
        "not_converged": [
            {key: row[key] for key in ("name", "torque", "evaluations")}
            for row in rows
            if not row["converged"]
        ],
    }


def _parts(path: Path) -> list[int]:
    return sorted(int(file.stem.split("-")[1]) for file in path.glob("part-*.json"))


@dataclass(frozen=True)
class FilmCorpus:
    """Relaxed films on disk, read as they are asked for."""

    path: Path
    header: dict
    rows: list[Row]
    _places: list[tuple[int, int]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Film:
        part, place = self._places[index]
        row = self.rows[index]
        m = np.load(self.path / f"m-{part:04d}.npy", mmap_mode="r")[place].astype(np.float32)
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
        grain = ms = None
        if row["kinds_ms"] is not None:
            grain = np.array(np.load(self.path / f"grain-{part:04d}.npy", mmap_mode="r")[place])
            table = np.zeros(256, dtype=np.float32)
            for kind, value in row["kinds_ms"].items():
                table[int(kind)] = value
            ms = table[grain]
        names = ("ms", "a_ex", "dmi", "ku", "b_ext", "dmi_kind", "cell", "thickness")
        return Film(m, Material(**{key: row[key] for key in names}), ms, grain)

    def __iter__(self) -> Iterator[Film]:
        return (self[index] for index in range(len(self)))


def open_films(path: Path | str) -> FilmCorpus:
    """The films of a corpus, also of one that is still being made: the parts that are there."""
    path = Path(path)
    if not (path / HEADER).is_file():
        raise SpinscopeError(f"{path} is no corpus of films: it holds no {HEADER}")
    header = _read_header(path)
    rows, places = [], []
    for part in _parts(path):
        kept = [row for row in _rows(path, part) if row["converged"]]
        rows += kept
        places += [(part, place) for place in range(len(kept))]
    if not rows:
        raise SpinscopeError(f"{path} must hold at least one relaxed film")
    return FilmCorpus(path, header, rows, places)
