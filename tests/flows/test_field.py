"""The applications of the effective field as Prefect runs them, with the bundled model."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import mean_angle


def test_a_texture_is_generated_and_completed_from_its_z_components(prefect, tmp_path):
    flows = importlib.import_module("field")
    (made,) = flows.field("generate", size=48, seed=3, out=tmp_path / "texture")
    assert made["energy_after_j"] < -2.0
    m = np.load(tmp_path / "texture/spins.npy")
    np.save(tmp_path / "z.npy", m[..., 2])
    (completed,) = flows.field("complete", file=tmp_path / "z.npy", out=tmp_path / "completed")
    assert completed["charge"] == pytest.approx(made["charge"], abs=0.01)
    assert mean_angle(np.load(tmp_path / "completed/spins.npy"), m) < 3
    saved = json.loads((tmp_path / "completed/summary.json").read_text())
    assert {key: saved[key] for key in completed} == completed


def test_a_trial_needs_no_file(prefect, tmp_path):
    flows = importlib.import_module("field")
    (summary,) = flows.field("denoise", size=32, out=tmp_path / "out")
    assert summary["angle_after_deg"] < 0.4 * summary["angle_before_deg"]


def test_options_reach_the_application(prefect, tmp_path):
    flows = importlib.import_module("field")
    weak, strong = flows.field(
        "respond", size=32, fields="0.05, 0.3", iterations=50, out=tmp_path / "out"
    )
    assert (weak["external_j"], strong["external_j"]) == (0.05, 0.3)
    assert strong["m_z"] > weak["m_z"]
    assert weak["iterations"] == 55  # a tenth as many follow without agitation
    with pytest.raises(SpinscopeError, match="generate has no option alpha"):
        flows.field("generate", alpha=1.0, out=tmp_path / "other")


def test_bad_input_fails_in_one_sentence_and_writes_nothing(prefect, tmp_path):
    flows = importlib.import_module("field")
    np.save(tmp_path / "bad.npy", np.zeros((16, 16, 2)))
    with pytest.raises(SpinscopeError, match=r"bad.npy has the shape \(16, 16, 2\)"):
        flows.field("infer", file=tmp_path / "bad.npy", out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))
