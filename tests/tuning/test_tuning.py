"""Studies that are killed end as if they had not been; what is pruned and what is on the front."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.tuning import (
    Choice,
    Pruned,
    Span,
    Whole,
    free_search,
    key,
    one_at_a_time,
    pareto_front,
    storage,
)
from spinscope.tuning.plan import Plan
from spinscope.tuning.trials import PEERS, hopeless

CONFIGS = [{"factor": f, "seed": s} for f, s in product(("default", "mish", "two-class"), range(4))]


class Slow:
    """An objective that sleeps, and notes in `log` when it begins and when it ends."""

    def __init__(self, log: Path, seconds: float = 0.04):
        self.log, self.seconds = log, seconds

    def __call__(self, config, folder, watch):
        self.note("begin", config)
        time.sleep(self.seconds)
        value = len(config["factor"]) / 10 + config["seed"] / 100
        watch.epoch(0, value)
        self.note("end", config)
        return {"values": [value], "pid": os.getpid()}

    def note(self, what, config):
        with self.log.open("a") as file:
            file.write(f"{what} {key(config)} {os.getpid()}\n")

    def count(self, what: str) -> Counter:
        lines = self.log.read_text().splitlines() if self.log.is_file() else []
        return Counter(line.split()[1] for line in lines if line.startswith(what))


def table(rows) -> list:
    return [(row["config"], row["values"]) for row in rows]


def numbers_of(out: Path) -> list[str]:
    """State and config of every trial in the storage."""
    plan = Plan(out, "study", configs=tuple(CONFIGS))
    return sorted(f"{t.state.name} {key(t.user_attrs['config'])}" for t in storage.trials(plan))


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.tuning.test_tuning import CONFIGS, Slow
from spinscope.tuning import one_at_a_time
if __name__ == "__main__":
    out = Path({out!r})
    one_at_a_time(Slow(out / "log"), CONFIGS, out, "study", workers={workers})
"""


def started(out: Path, workers: int = 1) -> subprocess.Popen:
    script = out / "driver.py"
    root = str(Path(__file__).resolve().parents[2])
    script.write_text(DRIVER.format(root=root, out=str(out), workers=workers))
    return subprocess.Popen([sys.executable, str(script)], start_new_session=True)


def killed_at(process: subprocess.Popen, log: Path, lines: int, further: float) -> None:
    """Kill -9 once the log has grown by so many lines, and a moment later."""
    before = len(log.read_text().splitlines()) if log.is_file() else 0
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if log.is_file() and len(log.read_text().splitlines()) >= before + lines:
            break
        time.sleep(0.002)
    time.sleep(further)
    assert process.poll() is None, "it ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_three_kills_leave_the_same_table(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    cut.mkdir()
    expected = one_at_a_time(Slow(whole / "log", 0), CONFIGS, whole, "study")
    rng = random.Random(5)
    for _ in range(3):
        killed_at(started(cut), cut / "log", rng.randint(2, 5), rng.uniform(0, 0.04))
    slow = Slow(cut / "log")
    rows = one_at_a_time(slow, CONFIGS, cut, "study")
    assert table(rows) == table(expected)
    assert numbers_of(cut) == numbers_of(whole) == sorted(f"COMPLETE {key(c)}" for c in CONFIGS)
    begun = slow.count("begin")
    assert len(CONFIGS) < begun.total() <= len(CONFIGS) + 3  # only what was under way again
    assert slow.count("end").total() <= len(CONFIGS) + 3


def test_a_kill_between_any_two_steps_costs_no_trial(tmp_path):
    """Die at each of these calls, before it and after it, in a process of its own each time."""
    script = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
import optuna
from optuna.storages import RDBStorage
from tests.tuning.test_tuning import CONFIGS, Slow
from spinscope import files
from spinscope.tuning import one_at_a_time, storage

def dying(function, at, after):
    calls = [0]
    def call(*arguments, **options):
        calls[0] += 1
        if calls[0] == at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if calls[0] == at and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

