"""Backup and restore: nothing is missing, nothing is overwritten, and damage is named."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs, tracking_at
from tests.tracking.conftest import frames, report, small_network

from spinscope import cli
from spinscope.backups import backup, restore, verify
from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.families.moke_unet import FAMILY
from spinscope.files import sha256, sha256_folder
from spinscope.jobs.cached_data import cached_dataset, dvc_cache
from spinscope.reviews.folder import Reviews
from spinscope.tracking import (
    Run,
    open_store,
    parent_run,
    register,
    resolve,
    seed_run,
    version,
    versions,
)
from spinscope.tracking.registry import version_folder
from spinscope.tracking.runs import log_metrics

BY_ADA = {"who": "Ada", "model": "models:/moke-unet/1", "model_sha256": "0" * 64}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a DVC cache and a review beside its store."""
    shutil.copy(project_root() / "params.yaml", tmp_path)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    image, label = discs(np.random.default_rng(1))
    reviews = Reviews.open(tmp_path / "reviews" / "film-1")
    reviews.add(".1", image, label, status="corrected", before=0 * label, **BY_ADA)
    (tmp_path / ".dvc").mkdir()
    cached(tmp_path, {"images/a.png": b"pixels", "table.csv": b"1,2"})
    return tmp_path


def cached(root: Path, contents: dict[str, bytes]) -> str:
    """Put a folder into the cache of DVC, as DVC does, and return its hash."""

    def put(content: bytes, end: str = "") -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + end
        path = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    rows = [{"md5": put(content), "relpath": name} for name, content in sorted(contents.items())]
    return f"md5:{put(json.dumps(rows).encode(), '.dir')}"


def promoted(store, params, tags, folder: Path) -> None:
    """Register a real network with its predictions, and give it to the lab."""
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        pass
    register(
        store, FAMILY, run.run_id, small_network(folder), "moke-unet", seed=1,
        reports={1: report(0.9)}, lineage=tags, validated=True, examples=frames(),
    )  # fmt: skip
    store.client.set_registered_model_alias("moke-unet", "lab", "1")


def at(project: Path):
    return tracking_at(project / "mlruns")


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def elsewhere(tmp_path: Path, monkeypatch) -> Path:
    """An empty project on another machine."""
    new = tmp_path / "another machine"
    new.mkdir()
    monkeypatch.setenv("SPINSCOPE_ROOT", str(new))
    return new


def test_a_restored_project_has_what_the_old_one_had(
    project, store, params, tags, tmp_path, monkeypatch
):
    promoted(store, params, tags, tmp_path / "network")
    a_run = store.client.search_runs([store.experiment_id])[0]
    store.client.log_text(a_run.info.run_id, "noted", "note.txt")
    done = backup(at(project), tmp_path / "backup")
    assert done["models"] == [{"ref": "models:/moke-unet/1", "aliases": ["lab"], "problems": []}]
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    found = verify(tmp_path / "backup")
    assert (found["broken"], found["files"]) == ([], done["files"])
    files = sha256_folder(version_folder(store, version(store, "moke-unet")))
    # The old machine is gone.
    for name in ("mlruns", "reviews", ".dvc"):
        shutil.move(project / name, tmp_path / f"gone-{name}")

    new = elsewhere(tmp_path, monkeypatch)
    (row,) = restore(at(new), tmp_path / "backup")["models"]
    assert (row["ref"], row["passed"], row["difference"]) == ("models:/moke-unet@lab", True, 0)
    restored = open_store(at(new))
    with pytest.warns(match="around the gates"):  # the test set the alias itself
        assert resolve(restored, "models:/moke-unet@lab").is_relative_to(new)
    assert sha256_folder(version_folder(restored, version(restored, "moke-unet"))) == files
    assert restored.client.list_artifacts(a_run.info.run_id)[0].path == "note.txt"
    (review,) = Reviews.open(new / "reviews/film-1").history(".1")
    assert (review.who, review.status) == ("Ada", "corrected")
    assert sha256(review.label) == sha256(
        next((tmp_path / "gone-reviews").rglob(f"{review.after}.png"))
    )
    data = next((tmp_path / "gone-.dvc").rglob("*.dir"))
    hash_ = f"md5:{data.parent.name}{data.name}"
    assert cached_dataset(dvc_cache(new), hash_, new / "data") is None
    assert (new / "data/images/a.png").read_bytes() == b"pixels"
    assert stat.S_IMODE((new / "mlruns/mlflow.db").stat().st_mode) == 0o600
    with pytest.raises(SpinscopeError, match="exists; restore into a project without a store"):
        restore(at(new), tmp_path / "backup")


