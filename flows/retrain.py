"""Retrain a model with the corrections of its reviewers and compare it with the old one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from _arguments import (
    DEFAULT_PROFILE,
    Epochs,
    Overrides,
    Profile,
    Seeds,
    Texts,
    begin,
    described,
    run_flow,
    settings_of,
    split,
)
from spinscope import jobs
from spinscope.config import Params, load_params
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.reviews import retrain as retrain_with
from train_seeds import in_tasks


@flow(name="retrain", flow_run_name="{model} {profile}")
@described
def retrain(
    reviews: Annotated[Texts, "Folders of reviews, one per recording."],
    model: Annotated[str, "Model to start from."] = "models:/moke-unet@lab",
    profile: Profile = DEFAULT_PROFILE,
    seeds: Seeds = None,
    epochs: Epochs = None,
    out: Annotated[Path | None, "Output folder; None: build/retrain/FAMILY."] = None,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Retrain a model with the corrections of reviewers and register the best seed."""
    waiting, folders = begin(), [Path(one) for one in split(reviews)]
    if not folders:
        raise SpinscopeError("--reviews must name at least one folder of reviews")
    overrides = settings_of(overrides, training__seeds=seeds, training__epochs=epochs)
    family = jobs.family_of(load_params(profile, overrides).tracking, model)
    params = load_params(profile, overrides, family=family)
    folder = Path(out) if out else jobs.out_folder(f"retrain/{family}")
    with locked(folder, waiting=waiting):
        report = retrain_with(
            params,
            folders,
            model,
            folder,
            run_seeds=partial(_in_tasks, params, profile, overrides),
        )
    create_markdown_artifact(markdown(report), key="retrain", description=report["summary"])
    return report


def _in_tasks(
    params: Params, profile: str | None, overrides: list[str], settings: Params, folder: Path
):
    """Function `run_seeds` with the settings that the corrections changed."""
    changed = changes(params, settings)
    return in_tasks(settings, profile, [*overrides, *changed], folder)


def changes(old: Params, new: Params) -> list[str]:
    """Overrides that turn the settings `old` into `new`.

    Parameters
    ----------
    old : Params
        Settings before.
    new : Params
        Settings after.
    """
    before, after = (params.model_dump(mode="json") for params in (old, new))
    return [
        f"{section}.{key}={json.dumps(value)}"
        for section, values in after.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if value != before[section][key]
    ]


def markdown(report: dict) -> str:
    """Table of the old and the new model in Markdown.

    Parameters
    ----------
    report : dict
        Report of the retraining.
    """
    lines = ["| frames | number | MCC before | MCC after |", "|---|---|---|---|"]
    for frames in ("held_out", "trained", "validation"):
        if new := report["new"][frames]:
            name, n, old = frames.replace("_", " "), new["n_images"], report["old"][frames]
            lines.append(f"| {name} | {n} | {old['mcc']:.4f} | {new['mcc']:.4f} |")
    return "\n".join(
        [*lines, "", report["summary"], "", f"Registered as `{report['registered']}`."]
    )


if __name__ == "__main__":
    run_flow(retrain, None, "training", "review")
