"""From films to a registered model in one run, and again without doing anything twice."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora.ovf import write_ovf
from spinscope.datasets.shards import read_header
from spinscope.models.store import model_info


def film(path: Path, rng: np.random.Generator, size: int = 64) -> Path:
    """OVF file of a periodic film with a Néel skyrmion."""
    y, x = ((np.arange(size) - c + size / 2) % size - size / 2 for c in rng.uniform(0, size, 2))
    y, x = np.meshgrid(y, x, indexing="ij")
    r = np.hypot(y, x) + 1e-9
    theta = 2 * np.arctan2(np.sinh(7 / 2.5), np.sinh(r / 2.5))
    m = np.stack([np.sin(theta) * x / r, np.sin(theta) * y / r, np.cos(theta)], axis=-1)
    return write_ovf(path, m * 2e5, (27.5e-9, 3e-9, 3e-9), unit="A/m")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_films_images_training_registry(prefect, tmp_path, template_store, monkeypatch, lenient):
    flows = importlib.import_module("corpus_ltem")
    overrides = [
        "data.train_batches=[0, 1]", "data.validation_batches=[2]", "data.test_batches=[]",
        "model.width=4", "model.depth=2", "training.seeds=1", "training.epochs=1",
        "training.steps_per_epoch=2", "training.batch=2", "training.crop=64",
        "ltem.images_per_film=2",
        f"tracking.uri=sqlite:///{tmp_path}/mlruns/mlflow.db",
        f"tracking.artifacts={tmp_path}/mlruns/artifacts",
    ]  # fmt: skip
    rng, computed = np.random.default_rng(0), []

    def films(params, out, *, progress=None):
        """As the simulation would: of the settings' magnetisation, kept where it stands."""
        computed.append(params.films.ms)
        if out.exists():
            return out
        files = [film(tmp_path / f"film-{k}.ovf", rng) for k in range(3)]
        return jobs.import_films(params, files, out)

    monkeypatch.setattr(jobs, "films", films)
    overrides.append("films.ms=[2.0e+5, 2.2e+5]")
    out = tmp_path / "out"
    report = flows.corpus_ltem(profile="demo", overrides=overrides, out=str(out))
    assert computed == [(2.0e5, 2.2e5)]
    assert report["registered"] == "models:/ltem-unet-demo/1"
    assert read_header(out / "images")["n"] == 6
    assert model_info(Path(report["best"]))["family"] == "ltem-unet"
    stamps = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    kept = (out / "train/seed-0/result.json").read_bytes()

    again = flows.corpus_ltem(profile="demo", overrides=overrides, out=str(out))
    assert again["registered"] == report["registered"]
    assert {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()} == stamps
    assert (out / "train/seed-0/result.json").read_bytes() == kept

    tilted = [*overrides, "ltem.tilt_deg=[30, 30]"]
    other = tmp_path / "other"
    flows.make_images("demo", tilted, str(out / "films"), str(other))
    assert read_header(other)["tilt_deg"] == [30, 30]

    step = importlib.import_module("promote").promote(
        name="ltem-unet-demo", profile="demo", reason="flow",
        overrides=[*overrides, f"data.path={out}/images"],
    )  # fmt: skip
    assert step["to_version"] == 1
    assert json.loads((out / "train/report.json").read_text())["family"] == "ltem-unet"


def test_the_schedule_is_a_setting():
    assert load_params().flows.corpus_ltem_cron is None
