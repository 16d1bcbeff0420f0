"""What a network of the effective field does with spins, one panel per application."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, choose, display, layout, models, recordings, spins
from spinscope.config import Params
from spinscope.drawing import colour_legend, film_colours
from spinscope.jobs import field as jobs
from spinscope.jobs.field import FieldResult
from spinscope.jobs.spin_input import SpinInput, read_mask
from spinscope.physics.lattice import Hamiltonian, effective_field, energy, random_spins
from spinscope.physics.recursion import recursion
from spinscope.physics.topology import topological_charge

ABOUT = {
    "infer": "Effective field and energy of spins.",
    "denoise": "Removes noise. With an added noise of strength α, the truth is known.",
    "repair": "Replaces defective sites by what fits the sites around them, which are kept.",
    "complete": "Infers all three components from the z components, or from a magnetic image.",
    "generate": "Makes a texture from random spins.",
    "respond": "Follows spins through external fields along +z, one value after the other.",
}
MODEL, TRUE, CARLO = "model", "true field", "Monte Carlo"
COLOURS = {MODEL: layout.PALETTE[0], TRUE: layout.PALETTE[1], CARLO: layout.GREY}
SWEEPS = (10, 100, 1000)  # of the annealings that a generation is compared with
CURVE = 300  # largest number of points


def hamiltonian_of(info: Mapping[str, Any]) -> Hamiltonian | None:
    """Interactions of the lattices that a model was trained on; None if it does not name them."""
    corpus = info.get("corpus", {})
    return Hamiltonian.of_header(corpus) if "dmi" in corpus else None


def claim(hamiltonian: Hamiltonian | None) -> str:
    """Return what a model's answers are restricted to."""
    if hamiltonian is None:
        return "The model names no Hamiltonian: its answers hold for its training lattices only."
    terms = [f"{hamiltonian.dmi_kind} DMI D = {hamiltonian.dmi:g} J"]
    terms += [f"anisotropy {hamiltonian.anisotropy:g} J"] if hamiltonian.anisotropy else []
    terms += [f"field {hamiltonian.field:g} J"] if hamiltonian.field else []
    terms += ["no anisotropy"] if not hamiltonian.anisotropy else []
    return (
        "The answers hold for classical spins on a periodic square lattice with exchange J, "
        f"{', '.join(terms)} and no dipolar interaction. An image is scaled to the period of this "
        "lattice. Its in-plane components are those that the lattice would have, with the "
        "chirality of its DMI; they are not measured."
    )


def choose_model(params: Params) -> models.Model:
    """Choose a model of the family, or type its folder."""
    known = models.listed_of(params, jobs.FAMILY)
    index = next((k for k, model in enumerate(known) if model.preset), None)
    texts = {model.ref: model.text for model in known}
    ref = choose.listed_or_typed(
        "Model", texts, key="field model", label="Model folder", index=index
    )
    if not ref and not known:
        layout.missing("There is no model of effective fields.", f"spinscope train {jobs.FAMILY}")
    if not ref:
        layout.stop("Choose a model on the left.")
    return models.open_model(params, ref)


def choose_options(application: str, image: bool) -> dict[str, Any]:
    """Options of an application; the domains of an image are kept by few iterations."""
    left, middle, right = st.columns(3, gap="large", vertical_alignment="bottom")
    if application == "infer":
        return {}
    if application == "respond":
        with st.form("respond", border=False):
            columns = st.columns([3, 2, 2, 1], gap="large", vertical_alignment="bottom")
            text = columns[0].text_input("Fields, J", "0.03, 0.05, 0.07, 0.09", key="fields")
            options = {
                "iterations": columns[1].slider(
                    "Iterations per field", 100, 2000, 1000, 100, key="respond iterations"
                ),
                "temperature": columns[2].slider(
                    "Temperature, J", 0.0, 1.0, 0.5, 0.1, key="temperature"
                ),
            }
            if not columns[3].form_submit_button("Run") and "responded" not in st.session_state:
                layout.stop("Choose Run to follow the spins through the fields.")
        st.session_state["responded"] = True
        return options | {"fields": numbers(text)}
    most, default = {"denoise": (50, 10), "repair": (100, 30), "complete": (200, 30)}.get(
        application, (200, 50)
    )
    default = 8 if image else default
    options = {
        "iterations": left.slider(
            "Iterations", 1, most, default, key=f"{application} iterations{' of an image' * image}"
        )
    }
    if application == "denoise":
        alpha = middle.slider("Added noise α", 0.0, 2.5, 1.5, 0.1, key="alpha")
        options["alpha"] = alpha or None
    if application == "repair":
        kind = middle.segmented_control(
            "Defect", ["rows", "square", "mask"], default="rows", key="defect"
        )
        if kind == "mask":
            options["mask"] = read_mask(recordings.upload("Mask of defective sites", ["npy"]))
        else:
            options[kind or "rows"] = right.slider("Sites", 1, 31, 12, key="defect sites")
    return options


