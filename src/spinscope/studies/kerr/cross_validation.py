"""Cross-validation over the batches: every frame is segmented by networks that never saw its batch.

All that is made lies below OUT/crossval:

    seed-S/batch-B/             the training without batch B; its last epoch is kept, for the frames
                                of B must not choose one
    seed-S/masks-V/NAME.png     classes of the frames, V views averaged
    ../crossval.json            the report

What has ended is read back, so that a cross-validation that was killed goes on where it stopped.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.config import Params, dataset_path, overridden
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, sha256, write_json
from spinscope.jobs.data import first_weights, plain
from spinscope.processes import side_by_side

if TYPE_CHECKING:
    from spinscope.training.fit import FitResult

REPORT = "crossval.json"
Fold = tuple[int, int | None]
"""Seed, and the batch that is left out; None leaves out none."""


def cross_validate(
    params: Params, out: Path, *, workers: int = 1, track: bool = True, progress=plain
) -> dict:
    """Train a network without each batch, segment that batch, and pool the scores of all frames.

    params : its section `cross_validation` says how many seeds, and what is laid over the rest.
    workers : trainings at a time, each in a process of its own.   track : whether MLflow keeps it,
    a run with one child a training.
    Returns the report that is also written to `out/crossval.json`: for one view and for those of
    `evaluation.tta` a `cross_validation.summary`, and the sizes of the latter.
    """
    from spinscope.studies.kerr.cross_validation_scores import summary

    settings = fold_settings(params)
    dataset = open_dataset(dataset_path(settings))
    batches = left_out(dataset)
    folds = [
        (settings.seed + k, batch)
        for k in range(settings.cross_validation.seeds)
        for batch in batches
    ]
    rows = list(_each(params, out, folds, workers, progress))
    views = sorted({1, settings.evaluation.tta})
    scheme = settings.data.scheme
    scored = dataset.select(batches)  # not those that are only trained on
    found: dict[str, Any] = {}
    for v in views:
        whole, parts = {}, {}
        for seed in sorted({seed for seed, _ in folds}):
            whole[seed] = _report(settings, scored, out, seed, v, scheme)
            parts[seed] = {
                batch: _report(settings, dataset.select([batch]), out, seed, v, scheme)
                for batch in batches
            }
        found[str(v)] = {**summary(whole, parts), "size": whole[settings.seed]["size"]}
        found[str(v)]["objects"] = whole[settings.seed]["objects"]
    report = {
        "kind": "crossval",
        "data_hash": data_hash(dataset),
        "settings": settings.digest(),
        "batches": batches,
        "trainings": rows,
        "views": found,
    }
    if track:
        _track(settings, report, out)
    write_json(out / REPORT, report)
    return report


def fold_settings(params: Params) -> Params:
    """The settings of every fold: no epoch is chosen."""
    return overridden(params, [*params.cross_validation.base, "training.keep=last"])


def left_out(dataset: Dataset) -> list[int]:
    """Batches that may be left out, one after the other; raises SpinscopeError below two."""
    batches = sorted({r.batch for r in dataset.records if r.use == "train_test_val"} - {None})
    if len(batches) < 2:
        raise SpinscopeError(
            f"{dataset.path} has {len(batches)} batches that may be held out; a cross-validation "
            "needs at least 2 lines train_test_val in partition.txt"
        )
    return batches


def run_fold(params: Params, out: Path, fold: Fold) -> dict[str, Any]:
    """Train without a batch, segment its frames; what has ended is read back.

    Returns {seed, batch, sha256, seconds, val_mcc, views, upscale, min_peak_probability}.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.models.store import NETWORK

    seed, batch = fold
    settings = fold_settings(params)
    folder = out / "crossval" / f"seed-{seed}" / f"batch-{batch}"
    result, held = _trained(settings, fold, folder)
    row = {
        "seed": seed,
        "batch": batch,
        "sha256": sha256(result.model / NETWORK),
        "seconds": result.seconds,
        "val_mcc": result.val_mcc,
        "views": sorted({1, settings.evaluation.tta}),
        **settings.model.rules,
    }
    engine = settings.inference
    note, said = folder / "segmented.json", {**row, "inference": engine.model_dump(mode="json")}
    if note.is_file() and json.loads(note.read_text()) == said:
        return row
    predictor = Predictor.load(result.model, engine.engine, engine.precision)
    for index, record in enumerate(held.records):
        for views in row["views"]:
            mask = predictor.classes(held.image(index), views)
            _write_mask(_mask_file(out, seed, views, record.name), mask)
    write_json(note, said)
    return row


