"""Units of flows on Dask workers: a worker that dies costs its unit only."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
from tests.flows.conftest import FLOWS

from spinscope.config import load_params
from spinscope.errors import SpinscopeError

UNITS = '''
import json, os, signal, sys
from pathlib import Path
from prefect import task
from spinscope.processes import side_by_side


@task(name="unit")
def unit(number, folder):
    """Unit 0 fails, unit 1 kills its worker the first time, unit 2 starts a process."""
    known = {"dvc": "dvc" in sys.modules, "threads": os.environ["OMP_NUM_THREADS"]}
    Path(folder, f"{number}-{os.getpid()}").touch()
    if number == 0:
        raise ValueError("the disk was full")
    if number == 1 and len(list(Path(folder).glob("1-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        (known["child"],) = side_by_side(abs, [-7], 1)
    Path(folder, f"done-{number}").write_text(json.dumps(known))
'''

OBJECTIVE = """
import os


class Objective:
    def __call__(self, config, folder, watch):
        watch.epoch(0, config["x"] / 2)
        watch.epoch(1, config["x"])
        return {"values": [config["x"]], "pid": os.getpid()}
"""


@pytest.fixture
def module(prefect, tmp_path, monkeypatch):
    """(name, text) → module that a worker can import."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(name: str, text: str):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return written


def settings(*overrides: str):
    return load_params("demo", ["cluster.kind=local", *overrides])


def test_a_worker_that_dies_costs_its_unit_only(module, tmp_path):
    cluster, units = importlib.import_module("_cluster"), module("units_of_test", UNITS)
    given = [{"number": n, "folder": str(tmp_path)} for n in range(4)]
    with pytest.raises(ValueError, match="the disk was full"):
        cluster.run_units(units.unit, given, settings("cluster.cores=3").cluster, 1)
    times = [len(list(tmp_path.glob(f"{n}-*"))) for n in range(4)]
    assert times == [1, 2, 1, 1], "times that each unit was started"
    done = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("done-*")}
    assert set(done) == {"done-1", "done-2", "done-3"}, "the error of a unit ended another one"
    assert done["done-2"]["child"] == 7
    assert {(one["dvc"], one["threads"]) for one in done.values()} == {(False, "3")}


def test_trials_run_on_workers_without_the_storage(module, tmp_path):
    from spinscope.studies.base import Job
    from spinscope.tuning import one_at_a_time

    objective = module("objective_of_test", OBJECTIVE).Objective()
    job = Job(settings("cluster.workers=1"), tmp_path)
    elsewhere = importlib.import_module("study").on_cluster(job).elsewhere
    configs = [{"x": 0.5, "seed": seed} for seed in range(2)]
    rows = one_at_a_time(objective, configs, tmp_path / "out", "study", elsewhere=elsewhere)
    here = one_at_a_time(objective, configs, tmp_path / "here", "study")
    assert {row["pid"] for row in here} == {os.getpid()}
    assert not {row["pid"] for row in rows} & {os.getpid()}
    for row in (*rows, *here):
        row.pop("pid")
    assert rows == here
    assert rows[0]["curve"] == [0.25, 0.5]


def test_a_corpus_is_made_on_workers(prefect, tmp_path):
    from spinscope.corpora.lattice import make_lattice_corpus

    overrides = [
        "cluster.kind=local", "cluster.workers=1", "lattice.n=3", "lattice.size=16",
        "lattice.sweeps=4", "lattice.reflections=0", "lattice.shard_lattices=2",
    ]  # fmt: skip
    flow = importlib.import_module("corpus").corpus
    made = Path(flow("lattice", "demo", tmp_path / "corpus", overrides))
    params = load_params("demo", overrides, family="field-fcn")
    here = make_lattice_corpus(tmp_path / "here", params.seed, params.lattice)
    assert {p.name: p.read_bytes() for p in made.iterdir()} == {
        p.name: p.read_bytes() for p in here.iterdir()
    }


@pytest.fixture
def slurm(monkeypatch):
    """Settings of a cluster with SLURM."""
    monkeypatch.syspath_prepend(str(FLOWS))
    return ["cluster.kind=slurm", "cluster.queue=gpu", "cluster.account=lab", "cluster.cores=4",
            "cluster.walltime_h=1.5", 'cluster.directives=["--gres=gpu:1"]',
            'cluster.prologue=["module load cuda"]']  # fmt: skip


def test_the_job_script_is_printed(slurm, run_as_main):
    words = [w for one in slurm for w in ("--set", one)]
    lines = run_as_main("train_seeds.py", "--dry-run", *words).splitlines()
    for wanted in ("-J spinscope", "-p gpu", "-A lab", "--cpus-per-task=4", "--mem=8G",
                   "-t 01:30:00", "--gres=gpu:1"):  # fmt: skip
        assert f"#SBATCH {wanted}" in lines
    assert "export TF_NUM_INTRAOP_THREADS=4" in lines
    worker = next(line for line in lines if "dask_worker" in line)
    assert lines.index("module load cuda") < lines.index(worker)
    assert "--nthreads 1 " in worker and " tls://" in worker and "--tls-key" in worker
    assert "--no-dashboard" in worker


def test_nodes_need_a_server_of_prefect_that_they_reach(slurm):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    cluster = importlib.import_module("_cluster")
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(SpinscopeError, match="set PREFECT_API_URL"),
    ):
        cluster.runner(load_params("demo", slurm).cluster, 3)


def test_a_missing_extra_is_named(slurm, monkeypatch):
    cluster = importlib.import_module("_cluster")
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)  # as if it were not installed
    with pytest.raises(SpinscopeError, match=r"pip install 'spinscope\[cluster\]'"):
        cluster.runner(settings().cluster, 1)
