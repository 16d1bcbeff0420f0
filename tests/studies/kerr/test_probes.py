"""Probes and test-time augmentation from models to report: kept, read back, tracked."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.conftest import tracking_at

from spinscope.config import Params, overridden
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.inference.predict import Predictor
from spinscope.models.store import INFO, NETWORK, write_sums
from spinscope.studies import figures
from spinscope.studies import models as study_models
from spinscope.studies.kerr import PROBES, TTA, tta
from spinscope.studies.kerr import probe_curves as probes
from spinscope.studies.kerr.probes import KINDS
from spinscope.studies.kerr.probes import lines as probe_lines
from spinscope.studies.kerr.tta import lines as augmented_lines
from spinscope.studies.kerr.tta import registered
from spinscope.studies.models import Subject


def probe(params, models, out, **given):
    return PROBES(params, out, models=models, **given)


def augmented(params, models, out, **given):
    return TTA(params, out, models=models, **given)


class Threshold:
    """Stands in for a network: a skyrmion is darker than a level of the standardised frame."""

    streams = 1
    calls = 0

    def __init__(self, level: float = -1.0):
        self.level = level

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        found = np.where(batch[..., 0] < self.level, 0.9, 0.1)
        return np.stack([1 - found, found], axis=-1).astype(np.float32)


def stand_in(level: float = -1.0) -> Predictor:
    return Predictor(Threshold(level), {"classes": ["background", "skyrmion"], "size_multiple": 1})


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    few = {"SNR": (0.5, 6.0), "CONTRAST": (0.002, 0.15), "GRADIENT": (0.0,), "NOISE": (0.05,)}
    for name, values in {**few, "ADDED_NOISE": (0.0, 0.1), "GREYS": 8}.items():
        monkeypatch.setattr(probes, name, values)
    monkeypatch.setattr(figures, "png", partial(figures.png, dpi=20))


@pytest.fixture
def known(monkeypatch) -> dict[str, Subject]:
    """Stand-ins by name, whatever is asked for."""
    made: dict[str, Subject] = {}

    def subject(params, given):
        name, _, ref = given.partition("=")
        return made.setdefault(name, Subject(name, ref, f"sha of {name}", stand_in(), 1))

    monkeypatch.setattr(study_models, "subject", subject)
    return made


@pytest.fixture
def small(params) -> Params:
    size = ["probes.frames=2", "probes.height=64", "probes.width=64"]
    return overridden(params, [*size, "data.train_batches=[0]", "data.validation_batches=[2]"])


def test_a_report_holds_every_model_at_every_point(known, small, tmp_path):
    known["far"] = Subject("far", "y", "sha of far", stand_in(-9), 1)
    report = probe(small, ["near=x", "far=y"], tmp_path / "out")
    assert report == json.loads((tmp_path / "out/probes.json").read_text())
    assert [model["name"] for model in report["models"]] == ["near", "far"]
    assert report["data"]["n_images"] == 4
    assert [row["x"] for row in report["limits"]["snr"]] == [0.5, 6.0]
    low, high = (row["mcc"]["near"] for row in report["limits"]["snr"])
    assert low < 0.3 < 0.6 < high
    assert all(row["mcc"]["far"] == 0 for row in report["limits"]["snr"])
    assert report["limit_at"]["snr"]["far"] is None
    assert len(report["grey"]["near"]) == len(report["patch"]["far"]) == 8
    assert report["inverted"]["near"]["mcc"] > 0.9 > report["inverted"]["near"]["mcc_inverted"]
    quiet, noisy = report["speckles"]["real"]
    assert quiet["speckles"]["near"] < noisy["speckles"]["near"]
    assert noisy["speckles"]["far"] == 0
    lines = probe_lines(report)
    assert lines[0] == "near"
    assert len(lines) == 2 * 6


def test_an_interrupted_study_goes_on_and_a_probed_model_is_read(known, small, tmp_path):
    out = tmp_path / "out"

    def interrupted(kinds, **_):
        yield from kinds[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(small, ["near=x"], out, progress=interrupted)
    assert not (out / "probes.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("probes-points/*.json")}
    assert sorted(name.partition("-")[0] for name in kept) == sorted(KINDS[:2])
    report = probe(small, ["near=x"], out)
    assert kept.items() <= {p.name: p.stat().st_mtime_ns for p in out.glob("*-points/*")}.items()
    engine = known["near"].predictor.engine
    engine.calls = 0
    assert probe(small, ["near=x"], out) == report
    assert engine.calls == 0
    # Of other settings, only what depends on them is measured anew.
    probe(overridden(small, ["evaluation.min_object_px=9"]), ["near=x"], out)
    assert engine.calls == 2 * 1 + 4 * 2
    engine.calls = 0
    known["near"] = replace(known["near"], sha256="another network")
    probe(small, ["near=x"], out)
    every = 2 * 8 + 2 * 4 + (2 * 1 + 4 * 2) + 2 * 5
    assert engine.calls == every
    # So is all of it where the model is applied otherwise.
    ruled = replace(
        known["near"].predictor, info={**known["near"].predictor.info, "min_peak_probability": 0.5}
    )
    known["near"] = replace(known["near"], predictor=ruled)
    probe(small, ["near=x"], out)
    assert engine.calls == 2 * every


def test_without_labelled_frames_the_rest_is_probed(known, small, tmp_path, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_MOKE", str(tmp_path / "none"))
    report = probe(overridden(small, ["data.path=auto"]), ["near=x"], tmp_path / "out")
    assert report["data"] is report["inverted"] is report["speckles"]["real"] is None
    assert len(probe_lines(report)) == 4
    with pytest.raises(SpinscopeError, match="absent"):
        probe(overridden(small, ["data.path=/absent"]), ["near=x"], tmp_path / "out")


def test_two_models_of_one_name_are_refused(known, small, tmp_path):
    with pytest.raises(SpinscopeError, match="two models are named 'a'"):
        probe(small, ["a=x", "a=y"], tmp_path / "out")


def test_numbers_and_figures_are_tracked(known, small, tmp_path, template_store):
    from spinscope.tracking import open_store

    small = small.model_copy(update={"tracking": tracking_at(template_store)})
    report = probe(small, ["a model (x)=x"], tmp_path / "out", track=True)
    store = open_store(small.tracking)
    (run,) = store.client.search_runs([store.experiment_id])
    assert run.data.metrics["a model _x_/mcc"] == report["inverted"]["a model (x)"]["mcc"]
    assert len(store.client.get_metric_history(run.info.run_id, "a model _x_/grey")) == 8
    figures = {f.path for f in store.client.list_artifacts(run.info.run_id, "figures")}
    assert {"figures/grey.png", "figures/limits.png", "figures/inverted.png"} <= figures


@pytest.fixture
def folder(tmp_path):
    """A model folder whose network is never opened."""
    model = tmp_path / "model"
    model.mkdir()
    (model / NETWORK).write_bytes(b"weights")
    (model / INFO).write_text(json.dumps({"family": "moke-unet"}))
    write_sums(model)
    return model


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The models that were loaded."""
    loaded: list[str] = []

    def predictor(params, ref):
        loaded.append(ref)
        return stand_in()

    monkeypatch.setattr(tta, "predictor", predictor)
    return loaded


