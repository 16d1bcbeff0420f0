"""Retrain a model with the corrections of its reviewers and compare it with the old one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import Params, load_params
from spinscope.errors import SpinscopeError
from spinscope.reviews import retrain as retrain_with
from train_seeds import in_tasks


@flow(name="retrain")
def retrain(
    reviews: str,
    model: str | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Retrain a model with comma-separated folders of reviews and register the best seed."""
    folders = [Path(folder.strip()) for folder in (reviews or "").split(",") if folder.strip()]
    if not folders:
        raise SpinscopeError("--reviews must name at least one folder of reviews")
    overrides, model = overrides or [], model or "models:/moke-unet@lab"
    family = jobs.family_of(load_params(profile, overrides).tracking, model)
    params = load_params(profile, overrides, family=family)
    report = retrain_with(
        params,
        folders,
        model,
        Path(out) if out else jobs.out_folder(f"retrain/{family}"),
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
    from _arguments import one_sentence, parse

    given = parse(
        __doc__, reviews="folders of reviews, by commas", model="model reference", out="folder"
    )
    with one_sentence():
        retrain(**{**given, "reviews": given["reviews"] or ""})
