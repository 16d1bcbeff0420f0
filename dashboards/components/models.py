"""Models that a page can use: registered and bundled ones, and the masks that they predict."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from spinscope import families
from spinscope.classes import BACKGROUND
from spinscope.config import Params, Tracking, bundled_models
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.families import Family
from spinscope.inference.sample import sample_region
from spinscope.physics.recursion import Field
from spinscope.tracking import Store

if TYPE_CHECKING:
    from spinscope.inference.parameters import ParameterPredictor


@dataclass(frozen=True)
class Model:
    """A model that was chosen.

    Parameters
    ----------
    ref : str
        Reference as it was chosen; an alias names another version later.
    folder : Path
        Model folder on this machine.
    digest : str
        SHA-256 of the network.
    info : dict
        Content of the folder's model.json.
    """

    ref: str
    folder: Path
    digest: str
    info: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it predicts, for a segmentation."""
        return tuple(self.info.get("classes", ()))

    @property
    def family(self) -> Family:
        """Family of the model, as its folder names it."""
        return families.of_model(self.info)


def open_tracking(params: Params, experiment: str | None = None) -> Store | None:
    """Open the tracking store; None where nothing was tracked yet, and none is created."""
    from spinscope.tracking.store import store_uri

    uri = store_uri(params.tracking)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None
    tracking = params.tracking.model_copy(update={"uri": uri})
    if experiment is not None:
        tracking = tracking.model_copy(update={"experiment": experiment})
    return _open_tracking(tracking)


@st.cache_resource(show_spinner=False, hash_funcs={Tracking: repr})
def _open_tracking(tracking: Tracking) -> Store:
    from spinscope.tracking import open_store

    return open_store(tracking)


@dataclass(frozen=True)
class Listed:
    """A model in a list of choices.

    Parameters
    ----------
    ref : str
        Reference.
    text : str
        Text that is shown for it.
    modality : str
        Imaging modality of its family.
    preset : bool
        Whether a page may choose it by itself: versions that nobody promoted are left out.
    """

    ref: str
    text: str
    modality: str
    preset: bool


def listed(params: Params, modality: str | None = None) -> list[Listed]:
    """Models that make masks, in the order in which a page offers and chooses them.

    Models of `modality` come first; in each modality the versions of the lab, those of
    `tracking.experiment` before others, then the bundled models, then all other versions.
    """
    ordered = _ordered(params, None)
    if modality is None:
        return ordered
    return sorted(ordered, key=lambda model: model.modality != modality)


def listed_of(params: Params, family: str) -> list[Listed]:
    """Models of one family, in the order of `listed`."""
    return _ordered(params, family)


def _ordered(params: Params, family: str | None) -> list[Listed]:
    """Models of a family, or those that make masks."""
    store = open_tracking(params)
    known = [] if store is None else _registered(store, store.uri, family)
    name = params.tracking.experiment
    known = sorted(known, key=lambda model: not model.ref.startswith(f"models:/{name}@"))
    lab, versions = ([m for m in known if m.preset is preset] for preset in (True, False))
    return [*lab, *_bundled(str(bundled_models()), family), *versions]


@st.cache_resource(ttl=5, show_spinner=False)
def _registered(_store: Store, uri: str, wanted: str | None) -> list[Listed]:
    """Registered models of a family, or those that make masks: aliases, then versions."""
    from spinscope.tracking.registry import LAB, names, version, versions

    found: list[Listed] = []
    for name in names(_store):
        try:
            family = families.of_model(version(_store, name).tags)
        except SpinscopeError:  # a family that is not installed here, or no version
            continue
        if not _is_wanted(family, wanted):
            continue
        rows = versions(_store, name).to_dict("records")
        for row in rows:
            for alias in filter(None, row["aliases"].split(", ")):
                ref = f"models:/{name}@{alias}"
                text = f"{name} @{alias} (version {row['version']})"
                found.append(Listed(ref, text, family.modality, alias == LAB))
        for row in rows:
            ref, text = f"models:/{name}/{row['version']}", f"{name} version {row['version']}"
            score = row.get(family.metric.name)
            if score is not None and not np.isnan(score):
                text += f" · {family.metric.title} {score:.3f}"
            found.append(Listed(ref, text, family.modality, False))
    return found


@st.cache_resource(show_spinner=False)
def _bundled(folder: str, wanted: str | None) -> list[Listed]:
    """Bundled models of a family, or those that make masks, by name."""
    found = []
    for sums in sorted(Path(folder).glob("*/SHA256SUMS")):
        name = sums.parent.name
        family = families.of_model(json.loads((sums.parent / "model.json").read_text()))
        if _is_wanted(family, wanted):
            ref, text = f"bundled:{name}", f"{name} (bundled)"
            found.append(Listed(ref, text, family.modality, True))
    return found


def _is_wanted(family: Family, wanted: str | None) -> bool:
    """Whether a family is the one that is wanted, or makes masks where none is named."""
    return family.masks if wanted is None else family.name == wanted


