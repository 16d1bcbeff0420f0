"""``spinscope study``: published findings, measured with our models."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spinscope.cli.shared import Answer, Settings, group, output, show_progress, verb
from spinscope.errors import SpinscopeError
from spinscope.studies import PARTS
from spinscope.studies.base import Option, Part

app = group("Measure published findings with our models.")


def add_verb(part: Part) -> None:
    """Make the verb of a part from its declaration."""

    def run(settings: Settings, *, out: Path | None, track: bool, **options: Any) -> Answer:
        for option in part.options:
            if option.former and (value := options.pop(f"former_{option.name}")) is not None:
                flag = f"--{option.name.replace('_', '-')}"
                print(f"hint: {option.former} is now {flag}", file=sys.stderr)
                options[option.name] = value
            if options[option.name] == []:
                options[option.name] = option.default
        params = part.settings(settings.profile, settings.overrides, options)
        report = part(params, out, track=track, progress=show_progress, **options)
        page = [f"page: {part.job(params, out).out / part.page}"] if part.page else []
        return Answer([*part.load().lines(report), *page], report)

    shared = {
        "out": (output(f"build/{part.out}"), None),
        "track": (
            Annotated[bool, typer.Option(help="Also record the results in MLflow.")],
            part.track,
        ),
    }
    parameters = [inspect.Parameter("settings", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for option in part.options:
        parameters += _parameters(option)
    parameters += [_parameter(name, kind, default) for name, (kind, default) in shared.items()]
    run.__signature__ = inspect.Signature(parameters)
    run.__doc__ = part.help
    verb(app, part.name)(run)


def _parameters(option: Option) -> list[inspect.Parameter]:
    """Parameter of an option, and a hidden one for the flag of an earlier release."""
    many = option.type == list[str]
    kind = option.type if many or option.required else option.type | None
    default = [] if many else option.default
    if option.required:
        default = inspect.Parameter.empty
    flags = [option.flag] if option.flag else []
    given = typer.Option(*flags, help=option.help, min=option.minimum)
    parameters = [_parameter(option.name, Annotated[kind, given], default)]
    if option.former:
        hidden = typer.Option(option.former, help=option.help, hidden=True, min=option.minimum)
        parameters.append(
            _parameter(f"former_{option.name}", Annotated[option.type | None, hidden], None)
        )
    return parameters


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


for _part in PARTS.values():
    add_verb(_part)


@verb(app, "table", settings=False, as_json=False)
def table(
    study: Annotated[str, typer.Argument(help="Name of a study whose report exists.")],
    into: Annotated[
        Path | None,
        typer.Option(help="Markdown page to fill between <!-- NAME --> and <!-- end -->."),
    ] = None,
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
