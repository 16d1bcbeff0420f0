"""Runs: one parent per experiment, one child per seed, resumed after an interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.tracking.conftest import report

from spinscope.config import load_params
from spinscope.datasets import data_hash, open_dataset, split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.tracking import lineage, over_seeds, parent_run, seed_run
from spinscope.tracking.runs import (
    log_curves,
    log_datasets,
    log_figure,
    log_metrics,
    log_report,
    runs,
)


def _status(run) -> str:
    return run.store.client.get_run(run.run_id).info.status


def test_one_child_per_seed_with_parameters_and_lineage(git, store, params, tags):
    with parent_run(store, params, lineage(params, "md5:0123")) as parent:
        for seed in (1, 2):
            with seed_run(parent, lineage(params, "md5:0123", seed=seed)) as run:
                assert _status(run) == "RUNNING"
    table = runs(store).set_index("name")
    assert set(table.index) == {params.tracking.experiment, "seed 1", "seed 2"}
    assert set(table["status"]) == {"FINISHED"}
    assert set(table.loc[["seed 1", "seed 2"], "parent"]) == {parent.run_id}
    kept = store.client.get_run(parent.run_id).data
    assert kept.params["training.epochs"] == "2"
    assert kept.tags["data.hash"] == "md5:0123"
    child = store.client.get_run(table.loc["seed 2", "run_id"]).data.tags
    assert child["seed"] == "2"
    assert child["version.keras"] == tags["version.keras"]
    assert child["mlflow.source.git.commit"] == tags["git.commit"]


def test_a_seeds_run_has_its_own_parameters(store, params, tags):
    with parent_run(store, params, tags) as parent:
        for _ in range(2):  # a resumed seed logs them again
            with seed_run(parent, {**tags, "seed": "2"}) as run:
                pass
    settings = store.client.get_run(parent.run_id).data.params
    own = store.client.get_run(run.run_id).data.params
    assert own == {**settings, "seed": "2"}
    assert (settings["seed"], own["training.epochs"]) == (str(params.seed), "2")


def test_a_run_names_its_user_and_its_source(store, params, tags, monkeypatch):
    monkeypatch.setenv("LOGNAME", "kerr")
    with parent_run(store, params, tags) as run:
        pass
    started = store.client.get_run(run.run_id)
    assert (started.info.user_id, started.data.tags["mlflow.user"]) == ("kerr", "kerr")
    assert started.data.tags["mlflow.source.type"] == "LOCAL"


def test_the_datasets_of_a_run_are_its_inputs(store, params, tags, moke_folder):
    dataset = open_dataset(moke_folder)
    splits, hash_ = split_by_batch(dataset, (0, 1, 2), (3,)), data_hash(dataset)
    with parent_run(store, params, tags) as run:
        for _ in range(2):
            log_datasets(run, {"training": splits.train, "validation": splits.validation}, hash_)
    inputs = {
        given.tags[0].value: given.dataset
        for given in store.client.get_run(run.run_id).inputs.dataset_inputs
    }
    assert set(inputs) == {"training", "validation"}
    validation = inputs["validation"]
    assert validation.name == "moke validation"
    assert mlflow.data.get_source(validation).load() == str(moke_folder)
    assert json.loads(validation.profile) == {
        "frames": 4,
        "sources": [6, 7],
        "batches": [3],
        "data_hash": hash_,
    }
    assert inputs["training"].digest != validation.digest
    with parent_run(store, params, tags) as other:
        log_datasets(other, {"validation": split_by_batch(dataset, (0,), (4,)).validation}, hash_)
    (given,) = store.client.get_run(other.run_id).inputs.dataset_inputs
    assert given.dataset.digest != validation.digest  # other frames of the same folder


def test_a_number_that_is_measured_again_replaces_the_former_one(store, params, tags):
    with parent_run(store, params, tags) as run:
        for value in (0.9, 0.8, 0.8):
            log_metrics(run, {"validation.mcc": value})
    assert store.client.get_run(run.run_id).data.metrics["validation.mcc"] == 0.8
    points = store.client.get_metric_history(run.run_id, "validation.mcc")
    assert [point.value for point in points] == [0.9, 0.8]


def test_a_run_that_raises_is_failed_and_its_seed_is_continued(store, params, tags):
    with pytest.raises(RuntimeError, match="diverged"), parent_run(store, params, tags) as parent:
        with seed_run(parent, {**tags, "seed": "2"}) as done:
            pass
        with seed_run(parent, tags) as first:
            raise RuntimeError("diverged")
    assert (_status(parent), _status(first)) == ("FAILED", "FAILED")
    with parent_run(store, params, tags) as again:
        assert again.run_id == parent.run_id
        with seed_run(again, tags) as second:
            assert second.run_id == first.run_id
        with seed_run(again, {**tags, "seed": "2"}) as read_back:
            assert read_back.run_id == done.run_id
    assert (_status(again), _status(second)) == ("FINISHED", "FINISHED")
    assert len(runs(store)) == 3


_KILLED = """
import os, signal, sys
from spinscope.config import load_params
from spinscope.tracking import lineage, open_store, parent_run, seed_run

