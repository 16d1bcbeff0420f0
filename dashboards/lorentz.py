"""Lorentz models: the report of their study, and one film under chosen imaging conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from components import choose, display, images, layout, lorentz_study, models
from spinscope import families
from spinscope.config import Params, load_params, project_root
from spinscope.corpora.films import HEADER, open_films
from spinscope.studies.lorentz.findings import NAMES
from spinscope.studies.lorentz.scores import Point, image_scores, simulated_image, specimens

MODALITY = "Lorentz"
STUDY = "spinscope study ltem"
STUDY_KEYS = ("curves", "sizes", "rows", "models")
VERDICTS = {"reproduced": "✓", "not reproduced": "✗", "not comparable": "–"}
WHOLE_STUDY, ONE_FILM = "Study", "One film"


def show_study(study: dict[str, Any]) -> None:
    """Show curves, sizes and findings of the study."""
    names = [model["name"] for model in study["models"]]
    with st.sidebar:
        chosen = st.multiselect("Models", names, names, key="lorentz models")
        score = st.selectbox("Score", list(NAMES), format_func=NAMES.get, key="lorentz score")
    if not chosen:
        layout.stop("Choose a model on the left.")
    films = study["films"]
    st.caption(
        f"Mean over {films['n']} films ({films['chosen']}). Bands: one SD. Dashed: noisy image "
        "clipped to [0, 1], or model given the tilt axis. Diamonds: published, on other images."
    )
    layout.legend({**layout.colours(chosen), lorentz_study.PUBLISHED: "black"})
    columns = st.columns(2, gap="large")
    for number, curve in enumerate(lorentz_study.CURVES):
        chart = lorentz_study.curve_chart(study, chosen, curve, score)
        columns[number % 2].altair_chart(chart, width="stretch")
    st.subheader("Sizes")
    options = list(study["sizes"][chosen[0]])
    noise = st.segmented_control("Noise, %", options, default="0", key="lorentz size noise") or "0"
    left, right = st.columns([3, 2], gap="large")
    left.altair_chart(lorentz_study.size_chart(study, chosen, noise), width="stretch")
    with right:
        layout.legend(lorentz_study.size_colours(chosen))
        layout.table(lorentz_study.size_table(study, chosen, noise), precision=1)
    st.subheader("Findings")
    show_findings(study["rows"])


def show_findings(rows: list[dict[str, Any]]) -> None:
    """Show published and measured values with their verdicts."""
    number = lambda v: "–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v)  # noqa: E731
    columns = {"name": "finding", "published": "published", "measured": "measured", "sd": "SD"}
    columns |= {"n": "n", "why": "reason"}
    table = pd.DataFrame(rows, columns=list(columns)).rename(columns=columns)
    table = table.astype(object).where(table.notna(), None)
    for name in ("published", "measured", "SD"):
        table[name] = table[name].map(number)
    # A finding without a published value has no sign.
    table.insert(0, "", [VERDICTS.get(row["verdict"], "") for row in rows])
    layout.table(table, rows=14)
    st.caption("✓ reproduced, ✗ not reproduced, – not comparable, for the reason given.")


def choose_conditions(takes_axis: bool) -> Point:
    """Choose noise and imaging conditions of the simulated image."""
    columns = st.columns(4, gap="large")
    noise = columns[0].slider("Noise, % of the mean", 0, 100, 0, 5, key="lorentz noise")
    defocus = columns[1].slider("Defocus, mm", -8.0, 4.0, -2.0, 0.25, key="lorentz defocus")
    tilt = columns[2].slider("Tilt, °", -45.0, 45.0, 20.0, 2.5, key="lorentz tilt")
    axis = columns[3].slider("Tilt axis, °", 0, 180, 0, 5, key="lorentz axis")
    with st.sidebar:
        clipped = st.toggle("Clip the noisy image to [0, 1]", key="lorentz clipped")
        known = takes_axis and st.toggle("Give the model the tilt axis", key="lorentz known")
    return Point(noise / 100, defocus, tilt, float(axis), bool(known), clipped)


def choose_film(tested: set[str]) -> tuple[Any, int]:
    """Choose a corpus of films and a film of it; the test films of the study come first."""
    headers = sorted((project_root() / "build/corpus").glob(f"*/{HEADER}"))
    folders = {header.parent.name: header.parent for header in headers}
    if not folders:
        layout.missing("There are no films yet.", "spinscope corpus films")
    with st.sidebar:
        corpus = st.selectbox("Films", list(folders), key="lorentz films")
        films = open_films(folders[corpus])
        names = [row["name"] for row in films.rows]
        index = st.selectbox(
            "Film",
            sorted(range(len(names)), key=lambda i: names[i] not in tested),
            format_func=lambda i: names[i] + (" · test" if names[i] in tested else ""),
            key=f"lorentz film {corpus}",
        )
    return films, index


def show_film(params: Params, study: dict[str, Any] | None) -> None:
    """Show the simulated image of a film, its true mask, and that of a model."""
    films, index = choose_film(set(study["films"]["names"]) if study else set())
    model = choose.model(params, key="lorentz model", modality=MODALITY)
    point = choose_conditions("axis_deg" in model.info)
    specimen = specimens(films, [index], params.ltem)[0]
    image = simulated_image(specimen, point, params.ltem, params.seed)
    axis = point.axis_deg if point.axis_known else None
    mask, uncertain = models.segment(model, image, params.evaluation.tta, axis_deg=axis)
    scores = image_scores(specimen.label, mask, params.evaluation.min_object_px)
    material = specimen.film.material
    st.caption(
        f"{specimen.name}: Ms {material.ms / 1e3:.0f} kA/m, A {1e12 * material.a_ex:.1f} pJ/m, "
        f"D {1e3 * material.dmi:.2f} mJ/m², {material.b_ext:g} T, "
        f"{'grains' if specimen.film.grain is not None else 'uniform'}; pixels of "
        f"{1e9 * material.cell:g} nm. Model {model.ref}."
    )
    layout.metrics(
        {
            **{name[0].upper() + name[1:]: f"{scores[key]:.3f}" for key, name in NAMES.items()},
            "Skyrmions": f"{scores['objects_predicted']} of {scores['objects_true']}",
            "Uncertain pixels": f"{100 * uncertain:.1f} %",
        }
    )
    display.side_by_side(
        {
            "Simulated image": images.grey(image),
            "True mask": images.grey(specimen.label.astype(np.float32)),
            "Differences": images.differences(image, specimen.label, mask),
        }
    )
    layout.legend(images.difference_legend("in both", "only true", "only predicted"))


with layout.page("Lorentz", "Models for defocused Lorentz images: their study, and one film live."):
    study = layout.read_report(project_root() / "build/reports/ltem.json", STUDY_KEYS, STUDY)
    with st.sidebar:
        kind = st.segmented_control(
            "Display", [WHOLE_STUDY, ONE_FILM], default=WHOLE_STUDY, key="lorentz display"
        )
    if kind == ONE_FILM:
        family = next(f for f in map(families.get, families.names()) if f.modality == MODALITY)
        show_film(load_params(family=family.name), study)
    elif study := study or layout.shipped_results("ltem", f"{STUDY} --model REF"):
        show_study(study)
    else:
        layout.missing("There is no study of Lorentz models yet.", f"{STUDY} --model REF")
