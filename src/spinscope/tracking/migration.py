"""Import of a store into another: runs, artifacts and registry, resumable and counted.

MLflow offers no call that copies a run or a version with its identity. Each copy carries the
identity of its original as the tag `imported.from`, so that a repeated import finds what is there.
A run that is copied completely also carries `imported.end`; every step before it can be repeated
and leaves one copy.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.progress import Progress, no_progress
from spinscope.tracking.registry import RECORD
from spinscope.tracking.store import HOME, Store, open_source, open_store, pages, public, reachable

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

FROM, END = "imported.from", "imported.end"
"""Tags of a copy: identity of its original; end of a run that is copied completely."""
_PARENT, _VERSIONS = "mlflow.parentRunId", "mlflow.modelVersions"
_PARAMS_PER_CALL, _METRICS_PER_CALL = 100, 1000  # limits of MLflow's log_batch
_AT_ONCE = 4
"""Runs that are copied or counted at a time."""


@dataclass(frozen=True)
class Count:
    """Number of things of one kind in the source, and of those that the target also holds."""

    kind: str
    source: int
    target: int


@dataclass
class _Import:
    """A source, a target, and which copy belongs to which original."""

    source: Store
    target: Store
    rename: Mapping[str, str]
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    models: dict[str, LoggedModel] = field(default_factory=dict)

    def new_name(self, name: str) -> str:
        """Registered name in the target."""
        return self.rename.get(name, name)

    def translated(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Tags in which the ids of runs and logged models are those of the copies."""
        own = (HOME, FROM, END)  # a source may hold copies of a third store
        return {key: self._new_id(value) for key, value in tags.items() if key not in own}

    def _new_id(self, value: str) -> str:
        """Id of the copy, if the value is the id of a run or logged model."""
        if value in self.runs:
            return self.runs[value].info.run_id
        return self.models[value].model_id if value in self.models else value


