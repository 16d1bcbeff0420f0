"""Weak relabelling: defects of a few sources teach a network to label those of the others."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import load_params
from spinscope.processes import end_with_parent
from spinscope.studies.kerr import relabelling


@task(name="hide")
def hide(profile: str | None, overrides: list[str], out: str) -> dict[str, list]:
    """Validate the frames, hide defects; names the teachers and students that are to be trained."""
    plan = relabelling.prepare(load_params(profile, overrides, family="moke-unet"), Path(out))
    return {"teachers": plan.teachers, "students": plan.students}


@task(name="train", task_run_name="{kind}-{seed}")
def train(kind: str, seed: int, profile: str | None, overrides: list[str], out: str) -> float:
    """One network in a process of its own; a retry goes on where the last try stopped."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        mcc = pool.submit(_train, kind, seed, profile, overrides, out).result()
    get_run_logger().info("%s, seed %d: validation MCC %.4f", kind, seed, mcc)
    return mcc


def _train(kind: str, seed: int, profile: str | None, overrides: list[str], out: str) -> float:
    return relabelling.train_one(
        load_params(profile, overrides, family="moke-unet"), Path(out), kind, seed
    )["mcc"]


@task(name="relabel-frames")
def relabel_frames(profile: str | None, overrides: list[str], out: str) -> str:
    """The new version of the dataset; returns its folder."""
    return str(
        relabelling.relabel_frames(
            load_params(profile, overrides, family="moke-unet"), Path(out)
        ).path
    )


@task(name="report")
def report(profile: str | None, overrides: list[str], out: str) -> dict:
    """The report of all that was trained, tracked in MLflow."""
    return relabelling.finish(load_params(profile, overrides, family="moke-unet"), Path(out))


@flow(name="relabel")
def relabel(
    profile: str | None = None, overrides: list[str] | None = None, out: str | None = None
) -> dict:
    """Hide, teach, relabel, train on true and weak labels, and compare."""
    overrides = overrides or []
    target = out or str(jobs.out_folder("study/moke"))
    retries = load_params(profile, overrides, family="moke-unet").flows.retries
    again = {step: step.with_options(retries=retries) for step in (train, relabel_frames)}
    networks = hide(profile, overrides, target)
    for kind, seed in networks["teachers"]:
        again[train](kind, seed, profile, overrides, target)
    again[relabel_frames](profile, overrides, target)
    for kind, seed in networks["students"]:
        again[train](kind, seed, profile, overrides, target)
    found = report(profile, overrides, target)
    text = "\n".join(["```", *relabelling.relabel_lines(found), "```"])
    create_markdown_artifact(text, key="relabel", description="Weak relabelling")
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        relabel(**parse(__doc__, out="folder of the study"))
