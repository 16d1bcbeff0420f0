"""Evaluate registered versions without and with test-time augmentation."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import Params, load_params
from spinscope.studies.kerr import tta as augmented


def _settings(
    profile: str | None, overrides: list[str], family: str, models: list[str] | None
) -> Params:
    """Settings of the family that the models are of, else of the one that is named."""
    if models:
        family = jobs.family_of(load_params(profile, overrides).tracking, models[0])
    return load_params(profile, overrides, family=family)


@task(name="evaluate", task_run_name="tta-{model}")
def evaluate(model: str, profile: str | None, overrides: list[str], family: str, out: str) -> int:
    """All numbers of views of one version, kept below `out`; a retry goes on where it stopped."""
    params = load_params(profile, overrides, family=family)
    frames, about = augmented.validation_frames(params)
    return len(augmented.measured(params, model, frames, about["hash"], Path(out), track=True))


@task(name="report")
def report(
    models: list[str], profile: str | None, overrides: list[str], family: str, out: str
) -> dict:
    """The table of all versions, from what was measured."""
    params = load_params(profile, overrides, family=family)
    return augmented.augmented(params, models, Path(out))


@flow(name="evaluate-tta")
def evaluate_tta(
    models: str | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
    family: str = "moke-unet",
) -> dict:
    """MCC, counts and frame time of versions with one, three and eight views averaged.

    models : references by commas, all of one family; by default every registered version of
    `family`. Those views that a model's symmetry does not allow are left out.
    """
    overrides = overrides or []
    given = [model.strip() for model in (models or "").split(",") if model.strip()]
    params = _settings(profile, overrides, family, given)
    target = out or str(jobs.out_folder("study/moke"))
    chosen = given or augmented.registered(params)
    again = evaluate.with_options(retries=params.flows.retries)
    for model in chosen:
        again(model, profile, overrides, params.family, target)
    found = report(chosen, profile, overrides, params.family, target)
    create_markdown_artifact(
        augmented.markdown(found), key="evaluate-tta", description=f"{len(chosen)} versions"
    )
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        arguments = parse(
            __doc__,
            models="references by commas; all registered versions",
            family="family whose versions are taken; moke-unet",
            out="folder of the report",
        )
        evaluate_tta(**{key: value for key, value in arguments.items() if value is not None})
