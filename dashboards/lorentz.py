"""Lorentz models: the curves of their study, and one film imaged as one likes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from _pictures import difference_legend, differences, enlarged, frame
from _shared import (
    Model,
    choose_model,
    legend,
    missing,
    model_refs,
    page,
    segmented,
)
from _study import CURVES, PALETTE, PUBLISHED, SCORES, TRUE, curve_chart, size_chart, size_rows
from spinscope.config import Params, load_params, project_root
from spinscope.corpora.films import HEADER, open_films
from spinscope.errors import SpinscopeError
from spinscope.models.store import model_info
from spinscope.studies.lorentz.scores import Point, image_scores, picture, specimens

FAMILY = "ltem-unet"
VERDICTS = {"reproduced": "✓", "not reproduced": "✗", "not comparable": "–"}


def study_file() -> Path:
    """Where `spinscope study ltem` writes its numbers."""
    return project_root() / "build/reports/ltem.json"


@st.cache_data(max_entries=2, show_spinner=False)
def read_study(path: str, changed: int) -> dict:
    """The report of the study, read again only when it has changed."""
    try:
        found = json.loads(Path(path).read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"curves", "sizes", "rows", "models"} <= found.keys():
        raise SpinscopeError(f"{path} must be a report of `spinscope study ltem`")
    return found


def report() -> dict | None:
    """The report, or None where no study was made yet."""
    path = study_file()
    return read_study(str(path), path.stat().st_mtime_ns) if path.is_file() else None


def show_study(study: dict) -> None:
    """Curves, sizes and findings."""
    names = [model["name"] for model in study["models"]]
    with st.sidebar:
        chosen = st.multiselect("Models", names, names, key="lorentz models")
        score = st.selectbox("Score", list(SCORES), format_func=SCORES.get, key="lorentz score")
    if not chosen:
        st.info("Choose a model on the left.", icon=":material/info:")
        return
    films = study["films"]
    st.caption(
        f"Mean over {films['n']} films ({films['chosen']}); bands: one SD. Dashed: the noisy image "
        "clipped to [0, 1]; the tilt axis given to the model. Diamonds: the paper, on other images."
    )
    legend({**dict(zip(chosen, PALETTE, strict=False)), PUBLISHED: "black"})
    columns = st.columns(2, gap="large")
    for number, curve in enumerate(CURVES):
        columns[number % 2].altair_chart(curve_chart(study, chosen, curve, score), width="stretch")
    st.subheader("Sizes")
    noise = st.segmented_control(
        "Noise, %", list(study["sizes"][chosen[0]]), default="0", key="lorentz size noise"
    )
    noise = noise or "0"
    left, right = st.columns([3, 2], gap="large")
    left.altair_chart(size_chart(study, chosen, noise), width="stretch")
    with right:
        legend({TRUE: "#9aa3ad", **dict(zip(chosen, PALETTE, strict=False))})
        table = size_rows(study, chosen, noise)
        st.dataframe(table.style.format(precision=1, na_rep="–"), hide_index=True, width="stretch")
    st.subheader("Findings")
    show_findings(study["rows"])


def show_findings(rows: list[dict]) -> None:
    """Published beside measured."""
    number = lambda v: "–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v)  # noqa: E731
    table = pd.DataFrame(
        {
            "": [VERDICTS[row["verdict"]] for row in rows],
            "finding": [row["name"] for row in rows],
            "published": [number(row["published"]) for row in rows],
            "measured": [number(row["measured"]) for row in rows],
            "SD": [number(row["sd"]) for row in rows],
            "n": [row["n"] for row in rows],
            "why": [row["why"] for row in rows],
        }
    )
    st.dataframe(table, hide_index=True, width="stretch", height=35 * (min(len(rows), 14) + 1) + 3)
    st.caption("✓ reproduced, ✗ not reproduced, – not comparable, and why.")


def corpora() -> dict[str, Path]:
    """Name → folder of the corpora of films below build/corpus."""
    found = sorted((project_root() / "build/corpus").glob(f"*/{HEADER}"))
    return {header.parent.name: header.parent for header in found}


def choose_lorentz_model(params: Params) -> tuple[Model, bool]:
    """A model, at first one of the family, and whether it can be told a tilt axis."""
    if "lorentz model" not in st.session_state:
        ours = [ref for ref in model_refs(params) if "ltem" in ref]
        if ours:
            st.session_state["lorentz model"] = ours[0]
    model = choose_model(params, "Model", "lorentz model")
    if "skyrmion" not in model.classes:
        raise SpinscopeError(f"model {model.ref} tells {', '.join(model.classes)}, no skyrmion")
    return model, "axis_deg" in model_info(model.folder)


def choose_point(knows_axis: bool) -> Point:
    """Noise and imaging of the picture."""
    columns = st.columns(4, gap="large")
    noise = columns[0].slider("Noise, % of the mean", 0, 100, 0, 5, key="lorentz noise")
    defocus = columns[1].slider("Defocus, mm", -8.0, 4.0, -2.0, 0.25, key="lorentz defocus")
    tilt = columns[2].slider("Tilt, °", -45.0, 45.0, 20.0, 2.5, key="lorentz tilt")
    axis = columns[3].slider("Tilt axis, °", 0, 180, 0, 5, key="lorentz axis")
    with st.sidebar:
        clipped = st.toggle("Clip the noisy image to [0, 1]", key="lorentz clipped")
        known = knows_axis and st.toggle("Tell the model the axis", key="lorentz known")
    return Point(noise / 100, defocus, tilt, float(axis), bool(known), clipped)


def show_film(params: Params, study: dict | None) -> None:
    """A film imaged as chosen: picture, truth, and what a model finds."""
    folders = corpora()
    if not folders:
        missing("There are no films here yet.", "spinscope corpus films")
    with st.sidebar:
        name = st.selectbox("Films", list(folders), key="lorentz films")
    films = open_films(folders[name])
    rows = films.rows
    tested = set(study["films"]["names"]) if study else set()
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["name"] not in tested, i))
    with st.sidebar:
        index = st.selectbox(
            "Film",
            order,
            format_func=lambda i: (
                rows[i]["name"] + (" · test" if rows[i]["name"] in tested else "")
            ),
            key=f"lorentz film {name}",
        )
    model, knows_axis = choose_lorentz_model(load_params())
    point = choose_point(knows_axis)
    film = specimens(films, [index], params.ltem)[0]
    image = picture(film, point, params.ltem, params.seed)
    told = point.axis_deg if point.axis_known else None
    found, doubt = segmented(model, image, params.evaluation.tta, told)
    scores = image_scores(film.label, found, params.evaluation.min_object_px)
    material = film.film.material
    st.caption(
        f"{film.name}: Ms {material.ms / 1e3:.0f} kA/m, A {1e12 * material.a_ex:.1f} pJ/m, "
        f"D {1e3 * material.dmi:.2f} mJ/m², {material.b_ext:g} T, "
        f"{'grains' if film.film.grain is not None else 'uniform'}; pixels of "
        f"{1e9 * material.cell:g} nm. Model {model.ref}."
    )
    figures = {
        "F1": f"{scores['f1']:.3f}",
        "Jaccard": f"{scores['jaccard']:.3f}",
        "Subset accuracy": f"{scores['accuracy']:.3f}",
        "MCC": f"{scores['mcc']:.3f}",
        "Skyrmions": f"{scores['objects_predicted']} of {scores['objects_true']}",
        "Pixels in doubt": f"{100 * doubt:.1f} %",
    }
    for column, (what, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(what, value)
    columns = st.columns(3)
    for column, (caption, shown) in zip(
        columns,
        {
            "Simulated picture": frame(image),
            "Truth": frame(film.label.astype(np.float32)),
            "Model against truth": differences(image, film.label, found),
        }.items(),
        strict=True,
    ):
        column.image(enlarged(shown), caption=caption, width="stretch")
    legend(difference_legend())


with page(
    "Lorentz", "Models for defocused Lorentz micrographs: their study, and one film live."
) as settings:
    study = report()
    with st.sidebar:
        view = st.segmented_control(
            "View", ["Study", "One film"], default="Study", key="lorentz view"
        )
    if view == "One film":
        show_film(load_params(family=FAMILY), study)
    elif study is None:
        missing("There is no study of Lorentz models yet.", "spinscope study ltem --model REF")
    else:
        show_study(study)
