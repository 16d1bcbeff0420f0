"""Chunks of a simulated corpus as units of work, which any process can make in any order.

A process on another machine needs the folder, the seed and the settings only. The functions that
make a whole corpus complete what is missing and pack the chunks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Domains, Films, Lattice
from spinscope.corpora import domains, films, lattice, writing
from spinscope.datasets.shards import HEADER, own_folder


def missing_films(path: Path, n: int, seed: int, settings: Films) -> list[int]:
    """Chunks that a corpus of films lacks; its folder is created.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    n : int
        Number of films.
    seed : int
        Seed of all draws.
    settings : Films
        Settings of the corpus.

    Raises
    ------
    SpinscopeError
        If the folder holds another corpus or other files.
    """
    writing.claim_folder(path, films.HEADER, films.corpus_header(seed, settings))
    size = settings.shard_films
    return list(writing.missing_chunks(n, size, lambda chunk: films.film_rows(path, chunk)))


def make_films(path: Path, chunk: int, n: int, seed: int, settings: Films) -> None:
    """Relax the films of one chunk; the arguments are those of `missing_films`."""
    numbers = _numbers(chunk, settings.shard_films, n)
    done = films.relaxed_films(numbers, seed, settings)
    films.write_films(path, chunk, sorted(done, key=lambda film: film[0]["number"]))


def missing_lattices(path: Path, seed: int, settings: Lattice) -> list[int]:
    """Chunks that a corpus of lattices lacks; none if it is complete.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    seed : int
        Seed of all draws.
    settings : Lattice
        Settings of the corpus.

    Raises
    ------
    SpinscopeError
        If the folder holds other files.
    """
    header = lattice.corpus_header(seed, settings)
    if writing.complete_corpus(path, header | {"n": settings.n}):
        return []
    parts = _claimed(path, lattice.HEADER, header)
    return _missing(parts, settings.n, settings.shard_lattices, "m")


def make_lattices(path: Path, chunk: int, seed: int, settings: Lattice) -> None:
    """Anneal the lattices of one chunk; the arguments are those of `missing_lattices`."""
    numbers = _numbers(chunk, settings.shard_lattices, settings.n)
    done = (lattice.annealed(number, seed, settings) for number in numbers)
    _write(writing.parts_folder(path), chunk, done, "m")


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


def missing_domains(
    path: Path, parameter: domains.Parameter, seed: int, settings: Domains
) -> list[int]:
    """Chunks that a corpus of domain films lacks; none if it is complete.

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

    Raises
    ------
    SpinscopeError
        If the folder holds other files.
    """
    if writing.complete_corpus(path, domain_header(parameter, seed, settings)):
        return []
    header = domains.corpus_header(parameter, seed, settings)
    parts = _claimed(path, domains.HEADER, header)
    return _missing(parts, settings.n, settings.shard_films, "m_z")


def make_domains(
    path: Path, chunk: int, parameter: domains.Parameter, seed: int, settings: Domains
) -> None:
    """Relax the films of one chunk; the arguments are those of `missing_domains`."""
    numbers = _numbers(chunk, settings.shard_films, settings.n)
    drawn = [domains.draw_domain(number, seed, parameter, settings) for number in numbers]
    relaxed = domains.relaxed_domains(drawn, parameter, settings)
    done = sorted(
        (domains.film_row(film, result) for film, result in relaxed),
        key=lambda item: item[0]["number"],
    )
    _write(writing.parts_folder(path), chunk, done, "m_z")


def _numbers(chunk: int, size: int, n: int) -> range:
    """Numbers of the items of a chunk."""
    return range(chunk * size, min((chunk + 1) * size, n))


def _claimed(path: Path, name: str, header: Mapping[str, Any]) -> Path:
    """Folder of the chunks of a packed corpus, without those of other settings."""
    own_folder(path, HEADER)
    parts = writing.parts_folder(path)
    if (parts / name).is_file() and not writing.same_corpus(parts / name, header):
        shutil.rmtree(parts)
    writing.claim_folder(parts, name, header)
    return parts


def _missing(parts: Path, n: int, size: int, array: str) -> list[int]:
    """Chunks that a folder lacks."""

    def rows(chunk: int) -> list[writing.Row]:
        return writing.read_rows(parts, chunk, (array,), lambda _: True)

    return list(writing.missing_chunks(n, size, rows))


def _write(parts: Path, chunk: int, items: Iterable[tuple], array: str) -> None:
    rows, arrays = zip(*items, strict=True)
    writing.write_chunk(parts, chunk, list(rows), {array: np.stack(arrays)})
