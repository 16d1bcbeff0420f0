"""The ablations of the Kerr study and its master model, over the seeds of the settings."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from _arguments import whole
from spinscope import jobs
from spinscope.config import load_params
from spinscope.studies.kerr.ablations import ablation_lines
from spinscope.studies.kerr.ablations import ablations as try_factors


@task(name="ablations")
def trials(out: str, workers: int, profile: str | None, overrides: list[str]) -> dict:
    """All networks that are missing in `out`, then the table; a retry goes on with the rest."""
    return try_factors(
        load_params(profile, overrides, family="moke-unet"), Path(out), workers=workers
    )


@flow(name="ablations")
def ablations(
    workers: int | str = 1,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Change one factor at a time, `workers` networks side by side."""
    overrides = overrides or []
    again = trials.with_options(
        retries=load_params(profile, overrides, family="moke-unet").flows.retries
    )
    folder = out or str(jobs.out_folder("study/moke"))
    report = again(folder, whole("workers", workers), profile, overrides)
    lines = ablation_lines(report)
    for line in lines:
        get_run_logger().info(line)
    text = "\n".join(["```", *lines, "```"])
    create_markdown_artifact(text, key="ablations", description="Ablations of the Kerr network")
    return report


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        ablations(**parse(__doc__, workers="networks side by side", out="folder of the study"))
