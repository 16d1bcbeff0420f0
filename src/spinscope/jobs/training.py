"""Training of a family over seeds: train, evaluate and track each, register the best.

Results are written to disk before they are tracked: a failing store loses no training.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spinscope import families
from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash
from spinscope.errors import SpinscopeError
from spinscope.families.base import Family
from spinscope.files import atomic_folder, exclusive, kept, sha256, write_json
from spinscope.jobs.data import checked_data, first_weights, split
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np

    from spinscope.tracking import Run, Version

EXAMPLES = 2
"""Number of frames whose predictions are stored with a registered version."""


def seeds(params: Params) -> list[int]:
    """The seeds of an experiment: `params.seed` and the integers that follow it."""
    return [params.seed + k for k in range(params.training.seeds)]


@exclusive("out")
def train(
    params: Params,
    out: Path,
    *,
    run_seeds: Callable[[list[int], str], list[dict]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Validate the data, train every seed, evaluate, track and register the best model.

    Parameters
    ----------
    params : Params
        Settings of a family.
    out : Path
        Receives `seed-SEED/`, `best/`, `validation/` and `report.json`.
    run_seeds : callable, optional
        (seeds, id of the parent run) → rows of `train_seed`, for a caller with its own concurrency
        and retries; by default one seed after the other.
    on_epoch : callable, optional
        Called with (seed, epoch, logs) after every epoch.
    progress : callable, optional

    Returns
    -------
    dict
        The report of `finish_training`.

    Raises
    ------
    SpinscopeError
        If the data is not fit to train on, or the tracking store fails.
    """
    from spinscope.tracking import lineage, open_store, parent_run

    data = checked_data(params, out / "validation", progress=progress)
    store = open_store(params.tracking)
    with parent_run(store, params, lineage(params, data.hash)) as parent:

        def in_order(every: list[int], parent_id: str) -> list[dict]:
            return [
                train_seed(
                    params,
                    seed,
                    out,
                    parent_id=parent_id,
                    on_epoch=on_epoch and partial(on_epoch, seed),
                    progress=progress,
                )
                for seed in every
            ]

        rows = (run_seeds or in_order)(seeds(params), parent.run_id)
        return finish_training(params, rows, out, parent_id=parent.run_id, validated=True)


