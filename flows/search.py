"""The free search of Kerr networks for validation MCC and the time of a frame."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from _arguments import whole
from spinscope import jobs
from spinscope.config import load_params
from spinscope.studies.kerr.search import search as try_networks
from spinscope.studies.kerr.search import search_lines


@task(name="search")
def trials(out: str, workers: int, profile: str | None, overrides: list[str]) -> dict:
    """All trials that are missing in `out`, then the front; a retry goes on with the rest."""
    return try_networks(
        load_params(profile, overrides, family="moke-unet"), Path(out), workers=workers
    )


@flow(name="search")
def search(
    workers: int | str = 1,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Search for networks, `workers` side by side; they slow the frames that are timed."""
    overrides = overrides or []
    again = trials.with_options(
        retries=load_params(profile, overrides, family="moke-unet").flows.retries
    )
    folder = out or str(jobs.out_folder("study/moke"))
    report = again(folder, whole("workers", workers), profile, overrides)
    lines = search_lines(report)
    for line in lines:
        get_run_logger().info(line)
    text = "\n".join(["```", *lines, "```"])
    create_markdown_artifact(text, key="search", description="Pareto front of Kerr networks")
    return report


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        search(**parse(__doc__, workers="networks side by side", out="folder of the study"))
