"""The command ``spinscope``, one verb per capability: parses, calls, prints."""

from __future__ import annotations

import os
import sys
import warnings

import typer

from spinscope.cli import (
    backups,
    corpus,
    data,
    estimate,
    field,
    flows,
    models,
    phase,
    project,
    recordings,
    registry,
    studies,
)
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.extras import explained

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From magnetic images to promoted models and masks in the lab.",
)
app.add_typer(data.app, name="data")
app.add_typer(corpus.app, name="corpus")
app.add_typer(models.app)
app.add_typer(recordings.app)
app.add_typer(field.app, name="field")
app.add_typer(estimate.app)
app.add_typer(phase.app)
app.add_typer(registry.app, name="registry")
app.add_typer(studies.app, name="study")
app.add_typer(flows.app, name="flow")
app.add_typer(backups.app)
app.add_typer(project.app)


def main() -> None:
    """Run the command line; exit with one sentence on bad input and with 130 on Ctrl-C."""
    for variable, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("KERAS_BACKEND", "tensorflow")):
        os.environ.setdefault(variable, value)
    warnings.showwarning = _show_warning
    try:
        with explained():
            app()
    except (SpinscopeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Print a warning of spinscope as one sentence, and another one with its place."""
    if issubclass(category, SpinscopeWarning):
        text = f"warning: {message}"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    print(text, file=file or sys.stderr)
