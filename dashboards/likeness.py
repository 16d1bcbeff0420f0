"""Simulated frames against real ones: samples and statistics side by side."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from _distributions import histogram
from _pictures import class_legend, frame, tinted
from _shared import choose_dataset, datasets, legend, missing, page
from spinscope.classes import CLASSES
from spinscope.datasets import Dataset
from spinscope.datasets.describe import (
    FREQUENCIES,
    INTENSITIES,
    QUANTITIES,
    Portrait,
    compared,
    measure_dataset,
)

RANGE = ["#7d8590", "#2a6f97"]
SAMPLES = 4


def measured(dataset: Dataset, frames: int) -> Portrait:
    """The portrait of a dataset, measured again only when its files have changed."""
    files = [path for path in (dataset.path, *dataset.path.iterdir()) if path.exists()]
    changed = max(path.stat().st_mtime_ns for path in files)
    return _measured(str(dataset.path), changed, frames, dataset)


@st.cache_data(max_entries=8, show_spinner=False)
def _measured(path: str, changed: int, frames: int, _dataset: Dataset) -> Portrait:
    bar = st.progress(0.0)

    def progress(items, total, desc):
        for done, item in enumerate(items, start=1):
            bar.progress(done / total, f"Measuring {_dataset.path.name}: frame {done} of {total}")
            yield item

    portrait = measure_dataset(_dataset, frames, progress=progress)
    bar.empty()
    return portrait


def show_samples(dataset: Dataset, first: int, opacity: float) -> None:
    """A few frames of a dataset, evenly chosen from `first` on."""
    count = min(SAMPLES, len(dataset))
    columns = st.columns(2)
    for k in range(count):
        column = columns[k % 2]
        index = (first + k * len(dataset) // count) % len(dataset)
        picture = tinted(dataset.image(index), dataset.label(index), opacity)
        column.image(
            picture if opacity else frame(dataset.image(index)),
            caption=f"{dataset.records[index].name}",
            width="stretch",
        )


def band(portraits: dict[str, Portrait], what: str, edges: np.ndarray) -> pd.DataFrame:
    """Mean over the frames of a curve, and where 5 to 95 % of them lie."""
    middle = (edges[:-1] + edges[1:]) / 2
    tables = []
    for name, portrait in portraits.items():
        rows = getattr(portrait, what)
        seen = np.isfinite(rows).any(axis=0)
        low, high = np.nanpercentile(rows[:, seen], [5, 95], axis=0)
        columns = {
            "x": middle[seen],
            "mean": np.nanmean(rows[:, seen], axis=0),
            "low": low,
            "high": high,
        }
        tables.append(pd.DataFrame(columns).assign(data=name))
    return pd.concat(tables)


def colour(names: list[str]) -> alt.Color:
    """The first dataset grey, the second blue, on every chart."""
    return alt.Color(
        "data:N",
        scale=alt.Scale(domain=names, range=RANGE),
        legend=None,
    )


def band_chart(
    table: pd.DataFrame, names: list[str], x: str, y: str, scale: alt.Scale
) -> alt.LayerChart:
    """Lines with bands around them."""
    base = alt.Chart(table).encode(alt.X("x:Q", title=x), colour(names))
    area = base.mark_area(opacity=0.22, clip=True).encode(
        alt.Y("low:Q", title=y, scale=scale), alt.Y2("high:Q")
    )
    line = base.mark_line(strokeWidth=2, clip=True).encode(alt.Y("mean:Q", scale=scale))
    return (area + line).properties(height=300)


def value_chart(portraits: dict[str, Portrait], key: str) -> alt.Chart:
    """One value a frame: share of the frames over common bins."""
    values = {name: portrait.values[key] for name, portrait in portraits.items()}
    values = {name: array[np.isfinite(array)] for name, array in values.items()}
    every = np.concatenate(list(values.values()))
    low, high = (every.min(), np.percentile(every, 99)) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1e-3, 25)
    # Runaway frames are counted in the last bin.
    clipped = {name: np.clip(array, edges[0], edges[-1]) for name, array in values.items()}
    table = histogram(clipped, edges).rename(columns={"who": "data"})
    return (
        alt.Chart(table)
        .mark_area(interpolate="step-after", opacity=0.4)
        .encode(
            alt.X("value:Q", title=_short(key), scale=alt.Scale(zero=False)),
            alt.Y("share:Q", title="share of the frames", stack=None, axis=alt.Axis(format="%")),
            colour(list(portraits)),
        )
        .properties(height=300)
    )


def _short(key: str) -> str:
    """Name of a quantity without what it is, where that follows a comma or a colon."""
    title = QUANTITIES[key]
    return title if len(title) < 36 else key.replace("_", " ")


def summary(portraits: dict[str, Portrait]) -> pd.DataFrame:
    """Mean and 5 to 95 % of every quantity, and how many simulated frames lie within the real's."""
    real, simulated = portraits
    rows = []
    for key, title in QUANTITIES.items():
        left, right = (
            compared(p.values[key], portraits[real].values[key]) for p in portraits.values()
        )
        row = {"quantity": title}
        for name, part in ((real, left), (simulated, right)):
            row[f"{name}: mean"] = part["mean"]
            spread = (part["p05"], part["p95"])
            row[f"{name}: 5–95 %"] = "–" if None in spread else "{:.3g} – {:.3g}".format(*spread)
        row["within, %"] = None if right["within"] is None else 100 * right["within"]
        rows.append(row)
    return pd.DataFrame(rows)


