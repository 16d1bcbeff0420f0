"""The studies of Kerr networks as Prefect runs them: tried again where they fail."""

from __future__ import annotations

import importlib

import pytest
from prefect.exceptions import ParameterTypeError

ROW = {
    "factor": "three-class",
    "seeds": [0],
    "mcc": [0.9],
    "mean": 0.9,
    "sd": None,
    "difference": None,
    "p_holm": None,
    "stands": False,
    "published": {"mean": 0.896, "sd": 0.002},
}

REPORTS = {
    "ablations": {"rows": [ROW], "master": {"factors": [], "rule": "none", "benchmark": {}}},
    "search": {
        "trials": [
            {"number": 0, "state": "complete", "mcc": 0.9, "frame_ms": 9.0, "params": {"width": 4}}
        ],
        "front": [0],
    },
}


@pytest.mark.parametrize("name", ["ablations", "search"])
def test_a_study_that_fails_goes_on(prefect, monkeypatch, tmp_path, name):
    flows = importlib.import_module("study")
    calls = []

    def report(job):
        calls.append((job.params.search.trials, job.out, job.options["workers"]))
        if len(calls) == 1:
            raise OSError("the disk was full")
        return REPORTS[name]

    monkeypatch.setattr(f"spinscope.studies.kerr.{name}.report", report)
    overrides = ["flows.retries=1", "search.trials=3"]
    found = getattr(flows, name)("2", "demo", overrides, str(tmp_path / "out"))
    assert found == REPORTS[name]
    assert calls == [(3, tmp_path / "out", 2)] * 2
    with pytest.raises(ParameterTypeError, match=r"(?s)workers.*valid integer"):
        getattr(flows, name)("two", "demo", overrides, str(tmp_path / "out"))
