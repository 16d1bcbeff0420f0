"""Effective field of spins: denoise, repair, complete, generate, and respond to a field."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import display, layout, models
from spinscope.config import Params
from spinscope.drawing import colour_legend, film_colours
from spinscope.jobs import field as jobs
from spinscope.jobs.spin_input import SpinInput, read_spins
from spinscope.physics.lattice import Hamiltonian

TEXTURE, FILE = "Generated texture", "File"
ABOUT = {
    "infer": "Effective field and energy of spins.",
    "denoise": "Noise is removed. With an added noise the truth is known.",
    "repair": "Defective sites are replaced by what fits the sites around them.",
    "complete": "All three components from the z components, or from a magnetic image.",
    "generate": "A texture from random spins.",
    "respond": "Spins in an external field along +z, one value after the other.",
}


def claim(info: Mapping[str, Any]) -> str:
    """What a model's answers are restricted to, from the corpus that it was trained on."""
    corpus = info.get("corpus", {})
    if "dmi" not in corpus:
        return "The model names no Hamiltonian: its answers hold for its training lattices only."
    hamiltonian = Hamiltonian.of_header(corpus)
    terms = [f"exchange J and {hamiltonian.dmi_kind} DMI D = {hamiltonian.dmi:g} J"]
    terms += [f"anisotropy {hamiltonian.anisotropy:g} J"] if hamiltonian.anisotropy else []
    terms += [f"field {hamiltonian.field:g} J"] if hamiltonian.field else []
    return (
        f"The answers hold for classical spins with {', '.join(terms)}. A measured image is "
        "scaled to the domain period of this lattice: its in-plane components are those that the "
        "lattice would have, with the chirality of its DMI. They are no measurement."
    )


def choose_model(params: Params) -> models.Model:
    """Choose a model of the family."""
    known = {model.ref: model.text for model in models.listed_of(params, jobs.FAMILY)}
    if not known:
        layout.missing("There is no model of effective fields.", f"spinscope train {jobs.FAMILY}")
    with st.sidebar:
        ref = st.selectbox("Model", list(known), format_func=known.get, key="field model")
    return models.open_model(params, ref)


def choose_input(application: str, size: int, seed: int, infer_field: Any) -> SpinInput:
    """Choose the spins: a generated texture, or an uploaded file."""
    with st.sidebar:
        source = st.segmented_control("Spins", [TEXTURE, FILE], default=TEXTURE, width="stretch")
        if source == FILE:
            kinds = ["npy", "ovf", "omf", "png", "tif", "tiff"]
            file = st.file_uploader("Array (H, W, 3) or (H, W), OVF or image", kinds)
            if file is None:
                layout.stop("Upload a file on the left.")
            scale = {}
            if Path(file.name).suffix.lower() in (".png", ".tif", ".tiff"):
                scale["period_px"] = st.number_input(
                    "Period of the domains, px", min_value=2.0, value=None,
                    help="Distance between neighbouring domains of one colour",
                )  # fmt: skip
                if scale["period_px"] is None:
                    layout.stop("Give the period of the domains of the image on the left.")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / file.name
                path.write_bytes(file.getvalue())
                return read_spins(path, **scale)
    m = jobs.generate((size, size), infer_field, iterations=100, seed=seed).m
    return SpinInput(m[..., 2], None if application == "complete" else m)


def choose_options(application: str) -> dict[str, Any]:
    """Options of an application."""
    with st.sidebar:
        if application == "denoise":
            return {"alpha": st.slider("Added noise α", 0.0, 2.5, 1.5, 0.1) or None}
        if application == "repair":
            kind = st.segmented_control("Defect", ["Rows", "Square"], default="Rows")
            size = st.slider("Sites", 2, 32, 12)
            return {"rows" if kind == "Rows" else "square": size}
        if application == "respond":
            text = st.text_input("Fields, J", "0.03, 0.05, 0.07, 0.09")
            try:
                fields = [float(word) for word in text.split(",") if word.strip()]
            except ValueError:
                layout.stop(f"The fields {text!r} must be numbers, separated by commas.")
            return {"fields": fields, "iterations": st.slider("Iterations", 100, 2000, 300, 100)}
        if application in ("complete", "generate"):
            return {"iterations": st.slider("Iterations", 1, 200, 50)}
    return {}


def energy_chart(results: list[jobs.FieldResult]) -> alt.Chart:
    """Energy per site along the recursion."""
    rows = [
        {"iteration": k, "energy": value, "field": f"{result.external:g} J"}
        for result in results
        for k, value in enumerate(result.energy)
    ]
    y = alt.Y("energy:Q", title="energy per site, J", scale=alt.Scale(zero=False))
    chart = alt.Chart(pd.DataFrame(rows)).mark_line()
    chart = chart.encode(x=alt.X("iteration:Q", title="iteration"), y=y)
    if len(results) > 1:
        chart = chart.encode(color=alt.Color("field:N", title="external field"))
    return chart.properties(height=260)


def show(result: jobs.FieldResult) -> None:
    """Numbers and pictures of a result."""
    summary = result.summary
    energies = f"{summary['energy_before_j']:.4f} → {summary['energy_after_j']:.4f}"
    shown = {
        "Energy per site, J": energies,
        "Iterations": summary["iterations"],
        "Seconds": f"{summary['seconds']:.2f}",
        "Topological charge": (f"{summary['charge']:.0f}", "Of the whole periodic lattice"),
        "Mean m_z": f"{summary['m_z']:.3f}",
    }
    if "angle_after_deg" in summary:
        angles = f"{summary['angle_before_deg']:.1f} → {summary['angle_after_deg']:.1f}"
        shown["Angle to the truth, °"] = (angles, "Mean over the sites that were changed")
    layout.metrics(shown)
    before, after, arrows = (
        array if result.cut is None else array[result.cut]
        for array in (result.before, result.m, result.field)
    )
    pictures = {"before": film_colours(before), "after": film_colours(after)}
    if result.application == "infer":
        pictures = {"spins": film_colours(after)}
        length = np.linalg.norm(arrows, axis=-1)
        low, high = float(length.min()), float(length.max())
        grey = np.uint8(255 * (length - low) / max(high - low, 1e-9))
        pictures[f"|F|, {low:.2f} (black) to {high:.2f} J (white)"] = np.repeat(
            grey[..., None], 3, axis=-1
        )
    display.side_by_side(pictures)


with layout.page("Effective field", "What a network of the effective field does with spins.") as (
    params
):
    with st.sidebar:
        names = [name.capitalize() for name in jobs.APPLICATIONS]
        application = st.selectbox("Application", names, names.index("Complete")).lower()
    model = choose_model(params)
    infer_field = jobs.open_field(params, str(model.folder))
    st.caption(f"{ABOUT[application]} {claim(model.info)}")
    with st.sidebar:
        size = st.select_slider("Sites per side", [32, 64, 96, 128, 192, 256], 64)
        seed = st.number_input("Seed", 0, value=0)
    options = choose_options(application)
    if application == "generate":
        results = [jobs.generate((size, size), infer_field, seed=seed, **options)]
    else:
        given = choose_input(application, size, seed, infer_field)
        found = getattr(jobs, application)(given, infer_field, **options)
        results = found if isinstance(found, list) else [found]
    for result in results:
        if len(results) > 1:
            st.subheader(f"B = {result.external:g} J")
        show(result)
    left, right = st.columns([4, 1], gap="large")
    if any(len(result.energy) > 1 for result in results):
        left.altair_chart(energy_chart(results), width="stretch")
    right.image(colour_legend(120), caption="direction in the plane; white +z, black -z")
