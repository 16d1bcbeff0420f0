"""``spinscope flow``: run Prefect flows without a server."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from spinscope.cli.shared import Answer, group, verb
from spinscope.config import bundled_flows, project_root
from spinscope.errors import SpinscopeError
from spinscope.extras import require
from spinscope.studies import PARTS

app = group("List and run Prefect flows, without a server.")
GENERIC, DEPLOYMENTS = "study", "serve"
"""Files of the flow of all studies and of the program that serves the deployments."""


def flow_commands() -> dict[str, tuple[str, list[str]]]:
    """Flow → (its one line of help, command that runs it)."""
    folder, found = bundled_flows(), {}
    for path in folder.glob("[!_]*.py"):
        if path.stem not in (GENERIC, DEPLOYMENTS):
            lines = path.read_text().splitlines()
            text = next((line for line in lines if line.startswith('"""')), "").strip('"')
            found[path.stem.replace("_", "-")] = (text, [sys.executable, str(path)])
    generic = folder / f"{GENERIC}.py"
    if generic.is_file():
        for part in PARTS.values():
            found[part.flow] = (part.help, [sys.executable, str(generic), part.flow])
    return dict(sorted(found.items()))


@verb(app, "list", settings=False, as_json=False)
def list_flows() -> Answer:
    """List the flows."""
    return Answer([f"{name:<18}{text}" for name, (text, _) in flow_commands().items()])


@app.command("run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the flow; its own options follow.")],
) -> None:
    """Run a flow in this process, with the options after its name."""
    from spinscope.serve import flow_environment

    commands = flow_commands()
    if name not in commands:
        raise SpinscopeError(f"flow {name!r} must be one of {', '.join(commands)}")
    require("prefect")
    command = [*commands[name][1], *context.args]
    environment = flow_environment(project_root())
    raise typer.Exit(subprocess.run(command, env=environment).returncode)
