"""Choices in the sidebar: dataset, batches, model, test-time augmentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from components import layout, models
from components.models import Model
from spinscope import families
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Params, dataset_path, project_root
from spinscope.datasets import Dataset, open_dataset
from spinscope.datasets.modality import modality_of_folder
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
    index: int | None = 0,
    another: str = ANOTHER,
    further: Collection[str] = (),
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
    index : int or None, default 0
        Option that is chosen by default; None for no choice.
    another : str, default "another folder …"
        Text of the option after these, below which a path is typed.
    further : collection of str, optional
        Options after that.
    **typed
        Passed on to the text field.

    Returns
    -------
    str
        The option, or the path that was typed; empty where nothing was typed yet.
    """
    names = [*options, another, *further]
    texts = options if isinstance(options, Mapping) else {}
    if key in st.session_state and st.session_state[key] not in names:
        del st.session_state[key]
    with st.sidebar:
        name = st.selectbox(
            title,
            names,
            index if index is None else min(index, len(names) - 1),
            format_func=lambda option: texts.get(option, option),
            key=key,
        )
        if name == another:
            name = st.text_input(label, key=f"{key} path", **typed).strip()
    return name or ""


def datasets(params: Params) -> dict[str, Path]:
    """Name → folder of the images of the settings and of the simulated ones, if they exist.

    Corpora whose families make no masks are left out.
    """
    folders = [dataset_path(params)]
    corpora = sorted((project_root() / "build/corpus").glob("*/corpus.json"))
    folders += [p.parent for p in corpora if p.parent.resolve() != folders[0].resolve()]
    kinds = {True: "simulated", False: "experimental"}
    made = {family.modality for family in map(families.get, families.names()) if family.masks}
    return {
        f"{path.name} ({kinds[(path / 'corpus.json').is_file()]})": path
        for path in folders
        if path.is_dir() and modality_of_folder(path) in (None, *made)
    }


def path(params: Params, title: str, key: str, **options: Any) -> Path:
    """Choose a dataset of the project, or type a path; parameters as in `listed_or_typed`."""
    known = datasets(params)
    name = listed_or_typed(title, list(known), key=key, **options)
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
    params: Params,
    title: str = "Model",
    key: str = "model",
    *,
    modality: str | None = None,
    none: str | None = None,
    other_than: Model | None = None,
) -> Model | None:
    """Choose a registered or a bundled model, or type a model folder.

    By default the lab's version of the modality, else the bundled model of it; a version that
    nobody promoted is never chosen by itself. The choice is kept in the address of the page.

    Parameters
    ----------
    params : Params
        Settings.
    title, key : str
        Label and key of the list.
    modality : str, optional
        Modality of the frames. Models of it come first; frames of another modality start with the
        default again unless the model fits them.
    none : str, optional
        Text of the option that chooses no model, which then comes first.
    other_than : Model, optional
        Model to compare with: only models of its modality are listed, and the default is another
        network.

    Returns
    -------
    Model or None
        None where no model is chosen.

    Raises
    ------
    SpinscopeError
        If the model does not segment skyrmions.
    """
    if other_than is not None:
        modality = other_than.family.modality
    known = models.listed(params, modality)
    if other_than is not None:
        known = [model for model in known if model.modality == modality]
    by_ref = {model.ref: model for model in known}
    _recall(key, [*by_ref, NO_MODEL])
    chosen = by_ref.get(st.session_state.get(key))
    before = st.session_state.get(f"{key} modality", modality)
    st.session_state[f"{key} modality"] = modality
    if chosen is not None and modality != before and chosen.modality != modality:
        del st.session_state[key]
    texts = {
        model.ref: model.text if modality in (None, model.modality) else _foreign(model)
        for model in known
    }
    options = texts if none is None else {NO_MODEL: none} | texts
    index: int | None = 0
    if st.session_state.get(key) not in (*options, ANOTHER):
        st.session_state.pop(key, None)
        if none is None:
            preset = _preset(params, known, other_than)
            index = list(options).index(preset) if preset in options else None
    ref = listed_or_typed(title, options, key=key, label="Model folder", index=index)
    if ref == NO_MODEL:
        st.query_params.pop(_address(key), None)
        return None
    if not ref:
        if not known:
            layout.missing("There is no model yet.", "make demo")
        typed = st.session_state.get(key) == ANOTHER
        layout.stop(f"{'Type a model folder' if typed else f'Choose {title}'} on the left.")
    st.query_params[_address(key)] = ref
    opened = models.open_model(params, ref)
    if CLASSES[SKYRMION] not in opened.classes:
        classes = ", ".join(opened.classes) or "no classes"
        raise SpinscopeError(f"model {ref} predicts {classes}; a model of skyrmions is needed")
    return opened


def _address(key: str) -> str:
    """Name of a choice in the address of a page."""
    return key.replace(" ", "-")


def _recall(key: str, options: Collection[str]) -> None:
    """Take a choice from the address of the page, where this session has made none."""
    wanted = st.query_params.get(_address(key))
    if key not in st.session_state and wanted:
        st.session_state[key] = wanted if wanted in options else ANOTHER
        if wanted not in options:
            st.session_state[f"{key} path"] = wanted


def _preset(params: Params, known: list[models.Listed], other_than: Model | None) -> str | None:
    """Model that a page chooses by itself, None without one.

    To compare with another model, a version that nobody promoted will do.
    """
    if other_than is None:
        return next((model.ref for model in known if model.preset), None)
    for model in known:
        if models.open_model(params, model.ref).digest != other_than.digest:
            return model.ref
    return known[0].ref if known else None


def _foreign(model: models.Listed) -> str:
    """Text of a model of another modality."""
    return f"{model.text} · {model.modality}"


def foreign(model: Model | None, modality: str) -> str:
    """Sentence about a model whose modality is not that of the frames; empty if it is."""
    if model is None or model.family.modality == modality:
        return ""
    return (
        f"{model.ref} is a model of {model.family.modality} images, and these frames are "
        f"{modality} images: its masks mean nothing here."
    )


def warn_if_foreign(model: Model | None, modality: str) -> None:
    """Warn about a model whose modality is not that of the frames."""
    if sentence := foreign(model, modality):
        st.warning(f"{sentence} Choose another model on the left.", icon=":material/warning:")


def augmentation() -> int:
    """Choose the number of augmented views that are averaged."""
    with st.sidebar:
        return st.selectbox(
            "Test-time augmentation",
            list(AUGMENTATIONS),
            format_func=AUGMENTATIONS.get,
            key="views",
        )
