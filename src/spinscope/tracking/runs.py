"""Runs of an experiment: one parent with one child per seed or trial, and what they store.

Results are written to disk before they are logged. If the store fails, the same call can be
repeated later; logging twice leaves one copy.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.errors import SpinscopeError
from spinscope.files import digest, partial_folder
from spinscope.processes import dead, this_process, this_user
from spinscope.tracking.store import Store, open_store, pages, public, reachable

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

_PARENT = "mlflow.parentRunId"
KIND = "spinscope.kind"
_STUDY, _TRIAL = "spinscope.study", "spinscope.trial"
_PAUSE_SECONDS = 30.0
_unended: set[str] = set()
"""Runs that ended in this process while the store could not record it."""
_PARAMS_PER_CALL, _METRICS_PER_CALL = 100, 1000  # limits of MLflow's log_batch


@dataclass(frozen=True)
class Run:
    """A run of a store."""

    store: Store
    run_id: str


@contextlib.contextmanager
def parent_run(
    store: Store, params: Params, lineage: Mapping[str, str], name: str | None = None
) -> Iterator[Run]:
    """Open the run over all seeds; it ends as FINISHED, or as FAILED if the block raises.

    A run of the same settings and data that was interrupted before is resumed.

    Parameters
    ----------
    store : Store
    params : Params
        Logged as parameters of the run.
    lineage : mapping
        Tags, see `spinscope.tracking.lineage.lineage`.
    name : str, optional
        By default `tracking.experiment`.
    """
    same = {key: lineage[key] for key in ("params.digest", "data.hash")}
    known = filter(_interrupted, _search(store, {KIND: "experiment", **same}))
    tags = {**lineage, KIND: "experiment"}
    run = _running(store, next(known, None), name or params.tracking.experiment, tags)
    with run as started:
        log_params(started, params)
        yield started


@contextlib.contextmanager
def seed_run(parent: Run, lineage: Mapping[str, str]) -> Iterator[Run]:
    """Open the child run of the seed in `lineage`; a finished or interrupted one is resumed.

    Its parameters are those of the parent, with its own seed.

    Parameters
    ----------
    parent : Run
    lineage : mapping
        Tags, with the `seed`.
    """
    seed = lineage["seed"]
    children = _search(parent.store, {_PARENT: parent.run_id, "seed": seed})
    known = (run for run in children if run.info.status == "FINISHED" or _interrupted(run))
    tags = {**lineage, KIND: "seed", _PARENT: parent.run_id}
    with _running(parent.store, next(known, None), f"seed {seed}", tags) as started:
        with reachable(parent.store.uri):
            settings = parent.store.client.get_run(parent.run_id).data.params
        _log_settings(started, {**settings, "seed": seed})
        yield started


def run_page(params: Params, run_id: str) -> str:
    """Address of a run on the pages of MLflow; `spinscope serve` shows those of a local store.

    Parameters
    ----------
    params : Params
    run_id : str
    """
    store = open_store(params.tracking)
    local = f"http://127.0.0.1:{params.serve.mlflow_port}"
    address = public(store.uri).rstrip("/") if store.uri.startswith("http") else local
    with reachable(store.uri):
        experiment = store.client.get_run(run_id).info.experiment_id
    return f"{address}/#/experiments/{experiment}/runs/{run_id}"


def added_run(
    store: Store, params: Params, lineage: Mapping[str, str], name: str
) -> AbstractContextManager[Run]:
    """Open the run of a model that was trained elsewhere and is evaluated and registered here.

    Parameters
    ----------
    store : Store
    params : Params
        Logged as parameters of the run.
    lineage : mapping
        Tags.
    name : str
    """
    return _with_params(store, params, name, {**lineage, KIND: "added"})


def study_run(
    store: Store, params: Params, lineage: Mapping[str, str], name: str
) -> AbstractContextManager[Run]:
    """Open the run of a study that evaluates models and trains none.

    Parameters
    ----------
    store : Store
    params : Params
        Logged as parameters of the run.
    lineage : mapping
        Tags.
    name : str
    """
    return _with_params(store, params, name, {**lineage, KIND: "study"})


@contextlib.contextmanager
def study_parent(
    store: Store, params: Params, lineage: Mapping[str, str], study: str
) -> Iterator[Run]:
    """Open the run over all trials of a study; a run of this study name is resumed.

    Parameters
    ----------
    store : Store
    params : Params
        Logged as parameters of the run.
    lineage : mapping
        Tags.
    study : str
        Name of the study.
    """
    known = next(iter(_search(store, {KIND: "study", _STUDY: study})), None)
    with _running(store, known, study, {**lineage, KIND: "study", _STUDY: study}) as started:
        if not (known and known.data.params):  # logged parameters cannot change
            log_params(started, params)
        yield started


def trial_run(parent: Run, lineage: Mapping[str, str], trial: str) -> AbstractContextManager[Run]:
    """Open the child run of a trial; a run of this trial name is resumed.

    Parameters
    ----------
    parent : Run
    lineage : mapping
        Tags.
    trial : str
        Name of the trial.
    """
    known = _search(parent.store, {_PARENT: parent.run_id, _TRIAL: trial})
    tags = {**lineage, KIND: "trial", _TRIAL: trial, _PARENT: parent.run_id}
    return _running(parent.store, next(iter(known), None), trial, tags)


def tracked_trials(parent: Run) -> set[str]:
    """Names of the trials of a study whose run is finished."""
    trials = _search(parent.store, {_PARENT: parent.run_id, KIND: "trial"})
    return {run.data.tags[_TRIAL] for run in trials if run.info.status == "FINISHED"}


def log_params(run: Run, params: Params) -> None:
    """Log every setting as `section.key`."""
    _log_settings(run, flatten(params.model_dump()))


def _log_settings(run: Run, settings: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    rows = [Param(key, str(value)) for key, value in settings.items()]
    with reachable(run.store.uri):
        for start in range(0, len(rows), _PARAMS_PER_CALL):
            run.store.client.log_batch(run.run_id, params=rows[start : start + _PARAMS_PER_CALL])


def log_datasets(run: Run, datasets: Mapping[str, Dataset], data_hash: str) -> None:
    """Log the frames that a run uses as its dataset inputs.

    Parameters
    ----------
    run : Run
    datasets : mapping
        Use ("training", "validation", "test") → frames.
    data_hash : str
        Hash of the folder that holds the frames.
    """
    from mlflow.entities import Dataset as Input
    from mlflow.entities import DatasetInput, InputTag

    inputs = []
    for use, frames in datasets.items():
        batches = {record.batch for record in frames.records} - {None}
        profile = {
            "frames": len(frames),
            "sources": frames.sources,
            "batches": sorted(batches),
            "data_hash": data_hash,
        }
        names = [record.name for record in frames.records]
        given = Input(
            f"{frames.path.name} {use}",
            digest([data_hash, names]),
            source_type="local",
            source=json.dumps({"uri": str(frames.path)}),
            profile=json.dumps(profile),
        )
        inputs.append(DatasetInput(given, [InputTag("mlflow.data.context", use)]))
    with reachable(run.store.uri):
        run.store.client.log_inputs(run.run_id, inputs)


def log_metrics(run: Run, metrics: Mapping[str, float]) -> None:
    """Log numbers that hold for the whole run; values that are not finite are left out.

    A number that differs from the logged one replaces it.
    """
    from mlflow.entities import Metric

    with reachable(run.store.uri):
        logged = run.store.client.get_run(run.run_id)
        # A new number is logged at the run's start, like a curve; the latest of several counts.
        start, now = logged.info.start_time, time.time_ns() // 1_000_000
        rows = [
            Metric(key, float(value), now if key in logged.data.metrics else start, 0)
            for key, value in metrics.items()
            if math.isfinite(value) and logged.data.metrics.get(key) != value
        ]
        _log_rows(run, rows)


def log_curves(run: Run, history: Mapping[str, Sequence[float]], *, first_epoch: int = 0) -> None:
    """Log curves in one call to the store.

    Parameters
    ----------
    run : Run
    history : mapping
        Name → one value per epoch.
    first_epoch : int, default 0
        Epoch of the first values.
    """
    from mlflow.entities import Metric

    with reachable(run.store.uri):
        # Equal times make equal rows: a curve that is logged again leaves one copy.
        start = run.store.client.get_run(run.run_id).info.start_time
        rows = [
            Metric(key, float(value), start + epoch, epoch)
            for key, values in history.items()
            for epoch, value in enumerate(values, first_epoch)
        ]
        _log_rows(run, rows)


def _log_rows(run: Run, rows: Sequence[Metric]) -> None:
    for first in range(0, len(rows), _METRICS_PER_CALL):
        chunk = rows[first : first + _METRICS_PER_CALL]
        run.store.client.log_batch(run.run_id, metrics=chunk)


class EpochLog:
    """Logs the epochs of a run as they end, and those that the store missed once it answers.

    A store that fails is left alone for half a minute, and for ten times as long as the call took.
    `log_curves` may repeat all epochs at the end of the training.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run):
        self.run = run
        self._waiting: list[tuple[int, Mapping[str, float]]] = []
        self._again = -math.inf
        self._start: int | None = None

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log the values of an epoch, counted from 0."""
        from mlflow.entities import Metric

        self._waiting.append((epoch, dict(logs)))
        started = time.monotonic()
        if started < self._again:
            return
        try:
            with reachable(self.run.store.uri):
                if self._start is None:
                    self._start = self.run.store.client.get_run(self.run.run_id).info.start_time
                rows = [
                    Metric(key, float(value), self._start + number, number)  # as in `log_curves`
                    for number, values in self._waiting
                    for key, value in values.items()
                ]
                _log_rows(self.run, rows)
        except SpinscopeError:
            now = time.monotonic()
            self._again = now + max(_PAUSE_SECONDS, 10 * (now - started))
        else:
            self._waiting.clear()


def log_report(run: Run, report: Mapping[str, Any], name: str = "validation") -> None:
    """Log an evaluation: numbers as metrics, rows per image as a table, the report as JSON.

    Parameters
    ----------
    run : Run
    report : mapping
    name : str, default "validation"
        Prefix of the metrics, and folder of the files.
    """
    log_metrics(run, {f"{name}.{key}": value for key, value in numbers(report).items()})
    log_table(run, report["per_image"], f"{name}/per_image.csv")
    log_json(run, report, f"{name}/report.json")


def log_table(run: Run, rows: Sequence[Mapping[str, Any]], file: str) -> None:
    """Log rows as a CSV file.

    Parameters
    ----------
    run : Run
    rows : sequence of mappings
    file : str
        Path within the run.
    """
    import pandas as pd

    _log_text(run, pd.DataFrame(list(rows)).to_csv(index=False), file)


def log_json(run: Run, value: Any, file: str) -> None:
    """Log a value as a JSON file.

    Parameters
    ----------
    run : Run
    value : any value that JSON can hold
    file : str
        Path within the run.
    """
    _log_text(run, json.dumps(value, indent=1) + "\n", file)


def log_figure(run: Run, image: Path | str | bytes, file: str) -> None:
    """Log a PNG, given by its path or its bytes, as `figures/FILE`.

    Parameters
    ----------
    run : Run
    image : Path, str or bytes
    file : str
        Name of the file.
    """
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    with partial_folder() as folder, reachable(run.store.uri):
        path = Path(folder, file)
        path.write_bytes(content)
        run.store.client.log_artifact(run.run_id, str(path), "figures")


def over_seeds(reports: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
    """Mean and standard deviation over the seeds of every number of their reports.

    Parameters
    ----------
    reports : mapping
        Seed → report.

    Returns
    -------
    dict
        `KEY.mean` and `KEY.sd` of the numbers that all reports contain. The SD is that of a
        sample (n - 1); one seed has none.

    Raises
    ------
    SpinscopeError
        If there is no report.
    """
    import pandas as pd

    if not reports:
        raise SpinscopeError("reports (={}) must hold at least one seed")
    table = pd.DataFrame([numbers(report) for report in reports.values()]).dropna(axis="columns")
    summary = {"mean": table.mean()} | ({"sd": table.std()} if len(table) > 1 else {})
    return {f"{key}.{kind}": float(summary[kind][key]) for key in table for kind in summary}


def runs(store: Store) -> pd.DataFrame:
    """Table of the experiment's runs, newest first.

    Columns are run_id, name, kind, status, seed, started, parent and the metrics whose name has a
    dot.
    """
    import pandas as pd

    rows = [
        {
            "run_id": run.info.run_id,
            "name": run.info.run_name,
            "kind": run.data.tags.get(KIND, ""),
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
    """Nested mappings as one, with keys joined by dots; lists are not flattened.

    >>> flatten({"model": {"width": 16}, "seed": 1})
    {'model.width': 16, 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        inner = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a report, with keys joined by dots.

    >>> numbers({"mcc": 0.9, "objects": {"true": 4}, "name": "a"})
    {'mcc': 0.9, 'objects.true': 4.0}
    """
    return {
        key: float(value)
        for key, value in flatten(report).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


@contextlib.contextmanager
def _with_params(store: Store, params: Params, name: str, tags: dict) -> Iterator[Run]:
    """Start a run and log the settings as its parameters."""
    with _running(store, None, name, tags) as started:
        log_params(started, params)
        yield started


@contextlib.contextmanager
def _running(store: Store, known: MlflowRun | None, name: str, tags: dict) -> Iterator[Run]:
    """Start a run, or resume a known one, and close it as FINISHED or FAILED."""
    from mlflow.entities import RunTag

    tags = {
        **tags,
        "process": this_process(),
        "mlflow.user": this_user(),
        "mlflow.source.name": "spinscope",
        "mlflow.source.type": "LOCAL",
    }
    if tags.get("git.commit", "unknown") != "unknown":
        tags["mlflow.source.git.commit"] = tags["git.commit"]
    client = store.client
    with reachable(store.uri):
        run = known or client.create_run(store.experiment_id, run_name=name, tags=tags)
        run_id = run.info.run_id
        if known is not None:
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            client.update_run(run_id, "RUNNING")
    _unended.discard(run_id)
    try:
        yield Run(store, run_id)
    except BaseException:
        # The first error counts, even if the store cannot record it.
        with contextlib.suppress(SpinscopeError):
            _end(store, run_id, "FAILED")
        raise
    _end(store, run_id, "FINISHED")


def _end(store: Store, run_id: str, status: str) -> None:
    _unended.add(run_id)
    with reachable(store.uri):
        store.client.set_terminated(run_id, status)
    _unended.discard(run_id)


def _interrupted(run: MlflowRun) -> bool:
    """Whether a run failed, or is RUNNING in a process of this machine that no longer exists."""
    if run.info.status in ("FAILED", "KILLED") or run.info.run_id in _unended:
        return True
    process = run.data.tags.get("process", "")
    return run.info.status == "RUNNING" and bool(process) and dead(process)


def _search(store: Store, tags: Mapping[str, str]) -> list[MlflowRun]:
    """Runs of the experiment with all these tags, newest first."""
    with reachable(store.uri):
        return pages(
            store.client.search_runs,
            [store.experiment_id],
            " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items()),
            order_by=["attributes.start_time DESC"],
            max_results=500,
        )


def _log_text(run: Run, text: str, file: str) -> None:
    with reachable(run.store.uri):
        run.store.client.log_text(run.run_id, text, file)
