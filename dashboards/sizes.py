"""Size distributions of the skyrmions: label against prediction, and model against model."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, choose, layout, modality, models
from components.models import Model
from spinscope.analysis import equivalent_diameter, label_objects
from spinscope.classes import SKYRMION
from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import size_distance
from spinscope.images import to_scheme

LABEL = "label"


def measure(
    params: Params, frames: Dataset, compared: dict[str, Model], views: int
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Measure all skyrmions of the label and of each model.

    Parameters
    ----------
    params : Params
        Settings.
    frames : Dataset
        Frames to measure.
    compared : dict of str to Model
        Models by name.
    views : int
        Augmented views that are averaged.

    Returns
    -------
    dict of str to (n,) array, DataFrame
        Diameters in px by name, and one row per frame with MCC and counts.
    """
    diameters: dict[str, list[np.ndarray]] = {name: [] for name in (LABEL, *compared)}
    rows = []
    bar = st.progress(0.0)
    for index, (record, image, label) in enumerate(frames):
        bar.progress(index / len(frames), f"Frame {record.name}")
        masks = {LABEL: label}
        row = {"frame": record.name, "source": record.source}
        for name, model in compared.items():
            masks[name] = models.segment(model, image, views, engine="keras")[0]
            n = len(model.classes)
            row[f"MCC {name}"] = scores(confusion(to_scheme(label, n), masks[name], n))["mcc"]
        for name, mask in masks.items():
            _, areas = label_objects(mask == SKYRMION, params.evaluation.min_object_px)
            diameters[name].append(equivalent_diameter(areas))
            row[f"skyrmions {name}"] = len(areas)
        rows.append(row)
    bar.empty()
    return {name: np.concatenate(px) for name, px in diameters.items()}, pd.DataFrame(rows)


def summary(diameters: dict[str, np.ndarray], unit: str) -> pd.DataFrame:
    """One row for the label and for each model: count, mean, median, SD, distance to the label."""
    label = diameters[LABEL]
    return pd.DataFrame(
        {
            name: {
                "skyrmions": len(values),
                "count error, %": 100 * (len(values) / len(label) - 1) if len(label) else None,
                f"mean diameter, {unit}": values.mean() if len(values) else None,
                f"median, {unit}": np.median(values) if len(values) else None,
                f"SD, {unit}": values.std(ddof=1) if len(values) > 1 else None,
                f"Wasserstein distance to the label, {unit}": size_distance(label, values),
            }
            for name, values in diameters.items()
        }
    ).T.astype(float)


def show_charts(diameters: dict[str, np.ndarray], unit: str, bins: int) -> None:
    """Show the histogram and the cumulative distribution of the diameters."""
    colours = {LABEL: layout.GREY} | layout.colours(name for name in diameters if name != LABEL)
    # The axis ends near the 99.5th percentile, so that a few huge objects do not dominate it.
    largest = 1.05 * max(
        np.percentile(values, 99.5) for values in diameters.values() if len(values)
    )
    x = alt.X(
        "value:Q",
        title=f"equivalent diameter, {unit}",
        scale=alt.Scale(domain=[0, largest], nice=False),
    )
    layout.legend(colours)
    left, right = st.columns(2, gap="large")
    table = charts.histogram(diameters, np.linspace(0, largest, bins + 1))
    y = charts.percent("fraction of the skyrmions")
    left.altair_chart(
        charts.steps(table, colours, x, y, filled=[LABEL], height=360), width="stretch"
    )
    y = charts.percent("fraction up to this diameter")
    chart = charts.steps(charts.cumulative(diameters), colours, x, y, height=360)
    right.altair_chart(chart, width="stretch")
    beyond = {name: int((values > largest).sum()) for name, values in diameters.items()}
    st.caption(
        "All skyrmions of the chosen frames are pooled; the equivalent diameter is that of the "
        "disc of the same area. Right: the area between two curves is their Wasserstein distance."
        + "".join(f" Not shown: {n} larger ones of {name}." for name, n in beyond.items() if n)
    )


with layout.page("Sizes", "Size distributions of labelled and predicted skyrmions.") as params:
    chosen = choose.dataset(params)
    imaging = modality.of_dataset(params, chosen)
    frames = choose.batches(params, chosen)
    first = choose.model(params, "Model A", "model", modality=imaging)
    second = choose.model(params, "Model B", "model b", modality=imaging, none="none")
    views = choose.augmentation()
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
        frames = replace(
            frames,
            records=tuple(frames.records[i] for i in sorted(wanted)),
            rows=tuple(frames.rows[i] for i in sorted(wanted)),
        )
    compared = {f"A: {first.ref}": first} | ({f"B: {second.ref}": second} if second else {})
    scale, unit = (size, "µm") if size else (1.0, "px")

    choose.warn_if_foreign(first, imaging)
    choose.warn_if_foreign(second, imaging)
    diameters, per_frame = measure(params, frames, compared, views)
    diameters = {name: scale * px for name, px in diameters.items()}
    choose.warn_if_trained(params, frames, range(len(frames)))
    if not any(len(values) for values in diameters.values()):
        layout.stop("There is no skyrmion in these frames, labelled or predicted.")
    show_charts(diameters, unit, bins)
    formats = {"skyrmions": "{:.0f}"}
    layout.table(summary(diameters, unit), formats, precision=2, index=True)
    if second:
        a, b = (diameters[name] for name in compared)
        distance = size_distance(a, b)
        st.markdown(
            f"**A against B**: {len(a)} and {len(b)} skyrmions, Wasserstein distance "
            + ("–" if distance is None else f"{distance:.2f} {unit}")
        )
    st.subheader("Frame by frame")
    layout.table(per_frame)
