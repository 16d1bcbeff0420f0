"""Flows of all studies, one per part, made from the declarations of the parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from prefect import Flow, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from _arguments import (
    DEFAULT_PROFILE,
    Overrides,
    Profile,
    Texts,
    begin,
    described,
    one_sentence,
    run_flow,
    tell_failure,
)
from _cluster import run_units
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.processes import side_by_side
from spinscope.studies import PARTS
from spinscope.studies.base import Job, Option, Part
from spinscope.studies.report import markdown


@task(task_run_name="{name}", cache_policy=NO_CACHE)
def run_unit(name: str, part: str, stage: int, job: Job, unit: Any) -> Any:
    """Run one unit of a stage; a retry resumes from what is kept on disk."""
    return PARTS[part].stages[stage].run_one(job, unit)


@task(name="trial", task_run_name="{name}", cache_policy=NO_CACHE)
def run_trial(name: str, function: Callable[[Any], Any], unit: Any) -> Any:
    """Run a function of one unit in a process of its own."""
    (result,) = side_by_side(function, [unit], 1)
    return result


def label(name: str, unit: Any) -> str:
    """Name of the run of a unit.

    >>> label("train", ("moke", 1))
    'train-moke-1'
    """
    parts = unit.values() if isinstance(unit, dict) else unit if isinstance(unit, tuple) else [unit]
    return "-".join(map(str, (name, *parts)))


def on_cluster(job: Job) -> Job:
    """The same call, whose trials run on the workers of the section ``cluster``, if any.

    Parameters
    ----------
    job : Job
        Call of a part.
    """
    cluster = job.params.cluster
    if cluster.kind == "none":
        return job
    again = run_trial.with_options(retries=job.params.flows.retries)

    def elsewhere(function: Callable[[Any], Any], units: Sequence[Any]) -> list[Any]:
        given = [{"name": label("trial", u), "function": function, "unit": u} for u in units]
        return run_units(again, given, cluster, 1)

    return replace(job, elsewhere=elsewhere)


@task(name="report", cache_policy=NO_CACHE)
def report(part: str, job: Job) -> dict:
    """Report of a part, recorded in MLflow."""
    return PARTS[part].load().report(job)


def flow_of(part: Part) -> Flow:
    """Flow of a part: its units as tasks with retries, then its report.

    Parameters
    ----------
    part : Part
        Declaration of the part.
    """

    def run(*args: Any, **kwargs: Any) -> dict:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        profile, overrides, out = (given.pop(name) for name in ("profile", "overrides", "out"))
        options = {option.name: option.parse(given[option.name]) for option in part.options}
        params = part.settings(profile, overrides or [], options)
        job = part.job(params, out, track=True, **options)
        with locked(job.out, waiting=begin()):
            return measure(job, options)

    def measure(job: Job, options: dict[str, Any]) -> dict:
        params = job.params
        retries, workers = params.flows.retries, options.get("workers", 1)
        for number, stage in enumerate(part.stages):
            again = run_unit.with_options(name=stage.name, retries=retries)
            units = [
                {
                    "name": label(stage.name, unit),
                    "part": part.name,
                    "stage": number,
                    "job": job,
                    "unit": unit,
                }
                for unit in stage.units(job)
            ]
            at_once = workers if stage.isolated else 1
            run_units(again, units, params.cluster if stage.isolated else None, at_once)
        found = report.with_options(retries=retries)(part.name, on_cluster(job))
        lines = part.load().lines(found)
        for line in lines:
            get_run_logger().info(line)
        text = markdown(found) if part.page else "\n".join(["```", *lines, "```"])
        create_markdown_artifact(text, key=part.flow, description=found.get("title", part.help))
        return found

    signature = inspect.Signature(
        [
            *(_parameter(option.name, *_form(option)) for option in part.options),
            _parameter("profile", Profile, DEFAULT_PROFILE),
            _parameter("overrides", Overrides, []),
            _parameter("out", Annotated[Path | None, f"Folder; None: build/{part.out}."], None),
        ]
    )
    run.__signature__ = signature
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    run.__name__ = run.__qualname__ = part.flow.replace("-", "_")
    run.__doc__ = part.help
    hooks = {"on_failure": [tell_failure], "on_crashed": [tell_failure]}
    return flow(name=part.flow, flow_run_name=f"{part.flow} {{profile}}", **hooks)(described(run))


def _form(option: Option) -> tuple[Any, Any]:
    """Type, description and default of an option on the web page."""
    empty = inspect.Parameter.empty
    if option.type == list[str]:
        kind = Texts if option.required else Texts | None
    else:
        number = option.type in (int, float) and option.minimum is not None
        kind = Annotated[option.type, Field(ge=option.minimum)] if number else option.type
        kind = kind if option.default is not None else kind | None
    return Annotated[kind, option.help], empty if option.required else option.default


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


FLOWS: dict[str, Flow] = {part.flow: flow_of(part) for part in PARTS.values()}
"""Name → flow."""
globals().update({made.fn.__name__: made for made in FLOWS.values()})  # where Prefect finds them


if __name__ == "__main__":
    import sys

    with one_sentence():
        name = sys.argv.pop(1) if sys.argv[1:] else None
        if name not in FLOWS:
            raise SpinscopeError(f"flow {name!r} must be one of {', '.join(FLOWS)}")
    run_flow(FLOWS[name], None, "study")
