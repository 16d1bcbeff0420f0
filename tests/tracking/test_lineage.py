"""Lineage names data, code, settings and machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import keras
import pytest

from spinscope.tracking import lineage


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(git: str, tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    _git(folder, "init", "-q")
    (folder / "model.py").write_text("width = 16\n")
    _git(folder, "add", "model.py")
    _git(folder, "commit", "-qm", "Begin")
    return folder


def test_a_clean_and_a_changed_checkout(params, checkout):
    commit = _git(checkout, "rev-parse", "HEAD")
    clean = lineage(params, "md5:1", root=checkout)
    assert (clean["git.commit"], clean["git.dirty"]) == (commit, "false")
    (checkout / "model.py").write_text("width = 8\n")
    changed = lineage(params, "md5:1", root=checkout)
    assert (changed["git.commit"], changed["git.dirty"]) == (commit, "true")


def test_outside_a_checkout_the_commit_is_unknown(params, tmp_path):
    (tmp_path / "plain").mkdir()
    tags = lineage(params, "md5:1", root=tmp_path / "plain")
    assert (tags["git.commit"], tags["git.dirty"]) == ("unknown", "unknown")


def test_settings_seed_packages_and_machine(params):
    tags = lineage(params, "md5:1", seed=4)
    assert tags["data.hash"] == "md5:1"
    assert tags["seed"] == "4"
    assert tags["params.digest"] == params.digest()
    assert tags["version.keras"] == keras.__version__
    assert {"version.python", "version.spinscope", "version.tensorflow", "version.numpy"} <= {*tags}
    assert tags["host.cpus"] == str(os.cpu_count())
    assert "seed" not in lineage(params, "md5:1")
