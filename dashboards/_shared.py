"""What the pages share: settings, choice of models and frames, predictions kept in memory."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from spinscope.config import Params, bundled_models, dataset_path, load_params, project_root
from spinscope.datasets import Dataset, open_dataset
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.tracking import Store

KEPT = (
    *("data", "data folder", "batches", "sources", "model", "model folder", "views", "frame"),
    *("recording", "recording path", "reviewer", "review model", "review model folder", "model b"),
)
"""Choices that stay as they are when another page is opened."""

COLOURS = {"label": "#7d8590", "a": "#2a6f97", "b": "#e07a1f"}
VIEWS = {1: "none", 3: "3 views (paper)", 8: "8 views (dihedral)"}
ANOTHER = "another folder …"
NO_MODEL = "none"


@dataclass(frozen=True)
class Model:
    """A model folder, the reference that was chosen, and the SHA-256 of its network."""

    ref: str
    folder: Path
    digest: str
    classes: tuple[str, ...]


def keep_choices() -> None:
    """Streamlit forgets the widgets of a page that is left, unless their values are touched."""
    for key in KEPT:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


@contextlib.contextmanager
def page(title: str, about: str) -> Iterator[Params]:
    """Heading and settings of a page; whatever is refused becomes one sentence on it."""
    st.title(title)
    st.caption(about)
    with refusals():
        yield load_params()


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Whatever is refused within becomes one sentence on the page."""
    try:
        yield
    except (SpinscopeError, OSError) as error:  # no right to read, a full disk
        st.error(str(error), icon=":material/error:")


def missing(what: str, command: str) -> None:
    """Say in one sentence what is not there yet and how to make it, and end the page."""
    st.info(f"{what} Run `{command}` in a terminal, then reload this page.", icon=":material/info:")
    st.stop()


def store(params: Params, experiment: str | None = None) -> Store | None:
    """The tracking store, or None where nothing was ever tracked; looking creates none."""
    from spinscope.tracking.store import store_uri

    uri = store_uri(params.tracking)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None
    return _open(uri, params.tracking.artifacts, experiment or params.tracking.experiment)


@st.cache_resource(show_spinner=False)
def _open(uri: str, artifacts: str, experiment: str) -> Store:
    from spinscope.config import Tracking
    from spinscope.tracking import open_store

    return open_store(Tracking(uri=uri, artifacts=artifacts, experiment=experiment))


def datasets(params: Params) -> dict[str, Path]:
    """Name → folder of the datasets that exist: the one of the settings, the simulated corpora."""
    chosen = dataset_path(params)
    found = {}
    if chosen.is_dir():
        found[_dataset_name(chosen)] = chosen
    for header in sorted((project_root() / "build/corpus").glob("*/corpus.json")):
        if header.parent.resolve() != chosen.resolve():
            found[_dataset_name(header.parent)] = header.parent
    return found


def _dataset_name(path: Path) -> str:
    kind = "simulated" if (path / "corpus.json").is_file() else "micrographs"
    return f"{path.name} ({kind})"


def choose_dataset(
    params: Params, title: str = "Dataset", key: str = "data", first: int = 0
) -> Dataset:
    """A dataset of the project, or of any folder that is typed in."""
    known = datasets(params)
    options = [*known, ANOTHER]
    with st.sidebar:
        name = st.selectbox(title, options, min(first, len(options) - 1), key=key)
        typed = ""
        if name == ANOTHER:
            typed = st.text_input(
                "Folder", key=f"{key} folder", placeholder="/data/kerr/2026-11-03"
            )
    if name != ANOTHER:
        return open_dataset(known[name])
    if not typed.strip():
        if not known:
            missing(
                "There is no dataset here yet; type a folder on the left, or simulate one.",
                "spinscope corpus kerr",
            )
        st.info("Type the folder of a dataset on the left.", icon=":material/info:")
        st.stop()
    return open_dataset(Path(typed.strip()).expanduser())


def choose_frames(params: Params, dataset: Dataset) -> Dataset:
    """Some of a dataset's batches and sources; at first its validation frames, if it has any."""
    batches = sorted({record.batch for record in dataset.records} - {None})
    with st.sidebar:
        if batches:
            default = [b for b in params.data.validation_batches if b in batches]
            _forget("batches", batches)
            chosen = st.multiselect(
                "Batches",
                batches,
                None if "batches" in st.session_state else default,
                format_func=lambda batch: f"{batch}{_use(params, dataset, batch)}",
                placeholder="all",
                key="batches",
            )
            dataset = dataset.select(batches=chosen or None)
        _forget("sources", dataset.sources)
        sources = st.multiselect("Sources", dataset.sources, placeholder="all", key="sources")
        return dataset.select(sources=sources or None)


def _forget(key: str, options) -> None:
    """Drop remembered choices that another dataset does not have."""
    if key in st.session_state:
        st.session_state[key] = [value for value in st.session_state[key] if value in options]


def _use(params: Params, dataset: Dataset, batch: int | None) -> str:
    """What the settings use a batch of their dataset for."""
    if dataset.path.resolve() != dataset_path(params).resolve():
        return ""
    for use in ("train", "validation", "test"):
        if batch in getattr(params.data, f"{use}_batches"):
            return f" · {use}"
    return ""


