"""Simulated corpora: Kerr images, films, Lorentz images of films, scripts of mumax3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spinscope import families
from spinscope.config import Params
from spinscope.files import exclusive
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    from spinscope.corpora.chunks import Chunks


@exclusive("out")
def corpus(
    params: Params, out: Path, *, source: Path | None = None, progress: Progress = no_progress
) -> Path:
    """Write the simulated corpus of a family unless it is in the folder `out`; returns `out`.

    Parameters
    ----------
    params : Params
    out : Path
    source : Path, optional
        Folder of the corpus that this one is computed from, for a family that needs one.
    progress : callable, optional
    """
    return families.of(params).corpus(params, out, source=source, progress=progress)


@exclusive("out")
def films(params: Params, out: Path, *, progress: Progress = no_progress) -> Path:
    """Relax the films of a corpus; a partial corpus is resumed.

    Raises
    ------
    SpinscopeError
        If the extra ``sim`` is missing, or `out` holds something else.
    """
    from spinscope.corpora.films import make_film_corpus

    return make_film_corpus(out, params.films.n, params.seed, params.films, progress=progress)


@exclusive("out")
def import_films(
    params: Params, files: Sequence[Path], out: Path, *, progress: Progress = no_progress
) -> Path:
    """Write films that another program computed (OVF files) as a corpus of films."""
    from spinscope.corpora.film_import import import_films

    return import_films(out, files, params.films, progress=progress)


def film_lines(folder: Path) -> list[str]:
    """Summarise a corpus of films: number, states, and films that did not converge."""
    from spinscope.corpora.films import open_films

    header = open_films(folder).header
    states = ", ".join(f"{count} {kind}" for kind, count in header.get("states", {}).items())
    return [f"{header.get('films', 0)} films in {folder}: {states}"] + [
        f"not converged and left out: {film['name']}, torque {film['torque']} after "
        f"{film['evaluations']:g} evaluations"
        for film in header.get("not_converged", ())
    ]


def scripts(params: Params, folder: Path, out: Path) -> list[Path]:
    """Write a mumax3 script for every film of a corpus; returns the scripts."""
    from spinscope.corpora.films import open_films
    from spinscope.corpora.mumax import write_mx3

    corpus, settings = open_films(folder), params.films
    return [
        write_mx3(
            out / f"{row['name']}.mx3",
            film,
            seed=params.seed + row["number"],
            exchange=settings.grain_exchange,
            images=settings.periodic_images,
        )[-1]
        for row, film in zip(corpus.rows, corpus, strict=True)
    ]


CHUNKED = {
    "films": "ltem-unet",
    "lattice": "field-fcn",
    "dmi": "parameter-cnn",
    "ms": "parameter-cnn-ms",
}
"""Corpus that is made in chunks → family whose settings apply."""


def missing_chunks(params: Params, kind: str, out: Path) -> list[int]:
    """Numbers of the chunks that a corpus lacks, each a unit of `make_chunk`.

    Parameters
    ----------
    params : Params
        Settings of the family `CHUNKED[kind]`.
    kind : str
        Of `CHUNKED`.
    out : Path
        Folder of the corpus, which is created.

    Raises
    ------
    SpinscopeError
        If the folder holds something else, or the extra ``sim`` is missing.
    """
    return _chunks(params, kind, out).missing()


def make_chunk(params: Params, kind: str, out: Path, chunk: int) -> None:
    """Make one chunk of a corpus; `missing_chunks` lists them.

    The folder is not locked: other processes make other chunks.

    Parameters
    ----------
    params : Params
        Settings of the family `CHUNKED[kind]`.
    kind : str
        Of `CHUNKED`.
    out : Path
        Folder of the corpus.
    chunk : int
        Number of the chunk.
    """
    _chunks(params, kind, out).make(chunk)


def _chunks(params: Params, kind: str, out: Path) -> Chunks:
    from spinscope.corpora import chunks

    if kind == "films":
        return chunks.film_chunks(out, params.seed, params.films)
    if kind == "lattice":
        return chunks.lattice_chunks(out, params.seed, params.lattice)
    return chunks.domain_chunks(out, kind, params.seed, params.domains)


def chunked_corpus(
    params: Params, kind: str, out: Path, *, progress: Progress = no_progress
) -> Path:
    """Make what a corpus still lacks, and complete it; returns `out`.

    Parameters
    ----------
    params : Params
        Settings of the family `CHUNKED[kind]`.
    kind : str
        Of `CHUNKED`.
    out : Path
        Folder of the corpus.
    progress : callable, optional
    """
    made = films if kind == "films" else corpus
    return made(params, out, progress=progress)
