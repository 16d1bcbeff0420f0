"""Simulated frames against experimental ones: samples, distributions and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, choose, images, layout
from spinscope.classes import CLASSES
from spinscope.config import Params, shipped_results
from spinscope.datasets import Dataset
from spinscope.datasets.describe import (
    FREQUENCIES,
    INTENSITIES,
    QUANTITIES,
    Portrait,
    band,
    compared,
    measure_dataset,
)

SAMPLES = 4
SHIPPED, OWN = "published frames", "a dataset"
PUBLISHED = "published Kerr frames"
LONGEST_TITLE = 36


def portrait_of(dataset: Dataset, frames: int) -> Portrait:
    """Statistics of a dataset, measured again only when its files have changed."""
    files = [path for path in (dataset.path, *dataset.path.iterdir()) if path.exists()]
    changed = max(path.stat().st_mtime_ns for path in files)
    return _portrait(str(dataset.path), changed, frames, dataset)


@st.cache_data(max_entries=8, show_spinner=False)
def _portrait(path: str, changed: int, frames: int, _dataset: Dataset) -> Portrait:
    bar = st.progress(0.0)

    def progress(items, total, desc):
        for done, item in enumerate(items, start=1):
            bar.progress(done / total, f"Measuring {_dataset.path.name}: frame {done} of {total}")
            yield item

    portrait = measure_dataset(_dataset, frames, progress=progress)
    bar.empty()
    return portrait


def shipped_frames() -> dict[str, Any] | None:
    """Statistics of the published frames that come with the code; None without them."""
    path = shipped_results("moke")
    return (layout.read_report(path, ("rows",), "spinscope study moke") or {}).get("frames")


def choose_real(params: Params) -> tuple[Dataset | None, dict[str, Any] | None]:
    """Choose the real frames: a dataset, or the shipped statistics where no dataset is real."""
    shipped = shipped_frames()
    real = any("experimental" in name for name in choose.datasets(params))
    if shipped and not real:
        with st.sidebar:
            options = [SHIPPED, OWN]
            kind = st.segmented_control("Left: real", options, default=SHIPPED, key="left kind")
        if kind != OWN:
            return None, shipped
    return choose.dataset(params, "Left: real", "left"), None


def show_samples(dataset: Dataset, first: int, opacity: float) -> None:
    """Show evenly spaced frames of a dataset, beginning with the frame `first`."""
    count, columns = min(SAMPLES, len(dataset)), st.columns(2)
    for k in range(count):
        index = (first + k * len(dataset) // count) % len(dataset)
        image = dataset.image(index)
        shown = (
            images.tinted(image, dataset.label(index), opacity) if opacity else images.grey(image)
        )
        columns[k % 2].image(shown, caption=dataset.records[index].name, width="stretch")


def bands(portraits: Mapping[str, Portrait], what: str, edges: np.ndarray) -> pd.DataFrame:
    """Mean of a curve over the frames (y), and its 5 to 95 % range (low, high), by dataset."""
    tables = [
        pd.DataFrame({"name": name, **band(edges, getattr(portrait, what))})
        for name, portrait in portraits.items()
    ]
    return pd.concat(tables)


def value_chart(
    portraits: Mapping[str, Portrait], key: str, colours: Mapping[str, str]
) -> alt.LayerChart:
    """Distribution of a quantity over the frames; outliers are in the last bin."""
    values = {name: portrait.values[key] for name, portrait in portraits.items()}
    values = {name: array[np.isfinite(array)] for name, array in values.items()}
    pooled = np.concatenate(list(values.values()))
    low, high = (pooled.min(), np.percentile(pooled, 99)) if len(pooled) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1e-3, 25)
    clipped = {name: np.clip(array, edges[0], edges[-1]) for name, array in values.items()}
    title = QUANTITIES[key]
    title = title if len(title) < LONGEST_TITLE else key.replace("_", " ")
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False))
    table = charts.histogram(clipped, edges)
    return charts.steps(
        table, colours, x, charts.percent("fraction of the frames"), filled=list(values)
    )


def summary(portraits: Mapping[str, Portrait]) -> pd.DataFrame:
    """One row per quantity: mean and 5 to 95 % range, and the fraction of the second within."""
    reference = next(iter(portraits.values()))
    rows = []
    for key, title in QUANTITIES.items():
        row = {"quantity": title}
        for name, portrait in portraits.items():
            statistics = compared(portrait.values[key], reference.values[key])
            row[f"{name}: mean"] = statistics["mean"]
            ends = statistics["p05"], statistics["p95"]
            row[f"{name}: 5–95 %"] = "–" if None in ends else "{:.3g} – {:.3g}".format(*ends)
        within = statistics["within"]
        row["within, %"] = None if within is None else 100 * within
        rows.append(row)
    return pd.DataFrame(rows)


with layout.page("Simulated and real", "Compare real and simulated frames.") as params:
    if not choose.datasets(params):
        layout.missing("There is no dataset yet.", "spinscope corpus kerr")
    real, shipped = choose_real(params)
    simulated = choose.dataset(params, "Right: simulated", "right", index=0 if shipped else 1)
    with st.sidebar:
        longest = max(len(dataset) for dataset in (real, simulated) if dataset is not None)
        first = st.slider("First sample frame", 0, longest - 1, 0)
        opacity = st.slider("Opacity of labels, %", 0, 100, 0, 5, key="label opacity") / 100
        count = st.slider("Frames to measure", 5, 200, 40, 5, key="measured")
        keys = list(QUANTITIES)
        quantity = st.selectbox(
            "Quantity of the right chart",
            keys,
            keys.index("diameter"),
            format_func=QUANTITIES.get,
            key="quantity",
        )
    if real is not None and real.path == simulated.path:
        layout.stop(
            "Choose two different datasets on the left; `spinscope corpus kerr` simulates one."
        )
    names = [PUBLISHED if real is None else real.path.name, simulated.path.name]
    if names[0] == names[1]:
        names = [str(real.path), str(simulated.path)]
    for column, name, dataset in zip(
        st.columns(2, gap="large"), names, (real, simulated), strict=True
    ):
        with column:
            st.subheader(name)
            if dataset is None:
                st.caption(
                    f"{shipped['n_images']} frames of {shipped['n_sources']} sources. Their "
                    "statistics come with the code; `spinscope data fetch moke` downloads the "
                    "frames (Zenodo 10.5281/zenodo.10997175, CC BY 4.0)."
                )
            else:
                st.caption(f"{len(dataset)} frames of {len(dataset.sources)} sources")
                show_samples(dataset, first, opacity)
    if opacity:
        layout.legend(images.class_legend(len(CLASSES)))

    portraits = {
        name: Portrait.from_dict(shipped) if dataset is None else portrait_of(dataset, count)
        for name, dataset in zip(names, (real, simulated), strict=True)
    }
    colours = dict(zip(names, (layout.GREY, layout.PALETTE[0]), strict=True))
    layout.legend(colours)
    columns = st.columns(3, gap="large")
    for column, what, edges, x, y in (
        (columns[0], "histogram", INTENSITIES, "intensity", alt.Y("y:Q", title="density")),
        (
            columns[1],
            "spectrum",
            FREQUENCIES,
            "spatial frequency, 1/px",
            alt.Y("y:Q", title="power", scale=alt.Scale(type="log")),
        ),
    ):
        table, x = bands(portraits, what, edges), alt.X("x:Q", title=x)
        chart = charts.curves(table, colours, x, y, points=False, height=300)
        column.altair_chart(chart, width="stretch")
    columns[2].altair_chart(value_chart(portraits, quantity, colours), width="stretch")
    st.caption("Lines: mean over the frames. Bands: 5 to 95 % of the frames. Lengths are in px.")
    formats = {f"{name}: mean": "{:.3g}" for name in names} | {"within, %": "{:.0f}"}
    layout.table(summary(portraits), formats, rows=len(QUANTITIES))
    st.caption(
        f"Within: frames on the right that lie in the 5 to 95 % range of {names[0]}; 90 % is "
        "expected of identical distributions."
    )
