"""Trials of the ablations and of the free search: trained, shown, and recorded in MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import families
from spinscope.config import Params
from spinscope.datasets import Splits, data_hash
from spinscope.files import digest
from spinscope.jobs.data import first_weights, split
from spinscope.studies.base import Job
from spinscope.studies.runs import Recorder
from spinscope.tuning import Watch, key

if TYPE_CHECKING:
    from spinscope.training.fit import FitResult

TRAINING = "training"
"""Folder of a trial's training below that of the trial."""


def fitted(params: Params, splits: Splits, seed: int, folder: Path, **given: Any) -> FitResult:
    """Training of the settings' family in a folder; `given` are further arguments of `fit`.

    Parameters
    ----------
    params : Params
        Settings.
    splits : Splits
        Frames to train on and to validate with.
    seed : int
        Seed.
    folder : Path
        Folder of the training.
    """
    from spinscope.training.fit import fit

    family, weights = families.of(params), first_weights(params)
    return fit(family, splits, params, seed=seed, folder=folder, pretrained=weights, **given)


def trained(params: Params, seed: int, folder: Path, watch: Watch) -> tuple[FitResult, Splits]:
    """Train in ``folder/training``, watched epoch by epoch; returns result and frames.

    Parameters
    ----------
    params : Params
        Settings.
    seed : int
        Seed.
    folder : Path
        Folder of the training.
    watch : tuning.Watch
        Records the progress of the trial.
    """
    splits, hash_ = frames(params)
    info = {"data_hash": hash_, "params": params.digest()}

    def on_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        watch.epoch(epoch, logs["val_mcc"])

    result = fitted(params, splits, seed, folder / TRAINING, info=info, on_epoch=on_epoch)
    return result, splits


def frames(params: Params) -> tuple[Splits, str]:
    """Splits of the settings' dataset, and its hash.

    Parameters
    ----------
    params : Params
        Settings.
    """
    dataset, splits = split(params)
    return splits, data_hash(dataset)


DECISIVE = ("data", "model", "training", "augmentation")
"""Sections that decide a training."""


def settings_digest(base: Params, sections: Sequence[str], *others: Any) -> str:
    """Digest of sections of the settings and of `others`, without seeds and paths."""
    sections = base.model_dump(mode="json", include=set(sections))
    sections["training"].pop("seeds")
    sections["data"].pop("path")
    return digest([sections, *others])


def results(
    study: Callable[..., list[dict]],
    setting: Callable[[Mapping[str, Any]], Params],
    total: int,
    name: str,
    job: Job,
    hash_: str,
    recorder: Recorder,
) -> list[dict]:
    """Results of all trials of a study, each shown and recorded as it ends.

    Parameters
    ----------
    study : callable
        Runs the trials and calls its argument `on_result` with each result.
    setting : callable
        Settings of a trial from its config.
    total : int
        Number of trials.
    name : str
        Title of the progress bar.
    job : Job
        Call of the part.
    hash_ : str
        Hash of the dataset.
    recorder : Recorder
        MLflow record. A trial that it fails to record is recorded at the end.
    """

    def record(row: Mapping[str, Any], must: bool) -> None:
        config, params = row["config"], setting(row["config"])
        history = job.out / row["folder"] / TRAINING / "history.json"
        curves = json.loads(history.read_text()) if history.is_file() else {}
        metrics = {key: value for key, value in row.items() if key != "config"}
        if row["values"]:
            metrics["validation.mcc"] = row["values"][0]
        recorder.trial(
            key(config) if "seed" in config else f"trial {row['number']:03d}",
            params,
            hash_,
            seed=config.get("seed", params.seed),
            tags={"state": row["state"], **{f"config.{k}": str(v) for k, v in config.items()}},
            curves=curves or {"val_mcc": row["curve"]},
            metrics=metrics,
            settings=True,
            must=must,
        )

    bar = iter(job.progress(range(total), total=total, desc=name))

    def on_result(row: Mapping[str, Any]) -> None:
        next(bar, None)
        record(row, must=False)

    found = study(on_result=on_result)
    for row in found:
        record(row, must=True)
    return found