def test_a_backup_while_models_are_registered_and_masks_corrected_is_complete(
    project, store, registered, tmp_path
):
    registered()
    image, label = discs(np.random.default_rng(2))

    def meanwhile(items, **_):
        """Register a version and save a review after half of the files are copied."""
        for k, item in enumerate(items):
            if k == len(items) // 2:
                registered((0.95,))
                reviews = Reviews.open(project / "reviews/film-1")
                reviews.add("2", image, label, status="accepted", before=label, **BY_ADA)
            yield item

    done = backup(at(project), tmp_path / "backup", progress=meanwhile)
    assert len(versions(store)) == 2
    assert [(row["ref"], row["problems"]) for row in done["models"]] == [
        ("models:/moke-unet/1", [])
    ]
    copied = Reviews.open(tmp_path / "backup/reviews/film-1")
    assert copied.frames() == [".1"] and copied.history(".1")[0].label.is_file()
    again = backup(at(project), tmp_path / "backup")  # replaces it
    assert len(again["models"]) == 2
    assert Reviews.open(tmp_path / "backup/reviews/film-1").frames() == [".1", "2"]


def test_an_interrupted_backup_leaves_the_earlier_one(project, store, registered, tmp_path):
    registered()
    backup(at(project), tmp_path / "backups/lab")
    before = sha256_folder(tmp_path / "backups")

    def full(items, **_):
        yield items[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        backup(at(project), tmp_path / "backups/lab", progress=full)
    assert sha256_folder(tmp_path / "backups") == before
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["lab"]


def test_a_folder_that_is_no_backup_is_not_replaced(project, store, tmp_path):
    with pytest.raises(SpinscopeError, match="must be a new folder"):
        backup(at(project), project / "reviews")
    assert (project / "reviews/film-1").is_dir()


def test_verify_names_each_broken_file_and_the_models_it_touches(
    project, store, registered, tmp_path
):
    data = cached(project, {"b.png": b"other pixels"})
    registered()
    registered((0.95,), tags_added={"data.hash": data, "retrain.reviews": "film-0,film-1"})
    registered((0.96,))
    backup(at(project), folder := tmp_path / "backup")
    (network, *_) = sorted(folder.rglob("model.keras"))
    damage(network)
    damage(next(folder.glob("reviews/*/masks/*.png")))
    md5 = hashlib.md5(b"other pixels", usedforsecurity=False).hexdigest()
    (folder / "dvc/files/md5" / md5[:2] / md5[2:]).unlink()

    found = verify(folder)
    broken = {row["file"]: row for row in found["broken"]}
    assert len(broken) == 3
    name = network.relative_to(folder).as_posix()
    assert "was recorded" in broken[name]["problem"]
    assert broken[f"dvc/files/md5/{md5[:2]}/{md5[2:]}"]["problem"] == "is missing"
    problems = {row["ref"]: row["problems"] for row in found["models"]}
    assert problems["models:/moke-unet/2"][-2:] == [
        f"its data {data} are broken in the DVC cache", "its corrections film-1 are broken",
    ]  # fmt: skip
    (touched,) = [ref for ref, rows in problems.items() if f"{name} is broken" in rows]
    assert broken[name]["touches"] == touched
    assert sum(map(bool, problems.values())) == len({touched, "models:/moke-unet/2"})
    assert "film-1" in next(row["touches"] for row in found["broken"] if "masks" in row["file"])


def test_a_version_that_was_damaged_before_the_backup_is_named(
    project, store, registered, tmp_path
):
    v = registered()
    damage(version_folder(store, v) / "card.md")
    done = backup(at(project), tmp_path / "backup")
    ((problem,),) = (row["problems"] for row in done["models"])
    assert "was registered" in problem
    assert verify(tmp_path / "backup")["models"] == done["models"]


@pytest.mark.parametrize("name", ["store/mlflow.db", "backup.json"])
def test_a_damaged_database_or_record_stops_the_restore(
    project, store, registered, tmp_path, monkeypatch, name
):
    registered()
    backup(at(project), folder := tmp_path / "backup")
    damage(folder / name)
    if name == "backup.json":
        with pytest.raises(SpinscopeError, match="is damaged"):
            verify(folder)
    else:
        (row,) = verify(folder)["broken"]
        assert (row["file"], row["touches"]) == (name, "every run and model")
    new = elsewhere(tmp_path, monkeypatch)
    with pytest.raises(SpinscopeError, match="is damaged"):
        restore(at(new), folder, partly=True)
    assert list(new.iterdir()) == []


def test_the_intact_files_of_a_damaged_backup_are_restored_on_request(
    project, store, registered, tmp_path, monkeypatch
):
    registered()
    backup(at(project), folder := tmp_path / "backup")
    damage(next(folder.glob("reviews/*/images/*.png")))
    new = elsewhere(tmp_path, monkeypatch)
    with pytest.raises(SpinscopeError, match=r"damaged in 1 of \d+ files, reviews/film-1/images"):
        restore(at(new), folder)
    restore(at(new), folder, partly=True)
    assert len(versions(open_store(at(new)))) == 1
    assert not list(new.glob("reviews/*/images/*.png"))


KILLED = """
import json, os, signal, sys
from spinscope.backups import restore
from spinscope.config import Tracking

def until(items, desc="", **_):
    for k, item in enumerate(items):
        if desc == "restore" and k == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item

restore(Tracking(**json.loads(sys.argv[1])), sys.argv[2], progress=until)
"""


def test_a_killed_restore_is_resumed_and_other_files_are_kept(
    project, store, registered, tmp_path, monkeypatch
):
    registered()
    backup(at(project), folder := tmp_path / "backup")
    new = elsewhere(tmp_path, monkeypatch)
    settings = at(new).model_dump_json()
    done = subprocess.run([sys.executable, "-c", KILLED, settings, folder])
    assert done.returncode == -signal.SIGKILL
    assert len(list(new.rglob("*.*"))) > 0 and not (new / "mlruns/mlflow.db").exists()
    review = next((folder / "reviews").rglob("*.json"))
    mine = new / review.relative_to(folder)
    mine.parent.mkdir(parents=True, exist_ok=True)
    content = review.read_bytes() if not mine.exists() else mine.read_bytes()
    mine.write_bytes(b"mine")
    with pytest.raises(SpinscopeError, match=r"0001\.json exists and differs from the backup"):
        restore(at(new), folder)
    assert mine.read_bytes() == b"mine"
    mine.write_bytes(content)
    restore(at(new), folder)
    assert len(versions(open_store(at(new)))) == 1


def test_backup_and_restore_from_the_command_line(
    project, store, registered, tmp_path, monkeypatch, capsys
):
    registered()
    log_metrics(Run(store, version(store, "moke-unet").run_id), {"later": 1.0})

    def run(*words) -> int:
        monkeypatch.setattr(sys, "argv", ["spinscope", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code or 0
        return 0

    folder = tmp_path / "backup"
    assert run("backup", folder) == 0
    assert "1 of 1 model versions are intact" in capsys.readouterr().out
    assert run("backup", folder, "--verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["broken"] == []
    damage(next(folder.rglob("predictions.npz")))
    assert run("backup", folder, "--verify") == 1
    said = capsys.readouterr()
    assert "predictions.npz has sha256" in said.out
    assert "models touched: models:/moke-unet/1" in said.err
    assert run("restore", folder) == 1
    assert "is damaged in 1 of" in capsys.readouterr().err


def test_a_server_is_backed_up_and_restored_through_its_interface(
    project, params, tags, tmp_path, postgres, monkeypatch
):
    server = {"uri": postgres.database(), "artifacts": str(tmp_path / "of the server")}
    tracking = at(project).model_copy(update=server)
    promoted(open_store(tracking), params, tags, tmp_path / "network")
    done = backup(tracking, tmp_path / "backup")
    assert done["models"] == [{"ref": "models:/moke-unet/1", "aliases": ["lab"], "problems": []}]
    shutil.rmtree(tmp_path / "of the server")
    new = elsewhere(tmp_path, monkeypatch)
    other = {"uri": postgres.database(), "artifacts": str(tmp_path / "of another server")}
    for target in (at(new), tracking.model_copy(update=other)):
        (row,) = restore(target, tmp_path / "backup")["models"]
        assert (row["ref"], row["passed"], row["difference"]) == (
            "models:/moke-unet@lab", True, 0,
        )  # fmt: skip
    assert Reviews.open(new / "reviews/film-1").frames() == [".1"]
