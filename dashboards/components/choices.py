"""Choices in the sidebar: dataset, frames, model, test-time augmentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from components.layout import missing, stop
from spinscope.config import Params, Tracking, bundled_models, dataset_path, project_root
from spinscope.datasets import Dataset, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.tracking import Store

AUGMENTATIONS = {1: "none", 3: "3 views (paper)", 8: "8 views (dihedral)"}
ANOTHER = "another folder …"
NO_MODEL = "none"


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
        """Names of the classes that it predicts."""
        return tuple(self.info["classes"])


def open_tracking(params: Params, experiment: str | None = None) -> Store | None:
    """Open the tracking store; None where nothing was tracked yet, and none is created."""
    from spinscope.tracking.store import store_uri

    uri = store_uri(params.tracking)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None
    return _open_tracking(uri, params.tracking.artifacts, experiment or params.tracking.experiment)


@st.cache_resource(show_spinner=False)
def _open_tracking(uri: str, artifacts: str, experiment: str) -> Store:
    from spinscope.tracking import open_store

    return open_store(Tracking(uri=uri, artifacts=artifacts, experiment=experiment))


def choose_or_type(
    title: str,
    options: Mapping[str, str] | Collection[str],
    *,
    key: str,
    label: str = "Folder",
    typed_key: str = "folder",
    index: int = 0,
    **typed: Any,
) -> str:
    """Choose one of the options in the sidebar, or type a path below them.

    Parameters
    ----------
    title : str
        Label of the list.
    options : mapping of str to str, or collection of str
        Option → text that is shown for it.
    key : str
        Key of the list; that of the text field is `key` and `typed_key`.
    label : str, default "Folder"
        Label of the text field.
    index : int, default 0
        Option that is chosen at first.
    **typed
        Passed on to the text field.

    Returns
    -------
    str
        The option, or the path that was typed; empty where nothing was typed yet.
    """
    names = [*options, ANOTHER]
    texts = options if isinstance(options, Mapping) else {}
    if st.session_state.get(key, names[0]) not in names:
        st.session_state[key] = names[0]
    with st.sidebar:
        name = st.selectbox(
            title,
            names,
            min(index, len(names) - 1),
            format_func=lambda option: texts.get(option, option),
            key=key,
        )
        if name == ANOTHER:
            name = st.text_input(label, key=f"{key} {typed_key}", **typed).strip()
    return name


def datasets(params: Params) -> dict[str, Path]:
    """Name → folder of the dataset of the settings and of the simulated ones, if they exist."""
    folders = [dataset_path(params)]
    corpora = sorted((project_root() / "build/corpus").glob("*/corpus.json"))
    folders += [p.parent for p in corpora if p.parent.resolve() != folders[0].resolve()]
    kinds = {True: "simulated", False: "experimental"}
    return {
        f"{path.name} ({kinds[(path / 'corpus.json').is_file()]})": path
        for path in folders
        if path.is_dir()
    }


def choose_dataset(
    params: Params, title: str = "Dataset", key: str = "data", index: int = 0
) -> Dataset:
    """Choose a dataset of the project, or type the folder of any other."""
    known = datasets(params)
    name = choose_or_type(
        title, list(known), key=key, index=index, placeholder="/data/kerr/2026-11-03"
    )
    if not name:
        if not known:
            missing(
                "There is no dataset yet: type a folder on the left, or simulate one.",
                "spinscope corpus kerr",
            )
        stop("Type the folder of a dataset on the left.")
    return open_dataset(known.get(name, Path(name).expanduser()))


def choose_batches(params: Params, dataset: Dataset) -> Dataset:
    """Choose batches and sources of a dataset; its validation batches are chosen at first."""
    batches = sorted({record.batch for record in dataset.records} - {None})
    with st.sidebar:
        if batches:
            default = [b for b in params.data.validation_batches if b in batches]
            _drop_absent("batches", batches)
            chosen = st.multiselect(
                "Batches",
                batches,
                None if "batches" in st.session_state else default,
                format_func=lambda batch: " · ".join(
                    filter(None, (str(batch), _split_of(params, dataset, batch)))
                ),
                placeholder="all",
                key="batches",
            )
            dataset = dataset.select(batches=chosen or None)
        _drop_absent("sources", dataset.sources)
        sources = st.multiselect("Sources", dataset.sources, placeholder="all", key="sources")
        return dataset.select(sources=sources or None)


def _drop_absent(key: str, options: Collection) -> None:
    """Drop remembered choices that this dataset does not have."""
    if key in st.session_state:
        st.session_state[key] = [value for value in st.session_state[key] if value in options]


def _split_of(params: Params, dataset: Dataset, batch: int | None) -> str:
    """Split that the settings put a batch of their dataset into."""
    if dataset.path.resolve() != dataset_path(params).resolve():
        return ""
    splits = ("train", "validation", "test")
    return next((s for s in splits if batch in getattr(params.data, f"{s}_batches")), "")


def in_training(params: Params, dataset: Dataset, index: int) -> bool:
    """Whether the settings train on this frame."""
    return _split_of(params, dataset, dataset.records[index].batch) == "train"


@st.cache_data(ttl=5, show_spinner=False)
def _registered(_store: Store, uri: str) -> dict[str, str]:
    """Reference → text of the registered models: their aliases, then their versions."""
    from spinscope.tracking.registry import names, versions

    texts: dict[str, str] = {}
    for name in names(_store):
        rows = versions(_store, name).to_dict("records")
        for row in rows:
            for alias in filter(None, row["aliases"].split(", ")):
                texts[f"models:/{name}@{alias}"] = f"{name} @{alias} (version {row['version']})"
        for row in rows:
            mcc = "" if row["mcc"] is None or np.isnan(row["mcc"]) else f" · MCC {row['mcc']:.3f}"
            texts[f"models:/{name}/{row['version']}"] = f"{name} version {row['version']}{mcc}"
    return texts


def model_refs(params: Params) -> dict[str, str]:
    """Reference → text of every model: registered aliases and versions, then bundled models."""
    store = open_tracking(params)
    texts = {} if store is None else _registered(store, store.uri)
    for sums in sorted(bundled_models().glob("*/SHA256SUMS")):
        texts[f"bundled:{sums.parent.name}"] = f"{sums.parent.name} (bundled)"
    return texts


def choose_model(
    params: Params, title: str = "Model", key: str = "model", *, none: str | None = None
) -> Model | None:
    """Choose a registered or a bundled model, or type a model folder.

    Parameters
    ----------
    params : Params
        Settings.
    title, key : str
        Label and key of the list.
    none : str, optional
        Text of the option that chooses no model, which then comes first.

    Returns
    -------
    Model or None
        None where no model is chosen.
    """
    known = ({} if none is None else {NO_MODEL: none}) | model_refs(params)
    ref = choose_or_type(title, known, key=key, label="Model folder")
    if ref == NO_MODEL:
        return None
    if not ref:
        if not known:
            missing("There is no model yet.", "make demo")
        stop("Type a model folder on the left.")
    return open_model(params, ref)


def choose_skyrmion_model(params: Params, title: str = "Model", key: str = "model") -> Model:
    """Choose a model that segments skyrmions."""
    model = choose_model(params, title, key)
    if "skyrmion" not in model.classes:
        raise SpinscopeError(f"model {model.ref} predicts {', '.join(model.classes)}, no skyrmion")
    return model


def open_model(params: Params, ref: str) -> Model:
    """Open the model that a reference names now; an alias may have moved since."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    folder = resolve(open_tracking(params) or params.tracking, ref)
    return Model(ref, folder, *_identity(str(folder), (folder / NETWORK).stat().st_mtime_ns))


@st.cache_data(max_entries=64, show_spinner=False)
def _identity(folder: str, changed: int) -> tuple[str, dict[str, Any]]:
    """SHA-256 of the network of a model folder, and its model.json."""
    from spinscope.files import sha256
    from spinscope.models.store import NETWORK, model_info

    return sha256(Path(folder) / NETWORK), model_info(folder)


def choose_augmentation() -> int:
    """Choose the number of augmented views that are averaged."""
    with st.sidebar:
        return st.selectbox(
            "Test-time augmentation",
            list(AUGMENTATIONS),
            format_func=AUGMENTATIONS.get,
            key="views",
        )
