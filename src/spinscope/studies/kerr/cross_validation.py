"""Cross-validation over the batches: networks segment only frames of a batch they never saw.

Files below the output folder:

``crossval/seed-S/batch-B/``
    Training without batch B. Its last epoch is kept, since the frames of B must not choose one.
``crossval/seed-S/masks-V/NAME.png``
    Classes of the frames, V augmented views averaged.
``crossval.json``
    The report.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spinscope.classes import CLASSES
from spinscope.code import code_digest
from spinscope.config import Params, dataset_path, overridden
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation import evaluate
from spinscope.families.base import SCORING
from spinscope.files import atomic_file, kept, sha256, write_json
from spinscope.inference.predict import Predictor
from spinscope.models.store import NETWORK
from spinscope.studies.base import Job, Stage
from spinscope.studies.kerr.cross_validation_scores import summary
from spinscope.studies.kerr.trials import fitted
from spinscope.studies.runs import recorded

if TYPE_CHECKING:
    from spinscope.training.fit import FitResult

REPORT = "crossval.json"
Fold = tuple[int, int | None]
"""Seed, and the batch that is left out; None leaves out none."""


def folds(job: Job) -> list[Fold]:
    """Every seed with every batch; with the option ``final`` also a network of every batch.

    Parameters
    ----------
    job : Job
        Call of the part.
    """
    settings = fold_settings(job.params)
    batches = left_out(open_dataset(dataset_path(settings)))
    seeds = [settings.seed + k for k in range(settings.cross_validation.seeds)]
    final = [(settings.seed, None)] if job.options.get("final") else []
    return [*((seed, batch) for seed in seeds for batch in batches), *final]


def run_fold(job: Job, fold: Fold) -> dict[str, Any]:
    """Train without a batch and segment its frames.

    Parameters
    ----------
    job : Job
        Call of the part.
    fold : (int, int or None)
        Seed, and the batch that is left out.

    Returns
    -------
    dict
        seed, batch, sha256, seconds, val_mcc, views, upscale and min_peak_probability; for the
        network of every batch its folder `model`.
    """
    seed, batch = fold
    settings = fold_settings(job.params)
    folder = job.out / "crossval" / f"seed-{seed}" / ("all" if batch is None else f"batch-{batch}")
    result, held_out = _trained(settings, fold, folder)
    if batch is None:  # no frame is left to segment
        return {"model": str(result.model)}
    row = {
        "seed": seed,
        "batch": batch,
        "sha256": sha256(result.model / NETWORK),
        "seconds": result.seconds,
        "val_mcc": result.score,
        "views": sorted({1, settings.evaluation.tta}),
        **settings.model.rules,
    }
    engine = settings.inference

    def segment() -> int:
        predictor = Predictor.load(result.model, engine.engine, engine.precision)
        for index, record in enumerate(held_out.records):
            for views in row["views"]:
                mask = predictor.classes(held_out.image(index), views)
                _write_mask(_mask_file(job.out, seed, views, record.name), mask)
        return len(held_out)

    key = [row, engine.model_dump(mode="json"), code_digest(SCORING)]
    kept(folder / "segmented.json", key, segment)
    return row


STAGES = (Stage("fold", run_fold, folds, isolated=True),)


def report(job: Job) -> dict[str, Any]:
    """Pool the scores of all frames over the folds and write ``OUT/crossval.json``.

    The section ``cross_validation`` sets the number of seeds and overrides other settings. The
    report holds, for one view and for those of ``evaluation.tta``, a `summary` and the sizes. With
    the option ``final`` it also names the `model` that was trained on every batch; no frame is
    left to score that, so the cross-validation is its score.

    Parameters
    ----------
    job : Job
        Call of the part.
    """
    settings = fold_settings(job.params)
    dataset = open_dataset(dataset_path(settings))
    batches = left_out(dataset)
    rows = [run_fold(job, fold) for fold in folds(job)]
    trainings, final = [row for row in rows if "seed" in row], rows[-1].get("model")
    score = functools.partial(_score, settings, job.out)
    by_views: dict[str, Any] = {}
    for views in sorted({1, settings.evaluation.tta}):
        seeds = sorted({row["seed"] for row in trainings})
        # Frames that are only trained on are not scored.
        whole = {seed: score(dataset.select(batches), seed, views) for seed in seeds}
        by_batch = {
            seed: {batch: score(dataset.select([batch]), seed, views) for batch in batches}
            for seed in seeds
        }
        pooled = {key: whole[settings.seed][key] for key in ("size", "objects")}
        by_views[str(views)] = {**summary(whole, by_batch), **pooled}
    found = {
        "kind": "crossval",
        "data_hash": data_hash(dataset),
        "settings": settings.digest(),
        "batches": batches,
        "trainings": trainings,
        "views": by_views,
        **({"model": final} if final else {}),
    }
    _record(settings, found, job)
    write_json(job.out / REPORT, found)
    return found


def lines(report: dict) -> list[str]:
    """MCC of every batch, pooled MCC and count, without and with test-time augmentation.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    text = []
    for views, found in report["views"].items():
        text.append(f"{views} view{'s' if views != '1' else ''}")
        text += [
            f"  batch {row['batch']:<8}MCC {row['mcc']:.4f}   {row['objects_predicted']:.0f} of "
            f"{row['objects_true']:.0f} objects, {row['n_images']} frames"
            for row in found["batches"]
        ]
        mcc, count = found["mcc"], found["count_error"]
        text.append(
            f"  pooled        MCC {_with_sd(mcc)}   count {100 * count['mean']:+.1f} %   "
            f"mean of the sources {_with_sd(found['source_mcc'])}"
        )
    if "model" in report:
        text.append(f"trained on every batch: {report['model']}")
    return text


