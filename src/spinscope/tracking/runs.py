"""Runs of an experiment: one parent, one child a seed, and what they keep.

Results are on disk before they are logged: where the store fails, a SpinscopeError says so and
the same call can be made again later; logging twice leaves one copy.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.processes import dead, this_process
from spinscope.tracking.store import Store, reachable

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_PARENT = "mlflow.parentRunId"
_KIND = "spinscope.kind"
_STUDY, _TRIAL = "spinscope.study", "spinscope.trial"
_PARAMS_A_CALL, _METRICS_A_CALL = 100, 1000  # limits of MLflow's log_batch


@dataclass(frozen=True)
class Run:
    """A run of a store: an experiment's parent, or one of its seeds."""

    store: Store
    run_id: str


@contextlib.contextmanager
def parent_run(
    store: Store, params: Params, lineage: Mapping[str, str], name: str | None = None
) -> Iterator[Run]:
    """The run over all seeds of an experiment; FINISHED at the end, FAILED where it raises.

    One that died before, with the same settings and data, is continued.
    """
    run = unfinished_parent(store, lineage)
    tags = {**lineage, _KIND: "experiment"}
    with _running(store, run, name or params.tracking.experiment, tags) as started:
        log_params(started, params)
        yield started


@contextlib.contextmanager
def seed_run(parent: Run, lineage: Mapping[str, str]) -> Iterator[Run]:
    """The child run of the seed that `lineage` names; one that ended or died is continued."""
    seed = lineage["seed"]
    ended = (r for r in _children(parent, seed) if r.info.status == "FINISHED" or _abandoned(r))
    run = next(ended, None)
    tags = {**lineage, _KIND: "seed", _PARENT: parent.run_id}
    with _running(parent.store, run, f"seed {seed}", tags) as started:
        yield started


@contextlib.contextmanager
def added_run(store: Store, lineage: Mapping[str, str], name: str) -> Iterator[Run]:
    """The run of a model that was trained elsewhere and is only measured and registered here."""
    with _running(store, None, name, {**lineage, _KIND: "added"}) as started:
        yield started


@contextlib.contextmanager
def study_run(store: Store, lineage: Mapping[str, str], name: str) -> Iterator[Run]:
    """The run of a study, which measures models and trains none."""
    with _running(store, None, name, {**lineage, _KIND: "study"}) as started:
        yield started


@contextlib.contextmanager
def study_parent(
    store: Store, params: Params, lineage: Mapping[str, str], study: str
) -> Iterator[Run]:
    """The run over all trials of a study, the same whenever the study of this name goes on."""
    known = _search(store, {_KIND: "study", _STUDY: study})
    tags = {**lineage, _KIND: "study", _STUDY: study}
    with _running(store, known[0] if known else None, study, tags) as started:
        if not (known and known[0].data.params):  # those of a run never change: seeds may be added
            log_params(started, params)
        yield started


@contextlib.contextmanager
def trial_run(parent: Run, lineage: Mapping[str, str], trial: str) -> Iterator[Run]:
    """The child run of a trial of this name; one that there is already is continued."""
    known = _search(parent.store, {_PARENT: parent.run_id, _TRIAL: trial})
    tags = {**lineage, _KIND: "trial", _TRIAL: trial, _PARENT: parent.run_id}
    with _running(parent.store, known[0] if known else None, trial, tags) as started:
        yield started


def tracked_trials(parent: Run) -> set[str]:
    """Names of the trials of a study whose run has ended well."""
    found = _search(parent.store, {_PARENT: parent.run_id, _KIND: "trial"})
    return {run.data.tags[_TRIAL] for run in found if run.info.status == "FINISHED"}


def unfinished_parent(store: Store, lineage: Mapping[str, str]) -> str | None:
    """Run id of a parent of the same settings and data whose process died, if there is one."""
    found = _search(
        store,
        {
            _KIND: "experiment",
            "params.digest": lineage["params.digest"],
            "data.hash": lineage["data.hash"],
        },
    )
    return next((run.info.run_id for run in found if _abandoned(run)), None)


def log_params(run: Run, params: Params) -> None:
    """Every setting as `section.key`."""
    from mlflow.entities import Param

    settings = [Param(key, str(value)) for key, value in flatten(params.model_dump()).items()]
    with reachable(run.store.uri):
        for start in range(0, len(settings), _PARAMS_A_CALL):
            run.store.client.log_batch(run.run_id, params=settings[start : start + _PARAMS_A_CALL])


def log_metrics(run: Run, metrics: Mapping[str, float]) -> None:
    """Numbers that hold for the whole run; those that are not finite are left out."""
    log_curves(run, {key: [value] for key, value in metrics.items() if math.isfinite(value)})


def log_curves(run: Run, history: Mapping[str, Sequence[float]], *, first_epoch: int = 0) -> None:
    """Per-epoch curves: name → one value an epoch, all in one call to the store."""
    from mlflow.entities import Metric

    with reachable(run.store.uri):
        # Equal times make equal rows: a curve that is logged again leaves one copy.
        start = run.store.client.get_run(run.run_id).info.start_time
        rows = [
            Metric(key, float(value), start + epoch, epoch)
            for key, values in history.items()
            for epoch, value in enumerate(values, first_epoch)
        ]
        for first in range(0, len(rows), _METRICS_A_CALL):
            run.store.client.log_batch(run.run_id, metrics=rows[first : first + _METRICS_A_CALL])


