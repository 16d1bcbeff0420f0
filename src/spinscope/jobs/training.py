"""Training of a family over seeds in three steps: train, evaluate, register.

Results are written to disk before they are tracked: a failing store stops no training, and what it
missed is recorded once it answers.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import families
from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, Splits, data_hash
from spinscope.drift.reference import IMAGING
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.extras import require
from spinscope.families.base import Family
from spinscope.files import atomic_folder, exclusive, locked, sha256, write_json
from spinscope.jobs.data import checked_data, first_weights, split
from spinscope.jobs.drifting import training_reference
from spinscope.jobs.evaluating import EVIDENCE, evidence, score_model
from spinscope.jobs.tables import write_curves, write_frames, write_metrics
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np

    from spinscope.tracking import Run, Version

STEPS = ("train", "evaluate", "register")
"""Steps of `train`, each with settings and results of its own."""
TRAINING, REPORT = "training.json", "report.json"
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
    steps: Sequence[str] = STEPS,
    run_seeds: Callable[[list[int], str | None], list[dict]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Train every seed, evaluate the networks and register the best, or some of these steps.

    Parameters
    ----------
    params : Params
        Settings of a family.
    out : Path
        Receives the files of `train_networks` and `evaluate_training`.
    steps : sequence of str
        Of `STEPS`; by default all.
    run_seeds, on_epoch
        See `train_networks`.
    progress : callable, optional

    Returns
    -------
    dict
        Record of the last step; with the step "register", the report of `evaluate_training` and
        `registered`, the reference of the version.

    Raises
    ------
    SpinscopeError
        If the data is not fit to train on, an earlier step is missing, or the tracking store
        fails.
    """
    if unknown := [step for step in steps if step not in STEPS]:
        raise SpinscopeError(f"step {unknown[0]!r} must be one of {', '.join(STEPS)}")
    require("tensorflow")
    result: dict = {}
    if "train" in steps:
        result = train_networks(
            params, out, run_seeds=run_seeds, on_epoch=on_epoch, progress=progress
        )
    if "evaluate" in steps:
        result = evaluate_training(params, out, progress=progress)
    if "register" in steps:
        result = {**read_report(out), "registered": register_training(params, out).ref}
        write_json(out / REPORT, result)
    return result


