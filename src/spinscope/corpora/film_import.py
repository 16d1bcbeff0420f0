"""Import of films that other programs computed, from OVF files, as a corpus of films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinscope.config import Films
from spinscope.corpora.films import HEADER, film_row, summary, write_films
from spinscope.corpora.ovf import film_of, read_ovf
from spinscope.datasets.shards import own_folder
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256, write_json
from spinscope.physics.film import Film, Material
from spinscope.progress import Progress, no_progress

MAX_GRAINS = 255
"""Values of the saturation magnetisation that a stored film can hold; more are rounded."""


def import_films(
    path: Path | str, files: Sequence[Path], settings: Films, *, progress: Progress = no_progress
) -> Path:
    """Write films of OVF files as a corpus, the whole folder or nothing.

    Parameters
    ----------
    path : Path
        Folder of the corpus.
    files : sequence of Path
        One OVF file per film; its name becomes that of the film.
    settings : Films
        Material constants that the files do not contain are the middles of these ranges. Only the
        saturation magnetisation affects an image; files of unit vectors need a fixed one.
    progress : callable
        Wraps the files.

    Raises
    ------
    SpinscopeError
        If no file is given, two films have the same name, a cell holds no material, or the
        saturation magnetisation is unknown; and as `read_ovf` and `film_of` do.
    """
    path, files = Path(path), [Path(file) for file in files]
    if not files:
        raise SpinscopeError("an import must name at least one OVF file")
    names = [file.stem for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(f"two films are named {twice[0]!r}; each must have its own name")
    own_folder(path, HEADER)
    with atomic_folder(path) as partial:
        for number, file in enumerate(progress(files, total=len(files), desc="films")):
            film = read_film(file, settings)
            row = film_row(file.stem, number, film) | {"file_sha256": sha256(file)}
            write_films(partial, number, [(row, film.m, film.grain)])
        header = {"kind": "films", "imported": [file.name for file in files], "complete": True}
        write_json(partial / HEADER, header | summary(partial))
    return path


def read_film(file: Path, settings: Films) -> Film:
    """Read the film of an OVF file; constants that the file lacks are taken from `settings`."""
    read = film_of(read_ovf(file))
    if read.outside.any():
        raise SpinscopeError(
            f"{file}: {int(read.outside.sum())} cells of {read.outside.size} hold no material; "
            "a film of a corpus must fill its frame"
        )
    norm = np.linalg.norm(read.m, axis=-1, keepdims=True)
    if not norm.all():
        raise SpinscopeError(f"{file}: the magnetisation cancels through the thickness of a cell")
    if read.ms is not None:
        ms, grain = _grains(read.ms)
    elif settings.ms[0] == settings.ms[1]:
        ms, grain = np.full(read.m.shape[:2], settings.ms[0], dtype=np.float32), None
    else:
        raise SpinscopeError(
            f"{file} holds unit vectors; name the film's saturation magnetisation in A/m with "
            "--set films.ms=[MS,MS]"
        )
    middle = {key: float(np.mean(getattr(settings, key))) for key in ("a_ex", "dmi", "ku", "b_ext")}
    material = Material(
        ms=float(ms.mean(dtype=np.float64)),
        **middle,
        dmi_kind=settings.dmi_kind,
        cell=read.cell,
        thickness=read.thickness,
    )
    return Film((read.m / norm).astype(np.float32), material, ms, grain)


def _grains(ms: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Saturation magnetisation rounded to few values, and the grain of each cell (None: one)."""
    values, grain = np.unique(ms, return_inverse=True)
    if len(values) > MAX_GRAINS:
        step = np.ptp(values) / (MAX_GRAINS - 1)
        grain = np.rint((ms - values[0]) / step).astype(int)
        values = values[0] + step * np.arange(MAX_GRAINS)
    grain = grain.reshape(ms.shape).astype(np.uint8)
    return values[grain].astype(np.float32), grain if len(values) > 1 else None
