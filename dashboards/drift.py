"""Drift of the recordings over the nights, against the training set of the model."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from components import charts, layout
from spinscope.drift import MEASURES
from spinscope.jobs import nights, out_folder

COLUMNS = ["night", "when", "file", "measure", "value", "low", "high", "share", "out"]


def measured(found: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per recording and measure, with the distance as a share of its limit."""
    rows = [
        (
            night["night"],
            pd.Timestamp(night["started_utc"]),
            row["file"],
            one["name"],
            one["value"],
            one["low"],
            one["high"],
            one["distance"] / one["limit"] if one["limit"] else None,
            one["out"],
        )
        for night in found
        for row in night["recordings"]
        for one in row.get("measures", ())
    ]
    numbers = dict.fromkeys(("value", "low", "high", "share"), "float64")
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def overview_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Distance of every recording to the training set, relative to the limits at -1 and 1."""
    colours = layout.colours(MEASURES)
    x = alt.X("when:T", title="night", scale=alt.Scale(padding=24))
    points = (
        alt.Chart(table.dropna(subset=["share"]))
        .mark_circle(size=70, opacity=0.8)
        .encode(
            x,
            alt.Y(
                "share:Q",
                title="distance / limit",
                scale=alt.Scale(domain=[-2.5, 2.5], clamp=True),
            ),
            charts.colour(colours, "measure"),
            tooltip=["night", "file", "measure", alt.Tooltip("value", format=".3g")],
        )
    )
    limits = pd.DataFrame({"share": [-1, 1]})
    rules = alt.Chart(limits).mark_rule(strokeDash=[5, 4], color=layout.GREY).encode(y="share:Q")
    return (points + rules).properties(height=300)


def measure_chart(table: pd.DataFrame, name: str) -> alt.LayerChart:
    """Values of one measure over the nights, with its limits; values out of range are red."""
    measure = MEASURES[name]
    title = f"{name}, {measure.unit}" if measure.unit else name
    scale = alt.Scale(zero=False, padding=12)
    x = alt.X("when:T", title="night", scale=alt.Scale(padding=24))
    points = (
        alt.Chart(table)
        .mark_circle(size=70)
        .encode(
            x,
            alt.Y("value:Q", title=title, scale=scale),
            color=alt.condition(alt.datum.out, alt.value(layout.RED), alt.value(layout.PALETTE[0])),
            tooltip=["night", "file", alt.Tooltip("value", format=".3g")],
        )
    )
    limits = table.melt("when", ["low", "high"], value_name="limit").dropna()
    lines = (
        alt.Chart(limits)
        .mark_line(strokeDash=[5, 4], color=layout.GREY, point=False)
        .encode(x, alt.Y("limit:Q", title=title, scale=scale), detail="variable:N")
    )
    return (lines + points).properties(height=260)


def show_night(night: dict[str, Any]) -> None:
    """Show the recordings of one night, and what broke a rule."""
    rows = [
        (row["file"], "✓" if row["valid"] else "✗", row.get("objects"), row.get("sentence"))
        for row in night["recordings"]
    ]
    if not rows:
        st.caption("No new recordings.")
        return
    columns = ["recording", "valid", "objects per frame", "conditions"]
    layout.table(pd.DataFrame(rows, columns=columns), {"objects per frame": "{:.0f}"})
    if night["failures"]:
        st.markdown("**Rules that were broken**")
        layout.table(pd.DataFrame(night["failures"]))
    st.caption(f"Model {night['model']}, folder {night['folder']}.")
    place = out_folder("nightly") / night["night"]
    st.caption(f"Masks: `{place / 'masks'}`; validation: `{place / 'validation/index.html'}`.")


with layout.page("Drift", "New recordings against the training set of the model, over the nights."):
    found = nights(out_folder("nightly"))
    if not found:
        layout.missing("No recordings have been taken in yet.", "spinscope flow run nightly")
    last = found[-1]
    bad = [row for row in last["recordings"] if row.get("out_of_range")]
    layout.metrics(
        {
            "Last night": last["night"],
            "New recordings": len(last["recordings"]),
            "Out of range": len(bad),
            "Not valid": sum(not row["valid"] for row in last["recordings"]),
        }
    )
    if last["out_of_range"]:
        text = f"out of range: {', '.join(last['out_of_range'])}"
        st.warning(text, icon=":material/warning:")
    table = measured(found)
    if len(table):
        st.subheader("All measures")
        layout.legend(layout.colours(MEASURES))
        st.altair_chart(overview_chart(table), width="stretch")
        st.caption(
            "Each point is one recording. Between the dashed lines it is like the training set; "
            "sides without a limit have no points, and larger distances are drawn at ±2.5."
        )
        st.subheader("One measure")
        first = next(iter(last["out_of_range"]), "blur")
        names = list(MEASURES)
        name = st.selectbox("Measure", names, names.index(first), key="measure")
        st.caption(f"{MEASURES[name].meaning}; the dashed lines are its limits".capitalize() + ".")
        one = table[(table["measure"] == name) & table["value"].notna()]
        st.altair_chart(measure_chart(one, name), width="stretch")
    st.subheader("One night")
    by_name = {night["night"]: night for night in reversed(found)}
    show_night(by_name[st.selectbox("Night", list(by_name), key="night")])
