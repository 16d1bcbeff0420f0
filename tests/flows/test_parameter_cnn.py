"""Magnetic parameters through the flows: trained over seeds, registered and promoted."""

from __future__ import annotations

import importlib

import pytest
from tests.jobs.test_parameter_cnn import COVERAGE, ERROR, NAME, project, settings


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_parameters_are_trained_and_promoted(
    prefect, tmp_path, template_store, domains_folder, monkeypatch
):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(project(tmp_path / "project")))
    flows, out = importlib.import_module("train_seeds"), tmp_path / "out"
    given = {"profile": "demo", "overrides": settings(tmp_path, domains_folder)}
    report = flows.train_seeds(family=NAME, seeds=1, epochs=1, out=out, **given)
    assert report["registered"] == f"models:/{NAME}/1"
    (row,) = report["seeds"]
    table = flows.markdown(report)
    assert f"| seed | {ERROR} | seconds |" in table
    assert f"| 0 | {row['rmse']:.4f} |" in table

    promote = importlib.import_module("promote").promote
    step = promote(name=NAME, reason="flow", **given)
    assert step["to_version"] == 1
    assert {ERROR, COVERAGE} <= {gate["name"] for gate in step["gates"]}


def test_the_form_offers_the_family(prefect):
    form = importlib.import_module("train_seeds").train_seeds.parameters.properties
    assert NAME in form["family"]["enum"]
