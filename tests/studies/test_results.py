"""Results of studies that come with the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spinscope.config import load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.studies.results import store_results

TABLES = ("faults", "fuzz")  # of python -m tests.faults and tests.fuzz, not of a study
SHIPPED = sorted(
    path for path in (project_root() / "docs/results").glob("*.json") if path.stem not in TABLES
)


def test_a_report_is_stored_rounded_and_without_single_frames(tmp_path, moke_folder):
    params = load_params("demo", [f"data.path={moke_folder}"])
    probes = {
        "kind": "probes",
        "enough": 0.123456,
        "data": {"path": "/home/ada", "n_images": 3},
        "inverted": {"a": {"mcc": float(1 / 3), "per_image": [1]}},
    }
    report = {"rows": [], "parts": {"probes": probes, "ablations": {"kind": "ablations"}}}
    (tmp_path / "moke.json").write_text(json.dumps(report))
    path = store_results("moke", tmp_path, tmp_path / "results", params)
    stored = json.loads(path.read_text())
    assert stored["spinscope_version"] and len(stored["measured"]) == len("2026-11-28")
    assert stored["parts"] == {
        "probes": {
            "kind": "probes",
            "enough": 0.1235,
            "data": {"n_images": 3},
            "inverted": {"a": {"mcc": 0.3333}},
        }
    }
    assert len(stored["frames"]["values"]["diameter"]) == len(stored["frames"]["spectrum"])


@pytest.mark.parametrize(
    ("name", "says"), [("probes", "must be one of"), ("ltem", "run `spinscope study ltem` first")]
)
def test_a_study_without_a_report_is_one_sentence(tmp_path, name, says):
    with pytest.raises(SpinscopeError, match=says):
        store_results(name, tmp_path, tmp_path, load_params("demo"))


def test_the_results_of_every_study_are_shipped():
    assert [path.stem for path in SHIPPED] == ["field", "ltem", "moke", "parameters"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_results_are_small_and_name_no_machine(path: Path):
    text = path.read_text()
    assert len(text) < 200_000
    assert '"/' not in text  # no absolute path
    assert json.loads(text)["measured"]
