"""Masks that models predict, kept in memory."""

from __future__ import annotations

import numpy as np
import streamlit as st

from components.choices import Model
from spinscope.datasets.manifest import pixel_sha256


def segment(
    model: Model,
    image: np.ndarray,
    views: int,
    *,
    axis_deg: float | None = None,
    engine: str = "auto",
) -> tuple[np.ndarray, float]:
    """Segment an image, once per network, pixels and augmentation.

    Parameters
    ----------
    model : Model
        Model to apply.
    image : (H, W) array
        Image in [0, 1].
    views : int
        Augmented views that are averaged.
    axis_deg : float, optional
        Tilt axis of a Lorentz image in degrees, for a model that takes it.
    engine : str, default "auto"
        "auto" for the fastest engine, "keras" for the reference.

    Returns
    -------
    (H, W) uint8 array, float
        Mask, and the fraction of uncertain pixels.
    """
    key = model.digest, pixel_sha256(image), views, axis_deg, engine
    return _segment(*key, str(model.folder), image)


@st.cache_data(max_entries=400, show_spinner=False)
def _segment(
    digest: str,
    pixels: str,
    views: int,
    axis_deg: float | None,
    engine: str,
    _folder: str,
    _image: np.ndarray,
) -> tuple[np.ndarray, float]:
    return _predictor(digest, engine, _folder).with_geometry(axis_deg).segment(_image, views)


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _predictor(digest: str, engine: str, _folder: str):
    import gc

    from spinscope.inference.predict import Predictor

    predictor = Predictor.load(_folder, engine)
    # Streamlit collects garbage after every run; TensorFlow's objects are excluded from it.
    gc.collect()
    gc.freeze()
    return predictor
