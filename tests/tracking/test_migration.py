"""Import of one store into another: everything arrives once, also after kills."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.conftest import tracking_at
from tests.servers import forking
from tests.tracking.conftest import MEASURES, THRESHOLD, frames, report, threshold

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.tracking import Store, history, open_store, parent_run, resolve, seed_run
from spinscope.tracking.migration import END, FROM, import_store
from spinscope.tracking.promotion import promote
from spinscope.tracking.registry import every, stored_predictions, version
from spinscope.tracking.runs import log_curves, log_figure, log_report
from spinscope.tracking.store import pages


@pytest.fixture
def source(store: Store, registered, params, tags) -> Store:
    """A store with two trainings, versions 1 and 3 of a name, and a promotion."""
    with parent_run(store, params, {**tags, "data.hash": "other"}) as parent:
        for seed in ("1", "2"):
            with seed_run(parent, {**tags, "seed": seed}) as run:
                log_curves(run, {"loss": [1.0, 0.5, float(seed)]})
                log_report(run, report(0.9))
                log_figure(run, b"not really a PNG", "curve.png")
    for level in (0.4, 0.5, 0.6):
        registered(level=level)
    store.client.delete_model_version("moke-unet", "2")
    promote(
        store,
        THRESHOLD,
        "moke-unet",
        3,
        reason="first",
        params=params,
        override="a test",
        **MEASURES,
    )
    return store


@pytest.fixture
def target(fresh_store: Path, tmp_path: Path):
    """Settings of an empty store."""
    return tracking_at(shutil.copytree(fresh_store, tmp_path / "target"))


def content(store: Store) -> list:
    """What a store holds, without the ids of its runs."""
    client = store.client
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    names = {run.info.run_id: (run.info.run_name, run.info.start_time) for run in runs}
    rows = []
    for run in runs:
        curves = {
            key: sorted((m.step, m.timestamp, m.value)
                        for m in client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
        }  # fmt: skip
        tags = {key: names.get(value, value) for key, value in run.data.tags.items()}
        tags = {key: value for key, value in tags.items() if key not in (FROM, END)}
        folder = Path(run.info.artifact_uri)
        files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        info = (run.info.status, run.info.end_time, *names[run.info.run_id])
        inputs = [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs]
        outputs = len(run.outputs.model_outputs)
        rows.append((info, run.data.params, run.data.metrics, curves, tags, files, inputs, outputs))
    for model in pages(client.search_logged_models, [runs[0].info.experiment_id]):
        metrics = sorted((m.key, m.value, m.dataset_name, names[m.run_id]) for m in model.metrics)
        rows.append((model.name, model.status, model.params, names[model.source_run_id], metrics))
    for one in every(store, "moke-unet"):
        tags = {key: value for key, value in one.tags.items() if key != FROM}
        rows.append((one.version, one.aliases, tags, one.card, names[one.run_id]))
    return sorted(rows, key=str)


def test_an_import_brings_everything_once(source, target, params):
    counts = {count.kind: count for count in import_store(target, str(source.lock_folder))}
    assert all(count.source == count.target for count in counts.values())
    assert {kind: counts[kind].target for kind in ("runs", "logged models", "versions")} == {
        "runs": 5, "logged models": 3, "versions": 2
    }  # fmt: skip
    assert counts["metric values"].target > 6
    copy = open_store(target)
    assert content(copy) == content(source)
    assert history(copy, "moke-unet") == history(source, "moke-unet")
    shutil.rmtree(source.lock_folder)  # nothing refers to the source any more
    assert [v.version for v in every(copy, "moke-unet")] == [3, 1]
    image, mask = stored_predictions(copy, version(copy, "moke-unet", 3))[0]
    assert (threshold(resolve(copy, "models:/moke-unet@lab"), [image])[0] == mask).all()


def test_a_second_import_adds_what_is_new_and_keeps_promotions(
    source, target, params, tags, registered
):
    import_store(target, str(source.lock_folder / "mlflow.db"))
    copy = open_store(target)
    promote(
        copy, THRESHOLD, "moke-unet", 1, reason="better", params=params, override="x", **MEASURES
    )
    steps = history(copy, "moke-unet")
    with parent_run(source, params, {**tags, "data.hash": "third"}) as parent:
        registered(run=parent, level=0.7)
    counts = {count.kind: count for count in import_store(target, source.uri)}
    assert (counts["runs"].source, counts["runs"].target) == (6, 6)
    assert [v.version for v in every(copy, "moke-unet")] == [4, 3, 1]
    assert history(copy, "moke-unet") == steps
    assert len(pages(copy.client.search_runs, [copy.experiment_id])) == 6


def test_a_name_with_versions_of_its_own_is_refused_and_can_be_renamed(
    source, target, params, tags, tmp_path
):
    from tests.tracking.conftest import threshold_folder

    from spinscope.tracking import register

    copy = open_store(target)
    with parent_run(copy, params, tags) as run:
        pass
    register(
        copy, THRESHOLD, run.run_id, threshold_folder(tmp_path / "own"), "moke-unet", seed=1,
        reports={1: report(0.9)}, lineage=tags, validated=True, examples=frames(),
    )  # fmt: skip
    with pytest.raises(SpinscopeError, match=r"'moke-unet' has versions of its own \(1\)"):
        import_store(target, source.uri)
    assert len(pages(copy.client.search_runs, [copy.experiment_id])) == 1
    import_store(target, source.uri, rename={"moke-unet": "moke-old"})
    assert [v.version for v in every(copy, "moke-old")] == [3, 1]
    assert [v.version for v in every(copy, "moke-unet")] == [1]


def test_a_source_must_be_another_store(source, tmp_path):
    tracking = tracking_at(source.lock_folder)
    with pytest.raises(SpinscopeError, match=r"must be another store than tracking.uri"):
        import_store(tracking, str(source.lock_folder))
    with pytest.raises(SpinscopeError, match=r"none/mlflow.db must be the SQLite file of a store"):
        import_store(tracking, str(tmp_path / "none/mlflow.db"))
    assert not (tmp_path / "none").exists()


CHANGES = (
    "create_run", "log_batch", "log_artifacts", "set_terminated", "create_logged_model",
    "log_model_artifacts", "finalize_logged_model", "create_model_version",
    "delete_model_version", "set_registered_model_tag", "set_registered_model_alias",
)  # fmt: skip
"""Methods of MLflow's client that change a store."""


def imported(source: str, target: Tracking, calls: int) -> None:
    """Import a store in a process that is killed after a number of changes of the target."""
    from mlflow import MlflowClient

    left = [calls]

    def counted(name: str) -> None:
        method = getattr(MlflowClient, name)

        def call(self, *arguments, **options):
            answer = method(self, *arguments, **options)
            if self._registry_uri == target.uri:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return answer

        setattr(MlflowClient, name, call)

    for name in CHANGES:
        counted(name)
    import_store(target, source)


def test_an_import_that_is_killed_again_and_again_is_complete(source, target):
    """The process is killed after 6, 14, 22 … changes of the target, until nothing is left."""
    kills = 0
    while True:
        process = forking().Process(target=imported, args=(source.uri, target, 6 + 8 * kills))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    copy = open_store(target)
    assert content(copy) == content(source)
    assert history(copy, "moke-unet") == history(source, "moke-unet")
