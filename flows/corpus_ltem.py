"""Make a Lorentz model of a material and a microscope: films, images, training, registry."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import dataset_path, load_params
from train_seeds import in_tasks, markdown

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


@flow(name="corpus-ltem")
def corpus_ltem(
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
    films: str | None = None,
) -> dict:
    """Make corpus and model for the sections ``films`` and ``ltem`` of the settings.

    Parameters
    ----------
    profile : str, optional
        Profile of the settings.
    overrides : list of str, optional
        ``section.key=value`` each.
    out : str, optional
        Folder for films, images and training; by default the folders of the verbs.
    films : str, optional
        Existing corpus of films to image.
    """
    overrides = list(overrides or [])
    params = load_params(profile, overrides, family=FAMILY)
    images, training = dataset_path(params), jobs.out_folder(f"train/{FAMILY}")
    folder = Path(films) if films else jobs.out_folder("corpus/films")
    if out:
        images, training = Path(out).resolve() / "images", Path(out) / "train"
        folder = Path(films) if films else Path(out) / "films"
        overrides.append(f"data.path={images}")
        params = load_params(profile, overrides, family=FAMILY)
    again = {"retries": params.flows.retries}
    if not films:
        for line in make_films.with_options(**again)(profile, overrides, str(folder)):
            get_run_logger().info(line)
    make_images.with_options(**again)(profile, overrides, str(folder), str(images))
    report = jobs.train(params, training, run_seeds=in_tasks(params, profile, overrides, training))
    create_markdown_artifact(markdown(report), key="corpus-ltem", description=str(images))
    return report


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        corpus_ltem(**parse(__doc__, out="output folder", films="existing corpus of films"))
