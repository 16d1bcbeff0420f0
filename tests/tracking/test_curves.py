"""Curves are read back as they were logged."""

from __future__ import annotations

from spinscope.tracking import open_store, parent_run, seed_run
from spinscope.tracking.curves import curves, experiments
from spinscope.tracking.runs import log_curves, log_metrics


def test_curves_of_two_seeds_without_the_numbers_of_the_whole_run(store, params, tags):
    histories = {1: {"val_mcc": [0.1, 0.6, 0.8]}, 2: {"val_mcc": [0.2, 0.7], "loss": [1.0, 0.5]}}
    ids = []
    with parent_run(store, params, tags) as parent:
        for seed, history in histories.items():
            with seed_run(parent, {**tags, "seed": str(seed)}) as run:
                log_curves(run, history)
                log_metrics(run, {"seconds": 12.0, "validation.mcc": 0.8})
                ids.append(run.run_id)
    table = curves(store, ids)
    assert set(table["metric"]) == {"val_mcc", "loss"}
    one = table[(table["run_id"] == ids[0]) & (table["metric"] == "val_mcc")]
    assert one["epoch"].tolist() == [1, 2, 3]
    assert one["value"].tolist() == histories[1]["val_mcc"]
    assert len(table) == 3 + 2 + 2


def test_no_runs_make_an_empty_table(store):
    assert curves(store, []).columns.tolist() == ["run_id", "metric", "epoch", "value"]


def test_the_experiment_of_the_newest_training_comes_first(store, tracking, params, tags):
    other = open_store(tracking.model_copy(update={"experiment": "zoo"}))
    open_store(tracking.model_copy(update={"experiment": "another"}))
    for opened in (store, other):
        with parent_run(opened, params, tags):
            pass
        assert experiments(store)[0] == opened.client.get_experiment(opened.experiment_id).name
    assert experiments(store) == ["zoo", "moke-unet", "another"]


def test_experiments_without_a_training_are_sorted_by_name(store, tracking):
    open_store(tracking.model_copy(update={"experiment": "another"}))
    assert experiments(store) == ["another", "moke-unet"]
