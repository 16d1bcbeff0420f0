"""Films of other programs as a corpus of films, from their OVF files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Films
from spinscope.corpora.films import HEADER, summary, write_chunk
from spinscope.corpora.ovf import film_of, read_ovf
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256, write_json
from spinscope.physics.film import Film, Material
from spinscope.physics.topology import state

KINDS = 255
"""Saturation magnetisations that a film of a corpus can hold; more are rounded to so many."""


def import_films(
    path: Path | str,
    files: Sequence[Path],
    settings: Films,
    *,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Path:
    """Write the films of OVF files as the corpus `path`, the whole folder or nothing.

    What a file does not tell is taken from the middle of the ranges of `settings`; of that only
    the saturation magnetisation is seen in an image, so that a file of unit vectors needs one.
    Raises SpinscopeError that names the file: of no file, of two of one name, of a film with cells
    without material, of an unknown saturation magnetisation, and as `read_ovf` and `film_of` do.
    """
    path, files = Path(path), [Path(file) for file in files]
    if not files:
        raise SpinscopeError("an import must name at least one OVF file")
    names = [file.stem for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(f"two films are named {twice[0]!r}; each must have its own name")
    if path.is_dir() and any(path.iterdir()) and not (path / HEADER).is_file():
        raise SpinscopeError(f"{path} holds other files; a corpus needs a folder of its own")
    with atomic_folder(path) as partial:
        for number, file in enumerate(progress(files, total=len(files), desc="films")):
            film = read_film(file, settings)
            write_chunk(partial, number, [(_row(film, file, number), film.m, film.grain)])
        about = {"kind": "films", "imported": [file.name for file in files], "complete": True}
        write_json(partial / HEADER, about | summary(partial))
    return path


def read_film(file: Path, settings: Films) -> Film:
    """The film of an OVF file, with what it does not tell from `settings`."""
    found = film_of(read_ovf(file))
    if found.outside.any():
        raise SpinscopeError(
            f"{file}: {int(found.outside.sum())} cells of {found.outside.size} hold no material; "
            "a film of a corpus must fill its frame"
        )
    norm = np.linalg.norm(found.m, axis=-1, keepdims=True)
    if not norm.all():
        raise SpinscopeError(f"{file}: the magnetisation cancels through the thickness of a cell")
    ms, grain = _grains(found.ms)
    if ms is None:
        low, high = settings.ms
        if low != high:
            raise SpinscopeError(
                f"{file} holds unit vectors; name the film's saturation magnetisation in A/m with "
                "--set films.ms=[MS,MS]"
            )
        ms = np.full(found.m.shape[:2], low, dtype=np.float32)
    constants = {key: float(np.mean(getattr(settings, key))) for key in ("a_ex", "dmi", "ku")}
    material = Material(
        ms=float(ms.mean(dtype=np.float64)),
        **constants,
        b_ext=float(np.mean(settings.b_ext)),
        dmi_kind=settings.dmi_kind,
        cell=found.cell,
        thickness=found.thickness,
    )
    return Film((found.m / norm).astype(np.float32), material, ms, grain)


def _grains(ms: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Saturation magnetisation in few kinds, and the kind of each cell; None where there is one."""
    if ms is None:
        return None, None
    kinds, grain = np.unique(ms, return_inverse=True)
    if len(kinds) > KINDS:
        step = np.ptp(kinds) / (KINDS - 1)
        grain = np.rint((ms - kinds[0]) / step).astype(int)
        kinds = kinds[0] + step * np.arange(KINDS)
    grain = grain.reshape(ms.shape).astype(np.uint8)
    return kinds[grain].astype(np.float32), grain if len(kinds) > 1 else None


def _row(film: Film, file: Path, number: int) -> dict[str, Any]:
    reached = state(film.m)
    kinds = None
    if film.grain is not None:
        present, first = np.unique(film.grain, return_index=True)
        kinds = {str(k): float(film.ms.ravel()[at]) for k, at in zip(present, first, strict=True)}
    return {
        "name": file.stem,
        "number": number,
        "converged": True,
        "kind": reached.kind,
        "objects": reached.objects,
        "charge": round(reached.charge, 6),
        "torque": None,
        "energy": None,
        "evaluations": 0,
        "grained": film.grain is not None,
        **asdict(film.material),
        "kinds_ms": kinds,
        "file_sha256": sha256(file),
    }
