"""Shared by all corpora: draws, threads, headers, and chunks at which writing is resumed.

A chunked corpus is a folder with a JSON header and, per chunk, arrays ``NAME-NNNN.npy`` and
``part-NNNN.json``, whose rows describe the items. A chunk is written as soon as it is complete;
its rows are written last, so that a chunk with rows is complete.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from spinscope.datasets.shards import HEADER, damaged_files, own_folder, read_header, renamed
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json

Row = dict[str, Any]
Item, Result = TypeVar("Item"), TypeVar("Result")


def uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Draw a value between two limits."""
    return float(rng.uniform(*limits))


def log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Draw a positive value whose logarithm is uniform between those of two limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def short(value: Any) -> Any:
    """Round a float to six significant digits; return any other value unchanged."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def ordered(
    make: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield `make(item)` of every item in order, computed by `workers` threads.

    Threads help where Fourier transforms, filters and random numbers release Python's lock.
    Items are drawn in the calling thread, a few ahead of the results; pending work is cancelled
    when the caller stops.

    >>> list(ordered(str, range(4), 2))
    ['0', '1', '2', '3']
    """
    if workers == 1:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


def kept_corpus(path: Path, header: Mapping[str, Any], make: Callable[[], Path]) -> Path:
    """Return the packed corpus at `path`, written by `make` unless it is there and undamaged.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    header : mapping
        Entries that the header of the same corpus contains.
    make : callable
        Writes the corpus and returns its folder.
    """
    return path if complete_corpus(path, header) else make()


def complete_corpus(path: Path, header: Mapping[str, Any]) -> bool:
    """Whether the folder `path` holds an undamaged packed corpus with all entries of a header."""
    if not (path / HEADER).is_file():
        return False
    found = read_header(path)
    same = all(found.get(key) == value for key, value in header.items())
    return same and not damaged_files(path)


def parts_folder(path: Path) -> Path:
    """Hidden folder beside a packed corpus, which holds its chunks until it is complete."""
    return path.with_name(f".{path.name}.parts")


def claim_folder(path: Path, name: str, header: Mapping[str, Any]) -> None:
    """Create the folder of a chunked corpus, or check that it holds the same corpus.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    name : str
        File name of its header.
    header : mapping
        Entries that decide the contents of the corpus.

    Raises
    ------
    SpinscopeError
        If the folder holds another corpus or other files.
    """
    own_folder(path, name)
    if not (path / name).is_file():
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / name, {**header, "complete": False})
        return
    found = chunk_header(path / name)
    for key, value in header.items():
        if found.get(key) != value:
            raise SpinscopeError(
                f"{path} holds {header['kind']} with {key} = {found.get(key)}, not {value}; "
                "another corpus needs a folder of its own"
            )


def chunk_header(file: Path) -> dict[str, Any]:
    """Read the header of a chunked corpus, with today's names of its settings."""
    try:
        return renamed(json.loads(file.read_text()))
    except ValueError as error:
        raise SpinscopeError(f"{file} must be JSON: {error}") from error


def same_corpus(file: Path, header: Mapping[str, Any]) -> bool:
    """Whether a header on disk has all entries of another one."""
    found = chunk_header(file)
    return all(found.get(key) == value for key, value in header.items())


def write_chunk(path: Path, chunk: int, rows: list[Row], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of a chunk, then its rows."""
    for name, array in arrays.items():
        with atomic_file(path / f"{name}-{chunk:04d}.npy") as partial, partial.open("wb") as file:
            np.save(file, array)
    write_json(path / f"part-{chunk:04d}.json", rows)


def open_array(path: Path, name: str, chunk: int) -> np.ndarray:
    """Open an array of a chunk as a memory map."""
    return np.load(path / f"{name}-{chunk:04d}.npy", mmap_mode="r")


def read_rows(path: Path, chunk: int, names: Iterable[str], count: Callable[[Row], bool]) -> list:
    """Read the rows of a chunk; none if it is missing.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    chunk : int
        Number of the chunk.
    names : iterable of str
        Arrays that a complete chunk has.
    count : callable
        Whether the arrays hold the item of a row.

    Raises
    ------
    SpinscopeError
        If a file of the chunk is missing or damaged, or an array holds too few items.
    """
    file = path / f"part-{chunk:04d}.json"
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_text())
        expected = sum(count(row) for row in rows)
        for name in names:
            # An array may hold more: a chunk that grew, interrupted before its rows were written.
            if (held := len(open_array(path, name, chunk))) < expected:
                raise ValueError(f"{name}-{chunk:04d}.npy holds {held} items of {expected}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpinscopeError(
            f"{file} is damaged, or an array of it: {error}; making the corpus again with its "
            "settings makes this chunk anew"
        ) from error
    return rows


def chunk_numbers(path: Path) -> list[int]:
    """List the numbers of the chunks that are complete."""
    return sorted(int(file.stem.split("-")[1]) for file in path.glob("part-*.json"))


def missing_chunks(n: int, size: int, rows: Callable[[int], list[Row]]) -> dict[int, range]:
    """Numbers of the items of every chunk that is missing, damaged or too short.

    Parameters
    ----------
    n : int
        Items of the corpus, numbered from 0.
    size : int
        Items of a chunk.
    rows : callable
        Reads the rows of a chunk as `read_rows` does.
    """
    missing = {}
    for chunk in range(-(-n // size)):
        numbers = range(chunk * size, min((chunk + 1) * size, n))
        try:
            found = {row["number"] for row in rows(chunk)}
        except SpinscopeError:
            found = set()
        if not found.issuperset(numbers):
            missing[chunk] = numbers
    return missing


def complete_chunks(
    items: Iterable[tuple], missing: Mapping[int, range], size: int
) -> Iterator[tuple[int, list[tuple]]]:
    """Collect items (row, ...) that arrive in any order; yield (chunk, its items in order)."""
    pending: dict[int, dict[int, tuple]] = {}
    for item in items:
        chunk = item[0]["number"] // size
        pending.setdefault(chunk, {})[item[0]["number"]] = item
        if len(pending[chunk]) == len(missing[chunk]):
            yield chunk, [done for _, done in sorted(pending.pop(chunk).items())]
