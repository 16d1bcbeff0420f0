"""Kill -9 of processes at work, and many writers to one database."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.faults.base import ROOT, Operations, Trials, scenario
from tests.faults.operations import NAME, registered, tracking_at

from spinscope.files import sha256
from spinscope.tracking import open_store, versions
from spinscope.tracking.migration import import_store

CONFIGS = [{"factor": factor, "seed": seed} for factor in ("a", "b", "c") for seed in range(4)]

_ABLATIONS = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.faults.workers import CONFIGS, Objective
from spinscope.tuning import one_at_a_time
if __name__ == "__main__":
    one_at_a_time(Objective(), CONFIGS, Path({out!r}), "study", workers=2)
"""
_TRAINING = """
import sys
from pathlib import Path
from spinscope.config import load_params
from spinscope.jobs import train_seed
if __name__ == "__main__":
    params = load_params("demo", sys.argv[2:], family="field-fcn")
    train_seed(params, 0, Path(sys.argv[1]))
"""
_WRITERS = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.faults.operations import tracking_at
from spinscope.config import load_params
from spinscope.tracking import lineage, open_store, parent_run
from spinscope.tracking.runs import log_curves, log_metrics
import mlflow.pyfunc

writers, runs, steps = map(int, sys.argv[2:])
params, children = load_params("demo", family="moke-unet"), []
for writer in range(writers):
    if pid := os.fork():
        children.append(pid)
        continue
    store = open_store(tracking_at(Path(sys.argv[1])))
    for run in range(runs):
        tags = lineage(params, f"md5:{{writer}}-{{run}}")
        with parent_run(store, params, tags, f"{{writer}}-{{run}}") as started:
            for step in range(steps):
                log_curves(started, {{"loss": [writer + step / 100]}}, first_epoch=step)
    os._exit(0)
sys.exit(any([os.waitpid(pid, 0)[1] for pid in children]))
"""


class Objective:
    """An objective of some tenths of a second."""

    def __call__(self, config, folder, watch):
        value = len(config["factor"]) + config["seed"] / 100
        time.sleep(0.3)
        watch.epoch(0, value)
        return {"values": [value]}


def until(condition: Callable[[], object], process: subprocess.Popen) -> bool:
    """Wait for a condition; False if the process ends before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


@scenario("kill -9 of an ablation worker", n=5)
def ablation_worker_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill one of two workers at work; in the end the table holds all trials."""
    from spinscope.tuning import one_at_a_time

    for k in range(n):
        out = folder / f"study-{k}"
        out.mkdir()
        script = out / "driver.py"
        script.write_text(_ABLATIONS.format(root=str(ROOT), out=str(out)))
        process = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
        wanted = rng.randint(1, len(CONFIGS) // 2)

        def done(out: Path = out, wanted: int = wanted) -> bool:
            return len(list(out.glob("trials/*/*/trial.json"))) >= wanted

        hit = until(done, process)
        workers = [child for child in psutil.Process(process.pid).children(recursive=True)
                   if "spawn_main" in " ".join(child.cmdline())] if hit else []  # fmt: skip
        if workers:
            rng.choice(workers).kill()
        process.wait()
        if not workers:
            yield f"kill {k}: no worker was hit"
            continue
        rows = one_at_a_time(Objective(), CONFIGS, out, "study")
        values = [(row["config"], row["values"]) for row in rows]
        right = [(c, [len(c["factor"]) + c["seed"] / 100]) for c in CONFIGS]
        yield None if values == right else f"kill {k}: the table differs"


def _epochs(folder: Path) -> int:
    from spinscope.training.checkpoint import finished_epochs

    return finished_epochs(folder)[0]


@scenario("kill -9 of a training", n=4)
def training_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill after a drawn epoch and moment; the resumed network is the uninterrupted one."""
    from tests.faults.operations import lattice_settings

    from spinscope.corpora.lattice import make_lattice_corpus

    settings = lattice_settings(12).model_copy(update={"size": 32})
    data = make_lattice_corpus(folder / "data", 0, settings)
    epochs = 6
    given = [f"data.path={data}", f"training.epochs={epochs}", "training.steps_per_epoch=2",
             "training.batch=2", "training.pretrained=null"]  # fmt: skip
    script = folder / "train.py"
    script.write_text(_TRAINING)

    def started(out: Path) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, script, out, *given], stderr=subprocess.DEVNULL)

    def result(out: Path) -> tuple:
        history = json.loads((out / "seed-0/history.json").read_text())
        return sha256(out / "seed-0/model/model.keras"), history

    assert started(folder / "whole").wait() == 0, "the training fails without a fault"
    _, whole = result(folder / "whole")
    for k in range(n):
        out, after = folder / f"killed-{k}", rng.randint(1, epochs - 1)
        process = started(out)
        until(lambda out=out, after=after: _epochs(out / "seed-0") >= after, process)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        if process.wait() == 0:
            yield f"kill {k}: the training ended before"
            continue
        kept = _epochs(out / "seed-0")
        if started(out).wait() != 0:
            yield f"kill {k}: the training does not resume"
        elif kept < after:
            yield f"kill {k}: {after} epochs were done, {kept} are kept"
        else:
            _, history = result(out)
            yield None if history == whole else f"kill {k}: the curves differ"


@scenario("SQLite with 8 writers", n=8)
def sqlite_writers(folder: Path, rng: random.Random, n: int) -> Trials:
    """N processes with 3 runs of 20 steps each; every run and value arrives."""
    runs, steps = 3, 20
    open_store(tracking_at(folder))
    script = folder / "writers.py"
    script.write_text(_WRITERS.format(root=str(ROOT)))
    command = [sys.executable, script, folder, *map(str, (n, runs, steps))]
    done = subprocess.run(command, capture_output=True, text=True)
    store = open_store(tracking_at(folder))
    found = {run.info.run_name: run for run in store.client.search_runs([store.experiment_id])}
    for writer in range(n):
        problem = None
        for name in (f"{writer}-{run}" for run in range(runs)):
            points = []
            if name in found:
                points = store.client.get_metric_history(found[name].info.run_id, "loss")
            values = [(point.step, point.value) for point in points]
            if values != [(step, writer + step / 100) for step in range(steps)]:
                problem = f"run {name} holds {len(values)} of {steps} values: {done.stderr[-300:]}"
        yield problem


@scenario("kill -9 of an import of another store", n=6)
def import_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill at drawn moments, three times each; the import is complete and nothing is twice."""
    source = tracking_at(folder / "source")
    registered(open_store(source), folder, 2)
    open_store(tracking_at(folder / "whole"))
    uri = source.uri
    operations, began = Operations.shared(), time.monotonic()
    assert operations.run("import", folder / "whole") == 0
    lasts = time.monotonic() - began
    for k in range(n):
        target = folder / f"target-{k}"
        for _ in range(3):
            operations.kill("import", target, rng.uniform(0, lasts))
        counts = import_store(tracking_at(target), uri)
        short = [str(count) for count in counts if count.source != count.target]
        twice = len(versions(open_store(tracking_at(target)), NAME)) != 2
        yield "; ".join(short) or ("a version is there twice" if twice else None)
