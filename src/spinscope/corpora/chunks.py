"""Chunks of a simulated corpus as units of work, which any process can make in any order.

A process on another machine needs the folder, the seed and the settings only. The functions that
make a whole corpus complete what is missing and pack the chunks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Domains, Films, Lattice
from spinscope.corpora import domains, films, lattice, writing
from spinscope.datasets.shards import HEADER, own_folder


@dataclass(frozen=True)
class Chunks:
    """Chunks of one corpus.

    Attributes
    ----------
    n, size : int
        Number of items of the corpus and of a chunk.
    claim : callable
        Creates the folder; returns whether the corpus may lack chunks.
    rows : callable
        Reads the rows of a chunk as `writing.read_rows` does.
    items : callable
        Simulates the items (row, ...) of a range of numbers, in any order.
    write : callable
        Writes a chunk and its items.
    """

    n: int
    size: int
    claim: Callable[[], bool]
    rows: Callable[[int], list[writing.Row]]
    items: Callable[[range], Iterable[tuple]]
    write: Callable[[int, list[tuple]], None]

    def missing(self) -> list[int]:
        """Chunks that the corpus lacks; its folder is created.

        Raises
        ------
        SpinscopeError
            If the folder holds another corpus or other files.
        """
        return list(writing.missing_chunks(self.n, self.size, self.rows)) if self.claim() else []

    def make(self, chunk: int) -> None:
        """Simulate the items of one chunk and write them."""
        numbers = range(chunk * self.size, min((chunk + 1) * self.size, self.n))
        self.write(chunk, sorted(self.items(numbers), key=lambda item: item[0]["number"]))


def film_chunks(path: Path, seed: int, settings: Films) -> Chunks:
    """Chunks of a corpus of films.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    seed : int
        Seed of all draws.
    settings : Films
        Settings of the corpus.
    """

    def claim() -> bool:
        writing.claim_folder(path, films.HEADER, films.corpus_header(seed, settings))
        return True

    return Chunks(
        settings.n,
        settings.shard_films,
        claim,
        rows=partial(films.film_rows, path),
        items=lambda numbers: films.relaxed_films(numbers, seed, settings),
        write=partial(films.write_films, path),
    )


def lattice_chunks(path: Path, seed: int, settings: Lattice) -> Chunks:
    """Chunks of a corpus of lattices; the arguments are those of `film_chunks`."""
    header, n = lattice.corpus_header(seed, settings), settings.n
    claim = partial(_claim, path, lattice.HEADER, header, header | {"n": n})
    return Chunks(
        n,
        settings.shard_lattices,
        claim,
        **_stored(path, "m"),
        items=lambda numbers: (lattice.annealed(number, seed, settings) for number in numbers),
    )


def domain_header(parameter: domains.Parameter, seed: int, settings: Domains) -> dict[str, Any]:
    """Header of a packed corpus of domain films; corpora of the same header are the same.

    Parameters
    ----------
    parameter : {"dmi", "ms"}
        Constant that varies.
    seed : int
        Seed of all draws.
    settings : Domains
        Settings of the corpus.
    """
    return {
        **domains.corpus_header(parameter, seed, settings),
        "films": settings.n,
        "scales_nm": list(settings.sets[parameter].scales_nm),
        "pixels": settings.pixels,
    }


def domain_chunks(path: Path, parameter: domains.Parameter, seed: int, settings: Domains) -> Chunks:
    """Chunks of a corpus of domain films.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    parameter : {"dmi", "ms"}
        Constant that varies.
    seed : int
        Seed of all draws.
    settings : Domains
        Settings of the corpus.
    """
    header = domains.corpus_header(parameter, seed, settings)
    packed = domain_header(parameter, seed, settings)

    def items(numbers: range) -> Iterable[tuple]:
        drawn = [domains.draw_domain(number, seed, parameter, settings) for number in numbers]
        for film, relaxed in domains.relaxed_domains(drawn, parameter, settings):
            yield domains.film_row(film, relaxed)

    return Chunks(
        settings.n,
        settings.shard_films,
        partial(_claim, path, domains.HEADER, header, packed),
        **_stored(path, "m_z"),
        items=items,
    )


def _claim(path: Path, name: str, header: Mapping[str, Any], packed: Mapping[str, Any]) -> bool:
    """Create the folder of the chunks of a corpus, unless the packed corpus is complete."""
    if writing.complete_corpus(path, packed):
        return False
    own_folder(path, HEADER)
    parts = writing.parts_folder(path)
    if (parts / name).is_file() and not writing.same_corpus(parts / name, header):
        shutil.rmtree(parts)
    writing.claim_folder(parts, name, header)
    return True


def _stored(path: Path, array: str) -> dict[str, Callable]:
    """Functions that read and write the chunks of a packed corpus, which have one array."""
    parts = writing.parts_folder(path)

    def rows(chunk: int) -> list[writing.Row]:
        return writing.read_rows(parts, chunk, (array,), lambda _: True)

    def write(chunk: int, items: list[tuple]) -> None:
        found, arrays = zip(*items, strict=True)
        writing.write_chunk(parts, chunk, list(found), {array: np.stack(arrays)})

    return {"rows": rows, "write": write}
