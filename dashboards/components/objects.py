"""Objects of a mask: measured, filtered by a range, drawn as histogram and map."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, layout
from spinscope.analysis import equivalent_diameter, label_objects
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
"""Column of the table of objects → name and unit."""

DEFAULT_DIAMETER = 9.0
"""Diameter in px of an object that is added to a mask without objects."""

_COLOURS = {"within": layout.PALETTE[0], "outside": "#c3c9d0"}


@dataclass(frozen=True)
class Objects:
    """Objects of one class.

    Parameters
    ----------
    table : dict of str to (n,) array
        Quantities of the objects, in order of their first pixel.
    seeds : (n, 2) int array
        One pixel (y, x) of each object.
    """

    table: dict[str, np.ndarray]
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)


def measure_objects(mask: np.ndarray, image: np.ndarray) -> Objects:
    """Measure the objects of an (H, W) bool mask on their image."""
    numbers, areas = label_objects(mask)
    first = np.unique(numbers, return_index=True)[1][-len(areas) :] if len(areas) else []
    seeds = np.stack(np.unravel_index(np.asarray(first, dtype=int), mask.shape), axis=1)
    return Objects(measure(mask, image), seeds)


def typical_diameter(mask: np.ndarray) -> float:
    """Median diameter in px of the objects of an (H, W) bool mask, or `DEFAULT_DIAMETER`."""
    areas = label_objects(mask)[1]
    return float(np.median(equivalent_diameter(areas))) if len(areas) else DEFAULT_DIAMETER


def choose_inside(objects: Objects, shape: tuple[int, int]) -> np.ndarray:
    """Choose a range of a quantity, and show the objects as histogram and map.

    Parameters
    ----------
    objects : Objects
        Objects of a mask, at least one.
    shape : (H, W)
        Shape of the frame.

    Returns
    -------
    (n,) bool array
        Which objects lie within the range; the others are pale.
    """
    quantity, inside = _choose_range(objects)
    title = QUANTITIES[quantity]
    table = pd.DataFrame(objects.table)[["x_px", "y_px", "diameter_px"]]
    table = table.assign(value=objects.table[quantity], where=np.where(inside, "within", "outside"))
    base = alt.Chart(table).encode(charts.colour(_COLOURS, "where")).properties(height=240)
    histogram = base.mark_bar(stroke="white", strokeWidth=0.5).encode(
        alt.X("value:Q", bin=alt.Bin(maxbins=30), title=title),
        alt.Y("count()", title="objects", axis=alt.Axis(tickMinStep=1)),
    )
    axis = alt.Axis(grid=False)
    largest = float(np.clip(30_000 / len(table), 8, 90))
    tooltip = [alt.Tooltip("value:Q", title=title, format=".3g"), "x_px:Q", "y_px:Q"]
    positions = base.mark_circle(opacity=0.85).encode(
        alt.X("x_px:Q", title="column, px", scale=alt.Scale(domain=[0, shape[1]]), axis=axis),
        alt.Y("y_px:Q", title="row, px", scale=alt.Scale(domain=[shape[0], 0]), axis=axis),
        alt.Size("diameter_px:Q", legend=None, scale=alt.Scale(range=[2, largest])),
        tooltip=tooltip,
    )
    for column, chart in zip(st.columns(2, gap="large"), (histogram, positions), strict=True):
        column.altair_chart(chart, width="stretch")
    return inside


def _choose_range(objects: Objects) -> tuple[str, np.ndarray]:
    """Choose a quantity, and which objects (n,) lie in a range of it; ranges are kept."""
    left, right = st.columns([2, 5], vertical_alignment="bottom", gap="large")
    keys = [key for key in QUANTITIES if key in objects.table]
    quantity = left.selectbox("Filter by", keys, format_func=QUANTITIES.get, key="filter by")
    values = np.asarray(objects.table[quantity], dtype=float)
    ranges = st.session_state.setdefault("ranges", {})
    low, high = ranges.get(quantity, (-np.inf, np.inf))
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() == finite.max():
        right.caption("All objects have the same value." if len(finite) else "No values measured.")
        return quantity, np.ones(len(values), dtype=bool)
    # Whole steps around the extremes, so that rounding cuts off no object.
    step = 10.0 ** np.floor(np.log10((finite.max() - finite.min()) / 50))
    bottom = float(np.floor(finite.min() / step) * step)
    top = float(np.ceil(finite.max() / step) * step)
    key = f"range of {quantity} {bottom:g} {top:g}"

    def keep() -> None:
        first, last = st.session_state[key]
        ranges[quantity] = (-np.inf if first <= bottom else first, np.inf if last >= top else last)

    right.slider(
        "Range to keep",
        bottom,
        top,
        (float(np.clip(low, bottom, top)), float(np.clip(high, bottom, top))),
        float(step),
        key=key,
        on_change=keep,
    )
    return quantity, ~(values < low) & ~(values > high)
