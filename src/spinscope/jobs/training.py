"""The training of a family over seeds: each trained, evaluated and tracked, the best registered.

Results are on disk before they are tracked: a store that fails loses no training.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256, write_json
from spinscope.jobs.data import checked_data, first_weights, made_as, plain, split
from spinscope.jobs.evaluating import score

if TYPE_CHECKING:
    import numpy as np

    from spinscope.tracking import Store, Version

EXAMPLES = 2
"""Frames whose predictions are stored with a registered version."""


def seeds(params: Params) -> list[int]:
    """The seeds of an experiment: params.seed and those that follow it."""
    return [params.seed + k for k in range(params.training.seeds)]


def train(
    params: Params,
    out: Path,
    *,
    run_seeds: Callable[[list[int], str], list[dict]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress=plain,
) -> dict:
    """Validate, train every seed, evaluate, track and register: the main job of a family.

    run_seeds : (seeds, id of the parent run) → rows of `train_seed`, where a flow brings its own
        concurrency and retries; in order by default.
    Returns the report that is also written to `out/report.json`.
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
    progress=plain,
) -> dict:
    """Train, evaluate and track one seed in `out/seed-SEED`; what has ended is read back.

    Returns {seed, folder, seconds, val_mcc, best_epoch, run_id, validation, tta}: the reports on
    the validation frames without and with test-time augmentation.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.training.fit import fit

    folder = out / f"seed-{seed}"
    dataset, splits = split(params)
    info = {"data_hash": data_hash(dataset), "params": params.digest(), **made_as(dataset)}
    with _tracked_seed(params, seed, info["data_hash"], parent_id) as track:
        result = fit(
            splits,
            params,
            seed=seed,
            folder=folder,
            pretrained=first_weights(params),
            info=info,
            on_epoch=_both(on_epoch, track.epoch),
        )
        predictor = Predictor.load(result.model)
        row = {
            "seed": seed,
            "folder": str(result.model),
            "seconds": result.seconds,
            "val_mcc": result.val_mcc,
            "best_epoch": result.best_epoch,
            "run_id": track.run_id,
        }
        for name, views in (("validation", 1), ("tta", params.evaluation.tta)):
            row[name] = _cached_report(
                folder / f"{name}.json",
                result.model,
                lambda views=views: score(
                    params, predictor, splits.validation, views, progress=progress
                ),
            )
        write_json(folder / "row.json", row)
        track.finish(result.history, row)
    return row


def holds_seed(out: Path, seed: int, settings: str) -> bool:
    """Whether `out` holds the finished training of a seed with settings of this digest."""
    from spinscope.training.fit import RESULT

    path = out / f"seed-{seed}" / RESULT
    return path.is_file() and json.loads(path.read_text())["info"]["params"] == settings


def finish_training(
    params: Params,
    rows: Sequence[dict],
    out: Path,
    *,
    parent_id: str | None = None,
    validated: bool = False,
) -> dict:
    """Summarise the seeds, keep the best model in `out/best`, track and register it.

    validated : whether the data passed validation; a gate asks for it.
    Returns the training's report: table over the seeds, best seed, registered reference.
    """
    from spinscope.tracking import over_seeds

    rows = sorted(rows, key=lambda row: row["seed"])
    best = max(rows, key=lambda row: row["validation"]["mcc"])
    _keep_best(Path(best["folder"]), out / "best")
    report = {
        "family": params.family,
        "profile": params.profile,
        "data": str(dataset_path(params)),
        "seeds": [
            {
                **{key: row[key] for key in ("seed", "seconds", "best_epoch", "run_id")},
                "mcc": row["validation"]["mcc"],
                "mcc_tta": row["tta"]["mcc"],
                "objects": row["validation"]["objects"],
            }
            for row in rows
        ],
        "best_seed": best["seed"],
        "best": str(out / "best"),
        **{
            name: over_seeds({row["seed"]: row[name] for row in rows})
            for name in ("validation", "tta")
        },
    }
    if parent_id is not None:
        version = _track_experiment(params, rows, best, report, out, parent_id, validated)
        report["registered"] = version.ref
    write_json(out / "report.json", report)
    return report


def _keep_best(model: Path, best: Path) -> None:
    """Copy the best seed's model folder with its OpenVINO network, unless it stands there."""
    from spinscope.models.store import EXPORT, NETWORK

    kept = (best / NETWORK).is_file() and sha256(best / NETWORK) == sha256(model / NETWORK)
    if not (kept and (best / EXPORT).is_file()):
        with_fast_network(model, best)