def open_model(params: Params, ref: str) -> Model:
    """Open the model that a reference names now; an alias may have moved since."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    folder = resolve(open_tracking(params) or params.tracking, ref)
    return Model(ref, folder, *_identity(str(folder), (folder / NETWORK).stat().st_mtime_ns))


def of_results(params: Params, results: Any) -> Model | None:
    """Model that made the masks of a results folder, None where it no longer exists."""
    for used in results.summary["settings"].get("models", ()):
        with contextlib.suppress(SpinscopeError):
            return open_model(params, used["ref"])
    return None


@st.cache_data(max_entries=64, show_spinner=False)
def _identity(folder: str, changed: int) -> tuple[str, dict[str, Any]]:
    """SHA-256 of the network of a model folder, and its model.json."""
    from spinscope.files import sha256
    from spinscope.models.store import NETWORK, model_info

    return sha256(Path(folder) / NETWORK), model_info(folder)


def ready() -> bool:
    """Whether a network was loaded before, so that the next one loads fast."""
    return bool(_loaded)


def segment(
    model: Model,
    image: np.ndarray,
    views: int,
    *,
    axis_deg: float | None = None,
    engine: str = "ready",
) -> tuple[np.ndarray, float]:
    """Segment an image, once per model, pixels and augmentation.

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
    engine : str, default "ready"
        "ready" for the fastest engine that needs no conversion, "keras" for the reference.

    Returns
    -------
    (H, W) uint8 array, float
        Mask, and the fraction of uncertain pixels.
    """
    engine = _ready(model) if engine == "ready" else engine
    # The folder is part of the key, because it holds the rules by which the network is applied.
    key = model.digest, str(model.folder), engine, views, axis_deg, pixel_sha256(image)
    return _segment(*key, image)


def foreground(model: Model, image: np.ndarray) -> np.ndarray:
    """Probability of any object (H, W) float16 in an image, once per model and pixels.

    Parameters
    ----------
    model : Model
        Model to apply, without augmented views.
    image : (H, W) array
        Image in [0, 1].
    """
    return _foreground(model.digest, str(model.folder), _ready(model), pixel_sha256(image), image)


def fit_level(
    model: Model, image: np.ndarray, label: np.ndarray, views: int, path: Path
) -> dict[str, Any]:
    """Fit the boundary level of a model to a corrected mask, and write it to a file.

    Parameters
    ----------
    model : Model
        Model that made the mask.
    image : (H, W) array
        Image in [0, 1].
    label : (H, W) uint8 array
        Corrected mask.
    views : int
        Augmented views that are averaged.
    path : Path
        JSON file that `spinscope segment --level` reads.

    Returns
    -------
    dict
        Result of `spinscope.jobs.levels.fit_level`.
    """
    from spinscope.jobs.levels import fit_level, write_level

    predictor = _predictor(model.digest, str(model.folder), _ready(model))
    fitted = fit_level(predictor, [(image, label)], views)
    write_level(path, fitted, [model.digest])
    return fitted


def _ready(model: Model) -> str:
    """Fastest engine that needs no conversion."""
    from spinscope.inference.engine import has_export

    return "auto" if has_export(model.folder) else "keras"


@st.cache_data(max_entries=400, show_spinner=False)
def _segment(
    digest: str,
    folder: str,
    engine: str,
    views: int,
    axis_deg: float | None,
    pixels: str,
    _image: np.ndarray,
) -> tuple[np.ndarray, float]:
    region = sample_region(_image)  # bars and lettering are background
    predictor = _predictor(digest, folder, engine).with_geometry(axis_deg)
    mask, doubt = predictor.segment(region.sample(_image), views)
    return region.expanded(mask, BACKGROUND), doubt


@st.cache_data(max_entries=64, show_spinner=False)
def _foreground(
    digest: str, folder: str, engine: str, pixels: str, _image: np.ndarray
) -> np.ndarray:
    region = sample_region(_image)
    predictor = _predictor(digest, folder, engine)
    found = 1 - predictor.probabilities(region.sample(_image))[..., BACKGROUND]
    return region.expanded(found.astype(np.float16), 0)


_loaded: set[str] = set()


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _predictor(digest: str, folder: str, engine: str):
    import gc

    from spinscope.inference.predict import Predictor

    predictor = Predictor.load(folder, engine)
    _loaded.add(digest)
    # Streamlit collects garbage after every run; TensorFlow's objects are excluded from it.
    gc.collect()
    gc.freeze()
    return predictor


def infer_field(params: Params, model: Model) -> Field:
    """Function of spins that returns their effective field, loaded once per model.

    Raises
    ------
    SpinscopeError
        If the model is not one of effective fields.
    """
    return _infer_field(model.digest, str(model.folder), params.inference.engine, params)


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _infer_field(digest: str, folder: str, engine: str, _params: Params) -> Field:
    from spinscope.jobs.field import open_field

    return open_field(_params, folder)


def parameter_predictor(params: Params, model: Model) -> ParameterPredictor:
    """Function of an image that returns a magnetic parameter, loaded once per model.

    Raises
    ------
    SpinscopeError
        If the model is not one of magnetic parameters.
    """
    return _parameter_predictor(model.digest, str(model.folder), params.inference.engine, params)


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _parameter_predictor(digest: str, folder: str, engine: str, _params: Params):
    from spinscope.jobs.estimate import open_parameters

    return open_parameters(_params, folder)
