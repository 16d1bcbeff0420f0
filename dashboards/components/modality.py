"""Imaging modality of the frames that a page shows: Kerr or Lorentz."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from components import models
from components.desk import evenly_spaced
from components.recordings import Recording
from spinscope import families
from spinscope.config import Params, dataset_path, load_params
from spinscope.datasets import Dataset
from spinscope.datasets.modality import modality_of_folder, modality_of_images
from spinscope.errors import SpinscopeError

SAMPLE = 5
"""Inspected frames of a recording."""


def of_dataset(params: Params, dataset: Dataset) -> str:
    """Choose the modality of a dataset; by default what its folder, settings or pixels say."""
    found = _of_folder(params, dataset.path) or _of_pixels(
        str(dataset.path), len(dataset), dataset.image
    )
    return _choose(found, str(dataset.path))


def of_recording(params: Params, recording: Recording) -> str:
    """Choose the modality of a recording; by default what its folder, settings or pixels say."""
    found = _of_folder(params, recording.path)
    if found is None:
        found = _of_pixels(recording.fingerprint, len(recording), recording.image)
    if found is None and recording.results is not None:
        model = models.of_results(params, recording.results)
        found = None if model is None else model.family.modality
    return _choose(found, recording.fingerprint)


def _choose(found: str | None, key: str) -> str:
    """Choose a modality in the sidebar; the choice is kept for these frames."""
    known = sorted({f.modality for f in map(families.get, families.names()) if f.masks})
    chosen = st.session_state.setdefault("modalities", {})
    if key not in chosen and st.query_params.get("modality") in known:
        chosen[key] = st.query_params["modality"]
    default = found or known[0]
    widget = f"modality of {key}"
    if widget not in st.session_state:
        st.session_state[widget] = chosen.get(key, default)
    with st.sidebar:
        modality = st.segmented_control(
            "Imaging",
            known,
            key=widget,
            width="stretch",
            help="Modality of the frames. Models of another modality are not used by themselves, "
            "and their masks are not saved.",
        )
    chosen[key] = modality or default
    if chosen[key] == default:
        st.query_params.pop("modality", None)
    else:
        st.query_params["modality"] = chosen[key]
    return chosen[key]


def _of_folder(params: Params, folder: Path) -> str | None:
    """Modality of a corpus, or of the only families whose settings name this folder."""
    if not folder.is_dir():
        return None
    if (found := modality_of_folder(folder)) is not None:
        return found
    modalities = set()
    for family in map(families.get, families.names()):
        if not family.masks:
            continue
        path = dataset_path(load_params(params.profile, family=family.name))
        if path.resolve() == folder.resolve():
            modalities.add(family.modality)
    return modalities.pop() if len(modalities) == 1 else None


def _of_pixels(key: str, n: int, read: Callable[[int], np.ndarray]) -> str | None:
    """Modality of a few frames; those that cannot be read are left out."""
    cache = st.session_state.setdefault("modalities by pixels", {})
    if key not in cache:
        cache[key] = modality_of_images(_readable(evenly_spaced(n, SAMPLE), read))
    return cache[key]


def _readable(indices: list[int], read: Callable[[int], np.ndarray]):
    for index in indices:
        try:
            yield read(index)
        except SpinscopeError:
            continue
