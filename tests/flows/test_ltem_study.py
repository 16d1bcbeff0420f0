"""The study of Lorentz models as Prefect runs it."""

from __future__ import annotations

import importlib
import json

import pytest
from tests.conftest import tracking_at
from tests.studies.lorentz.films import made, stand_in, written

from spinscope.errors import SpinscopeError
from spinscope.studies import models as study_models
from spinscope.studies.lorentz import scores as lorentz
from spinscope.studies.models import Subject


def test_every_model_is_measured_and_the_report_tracked(
    prefect, monkeypatch, tmp_path, template_store
):
    flows = importlib.import_module("study")
    for name in ("DEFOCUS_MM", "TILT_DEG"):
        monkeypatch.setattr(lorentz, name, (getattr(lorentz.Point(), name.lower()),))
    monkeypatch.setattr(lorentz, "NOISE", (0.0, 0.1, 0.5, 1.0))
    monkeypatch.setattr(lorentz, "AXIS_DEG", (0, 90))
    monkeypatch.setenv("SPINSCOPE_LTEM", str(tmp_path / "none"))
    tried = []

    def subject(params, given):
        tried.append(given)
        if len(tried) == 1:
            raise OSError("the network drive is away")
        name = given.partition("=")[0]
        return Subject(name, given, name, stand_in(), 1)

    monkeypatch.setattr(study_models, "subject", subject)
    films = written(tmp_path / "films", made(2, size=64))
    tracking = tracking_at(template_store).model_dump()
    found = flows.ltem_study(
        "a=x, b=y",
        str(films),
        "all",
        profile="demo",
        overrides=[f"tracking.{key}={value}" for key, value in tracking.items()],
        out=str(tmp_path / "out"),
    )
    assert tried == ["a=x", "a=x", "b=y", "a=x", "b=y"]  # the first was tried again
    assert [model["name"] for model in found["models"]] == ["a", "b"]
    assert found == json.loads((tmp_path / "out/ltem.json").read_text())


def test_no_model_is_said(prefect):
    with pytest.raises(SpinscopeError, match="--models must name at least one"):
        importlib.import_module("study").ltem_study(" , ")