def with_fast_network(model: Path, target: Path) -> Path:
    """Copy a model folder and add its OpenVINO network, where that can be made."""
    from spinscope.inference.engine import export, has_openvino
    from spinscope.models.store import write_sums

    with atomic_folder(target) as copy:
        shutil.copytree(model, copy, dirs_exist_ok=True)
        if has_openvino():
            try:
                export(copy, copy)
            except Exception as error:  # the converter raises many kinds; Keras computes it then
                warnings.warn(str(error), stacklevel=2)
        write_sums(copy)
    return target


def examples(frames: Dataset) -> list[np.ndarray]:
    """The first frames (H, W), whose predictions are stored with a registered version."""
    return [frames.image(index) for index in range(min(EXAMPLES, len(frames)))]


def _track_experiment(
    params: Params,
    rows: Sequence[dict],
    best: dict,
    report: dict,
    out: Path,
    parent_id: str,
    validated: bool,
) -> Version:
    from spinscope.evaluation import figures
    from spinscope.tracking import Run, lineage, measured_on, open_store, register
    from spinscope.tracking.runs import log_figure, log_json, log_metrics

    store: Store = open_store(params.tracking)
    parent = Run(store, parent_id)
    dataset, splits = split(params)
    log_metrics(parent, report["validation"])
    log_metrics(parent, {f"tta.{key}": value for key, value in report["tta"].items()})
    log_json(parent, report, "report.json")
    histories = {
        row["seed"]: json.loads((out / f"seed-{row['seed']}" / "history.json").read_text())
        for row in rows
    }
    log_figure(parent, _png(figures.training_curves(histories)), "curves.png")
    hash_, name = data_hash(dataset), params.tracking.experiment
    tags = lineage(params, hash_, best["seed"]) | {
        "network.sha256": best["validation"]["model_sha256"]
    }
    if same := _registered_before(store, name, tags):
        return same
    return register(
        store,
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


def _registered_before(store: Store, name: str, tags: dict[str, str]) -> Version | None:
    """The newest version, if it is of the same network, settings and data."""
    from spinscope.tracking import registry

    if name not in registry.names(store):
        return None
    newest = registry.version(store, name)
    same = ("network.sha256", "params.digest", "data.hash")
    return newest if all(newest.tags.get(key) == tags[key] for key in same) else None


def _cached_report(path: Path, model: Path, make: Callable[[], dict]) -> dict:
    """A report that is kept beside the model it is of, so that a repeated call reads it."""
    from spinscope.models.store import NETWORK

    digest = sha256(model / NETWORK)
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept.get("model_sha256") == digest:
            return kept
    report = {**make(), "model_sha256": digest}
    write_json(path, report)
    return report


def _both(*calls: Callable | None) -> Callable:
    def every(*arguments):
        for call in calls:
            if call is not None:
                call(*arguments)

    return every


class _Untracked:
    """Stands in for a tracked seed where no parent run is named."""

    run_id: str | None = None

    def epoch(self, epoch: int, logs: dict[str, float]) -> None: ...
    def finish(self, history: dict[str, list[float]], row: dict) -> None: ...


class _TrackedSeed(_Untracked):
    """Writes one seed's curves, reports and figures to its run."""

    def __init__(self, run):
        self.run, self.run_id = run, run.run_id

    def epoch(self, epoch: int, logs: dict[str, float]) -> None:
        from spinscope.tracking.runs import log_epoch

        # A store that fails for a moment must not end a training; `finish` logs all again.
        with contextlib.suppress(SpinscopeError):
            log_epoch(self.run, epoch, logs)

    def finish(self, history: dict[str, list[float]], row: dict) -> None:
        from spinscope.evaluation import figures
        from spinscope.tracking.runs import log_curves, log_figure, log_metrics, log_report

        log_curves(self.run, history)
        log_metrics(self.run, {"seconds": row["seconds"], "best_epoch": row["best_epoch"]})
        for name in ("validation", "tta"):
            log_report(self.run, row[name], name)
        for name, figure in (
            ("curves.png", figures.training_curves({row["seed"]: history})),
            ("sizes.png", figures.size_distribution(row["validation"])),
            ("confusion.png", figures.confusion_matrix(row["validation"])),
        ):
            log_figure(self.run, _png(figure), name)


@contextlib.contextmanager
def _tracked_seed(params: Params, seed: int, hash_: str, parent_id: str | None):
    if parent_id is None:
        yield _Untracked()
        return
    from spinscope.tracking import Run, lineage, open_store, seed_run

    parent = Run(open_store(params.tracking), parent_id)
    with seed_run(parent, lineage(params, hash_, seed)) as run:
        yield _TrackedSeed(run)


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
