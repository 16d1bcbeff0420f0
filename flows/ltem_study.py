"""The study of Lorentz models: published findings, measured with models of ours."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.studies.lorentz import study as lorentz_study
from spinscope.studies.report import markdown

FAMILY = "ltem-unet"


@task(name="measure", task_run_name="measure-{model}")
def measure(
    model: str,
    films: str,
    out: str,
    numbers: str | None,
    profile: str | None,
    overrides: list[str],
) -> int:
    """All points of a model, kept below `out`; a retry goes on with those that are missing."""
    params = load_params(profile, overrides, family=FAMILY)
    tests = lorentz_study.unseen(params, Path(films), numbers=numbers)
    curves = lorentz_study.measured(params, tests, lorentz_study.subject(params, model), Path(out))
    return sum(map(len, curves.values()))


@task(name="report")
def report(
    models: list[str],
    films: str,
    out: str,
    numbers: str | None,
    real: str | None,
    profile: str | None,
    overrides: list[str],
) -> dict:
    """The report of what was measured, tracked in MLflow."""
    return lorentz_study.ltem_study(
        load_params(profile, overrides, family=FAMILY),
        models,
        Path(films),
        Path(out),
        numbers=numbers,
        real=lorentz_study.Real(Path(real)) if real else None,
        track=True,
    )


@flow(name="ltem-study")
def ltem_study(
    models: str,
    films: str | None = None,
    numbers: str | None = None,
    real: str | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict:
    """Study of models (REF or NAME=REF, by commas; the one trained at -2 mm and 20 degrees first).

    films, numbers : the corpus of films, and which of them to test on: "FIRST:LAST" or "all"; else
    those in the test batches of the Lorentz corpus.   real : a real micrograph to count in.
    """
    given = [model.strip() for model in (models or "").split(",") if model.strip()]
    if not given:
        raise SpinscopeError("--models must name at least one model")
    overrides = overrides or []
    params = load_params(profile, overrides, family=FAMILY)
    folder = films or str(jobs.out_folder("corpus/films"))
    target = out or str(jobs.out_folder("reports"))
    again = measure.with_options(retries=params.flows.retries)
    for model in given:
        points = again(model, folder, target, numbers, profile, overrides)
        get_run_logger().info("%s: %d points", model, points)
    found = report(given, folder, target, numbers, real, profile, overrides)
    create_markdown_artifact(markdown(found), key="ltem-study", description=found["title"])
    return found


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        ltem_study(
            **parse(
                __doc__,
                models="REF or NAME=REF, by commas",
                films="corpus of films",
                numbers="FIRST:LAST or all",
                real="a real micrograph",
                out="folder of reports",
            )
        )
