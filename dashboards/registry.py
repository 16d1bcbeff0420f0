"""The registered versions, which one the lab uses, and how it came to that."""

from __future__ import annotations

import re

import altair as alt
import pandas as pd
import streamlit as st

from _shared import missing, page, store
from spinscope.tracking import Promotion, Version, compare, history, version, versions
from spinscope.tracking.registry import LAB, names

_TABLE = {
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
_NUMBERS = {"MCC": ".4f", "SD": ".4f", "count error": ".3f", "frame, ms": ".0f"}


def version_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Mean MCC of every version with its SD over the seeds; the lab's is filled."""
    table = table.assign(
        low=table["mcc"] - table["mcc_sd"],
        high=table["mcc"] + table["mcc_sd"],
        lab=table["aliases"].map(lambda text: LAB in text.split(", ")),
    )
    base = alt.Chart(table).encode(alt.X("version:O", axis=alt.Axis(labelAngle=0)))
    scale = alt.Scale(zero=False, padding=12)
    bars = base.mark_rule(strokeWidth=2, color="#2a6f97").encode(
        alt.Y("low:Q", title="MCC, mean ± SD over seeds", scale=scale), alt.Y2("high:Q")
    )
    points = base.mark_point(size=120, color="#2a6f97", opacity=1, strokeWidth=2).encode(
        alt.Y("mcc:Q", scale=scale),
        fill=alt.condition(alt.datum.lab, alt.value("#2a6f97"), alt.value("white")),
        tooltip=[
            "version",
            "aliases",
            alt.Tooltip("mcc", format=".4f"),
            alt.Tooltip("mcc_sd", format=".4f"),
        ],
    )
    return (bars + points).properties(height=300)


def history_table(steps: list[Promotion]) -> pd.DataFrame:
    """Every step of the alias, newest first."""
    return pd.DataFrame(
        [
            {
                "when": pd.Timestamp(step.when),
                "who": step.who,
                "what": step.action,
                "from": step.from_version,
                "to": step.to_version,
                "why": step.reason,
            }
            for step in reversed(steps)
        ]
    ).astype({"from": "Int64", "to": "Int64"})


def gate_table(step: Promotion) -> pd.DataFrame:
    """The gates that a promotion passed, with what was measured."""
    return pd.DataFrame(
        [
            {
                "": "✓" if gate.passed else "✗",
                "gate": gate.name,
                "measured": gate.measured,
                "limit": gate.limit,
                "rule": gate.rule,
            }
            for gate in step.gates
        ]
    )


def show_version(of: Version, steps: list[Promotion]) -> None:
    """Gates, card and tags of a version."""
    passed = next(
        (step for step in reversed(steps) if step.to_version == of.version and step.gates), None
    )
    if passed is None:
        st.caption(
            "It has not passed the gates yet: "
            f"`spinscope registry promote {of.name} --version {of.version} --reason …`"
        )
    else:
        st.markdown(f"**Gates**, passed {passed.when[:10]} when {passed.who} promoted it")
        table = gate_table(passed).style.format(precision=4, na_rep="–")
        st.dataframe(table, hide_index=True, width="stretch")
    card, facts = st.columns(2, gap="large")
    with card:
        st.markdown(f"**Model card** of `{of.ref}`")
        with st.container(border=True, height=420):
            # Its heading is one among those of the page.
            text = re.sub(r"^#+ ", "##### ", of.card, flags=re.MULTILINE)
            st.markdown(text or "This version has no card.")
    with facts:
        st.markdown("**Where it comes from, and what it was measured to do**")
        tags = pd.DataFrame(sorted(of.tags.items()), columns=["tag", "value"])
        st.dataframe(tags, hide_index=True, width="stretch", height=420)


with page("Registry", "The versions of a model, the one that the lab uses, and why.") as params:
    opened = store(params)
    known = names(opened) if opened else []
    if not known:
        missing("No model has been registered yet.", "spinscope train moke-unet")
    with st.sidebar:
        name = st.selectbox("Model", known, key="registered")
    table = versions(opened, name)
    steps = history(opened, name)
    lab = next((row for row in table.to_dict("records") if LAB in row["aliases"].split(", ")), None)

    left, right = st.columns([2, 3], gap="large")
    with left:
        if lab is None:
            st.metric("In the lab", "none yet", help=f"models:/{name}@{LAB} points nowhere yet")
        else:
            st.metric("In the lab", f"version {lab['version']}", help=f"models:/{name}@{LAB}")
            last = steps[-1] if steps else None
            if last is not None:
                st.caption(f"{last.action} by {last.who}, {last.when[:10]}")
                st.text(f"“{last.reason}”")
        st.metric("Versions", len(table))
    right.altair_chart(version_chart(table), width="stretch")

    shown = table[list(_TABLE)].rename(columns=_TABLE)
    st.dataframe(
        shown.style.format({key: f"{{:{form}}}" for key, form in _NUMBERS.items()}, na_rep="–"),
        hide_index=True,
        width="stretch",
    )

    one, two, past = st.tabs(["A version", "Compare two", "History"])
    numbers = table["version"].tolist()
    with one:
        number = st.selectbox("Version", numbers, key="version")
        show_version(version(opened, name, number), steps)
    with two:
        if len(numbers) < 2:
            st.caption("There is one version only; a second training gives something to compare.")
        else:
            left, right = st.columns(2)
            a = left.selectbox("Version a", numbers, 1, key="a")
            b = right.selectbox("Version b", numbers, 0, key="b")
            difference = compare(version(opened, name, a), version(opened, name, b))
            if difference.empty:
                st.caption(
                    "They differ in nothing." if a != b else "Choose two different versions."
                )
            else:
                st.dataframe(
                    difference.style.format({"change": "{:+.4g}"}, na_rep=""),
                    hide_index=True,
                    width="stretch",
                    height=420,
                )
    with past:
        if not steps:
            st.caption(
                f"{name} has not been promoted yet: `spinscope registry promote {name} --reason …`"
            )
        else:
            st.dataframe(
                history_table(steps).style.format({"when": "{:%Y-%m-%d %H:%M} UTC"}, na_rep="–"),
                hide_index=True,
                width="stretch",
            )
