"""Corpus of annealed lattices: spin configurations with their effective field.

A source is one lattice, annealed from random spins to zero temperature. Its components are stored
with 16 bits; the field is computed from the stored spins when it is read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spinscope.config import Lattice
from spinscope.corpora import writing
from spinscope.corpora.writing import Row
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import HEADER as CORPUS
from spinscope.datasets.shards import ShardStore, open_shards, own_folder, read_header, write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import Hamiltonian, effective_field, energy, torque, unit
from spinscope.physics.topology import topological_charge
from spinscope.progress import Progress, no_progress

GENERATOR = 1
"""Version of the lattices; raised when the same seed and settings give other lattices."""
BATCHES = 6
KIND = "lattice"
HEADER = "lattices.json"
"""Header of the folder of an unfinished corpus."""
_LEVELS = 32767


def hamiltonian_of(settings: Lattice) -> Hamiltonian:
    """Interactions of the lattices of a corpus."""
    return Hamiltonian(settings.dmi, settings.dmi_kind, settings.field, settings.anisotropy)


def annealed(number: int, seed: int, settings: Lattice) -> tuple[Row, np.ndarray]:
    """Anneal lattice `number` of a corpus; returns its row and its spins, (H, W, 3) int16."""
    from spinscope.physics.annealing import Schedule, anneal

    hamiltonian = hamiltonian_of(settings)
    schedule = Schedule(
        settings.temperature, settings.sweeps, settings.reflections, settings.alignments
    )
    m = anneal((settings.size, settings.size), hamiltonian, schedule, seed=(seed, number))
    levels = np.rint(m * _LEVELS).astype(np.int16)
    m = spins(levels)
    row = {
        "name": f"{number:05d}",
        "number": number,
        "source": number,
        "batch": number % BATCHES,
        "energy_j": round(energy(m, hamiltonian), 7),
        "charge": round(topological_charge(m)),
        "torque": writing.short(torque(m, effective_field(m, hamiltonian))),
    }
    return row, levels


def spins(levels: np.ndarray) -> np.ndarray:
    """Unit vectors, float32, of stored components."""
    return unit(levels.astype(np.float32) / _LEVELS)


def corpus_header(seed: int, settings: Lattice) -> dict[str, Any]:
    """Header of a corpus; corpora of the same header are the same."""
    return {
        "kind": KIND,
        "generator": GENERATOR,
        "seed": seed,
        **settings.model_dump(mode="json", exclude={"workers", "shard_lattices"}),
    }


def make_lattice_corpus(
    path: Path | str, seed: int, settings: Lattice, *, progress: Progress = no_progress
) -> Path:
    """Anneal the lattices of a corpus on all cores; an interrupted corpus is resumed.

    Finished chunks are kept in a hidden folder beside `path` until the corpus is complete. The same
    seed and settings give the same bytes, whatever the number of threads and interruptions.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    seed : int
        Seed of all draws.
    settings : Lattice
        Number, size, interactions and schedule.
    progress : callable
        Wraps the lattices as they are done.

    Raises
    ------
    SpinscopeError
        If the folder holds other files, or the extra ``sim`` is missing.
    """
    path, size = Path(path), settings.shard_lattices
    own_folder(path, CORPUS)
    header = corpus_header(seed, settings)
    parts = writing.parts_folder(path)
    if (parts / HEADER).is_file() and not writing.same_corpus(parts / HEADER, header):
        shutil.rmtree(parts)
    writing.claim_folder(parts, HEADER, header)
    missing = writing.missing_chunks(settings.n, size, lambda chunk: _rows(parts, chunk))
    queue = [number for numbers in missing.values() for number in numbers]
    workers = settings.workers or len(os.sched_getaffinity(0))
    done = writing.ordered(lambda n: annealed(n, seed, settings), queue, workers)
    lattices = progress(done, total=len(queue), desc="lattices")
    for chunk, items in writing.complete_chunks(lattices, missing, size):
        rows, arrays = zip(*items, strict=True)
        writing.write_chunk(parts, chunk, list(rows), {"m": np.stack(arrays)})
    write_corpus(path, _frames(parts), header=header, shard_frames=size)
    shutil.rmtree(parts)
    return path


def _rows(parts: Path, chunk: int) -> list[Row]:
    return writing.read_rows(parts, chunk, ("m",), lambda _: True)


def _frames(parts: Path) -> Iterator[tuple[Row, np.ndarray, None]]:
    """Rows and spins of all finished chunks; the field is not stored."""
    for chunk in writing.chunk_numbers(parts):
        levels = writing.open_array(parts, "m", chunk)
        for place, row in enumerate(_rows(parts, chunk)):
            yield {key: value for key, value in row.items() if key != "number"}, levels[place], None


@dataclass
class LatticeStore(ShardStore):
    """Lattices of a packed corpus: images are spins, labels their effective fields."""

    LEVELS: ClassVar[int] = _LEVELS
    """Stored level of a component of 1."""
    GREY: ClassVar[bool] = False
    hamiltonian: Hamiltonian = field(default_factory=Hamiltonian)

    def levels(self, index: int) -> np.ndarray:
        """Components of a lattice as they are stored, (H, W, 3) int16.

        Raises
        ------
        SpinscopeError
            If the shard does not hold lattices.
        """
        levels = self._frame(index, 0)
        if levels.dtype != np.int16 or levels.ndim != 3 or levels.shape[-1] != 3:
            raise SpinscopeError(
                f"the lattices are {levels.dtype} of the shape {levels.shape}; they must be int16 "
                "(H, W, 3)"
            )
        return levels

    def image(self, index: int) -> np.ndarray:
        """Spins of a lattice, (H, W, 3) float32 of length 1."""
        return spins(self.levels(index))

    def label(self, index: int) -> np.ndarray:
        """Effective field of a lattice in units of J, (H, W, 3) float32."""
        return effective_field(self.image(index), self.hamiltonian)


def open_lattices(path: Path | str) -> Dataset:
    """Open a corpus of lattices as a dataset of spins and effective fields.

    Raises
    ------
    SpinscopeError
        If the folder holds no corpus of lattices.
    """
    path = Path(path)
    if not (path / CORPUS).is_file():
        raise SpinscopeError(
            f"there are no lattices at {path}: run `spinscope corpus lattice`, or name a corpus "
            "with --set data.path=FOLDER"
        )
    header = read_header(path)
    if header.get("kind") != KIND:
        raise SpinscopeError(
            f"{path} holds a corpus of kind {header.get('kind')!r}; field-fcn needs one of lattices"
        )
    dataset = open_shards(path)
    store = LatticeStore(path, dataset.store.rows, hamiltonian=Hamiltonian.of_header(header))
    return replace(dataset, store=store)