def numbers(text: str) -> list[float]:
    """Numbers of a text, separated by commas."""
    try:
        return [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise layout.SpinscopeError(
            f"fields (={text!r}) must be numbers, separated by commas"
        ) from None


def applied(
    model: models.Model, params: Params, application: str, given: Any, options: dict[str, Any]
) -> list[FieldResult]:
    """Results of an application, computed once per model, spins and options."""
    mask = options.pop("mask", None)
    spins_of = (given.m_z, given.m, mask) if isinstance(given, SpinInput) else ()
    shape = None if isinstance(given, SpinInput) else given
    key = model.digest, str(model.folder), application, spins.digest(*spins_of), shape
    infer_field = jobs.with_chirality(
        models.infer_field(params, model), given if isinstance(given, SpinInput) else None
    )
    hidden = given, infer_field, {} if mask is None else {"mask": mask}
    return _applied(*key, options, *hidden)


@st.cache_data(max_entries=32, show_spinner="Computing …")
def _applied(
    digest: str,
    folder: str,
    application: str,
    spins_digest: str,
    shape: tuple[int, int] | None,
    options: dict[str, Any],
    _given: Any,
    _infer_field: Any,
    _mask: dict[str, np.ndarray],
) -> list[FieldResult]:
    function = partial(getattr(jobs, application), _given, _infer_field, **options, **_mask)
    if application != "respond":
        return [function()]
    text = f"{len(options['fields'])} fields of {options['iterations']} iterations"
    step, end = spins.counted(len(options["fields"]) * int(1.1 * options["iterations"]), text)
    try:
        return function(on_step=step)
    finally:
        end()


def show_numbers(result: FieldResult) -> None:
    """Show the numbers of a result."""
    summary = result.summary
    value = f"{summary['energy_after_j']:.4f}"
    if summary["iterations"]:
        value = f"{summary['energy_before_j']:.3f} → {summary['energy_after_j']:.3f}"
    shown: dict[str, Any] = {
        "Energy per site, J": value,
        "Iterations": summary["iterations"],
        "Seconds": f"{summary['seconds']:.2f}",
        "Topological charge": (f"{summary['charge']:.0f}", "Of the whole periodic lattice"),
        "Mean m_z": f"{summary['m_z']:.3f}",
    }
    if "angle_after_deg" in summary:
        angles = f"{summary['angle_before_deg']:.1f} → {summary['angle_after_deg']:.1f}"
        shown["Angle to the truth, °"] = angles, "Mean, over the defective sites of a repair"
        charge = f"{summary['charge']:.0f} / {summary['charge_true']:.0f}"
        shown["Topological charge"] = charge, "Result / truth, of the whole lattice"
    layout.metrics(shown, widths=[7, 3, 3, 5, 4, 5][: len(shown)])


def show_pictures(result: FieldResult, given: SpinInput | None) -> None:
    """Show spins before and after, and the truth or the field."""
    before, after, arrows = map(result.shown, (result.before, result.m, result.field))
    if result.application == "infer":
        length = np.linalg.norm(arrows, axis=-1)
        low, high = float(length.min()), float(length.max())
        grey = np.uint8(255 * (length - low) / max(high - low, 1e-9))
        pictures = {
            "Spins": film_colours(after),
            "Direction of the field": film_colours(arrows / np.maximum(length, 1e-9)[..., None]),
            f"Length of the field: {low:.2f} (black) to {high:.2f} J (white)": np.repeat(
                grey[..., None], 3, axis=-1
            ),
        }
    else:
        pictures = {"Before": film_colours(before), "After": film_colours(after)}
        if "angle_after_deg" in result.facts:
            pictures["Truth"] = film_colours(given.m)
    display.side_by_side(pictures)


def thinned(result: FieldResult, name: str) -> pd.DataFrame:
    """Energy along a recursion, at most `CURVE` points."""
    steps = np.unique(np.linspace(0, len(result.energy) - 1, CURVE).astype(int))
    return pd.DataFrame({"name": name, "x": steps, "y": np.array(result.energy)[steps]})


def energy_axis() -> alt.Y:
    """Vertical axis of energies."""
    return alt.Y("y:Q", title="energy per site, J", scale=alt.Scale(zero=False))


def show_energy(results: Sequence[FieldResult], truth: float | None) -> None:
    """Show the energy along the recursion, beside that of the truth."""
    st.subheader("Energy along the recursion")
    names = [f"B = {result.external:g} J" for result in results]
    names = names if len(results) > 1 else [MODEL]
    colours = layout.colours(names)
    table = pd.concat([thinned(r, name) for r, name in zip(results, names, strict=True)])
    x = alt.X("x:Q", title="iteration")
    chart = charts.curves(table, colours, x, energy_axis(), points=len(table) < 60)
    if truth is not None:
        rule = alt.Chart(pd.DataFrame({"y": [truth]})).mark_rule(strokeDash=[4, 4])
        chart = chart + rule.encode(alt.Y("y:Q"))
        colours = {"energy by the model": colours[MODEL], "truth (dashed)": "black"}
    if truth is not None or len(results) > 1:
        layout.legend(colours)
    st.altair_chart(chart, width="stretch")


@st.cache_data(max_entries=8, show_spinner="Comparing with Monte Carlo …")
def generations(
    digest: str,
    shape: tuple[int, int],
    hamiltonian: Hamiltonian,
    iterations: int,
    seed: int,
    _infer_field: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Energy and seconds of generations from the same random spins.

    Returns
    -------
    DataFrame, DataFrame
        Rows (name, iteration, seconds, y) of the recursions with the model and with the true
        field; rows (sweeps, x, y) of Monte Carlo annealings, x in seconds, if it is installed.
    """
    start = random_spins(shape, np.random.default_rng(seed))
    fields = {MODEL: _infer_field, TRUE: partial(effective_field, hamiltonian=hamiltonian)}
    rows: list[dict[str, Any]] = []
    for name, field in fields.items():
        field(start)  # not in the seconds: a network is compiled for this shape
        kept: list[tuple[float, np.ndarray]] = []
        begun = time.perf_counter()
        recursion(
            start, field, iterations=iterations,
            on_step=lambda _, m, __, kept=kept: kept.append((time.perf_counter(), m)),
        )  # fmt: skip
        rows += [
            {"name": name, "iteration": k, "seconds": at - begun, "y": energy(m, hamiltonian)}
            for k, (at, m) in enumerate(kept)
        ]
    return pd.DataFrame(rows), annealings(shape, hamiltonian, seed)


def annealings(shape: tuple[int, int], hamiltonian: Hamiltonian, seed: int) -> pd.DataFrame:
    """Rows (sweeps, x, y) of Monte Carlo annealings: seconds and energy per site in J."""
    rows: list[tuple[int, float, float]] = []
    if spins.can_anneal():
        from spinscope.physics.annealing import Schedule, anneal

        anneal(shape, hamiltonian, Schedule(sweeps=2), seed=seed)  # compiles
        for sweeps in SWEEPS:
            begun = time.perf_counter()
            schedule = Schedule(sweeps=sweeps, alignments=max(20, sweeps // 5))
            m = anneal(shape, hamiltonian, schedule, seed=seed)
            rows.append((sweeps, time.perf_counter() - begun, energy(m, hamiltonian)))
    return pd.DataFrame(rows, columns=["sweeps", "x", "y"])


def show_generations(curves: pd.DataFrame, annealed: pd.DataFrame) -> None:
    """Show the energy of a generation against iterations and against seconds."""
    st.subheader("Energy of the generation")
    colours = {MODEL: COLOURS[MODEL], TRUE: COLOURS[TRUE]}
    extra = {CARLO: COLOURS[CARLO]} if len(annealed) else {}
    layout.legend({f"{name}, greedy recursion": colour for name, colour in colours.items()} | extra)
    left, right = st.columns(2, gap="large")
    x = alt.X("x:Q", title="iteration")
    by_iteration = curves.rename(columns={"iteration": "x"})
    chart = charts.curves(by_iteration, colours, x, energy_axis(), points=False)
    if len(annealed):
        lowest = alt.Chart(annealed.nsmallest(1, "y")).mark_rule(
            strokeDash=[4, 4], color=COLOURS[CARLO]
        )
        chart = chart + lowest.encode(alt.Y("y:Q"))
    left.altair_chart(chart, width="stretch")
    x = alt.X("x:Q", title="seconds", scale=alt.Scale(type="log"))
    by_seconds = curves[curves["iteration"] > 0].rename(columns={"seconds": "x"})
    chart = charts.curves(by_seconds, colours, x, energy_axis(), points=False)
    if len(annealed):
        chart = chart + charts.diamonds(annealed.assign(name=CARLO), extra)
    right.altair_chart(chart, width="stretch")
    if len(annealed):
        lowest, last = annealed["y"].min(), curves[curves["name"] == MODEL]["y"].iloc[-1]
        st.caption(
            f"By the true Hamiltonian, the texture of the model is {100 * (1 - last / lowest):.2f} "
            f"% above the lowest energy of Monte Carlo annealings of {SWEEPS[0]} to {SWEEPS[-1]} "
            "sweeps (diamonds), on this machine and from random spins."
        )


@st.cache_data(max_entries=8, show_spinner="Following by Monte Carlo …")
def responses(
    key: str, hamiltonian: Hamiltonian, fields: list[float], _m: np.ndarray
) -> list[np.ndarray]:
    """Spins annealed in each external field, one after the other."""
    from spinscope.physics.annealing import anneal_in_fields

    return anneal_in_fields(_m, hamiltonian, fields, temperature=0.5, sweeps=SWEEPS[-1], seed=0)


def show_response(results: list[FieldResult], hamiltonian: Hamiltonian | None) -> None:
    """Show spins, magnetisation and topological charge in each external field."""
    fields = [result.external for result in results]
    start = results[0].before
    by_name = {MODEL: [result.m for result in results]}
    even = not (start.shape[0] % 2 or start.shape[1] % 2)
    if hamiltonian is not None and spins.can_anneal() and even:
        by_name[CARLO] = responses(spins.digest(start), hamiltonian, fields, start)
    for name, found in by_name.items():
        st.subheader(name[0].upper() + name[1:])
        pictures = {"Before": film_colours(start)}
        pictures |= {
            f"B = {value:g} J": film_colours(m) for value, m in zip(fields, found, strict=True)
        }
        display.side_by_side(pictures)
    rows = [
        {"name": name, "x": value, "m_z": float(m[..., 2].mean()), "charge": topological_charge(m)}
        for name, found in by_name.items()
        for value, m in zip([0.0, *fields], [start, *found], strict=True)
    ]
    colours = {name: COLOURS[name] for name in by_name}
    layout.legend(colours)
    x = alt.X("x:Q", title="external field B, J")
    titles = {"m_z": "mean m_z", "charge": "topological charge"}
    for column, (key, title) in zip(st.columns(2, gap="large"), titles.items(), strict=True):
        table = pd.DataFrame(rows).rename(columns={key: "y"})
        column.altair_chart(
            charts.curves(table, colours, x, alt.Y("y:Q", title=title)), width="stretch"
        )


def show_downloads(results: list[FieldResult]) -> None:
    """Offer the last spins and their field as arrays."""
    result = results[-1]
    arrays = {"spins.npy": result.m, "field.npy": result.field}
    for column, (name, array) in zip(st.columns([1, 1, 6]), arrays.items(), strict=False):
        content = io.BytesIO()
        np.save(content, result.shown(array))
        column.download_button(name, content.getvalue(), name, icon=":material/download:")


with layout.page("Effective field", "Spins and their effective field, by one network.") as params:
    names = list(jobs.APPLICATIONS)
    application = st.segmented_control(
        "Application", names, default="complete", format_func=str.capitalize, key="application"
    )
    application = application or "complete"
    model = choose_model(params)
    hamiltonian = hamiltonian_of(model.info)
    infer_field = models.infer_field(params, model)
    key, about = st.columns([1, 11], vertical_alignment="center")
    key.image(colour_legend(120))
    about.caption(
        f"{ABOUT[application]} Hue: direction in the plane; white +z, black -z; grey: the in-plane "
        f"direction is not known. {claim(hamiltonian)}"
    )
    given = None
    if application != "generate":
        given = spins.choose_spins(params, infer_field, hamiltonian)
    options = choose_options(application, given is not None and given.cut is not None)
    if application == "generate":
        shape, seed = spins.choose_shape()
        results = applied(model, params, application, shape, {**options, "seed": seed})
    else:
        results = applied(model, params, application, given, options)
    if hamiltonian is not None and results[0].facts.get("chirality") == "opposite":
        hamiltonian = replace(hamiltonian, dmi=-hamiltonian.dmi)
        st.caption("The spins have the opposite chirality: the sign of the DMI is changed.")
    if application == "respond":
        show_response(results, hamiltonian)
    else:
        show_numbers(results[0])
        show_pictures(results[0], given)
    show_downloads(results)
    if application == "generate" and hamiltonian is not None:
        iterations = options["iterations"]
        both = generations(model.digest, shape, hamiltonian, iterations, seed, infer_field)
        show_generations(*both)
    elif len(results[0].energy) > 1:
        truth = None
        if "angle_after_deg" in results[0].facts:
            truth = jobs.infer(given, jobs.with_chirality(infer_field, given)).energy[0]
        show_energy(results, truth)