def seen_in_training(params: Params, dataset: Dataset, index: int) -> bool:
    """Whether the settings train on this frame."""
    return _use(params, dataset, dataset.records[index].batch) == " · train"


@st.cache_data(ttl=5, show_spinner=False)
def _registered(_store: Store, uri: str) -> dict[str, str]:
    from spinscope.tracking.registry import names
    from spinscope.tracking.registry import versions as table

    found: dict[str, str] = {}
    for name in names(_store):
        rows = table(_store, name).to_dict("records")
        for row in rows:
            for alias in filter(None, row["aliases"].split(", ")):
                found[f"models:/{name}@{alias}"] = f"{name} @{alias} (version {row['version']})"
        for row in rows:
            mcc = "" if row["mcc"] is None or np.isnan(row["mcc"]) else f" · MCC {row['mcc']:.3f}"
            found[f"models:/{name}/{row['version']}"] = f"{name} version {row['version']}{mcc}"
    return found


def model_refs(params: Params) -> dict[str, str]:
    """Reference → what to call it, of every model: aliases, versions, bundled models."""
    found: dict[str, str] = {}
    opened = store(params)
    if opened is not None:
        found |= _registered(opened, opened.uri)
    for sums in sorted(bundled_models().glob("*/SHA256SUMS")):
        found[f"bundled:{sums.parent.name}"] = f"{sums.parent.name} (bundled)"
    return found


def choose_model(
    params: Params, title: str = "Model", key: str = "model", *, none: str | None = None
) -> Model | None:
    """Any model of the registry or of the bundled ones, or any model folder.

    none : what to call it that no model is chosen, where that may be; it is preset then.
    """
    known = model_refs(params)
    options = [*([] if none is None else [NO_MODEL]), *known, ANOTHER]
    known = known | {NO_MODEL: none}
    with st.sidebar:
        if key in st.session_state and st.session_state[key] not in options:
            st.session_state[key] = options[0]
        ref = st.selectbox(title, options, format_func=lambda ref: known.get(ref, ref), key=key)
        if ref == ANOTHER:
            ref = st.text_input("Model folder", key=f"{key} folder").strip()
    if ref == NO_MODEL:
        return None
    if not ref:
        if len(options) == 1:
            missing("There is no model here yet.", "make demo")
        st.info("Type a model folder on the left.", icon=":material/info:")
        st.stop()
    return open_model(params, ref)


def open_model(params: Params, ref: str) -> Model:
    """The model that a reference names now; an alias may have moved since."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    folder = resolve(store(params) or params.tracking, ref)
    digest, classes = _identity(str(folder), (folder / NETWORK).stat().st_mtime_ns)
    return Model(ref, folder, digest, classes)


@st.cache_data(max_entries=64, show_spinner=False)
def _identity(folder: str, changed: int) -> tuple[str, tuple[str, ...]]:
    from spinscope.files import sha256
    from spinscope.models.store import NETWORK, model_info

    return sha256(Path(folder) / NETWORK), tuple(model_info(folder)["classes"])


def choose_views() -> int:
    """Views that test-time augmentation averages."""
    with st.sidebar:
        return st.selectbox(
            "Test-time augmentation", list(VIEWS), format_func=VIEWS.get, key="views"
        )


def predicted(model: Model, image: np.ndarray, views: int) -> np.ndarray:
    """Classes (H, W) that a model gives an image, kept by network, pixels and augmentation."""
    return _predicted(model.digest, pixel_sha256(image), views, str(model.folder), image)


@st.cache_data(max_entries=400, show_spinner="Segmenting …")
def _predicted(
    digest: str, pixels: str, views: int, _folder: str, _image: np.ndarray
) -> np.ndarray:
    return _predictor(digest, _folder).classes(_image, views)


def segmented(
    model: Model, image: np.ndarray, views: int, axis_deg: float | None = None
) -> tuple[np.ndarray, float]:
    """Classes (H, W) by the fastest engine, and the share of pixels that are in doubt.

    axis_deg : tilt axis of a Lorentz micrograph, where the model is told it.
    """
    return _segmented(model.digest, pixel_sha256(image), views, axis_deg, str(model.folder), image)


@st.cache_data(max_entries=400, show_spinner=False)
def _segmented(
    digest: str, pixels: str, views: int, axis_deg: float | None, _folder: str, _image: np.ndarray
) -> tuple[np.ndarray, float]:
    from spinscope.inference.predict import geometry

    predictor = _predictor(digest, _folder, "auto")
    laid = replace(predictor, geometry=geometry(predictor.info, axis_deg, None))
    return laid.segment(_image, views)


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _predictor(digest: str, _folder: str, engine: str = "keras"):
    import gc

    from spinscope.inference.predict import Predictor

    predictor = Predictor.load(_folder, engine)
    # Streamlit collects garbage after every run: without this it walks over TensorFlow each time.
    gc.collect()
    gc.freeze()
    return predictor


def legend(colours: Mapping[str, str]) -> None:
    """Swatches of CSS colours with their names, in one line."""
    swatches = (
        '<span style="display:inline-block;width:.8em;height:.8em;border-radius:.2em;'
        f'background:{colour};margin:0 .35em 0 0"></span>'
        f'<span style="margin-right:1.2em">{html.escape(name)}</span>'
        for name, colour in colours.items()
    )
    st.html(f'<div style="font-size:.875rem;opacity:.8">{"".join(swatches)}</div>')
