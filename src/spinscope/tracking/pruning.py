"""What a store holds that no version or run needs, and its removal."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinscope import families
from spinscope.config import Tracking
from spinscope.tracking.store import Store, local_files, open_store, pages, reachable

_DAY_MS = 86_400_000
_RUN, _MODEL = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")
_MODELS = "models"
"""Folder of the artifacts that holds one folder per logged model."""


@dataclass(frozen=True)
class Unneeded:
    """A run, logged model or folder that nothing needs.

    Attributes
    ----------
    kind : {"run", "model", "folder"}
    id : str
        Id of the run or logged model, or name of the folder.
    name : str
    why : str
    folder : Path
        Its artifacts, which need not exist.
    bytes : int
        Size of the folder.
    """

    kind: str
    id: str
    name: str
    why: str
    folder: Path
    bytes: int


def prune(tracking: Tracking, *, days: float = 1, free: bool = False) -> list[Unneeded]:
    """List what no version or run of a store needs, and remove it on request.

    That are deleted runs of which no version is, logged models whose version was deleted or never
    completed, and folders of artifacts that belong to neither. A run whose child is needed is
    needed.

    Parameters
    ----------
    tracking : Tracking
        The store, an SQLite file.
    days : float, default 1
        Younger ones are left out: another process may be writing them.
    free : bool, default False
        Remove what is listed. An interrupted removal is completed by the same call.

    Raises
    ------
    SpinscopeError
        If the store is a server.
    """
    database, artifacts = local_files(tracking)
    if not database.is_file():
        return []
    store = open_store(tracking)
    with store.locked("upkeep"), reachable(store.uri):
        backend = _backend(store, artifacts)
        rows = list(_unneeded(store, backend, artifacts, round(days * _DAY_MS)))
        for row in rows if free else ():
            _free(store, backend, row)
    return rows


def _unneeded(store: Store, backend: Any, artifacts: Path, age: int) -> Iterator[Unneeded]:
    """What was deleted, or last written, at least `age` ms ago."""
    from mlflow.entities import ViewType

    client, before = store.client, time.time_ns() // 1_000_000 - age
    known = pages(client.search_experiments, view_type=ViewType.ALL)
    experiments = [experiment.experiment_id for experiment in known]
    runs = {
        run.info.run_id: run for run in pages(client.search_runs, experiments, "", ViewType.ALL)
    }
    models = {
        model.model_id: model
        for one in experiments
        for model in pages(client.search_logged_models, [one])
    }
    registered, needed = _needed(store, runs)
    for run_id in sorted(set(backend._get_deleted_runs(older_than=age)) - needed):
        run = runs[run_id]
        folder = _folder(run.info.artifact_uri, artifacts)
        if folder:
            yield _row("run", run_id, run.info.run_name, "a deleted run", folder)
    deleted = set(backend._get_deleted_logged_models())
    for model_id in sorted(deleted):
        models[model_id] = backend.get_logged_model(model_id, allow_deleted=True)
    for model_id, model in models.items():
        if model_id in registered or model.last_updated_timestamp >= before:
            continue
        # A model that another program logged is needed by its run alone.
        own = model.model_type in families.names() or model_id in deleted
        folder = _folder(model.artifact_location, artifacts)
        if own and folder:
            yield _row("model", model_id, model.name, "a model that no version is of", folder)
    for folder in _folders(artifacts):
        of = folder.name
        if of not in runs and of not in models and folder.stat().st_mtime_ns // 1_000_000 < before:
            yield _row("folder", of, "", "artifacts that no run or model names", folder)


def _needed(store: Store, runs: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Ids of the logged models of all versions, and of the runs of versions and their parents."""
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    versions = pages(store.client.search_model_versions)
    models = {version.model_id for version in versions}
    # The source of a version names its model, also where the version does not.
    models |= {found[0] for v in versions if (found := _MODEL.findall(v.source or ""))}
    needed = {version.run_id for version in versions}
    for run_id in [*needed, *(id_ for id_, run in runs.items() if _active(run))]:
        while (run := runs.get(run_id)) and (run_id := run.data.tags.get(MLFLOW_PARENT_RUN_ID)):
            needed.add(run_id)
    return models, needed


def _active(run: Any) -> bool:
    return run.info.lifecycle_stage == "active"


def _folder(uri: str, artifacts: Path) -> Path | None:
    """Local folder of a location; None if it is not inside the artifact folder."""
    folder = Path(uri.removeprefix("file://")).resolve()
    if folder.name == "artifacts":  # ID/artifacts
        folder = folder.parent
    return folder if artifacts in folder.parents else None


def _folders(artifacts: Path) -> Iterator[Path]:
    """Folders that are named like runs and logged models."""
    for place, names in ((artifacts, _RUN), (artifacts / _MODELS, _MODEL)):
        if place.is_dir():
            yield from sorted(
                path for path in place.iterdir() if path.is_dir() and names.fullmatch(path.name)
            )


def _row(kind: str, id_: str, name: str, why: str, folder: Path) -> Unneeded:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Unneeded(kind, id_, name, why, folder, size)


def _backend(store: Store, artifacts: Path) -> Any:
    """MLflow's store behind the client, which alone lists and removes what was deleted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(store.uri, str(artifacts))


def _free(store: Store, backend: Any, row: Unneeded) -> None:
    """Remove the files and then the record, so that an interrupted removal is listed again."""
    registered, needed = _needed(store, {})
    if row.id in registered or row.id in needed:  # registered a moment ago
        return
    shutil.rmtree(row.folder, ignore_errors=True)
    # `mlflow gc` would also remove every deleted experiment with the runs that versions are of.
    if row.kind == "run":
        backend._hard_delete_run(row.id)
    elif row.kind == "model":
        backend._hard_delete_logged_model(row.id)