def log_epoch(run: Run, epoch: int, logs: Mapping[str, float]) -> None:
    """One epoch of the curves as it ends; `log_curves` of the whole history repeats it unharmed."""
    log_curves(run, {key: [value] for key, value in logs.items()}, first_epoch=epoch)


def log_report(run: Run, report: Mapping[str, Any], name: str = "validation") -> None:
    """An evaluation's report: its numbers as metrics, per-image rows as a table, all as JSON."""
    log_metrics(run, {f"{name}.{key}": value for key, value in numbers(report).items()})
    log_table(run, report["per_image"], f"{name}/per_image.csv")
    log_json(run, report, f"{name}/report.json")


def log_table(run: Run, rows: Sequence[Mapping[str, Any]], file: str) -> None:
    """Rows as a CSV file of the run."""
    import pandas as pd

    _log_text(run, pd.DataFrame(list(rows)).to_csv(index=False), file)


def log_json(run: Run, value: Any, file: str) -> None:
    """A value as a JSON file of the run."""
    import json

    _log_text(run, json.dumps(value, indent=1) + "\n", file)


def log_figure(run: Run, picture: Path | str | bytes, file: str) -> None:
    """A picture, a PNG's path or its bytes, as `figures/FILE` of the run."""
    content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    with tempfile.TemporaryDirectory() as folder, reachable(run.store.uri):
        path = Path(folder, file)
        path.write_bytes(content)
        run.store.client.log_artifact(run.run_id, str(path), "figures")


def over_seeds(reports: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
    """Mean and standard deviation over the seeds of every number of their reports.

    reports : seed → report.   Returns `KEY.mean` and `KEY.sd`; the SD is that of a sample
    (n - 1), and 0 for one seed.
    """
    if not reports:
        raise SpinscopeError("reports (={}) must hold at least one seed")
    table: dict[str, list[float]] = {}
    for report in reports.values():
        for key, value in numbers(report).items():
            table.setdefault(key, []).append(value)
    summary = {}
    for key, values in table.items():
        if len(values) == len(reports):
            summary[f"{key}.mean"] = float(np.mean(values))
            summary[f"{key}.sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return summary


def runs(store: Store):
    """Table of the experiment's runs, newest first: id, name, kind, status, seed, started, tags."""
    import pandas as pd

    rows = [
        {
            "run_id": run.info.run_id,
            "name": run.info.run_name,
            "kind": run.data.tags.get(_KIND, ""),
            "family": run.data.tags.get("family"),
            "status": run.info.status,
            "seed": run.data.tags.get("seed", ""),
            "started": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
            "parent": run.data.tags.get(_PARENT, ""),
            **{key: value for key, value in run.data.metrics.items() if "." in key},
        }
        for run in _search(store, {})
    ]
    return pd.DataFrame(rows)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; lists are kept whole.

    >>> flatten({"model": {"width": 16}, "seed": 1})
    {'model.width': 16, 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a report, keys joined by dots.

    >>> numbers({"mcc": 0.9, "objects": {"true": 4}, "name": "a"})
    {'mcc': 0.9, 'objects.true': 4.0}
    """
    return {
        key: float(value)
        for key, value in flatten(report).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


@contextlib.contextmanager
def _running(store: Store, run_id: str | MlflowRun | None, name: str, tags: dict) -> Iterator[Run]:
    """Start a run, or continue one, and close it as FINISHED or FAILED."""
    from mlflow.entities import RunTag

    tags = {**tags, "process": this_process(), "mlflow.source.name": "spinscope"}
    if tags.get("git.commit", "unknown") != "unknown":
        tags["mlflow.source.git.commit"] = tags["git.commit"]
    client = store.client
    with reachable(store.uri):
        if run_id is None:
            run_id = client.create_run(store.experiment_id, run_name=name, tags=tags).info.run_id
        else:
            run_id = run_id if isinstance(run_id, str) else run_id.info.run_id
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            client.update_run(run_id, "RUNNING")
    try:
        yield Run(store, run_id)
    except BaseException:
        # The reason counts, not that a store which may be down cannot note it.
        with contextlib.suppress(SpinscopeError), reachable(store.uri):
            client.set_terminated(run_id, "FAILED")
        raise
    with reachable(store.uri):
        client.set_terminated(run_id, "FINISHED")


def _abandoned(run: MlflowRun) -> bool:
    """Whether a run ended badly, or says RUNNING while its process on this machine is gone."""
    if run.info.status in ("FAILED", "KILLED"):
        return True
    named = run.data.tags.get("process", "")
    return run.info.status == "RUNNING" and bool(named) and dead(named)


def _children(parent: Run, seed: str) -> list[MlflowRun]:
    return _search(parent.store, {_PARENT: parent.run_id, "seed": seed})


def _search(store: Store, tags: Mapping[str, str]) -> list[MlflowRun]:
    """Runs of the experiment with all these tags, newest first."""
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found, token = [], None
    with reachable(store.uri):
        while True:
            page = store.client.search_runs(
                [store.experiment_id],
                condition,
                order_by=["attributes.start_time DESC"],
                max_results=500,
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found


def _log_text(run: Run, text: str, file: str) -> None:
    with reachable(run.store.uri):
        run.store.client.log_text(run.run_id, text, file)