def train_seed(
    params: Params,
    seed: int,
    out: Path,
    *,
    parent_id: str | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Train, evaluate and track one seed in `out/seed-SEED`; finished parts are read back.

    Parameters
    ----------
    params : Params
    seed : int
    out : Path
    parent_id : str, optional
        Id of the parent run; without one nothing is tracked.
    on_epoch : callable, optional
        Called with (epoch, logs) after every epoch.
    progress : callable, optional

    Returns
    -------
    dict
        {seed, folder, sha256, seconds, val_METRIC, best_epoch, run_id} and the reports of the
        family on the validation frames.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import lineage, measured_on
    from spinscope.training.fit import fit

    family, folder = families.of(params), out / f"seed-{seed}"
    dataset, splits = split(params)
    hash_ = data_hash(dataset)
    info = {"data_hash": hash_, "params": params.digest(), **family.data_info(dataset)}
    with _seed_run(params, lineage(params, hash_, seed), parent_id) as run:

        def every_epoch(epoch: int, logs: dict[str, float]) -> None:
            if on_epoch is not None:
                on_epoch(epoch, logs)
            if run is not None:
                from spinscope.tracking.runs import log_epoch

                # A store that fails for a moment must not end a training: all curves are logged
                # again at its end.
                with contextlib.suppress(SpinscopeError):
                    log_epoch(run, epoch, logs)

        result = fit(
            family,
            splits,
            params,
            seed=seed,
            folder=folder,
            pretrained=first_weights(params),
            info=info,
            on_epoch=every_epoch,
        )
        row = {
            "seed": seed,
            "folder": str(result.model),
            "sha256": sha256(result.model / NETWORK),
            "seconds": result.seconds,
            f"val_{family.metric.name}": result.score,
            "best_epoch": result.best_epoch,
            "run_id": run and run.run_id,
        }
        predictor = family.predictor(result.model)
        for name, views in family.reports(params).items():
            row[name] = kept(
                folder / f"{name}.json",
                [row["sha256"], measured_on(params, hash_), views],
                partial(
                    family.score,
                    predictor,
                    splits.validation,
                    params,
                    views=views,
                    progress=progress,
                ),
            )
        write_json(folder / "row.json", row)
        if run is not None:
            _track_seed(family, run, result.history, row, family.reports(params))
    return row


def finish_training(
    params: Params,
    rows: Sequence[dict],
    out: Path,
    *,
    parent_id: str | None = None,
    validated: bool = False,
) -> dict:
    """Summarise the seeds, copy the best model to `out/best`, track and register it.

    Parameters
    ----------
    params : Params
    rows : sequence of dict
        Rows of `train_seed`.
    out : Path
    parent_id : str, optional
        Id of the parent run; without one nothing is tracked or registered.
    validated : bool, default False
        Whether the data passed validation, which a gate requires.

    Returns
    -------
    dict
        Also written to `out/report.json`: {family, metric, profile, data, seeds, best_seed, best,
        registered}, `seeds` with one row per seed, and mean and SD over the seeds for every report
        of the family.
    """
    from spinscope.tracking import over_seeds

    family = families.of(params)
    metric, reports = family.metric, family.reports(params)
    columns = {name: f"{metric.name}_{name}".removesuffix("_validation") for name in reports}
    rows = sorted(rows, key=lambda row: row["seed"])
    best = rows[metric.best([row["validation"][metric.name] for row in rows])]
    _keep_best(family, Path(best["folder"]), out / "best")
    report = {
        "family": family.name,
        "metric": {"name": metric.name, "title": metric.title},
        "profile": params.profile,
        "data": str(dataset_path(params)),
        "seeds": [
            {
                **{key: row[key] for key in ("seed", "seconds", "best_epoch", "run_id")},
                **{key: row[name][metric.name] for name, key in columns.items()},
                **{key: row["validation"][key] for key in family.listed},
            }
            for row in rows
        ],
        "best_seed": best["seed"],
        "best": str(out / "best"),
        **{name: over_seeds({row["seed"]: row[name] for row in rows}) for name in reports},
    }
    if parent_id is not None:
        version = _track_experiment(params, rows, best, report, out, parent_id, validated)
        report["registered"] = version.ref
    write_json(out / "report.json", report)
    return report


def _keep_best(family: Family, model: Path, best: Path) -> None:
    """Copy the best seed's model folder with its export, unless the copy exists."""
    from spinscope.models.store import EXPORT, NETWORK

    same = (best / NETWORK).is_file() and sha256(best / NETWORK) == sha256(model / NETWORK)
    if not (same and (best / EXPORT).is_file()):
        exported_copy(family, model, best)


def exported_copy(family: Family, model: Path, target: Path) -> Path:
    """Copy a model folder and add the family's export; returns `target`.

    Parameters
    ----------
    family : Family
    model : Path
        Model folder.
    target : Path
        Replaced if it exists.
    """
    from spinscope.models.store import write_sums

    with atomic_folder(target) as copy:
        shutil.copytree(model, copy, dirs_exist_ok=True)
        family.export(copy)
        write_sums(copy)
    return target


def examples(frames: Dataset) -> list[np.ndarray]:
    """The first frames, whose predictions are stored with a registered version."""
    return [frames.image(index) for index in range(min(EXAMPLES, len(frames)))]


def _seed_run(
    params: Params, tags: dict[str, str], parent_id: str | None
) -> contextlib.AbstractContextManager[Run | None]:
    """The run of one seed; None without a parent."""
    from spinscope.tracking import Run, open_store, seed_run

    if parent_id is None:
        return contextlib.nullcontext()
    return seed_run(Run(open_store(params.tracking), parent_id), tags)


def _track_seed(
    family: Family, run: Run, history: dict[str, list[float]], row: dict, reports: Sequence[str]
) -> None:
    """Log curves, reports and figures of one seed."""
    from spinscope.evaluation import figures
    from spinscope.tracking.runs import log_curves, log_figure, log_metrics, log_report

    log_curves(run, history)
    log_metrics(run, {"seconds": row["seconds"], "best_epoch": row["best_epoch"]})
    for name in reports:
        log_report(run, row[name], name)
    metric = family.metric
    curves = figures.training_curves({row["seed"]: history}, metric.name, metric.title)
    for name, figure in {"curves.png": curves, **family.figures(row["validation"])}.items():
        log_figure(run, figures.png(figure), name)


def _track_experiment(
    params: Params,
    rows: Sequence[dict],
    best: dict,
    report: dict,
    out: Path,
    parent_id: str,
    validated: bool,
) -> Version:
    """Log the numbers over all seeds; register the best model unless it is the newest version."""
    from spinscope.evaluation import figures
    from spinscope.tracking import Run, lineage, measured_on, open_store, register
    from spinscope.tracking.registry import same_version
    from spinscope.tracking.runs import log_figure, log_json, log_metrics

    family, store = families.of(params), open_store(params.tracking)
    parent, metric = Run(store, parent_id), family.metric
    dataset, splits = split(params)
    for name in family.reports(params):
        prefix = "" if name == "validation" else f"{name}."
        log_metrics(parent, {f"{prefix}{key}": value for key, value in report[name].items()})
    log_json(parent, report, "report.json")
    histories = {
        row["seed"]: json.loads((out / f"seed-{row['seed']}" / "history.json").read_text())
        for row in rows
    }
    curves = figures.training_curves(histories, metric.name, metric.title)
    log_figure(parent, figures.png(curves), "curves.png")
    hash_, name = data_hash(dataset), params.tracking.experiment
    tags = lineage(params, hash_, best["seed"]) | {"network.sha256": best["sha256"]}
    if same := same_version(store, name, tags):
        return same
    return register(
        store,
        family,
        best["run_id"] or parent_id,
        out / "best",
        name,
        seed=best["seed"],
        reports={row["seed"]: row["validation"] for row in rows},
        lineage=tags,
        measured_on=measured_on(params, hash_),
        validated=validated,
        examples=examples(splits.validation),
    )
