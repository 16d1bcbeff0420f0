"""The ablations and the free search, from settings to report and MLflow."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from spinscope.config import Params, overridden
from spinscope.datasets import data_hash
from spinscope.errors import SpinscopeError
from spinscope.jobs.data import split
from spinscope.studies.kerr import ABLATIONS, SEARCH
from spinscope.studies.kerr import ablations as job
from spinscope.studies.kerr import search as search_job
from spinscope.studies.kerr.ablation_table import DEFAULT, PUBLISHED
from spinscope.studies.kerr.ablations import FACTORS, setting
from spinscope.studies.kerr.ablations import lines as ablation_lines
from spinscope.studies.kerr.search import frame_time, space
from spinscope.studies.kerr.search import lines as search_lines
from spinscope.tracking import open_store, runs
from spinscope.tuning import Span, Whole

ablations, search = ABLATIONS, SEARCH


@pytest.fixture
def small(params: Params) -> Params:
    base = ["data.train_batches=[0, 3]", "data.test_batches=[1]", "training.epochs=1"]
    return overridden(
        params,
        [
            f"ablations.base={json.dumps(base)}",
            "ablations.master_epochs=2",
            "ablations.seeds=2",
            "search.trials=10",
            "search.startup=4",
            "search.base=[training.epochs=4, training.crop=64]",
        ],
    )


class Training:
    """Stands in for a training: a score that follows from the settings and the seed."""

    def __init__(self):
        self.done: list[tuple[Params, int]] = []

    def __call__(self, params, seed, folder, watch):
        self.done.append((params, seed))
        score = 0.8 + 0.001 * seed * (1 + seed) - 0.3 * (params.data.scheme == 2)
        score += (0.05 + 0.002 * seed) * (params.model.dropout == 0.1)
        score += (0.03 + 0.001 * seed) * (params.augmentation.scale > 0)
        score += 0.001 * params.model.width - 0.1 * params.training.label_smoothing
        curve = [score * (k + 1) / params.training.epochs for k in range(params.training.epochs)]
        for epoch, value in enumerate(curve):
            watch.epoch(epoch, value)
        history = folder / "training" / "history.json"
        history.parent.mkdir(parents=True)
        history.write_text(json.dumps({"val_mcc": curve}))
        return SimpleNamespace(score=score, best_epoch=0, seconds=1.0), split(params)[1]


@pytest.fixture
def training(monkeypatch) -> Training:
    stand_in = Training()
    monkeypatch.setattr(job, "trained", stand_in)
    monkeypatch.setattr(search_job, "trained", stand_in)
    monkeypatch.setattr(
        job, "_scores", lambda params, result, splits: dict.fromkeys(splits.named(), result.score)
    )
    return stand_in


def children(params: Params) -> list[dict]:
    table = runs.runs(open_store(params.tracking))
    return table[table["kind"] == "trial"].to_dict("records")


def parents(params: Params) -> list[dict]:
    table = runs.runs(open_store(params.tracking))
    return table[table["kind"] == "study"].to_dict("records")


def test_every_factor_changes_one_thing_of_the_default(small):
    base = overridden(small, small.ablations.base)
    every = {factor: setting(base, {"factor": factor, "seed": 0}) for factor in FACTORS}
    default = every[DEFAULT].model_dump()
    assert list(FACTORS) == sorted(FACTORS, key=list({DEFAULT: 0, **PUBLISHED}).index)
    assert set(FACTORS) == set(PUBLISHED)
    augmentation = default["augmentation"]
    assert {augmentation[k] for k in ("scale", "noise", "contrast", "brightness", "blur")} == {0}
    assert (augmentation["symmetry"], augmentation["invert"]) == ("none", False)
    assert augmentation["shift"] is True  # the random crop stays
    changed = {
        factor: {
            f"{section}.{key}": value
            for section in ("data", "model", "training", "augmentation")
            for key, value in params.model_dump()[section].items()
            if value != default[section][key]
        }
        for factor, params in every.items()
    }
    own = base.augmentation.model_dump()
    differs = {f"augmentation.{k}": v for k, v in own.items() if v != augmentation[k]}
    assert differs
    assert changed == {
        DEFAULT: {},
        "two-class": {"data.scheme": 2},
        "augmentation": differs,
        "augmentation with inversion": {**differs, "augmentation.invert": True},
        "PReLU": {"model.activation": "prelu"},
        "tanh": {"model.activation": "tanh"},
        "mish": {"model.activation": "mish"},
        "label smoothing 30 %": {"training.label_smoothing": 0.3},
        "label smoothing 40 %": {"training.label_smoothing": 0.4},
        "dropout 10 %": {"model.dropout": 0.1},
        "dropout 15 %": {"model.dropout": 0.15},
    }
    both = setting(base, {"factor": "augmentation + mish", "seed": 1, "epochs": 7})
    assert both.augmentation == every["augmentation"].augmentation
    assert (both.model.activation, both.training.epochs) == ("mish", 7)
    benchmark = setting(base, {"factor": "benchmark", "epochs": base.training.epochs})
    assert benchmark == every[DEFAULT]


def test_the_default_is_plain_whatever_the_settings_augment(small):
    rich = overridden(
        small,
        ["augmentation.restandardise=true", "augmentation.gamma=[0.5, 2]", "augmentation.salt=0.1",
         "training.class_weights=[1, 2, 3]"],
    )  # fmt: skip
    plain = setting(rich, {"factor": "two-class"})
    assert plain.augmentation.gamma == (1, 1)
    assert not plain.augmentation.restandardise
    assert setting(rich, {"factor": "augmentation"}).augmentation.gamma == (0.5, 2)


def test_a_study_from_settings_to_report_and_runs(small, training, tmp_path, template_store):
    out = tmp_path / "study"
    tried = ["two-class", "augmentation", "dropout 10 %"]
    report = ablations(small, out, factors=tried)
    assert json.loads((out / "ablations.json").read_text()) == report
    assert [row["factor"] for row in report["rows"]] == [DEFAULT, *tried]
    assert report["rows"][0]["seeds"] == [0, 1]
    assert report["n_images"] == {"train": 8, "validation": 4, "test": 4}
    dataset, _ = split(small)
    assert report["data_hash"] == data_hash(dataset)
    master = report["master"]
    assert master["factors"] == ["augmentation", "dropout 10 %"]
    for name in ("benchmark", "master"):
        assert set(master[name]) == {"models", "train", "validation", "test"}
        assert len(master[name]["test"]["mcc"]) == 2
    assert master["master"]["test"]["mean"] > master["benchmark"]["test"]["mean"] + 0.05
    n = 2 * (4 + 2)
    assert len(training.done) == n
    assert {params.training.epochs for params, _ in training.done[-4:]} == {2}
    text = "\n".join(ablation_lines(report))
    assert "master model: augmentation, dropout 10 %" in text

    tracked = children(small)
    assert len(tracked) == len({row["name"] for row in tracked}) == n
    assert {row["status"] for row in tracked} == {"FINISHED"}
    parent = parents(small)
    assert len(parent) == 1
    assert {row["parent"] for row in tracked} == {parent[0]["run_id"]}

    again = ablations(small, out, factors=tried)
    assert again == report
    assert len(training.done) == n
    assert {row["run_id"] for row in children(small)} == {row["run_id"] for row in tracked}
    assert len(parents(small)) == 1

    more = overridden(small, ["ablations.seeds=3"])  # what is there is kept
    wider = ablations(more, out, factors=tried)
    assert len(training.done) == n + 6
    assert [row["mcc"][:2] for row in wider["rows"]] == [row["mcc"] for row in report["rows"]]
    assert len(children(small)) == n + 6
    assert len(parents(small)) == 1


def test_a_store_that_fails_loses_no_training(
    small, training, tmp_path, template_store, monkeypatch
):
    with monkeypatch.context() as patch:

        def down(*_):
            raise SpinscopeError("tracking store sqlite:///… failed: database is locked")

        patch.setattr(runs, "log_curves", down)
        with pytest.raises(SpinscopeError, match="database is locked"):
            ablations(small, tmp_path / "study", factors=["mish"])
    assert len(training.done) == 4  # all were trained before it is said
    ablations(small, tmp_path / "study", factors=["mish"])
    names = [row["name"] for row in children(small) if row["status"] == "FINISHED"]
    assert len(names) == len(set(names)) == len(children(small))
    assert {row["status"] for row in parents(small)} == {"FINISHED"}


def test_an_unknown_factor_is_said(small, tmp_path):
    with pytest.raises(SpinscopeError, match="factor 'swish' must be one of three-class"):
        ablations(small, tmp_path, factors=["swish"], track=False)


def test_a_search_from_settings_to_report(small, training, tmp_path, template_store, monkeypatch):
    times = []

    def timed(params, lock):
        times.append(params.model)
        return 10.0 + params.model.width / params.model.stem

    monkeypatch.setattr(search_job, "frame_time", timed)
    report = search(small, tmp_path / "study")
    assert json.loads((tmp_path / "study" / "search.json").read_text()) == report
    assert [trial["number"] for trial in report["trials"]] == list(range(10))
    assert len(times) == len(training.done) == 10
    complete = [trial for trial in report["trials"] if trial["state"] == "complete"]
    assert len(complete) >= 4
    for number in report["front"]:
        one = report["trials"][number]
        assert not [
            t for t in complete if t["mcc"] > one["mcc"] and t["frame_ms"] < one["frame_ms"]
        ]
    assert len(search_lines(report)) == 2 + len(report["front"])
    assert len(children(small)) == 10
    assert search(small, tmp_path / "study") == report
    assert len(training.done) == len(children(small)) == 10


def test_every_corner_of_the_space_is_a_setting(small):
    base = overridden(small, ["training.crop=128", "augmentation.contrast=0.6"])
    for end in (0, -1):
        config = {
            name: (of.low, of.high)[end] if isinstance(of, Span | Whole) else of.choices[end]
            for name, of in space().items()
        }
        params = search_job.setting(base, config)
        assert params.model.width == config["width"]
        assert params.training.learning_rate == config["learning_rate"]
        assert params.training.class_weights == (1, config["skyrmion_weight"], 1)
        assert params.augmentation.noise == pytest.approx(
            base.augmentation.noise * config["augmentation"]
        )


def test_the_time_of_a_frame_grows_with_the_network(small, tmp_path):
    keras = overridden(small, ["inference.engine=keras", "model.stem=4", "model.width=2"])
    slow = overridden(keras, ["model.stem=1", "model.width=8"])
    assert frame_time(keras, tmp_path / "lock") < frame_time(slow, tmp_path / "lock")


@pytest.mark.slow
def test_a_real_study_of_tiny_networks(small, tmp_path, template_store):
    tiny = overridden(small, ["ablations.seeds=1", "model.width=2", "model.depth=1"])
    report = ablations(tiny, tmp_path / "study", factors=["two-class"])
    assert [row["factor"] for row in report["rows"]] == [DEFAULT, "two-class"]
    for row in report["rows"]:
        model = tmp_path / "study" / row["models"][0]
        assert json.loads((model / "model.json").read_text())["val_mcc"] == row["mcc"][0]
    assert set(report["master"]["benchmark"]) == {"models", "train", "validation", "test"}
    tracked = children(tiny)
    assert len(tracked) == 3
    store = open_store(tiny.tracking)
    one = next(row for row in tracked if "two-class" in row["name"])
    run = store.client.get_run(one["run_id"])
    assert run.data.metrics["validation.mcc"] == report["rows"][1]["mcc"][0]
    assert run.data.params["data.scheme"] == "2"
    assert run.data.tags["mlflow.parentRunId"] == parents(tiny)[0]["run_id"]
    assert "val_loss" in run.data.metrics


@pytest.mark.slow
def test_a_real_search_of_tiny_networks(small, tmp_path, template_store, monkeypatch):
    monkeypatch.setattr(
        search_job, "space", lambda: {**space(), "width": Whole(2, 3), "depth": Whole(1, 1)}
    )
    tiny = overridden(
        small, ["search.trials=2", "search.base=[training.epochs=1, training.crop=64]"]
    )
    report = search(tiny, tmp_path / "study")
    assert [trial["state"] for trial in report["trials"]] == ["complete"] * 2
    assert all(trial["frame_ms"] > 0 for trial in report["trials"])
