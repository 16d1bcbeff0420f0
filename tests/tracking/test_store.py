"""The store: relative paths, concurrent openings, and moved folders."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import subprocess
import sys

import mlflow
import pytest
from tests.tracking.conftest import MEASURES, THRESHOLD, frames, threshold, tracking_at

from spinscope.errors import SpinscopeError
from spinscope.tracking import open_store, promote, resolve
from spinscope.tracking import store as module
from spinscope.tracking.registry import find, stored_predictions
from spinscope.tracking.runs import runs


def test_relative_paths_are_taken_from_the_projects_root(tmp_path, fresh_store, monkeypatch):
    shutil.copytree(fresh_store, tmp_path / "mlruns")
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    tracking = tracking_at(tmp_path / "mlruns").model_copy(
        update={
            "uri": "sqlite:///mlruns/mlflow.db",
            "artifacts": "mlruns/kept",
            "experiment": "new",
        }
    )
    store = open_store(tracking)
    assert store.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    experiment = store.client.get_experiment(store.experiment_id)
    assert experiment.artifact_location == str(tmp_path / "mlruns/kept")
    assert not list(elsewhere.iterdir())


def test_only_the_owner_reads_a_store(tmp_path, tracking):
    def mode(path) -> int:
        return path.stat().st_mode & 0o777

    database = tmp_path / "mlruns/mlflow.db"
    database.chmod(0o644)
    open_store(tracking)
    assert mode(database) == 0o600
    open_store(tracking_at(tmp_path / "new/store"))
    assert mode(tmp_path / "new/store") == 0o700
    assert mode(tmp_path / "new/store/mlflow.db") == 0o600


def test_mlflows_global_state_is_left_alone(tracking):
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    open_store(tracking)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None


_RACE = """
import multiprocessing, sys
from spinscope.config import Tracking
from spinscope.tracking import open_store
import mlflow.store.tracking.sqlalchemy_store  # once, before the processes part

uri, artifacts = f"sqlite:///{sys.argv[1]}/mlflow.db", f"{sys.argv[1]}/artifacts"
context = multiprocessing.get_context("fork")
together = context.Barrier(4)


def log_three():
    together.wait()
    store = open_store(
        Tracking(uri=uri, artifacts=artifacts, experiment="moke-unet", moved_alias="warn")
    )
    for _ in range(3):
        run = store.client.create_run(store.experiment_id)
        store.client.log_metric(run.info.run_id, "mcc", 0.9)


workers = [context.Process(target=log_three) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
sys.exit(sum(worker.exitcode != 0 for worker in workers))
"""


@pytest.mark.slow
def test_four_processes_on_a_fresh_store_lose_no_run(tmp_path):
    folder = tmp_path / "mlruns"
    subprocess.run([sys.executable, "-c", _RACE, str(folder)], check=True)
    assert len(runs(open_store(tracking_at(folder)))) == 12
    assert sorted(path.name for path in folder.iterdir()) == [".mlflow.lock", "mlflow.db"]


def test_tables_that_are_not_finished_leave_nothing_behind(tmp_path, monkeypatch):
    def killed(database, artifacts):
        database.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_create_tables", killed)
    with pytest.raises(KeyboardInterrupt):
        open_store(tracking_at(tmp_path / "mlruns"))
    assert [path.name for path in (tmp_path / "mlruns").iterdir()] == [".mlflow.lock"]


@pytest.mark.parametrize("carry", [shutil.move, shutil.copytree])
def test_a_store_in_another_folder_finds_its_artifacts_there(
    store, registered, params, tmp_path, carry
):
    v = registered()
    promote(store, THRESHOLD, v.name, reason="first", params=params, override="a test", **MEASURES)
    new = tmp_path / "moved project" / "mlruns"
    new.parent.mkdir()
    carry(tmp_path / "mlruns", new)
    if carry is shutil.copytree:
        untouched = resolve(store, v.ref)
    moved = open_store(tracking_at(new))
    folder = resolve(moved, "models:/moke-unet@lab")
    assert folder.is_relative_to(new)
    (image, mask), _ = stored_predictions(moved, find(moved, v.ref))
    assert (image == frames()[0]).all()
    assert (mask == threshold(folder, [image])[0]).all()
    run = moved.client.get_run(v.run_id)
    assert run.info.artifact_uri.startswith(str(new))
    moved.client.log_text(v.run_id, "later", "note.txt")
    assert [file.path for file in moved.client.list_artifacts(v.run_id)] == ["note.txt"]
    if carry is shutil.copytree:
        assert resolve(store, v.ref) == untouched
        assert untouched.is_relative_to(tmp_path / "mlruns")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, though long enough to look at")
    with pytest.raises(SpinscopeError, match=r"mlflow\.db is not a readable MLflow database"):
        open_store(tracking_at(tmp_path))


def test_a_locked_database_is_called_locked(store, tracking, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlruns/mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SpinscopeError, match=r"mlflow\.db is locked: another process"):
            open_store(tracking)
    assert open_store(tracking).experiment_id == store.experiment_id


def test_mlflows_own_error_of_a_locked_database_is_called_locked(store):
    text = "(sqlite3.OperationalError) database is locked [SQL: SELECT experiments.name ...]"
    with (
        pytest.raises(SpinscopeError, match=r"is locked: .* more than 20 seconds") as caught,
        module.reachable(store.uri),
    ):
        raise mlflow.MlflowException(text)
    assert "SQL" not in str(caught.value)


def test_a_server_that_is_down_is_named_without_its_password(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tracking = tracking_at(tmp_path).model_copy(
        update={"uri": f"http://kerr:secret@127.0.0.1:{port}"}
    )
    with pytest.raises(SpinscopeError, match=f"http://127.0.0.1:{port} does not answer") as caught:
        open_store(tracking)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["mlruns", "ftp://host/x", "file:///tmp/mlruns"])
def test_an_unknown_kind_of_address_is_refused(uri, tmp_path):
    with pytest.raises(SpinscopeError, match="must be sqlite:///FILE"):
        open_store(tracking_at(tmp_path).model_copy(update={"uri": uri}))


def test_a_deleted_experiment_is_named(store, tracking):
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(SpinscopeError, match="experiment 'moke-unet' was deleted"):
        open_store(tracking)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://kerr:secret@lab/x",
        "kerr:secret@lab",
        "http://kerr:8/secret@lab",
        "http://kerr:12@secret@lab:port",
        "postgres://lab/x?password=secret",
        "postgresql+none://kerr:secret@lab/x",
        "postgresql://kerr:secret@lab:port/x",
    ],
)
def test_a_refused_address_is_named_without_its_password(uri, tmp_path):
    with pytest.raises(SpinscopeError, match=r"tracking") as caught:
        open_store(tracking_at(tmp_path).model_copy(update={"uri": uri}))
    assert "secret" not in str(caught.value)
