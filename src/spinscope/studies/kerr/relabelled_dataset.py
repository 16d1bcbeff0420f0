"""A version of a dataset whose labels somebody else wrote: which, from what, and by which model.

Beside the frames of the MOKE layout the folder holds `provenance.json`. It names no place and no
time, so that the same labels make the same version, whose name is its data hash.
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
from spinscope.files import atomic_file, atomic_folder, write_json

PROVENANCE = "provenance.json"
"""File of a dataset version that names where each label came from."""

HAND = "hand"
"""Who labelled a frame whose label is that of the dataset it was made of."""


def relabelled_dataset(
    base: Dataset,
    label_of: Callable[[int], np.ndarray | None],
    out: Path | str,
    *,
    by: str,
    origin: Mapping[str, Any] | None = None,
    progress: Callable[..., Any] = lambda items, **_: items,
) -> Dataset:
    """Write a version of `base` in the MOKE layout with other labels, the whole folder or nothing.

    label_of : index of a frame → its new label (H, W), or None where that of `base` stays.
    by : who writes the new labels.   origin : what else made them, as JSON holds it: models with
    their checksums, settings.
    `provenance.json` holds `base_hash` and `origin`, and a row a frame: name, source, batch, `by`
    ("hand" where the label stays), hash of the label `before` and `after`, `changed_px`. A hand's
    word in `base` goes on: a frame that `base` says a model labelled stays that model's.
    Raises SpinscopeError for a label of another size than its frame.
    """
    earlier = {row["name"]: row["by"] for row in _rows(base.path)}
    rows: list[dict[str, Any]] = []

    def frames() -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for index in progress(range(len(base)), total=len(base), desc="relabel"):
            record, before, after = base.records[index], base.label(index), label_of(index)
            who = earlier.get(record.name, HAND) if after is None else by
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
                    "by": who,
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
    """What `provenance.json` of a dataset folder says; None where there is no such version.

    Raises SpinscopeError where it cannot be read.
    """
    file = Path(path) / PROVENANCE
    if not file.is_file():
        return None
    try:
        said = json.loads(file.read_text())
        said["base_hash"], said["origin"], said["frames"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpinscopeError(f"{file} does not say where its labels came from: {error}") from error
    return said


def made_of(path: Path | str, base_hash: str, origin: Mapping[str, Any]) -> Dataset | None:
    """The version at `path`, if it was made of this base and says all that `origin` says."""
    said = provenance(path)
    if said is None or said["base_hash"] != base_hash:
        return None
    wanted = json.loads(json.dumps(dict(origin)))  # as it comes back from JSON
    return open_dataset(path) if wanted.items() <= said["origin"].items() else None


def write_dvc(dataset: Dataset) -> Path:
    """Write `FOLDER.dvc` beside a dataset's folder, as `dvc add` does: it names the version.

    `dvc add` itself refuses a folder that git ignores, where versions that are made lie. Once the
    folder lies where DVC looks, `dvc commit FOLDER.dvc` takes it over.
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
    said = provenance(path)
    return said["frames"] if said else ()