def import_store(
    tracking: Tracking,
    source: str,
    *,
    rename: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> list[Count]:
    """Copy the runs, models and registry of a store into the store of the settings.

    An import that was interrupted is resumed by the same call. A repeated import copies what is
    new in the source. Runs and logged models get new ids; version numbers stay. Aliases and the
    history of promotions are copied with the first complete import of a name, so that a later
    one does not undo a promotion in the target.

    Parameters
    ----------
    tracking : Tracking
        Target.
    source : str
        Address of a store, an SQLite file, or a folder that contains `mlflow.db`.
    rename : mapping, optional
        Registered name in the source → name in the target.
    progress : callable
        Progress bar over the runs.

    Returns
    -------
    list of Count
        One count per kind, from both stores after the copy.

    Raises
    ------
    SpinscopeError
        If a name exists in the target with other versions, the stores cannot be read or written,
        or something is missing in the target after the copy.
    """
    origin, target = open_source(tracking, source), open_store(tracking)
    if origin.uri == target.uri:
        raise SpinscopeError(f"source (={source!r}) must be another store than tracking.uri")
    copy = _Import(origin, target, dict(rename or {}))
    with target.locked("import"), reachable(origin.uri), reachable(target.uri):
        names = _versions_by_name(copy)
        originals = _runs(origin)
        _experiments(copy, tracking, originals)
        copy.runs, copy.models = _known_runs(copy), _known_models(copy)
        _copy_runs(copy, originals, progress)
        logged = _logged_models(origin)
        for model in progress(logged, total=len(logged), desc="import models", unit="model"):
            _copy_model(copy, model)
        for name, versions in names.items():
            _copy_name(copy, name, versions)
        return _count(copy, originals, logged, names, progress)


def _versions_by_name(copy: _Import) -> dict[str, list[ModelVersion]]:
    """Registered name → its versions, oldest first.

    A name that the target uses for versions of its own is refused.
    """
    found = {}
    for model in pages(copy.source.client.search_registered_models):
        versions = _versions(copy.source, model.name)
        found[model.name] = versions
        own = {_identity(version) for version in versions}
        new = copy.new_name(model.name)
        other = [v.version for v in _versions(copy.target, new) if v.tags.get(FROM) not in own]
        if other and versions:
            raise SpinscopeError(
                f"model {new!r} has versions of its own ({', '.join(map(str, other))}) in the "
                f"target, so that version numbers cannot be kept; choose another name with "
                f"--rename {model.name}=NAME"
            )
    return found


def _versions(store: Store, name: str) -> list[ModelVersion]:
    found = pages(store.client.search_model_versions, f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def _identity(version: ModelVersion) -> str:
    return f"{version.name}/{version.version}/{version.creation_timestamp}"


def _runs(store: Store) -> list[Run]:
    """Runs of all experiments that are not deleted."""
    experiments = [one.experiment_id for one in pages(store.client.search_experiments)]
    return pages(store.client.search_runs, experiments, max_results=500) if experiments else []


def _experiments(copy: _Import, tracking: Tracking, runs: Sequence[Run]) -> None:
    """Create the experiments that are missing in the target."""
    used = {run.info.experiment_id for run in runs}
    for one in pages(copy.source.client.search_experiments):
        if one.name == "Default" and one.experiment_id not in used:
            continue
        named = tracking.model_copy(update={"experiment": one.name})
        new = copy.experiments[one.experiment_id] = open_store(named).experiment_id
        for key, value in copy.translated(one.tags).items():
            copy.target.client.set_experiment_tag(new, key, value)


def _known_runs(copy: _Import) -> dict[str, Run]:
    """Copies of runs by the id of their original; a second copy is deleted."""
    found = pages(
        copy.target.client.search_runs,
        list(copy.experiments.values()),
        f"tags.`{FROM}` LIKE '%'",
        max_results=500,
    )
    known: dict[str, Run] = {}
    # A complete copy counts before the rest of an interrupted one.
    for run in sorted(found, key=lambda run: END not in run.data.tags):
        if known.setdefault(run.data.tags[FROM], run) is not run:
            copy.target.client.delete_run(run.info.run_id)
    return known


def _known_models(copy: _Import) -> dict[str, LoggedModel]:
    """Copies of logged models by the id of their original; a second copy is deleted."""
    known: dict[str, LoggedModel] = {}
    for model in _logged_models(copy.target, list(copy.experiments.values())):
        if FROM in model.tags and known.setdefault(model.tags[FROM], model) is not model:
            copy.target.client.delete_logged_model(model.model_id)
    return known


def _logged_models(store: Store, experiments: list[str] | None = None) -> list[LoggedModel]:
    if experiments is None:
        experiments = [one.experiment_id for one in pages(store.client.search_experiments)]
    return pages(store.client.search_logged_models, experiments) if experiments else []


def _copy_runs(copy: _Import, runs: Sequence[Run], progress: Progress) -> None:
    """Copy the runs, parents before their children."""
    by_id = {run.info.run_id: run for run in runs}
    order = TopologicalSorter({key: {run.data.tags.get(_PARENT)} & set(by_id)
                               for key, run in by_id.items()})  # fmt: skip
    order.prepare()

    def generations() -> Iterator[Run]:
        while order.is_active():
            ready = order.get_ready()
            yield from _side_by_side(lambda key: _copy_run(copy, by_id[key]), ready)
            order.done(*ready)

    for _ in progress(generations(), total=len(runs), desc="import runs", unit="run"):
        pass


def _side_by_side(function: Callable, items: Iterable) -> Iterator:
    """Results of a function, a few of which run at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _copy_run(copy: _Import, run: Run) -> None:
    """Copy a run, unless it was copied completely and has not been resumed since."""
    from mlflow.entities import Param, RunTag

    end = str(run.info.end_time or "")
    known = copy.runs.get(run.info.run_id)
    if known is not None and end and known.data.tags.get(END) == end:
        return
    client = copy.target.client
    tags = copy.translated(run.data.tags)
    changed = [RunTag(key, value) for key, value in tags.items()] if known is not None else []
    if known is None:
        known = client.create_run(
            copy.experiments[run.info.experiment_id],
            start_time=run.info.start_time,
            tags={**tags, FROM: run.info.run_id},
            run_name=run.info.run_name,
        )
        copy.runs[run.info.run_id] = known
    run_id = known.info.run_id
    params = [Param(key, value) for key, value in run.data.params.items()]
    for part in _parts(params, _PARAMS_PER_CALL):
        client.log_batch(run_id, params=part)
    for part in _parts(changed, _PARAMS_PER_CALL):
        client.log_batch(run_id, tags=part)
    for part in _parts(_history(copy.source, run), _METRICS_PER_CALL):
        client.log_batch(run_id, metrics=part)
    if run.inputs.dataset_inputs:
        client.log_inputs(run_id, list(run.inputs.dataset_inputs))
    if folder := _artifacts(copy.source, run.info.artifact_uri):
        client.log_artifacts(run_id, str(folder))
    if end:
        client.set_terminated(run_id, run.info.status, run.info.end_time)
        client.set_tag(run_id, END, end)


def _parts(rows: Sequence, size: int) -> Iterator[Sequence]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _history(store: Store, run: Run) -> list:
    """Every value of every metric of a run."""
    get = store.client.get_metric_history
    return [row for key in sorted(run.data.metrics) for row in get(run.info.run_id, key)]


def _artifacts(store: Store, place: str) -> Path | None:
    """Folder of artifacts on this machine, fetched if they are on a server; None without any."""
    from mlflow.artifacts import download_artifacts, list_artifacts

    local = Path(place.removeprefix("file://"))
    if local.is_absolute():
        return local if local.is_dir() and any(local.iterdir()) else None
    if not list_artifacts(artifact_uri=place, tracking_uri=store.uri):
        return None
    return Path(download_artifacts(artifact_uri=place, tracking_uri=store.uri))


def _copy_model(copy: _Import, model: LoggedModel) -> None:
    """Copy a logged model; one that is READY in the target is complete."""
    from mlflow.entities import LoggedModelOutput, Metric

    client = copy.target.client
    known = copy.models.get(model.model_id)
    if known is not None and known.status == model.status:
        return
    run = copy.runs.get(model.source_run_id or "")
    run_id = run.info.run_id if run else None
    tags = copy.translated(model.tags)
    tags.pop(_VERSIONS, None)  # set with the versions
    if known is None:
        known = client.create_logged_model(
            copy.experiments[model.experiment_id],
            name=model.name,
            source_run_id=run_id,
            tags={**tags, FROM: model.model_id},
            params=model.params,
            model_type=model.model_type,
        )
        copy.models[model.model_id] = known
    if folder := _artifacts(copy.source, model.artifact_location):
        with tempfile.TemporaryDirectory() as temporary:
            content = shutil.copytree(folder, Path(temporary, "model"))
            _translate_description(copy, content / "MLmodel")
            client.log_model_artifacts(known.model_id, str(content))
    rows = {}
    for row in model.metrics or ():
        if (of := copy.runs.get(row.run_id)) is not None:
            one = Metric(
                row.key, row.value, row.timestamp, row.step, model_id=known.model_id,
                dataset_name=row.dataset_name, dataset_digest=row.dataset_digest,
                run_id=of.info.run_id,
            )  # fmt: skip
            rows.setdefault(of.info.run_id, []).append(one)
    for of, metrics in rows.items():
        for part in _parts(metrics, _METRICS_PER_CALL):
            client.log_batch(of, metrics=part)
    if run_id is not None:
        outputs = client.get_run(run_id).outputs
        if known.model_id not in {one.model_id for one in outputs.model_outputs}:
            client.log_outputs(run_id, [LoggedModelOutput(known.model_id, step=0)])
    if model.status.is_finalized(model.status):
        copy.models[model.model_id] = client.finalize_logged_model(known.model_id, model.status)


def _translate_description(copy: _Import, path: Path) -> None:
    """Replace the ids of runs and logged models in the file `MLmodel`."""
    if path.is_file():
        text = path.read_text()
        for old, new in copy.models.items():
            text = text.replace(old, new.model_id)
        for old, new in copy.runs.items():
            text = text.replace(old, new.info.run_id)
        path.write_text(text)


def _copy_name(copy: _Import, name: str, versions: Sequence[ModelVersion]) -> None:
    """Copy the versions of a registered name under their numbers, then tags and aliases."""
    client, new = copy.target.client, copy.new_name(name)
    original = copy.source.client.get_registered_model(name)
    registered = _registered(copy.target, new) or client.create_registered_model(
        new, {FROM: name}, original.description
    )
    known = set()
    for version in _versions(copy.target, new):
        if version.tags.get(FROM, "").split("/")[1:2] == [str(version.version)]:
            known.add(int(version.version))
        else:  # an interrupted import created it under the number of a deleted version
            client.delete_model_version(new, version.version)
    for version in versions:
        if int(version.version) not in known:
            _copy_version(copy, new, version)
    if END in registered.tags:
        return
    for key, value in original.tags.items():
        if key not in (FROM, END):
            client.set_registered_model_tag(new, key, value)
    for alias, number in original.aliases.items():
        client.set_registered_model_alias(new, alias, number)
    client.set_registered_model_tag(new, END, str(original.last_updated_timestamp))


def _registered(store: Store, name: str):
    found = pages(store.client.search_registered_models, f"name = '{name}'")
    return found[0] if found else None


def _copy_version(copy: _Import, name: str, version: ModelVersion) -> None:
    """Create a version; the numbers of versions that were deleted in the source are skipped."""
    run = copy.runs.get(version.run_id or "")
    source, model_id = _place(copy, version)
    while True:
        created = copy.target.client.create_model_version(
            name,
            source=source,
            run_id=run.info.run_id if run else None,
            tags={**copy.translated(version.tags), FROM: _identity(version)},
            description=version.description,
            await_creation_for=0,
            model_id=model_id,
        )
        if int(created.version) == int(version.version):
            if model_id is not None:  # a server does this itself
                link = json.dumps([{"name": name, "version": str(created.version)}])
                copy.target.client.set_logged_model_tags(model_id, {_VERSIONS: link})
            return
        copy.target.client.delete_model_version(name, created.version)
        if int(created.version) > int(version.version):
            raise SpinscopeError(
                f"model {name!r} had versions in the target before, so that the number "
                f"{version.version} cannot be kept; choose another name with "
                f"--rename {version.name}=NAME"
            )


def _place(copy: _Import, version: ModelVersion) -> tuple[str, str | None]:
    """Location of a version's files in the target, and the id of its logged model."""
    for model in _logged_models_of(copy, version):
        return copy.models[model].artifact_location, copy.models[model].model_id
    run = copy.source.client.get_run(version.run_id) if version.run_id in copy.runs else None
    if run is not None and version.source.startswith(run.info.artifact_uri):
        rest = version.source.removeprefix(run.info.artifact_uri)
        return copy.runs[version.run_id].info.artifact_uri + rest, None
    raise SpinscopeError(
        f"models:/{version.name}/{version.version}: its files ({version.source}) belong to no run "
        "or logged model of the source, so that they cannot be copied"
    )


def _logged_models_of(copy: _Import, version: ModelVersion) -> Iterator[str]:
    """Ids of the logged models in the source that contain the files of a version."""
    parts = version.source.replace("models:/", "").split("/")
    yield from (part for part in parts if part in copy.models)


def _count(
    copy: _Import,
    runs: Sequence[Run],
    models: Sequence[LoggedModel],
    names: Mapping[str, Sequence[ModelVersion]],
    progress: Progress,
) -> list[Count]:
    """Count what both stores hold; SpinscopeError if something is missing in the target."""
    copy.runs, copy.models = _known_runs(copy), _known_models(copy)
    source, target, missing = Counter(), Counter(), []

    def add(kind: str, of: str, ours: Iterable, theirs: Iterable) -> None:
        ours, theirs = set(ours), set(theirs)
        source[kind] += len(ours)
        target[kind] += len(ours & theirs)
        if ours - theirs:
            missing.append(f"{kind} of {of}")

    new_experiments = {one.name for one in pages(copy.target.client.search_experiments)}
    old = {one.experiment_id: one.name for one in pages(copy.source.client.search_experiments)}
    add("experiments", "the source", (old[key] for key in copy.experiments), new_experiments)
    add("runs", "the source", (run.info.run_id for run in runs), copy.runs)
    present = [run for run in runs if run.info.run_id in copy.runs]
    counted = _side_by_side(lambda run: _parts_of_runs(copy, run), present)
    for kinds in progress(counted, total=len(present), desc="count runs", unit="run"):
        for arguments in kinds:
            add(*arguments)
    add("logged models", "the source", (model.model_id for model in models), copy.models)
    for model in models:
        for arguments in _parts_of_models(copy, model, copy.models.get(model.model_id)):
            add(*arguments)
    for name, versions in names.items():
        for arguments in _parts_of_names(copy, name, versions):
            add(*arguments)
    if missing:
        raise SpinscopeError(
            f"{len(missing)} things are missing in {public(copy.target.uri)} after the import: "
            f"{'; '.join(missing[:3])} …; repeat the import"
        )
    return [Count(kind, source[kind], target[kind]) for kind in source]


Arguments = tuple[str, str, Iterable, Iterable]


def _parts_of_runs(copy: _Import, run: Run) -> list[Arguments]:
    """(kind, owner, items in the source, items in the target) of a run."""
    new, name = copy.target.client.get_run(copy.runs[run.info.run_id].info.run_id), run.info.run_id

    def values(store: Store, of: Run) -> list[tuple]:
        rows = _history(store, of)
        return [(m.key, m.step, m.timestamp, "nan" if math.isnan(m.value) else m.value)
                for m in rows]  # fmt: skip

    def datasets(of: Run) -> list[tuple]:
        return [
            (
                given.dataset.name,
                given.dataset.digest,
                *sorted((t.key, t.value) for t in given.tags),
            )
            for given in of.inputs.dataset_inputs
        ]

    ended = bool(run.info.end_time)

    def state(of: Run) -> list[tuple]:
        info = of.info  # a run that has not ended may be resumed in the target
        return [(info.run_name, info.status, info.start_time, info.end_time)] if ended else []

    return [
        ("run states", name, state(run), state(new)),
        ("run tags", name, copy.translated(run.data.tags), new.data.tags),
        ("parameters", name, run.data.params.items(), new.data.params.items()),
        ("metric values", name, values(copy.source, run), values(copy.target, new)),
        ("datasets", name, datasets(run), datasets(new)),
        ("run files", name, _files(copy.source, run.info.artifact_uri),
         _files(copy.target, new.info.artifact_uri)),
    ]  # fmt: skip


def _parts_of_models(copy: _Import, model: LoggedModel, new: LoggedModel | None) -> list[Arguments]:
    name = model.model_id

    def metrics(of: LoggedModel | None, runs: Mapping[str, str]) -> list[tuple]:
        rows = of.metrics or () if of else ()
        return [(m.key, m.value, m.step, runs.get(m.run_id)) for m in rows]

    ids = {old: run.info.run_id for old, run in copy.runs.items()}
    known = [one for one in metrics(model, ids) if one[-1]]
    return [
        ("model metrics", name, known, metrics(new, {new: new for new in ids.values()})),
        ("model files", name, _files(copy.source, model.artifact_location),
         _files(copy.target, new.artifact_location) if new else ()),
    ]  # fmt: skip


def _parts_of_names(copy: _Import, name: str, versions: Sequence[ModelVersion]) -> list[Arguments]:
    new = copy.new_name(name)
    old, registered = copy.source.client.get_registered_model(name), _registered(copy.target, new)
    kept = {int(version.version): version for version in _versions(copy.target, new)}
    tags = dict(registered.tags) if registered else {}
    aliases = copy.target.client.get_registered_model(new).aliases if registered else {}
    records = [key for key in old.tags if key.startswith(RECORD)]
    return [
        ("registered names", name, [new], [new] if registered else []),
        ("versions", name, (int(version.version) for version in versions), kept),
        *(
            ("version tags", f"{name} {version.version}", version.tags,
             kept[int(version.version)].tags)
            for version in versions if int(version.version) in kept
        ),
        ("aliases", name, old.aliases, aliases),
        ("promotions", name, records, tags),
    ]  # fmt: skip


def _files(store: Store, place: str, folder: str = "") -> Iterator[tuple[str, Any]]:
    """(path, size) of all files below a location of artifacts."""
    from mlflow.artifacts import list_artifacts

    where = f"{place.rstrip('/')}/{folder}" if folder else place
    for one in list_artifacts(artifact_uri=where, tracking_uri=store.uri):
        inside = f"{folder}/{Path(one.path).name}" if folder else Path(one.path).name
        if one.is_dir:
            yield from _files(store, place, inside)
        else:
            yield inside, one.file_size
