"""Data of a job: corpora, splits and validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinscope import families
from spinscope.config import Params, dataset_path, project_root
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset, split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.progress import Progress, no_progress


@dataclass(frozen=True)
class CheckedData:
    """A dataset that passed validation, its splits, its hash and the report of the validation."""

    dataset: Dataset
    splits: Splits
    hash: str
    report: Path | None


def out_folder(name: str) -> Path:
    """Default folder of a job's output: build/NAME of the project."""
    return project_root() / "build" / name


def split(params: Params) -> tuple[Dataset, Splits]:
    """The dataset that settings name, and its splits.

    Raises
    ------
    SpinscopeError
        If the folder is missing, or a batch of the section `data` is.
    """
    data, path = params.data, dataset_path(params)
    if data.path == "auto" and not path.is_dir():
        raise SpinscopeError(
            f"there are no micrographs at {path}: run `spinscope data fetch moke`, set "
            "SPINSCOPE_MOKE to a copy, or name a dataset with --set data.path=FOLDER"
        )
    open_folder = families.of(params).open if params.family else open_dataset
    dataset = open_folder(path)
    splits = split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)
    return dataset, splits


def first_weights(params: Params) -> Path | None:
    """Model folder that a training starts from; None for random weights."""
    from spinscope.tracking import resolve

    model_ref = params.training.pretrained
    return resolve(params.tracking, model_ref) if model_ref else None


def checked_data(
    params: Params, out: Path | None = None, *, progress: Progress = no_progress
) -> CheckedData:
    """Open, split and validate the dataset that settings name.

    Parameters
    ----------
    params : Params
    out : Path, optional
        Receives the report of the validation.
    progress : callable, optional
        Progress bar over the frames.

    Raises
    ------
    SpinscopeError
        If the data is not fit to train on; the sentence names file and rule.
    """
    family = families.of(params)
    dataset, splits = split(params)
    report = family.validate(
        dataset, splits, out, either_contrast=params.augmentation.invert, progress=progress
    )
    return CheckedData(dataset, splits, data_hash(dataset), report)
