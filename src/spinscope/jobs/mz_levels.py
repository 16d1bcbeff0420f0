"""Levels of m_z of a Lorentz model: which probability its boundary {m_z = value} has in films.

A label is not needed: films are relaxed, so that their m_z is known, and imaged under the
conditions of the training of the network.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinscope import families
from spinscope.config import Ltem, Params, renamed
from spinscope.corpora.films import FilmCorpus, open_films
from spinscope.corpora.ltem import ltem_images
from spinscope.errors import SpinscopeError
from spinscope.evaluation.levels import mz_levels
from spinscope.files import atomic_folder
from spinscope.inference.level import MZ_LEVELS
from spinscope.jobs.evaluating import predictor
from spinscope.models.store import INFO, SUMS, model_info, write_sums
from spinscope.tracking import resolve

NOISE = (0.0, 0.2)
"""Range of the noise of the images, as a fraction of their mean."""


def films_under(params: Params, info: Mapping[str, Any]) -> Ltem:
    """Return the imaging conditions that a network was trained with, otherwise those of settings.

    Films are neither shifted nor rotated, so that the m_z of an image is that of its film.

    Parameters
    ----------
    params : Params
        Settings; section `ltem`.
    info : mapping
        Description of the network.
    """
    header = info.get("corpus", {})
    known = renamed(header, "ltem") if header.get("kind") == "ltem" else {}
    values = {key: value for key, value in known.items() if key in Ltem.model_fields}
    fixed = {"shift": False, "rotate": False, "label_mz": "triangle", "label_erosion_px": 0}
    return Ltem.model_validate(params.ltem.model_dump() | values | fixed)


def mz_images(
    films: FilmCorpus, settings: Ltem, seed: int, noise: tuple[float, float] = NOISE
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images of films with the true m_z.

    Parameters
    ----------
    films : FilmCorpus
        Relaxed films.
    settings : Ltem
        Imaging conditions, of `films_under`.
    seed : int
        Seed of the imaging conditions and of the noise.
    noise : (float, float), default `NOISE`
        Range of the standard deviation of Gaussian noise, as a fraction of the mean of an image.

    Yields
    ------
    image : (H, W) float32 array
        Lorentz image; without noise from 0 to 1.
    m_z : (H, W) float32 array
        Component of the magnetisation along the field.
    """
    index = {row["name"]: k for k, row in enumerate(films.rows)}
    rng = np.random.default_rng(seed)
    for row, raw, _ in ltem_images(films, seed, settings):
        image = raw / np.float32(65535)
        sigma = np.float32(rng.uniform(*noise) * image.mean())
        image += sigma * rng.standard_normal(image.shape, dtype=np.float32)
        yield image, films[index[row["film"]]].m[..., 2]


def add_mz_levels(
    params: Params, model_ref: str, source: Path, out: Path, *, images: int = 2
) -> dict[str, Any]:
    """Write a copy of a Lorentz model with its levels of m_z, found with relaxed films.

    Parameters
    ----------
    params : Params
        Settings.
    model_ref : str
        Reference of the model.
    source : Path
        Folder of `spinscope corpus films`, of a seed that the training did not use.
    out : Path
        Model folder to write.
    images : int, default 2
        Images per film, each under other imaging conditions.

    Returns
    -------
    dict
        `folder`, `films` (their number, seed and field in T), `images`, `noise` and `rows` of
        `mz_levels`.

    Raises
    ------
    SpinscopeError
        For a model of Kerr images, and films of the seed of the training.
    """
    folder = resolve(params.tracking, model_ref)
    info = model_info(folder)
    if (modality := families.of_model(info).modality) != "Lorentz":
        raise SpinscopeError(
            f"model {model_ref} is for {modality} images; levels of m_z need a Lorentz model"
        )
    if out.exists() and not (out / SUMS).is_file():
        raise SpinscopeError(f"{out} exists and is no model folder: name another one with --out")
    films = open_films(source)
    seed = films.header.get("seed")
    if seed is not None and seed == info.get("corpus", {}).get("seed"):
        raise SpinscopeError(
            f"{source} has films of seed {seed}, as the training of {model_ref}: make others with "
            f"`spinscope corpus films --seed {seed + 1}`"
        )
    network = predictor(params, str(folder), masks=True)
    settings = films_under(params, info).model_copy(update={"images_per_film": images})
    rows = mz_levels(
        (network.mask_and_probability(image)[1], m_z)
        for image, m_z in mz_images(films, settings, params.seed)
    )
    found = {
        "films": {"n": len(films), "seed": seed, "b_ext": films.header.get("b_ext")},
        "images": images,
        "noise": list(NOISE),
        "rows": rows,
    }
    with atomic_folder(out) as partial:
        for path in folder.iterdir():
            shutil.copyfile(path, partial / path.name)
        text = json.dumps(info | {MZ_LEVELS: found}, indent=1, sort_keys=True)
        (partial / INFO).write_text(text + "\n")
        write_sums(partial)
    return found | {"folder": str(out)}
