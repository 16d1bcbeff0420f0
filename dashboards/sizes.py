"""How large the skyrmions are: label against prediction, and model against model."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from _distributions import cumulative, histogram
from _shared import (
    COLOURS,
    Model,
    choose_dataset,
    choose_frames,
    choose_model,
    choose_views,
    legend,
    page,
    predicted,
    seen_in_training,
)
from spinscope.analysis import equivalent_diameter, label_objects
from spinscope.classes import SKYRMION
from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import size_distance
from spinscope.images import to_scheme

LABEL = "label"


def measure(
    params: Params, frames: Dataset, models: dict[str, Model], views: int
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Diameters (px) of all objects by who found them, and a row a frame with counts and MCC."""
    diameters: dict[str, list[np.ndarray]] = {name: [] for name in (LABEL, *models)}
    rows = []
    bar = st.progress(0.0)
    for index, (record, image, label) in enumerate(frames):
        bar.progress(index / len(frames), f"Frame {record.name}")
        masks = {LABEL: label == SKYRMION}
        row = {"frame": record.name, "source": record.source}
        for name, model in models.items():
            found = predicted(model, image, views)
            masks[name] = found == SKYRMION
            n = len(model.classes)
            row[f"MCC {name}"] = scores(confusion(to_scheme(label, n), found, n))["mcc"]
        for name, mask in masks.items():
            _, areas = label_objects(mask, params.evaluation.min_object_px)
            diameters[name].append(equivalent_diameter(areas))
            row[f"skyrmions {name}"] = len(areas)
        rows.append(row)
    bar.empty()
    pooled = {name: np.concatenate(parts) for name, parts in diameters.items()}
    return pooled, pd.DataFrame(rows)


def summary(diameters: dict[str, np.ndarray], scale: float, unit: str) -> pd.DataFrame:
    """A row for the label and for each model."""
    rows = []
    for name, px in diameters.items():
        distance = size_distance(diameters[LABEL], px)
        true = len(diameters[LABEL])
        rows.append(
            {
                "": name,
                "skyrmions": len(px),
                "count error, %": 100 * (len(px) / true - 1) if true else None,
                f"mean diameter, {unit}": scale * px.mean() if len(px) else None,
                f"median, {unit}": scale * np.median(px) if len(px) else None,
                f"SD, {unit}": scale * px.std(ddof=1) if len(px) > 1 else None,
                f"Wasserstein distance to the label, {unit}": None
                if distance is None
                else scale * distance,
            }
        )
    return pd.DataFrame(rows).set_index("")


def charts(diameters: dict[str, np.ndarray], unit: str, bins: int) -> None:
    """Histogram, and the cumulative distribution beside it."""
    colours = dict(zip(diameters, COLOURS.values(), strict=False))
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=None,
    )
    # A few runaway objects must not squeeze all others into one bin.
    largest = 1.05 * max(np.percentile(px, 99.5) for px in diameters.values() if len(px))
    beyond = {name: int((px > largest).sum()) for name, px in diameters.items()}
    x = alt.X(
        "value:Q",
        title=f"equivalent diameter, {unit}",
        scale=alt.Scale(domain=[0, largest], nice=False),
    )
    steps = alt.Chart(histogram(diameters, np.linspace(0, largest, bins + 1))).encode(
        x, alt.Y("share:Q", title="share of the skyrmions", axis=alt.Axis(format="%")), colour
    )
    filled = steps.transform_filter(alt.datum.who == LABEL).mark_area(
        interpolate="step-after", opacity=0.3
    )
    lines = steps.mark_line(interpolate="step-after", strokeWidth=2)
    sums = (
        alt.Chart(cumulative(diameters))
        .mark_line(interpolate="step-after", strokeWidth=2, clip=True)
        .encode(
            x,
            alt.Y("share:Q", title="share up to this diameter", axis=alt.Axis(format="%")),
            colour,
        )
    )
    legend(colours)
    left, right = st.columns(2, gap="large")
    left.altair_chart((filled + lines).properties(height=360), width="stretch")
    right.altair_chart(sums.properties(height=360), width="stretch")
    st.caption(
        "Right: the area between two curves is their Wasserstein distance. All skyrmions of the "
        "chosen frames are pooled; the diameter is that of the disc of the same area."
        + "".join(f" Beyond the axis: {n} of {name}." for name, n in beyond.items() if n)
    )


with page("Sizes", "The size distribution of the skyrmions, labelled and predicted.") as params:
    frames = choose_frames(params, choose_dataset(params))
    first = choose_model(params, "Model A", "model")
    second = choose_model(params, "Model B", "model b", none="none")
    views = choose_views()
    with st.sidebar:
        names = [record.name for record in frames.records]
        wanted = st.multiselect(
            "Frames",
            range(len(names)),
            format_func=lambda i: names[i],
            placeholder=f"all {len(names)}",
        )
        size = st.number_input(
            "Pixel size, µm (0: unknown)", 0.0, 1000.0, 0.0, format="%.4f", key="pixel size"
        )
        bins = st.slider("Bins", 8, 96, params.evaluation.size_bins, key="bins")
    if wanted:
        keep = sorted(wanted)
        frames = Dataset(
            frames.path,
            tuple(frames.records[i] for i in keep),
            frames.store,
            tuple(frames.rows[i] for i in keep),
        )
    models = {f"A: {first.ref}": first} | ({f"B: {second.ref}": second} if second else {})
    scale, unit = (size, "µm") if size else (1.0, "px")

    px, per_frame = measure(params, frames, models, views)
    table = summary(px, scale, unit)
    if any(seen_in_training(params, frames, i) for i in range(len(frames))):
        st.warning(
            "The settings train on some of these frames: they flatter a model made with them.",
            icon=":material/school:",
        )
    if not any(len(values) for values in px.values()):
        st.info("Neither the label nor a model finds a skyrmion in these frames.")
        st.stop()
    charts({name: scale * values for name, values in px.items()}, unit, bins)
    st.dataframe(table.style.format(precision=2, na_rep="–"), width="stretch")
    if second:
        a, b = (px[name] for name in models)
        distance = size_distance(a, b)
        st.markdown(
            f"**A against B**: {len(a)} and {len(b)} skyrmions, Wasserstein distance "
            + ("–" if distance is None else f"{scale * distance:.2f} {unit}")
        )
    st.subheader("Frame by frame")
    st.dataframe(per_frame.style.format(precision=3), width="stretch", hide_index=True)
