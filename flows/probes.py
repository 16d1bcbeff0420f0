"""Probe models: grey frames, inverted frames, speckles, and the limits of the imaging."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.studies.kerr.probes import probe, probe_lines


@task(name="probe", task_run_name="probe-{models}")
def probe_models(
    models: list[str], profile: str | None, overrides: list[str], out: str, track: bool = False
) -> dict:
    """The report of some models; what is kept below `out` is read, so that a retry goes on."""
    return probe(
        load_params(profile, overrides, family="moke-unet"), models, Path(out), track=track
    )


@flow(name="probes")
def probes(
    models: str,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Probes of models (REF or NAME=REF, by commas), tracked in MLflow."""
    given = [model.strip() for model in (models or "").split(",") if model.strip()]
    if not given:
        raise SpinscopeError("--models must name at least one model")
    overrides = overrides or []
    target = out or str(jobs.out_folder("study/moke"))
    again = probe_models.with_options(
        retries=load_params(profile, overrides, family="moke-unet").flows.retries
    )
    found = again(given, profile, overrides, target, track=True)
    text = "```\n" + "\n".join(probe_lines(found)) + "\n```"
    create_markdown_artifact(text, key="probes", description=f"{len(given)} models")
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        probes(**parse(__doc__, models="REF or NAME=REF, by commas", out="folder of the report"))
