"""Probes and test-time augmentation as Prefect runs them."""

from __future__ import annotations

import importlib
import json

import pytest
from tests.conftest import tracking_at

from spinscope.errors import SpinscopeError
from spinscope.studies.base import Stage
from spinscope.studies.kerr import probes
from spinscope.studies.kerr import tta as augmented

ROW = {"views": 1, "mcc": 0.9, "objects_true": 5, "objects_predicted": 6, "frame_ms": 8.0,
       "n_images": 2, "sha256": "abc"}  # fmt: skip


def test_every_version_is_measured_and_one_that_failed_tried_again(
    prefect, monkeypatch, tmp_path, template_store, moke_folder
):
    flows = importlib.import_module("study")
    tried = []

    def measured(params, model, frames, digest, out, *, track=False, progress=None):
        assert params.family == "moke-unet"
        assert len(frames) == 4
        if track:
            tried.append(model)
            if len(tried) == 1:
                raise OSError("the network drive is away")
        return [{**ROW, "model": model}]

    monkeypatch.setattr(augmented, "measured", measured)
    versions = ["models:/moke-unet/1", "models:/moke-unet/2"]
    monkeypatch.setattr(augmented, "registered", lambda params: versions)
    tracking = tracking_at(template_store).model_dump()
    overrides = [f"tracking.{key}={value}" for key, value in tracking.items()]
    overrides += [f"data.path={moke_folder}", "data.validation_batches=[2]"]
    found = flows.evaluate_tta(profile="demo", overrides=overrides, out=str(tmp_path / "out"))
    assert tried == [versions[0], *versions, *versions]  # the first again; then the report
    assert [row["model"] for row in found["rows"]] == versions
    assert found == json.loads((tmp_path / "out/tta.json").read_text())


def test_models_are_probed_together_and_tracked(prefect, monkeypatch, tmp_path):
    flows = importlib.import_module("study")
    asked, probed = [], []

    def report(job):
        asked.append((job.options["models"], job.out, job.track))
        return {"models": []}

    monkeypatch.setattr(probes, "STAGES", (Stage("probe", lambda _, model: probed.append(model),
                                                 lambda job: job.options["models"]),))  # fmt: skip
    monkeypatch.setattr(probes, "report", report)
    monkeypatch.setattr(probes, "lines", lambda report: ["a line"])
    assert flows.probes("a=x, b=y", "demo", out=str(tmp_path)) == {"models": []}
    assert asked == [(["a=x", "b=y"], tmp_path, True)]
    assert probed == ["a=x", "b=y"]
    with pytest.raises(SpinscopeError, match="--models must name at least one"):
        flows.probes(" , ")