def fold_settings(params: Params) -> Params:
    """Settings of every fold, which keeps its last epoch.

    Parameters
    ----------
    params : Params
        Settings.
    """
    return overridden(params, [*params.cross_validation.base, "training.keep=last"])


def left_out(dataset: Dataset) -> list[int]:
    """Batches that are left out in turn.

    Parameters
    ----------
    dataset : Dataset
        Frames.

    Raises
    ------
    SpinscopeError
        If there are fewer than two.
    """
    batches = sorted({r.batch for r in dataset.records if r.use == "train_test_val"} - {None})
    if len(batches) < 2:
        raise SpinscopeError(
            f"{dataset.path} has {len(batches)} batches that may be held out; a cross-validation "
            "needs at least 2 lines train_test_val in partition.txt"
        )
    return batches


def masks(out: Path, seed: int, views: int, dataset: Dataset) -> Iterable[np.ndarray]:
    """Classes (H, W) uint8 of each frame, from networks that never saw its batch.

    Parameters
    ----------
    out : Path
        Output folder.
    seed : int
        Seed.
    views : int
        Number of augmented views that are averaged.
    dataset : Dataset
        Frames.
    """
    for record in dataset.records:
        with Image.open(_mask_file(out, seed, views, record.name)) as image:
            yield np.asarray(image)


def _trained(settings: Params, fold: Fold, folder: Path) -> tuple[FitResult, Dataset]:
    """Training of a fold, and the frames it validates on: those of the batch left out."""
    seed, batch = fold
    dataset = open_dataset(dataset_path(settings))
    every = left_out(dataset)
    held_out = dataset.select([every[0] if batch is None else batch])
    rest = [other for other in every if other != batch]
    only_training = sorted({r.batch for r in dataset.records if r.use == "only_training"})
    splits = Splits(dataset.select([*rest, *only_training]), held_out)
    info = {"data_hash": data_hash(dataset), "left_out": batch}
    return fitted(settings, splits, seed, folder, info=info), held_out


def _score(settings: Params, out: Path, frames: Dataset, seed: int, views: int) -> dict[str, Any]:
    """Report of `evaluate` on the masks of some frames."""
    found = iter(masks(out, seed, views, frames))
    classes = CLASSES[: settings.data.scheme]
    return evaluate(lambda _: next(found), frames, classes, settings.evaluation)


def _with_sd(value: Mapping[str, Any]) -> str:
    """Mean and SD over the seeds; one seed has no SD."""
    if value["sd"] is None:
        return f"{value['mean']:.4f} (one seed, SD unknown)"
    return f"{value['mean']:.4f} ± {value['sd']:.4f}"


def _mask_file(out: Path, seed: int, views: int, name: str) -> Path:
    return out / "crossval" / f"seed-{seed}" / f"masks-{views}" / f"{name}.png"


def _write_mask(path: Path, mask: np.ndarray) -> None:
    with atomic_file(path) as partial:
        Image.fromarray(mask).save(partial, format="PNG")


def _record(settings: Params, report: dict, job: Job) -> None:
    """Record the cross-validation with a child run per training."""
    hash_ = report["data_hash"]
    name = f"cross-validation {hash_.removeprefix('md5:')[:8]} {report['settings'][:8]}"
    with recorded(settings, hash_, name, job.track, trials=True) as recorder:
        for row in report["trainings"]:
            folder = job.out / "crossval" / f"seed-{row['seed']}" / f"batch-{row['batch']}"
            recorder.trial(
                f"seed {row['seed']} without batch {row['batch']} {row['sha256'][:8]}",
                settings,
                hash_,
                seed=row["seed"],
                curves=json.loads((folder / "history.json").read_text()),
                metrics=row,
            )
        metrics = {f"views_{views}": found for views, found in report["views"].items()}
        recorder.log(report={REPORT: report}, metrics=metrics)
