"""Versions of a dataset with other labels, and the author of each label.

The folder has the MOKE layout and a file ``provenance.json``. The file contains no path and no
time, so the same labels always make the same version, which its data hash names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.datasets import Dataset, Record, data_hash, open_dataset, write_moke
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, kept, write_json
from spinscope.progress import Progress, no_progress

PROVENANCE = "provenance.json"
"""File of a version with the author of each label."""

HAND = "hand"
"""Author of a label that is unchanged."""


def relabelled_dataset(
    base: Dataset,
    label_of: Callable[[int], np.ndarray | None],
    out: Path | str,
    *,
    by: str,
    origin: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Dataset:
    """Write a version of `base` in the MOKE layout with other labels, whole or not at all.

    ``provenance.json`` holds `base_hash`, `origin` and one row per frame: name, source, batch,
    `by`, hashes of the label `before` and `after`, and `changed_px`. A label that stays keeps its
    author of `base`, or "hand".

    Parameters
    ----------
    base : Dataset
        Frames and their labels.
    label_of : callable
        Index of a frame → its new label (H, W), or None to keep that of `base`.
    out : Path
        Folder of the version.
    by : str
        Author of the new labels.
    origin : mapping, optional
        Sources of the new labels, as JSON holds them: models with checksums, settings.
    progress : Progress
        Progress bar.

    Returns
    -------
    Dataset
        The version.

    Raises
    ------
    SpinscopeError
        If a label differs in size from its frame.
    """
    earlier = {row["name"]: row["by"] for row in _rows(base.path)}
    rows: list[dict[str, Any]] = []

    def frames() -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for index in progress(range(len(base)), total=len(base), desc="relabel"):
            record, before, after = base.records[index], base.label(index), label_of(index)
            author = earlier.get(record.name, HAND) if after is None else by
            after = before if after is None else after
            if after.shape != before.shape:
                raise SpinscopeError(
                    f"frame {record.name}: its new label is {after.shape}, the old one "
                    f"{before.shape}; they must be of one size"
                )
            rows.append(
                {
                    "name": record.name,
                    "source": record.source,
                    "batch": record.batch,
                    "by": author,
                    "before": pixel_sha256(before),
                    "after": pixel_sha256(after),
                    "changed_px": int(np.count_nonzero(before != after)),
                }
            )
            yield record, base.image(index), after

    bits = 16 if max(map(base.depth, range(len(base))), default=8) > 8 else 8
    with atomic_folder(out) as partial:
        write_moke(partial, frames(), bits=bits)
        head = {"base_hash": data_hash(base), "origin": dict(origin or {})}
        write_json(partial / PROVENANCE, {**head, "frames": rows})
    return open_dataset(out)


def provenance(path: Path | str) -> dict[str, Any] | None:
    """Contents of ``provenance.json`` of a dataset folder; None without that file.

    Parameters
    ----------
    path : Path
        Folder of a dataset.

    Raises
    ------
    SpinscopeError
        If the file is damaged.
    """
    file = Path(path) / PROVENANCE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text())
        found["base_hash"], found["origin"], found["frames"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpinscopeError(f"{file} does not say where its labels came from: {error}") from error
    return found


def kept_version(path: Path, key: Any, write: Callable[[], Any]) -> tuple[Dataset, Any]:
    """Version at `path`, written once for a key.

    Parameters
    ----------
    path : Path
        Folder of the version.
    key : any value that JSON can hold
        Everything that the version depends on.
    write : callable
        Writes the version and returns a value to keep with it.

    Returns
    -------
    (Dataset, value)
        The version, and the value that `write` returned.
    """
    if not path.is_dir():
        _note(path).unlink(missing_ok=True)
    value = kept(_note(path), key, write)
    return open_dataset(path), value


def kept_value(path: Path) -> Any:
    """Value that is kept with the version at `path`.

    Parameters
    ----------
    path : Path
        Folder of the version.
    """
    return json.loads(_note(path).read_text())["value"]


def _note(path: Path) -> Path:
    """File of `kept` beside a version."""
    return path.with_name(f"{path.name}.kept.json")


def write_dvc(dataset: Dataset) -> Path:
    """Write ``FOLDER.dvc`` beside a dataset's folder, as ``dvc add`` does.

    ``dvc add`` refuses a folder that git ignores, such as the output folder of a study. Once the
    folder is moved to a tracked place, ``dvc commit FOLDER.dvc`` accepts the file.

    Parameters
    ----------
    dataset : Dataset
        A version.

    Returns
    -------
    Path
        The file.
    """
    files = [file for file in dataset.path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    lines = (
        "outs:",
        f"- md5: {data_hash(dataset).removeprefix('md5:')}",
        f"  size: {size}",
        f"  nfiles: {len(files)}",
        "  hash: md5",
        f"  path: {dataset.path.name}",
    )
    target = dataset.path.with_name(f"{dataset.path.name}.dvc")
    with atomic_file(target) as partial:
        partial.write_text("\n".join(lines) + "\n")
    return target


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    """Rows of a version's provenance; none for a dataset without any."""
    found = provenance(path)
    return found["frames"] if found else ()
