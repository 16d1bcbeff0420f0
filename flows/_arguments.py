"""Parameters and command lines of the flows."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from prefect import Flow, get_client, get_run_logger, tags
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.runtime import deployment, flow_run
from prefect.states import Crashed
from pydantic import BeforeValidator, Field

from _cluster import job_script
from spinscope import families
from spinscope.config import load_params, profile_names, project_root
from spinscope.errors import SpinscopeError
from spinscope.notify import tell
from spinscope.processes import dead, this_process

OWNERS = {"cluster", "fetch", "flows", "gates", "notify", "serve", "tracking", "tuning"}
"""Sections of the settings that no override of a deployment changes."""
PROCESS = "spinscope.process"
"""Label of a flow run: the process that runs it."""


def split(value: Any) -> Any:
    """List from text with commas.

    >>> split("a, b")
    ['a', 'b']
    """
    return (
        [one.strip() for one in value.split(",") if one.strip()]
        if isinstance(value, str)
        else value
    )


DEFAULT_PROFILE, *_ = NAMES = profile_names()
Profile = Annotated[Literal[tuple(NAMES)], "Profile of the settings in params.yaml."]
Family = Annotated[Literal[tuple(families.names())], "Family of models."]
Seeds = Annotated[Annotated[int, Field(ge=1)] | None, "Number of seeds; None: that of the profile."]
Epochs = Annotated[
    Annotated[int, Field(ge=1)] | None, "Epochs per seed; None: those of the profile."
]
Override = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]*=")]
Overrides = Annotated[
    list[Override], BeforeValidator(lambda given: given or []),
    "Settings that take precedence over the profile, section.key=value each.",
]  # fmt: skip
Texts = Annotated[list[str], BeforeValidator(split)]


def described(function: Callable) -> Callable:
    """Decorator: describe each parameter of a flow on the page that starts it.

    Prefect reads the descriptions from a docstring with a section ``Args``; here they are the
    texts of the annotations.
    """
    texts = {name: _text(one.annotation) for name, one in _signature(function).items()}
    lines = [f"    {name}: {text}" for name, text in texts.items() if text]
    function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__), "", "Args:", *lines])
    return function


def _signature(function: Callable) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)


def _text(annotation: Any) -> str:
    """Description in an annotation."""
    parts = get_args(annotation) if get_origin(annotation) is Annotated else ()
    return next((part for part in parts[1:] if isinstance(part, str)), "")


def _choices(annotation: Any) -> tuple[str, ...] | None:
    """Allowed values of an annotation; None if it does not list them."""
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_args(inner) if get_origin(inner) is Literal else None


def run_flow(chosen: Flow, words: Sequence[str] | None = None, *labels: str) -> Any:
    """Run a flow with the options of the command line, which are its parameters.

    Parameters
    ----------
    chosen : Flow
        Flow to run.
    words : sequence of str, optional
        Command line; by default that of the program.
    *labels : str
        Tags of the run.
    """
    parser = argparse.ArgumentParser(description=chosen.description.partition("\n\nArgs:")[0])
    for name, one in _signature(chosen.fn).items():
        text = _text(one.annotation)
        if name == "overrides":
            text = "override a setting, repeatable"
            options = {"action": "append", "metavar": "SECTION.KEY=VALUE"}
            parser.add_argument("--set", dest=name, help=text, **options)
        else:
            required = one.default is inspect.Parameter.empty
            flag = f"--{name.replace('_', '-')}"
            choices = _choices(one.annotation)
            parser.add_argument(flag, help=text, choices=choices, required=required)
    text = "print the job script of a worker on the cluster, and end"
    parser.add_argument("--dry-run", action="store_true", help=text)
    given = {
        key: value for key, value in vars(parser.parse_args(words)).items() if value is not None
    }
    with one_sentence():
        if given.pop("dry_run"):
            params = load_params(given.get("profile"), given.get("overrides") or ())
            print(job_script(params.cluster))
            return None
        asyncio.run(end_stale_runs())
        with tags(*labels):
            return chosen(**given)


def settings_of(overrides: Sequence[str], **values: Any) -> list[str]:
    """Overrides with further settings, each ``section__key=value``; None is left out.

    >>> settings_of(["seed=1"], training__seeds=3, training__epochs=None)
    ['seed=1', 'training.seeds=3']
    """
    extra = [
        f"{key.replace('__', '.')}={value}" for key, value in values.items() if value is not None
    ]
    return [*overrides, *extra]


def begin() -> Callable[[str], None]:
    """Record which process runs the flow; returns the function that logs a warning of the run.

    Raises
    ------
    SpinscopeError
        If a run of a deployment has parameters that `check_deployed` refuses.
    """
    run = flow_run.get_id()
    if run is None:  # the function of the flow is called by itself
        return print
    if deployment.get_id() is not None:
        check_deployed(flow_run.get_parameters())
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run, {PROCESS: this_process()})
    return get_run_logger().warning


def check_deployed(parameters: Mapping[str, Any]) -> None:
    """Refuse what only the owner of the machine may choose, not whoever opens Prefect's page.

    Parameters
    ----------
    parameters : mapping
        Parameters of a run of a deployment.

    Raises
    ------
    SpinscopeError
        For an override of another store, dataset, download or gate, and for a folder outside of
        the project.
    """
    for override in parameters.get("overrides") or ():
        key = override.partition("=")[0]
        sections = {key, key.partition(".")[0]}
        if sections & OWNERS or key in ("data", "data.path"):
            raise SpinscopeError(
                f"override {override!r}: {key} cannot be changed in a deployment; set it in "
                "params.yaml, or use `spinscope flow run`"
            )
    root = project_root()
    for name in ("data", "films", "out"):
        if given := parameters.get(name):
            path = Path(os.path.abspath(root / given))  # noqa: PTH100  (links of the owner count)
            if not path.is_relative_to(root):
                raise SpinscopeError(
                    f"{name} (={str(given)!r}) of a deployment must be below {root}; for another "
                    "folder, use `spinscope flow run`"
                )


def tell_failure(chosen: Flow, run: Any, state: Any) -> None:
    """Hook of a flow: send a message about a run that failed or crashed."""
    tell(load_params().notify, "failure", f"{chosen.name} ({run.name}): {state.message}")


async def end_stale_runs() -> int:
    """Mark runs as crashed whose process has ended, with their tasks; returns their number."""
    running = ["RUNNING", "PENDING", "CANCELLING"]
    flows = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=running)))
    tasks = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=running)))
    message = "The process of this run ended without a report."
    ended = 0
    async with get_client() as client:
        for run in await client.read_flow_runs(flow_run_filter=flows):
            process = run.labels.get(PROCESS)
            if process and dead(process):
                await client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                tell(load_params().notify, "failure", f"{run.name}: {message}")
                ended += 1
        for task in await client.read_task_runs(task_run_filter=tasks):
            if task.flow_run_id is None:
                continue
            run = await client.read_flow_run(task.flow_run_id)
            if run.state is not None and run.state.is_final():
                await client.set_task_run_state(task.id, Crashed(message=message), force=True)
                ended += 1
    return ended


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with the sentence of a SpinscopeError, as the command line does."""
    try:
        yield
    except SpinscopeError as error:
        sys.exit(f"error: {error}")
