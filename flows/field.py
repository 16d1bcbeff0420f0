"""Apply a network of the effective field to spins, with pictures as artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, task
from prefect.artifacts import create_table_artifact

from _arguments import DEFAULT_PROFILE, Overrides, Profile, begin, described, run_flow
from spinscope.config import load_params
from spinscope.files import locked
from spinscope.jobs import field as jobs
from spinscope.jobs import out_folder
from spinscope.jobs.spin_input import read_spins

BUNDLED = "bundled:field-fcn"
Application = Annotated[Literal[jobs.APPLICATIONS], "What is done with the spins."]


@task(name="apply")
def apply(
    application: str,
    file: Path | None,
    model: str,
    period_px: float | None,
    size: int,
    seed: int,
    out: Path,
    profile: str | None,
    overrides: list[str],
) -> list[dict]:
    """Run one application and write its results; returns their summaries."""
    infer_field = jobs.open_field(load_params(profile, overrides, family=jobs.FAMILY), model)
    function = getattr(jobs, application)
    if application == "generate":
        found = function((size, size), infer_field, seed=seed)
    else:
        if file is None:  # a generated texture, to try the application
            given = jobs.input_of(jobs.generate((size, size), infer_field, seed=seed))
        else:
            given = read_spins(file, period_px=period_px)
        trial = {"denoise": {"alpha": 1.0}, "repair": {"rows": size // 16}} if file is None else {}
        infer_field = jobs.with_chirality(infer_field, given)
        found = function(given, infer_field, **trial.get(application, {}))
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
    size: Annotated[int, "Sites per side of a generated texture."] = 128,
    seed: Annotated[int, "Seed of the random numbers."] = 0,
    out: Annotated[Path | None, "Output folder; None: build/field."] = None,
    profile: Profile = DEFAULT_PROFILE,
    overrides: Overrides = [],  # noqa: B006
) -> list[dict]:
    """Denoise, repair, complete or generate spins, or follow them through a field."""
    waiting = begin()
    folder = Path(out) if out else out_folder("field") / application
    with locked(folder, waiting=waiting):
        summaries = apply(
            application, file, model, period_px, size, seed, folder, profile, list(overrides)
        )
    create_table_artifact(summaries, key="field", description=str(folder))
    return summaries


if __name__ == "__main__":
    run_flow(field, None, "field")
