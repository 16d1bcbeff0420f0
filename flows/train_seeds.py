"""Train a model family over seeds: validate, train with retries, evaluate, track, register."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from _arguments import (
    DEFAULT_PROFILE,
    Epochs,
    Family,
    Overrides,
    Profile,
    Seeds,
    begin,
    described,
    run_flow,
    settings_of,
    tell_failure,
)
from _cluster import run_units
from spinscope import families, jobs
from spinscope.config import Params, load_params
from spinscope.evaluation import seen_text
from spinscope.files import locked
from spinscope.processes import side_by_side
from spinscope.tracking.runs import run_page
from spinscope.training.checkpoint import finished_epochs


@task(name="train-seed", task_run_name="seed-{seed}")
def train_seed(
    seed: int,
    profile: str | None,
    overrides: list[str],
    out: str,
    parent_id: str | None,
    family: str = "moke-unet",
) -> dict:
    """Train one seed in a process of its own, so that its end does not end the flow.

    A finished seed is read back and an interrupted one resumes from its checkpoint.
    """
    given = {"profile": profile, "overrides": overrides, "out": out, "parent_id": parent_id}
    log, epochs = get_run_logger(), load_params(profile, overrides, family=family).training.epochs
    with epochs_logged(Path(out) / f"seed-{seed}", f"seed {seed}", epochs, log.info):
        (row,) = side_by_side(partial(_train_seed, **given, family=family), [seed], 1)
    metric = families.get(family).metric
    value = row[f"val_{metric.name}"]
    log.info("seed %d: validation %s %s", seed, metric.title, format(value, metric.form))
    if row.get("run_id"):
        params = load_params(profile, overrides, family=family)
        log.info("seed %d: %s", seed, run_page(params, row["run_id"]))
    return row


@contextlib.contextmanager
def epochs_logged(
    folder: Path, name: str, epochs: int, log: Callable[[str], None], every: float = 2.0
) -> Iterator[None]:
    """Log the finished epochs and the remaining time of a training that another process runs.

    Parameters
    ----------
    folder : Path
        Folder of the training.
    name : str
        Name of the training in the log.
    epochs : int
        Number of its epochs.
    log : callable
        Receives each line.
    every : float, default 2
        Seconds between two looks at the folder.
    """
    ended, known = threading.Event(), finished_epochs(folder)[0]

    def watch() -> None:
        last, before = False, known
        while not last:
            last = ended.wait(every)
            done, seconds = finished_epochs(folder)
            if done > before:
                left = f", about {(epochs - done) * seconds / done:.0f} s left"
                log(f"{name}: epoch {done} of {epochs}{left if done < epochs else ''}")
            before = done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _train_seed(
    seed: int,
    profile: str | None,
    overrides: list[str],
    out: str,
    parent_id: str | None,
    family: str,
) -> dict:
    params = load_params(profile, overrides, family=family)
    return jobs.train_seed(params, seed, Path(out), parent_id=parent_id)


@task(name="evaluate")
def evaluate(profile: str, overrides: list[str], out: str, family: str) -> dict:
    """Score every network on the validation frames; scores of the same settings are kept."""
    params = load_params(profile, overrides, family=family)
    return jobs.train(params, Path(out), steps=["evaluate"])


@task(name="register")
def register(profile: str, overrides: list[str], out: str, family: str) -> dict:
    """Register the best network, unless it is the newest version."""
    params = load_params(profile, overrides, family=family)
    return jobs.train(params, Path(out), steps=["register"])


@flow(
    name="train-seeds",
    flow_run_name="{family} {profile}",
    on_failure=[tell_failure],
    on_crashed=[tell_failure],
)
@described
def train_seeds(
    family: Family = "moke-unet",
    profile: Profile = DEFAULT_PROFILE,
    seeds: Seeds = None,
    epochs: Epochs = None,
    data: Annotated[Path | None, "Dataset folder; None: data.path of the settings."] = None,
    out: Annotated[Path | None, "Output folder; None: build/train/FAMILY."] = None,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Train a family over seeds, evaluate the networks and register the best."""
    waiting = begin()
    overrides = settings_of(
        overrides, training__seeds=seeds, training__epochs=epochs, data__path=data
    )
    params = load_params(profile, overrides, family=family)
    folder = Path(out) if out else jobs.out_folder(f"train/{family}")
    with locked(folder, waiting=waiting):
        report = train_in_tasks(params, profile, overrides, folder)
    create_markdown_artifact(markdown(report), key="train-seeds")
    return report


def train_in_tasks(params: Params, profile: str, overrides: list[str], folder: Path) -> dict:
    """Run the steps of a training as tasks; returns the report with the registered version.

    Parameters
    ----------
    params : Params
        Settings of a family.
    profile, overrides
        Profile and overrides of `params`.
    folder : Path
        Output folder.
    """
    record = jobs.train(
        params, folder, steps=["train"], run_seeds=in_tasks(params, profile, overrides, folder)
    )
    get_run_logger().info("MLflow: %s", run_page(params, record["run_id"]))
    again = {"retries": params.flows.retries}
    given = (profile, overrides, str(folder), params.family)
    evaluate.with_options(**again)(*given)
    return register.with_options(**again)(*given)


def in_tasks(
    params: Params, profile: str | None, overrides: list[str], folder: Path
) -> Callable[[list[int], str | None], list[dict]]:
    """Function `run_seeds` of `jobs.train`: one task with retries per seed.

    Parameters
    ----------
    params : Params
        Settings; ``flows.concurrency`` seeds are trained at a time, or those on the workers of the
        section ``cluster``.
    profile, overrides
        Profile and overrides of `params`, from which another process loads them.
    folder : Path
        Output folder.
    """
    again = train_seed.with_options(retries=params.flows.retries)

    def run_seeds(seeds: list[int], parent_id: str | None) -> list[dict]:
        given = {
            "profile": profile, "overrides": overrides, "out": str(folder), "parent_id": parent_id,
            "family": params.family,
        }  # fmt: skip
        units = [{"seed": seed, **given} for seed in seeds]
        return run_units(again, units, params.cluster, params.flows.concurrency)

    return run_seeds


def markdown(report: dict) -> str:
    """Table over the seeds in Markdown.

    Parameters
    ----------
    report : dict
        Report of the training.
    """
    key, title = report["metric"]["name"], report["metric"]["title"]
    form = families.get(report["family"]).metric.form
    columns = {title: key, "with TTA": f"{key}_tta"}
    columns = {head: name for head, name in columns.items() if name in report["seeds"][0]}
    lines = [f"| {' | '.join(['seed', *columns, 'seconds'])} |", "|---" * (len(columns) + 2) + "|"]
    for row in report["seeds"]:
        scores = " | ".join(f"{row[name]:{form}}" for name in columns.values())
        lines.append(f"| {row['seed']} | {scores} | {row['seconds']:.0f} |")
    best = next(row for row in report["seeds"] if row["seed"] == report["best_seed"])
    lines += ["", seen_text({**best, "n_images": report["n_images"]})]
    return "\n".join([*lines, "", f"Registered as `{report['registered']}`."])


if __name__ == "__main__":
    run_flow(train_seeds, None, "training")
