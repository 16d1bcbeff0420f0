"""Objects of a mask: measured, filtered by a range, drawn as histogram and map."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from spinscope.analysis import label_objects
from spinscope.analysis.shapes import measure

QUANTITIES = {
    "area_px": "area, px²",
    "diameter_px": "diameter, px",
    "major_px": "major axis, px",
    "minor_px": "minor axis, px",
    "eccentricity": "eccentricity",
    "orientation_deg": "orientation, °",
    "convex_deficit": "convex deficit",
    "holes": "holes",
    "contrast": "contrast",
    "y_px": "row, px",
    "x_px": "column, px",
}
IN, OUT = "#2a6f97", "#c3c9d0"
_BINS = 30


@dataclass(frozen=True)
class Objects:
    """Objects of one class: a table of quantities, and a pixel (y, x) of each."""

    table: dict[str, np.ndarray]
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)


def measured(mask: np.ndarray, image: np.ndarray) -> Objects:
    """Measure the objects of a (H, W) bool mask, in order of their first pixel."""
    numbers, areas = label_objects(mask)
    first = np.unique(numbers, return_index=True)[1][-len(areas) :] if len(areas) else []
    seeds = np.stack(np.unravel_index(np.asarray(first, dtype=int), mask.shape), axis=1)
    return Objects(measure(mask, image), seeds)


def typical_diameter(mask: np.ndarray) -> float:
    """Median diameter (px) of the objects of a (H, W) bool mask, 9 px where there is none."""
    from spinscope.analysis import equivalent_diameter

    areas = label_objects(mask)[1]
    return float(np.median(equivalent_diameter(areas))) if len(areas) else 9.0


def choose_range(objects: Objects) -> tuple[str, np.ndarray]:
    """A quantity and which objects lie within a range of it; the range holds on other frames."""
    left, right = st.columns([2, 5], vertical_alignment="bottom", gap="large")
    keys = [key for key in QUANTITIES if key in objects.table]
    quantity = left.selectbox("Filter by", keys, format_func=QUANTITIES.get, key="quantity of")
    values = np.asarray(objects.table[quantity], dtype=float)
    kept = st.session_state.setdefault("ranges", {})
    low, high = kept.get(quantity, (-np.inf, np.inf))
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() == finite.max():
        right.caption("All objects have the same value." if len(finite) else "Nothing is measured.")
        return quantity, np.ones(len(values), dtype=bool)
    # The ends stand a little beyond the extremes, which so are never cut off by rounding.
    step = _step(finite.max() - finite.min())
    bottom, top = (
        float(side(end / step) * step)
        for side, end in ((np.floor, finite.min()), (np.ceil, finite.max()))
    )
    key = f"range of {quantity} {bottom:g} {top:g}"

    def keep() -> None:
        first, last = st.session_state[key]
        kept[quantity] = (-np.inf if first <= bottom else first, np.inf if last >= top else last)

    right.slider(
        "Range that stays",
        bottom,
        top,
        (float(np.clip(low, bottom, top)), float(np.clip(high, bottom, top))),
        float(step),
        key=key,
        on_change=keep,
    )
    return quantity, ~(values < low) & ~(values > high)


def _step(spread: float) -> float:
    return 10.0 ** np.floor(np.log10(spread / 50))


def show_histogram(objects: Objects, quantity: str, inside: np.ndarray) -> None:
    """Distribution of a quantity; what lies outside the range is pale."""
    values = np.asarray(objects.table[quantity], dtype=float)
    values, inside = values[np.isfinite(values)], inside[np.isfinite(values)]
    if not len(values):
        return
    edges = _edges(values)
    counts = [np.histogram(values[part], edges)[0] for part in (inside, ~inside)]
    table = pd.DataFrame(
        {
            "from": np.tile(edges[:-1], 2),
            "to": np.tile(edges[1:], 2),
            "objects": np.concatenate(counts),
            "where": np.repeat(["within", "outside"], len(edges) - 1),
        }
    )
    chart = (
        alt.Chart(table)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            alt.X("from:Q", bin="binned", title=QUANTITIES[quantity], scale=alt.Scale(zero=False)),
            alt.X2("to:Q"),
            alt.Y("objects:Q", title="objects", axis=alt.Axis(tickMinStep=1)),
            _colour(),
        )
        .properties(height=240)
    )
    st.altair_chart(chart, width="stretch")


def _edges(values: np.ndarray) -> np.ndarray:
    """Bins of equal width; whole numbers fall as many into one as into the other."""
    if (values == np.round(values)).all():
        width = max(1, int(np.ceil((values.max() - values.min() + 1) / _BINS)))
        return np.arange(values.min() - 0.5, values.max() + width + 0.5, width)
    return np.histogram_bin_edges(values, _BINS)


def show_map(objects: Objects, quantity: str, inside: np.ndarray, shape: tuple[int, int]) -> None:
    """Where the objects lie; what lies outside the range is pale."""
    table = pd.DataFrame(
        {
            "x": objects.table["x_px"],
            "y": objects.table["y_px"],
            "diameter": objects.table["diameter_px"],
            QUANTITIES[quantity]: objects.table[quantity],
            "where": np.where(inside, "within", "outside"),
        }
    )
    axis = alt.Axis(grid=False)
    largest = float(np.clip(30_000 / len(table), 8, 90))
    chart = (
        alt.Chart(table)
        .mark_circle(opacity=0.85)
        .encode(
            alt.X("x:Q", title="column, px", scale=alt.Scale(domain=[0, shape[1]]), axis=axis),
            alt.Y("y:Q", title="row, px", scale=alt.Scale(domain=[shape[0], 0]), axis=axis),
            alt.Size("diameter:Q", legend=None, scale=alt.Scale(range=[2, largest])),
            _colour(),
            tooltip=[alt.Tooltip(f"{QUANTITIES[quantity]}:Q", format=".3g"), "x:Q", "y:Q"],
        )
        .properties(height=240)
    )
    st.altair_chart(chart, width="stretch")


def _colour() -> alt.Color:
    scale = alt.Scale(domain=["within", "outside"], range=[IN, OUT])
    return alt.Color("where:N", scale=scale, legend=None)
