"""Choices in the sidebar: dataset, batches, model, test-time augmentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from components import layout, models
from components.models import Model
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Params, dataset_path, project_root
from spinscope.datasets import Dataset, open_dataset
from spinscope.errors import SpinscopeError

AUGMENTATIONS = {1: "none", 3: "3 views (paper)", 8: "8 views (dihedral)"}
ANOTHER = "another folder …"
NO_MODEL = "none"


def listed_or_typed(
    title: str,
    options: Mapping[str, str] | Collection[str],
    *,
    key: str,
    label: str = "Path",
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
        Key of the list; that of the text field is `key` and "path".
    label : str, default "Path"
        Label of the text field.
    index : int, default 0
        Option that is chosen by default.
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
            name = st.text_input(label, key=f"{key} path", **typed).strip()
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


def path(params: Params, title: str, key: str, *, index: int = 0, **typed: Any) -> Path:
    """Choose a dataset of the project, or type a path; parameters as in `listed_or_typed`."""
    known = datasets(params)
    name = listed_or_typed(title, list(known), key=key, index=index, **typed)
    if not name:
        if not known:
            what = "There is no dataset yet: type a path on the left, or simulate one."
            layout.missing(what, "spinscope corpus kerr")
        layout.stop("Type the path of the frames on the left.")
    return known.get(name, Path(name).expanduser())


def dataset(params: Params, title: str = "Dataset", key: str = "data", index: int = 0) -> Dataset:
    """Choose a dataset of the project, or type the folder of any other."""
    return open_dataset(path(params, title, key, index=index, placeholder="/data/kerr/2026-11-03"))


def batches(params: Params, dataset: Dataset) -> Dataset:
    """Choose batches and sources of a dataset; by default its validation batches."""
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


def warn_if_trained(params: Params, dataset: Dataset, indices: Collection[int]) -> None:
    """Warn that scores are too high on frames that the settings train on."""
    if any(_split_of(params, dataset, dataset.records[i].batch) == "train" for i in indices):
        frames = "this frame" if len(indices) == 1 else "some of these frames"
        st.warning(
            f"The settings train on {frames}: scores of a model trained with them are too high.",
            icon=":material/school:",
        )


def model(
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

    Raises
    ------
    SpinscopeError
        If the model does not segment skyrmions.
    """
    known = ({} if none is None else {NO_MODEL: none}) | models.refs(params)
    ref = listed_or_typed(title, known, key=key, label="Model folder")
    if ref == NO_MODEL:
        return None
    if not ref:
        if not known:
            layout.missing("There is no model yet.", "make demo")
        layout.stop("Type a model folder on the left.")
    chosen = models.open_model(params, ref)
    if CLASSES[SKYRMION] not in chosen.classes:
        classes = ", ".join(chosen.classes) or "no classes"
        raise SpinscopeError(f"model {ref} predicts {classes}; a model of skyrmions is needed")
    return chosen


def augmentation() -> int:
    """Choose the number of augmented views that are averaged."""
    with st.sidebar:
        return st.selectbox(
            "Test-time augmentation",
            list(AUGMENTATIONS),
            format_func=AUGMENTATIONS.get,
            key="views",
        )