with page(
    "Simulated and real", "Whether the simulated corpus looks like what the microscope gives."
) as params:
    if not datasets(params):
        missing("There is no dataset to look at yet.", "spinscope corpus kerr")
    real = choose_dataset(params, "Left: real", "left")
    simulated = choose_dataset(params, "Right: simulated", "right", first=1)
    with st.sidebar:
        shuffle = st.slider("Frames from", 0, max(len(real), len(simulated)) - 1, 0, key="first")
        opacity = st.slider("Label, %", 0, 100, 0, 5, key="label opacity") / 100
        frames = st.slider("Frames to measure", 5, 200, 40, 5, key="measured")
        keys = list(QUANTITIES)
        quantity = st.selectbox(
            "Quantity on the right chart",
            keys,
            keys.index("diameter"),
            format_func=QUANTITIES.get,
            key="quantity",
        )
    if real.path == simulated.path:
        st.info(
            "Choose two different datasets on the left: `spinscope corpus kerr` simulates one.",
            icon=":material/info:",
        )
        st.stop()
    names = [real.path.name, simulated.path.name]
    if names[0] == names[1]:
        names = [str(real.path), str(simulated.path)]
    for column, name, dataset in zip(
        st.columns(2, gap="large"), names, (real, simulated), strict=True
    ):
        with column:
            st.subheader(name)
            st.caption(f"{len(dataset)} frames of {len(dataset.sources)} sources")
            show_samples(dataset, shuffle, opacity)
    if opacity:
        legend({k: v for k, v in class_legend(len(CLASSES)).items() if k != "background"})

    portraits = {
        name: measured(d, frames) for name, d in zip(names, (real, simulated), strict=True)
    }
    legend(dict(zip(names, RANGE, strict=True)))
    left, middle, right = st.columns(3, gap="large")
    left.altair_chart(
        band_chart(
            band(portraits, "histogram", INTENSITIES), names, "intensity", "density", alt.Scale()
        ),
        width="stretch",
    )
    middle.altair_chart(
        band_chart(
            band(portraits, "spectrum", FREQUENCIES),
            names,
            "spatial frequency, 1/px",
            "power",
            alt.Scale(type="log"),
        ),
        width="stretch",
    )
    with right:
        st.altair_chart(value_chart(portraits, quantity), width="stretch")
    st.caption(
        "Lines: mean over the frames; bands: where 5 to 95 % of them lie. Lengths in pixels."
    )
    st.dataframe(
        summary(portraits).style.format(
            {f"{name}: mean": "{:.3g}" for name in names} | {"within, %": "{:.0f}"}, na_rep="–"
        ),
        hide_index=True,
        width="stretch",
        height=35 * (len(QUANTITIES) + 1) + 3,
    )
    st.caption(
        f"Within: how many of the frames on the right lie where 5 to 95 % of {names[0]} lie; "
        "90 % is a perfect likeness."
    )
