"""Validate and segment new recordings, and compare them with the training set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from _arguments import (
    DEFAULT_PROFILE,
    Overrides,
    Profile,
    begin,
    described,
    run_flow,
    tell_failure,
)
from spinscope import jobs
from spinscope.config import load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import locked


@flow(name="nightly", flow_run_name="{model}", on_failure=[tell_failure], on_crashed=[tell_failure])
@described
def nightly(
    model: Annotated[str, "Model that segments the recordings."] = "models:/moke-unet@lab",
    profile: Profile = DEFAULT_PROFILE,
    out: Annotated[Path | None, "Output folder; None: build/nightly."] = None,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Validate, segment and judge the new recordings of `flows.nightly_folder`."""
    waiting = begin()
    shared = load_params(profile, overrides)
    if shared.flows.nightly_folder is None:
        raise SpinscopeError("flows.nightly_folder must name the folder of new recordings")
    params = load_params(profile, overrides, family=jobs.family_of(shared.tracking, model))
    folder = Path(out) if out else jobs.out_folder("nightly")
    with locked(folder, waiting=waiting):
        night = jobs.nightly_check(
            params, project_root() / params.flows.nightly_folder, model, folder
        )
    create_markdown_artifact(markdown(night), key="nightly", description=night["summary"])
    return night


def markdown(night: dict) -> str:
    """Table of the recordings of a night in Markdown.

    Parameters
    ----------
    night : dict
        Result of `jobs.nightly_check`.
    """
    lines = [night["summary"], "", "| recording | valid | conditions |", "|---|---|---|"]
    lines += [
        f"| {row['file']} | {'yes' if row['valid'] else 'no'} | {row.get('sentence', '')} |"
        for row in night["recordings"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_flow(nightly, None, "nightly")