out = Path({str(tmp_path)!r})
import filelock, psutil, sqlalchemy.event, optuna.storages._rdb.models  # once, before the forks
for owner, name, at, after in (
    (optuna.Study, "add_trial", 5, True),  # some are enqueued
    (RDBStorage, "set_trial_state_values", 1, True),  # taken, nobody's
    (RDBStorage, "set_trial_user_attr", 1, True),  # owned, not begun
    (files, "write_json", 2, False),  # evaluated, not kept
    (files, "write_json", 1, True),  # kept, not told
    (optuna.Study, "tell", 2, True),  # told
):
    if (pid := os.fork()) == 0:
        setattr(owner, name, dying(getattr(owner, name), at, after))
        one_at_a_time(Slow(out / "log", 0), CONFIGS, out, "study")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, (name, at, after)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    slow = Slow(tmp_path / "log", 0)
    rows = one_at_a_time(slow, CONFIGS, tmp_path, "study")
    assert table(rows) == [(c, [len(c["factor"]) / 10 + c["seed"] / 100]) for c in CONFIGS]
    assert numbers_of(tmp_path) == sorted(f"COMPLETE {key(c)}" for c in CONFIGS)
    assert slow.count("end").total() == len(CONFIGS) + 1  # again only what was not kept


def test_workers_share_the_trials_out_and_a_killed_call_is_taken_up(tmp_path):
    process = started(tmp_path, workers=2)
    killed_at(process, tmp_path / "log", 5, 0.01)
    slow = Slow(tmp_path / "log", 0.15)
    seen = []
    rows = one_at_a_time(slow, CONFIGS, tmp_path, "study", workers=2, on_result=seen.append)
    assert [row["config"] for row in rows] == CONFIGS
    assert sorted(row["number"] for row in seen) == list(range(len(CONFIGS)))
    assert numbers_of(tmp_path) == sorted(f"COMPLETE {key(c)}" for c in CONFIGS)
    pids = {row["pid"] for row in rows}
    assert os.getpid() not in pids
    assert len(pids) >= 3  # both of the second call, and one of the first at least
    assert slow.count("begin").total() <= len(CONFIGS) + 2  # what two workers had under way


def test_more_seeds_later_repeat_nothing(tmp_path):
    slow = Slow(tmp_path / "log", 0)
    first = one_at_a_time(slow, CONFIGS[:5], tmp_path, "study")
    rows = one_at_a_time(slow, CONFIGS, tmp_path, "study")
    assert table(rows[:5]) == table(first)
    again = one_at_a_time(slow, CONFIGS[:2], tmp_path, "study")  # fewer: those alone
    assert table(again) == table(first[:2])
    assert set(slow.count("begin").values()) == {1}
    assert (tmp_path / rows[0]["folder"] / "trial.json").is_file()


def test_a_trial_that_fails_is_said_and_tried_again(tmp_path):
    def broken(config, folder, watch):
        if config["seed"] == 1:
            raise SpinscopeError("the disk is full")
        return {"values": [1.0]}

    with pytest.raises(SpinscopeError, match="the disk is full"):
        one_at_a_time(broken, CONFIGS, tmp_path, "study")
    rows = one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS, tmp_path, "study")
    assert len(rows) == len(CONFIGS)
    assert Counter(s.split()[0] for s in numbers_of(tmp_path)) == {"COMPLETE": 12, "FAIL": 1}


def test_a_trial_that_a_person_stops_is_taken_up_by_the_same_process(tmp_path):
    def stopped(config, folder, watch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one_at_a_time(stopped, CONFIGS, tmp_path, "study")
    rows = one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS, tmp_path, "study")
    assert [row["number"] for row in rows] == list(range(12))


def test_a_trial_whose_result_could_not_be_kept_is_taken_up_by_the_same_process(
    tmp_path, monkeypatch
):
    from spinscope import files

    def full(path, value):
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(files, "write_json", full)
        one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS, tmp_path, "study")
    rows = one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS, tmp_path, "study")
    assert [row["number"] for row in rows] == list(range(12))


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(SpinscopeError, match="factor=default,seed=0 must be given once"):
        one_at_a_time(Slow(tmp_path / "log"), CONFIGS[:1] * 2, tmp_path, "study")
    with pytest.raises(SpinscopeError, match=r"workers \(=0\)"):
        one_at_a_time(Slow(tmp_path / "log"), CONFIGS, tmp_path, "study", workers=0)
    rows = one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS[:1], tmp_path, "study")
    (tmp_path / rows[0]["folder"] / "trial.json").unlink()
    with pytest.raises(SpinscopeError, match=r"trial\.json is missing"):
        one_at_a_time(Slow(tmp_path / "log", 0), CONFIGS[:1], tmp_path, "study")


