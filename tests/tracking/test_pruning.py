"""Pruning: what a version or a run needs is never removed, and the rest comes back as space."""

from __future__ import annotations

import json
import sys

import pytest

from spinscope import cli
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.tracking import open_store, parent_run, seed_run, versions
from spinscope.tracking.pruning import prune
from spinscope.tracking.registry import intact, version, version_folder


@pytest.fixture
def another_run(store, params, tags):
    """Finished runs of an experiment: (parent, seed)."""
    other = {**tags, "params.digest": "other"}
    with parent_run(store, params, other) as parent, seed_run(parent, other) as run:
        store.client.log_text(run.run_id, "a curve", "curve.txt")
    return parent, run


def whys(rows) -> list[tuple[str, str]]:
    return sorted((row.kind, row.why) for row in rows)


def test_nothing_is_unneeded_in_a_new_store(tracking, store, registered, another_run):
    registered()
    assert prune(tracking, days=0, free=True) == []
    assert intact(store, version(store, "moke-unet", 1)) is None


def test_a_deleted_run_is_freed_unless_a_version_is_of_it(tracking, store, registered, another_run):
    v, (parent, run) = registered(), another_run
    of_version = store.client.get_run(v.run_id)
    for run_id in (v.run_id, of_version.data.tags["mlflow.parentRunId"], run.run_id):
        store.client.delete_run(run_id)
    before = sha256_folder(version_folder(store, v))
    rows = prune(tracking, days=0)
    assert [(row.kind, row.id) for row in rows] == [("run", run.run_id)]
    assert rows[0].bytes == len("a curve")
    assert (rows[0].folder / "artifacts/curve.txt").is_file(), "listing removes nothing"
    assert prune(tracking, days=0, free=True) == rows
    assert not rows[0].folder.exists()
    store.client.delete_run(parent.run_id)
    assert [row.id for row in prune(tracking, days=0, free=True)] == [parent.run_id]
    assert prune(tracking, days=0) == []
    found = [r.info.run_id for r in store.client.search_runs([store.experiment_id], "", 3)]
    assert sorted(found) == sorted([v.run_id, of_version.data.tags["mlflow.parentRunId"]])
    assert sha256_folder(version_folder(store, v)) == before


def test_the_model_of_a_deleted_version_is_freed(tracking, store, registered):
    registered(), registered(level=0.4), registered(level=0.3)
    folder = version_folder(store, version(store, "moke-unet", 2)).parents[2]
    store.client.delete_model_version("moke-unet", "2")
    (row,) = prune(tracking, days=0, free=True)
    assert (row.kind, row.why, row.folder) == ("model", "a model that no version is of", folder)
    assert not folder.exists()
    assert prune(tracking, days=0) == []
    assert versions(store)["version"].tolist() == [3, 1]
    for number in (1, 3):
        assert intact(store, version(store, "moke-unet", number)) is None


def test_an_interrupted_registration_is_freed_when_it_is_old(tracking, store, registered):
    v = registered()
    logged = store.client.create_logged_model(
        store.experiment_id, name="moke-unet", source_run_id=v.run_id, model_type="moke-unet"
    )
    folder = tracking.artifacts
    assert prune(tracking, free=True) == [], "another process may be registering it"
    (row,) = prune(tracking, days=0)
    assert row.id == logged.model_id and str(row.folder).startswith(folder)
    assert whys(prune(tracking, days=0, free=True)) == [("model", "a model that no version is of")]
    assert prune(tracking, days=0) == []


def test_models_and_folders_of_other_programs_are_kept(tracking, store, registered, tmp_path):
    v = registered()
    store.client.create_logged_model(store.experiment_id, name="theirs", source_run_id=v.run_id)
    theirs = tmp_path / "mlruns/artifacts/notes"
    theirs.mkdir()
    lost = tmp_path / "mlruns/artifacts" / ("0" * 32)
    (lost / "artifacts").mkdir(parents=True)
    assert whys(prune(tracking, days=0, free=True)) == [
        ("folder", "artifacts that no run or model names")
    ]
    assert theirs.is_dir() and not lost.exists()


def test_a_removal_that_was_interrupted_is_completed(tracking, store, another_run, monkeypatch):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _, run = another_run
    store.client.delete_run(run.run_id)
    with monkeypatch.context() as patch:
        patch.setattr(SqlAlchemyStore, "_hard_delete_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prune(tracking, days=0, free=True)
    (row,) = prune(tracking, days=0, free=True)
    assert (row.id, row.bytes) == (run.run_id, 0)
    assert prune(tracking, days=0) == []


def test_a_server_prunes_itself(tracking):
    with pytest.raises(SpinscopeError, match="must be sqlite:///FILE here"):
        prune(tracking.model_copy(update={"uri": "http://127.0.0.1:9"}))


def test_prune_shows_before_it_frees(tracking, store, another_run, monkeypatch, capsys):
    _, run = another_run
    store.client.delete_run(run.run_id)

    def call(*words: str) -> str:
        values = [f"tracking.uri={tracking.uri}", f"tracking.artifacts={tracking.artifacts}"]
        options = [word for value in values for word in ("--set", value)]
        argv = ["spinscope", "registry", "prune", "--days", "0", *words, *options]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr().out

    assert "a deleted run" in (said := call()) and "to free with --yes" in said
    assert json.loads(call("--json"))[0]["id"] == run.run_id
    assert "freed" in call("--yes")
    assert call() == "every artifact is needed by a version or a run\n"
    assert open_store(tracking).client.search_runs([store.experiment_id], "", 2) == []
