"""Apply a network of the effective field to spins; its numbers become an artifact."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from pydantic import BeforeValidator, Field

from _arguments import DEFAULT_PROFILE, Overrides, Profile, begin, described, run_flow, split
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.jobs import field as jobs
from spinscope.jobs import out_folder
from spinscope.jobs.spin_input import read_spins

Application = Annotated[Literal[jobs.APPLICATIONS], "What is done with the spins."]
Count = Annotated[int, Field(ge=1)]
TRIALS: dict[str, dict[str, Any]] = {"denoise": {"alpha": 1.0}, "repair": {"rows": 8}}
"""Options of a trial with a generated texture, where none are given."""


@task(name="apply")
def apply(
    application: str,
    file: Path | None,
    model: str,
    period_px: float | None,
    size: int,
    seed: int,
    options: dict[str, Any],
    out: Path,
    profile: str | None,
    overrides: list[str],
) -> list[dict]:
    """Run one application and write its results; returns their summaries."""
    function = getattr(jobs, application)
    known = inspect.signature(function).parameters
    if unknown := [name for name in options if name not in known]:
        raise SpinscopeError(f"{application} has no option {unknown[0]}")
    if "seed" in known:
        options["seed"] = seed
    infer_field = jobs.open_field(load_params(profile, overrides, family=jobs.FAMILY), model)
    if application == "generate":
        found = function((size, size), infer_field, **options)
    else:
        if file is None:  # a generated texture, to try the application
            given = jobs.input_of(jobs.generate((size, size), infer_field, seed=seed))
            if not options.keys() & {"alpha", "rows", "square"}:
                options |= TRIALS.get(application, {})
        else:
            given = read_spins(file, period_px=period_px)
        found = function(given, jobs.with_chirality(infer_field, given), **options)
    results = found if isinstance(found, list) else [found]
    jobs.write_results(results, out)
    return [result.summary for result in results]


@flow(name="field", flow_run_name="{application}")
@described
def field(
    application: Application = "complete",
    file: Annotated[
        Path | None, ".npy (H, W, 3) or (H, W), OVF or image; None: a generated texture."
    ] = None,
    period_px: Annotated[float | None, "Period of the domains of an image in px."] = None,
    model: Annotated[
        str, "models:/NAME@lab, bundled:NAME or a model folder."
    ] = "bundled:field-fcn",
    iterations: Annotated[Count | None, "Number of iterations; None: usual."] = None,
    alpha: Annotated[float | None, "Noise that denoise adds first, to try it."] = None,
    rows: Annotated[Count | None, "Rows that repair replaces by noise first."] = None,
    square: Annotated[Count | None, "Side of the square that repair erases first."] = None,
    fields: Annotated[
        list[float] | None, BeforeValidator(split), "External fields of respond in J; None: usual."
    ] = None,
    size: Annotated[Annotated[int, Field(ge=16)], "Sites per side of a generated texture."] = 128,
    seed: Annotated[Annotated[int, Field(ge=0)], "Seed of the random numbers."] = 0,
    out: Annotated[Path | None, "Output folder; None: build/field."] = None,
    profile: Profile = DEFAULT_PROFILE,
    overrides: Overrides = [],  # noqa: B006
) -> list[dict]:
    """Denoise, repair, complete or generate spins, or follow them through a field."""
    waiting = begin()
    given = {
        "iterations": iterations, "alpha": alpha, "rows": rows, "square": square, "fields": fields,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    folder = Path(out) if out else out_folder("field") / application
    with locked(folder, waiting=waiting):
        summaries = apply(
            application, file, model, period_px, size, seed, options, folder, profile,
            list(overrides),
        )  # fmt: skip
    create_table_artifact(summaries, key="field", description=str(folder))
    return summaries


if __name__ == "__main__":
    run_flow(field, None, "field")
