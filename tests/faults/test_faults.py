"""Faults that really happen; `python -m tests.faults` repeats each of them more often."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from tests.faults import clocks, disks, outages, workers  # noqa: F401  (they enter scenarios)
from tests.faults.__main__ import PAGE, RESULTS, table
from tests.faults.base import SCENARIOS, row

FEW = {
    "promotion_killed": 3,
    "promotion_io_error": None,
    "promotion_disk_full": None,
    "registration_killed": None,
    "save_killed": 2,
    "save_io_error": 2,
    "save_disk_full": 2,
    "corpus_killed": None,
    "training_killed": None,
    "ablation_worker_killed": None,
    "sqlite_writers": None,
    "import_killed": None,
    "postgres_down": None,
    "connections_exhausted": None,
    "mlflow_down": None,
    "s3_breaks": None,
    "clock_jumps": 1,
    "two_hosts": 1,
    "flipped_bit": 2,
}
"""Trials of each scenario here; None where it takes too long without SPINSCOPE_FAULTS=1."""
NEEDS = {"kill": "strace", "error": "strace", "full": "strace"}
NEEDS |= {"jumps": "faketime", "flipped": "git"}


def test_every_scenario_is_listed():
    assert set(FEW) == set(SCENARIOS)


def test_the_page_shows_the_table_of_the_results():
    rows = json.loads(RESULTS.read_text())
    assert table(rows) in PAGE.read_text()
    assert all(row["tried"] and not row["lost"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost(name, tmp_path):
    n = FEW[name]
    if n is None and not os.environ.get("SPINSCOPE_FAULTS"):
        pytest.skip("SPINSCOPE_FAULTS=1 runs the scenarios that take long")
    for word, program in NEEDS.items():
        if word in name and shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")
    found = row(name, tmp_path / name, seed=1, n=2 if n is None else n)
    assert found["tried"] and not found["losses"], json.dumps(found, indent=1)
