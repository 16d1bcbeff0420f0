"""Cross-validation: every batch of frames scored by networks that never saw it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import dataset_path, load_params
from spinscope.datasets import open_dataset
from spinscope.processes import end_with_parent
from spinscope.studies.kerr import cross_validation


@task(name="fold", task_run_name="seed-{seed}-without-{batch}")
def fold(seed: int, batch: int, profile: str | None, overrides: list[str], out: str) -> float:
    """One network in a process of its own; a retry goes on where the last try stopped."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        row = pool.submit(_fold, (seed, batch), profile, overrides, out).result()
    get_run_logger().info("without batch %d: MCC %.4f on it", batch, row["val_mcc"])
    return row["val_mcc"]


def _fold(which: tuple[int, int], profile: str | None, overrides: list[str], out: str) -> dict:
    return cross_validation.run_fold(
        load_params(profile, overrides, family="moke-unet"), Path(out), which
    )


@task(name="report")
def report(profile: str | None, overrides: list[str], out: str) -> dict:
    """The report of all folds, tracked in MLflow."""
    return cross_validation.cross_validate(
        load_params(profile, overrides, family="moke-unet"), Path(out)
    )


@flow(name="cross-validate")
def cross_validate(
    profile: str | None = None, overrides: list[str] | None = None, out: str | None = None
) -> dict:
    """Leave out each batch in turn, and pool the scores of all frames."""
    overrides = overrides or []
    params, target = (
        load_params(profile, overrides, family="moke-unet"),
        out or str(jobs.out_folder("study/moke")),
    )
    again = fold.with_options(retries=params.flows.retries)
    settings = cross_validation.fold_settings(params)
    for k in range(settings.cross_validation.seeds):
        for batch in cross_validation.left_out(open_dataset(dataset_path(settings))):
            again(settings.seed + k, batch, profile, overrides, target)
    found = report(profile, overrides, target)
    text = "\n".join(["```", *cross_validation.cross_validation_lines(found), "```"])
    create_markdown_artifact(text, key="cross-validate", description="Each batch left out")
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        cross_validate(**parse(__doc__, out="folder of the study"))
