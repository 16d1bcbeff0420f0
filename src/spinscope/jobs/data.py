"""Data of a job: corpora, splits and validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinscope.config import Params, dataset_path, project_root
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset, split_by_batch
from spinscope.errors import SpinscopeError


def plain(items: Iterable, **_: Any) -> Iterable:
    """Progress that nobody sees."""
    return items


@dataclass(frozen=True)
class CheckedData:
    """A dataset that passed validation, split by source."""

    dataset: Dataset
    splits: Splits
    hash: str
    report: Path | None


def out_folder(name: str) -> Path:
    """Default folder of a job's output: build/NAME of the project."""
    return project_root() / "build" / name


def made_as(dataset: Dataset) -> dict[str, Any]:
    """What a model keeps of the simulated corpus that it was trained on; nothing of real frames.

    `corpus` : its header. Of Lorentz images also `axis_deg`, the tilt axis, and `pixel_size_nm`.
    """
    from spinscope.datasets.shards import HEADER, read_header

    if not (dataset.path / HEADER).is_file():
        return {}
    header = {key: value for key, value in read_header(dataset.path).items() if key != "sha256"}
    about: dict[str, Any] = {"corpus": header}
    if header.get("kind") == "ltem":
        about |= {"axis_deg": sum(header["axis_deg"]) / 2, "pixel_size_nm": header["cell_nm"]}
    return about


def split(params: Params) -> tuple[Dataset, Splits]:
    """The dataset of `params` and its splits."""
    data, path = params.data, dataset_path(params)
    if data.path == "auto" and not path.is_dir():
        raise SpinscopeError(
            f"there are no micrographs at {path}: run `spinscope data fetch moke`, set "
            "SPINSCOPE_MOKE to a copy, or name a dataset with --set data.path=FOLDER"
        )
    dataset = open_dataset(path)
    splits = split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)
    return dataset, splits


def first_weights(params: Params) -> Path | None:
    """Model folder that a training of these settings starts from, if any."""
    from spinscope.tracking import resolve

    named = params.training.pretrained
    return resolve(params.tracking, named) if named else None


def checked_data(params: Params, out: Path | None = None, *, progress=plain) -> CheckedData:
    """Open, split and validate the dataset of `params`; Data Docs go to `out`.

    Raises SpinscopeError that names file and rule where the data is not fit to train on.
    """
    from spinscope.datasets.validate import require_valid, validate

    dataset, splits = split(params)
    validation = validate(dataset, splits, out, progress=progress)
    require_valid(validation)
    return CheckedData(dataset, splits, data_hash(dataset), validation.report)
