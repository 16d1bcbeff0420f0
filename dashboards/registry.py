"""The registered versions of a model, the version that the lab uses, and its history."""

from __future__ import annotations

import re

import altair as alt
import pandas as pd
import streamlit as st

from components.choices import open_tracking
from components.layout import PALETTE, missing, page, show_table
from spinscope.tracking import Promotion, Version, compare, history, version, versions
from spinscope.tracking.registry import LAB, names

COLUMNS = {
    "version": "version",
    "aliases": "aliases",
    "mcc": "MCC",
    "mcc_sd": "SD",
    "seeds": "seeds",
    "count_error": "count error",
    "frame_ms": "frame, ms",
    "validated": "data validated",
    "commit": "commit",
    "dirty": "uncommitted changes",
    "data": "data",
}
FORMATS = {"MCC": "{:.4f}", "SD": "{:.4f}", "frame, ms": "{:.0f}"}


def version_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Mean and SD of the MCC of every version; the version of the lab is filled."""
    table = table.assign(
        low=table["mcc"] - table["mcc_sd"],
        high=table["mcc"] + table["mcc_sd"],
        lab=table["aliases"].map(lambda text: LAB in text.split(", ")),
    )
    base = alt.Chart(table).encode(alt.X("version:O", axis=alt.Axis(labelAngle=0)))
    scale = alt.Scale(zero=False, padding=12)
    bars = base.mark_rule(strokeWidth=2, color=PALETTE[0]).encode(
        alt.Y("low:Q", title="MCC, mean ± SD over seeds", scale=scale), alt.Y2("high:Q")
    )
    points = base.mark_point(size=120, color=PALETTE[0], opacity=1, strokeWidth=2).encode(
        alt.Y("mcc:Q", scale=scale),
        fill=alt.condition(alt.datum.lab, alt.value(PALETTE[0]), alt.value("white")),
        tooltip=[
            "version",
            "aliases",
            alt.Tooltip("mcc", format=".4f"),
            alt.Tooltip("mcc_sd", format=".4f"),
        ],
    )
    return (bars + points).properties(height=300)


def history_table(steps: list[Promotion]) -> pd.DataFrame:
    """One row per promotion and rollback, the newest first."""
    rows = [
        (pd.Timestamp(s.when), s.who, s.action, s.from_version, s.to_version, s.reason)
        for s in reversed(steps)
    ]
    table = pd.DataFrame(rows, columns=["when", "who", "action", "from", "to", "reason"])
    return table.astype({"from": "Int64", "to": "Int64"})


def show_version(shown: Version, steps: list[Promotion]) -> None:
    """Show the gates that a version passed, its model card and its tags."""
    passed = [step for step in steps if step.to_version == shown.version and step.gates]
    if not passed:
        st.caption(
            "This version has not passed the gates yet: "
            f"`spinscope registry promote {shown.name} --version {shown.version} --reason …`"
        )
    else:
        step = passed[-1]
        st.markdown(f"**Gates** passed on {step.when[:10]}, promoted by {step.who}")
        rows = [("✓" if g.passed else "✗", g.name, g.measured, g.limit, g.rule) for g in step.gates]
        table = pd.DataFrame(rows, columns=["", "gate", "measured", "limit", "rule"])
        show_table(table, precision=4)
    card, tags = st.columns(2, gap="large")
    with card:
        st.markdown(f"**Model card** of `{shown.ref}`")
        with st.container(border=True, height=420):
            # The headings of the card are below those of the page.
            text = re.sub(r"^#+ ", "##### ", shown.card, flags=re.MULTILINE)
            st.markdown(text or "This version has no model card.")
    with tags:
        st.markdown("**Lineage and measurements**")
        table = pd.DataFrame(sorted(shown.tags.items()), columns=["tag", "value"])
        show_table(table, height=420)


with page("Registry", "Versions of a model, and the version that the lab uses.") as params:
    store = open_tracking(params)
    known = names(store) if store else []
    if not known:
        missing("No model has been registered yet.", f"spinscope train {params.family}")
    with st.sidebar:
        name = st.selectbox("Model", known, key="registered")
    table, steps = versions(store, name), history(store, name)
    lab = table[table["aliases"].map(lambda text: LAB in text.split(", "))]

    left, right = st.columns([2, 3], gap="large")
    with left:
        alias = f"models:/{name}@{LAB}"
        if lab.empty:
            st.metric("In the lab", "none yet", help=f"No version has the alias {alias}")
        else:
            st.metric("In the lab", f"version {lab['version'].iloc[0]}", help=alias)
            if steps:
                st.caption(f"{steps[-1].action} by {steps[-1].who}, {steps[-1].when[:10]}")
                st.text(f"“{steps[-1].reason}”")
        st.metric("Versions", len(table))
    right.altair_chart(version_chart(table), width="stretch")
    show_table(table[list(COLUMNS)].rename(columns=COLUMNS), FORMATS)

    one, two, past = st.tabs(["One version", "Compare two", "History"])
    numbers = table["version"].tolist()
    with one:
        number = st.selectbox("Version", numbers, key="version")
        show_version(version(store, name, number), steps)
    with two:
        if len(numbers) < 2:
            st.caption("There is only one version; train again to compare two.")
        else:
            left, right = st.columns(2)
            a = left.selectbox("Version a", numbers, 1, key="a")
            b = right.selectbox("Version b", numbers, 0, key="b")
            difference = compare(version(store, name, a), version(store, name, b))
            if a == b:
                st.caption("Choose two different versions.")
            elif difference.empty:
                st.caption("The versions are identical.")
            else:
                show_table(difference, {"change": "{:+.4g}"}, height=420)
    with past:
        if not steps:
            st.caption(
                f"{name} has not been promoted yet: `spinscope registry promote {name} --reason …`"
            )
        else:
            show_table(history_table(steps), {"when": "{:%Y-%m-%d %H:%M} UTC"})
