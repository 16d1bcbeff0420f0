"""Images of domains that a page shows: views of domain films, training films and files."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from components import choose, layout, models, recordings
from spinscope import families
from spinscope.config import PIXEL_SIZES_NM, Params, project_root
from spinscope.corpora.domains import open_domains
from spinscope.datasets import Dataset
from spinscope.datasets.modality import DOMAINS, modality_of_folder
from spinscope.datasets.seen import corpus_name, read_frames
from spinscope.errors import SpinscopeError
from spinscope.inference.parameters import SHOWN, ParameterPredictor
from spinscope.jobs import estimate as jobs
from spinscope.jobs.estimate import DomainImage
from spinscope.recordings import open_recording
from spinscope.recordings.base import IMAGE

TRAINING = "training films of the model"
FILE, UPLOAD = "another file …", "upload a file …"


@dataclass(frozen=True)
class Given:
    """An image of domains, and what is known of its film.

    Parameters
    ----------
    image : DomainImage
    true : float or None
        True parameter of a simulated film, SI units.
    seen : bool
        Whether the model was trained on the film.
    """

    image: DomainImage
    true: float | None = None
    seen: bool = False


def choose_model(params: Params, parameter: str) -> models.Model:
    """Choose a model that estimates a parameter, or type its folder."""
    names = [name for name in families.names() if families.get(name).modality == DOMAINS]
    known = [
        model
        for name in names
        for model in models.listed_of(params, name)
        if models.open_model(params, model.ref).info["parameter"] == parameter
    ]
    index = next((k for k, model in enumerate(known) if model.preset), None)
    texts = {model.ref: model.text for model in known}
    key = f"parameter model {parameter}"
    ref = choose.listed_or_typed("Model", texts, key=key, label="Model folder", index=index)
    if not ref and not known:
        family = jobs.BUNDLED[parameter].removeprefix("bundled:")
        layout.missing(f"There is no model of {SHOWN[parameter][0]}.", f"spinscope train {family}")
    if not ref:
        layout.stop("Choose a model on the left.")
    return models.open_model(params, ref)


def choose_image(model: models.Model, predictor: ParameterPredictor) -> Given:
    """Choose an image of domains in the sidebar: a simulated film, or a file with its pixel size.

    Parameters
    ----------
    model : Model
    predictor : ParameterPredictor
        The same model, loaded.
    """
    corpora = {f"{path.name} (films)": path for path in corpora_of(predictor.parameter)}
    training = [TRAINING] if has_films(predictor) else []
    source = choose.listed_or_typed(
        "Image", [*corpora, *training], key="domain image", label="File", another=FILE,
        further=[UPLOAD], placeholder="/data/domains.tif",
        help="One grayscale image of domains, bright or dark along +z",
    )  # fmt: skip
    if source in corpora:
        return _of_corpus(corpora[source], model)
    if source == TRAINING:
        return _of_training(predictor)
    if source == UPLOAD:
        path = recordings.upload("Image of domains", endings())
    elif source:
        path = Path(source).expanduser()
    else:
        layout.stop("Type the path of an image on the left.")
    return Given(jobs.read_domain_image(path, choose_pixel_size(path)))


def endings() -> Collection[str]:
    """Endings of the files that can be uploaded."""
    return sorted(suffix.removeprefix(".") for suffix in IMAGE)


def corpora_of(parameter: str) -> list[Path]:
    """Corpora of domain films of the project in which a parameter varies."""
    found = sorted((project_root() / "build/corpus").glob("*/corpus.json"))
    folders = [path.parent for path in found if modality_of_folder(path.parent) == DOMAINS]
    return [path for path in folders if open_domains(path).store.parameter == parameter]


def has_films(predictor: ParameterPredictor) -> bool:
    """Whether the model folder contains training films."""
    try:
        return len(predictor.films.values) > 0
    except SpinscopeError:
        return False


def choose_pixel_size(path: Path) -> float:
    """Choose the pixel size of a file in m; by default that of its calibration."""
    recording = open_recording(path)
    stored = recording.pixel_size
    recording.close()
    low, high = PIXEL_SIZES_NM
    preset = None if stored is None else float(np.clip(stored * 1e9, low, high))
    with st.sidebar:
        size = st.number_input(
            "Pixel size, nm", low, high, preset, step=0.1, format="%.3f",
            key=f"pixel size of {path}",
            help="That of the file's metadata where they contain one. The estimate depends on it.",
        )  # fmt: skip
    if size is None:
        layout.stop("An image needs its pixel size: give it on the left.")
    return size * 1e-9


def _of_corpus(folder: Path, model: models.Model) -> Given:
    """View of a film of a corpus; films that the model was not trained on come first."""
    films, trained = _open(str(folder), (folder / "corpus.json").stat().st_mtime_ns, model)
    sources = sorted(films.sources, key=lambda source: (source in trained, source))
    with st.sidebar:
        source = st.selectbox(
            "Film", sources, key=f"film of {folder}",
            format_func=lambda n: f"{n:05d}{' · training' * (n in trained)}",
        )  # fmt: skip
        scale = st.select_slider(
            "Field of view, nm", range(len(films.store.scales)), len(films.store.scales) - 1,
            format_func=lambda k: f"{films.store.scales[k] * 1e9:g}", key=f"view of {folder}",
        )  # fmt: skip
    index = next(k for k, record in enumerate(films.records) if record.source == source) + scale
    row = films.rows[index]
    image = DomainImage(films.image(index), films.store.pixel_size(row), films.records[index].name)
    return Given(image, float(films.label(index)[0]), source in trained)


@st.cache_resource(max_entries=4, show_spinner="Opening …", hash_funcs={models.Model: repr})
def _open(folder: str, changed: int, model: models.Model) -> tuple[Dataset, frozenset[int]]:
    """Films of a corpus, and the sources among them that the model was trained on."""
    films, frames = open_domains(folder), read_frames(model.folder)
    name: Any = corpus_name(films)
    return films, frozenset() if frames is None else frames.simulated.get(name, frozenset())


def _of_training(predictor: ParameterPredictor) -> Given:
    """One of the training films that the model folder contains."""
    films = predictor.films
    symbol, unit, factor = SHOWN[predictor.parameter]
    with st.sidebar:
        number = st.selectbox(
            "Film", range(len(films.values)), len(films.values) // 2, key="training film",
            format_func=lambda k: f"{symbol} = {films.values[k] * factor:.4g} {unit}",
        )  # fmt: skip
    pixels = films.images[number].astype(np.float32) / 255
    name = f"training film {number}"
    return Given(DomainImage(pixels, films.pixel_size, name), float(films.values[number]), True)


def with_sd(value: float, sd: float) -> str:
    """Value ± SD with two significant digits of the SD.

    >>> with_sd(0.43217, 0.0524)
    '0.432 ± 0.052'
    """
    decimals = max(0, 1 - math.floor(math.log10(sd))) if sd > 0 else 3
    return f"{value:.{decimals}f} ± {sd:.{decimals}f}"