def test_a_version_is_measured_once(folder, loads, small, tmp_path):
    out = tmp_path / "out"
    report = augmented(small, [str(folder)], out)
    assert report == json.loads((out / "tta.json").read_text())
    assert [row["views"] for row in report["rows"]] == [1, 3, 8]
    # What goes pixel by pixel sees the same in every view.
    assert len({row["mcc"] for row in report["rows"]}) == 1
    assert report["rows"][0]["mcc"] > 0.9
    assert {row["sha256"] for row in report["rows"]} == {sha256(folder / NETWORK)}
    assert all(row["n_images"] == 4 for row in report["rows"])
    assert len(augmented_lines(report)) == 5  # the last names frames seen in training
    assert augmented(small, [str(folder)], out) == report
    assert loads == [str(folder)]
    # A view that is missing is all that is measured.
    next(out.glob("tta-points/*/3.json")).unlink()
    kept = augmented(small, [str(folder)], out)["rows"]
    assert loads == [str(folder)] * 2
    assert [kept[0], kept[2]] == [report["rows"][0], report["rows"][2]]
    for other in ("inference.engine=keras", "data.validation_batches=[3]"):
        augmented(overridden(small, [other]), [str(folder)], out)
    assert len(loads) == 4
    (folder / NETWORK).write_bytes(b"others")
    write_sums(folder)
    augmented(small, [str(folder)], out)
    assert len(loads) == 5
    # A rule is not among the weights.
    (folder / INFO).write_text(json.dumps({"family": "moke-unet", "min_peak_probability": 0.75}))
    write_sums(folder)
    for _ in range(2):
        augmented(small, [str(folder)], out)
    assert len(loads) == 6


def test_views_that_a_model_does_not_allow_are_left_out(folder, monkeypatch, small, tmp_path):
    axis = Predictor(Threshold(), {**stand_in().info, "symmetry": "axis"})
    monkeypatch.setattr(tta, "predictor", lambda params, ref: axis)
    rows = augmented(small, [str(folder)], tmp_path / "out")["rows"]
    views = [len(axis.transforms(views)) for views in tta.VIEWS]
    assert [row["views"] for row in rows] == sorted(set(views))
    assert len(rows) < 3


def test_a_version_is_logged_once(folder, loads, small, tmp_path, template_store):
    from spinscope.tracking import open_store

    small = small.model_copy(update={"tracking": tracking_at(template_store)})
    out = tmp_path / "out"
    rows = augmented(small, [str(folder)], out)["rows"]
    for _ in range(2):
        augmented(small, [str(folder)], out, track=True)
    store = open_store(small.tracking)
    (run,) = store.client.search_runs([store.experiment_id])
    assert run.data.metrics["views-8.mcc"] == rows[2]["mcc"]
    assert run.data.tags["model.sha256"] == rows[0]["sha256"]


def test_no_model_is_said(small, tmp_path, template_store):
    small = small.model_copy(update={"tracking": tracking_at(template_store)})
    with pytest.raises(SpinscopeError, match="no version of moke-unet is registered"):
        registered(small)
    with pytest.raises(SpinscopeError, match="at least one model"):
        augmented(small, [], tmp_path / "out")