params = load_params("demo", sys.argv[1:])
store = open_store(params.tracking)
tags = lineage(params, "md5:0123", seed=1)
with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
    print(parent.run_id, run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_an_interrupted_training_is_resumed(store, tracking):
    settings = [f"tracking.{key}={value}" for key, value in tracking.model_dump().items()]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *settings], capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    parent_id, seed_id = killed.stdout.split()
    assert store.client.get_run(seed_id).info.status == "RUNNING"
    params = load_params("demo", settings)
    tags = lineage(params, "md5:0123", seed=1)
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        assert (parent.run_id, run.run_id) == (parent_id, seed_id)
    assert len(runs(store)) == 2


def test_only_a_dead_run_of_the_same_settings_and_data_is_continued(store, params, tags):
    with parent_run(store, params, tags) as alive, parent_run(store, params, tags) as second:
        assert second.run_id != alive.run_id
    with pytest.raises(RuntimeError), parent_run(store, params, tags) as failed:
        raise RuntimeError
    for change in ({"data.hash": "md5:4567"}, {"params.digest": "0" * 16}):
        with parent_run(store, params, {**tags, **change}) as other:
            assert other.run_id != failed.run_id
    with parent_run(store, params, tags) as continued:
        assert continued.run_id == failed.run_id
    assert _status(alive) == "FINISHED"


def test_curves_are_kept_by_epoch_and_once(store, params, tags):
    history = {"loss": [1.0, 0.5, 0.25], "val_mcc": [0.1, 0.6, 0.8]}
    with parent_run(store, params, tags) as run:
        log_curves(run, history)
        log_curves(run, history)
    for name, values in history.items():
        points = store.client.get_metric_history(run.run_id, name)
        assert [(p.step, p.value) for p in points] == list(enumerate(values))


def test_a_report_becomes_metrics_a_table_and_a_file(store, params, tags):
    scores = report(0.93)
    scores["size"]["wasserstein_px"] = float("nan")
    with parent_run(store, params, tags) as run:
        log_report(run, scores)
    metrics = store.client.get_run(run.run_id).data.metrics
    assert metrics["validation.mcc"] == 0.93
    assert metrics["validation.objects.true"] == 100
    assert "validation.size.wasserstein_px" not in metrics
    table = pd.read_csv(store.client.download_artifacts(run.run_id, "validation/per_image.csv"))
    assert table["name"].tolist() == list(range(8))
    assert table["wasserstein_px"].tolist() == [0.4] * 8


def test_a_figure_is_kept_from_its_path_or_its_bytes(store, params, tags, tmp_path):
    picture = tmp_path / "curve.png"
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(picture)
    with parent_run(store, params, tags) as run:
        log_figure(run, picture, "a.png")
        log_figure(run, picture.read_bytes(), "b.png")
    for name in ("a.png", "b.png"):
        kept = store.client.download_artifacts(run.run_id, f"figures/{name}")
        assert (np.asarray(Image.open(kept)) == np.eye(8)).all()


def test_mean_and_spread_over_the_seeds():
    summary = over_seeds({seed: report(mcc) for seed, mcc in enumerate((0.90, 0.92, 0.97))})
    assert summary["mcc.mean"] == pytest.approx(0.93)
    assert summary["mcc.sd"] == pytest.approx(np.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert summary["objects.true.mean"] == 100
    assert "mcc.sd" not in over_seeds({1: report(0.9)})
    with pytest.raises(SpinscopeError, match="at least one seed"):
        over_seeds({})


def test_this_process_counts_as_alive(store, params, tags):
    with parent_run(store, params, tags) as run:
        named = store.client.get_run(run.run_id).data.tags["process"]
    assert named.split()[1] == str(os.getpid())


def test_a_study_is_resumed_in_one_run_with_one_child_per_trial(store, params, tags):
    from spinscope.tracking import runs

    ids = []
    for seeds in (2, 3):  # a setting that changed meanwhile does no harm
        more = params.model_copy(
            update={"training": params.training.model_copy(update={"seeds": seeds})}
        )
        with runs.study_parent(store, more, tags, "ablations-1") as parent:
            before = runs.tracked_trials(parent)
            for trial in ("a", "b"):
                with runs.trial_run(parent, tags, trial) as run:
                    ids.append(run.run_id)
            with pytest.raises(ValueError), runs.trial_run(parent, tags, "c") as run:
                raise ValueError
            assert runs.tracked_trials(parent) == {"a", "b"}
    assert before == {"a", "b"}
    assert ids[:2] == ids[2:]
    table = runs.runs(store)
    assert sorted(table["kind"]) == ["study", "trial", "trial", "trial"]
    assert sorted(table["status"]) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    with runs.study_parent(store, params, tags, "ablations-2") as other:
        assert runs.tracked_trials(other) == set()
