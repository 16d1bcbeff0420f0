"""The effective field through the flows: trained over seeds, registered and promoted."""

from __future__ import annotations

import importlib

import pytest
from tests.jobs.test_field_fcn import project, settings


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_spins_are_trained_and_promoted(
    prefect, tmp_path, template_store, lattice_folder, monkeypatch
):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(project(tmp_path / "project")))
    flows, out = importlib.import_module("train_seeds"), tmp_path / "out"
    given = {"profile": "demo", "overrides": settings(tmp_path, lattice_folder)}
    report = flows.train_seeds(family="field-fcn", seeds=1, epochs=1, out=out, **given)
    assert report["registered"] == "models:/field-fcn/1"
    (row,) = report["seeds"]
    assert 0 < row["energy_error"] < 5e-4
    table = flows.markdown(report)
    assert "| seed | energy error | seconds |" in table
    assert f"| 0 | {row['energy_error']:.2e} |" in table

    promote = importlib.import_module("promote").promote
    step = promote(name="field-fcn", reason="flow", **given)
    assert step["to_version"] == 1
    assert "energy error" in {gate["name"] for gate in step["gates"]}


def test_the_form_offers_the_family(prefect):
    form = importlib.import_module("train_seeds").train_seeds.parameters.properties
    assert "field-fcn" in form["family"]["enum"]
