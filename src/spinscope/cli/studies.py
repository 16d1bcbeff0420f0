"""``spinscope study``: published findings, measured with our models."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from spinscope.cli.shared import (
    Answer,
    Settings,
    former,
    group,
    option,
    output,
    renamed,
    show_progress,
    verb,
)
from spinscope.errors import SpinscopeError
from spinscope.studies import PARTS
from spinscope.studies.base import Option, Part

app = group("Measure published findings with our models.")


def add_verb(part: Part) -> None:
    """Make the verb of a part from its declaration.

    Parameters
    ----------
    part : Part
        Declaration of the part.
    """

    def run(settings: Settings, *, out: Path | None, track: bool, **given: Any) -> Answer:
        for one in part.options:
            if one.former:
                flag, old = f"--{one.name.replace('_', '-')}", given.pop(f"former_{one.name}")
                given[one.name] = renamed(one.former, flag, given[one.name], old)
            if given[one.name] == []:
                given[one.name] = one.default
        params = part.settings(settings.profile, settings.overrides, given)
        report = part(params, out, track=track, progress=show_progress, **given)
        page = [f"page: {part.job(params, out).out / part.page}"] if part.page else []
        return Answer([*part.load().lines(report), *page], report)

    parameters = [inspect.Parameter("settings", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for one in part.options:
        parameters += _parameters(one)
    track = Annotated[bool, typer.Option(help="Also record the results in MLflow.")]
    parameters.append(_parameter("out", output(f"build/{part.out}"), None))
    parameters.append(_parameter("track", track, part.track))
    run.__signature__ = inspect.Signature(parameters)
    run.__doc__ = part.help
    verb(app, part.name)(run)


def _parameters(one: Option) -> list[inspect.Parameter]:
    """Parameter of an option, and a hidden one for the flag of an earlier release."""
    many = one.type == list[str]
    kind = one.type if many or one.required else one.type | None
    default = inspect.Parameter.empty if one.required else [] if many else one.default
    flags = [one.flag] if one.flag else []
    given = Annotated[kind, typer.Option(*flags, help=one.help, min=one.minimum)]
    parameters = [_parameter(one.name, given, default)]
    if one.former:
        parameters.append(_parameter(f"former_{one.name}", former(one.type, one.former), None))
    return parameters


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Parameter that is passed by its name."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


for _part in PARTS.values():
    add_verb(_part)


@verb(app, "table", settings=False, as_json=False)
def table(
    study: Annotated[str, typer.Argument(help="Name of a study whose report exists.")],
    into: option(Path, "Markdown page to fill between <!-- NAME --> and <!-- end -->.") = None,
    out: output("build/reports", "Folder of the reports") = None,
) -> Answer:
    """Print the findings of a study as Markdown, or fill a page."""
    from spinscope.jobs import out_folder
    from spinscope.studies.report import fill, markdown

    path = (out or out_folder("reports")) / f"{study}.json"
    if not path.is_file():
        raise SpinscopeError(f"{path} does not exist: make the study first")
    text = markdown(json.loads(path.read_text()))
    if into is None:
        return Answer([text])
    fill(into, study, text)
    return Answer()


@verb(app, "results")
def results(
    settings: Settings,
    study: Annotated[str, typer.Argument(help="Name of a study whose report exists.")],
    out: output("docs/results") = None,
    reports: option(Path, "Folder of the reports (build/reports).") = None,
) -> Answer:
    """Store the rounded report of a study where pages find it."""
    from spinscope.config import project_root
    from spinscope.jobs import out_folder
    from spinscope.studies.results import store_results

    if study in PARTS:
        params = PARTS[study].settings(settings.profile, settings.overrides, {})
    else:
        params = settings.load()
    out = out or project_root() / "docs/results"
    path = store_results(study, reports or out_folder("reports"), out, params)
    return Answer([str(path)], {"path": str(path)})
