"""Two jobs do not write to one output folder."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spinscope import jobs
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.reviews import retrain
from spinscope.studies import PARTS


@pytest.fixture
def in_use(tmp_path):
    """A folder to which another job writes."""
    held, done = threading.Event(), threading.Event()

    def other_job():
        with locked(tmp_path / "out"):
            held.set()
            done.wait()

    thread = threading.Thread(target=other_job)
    thread.start()
    held.wait()
    yield tmp_path / "out"
    done.set()
    thread.join()


def test_a_second_training_is_refused_before_it_starts(params, in_use):
    with pytest.raises(SpinscopeError, match="out is in use by process"):
        jobs.train(params, in_use)
    assert not (in_use.parent / "mlruns").exists()  # no run is opened
    assert not in_use.exists()


@pytest.mark.parametrize(
    "job",
    [
        lambda params, out: jobs.train_networks(params, out),
        lambda params, out: jobs.evaluate_training(params, out),
        lambda params, out: jobs.corpus(params, out),
        lambda params, out: jobs.films(params, out),
        lambda params, out: jobs.import_films(params, [], out),
        lambda params, out: retrain(params, [], "bundled:moke-unet", out),
        lambda params, out: PARTS["crossval"](params, out),
    ],
    ids=["training", "evaluation", "corpus", "films", "import", "retrain", "study"],
)
def test_no_job_writes_to_a_folder_in_use(params, in_use, job):
    with pytest.raises(SpinscopeError, match="out is in use by process"):
        job(params, in_use)
    assert not in_use.exists()


def test_two_processes_do_not_train_one_seed(params, tmp_path):
    with (
        ThreadPoolExecutor(1) as other,
        locked(tmp_path / "out/seed-0"),
        pytest.raises(SpinscopeError, match="seed-0 is in use by process"),
    ):
        other.submit(jobs.train_seed, params, 0, tmp_path / "out").result()
    assert not (tmp_path / "out/seed-0").exists()
