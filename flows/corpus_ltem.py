"""Make a Lorentz model of a material and a microscope: films, images, training, registry."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from _arguments import (
    DEFAULT_PROFILE,
    Epochs,
    Overrides,
    Profile,
    Seeds,
    begin,
    described,
    run_flow,
    settings_of,
)
from corpus import chunks_on_cluster
from spinscope import jobs
from spinscope.config import Params, dataset_path, load_params
from spinscope.files import locked
from train_seeds import markdown, train_in_tasks

FAMILY = "ltem-unet"


@task(name="films")
def make_films(profile: str | None, overrides: list[str], out: str) -> list[str]:
    """Relax the films; finished ones are kept."""
    params = load_params(profile, overrides, family=FAMILY)
    return jobs.film_lines(jobs.films(params, Path(out)))


@task(name="images")
def make_images(profile: str | None, overrides: list[str], films: str, out: str) -> str:
    """Simulate Lorentz images of the films; those of the same films and settings are kept."""
    params = load_params(profile, overrides, family=FAMILY)
    return str(jobs.corpus(params, Path(out), source=Path(films)))


@flow(name="corpus-ltem", flow_run_name="Lorentz model {profile}")
@described
def corpus_ltem(
    profile: Profile = DEFAULT_PROFILE,
    seeds: Seeds = None,
    epochs: Epochs = None,
    films: Annotated[Path | None, "Corpus of films to image; None: relax new films."] = None,
    out: Annotated[
        Path | None, "Folder of films, images and training; None: those of the commands."
    ] = None,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Make corpus and model for the sections films and ltem of the settings."""
    waiting = begin()
    overrides = settings_of(overrides, training__seeds=seeds, training__epochs=epochs)
    params = load_params(profile, overrides, family=FAMILY)
    images, training = dataset_path(params), jobs.out_folder(f"train/{FAMILY}")
    folder = Path(films) if films else jobs.out_folder("corpus/films")
    if out:
        images, training = Path(out).resolve() / "images", Path(out) / "train"
        folder = Path(films) if films else Path(out) / "films"
        overrides.append(f"data.path={images}")
        params = load_params(profile, overrides, family=FAMILY)
    folders = [training, images, *([] if films else [folder])]
    with contextlib.ExitStack() as held:
        for one in folders:
            held.enter_context(locked(one, waiting=waiting))
        return _steps(params, profile, overrides, folder, images, training, not films)


def _steps(
    params: Params,
    profile: str,
    overrides: list[str],
    folder: Path,
    images: Path,
    training: Path,
    relax: bool,
) -> dict:
    """Films, where they are to be relaxed, images and training."""
    again = {"retries": params.flows.retries}
    if relax:
        chunks_on_cluster(params, "films", profile, overrides, folder)
        for line in make_films.with_options(**again)(profile, overrides, str(folder)):
            get_run_logger().info(line)
    make_images.with_options(**again)(profile, overrides, str(folder), str(images))
    report = train_in_tasks(params, profile, overrides, training)
    create_markdown_artifact(markdown(report), key="corpus-ltem", description=str(images))
    return report


if __name__ == "__main__":
    run_flow(corpus_ltem, None, "corpus", "training")
