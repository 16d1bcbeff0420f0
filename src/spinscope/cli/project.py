"""``spinscope serve`` and ``spinscope demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from spinscope.cli.shared import Answer, EpochBar, Settings, show_progress, verb

app = typer.Typer()


@verb(app, as_json=False)
def serve(
    settings: Settings,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the dashboard.")] = False,
) -> Answer:
    """Serve MLflow, Prefect and the dashboard until Ctrl-C."""
    from spinscope.serve import serve as run

    run(settings.load(), settings.overrides, open_browser=open_browser)
    return Answer()


@verb(app, as_json=False)
def demo(settings: Settings) -> Answer:
    """Train, promote and apply a model on simulated frames in minutes."""
    from spinscope.config import load_params
    from spinscope.demo import demo as run

    params = load_params(settings.profile or "demo", settings.overrides, family="moke-unet")
    with EpochBar(params) as bar:
        return Answer(run(params, on_epoch=bar, progress=show_progress, say=print))
