"""Flows as Prefect runs them: validation first, retries, kept results, deployments."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.flows.conftest import FLOWS, settings_of, written

from spinscope.config import load_params


def module(name: str):
    return importlib.import_module(name)


@pytest.mark.slow
def test_train_evaluate_promote(prefect, params, tmp_path, template_store, lenient):
    """The three flows one after the other; a second training reads the kept results."""
    flows = module("train_seeds")
    overrides = settings_of(params)
    out = tmp_path / "out"
    report = flows.train_seeds(profile="demo", overrides=overrides, out=str(out))
    assert len(report["seeds"]) == 2
    assert report["registered"] == "models:/moke-unet/1"

    trained = written(out)
    assert trained
    again = flows.train_seeds(profile="demo", overrides=overrides, out=str(out))
    assert [row["mcc"] for row in again["seeds"]] == [row["mcc"] for row in report["seeds"]]
    assert written(out) == trained, "a finished seed was trained again"

    step = module("promote").promote(profile="demo", overrides=overrides, reason="flow")
    assert step["to_version"] == 1
    table = module("study").evaluate_tta(
        profile="demo", overrides=overrides, out=str(tmp_path / "study")
    )
    rows = [(row["model"], row["views"]) for row in table["rows"]]
    assert rows == [("models:/moke-unet/1", views) for views in (1, 3, 8)]
    assert json.loads((tmp_path / "study/tta.json").read_text()) == table


def test_a_seed_that_dies_is_tried_again(prefect, monkeypatch, tmp_path):
    """The process of a seed is killed once; the retry brings the row."""
    flows = module("train_seeds")
    mark = tmp_path / "died"
    monkeypatch.setenv("SPINSCOPE_TEST_MARK", str(mark))
    monkeypatch.setattr(flows, "_train_seed", _dies_once)
    seed_task = flows.train_seed.with_options(retries=2, retry_delay_seconds=0)
    row = seed_task(seed=0, profile=None, overrides=[], out=str(tmp_path), parent_id=None)
    assert mark.exists()
    assert row["val_mcc"] == 0.5


def _dies_once(seed, profile, overrides, out, parent_id, family) -> dict:
    mark = Path(os.environ["SPINSCOPE_TEST_MARK"])
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return {"seed": seed, "val_mcc": 0.5}


def test_bad_settings_fail_before_any_seed(prefect, tmp_path):
    from spinscope.errors import SpinscopeError

    with pytest.raises(SpinscopeError, match="absent"):
        module("train_seeds").train_seeds(
            profile="demo", overrides=["data.path=/absent"], out=str(tmp_path)
        )
    assert not list(tmp_path.iterdir())


def test_no_more_seeds_at_once_than_allowed(monkeypatch):
    monkeypatch.syspath_prepend(str(FLOWS))
    under_way, most = set(), []

    class Seed:
        def __init__(self, seed: int):
            self.seed = seed
            under_way.add(seed)
            most.append(len(under_way))

        def result(self) -> dict:
            under_way.remove(self.seed)
            return {"seed": self.seed}

    for at_once in (1, 2, 9):
        most.clear()
        rows = module("_cluster").bounded(Seed, [3, 4, 5, 6], at_once)
        assert [row["seed"] for row in rows] == [3, 4, 5, 6]
        assert max(most) == min(at_once, 4)


def test_the_units_under_way_end_before_an_error_is_raised(monkeypatch):
    monkeypatch.syspath_prepend(str(FLOWS))
    started, ended = [], []

    class Seed:
        def __init__(self, seed: int):
            self.seed = seed
            started.append(seed)

        def result(self) -> None:
            raise OSError(f"seed {self.seed}")

        def wait(self) -> None:
            ended.append(self.seed)

    with pytest.raises(OSError, match="seed 3"):
        module("_cluster").bounded(Seed, [3, 4, 5], 2)
    assert (started, ended) == ([3, 4], [4])


def test_every_flow_is_a_deployment_with_its_schedule(prefect, monkeypatch):
    schedules = load_params(
        overrides=["flows.promote_cron='0 9 1 * *'", "flows.nightly_cron='0 3 * * *'"]
    ).flows
    monkeypatch.delitem(sys.modules, "serve", raising=False)
    crons = {
        deployment.name: [planned.schedule.cron for planned in deployment.schedules or ()]
        for deployment in module("serve").deployments(schedules)
    }
    assert crons == {
        "train-seeds": ["0 2 * * 6"], "evaluate-tta": ["0 6 * * 6"], "promote": ["0 9 1 * *"],
        "retrain": [], "retrain-when-due": [], "nightly": ["0 3 * * *"],
        "corpus": [], "corpus-ltem": [], "field": [], "estimate": [], "ltem-study": [],
        "ablations": [], "search": [], "relabel": [], "cross-validate": [], "probes": [],
        "moke-study": [], "field-study": [], "parameters-study": [],
    }  # fmt: skip


def test_bad_words_end_a_flow_with_a_sentence(prefect):
    from prefect.settings import PREFECT_API_URL

    given = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    done = subprocess.run(
        [sys.executable, str(FLOWS / "promote.py"), "--set", "gates.min_mc=1"],
        capture_output=True, text=True, env={**os.environ, **given},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: params: gates.min_mc")


def test_every_flow_takes_the_settings_on_its_command_line(run_as_main):
    programs = [
        (f"{name}.py",)
        for name in (
            *("train_seeds", "promote", "retrain", "corpus_ltem", "field", "estimate"),
            *("nightly", "retrain_when_due", "corpus"),
        )
    ]
    for program, *name in [*programs, ("study.py", "evaluate-tta"), ("study.py", "probes")]:
        printed = run_as_main(program, *name, "--help")
        assert "--profile" in printed
        assert "--set" in printed