def train_on_all(params: Params, out: Path, *, progress=plain) -> Path:
    """The model folder of a network trained on every batch with the settings of the folds.

    No frame is left to score it: what it is worth, the cross-validation of the same settings says.
    Its validation MCC, of the first batch, is that of frames it was trained on.
    """
    settings = fold_settings(params)
    folder = out / "crossval" / f"seed-{settings.seed}" / "all"
    return _trained(settings, (settings.seed, None), folder)[0].model


def masks(out: Path, seed: int, views: int, dataset: Dataset) -> Iterable[np.ndarray]:
    """Classes (H, W) uint8 of each frame, by networks that never saw its batch."""
    from PIL import Image

    for record in dataset.records:
        with Image.open(_mask_file(out, seed, views, record.name)) as image:
            yield np.asarray(image)


def cross_validation_lines(report: dict) -> list[str]:
    """MCC of every batch and pooled, and the count, without and with views averaged."""
    lines = []
    for views, found in report["views"].items():
        lines.append(f"{views} view{'s' if views != '1' else ''}")
        lines += [
            f"  batch {row['batch']:<8}MCC {row['mcc']:.4f}   {row['objects_predicted']:.0f} of "
            f"{row['objects_true']:.0f} objects, {row['n_images']} frames"
            for row in found["batches"]
        ]
        mcc, count = found["mcc"], found["count_error"]
        lines.append(
            f"  pooled        MCC {mcc['mean']:.4f} ± {mcc['sd']:.4f}   count "
            f"{100 * count['mean']:+.1f} %   mean of the sources {found['source_mcc']['mean']:.4f}"
        )
    return lines


def _trained(settings: Params, fold: Fold, folder: Path) -> tuple[FitResult, Dataset]:
    from spinscope.training.fit import fit

    seed, batch = fold
    dataset = open_dataset(dataset_path(settings))
    every = left_out(dataset)
    held = dataset.select([every[0] if batch is None else batch])
    rest = [other for other in every if other != batch]
    only_training = sorted({r.batch for r in dataset.records if r.use == "only_training"})
    splits = Splits(dataset.select([*rest, *only_training]), held)
    result = fit(
        families.of(settings),
        splits,
        settings,
        seed=seed,
        folder=folder,
        pretrained=first_weights(settings),
        info={"data_hash": data_hash(dataset), "left_out": batch},
    )
    return result, splits.validation


def _each(
    params: Params, out: Path, folds: list[Fold], workers: int, progress
) -> Iterable[dict[str, Any]]:
    run = functools.partial(run_fold, params, out)
    rows = map(run, folds) if workers == 1 else side_by_side(run, folds, workers)
    yield from progress(rows, total=len(folds), desc="folds")


def _report(
    settings: Params, part: Dataset, out: Path, seed: int, views: int, scheme: int
) -> dict[str, Any]:
    """Report of the masks that were written, in the order of the frames."""
    from spinscope.classes import CLASSES
    from spinscope.evaluation import evaluate

    found = iter(masks(out, seed, views, part))
    return evaluate(lambda _: next(found), part, CLASSES[:scheme], settings.evaluation)


def _mask_file(out: Path, seed: int, views: int, name: str) -> Path:
    return out / "crossval" / f"seed-{seed}" / f"masks-{views}" / f"{name}.png"


def _write_mask(path: Path, mask: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        Image.fromarray(mask).save(partial, format="PNG")


def _track(settings: Params, report: dict, out: Path) -> None:
    """A run of the cross-validation with a child a training."""
    from spinscope.tracking import lineage, open_store, runs

    store, hash_ = open_store(settings.tracking), report["data_hash"]
    study = f"cross-validation {hash_.removeprefix('md5:')[:8]} {report['settings'][:8]}"
    with runs.study_parent(store, settings, lineage(settings, hash_), study) as parent:
        known = runs.tracked_trials(parent)
        for row in report["trainings"]:
            name = f"seed {row['seed']} without batch {row['batch']} {row['sha256'][:8]}"
            if name in known:
                continue
            folder = out / "crossval" / f"seed-{row['seed']}" / f"batch-{row['batch']}"
            with runs.trial_run(parent, lineage(settings, hash_, row["seed"]), name) as run:
                runs.log_curves(run, json.loads((folder / "history.json").read_text()))
                runs.log_metrics(run, runs.numbers(row))
        for views, found in report["views"].items():
            runs.log_metrics(
                parent, {f"views_{views}.{k}": v for k, v in runs.numbers(found).items()}
            )
        runs.log_json(parent, report, f"study/{REPORT}")
