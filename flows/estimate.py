"""Estimate a magnetic parameter from images of domains; its numbers become an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, task
from prefect.artifacts import create_table_artifact

from _arguments import DEFAULT_PROFILE, Overrides, Profile, begin, described, run_flow
from spinscope.config import PixelSize, load_params
from spinscope.files import locked
from spinscope.inference.parameters import SHOWN
from spinscope.jobs import estimate as jobs
from spinscope.jobs import out_folder
from spinscope.jobs.estimate_files import write_estimate
from spinscope.recordings.folder import image_files

Parameter = Annotated[Literal[tuple(SHOWN)] | None, "D (dmi) or Ms; None: that of the model."]
SHORT = ("file", "unit", "value", "sd", "interval", "in_range", "reasons")
"""Columns of the artifact."""


@task(name="estimate")
def estimate_images(
    image: Path | None,
    pixel_size: float | None,
    parameter: str | None,
    model: str | None,
    refine: bool,
    out: Path,
    profile: str | None,
    overrides: list[str],
) -> list[dict[str, Any]]:
    """Estimate each image and write its results into a folder of its name."""
    params = load_params(profile, overrides, family=jobs.FAMILY)
    predictor = jobs.open_parameters(params, model, parameter)
    ref = model or jobs.BUNDLED[predictor.parameter]
    if image is None:
        films = predictor.films
        given = [jobs.DomainImage(films.images[0] / 255, films.pixel_size, "training film")]
    else:
        files = image_files(image) if image.is_dir() else [image]
        given = [jobs.read_domain_image(file, pixel_size) for file in files]
    summaries = []
    for one in given:
        found = jobs.estimated(predictor, one, model=ref)
        if refine:
            found = jobs.with_refinement(found, predictor)
        write_estimate(found, out / Path(one.name).stem)
        summaries.append(found.summary)
    return summaries


@flow(name="estimate", flow_run_name="{image}")
@described
def estimate(
    image: Annotated[
        Path | None, "Image of domains, or a folder of them; None: a training film."
    ] = None,
    pixel_size_nm: Annotated[PixelSize | None, "Pixel size in nm; None: that of the file."] = None,
    parameter: Parameter = None,
    model: Annotated[
        str | None, "models:/NAME@lab, bundled:NAME or a model folder; None: bundled."
    ] = None,
    refine: Annotated[bool, "Compare with films relaxed at and around the estimate."] = False,
    out: Annotated[Path | None, "Output folder; None: build/estimate."] = None,
    profile: Profile = DEFAULT_PROFILE,
    overrides: Overrides = [],  # noqa: B006
) -> list[dict]:
    """Estimate D or Ms of a film from images of its domains."""
    waiting = begin()
    folder = Path(out) if out else out_folder("estimate")
    pixel_size = None if pixel_size_nm is None else pixel_size_nm * 1e-9
    with locked(folder, waiting=waiting):
        summaries = estimate_images(
            image, pixel_size, parameter, model, refine, folder, profile, list(overrides)
        )
    table = [{key: summary[key] for key in SHORT} for summary in summaries]
    create_table_artifact(table, key="estimate", description=str(folder))
    return summaries


if __name__ == "__main__":
    run_flow(estimate, None, "estimate")