@exclusive("out")
def train_networks(
    params: Params,
    out: Path,
    *,
    run_seeds: Callable[[list[int], str | None], list[dict]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Validate the data and train every seed; finished seeds are read back.

    Parameters
    ----------
    params : Params
        Settings of a family.
    out : Path
        Receives `seed-SEED/`, `validation/`, `curves.csv` and `training.json`.
    run_seeds : callable, optional
        (seeds, id of the parent run or None) → rows of `train_seed`, for a caller with its own
        concurrency and retries; by default one seed after the other.
    on_epoch : callable, optional
        Called with (seed, epoch, logs) after every epoch.
    progress : callable, optional

    Returns
    -------
    dict
        Also written to `out/training.json`: {family, profile, params, data, run_id, seeds}, `seeds`
        with one row of `train_seed` per seed.

    Raises
    ------
    SpinscopeError
        If the data is not fit to train on. If the tracking store fails, the training goes on, and
        is recorded at its end; the error is raised if the store still fails then.
    """
    from spinscope.evaluation import figures
    from spinscope.tracking import lineage, open_store, parent_run
    from spinscope.tracking.runs import log_datasets, log_figure
    from spinscope.tracking.store import StoreDown

    data = checked_data(params, out / "validation", progress=progress)
    family, tags = families.of(params), lineage(params, data.hash)

    def in_order(every: list[int], parent_id: str | None) -> list[dict]:
        train = partial(train_seed, params, out=out, parent_id=parent_id)
        return [train(seed, on_epoch=on_epoch and partial(on_epoch, seed)) for seed in every]

    with contextlib.ExitStack() as tracked:
        parent: Run | None = None
        with _training_goes_on(StoreDown):
            store = open_store(params.tracking)
            parent = tracked.enter_context(parent_run(store, params, tags))
        rows = (run_seeds or in_order)(seeds(params), parent and parent.run_id)
        rows = sorted(rows, key=lambda row: row["seed"])
        histories = {row["seed"]: _history(out, row["seed"]) for row in rows}
        record = {
            "family": params.family,
            "profile": params.profile,
            "params": params.digest(),
            "data": {"path": str(dataset_path(params)), "hash": data.hash, "validated": True},
            "run_id": parent and parent.run_id,
            "seeds": rows,
        }
        write_curves(out, family, histories)
        write_json(out / TRAINING, record)
        try:
            if parent is None:
                store = open_store(params.tracking)
                parent = tracked.enter_context(parent_run(store, params, tags))
            log_datasets(parent, _uses(data.splits), data.hash)
            for row in rows:  # those that the store missed
                history = histories[row["seed"]]
                row["run_id"] = row["run_id"] or _track_seed(
                    params, parent.run_id, data.splits, data.hash, row, history
                )
            curves = figures.training_curves(histories, family.metric.name, family.metric.title)
            log_figure(parent, figures.png(curves), "curves.png")
        except SpinscopeError as error:
            raise type(error)(
                f"{error}; the training in {out} is complete, and the same command records it"
            ) from error
        write_json(out / TRAINING, record | {"run_id": parent.run_id})
    return record | {"run_id": parent.run_id}


@contextlib.contextmanager
def _training_goes_on(errors: type[SpinscopeError] = SpinscopeError) -> Iterator[None]:
    """Warn of a store that fails: all that it misses is on disk, and recorded at the end."""
    try:
        yield
    except errors as error:
        warnings.warn(
            f"{error}; the training goes on and is recorded at its end", SpinscopeWarning,
            stacklevel=3,
        )  # fmt: skip


def train_seed(
    params: Params,
    seed: int,
    out: Path,
    *,
    parent_id: str | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> dict:
    """Train and track one seed in `out/seed-SEED`; a finished one is read back.

    Parameters
    ----------
    params : Params
    seed : int
    out : Path
    parent_id : str, optional
        Id of the parent run; without one nothing is tracked.
    on_epoch : callable, optional
        Called with (epoch, logs) after every epoch.

    Returns
    -------
    dict
        {seed, sha256, seconds, val_METRIC, best_epoch, run_id}.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import lineage
    from spinscope.training.fit import fit

    family, folder = families.of(params), out / f"seed-{seed}"
    dataset, splits = split(params)
    hash_ = data_hash(dataset)
    info = {"data_hash": hash_, "params": params.digest(), **family.data_info(dataset)}
    tags = lineage(params, hash_, seed)
    with locked(folder), _live_run(params, tags, parent_id) as log_epoch:

        def every_epoch(epoch: int, logs: dict[str, float]) -> None:
            for call in (on_epoch, log_epoch):
                if call is not None:
                    call(epoch, logs)

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
        "sha256": sha256(result.model / NETWORK),
        "seconds": result.seconds,
        f"val_{family.metric.name}": result.score,
        "best_epoch": result.best_epoch,
        "run_id": None,
    }
    if parent_id is not None:
        with _training_goes_on():
            row["run_id"] = _track_seed(params, parent_id, splits, hash_, row, result.history)
    return row


@exclusive("out", "training")
def evaluate_training(
    params: Params, training: Path, out: Path | None = None, *, progress: Progress = no_progress
) -> dict:
    """Score every network of a training on the validation frames and copy the best to `out/best`.

    A score is read back only if network, frames, settings, code and packages are the same.

    Parameters
    ----------
    params : Params
        Settings; the section `evaluation` may differ from that of the training.
    training : Path
        Folder of `train_networks`.
    out : Path, optional
        Receives `seed-SEED/REPORT.json`, `best/`, `metrics.json`, `frames.csv` and `report.json`;
        by default `training`.
    progress : callable, optional

    Returns
    -------
    dict
        Also written to `out/report.json`: {family, metric, profile, data, seeds, best_seed, best,
        optimism, evidence, run_id}, `seeds` with one row per seed, and mean and SD over the seeds
        for every report of the family. `optimism` is the gain of choosing the best seed on the
        frames on which it is scored.

    Raises
    ------
    SpinscopeError
        If the folder holds no finished training of the settings' family, or its networks changed.
    """
    from spinscope.evaluation.intervals import optimism
    from spinscope.models.store import NETWORK
    from spinscope.tracking import over_seeds

    training, out = Path(training), Path(out or training)
    family, record = families.of(params), read_training(training)
    if record["family"] != family.name:
        raise SpinscopeError(
            f"{training} holds a training of the family {record['family']}, not of {family.name}"
        )
    dataset, splits = split(params)
    frames, hash_ = splits.validation, data_hash(dataset)
    metric, views_of = family.metric, family.reports(params)
    reports: dict[str, dict[int, dict]] = {name: {} for name in views_of}
    for row in record["seeds"]:
        seed = row["seed"]
        model = training / f"seed-{seed}" / "model"
        if not (model / NETWORK).is_file() or sha256(model / NETWORK) != row["sha256"]:
            raise SpinscopeError(
                f"{model / NETWORK} is not the network that {training / TRAINING} lists; "
                "run the training again"
            )
        network = family.predictor(model)
        for name, views in views_of.items():
            reports[name][seed] = score_model(
                params,
                model,
                frames,
                network,
                views=views,
                data=hash_,
                path=out / f"seed-{seed}" / f"{name}.json",
                progress=progress,
            )
    first = reports["validation"]
    order = [row["seed"] for row in record["seeds"]]
    best_seed = order[metric.best([first[seed][metric.name] for seed in order])]
    columns = {name: f"{metric.name}_{name}".removesuffix("_validation") for name in views_of}
    headline = family.quantities(params)[0]
    report = {
        "family": family.name,
        "metric": {"name": metric.name, "title": metric.title},
        "profile": params.profile,
        "data": str(dataset_path(params)),
        "data_hash": hash_,
        "validated": record["data"]["validated"] and record["data"]["hash"] == hash_,
        "params": record["params"],
        "seeds": [
            {
                **{key: row[key] for key in ("seed", "seconds", "best_epoch", "run_id")},
                **{key: reports[name][row["seed"]][metric.name] for name, key in columns.items()},
                **{key: first[row["seed"]][key] for key in (*family.listed, "seen_in_training")},
            }
            for row in record["seeds"]
        ],
        "n_images": len(frames),
        "best_seed": best_seed,
        "best": str(out / "best"),
        "optimism": optimism(
            [headline.per_source(first[seed]["per_image"]) for seed in order],
            maximise=headline.maximise,
        ),
        "evidence": first[best_seed]["evidence"],
        **{name: over_seeds(reports[name]) for name in views_of},
    }
    _keep_best(family, training / f"seed-{best_seed}" / "model", out / "best", splits.train)
    report["run_id"] = _track_scores(params, record, report, reports, frames)
    write_metrics(out, family, report, views_of)
    write_frames(out, family, first[best_seed])
    write_json(out / REPORT, report)
    return report


def register_training(params: Params, out: Path, name: str | None = None) -> Version:
    """Register the best network of an evaluated training, unless it is the newest version.

    Parameters
    ----------
    params : Params
        Settings of the evaluation.
    out : Path
        Folder of `evaluate_training`.
    name : str, optional
        Registered name; by default `tracking.experiment`.

    Raises
    ------
    SpinscopeError
        If the scores of the folder are those of another network, other frames, settings or code,
        or the store fails.
    """
    from spinscope.tracking import lineage, open_store, register
    from spinscope.tracking.registry import same_version

    family, report = families.of(params), read_report(out)
    dataset, splits = split(params)
    best, hash_ = out / "best", data_hash(dataset)
    views = family.reports(params)["validation"]
    now = evidence(params, best, splits.validation, views=views, data=hash_)
    if differing := [key for key in EVIDENCE if report["evidence"].get(key) != now[key]]:
        raise SpinscopeError(
            f"{out / REPORT} holds the scores of other {' and '.join(differing)}: evaluate the "
            "training again before it is registered"
        )
    store, seed = open_store(params.tracking), report["best_seed"]
    name = name or params.tracking.experiment
    tags = lineage(params, hash_, seed) | {"network.sha256": now["network"]}
    tags |= evidence_tags(report)
    scores = {
        row["seed"]: json.loads((out / f"seed-{row['seed']}/validation.json").read_text())["value"]
        for row in report["seeds"]
    }
    with store.locked(f"registration-{name}"):
        if same := same_version(store, name, tags):
            return same
        return register(
            store,
            family,
            report["run_id"],
            best,
            name,
            seed=seed,
            reports=scores,
            lineage=tags,
            validated=report["validated"],
            examples=examples(splits.validation),
        )


def evidence_tags(report: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a version that name the evidence of its scores.

    Parameters
    ----------
    report : mapping
        Report of `score_model`, or of `evaluate_training`.
    """
    tags = {f"evidence.{key}": value for key, value in report["evidence"].items()}
    if report.get("optimism") is not None:
        tags["optimism"] = f"{report['optimism']:.8g}"
    return tags


def read_training(folder: Path) -> dict:
    """Record of a training, `training.json`.

    Raises
    ------
    SpinscopeError
        If the folder holds no finished training.
    """
    return _read(folder / TRAINING, "seeds", "a finished training: run `spinscope train` first")


def read_report(folder: Path) -> dict:
    """Report of an evaluated training, `report.json`.

    Raises
    ------
    SpinscopeError
        If the folder holds no evaluated training.
    """
    rule = "the scores of a training: run `spinscope train --steps evaluate` first"
    return _read(folder / REPORT, "evidence", rule)


def _read(path: Path, key: str, rule: str) -> dict:
    try:
        value = json.loads(path.read_text())
        value[key]
    except (OSError, ValueError, KeyError, TypeError):
        raise SpinscopeError(f"{path} must hold {rule}") from None
    return value


def _history(out: Path, seed: int) -> dict[str, list[float]]:
    return json.loads((out / f"seed-{seed}" / "history.json").read_text())


def _keep_best(family: Family, model: Path, best: Path, frames: Dataset) -> None:
    """Copy the best seed's model folder with its export, unless the copy exists."""
    from spinscope.models.store import EXPORT, NETWORK

    same = (best / NETWORK).is_file() and sha256(best / NETWORK) == sha256(model / NETWORK)
    added = [EXPORT, *([IMAGING] if family.masks else ())]
    if not (same and all((best / name).is_file() for name in added)):
        exported_copy(family, model, best, frames)


def exported_copy(family: Family, model: Path, target: Path, frames: Dataset | None = None) -> Path:
    """Copy a model folder and add the family's export; returns `target`.

    Parameters
    ----------
    family : Family
    model : Path
        Model folder.
    target : Path
        Replaced if it exists.
    frames : Dataset, optional
        Training frames, whose imaging conditions are added for later reports of drift.
    """
    from spinscope.models.store import write_sums

    with atomic_folder(target) as copy:
        shutil.copytree(model, copy, dirs_exist_ok=True)
        family.export(copy)
        write_sums(copy)
        if frames and family.masks:
            reference = training_reference(family, family.fast_predictor(copy), frames)
            if reference:
                write_json(copy / IMAGING, reference.to_json())
                write_sums(copy)
    return target


def examples(frames: Dataset) -> list[np.ndarray]:
    """The first frames, whose predictions are stored with a registered version."""
    return [frames.image(index) for index in range(min(EXAMPLES, len(frames)))]


def _uses(splits: Splits) -> dict[str, Dataset]:
    """Frames of a training by their use, as MLflow names it."""
    return {"training": splits.train, "validation": splits.validation}


@contextlib.contextmanager
def _live_run(
    params: Params, tags: dict[str, str], parent_id: str | None
) -> Iterator[Callable[[int, Mapping[str, float]], None] | None]:
    """Function that logs the epochs of a seed while it trains, as far as the store answers."""
    from spinscope.tracking import Run, open_store, seed_run
    from spinscope.tracking.runs import EpochLog

    with contextlib.ExitStack() as tracked:
        log = None
        if parent_id is not None:
            with _training_goes_on():
                parent = Run(open_store(params.tracking), parent_id)
                log = EpochLog(tracked.enter_context(seed_run(parent, tags)))
        yield log
        with _training_goes_on():
            tracked.close()


def _track_seed(
    params: Params,
    parent_id: str,
    splits: Splits,
    data: str,
    row: dict,
    history: dict[str, list[float]],
) -> str:
    """Log data, curves and figures of a trained seed, once; returns the id of its run."""
    from spinscope.evaluation import figures
    from spinscope.tracking import Run, lineage, open_store, seed_run
    from spinscope.tracking.runs import log_curves, log_datasets, log_figure, log_metrics

    metric = families.of(params).metric
    parent = Run(open_store(params.tracking), parent_id)
    with seed_run(parent, lineage(params, data, row["seed"])) as run:
        log_datasets(run, _uses(splits), data)
        log_curves(run, history)
        log_metrics(run, {"seconds": row["seconds"], "best_epoch": row["best_epoch"]})
        curves = figures.training_curves({row["seed"]: history}, metric.name, metric.title)
        log_figure(run, figures.png(curves), "curves.png")
    return run.run_id


def _track_scores(
    params: Params,
    record: dict,
    report: dict,
    reports: Mapping[str, Mapping[int, dict]],
    frames: Dataset,
) -> str | None:
    """Log the scores of every seed and those over all seeds; returns the run of the best seed.

    Scores with other settings than those of the training get a run of their own.
    """
    from spinscope.evaluation import figures
    from spinscope.tracking import Run, lineage, open_store
    from spinscope.tracking.runs import (
        added_run,
        log_datasets,
        log_figure,
        log_json,
        log_metrics,
        log_report,
    )

    if record["run_id"] is None:
        return None
    family, store, best = families.of(params), open_store(params.tracking), report["best_seed"]
    runs = {row["seed"]: row["run_id"] for row in record["seeds"]}
    summary = Run(store, record["run_id"])
    if record["params"] != params.digest():
        tags = lineage(params, report["data_hash"], best)
        name = f"evaluate {params.tracking.experiment}"
        with added_run(store, params, tags, name) as summary:
            runs = {best: summary.run_id}
            log_datasets(summary, {"validation": frames}, report["data_hash"])
    for seed, run_id in runs.items():
        run = Run(store, run_id)
        for name in reports:
            log_report(run, reports[name][seed], name)
        for name, figure in family.figures(reports["validation"][seed]).items():
            log_figure(run, figures.png(figure), name)
    for name in reports:
        prefix = "" if name == "validation" else f"{name}."
        log_metrics(summary, {f"{prefix}{key}": value for key, value in report[name].items()})
    log_json(summary, report, "report.json")
    return runs[best]
