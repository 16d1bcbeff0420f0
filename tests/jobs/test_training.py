"""Training jobs on a small dataset: from frames to a promoted model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinscope import jobs
from spinscope.config import load_params
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.images import write_label
from spinscope.models.store import EXPORT, NETWORK
from spinscope.tracking import resolve


@pytest.fixture
def strict(params):
    """Settings whose gates any model passes."""
    gates = {"metric_limit": -1, "max_count_error": 1e9, "max_frame_ms": 1e9}
    return params.model_copy(update={"gates": params.gates.model_copy(update=gates)})


def test_from_frames_to_the_lab(strict, tmp_path, template_store):
    report = jobs.train(strict, tmp_path / "out")
    assert [row["seed"] for row in report["seeds"]] == [0, 1]
    assert report["registered"] == "models:/moke-unet/1"
    mccs = [row["mcc"] for row in report["seeds"]]
    assert report["validation"]["mcc.mean"] == pytest.approx(np.mean(mccs))
    assert report["validation"]["mcc.sd"] == pytest.approx(np.std(mccs, ddof=1))
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report

    promotion = jobs.promote(strict, "moke-unet", None, "first")
    assert (promotion.from_version, promotion.to_version) == (None, 1)

    batches = strict.data.validation_batches
    assert (resolve(strict.tracking, "models:/moke-unet@lab") / EXPORT).is_file()
    keras = strict.model_copy(
        update={"inference": strict.inference.model_copy(update={"engine": "keras"})}
    )
    lab = jobs.evaluate_model(keras, "models:/moke-unet@lab", strict_path(strict), batches=batches)
    best = max(report["seeds"], key=lambda row: row["mcc"])
    assert lab["mcc"] == pytest.approx(best["mcc"], abs=1e-6)
    assert lab["n_images"] == 4
    for key in ("accuracy", "f1", "jaccard"):
        assert key in lab
    assert {"true", "predicted"} <= set(lab["objects"])
    assert "wasserstein_px" in lab["size"]


def test_a_bundled_model_comes_before_the_gates(strict, tmp_path, template_store):
    version = jobs.add(strict, "bundled:moke-unet", "moke-unet")
    assert version.ref == "models:/moke-unet/1"
    assert version.tags["added.from"] == "bundled:moke-unet"
    assert 0.5 < version.number("mcc.mean") < 1  # discs are what it knows
    jobs.promote(strict, "moke-unet", None, "no training of our own yet")
    folder = resolve(strict.tracking, "models:/moke-unet@lab")
    bundled = resolve(strict.tracking, "bundled:moke-unet")
    assert (folder / NETWORK).read_bytes() == (bundled / NETWORK).read_bytes()
    assert (folder / EXPORT).is_file()
    assert not (bundled / EXPORT).exists()
    with pytest.raises(SpinscopeError, match="is registered already"):
        jobs.add(strict, version.ref, "moke-unet")


def strict_path(params):
    from spinscope.config import dataset_path

    return dataset_path(params)


def test_a_finished_seed_is_not_trained_again(params, tmp_path, template_store):
    epochs = []
    first = jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    again = jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    assert len(epochs) == params.training.epochs
    assert again["validation"] == first["validation"]
    assert again["tta"] == first["tta"]


def test_bad_data_stops_before_training(params, moke_folder, tmp_path, template_store):
    label = next((moke_folder / "labels").iterdir())
    write_label(label, np.zeros((64, 64), dtype=np.uint8))
    with pytest.raises(SpinscopeError, match=label.name):
        jobs.train(params, tmp_path / "out")
    assert not list((tmp_path / "out").glob("seed-*"))


def test_training_survives_a_registry_that_is_down(params, tmp_path, monkeypatch, template_store):
    """The store fails in the middle: the model is on disk, and the next call only tracks it."""
    from spinscope.tracking import runs

    with monkeypatch.context() as patch:

        def down(*_, **__):
            raise SpinscopeError("tracking store sqlite:///… failed: database is locked")

        patch.setattr(runs, "log_curves", down)
        patch.setattr(runs, "log_report", down)
        with pytest.raises(SpinscopeError, match="database is locked"):
            jobs.train(params, tmp_path / "out")
    kept = (tmp_path / "out" / "seed-0" / "result.json").read_bytes()
    report = jobs.train(params, tmp_path / "out")
    assert (tmp_path / "out" / "seed-0" / "result.json").read_bytes() == kept
    assert report["registered"] == "models:/moke-unet/1"


def test_a_server_that_is_down_is_one_sentence(params):
    tracking = params.tracking.model_copy(update={"uri": "http://127.0.0.1:9"})
    with pytest.raises(SpinscopeError, match=r"http://127\.0\.0\.1:9 does not answer"):
        jobs.promote(params.model_copy(update={"tracking": tracking}), "moke-unet", None, "why")


def test_corpus_is_kept_where_it_is_the_one_asked_for(tmp_path):
    params = load_params(
        "demo", ["kerr.n=2", "kerr.height=64", "kerr.width=96"], family="moke-unet"
    )
    path = jobs.corpus(params, tmp_path / "kerr")
    stamp = (path / "corpus.json").stat().st_mtime_ns
    assert (
        jobs.corpus(params, tmp_path / "kerr").joinpath("corpus.json").stat().st_mtime_ns == stamp
    )
    other = params.model_copy(update={"seed": 9})
    jobs.corpus(other, tmp_path / "kerr")
    assert (path / "corpus.json").stat().st_mtime_ns != stamp
    assert len(open_dataset(path)) == 2


def test_evaluating_an_unknown_model_lists_the_known_ones(params, moke_folder):
    with pytest.raises(SpinscopeError, match=r"bundled:nope.*bundled are"):
        jobs.evaluate_model(params, "bundled:nope", moke_folder)


def test_a_selection_without_frames_is_refused(params, moke_folder, tmp_path):
    with pytest.raises(SpinscopeError, match="no frame is left"):
        jobs.evaluate_model(params, "bundled:nope", moke_folder, batches=[0], sources=[9])