SPACE = {"x": Span(0.0, 1.0), "rate": Span(1e-4, 1e-2, log=True), "n": Whole(1, 3),
         "kind": Choice(("a", "b"))}  # fmt: skip


def toy(config, folder, watch):
    """Dearer is better, but for `b`, which is both worse and dear."""
    good = config["kind"] == "a"
    cost = 10 * config["n"] + (0 if good else 30)
    watch.cost(cost)
    for epoch in range(5):
        watch.epoch(epoch, (0.5 * good + config["x"] / 10) * (epoch + 1) / 5)
    return {"values": [0.5 * good + config["x"] / 10, cost]}


def search(out, trials=16, objective=toy, **options):
    return free_search(objective, SPACE, trials, out, "search", seed=3, startup=5, **options)


def test_a_search_prunes_what_is_worse_and_no_cheaper(tmp_path):
    rows = search(tmp_path)
    assert [row["number"] for row in rows] == list(range(16))
    states = Counter(row["state"] for row in rows)
    assert states["pruned"] >= 1
    for row in rows:
        c = row["config"]
        assert 1e-4 <= c["rate"] <= 1e-2 and c["n"] in (1, 2, 3) and 0 <= c["x"] <= 1
        assert row["epochs"] == len(row["curve"])
        if row["state"] == "pruned":
            assert row["values"] is None
            assert 3 <= row["epochs"] <= 5
        else:
            assert row["epochs"] == 5
    assert all(row["state"] == "complete" for row in rows[:5])
    # No pruned trial would have been on the front.
    complete = [row for row in rows if row["state"] == "complete"]
    front = pareto_front([row["values"] for row in complete])
    for row in rows:
        if row["state"] == "pruned":
            value = 0.5 * (row["config"]["kind"] == "a") + row["config"]["x"] / 10
            assert any(
                complete[k]["values"][0] >= value and complete[k]["values"][1] <= row["cost"]
                for k in front
            )


def test_a_search_that_is_stopped_goes_on_as_it_would_have(tmp_path):
    whole = search(tmp_path / "whole", 8)
    calls = []

    def stopping(config, folder, watch):
        calls.append(config)
        if len(calls) in (3, 6):
            watch.cost(1.0)
            raise KeyboardInterrupt
        return toy(config, folder, watch)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "cut", 8, stopping)
    assert search(tmp_path / "cut", 8, stopping) == whole
    assert len(calls) == 10
    assert calls[2] == calls[3]


def test_the_median_rule_by_hand():
    others = [(1.0, [0.1 * k, 0.2 * k, 0.3 * k]) for k in (1, 2, 3)]  # median 0.6 at epoch 2
    assert hopeless([0.0, 0.0, 0.59], 2.0, others)
    assert not hopeless([0.0, 0.0, 0.60], 2.0, others)
    assert not hopeless([0.0, 0.61, 0.0], 2.0, others)  # its best so far counts
    assert not hopeless([0.0, 0.0], 2.0, others)  # too early
    assert not hopeless([0.0] * 3, 0.5, others)  # cheaper than all
    assert not hopeless([0.0] * 3, 2.0, others[: PEERS - 1])
    assert not hopeless([0.0] * 4, 2.0, others)  # none of them got so far


def test_the_front_by_brute_force():
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = np.round(rng.uniform(0, 1, (30, 2)), 1)
        front = pareto_front(values.tolist())
        for k, (score, cost) in enumerate(values):
            better = (values[:, 0] >= score) & (values[:, 1] <= cost)
            better &= (values[:, 0] > score) | (values[:, 1] < cost)
            assert (k in front) == (not better.any())


def test_pruned_is_no_error_of_the_user():
    assert not issubclass(Pruned, SpinscopeError)


def test_results_are_json(tmp_path):
    rows = search(tmp_path, 6)
    assert json.loads(json.dumps(rows)) == rows
