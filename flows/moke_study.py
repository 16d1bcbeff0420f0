"""The Kerr study on one page, of the parts that were made."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import load_params
from spinscope.studies.kerr.study import moke_study as write
from spinscope.studies.report import markdown


@task(name="report")
def report(parts: str, out: str, profile: str | None, overrides: list[str]) -> dict:
    """The page and its numbers, tracked in MLflow."""
    return write(
        load_params(profile, overrides, family="moke-unet"), Path(parts), Path(out), track=True
    )


@flow(name="moke-study")
def moke_study(
    parts: str | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Findings beside the published ones; trains nothing."""
    folder = parts or str(jobs.out_folder("study/moke"))
    found = report(folder, out or str(jobs.out_folder("reports")), profile, overrides or [])
    create_markdown_artifact(markdown(found), key="moke-study", description=found["title"])
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        moke_study(**parse(__doc__, parts="folder of the parts", out="folder of reports"))
