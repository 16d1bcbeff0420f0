"""Studies in a PostgreSQL database: several processes, a kill, several output folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import Postgres

from spinscope.errors import SpinscopeError
from spinscope.tuning import key, one_at_a_time, storage
from spinscope.tuning.plan import Plan

CONFIGS = [{"factor": "default", "seed": seed} for seed in range(6)]


@pytest.fixture(scope="module")
def database(postgres: Postgres):
    """Address of a database without its password, which the environment holds."""
    address = postgres.database().replace(f":{postgres.password}@", "@")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", postgres.password)
        yield address


class Noted:
    """An objective that notes its calls; the fourth one kills its process if that is wanted."""

    def __init__(self, log: Path, kill: bool = False):
        self.log, self.kill = log, kill

    def __call__(self, config, folder, watch):
        with self.log.open("a") as file:
            file.write(f"{key(config)}\n")
        if self.kill and config["seed"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        watch.epoch(0, 0.5)
        return {"values": [config["seed"] / 10]}


def test_a_killed_study_is_resumed_by_several_processes(database, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    code = (
        "import sys; from pathlib import Path; from tests.tuning.test_server import *; "
        "one_at_a_time(Noted(Path(sys.argv[1]), True), CONFIGS, Path(sys.argv[2]), 'study', "
        "database=sys.argv[3])"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-c", code, log, out, database], env=environment, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    given = {"workers": 2, "database": database}
    rows = one_at_a_time(Noted(log), CONFIGS, out, "study", **given)
    assert [row["values"][0] for row in rows] == [seed / 10 for seed in range(6)]
    assert [row["number"] for row in rows] == list(range(6))
    calls = log.read_text().split()
    assert sorted(calls) == sorted([key(config) for config in CONFIGS] + [key(CONFIGS[3])])
    assert not (out / storage.DATABASE).exists()
    # Another folder is another study, although it has the same name.
    assert storage.trials(Plan(tmp_path / "other", "study", database=database)) == []


def test_a_database_that_cannot_be_used_is_named(database, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "wrong")
    wrong = database.replace("spinscope@", "nobody@")
    with pytest.raises(SpinscopeError, match=r"tuning\.storage \(=.*nobody.*password") as refused:
        one_at_a_time(Noted(tmp_path / "log"), CONFIGS, tmp_path, "study", database=wrong)
    assert "wrong" not in str(refused.value)
