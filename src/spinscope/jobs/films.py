"""Corpora of films and of their Lorentz micrographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.jobs.data import plain


def films(params: Params, out: Path, *, progress=plain) -> Path:
    """Relax the films of `params`; what stands there of the same corpus is kept and gone on with.

    Raises SpinscopeError where the extra `sim` is missing.
    """
    from spinscope.corpora.films import make_film_corpus

    return make_film_corpus(out, params.films.n, params.seed, params.films, progress=progress)


def import_films(params: Params, files: Sequence[Path], out: Path, *, progress=plain) -> Path:
    """Write films that another program computed, OVF files, as a corpus of films."""
    from spinscope.corpora.film_import import import_films

    return import_films(out, files, params.films, progress=progress)


def film_lines(folder: Path) -> list[str]:
    """What a corpus of films holds: how many, of which states, and what did not converge."""
    from spinscope.corpora.films import open_films

    header = open_films(folder).header
    states = ", ".join(f"{count} {kind}" for kind, count in header.get("states", {}).items())
    lines = [f"{header.get('films', 0)} films in {folder}: {states}"]
    for film in header.get("not_converged", ()):
        lines.append(
            f"not converged and left out: {film['name']}, torque {film['torque']} after "
            f"{film['evaluations']:g} evaluations"
        )
    return lines


def scripts(params: Params, folder: Path, out: Path) -> list[Path]:
    """Write a script of mumax3 for every film of a corpus; returns the scripts."""
    from spinscope.corpora.films import open_films
    from spinscope.corpora.mumax import write_mx3

    corpus, settings = open_films(folder), params.films
    written = []
    for row, film in zip(corpus.rows, corpus, strict=True):
        *_, script = write_mx3(
            out / f"{row['name']}.mx3",
            film,
            seed=params.seed + row["number"],
            exchange=settings.grain_exchange,
            images=settings.periodic_images,
        )
        written.append(script)
    return written


def ltem_corpus(params: Params, folder: Path, out: Path, *, progress=plain) -> Path:
    """Write Lorentz micrographs of the films in `folder`; the same that stand there are kept."""
    from spinscope.corpora import films as film_corpus
    from spinscope.corpora.ltem import corpus_header, make_ltem_corpus
    from spinscope.datasets.shards import HEADER, damaged_files, read_header

    if not (folder / film_corpus.HEADER).is_file():
        raise SpinscopeError(
            f"there are no films at {folder}: run `spinscope corpus films`, or name a corpus of "
            "films with --films"
        )
    films = film_corpus.open_films(folder)
    wanted = corpus_header(films, params.seed, params.ltem)
    if (out / HEADER).is_file():
        found = read_header(out)
        if all(found.get(key) == value for key, value in wanted.items()) and not damaged_files(out):
            return out
    return make_ltem_corpus(out, films, params.seed, params.ltem, progress=progress)
