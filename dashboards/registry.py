"""The registered versions of a model, the version that the lab uses, and its history."""

from __future__ import annotations

import re
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from components import layout, models
from spinscope import families
from spinscope.config import load_params
from spinscope.families import Gate, Metric
from spinscope.jobs import check_gates, promote
from spinscope.jobs.reproducing import REPRODUCED, verdict_text
from spinscope.tracking import Promotion, Store, Version, compare, history, version, versions
from spinscope.tracking.promotion import MOVED
from spinscope.tracking.registry import LAB, VERDICT, names

# Columns of the table of versions, besides the metric of the family; those without a value are
# left out.
COLUMNS = {
    "version": "version",
    "aliases": "aliases",
    "seeds": "seeds",
    "seen_in_training": "frames seen in training",
    "count_error": "count error",
    "coverage": "coverage",
    "frame_ms": "frame, ms",
    "validated": "data validated",
    "commit": "commit",
    "dirty": "uncommitted changes",
    "data": "data",
    "reproduced": "reproduced",
}


def version_chart(table: pd.DataFrame, metric: Metric) -> alt.LayerChart:
    """Mean and SD of the metric of every version; the version of the lab is filled."""
    mean, sd = (table[key].astype(float) for key in (metric.name, f"{metric.name}_sd"))
    in_lab = table["aliases"].str.split(", ").map(lambda aliases: LAB in aliases)
    table = table.assign(mean=mean, sd=sd, low=mean - sd, high=mean + sd, lab=in_lab)
    colour, scale = layout.PALETTE[0], alt.Scale(zero=False, padding=12)
    base = alt.Chart(table).encode(alt.X("version:O", axis=alt.Axis(labelAngle=0)))
    title = f"{metric.title}, mean ± SD over seeds"
    bars = base.mark_rule(strokeWidth=2, color=colour).encode(
        alt.Y("low:Q", title=title, scale=scale), alt.Y2("high:Q")
    )
    numbers = [alt.Tooltip(key, format=metric.form) for key in ("mean", "sd")]
    points = base.mark_point(size=120, color=colour, opacity=1, strokeWidth=2).encode(
        alt.Y("mean:Q", title=title, scale=scale),
        fill=alt.condition(alt.datum.lab, alt.value(colour), alt.value("white")),
        tooltip=["version", "aliases", *numbers],
    )
    return (bars + points).properties(height=300)


def history_table(steps: list[Promotion]) -> pd.DataFrame:
    """One row per move of the alias, the newest first."""
    rows = [
        (
            pd.to_datetime(s.when or None, utc=True),
            s.who,
            s.action,
            s.from_version,
            s.to_version,
            s.reason,
            s.override,
            s.policy[:12],
        )
        for s in reversed(steps)
    ]
    columns = ["when", "who", "action", "from", "to", "reason", "gates overridden", "limits"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"from": "Int64", "to": "Int64"})


def show_history(steps: list[Promotion]) -> None:
    """Show the moves of the alias; those around the gates are red."""
    table = history_table(steps)
    around = (table["gates overridden"] != "") | (table["action"] == MOVED)

    def colour(row: pd.Series) -> list[str]:
        return [f"color: {layout.RED}" if around[row.name] else ""] * len(row)

    styled = table.style.format({"when": "{:%Y-%m-%d %H:%M} UTC"}, na_rep="–")
    st.dataframe(styled.apply(colour, axis=1), hide_index=True, width="stretch")
    if around.any():
        st.error(
            f"{int(around.sum())} of {len(table)} moves went around the gates.",
            icon=":material/gpp_bad:",
        )


def show_gates(gates: Sequence[Gate]) -> None:
    """Show the table of gates, with the confidence intervals of the measured values."""
    rows = [
        ("✓" if g.passed else "✗", g.name, g.measured, g.low, g.high, g.limit, g.rule)
        for g in gates
    ]
    columns = ["", "gate", "measured", "low", "high", "limit", "rule"]
    table = pd.DataFrame(rows, columns=columns)
    numbers = columns[2:6]
    layout.table(table.astype(dict.fromkeys(numbers, float)), precision=4)


def show_promotion(shown: Version) -> None:
    """Measure the gates of a version, and promote it with a reason."""
    params = load_params(
        shown.tags.get("params.profile"), family=families.of_model(shown.tags).name
    )
    checked = st.session_state.setdefault("gates", {})
    if st.button("Check the gates", icon=":material/fact_check:", key=f"check {shown.ref}"):
        with layout.errors_shown(), st.spinner("Measuring the gates …"):
            checked[shown.ref] = check_gates(params, shown.name, shown.version)
    gates = checked.get(shown.ref)
    if gates is None:
        st.caption("The gates score this version and that of the lab on the validation frames.")
        return
    show_gates(gates)
    failed = [gate.name for gate in gates if not gate.passed]
    reason = st.text_input("Reason", key=f"reason {shown.ref}", max_chars=2000).strip()
    override = ""
    if failed:
        st.error(f"Failed: {', '.join(failed)}", icon=":material/gpp_bad:")
        override = st.text_input(
            "Reason to override the gates, which the history shows in red",
            key=f"override {shown.ref}",
            max_chars=2000,
        ).strip()
    ready = bool(reason) and (not failed or bool(override))
    if st.button("Promote", type="primary", disabled=not ready, key=f"promote {shown.ref}"):
        with layout.errors_shown(), st.spinner("Promoting …"):
            step = promote(
                params, shown.name, shown.version, reason, override_gates=override or None
            )
            st.success(f"{step.ref} is version {step.to_version}", icon=":material/check:")


def show_lab(name: str, table: pd.DataFrame, steps: list[Promotion]) -> None:
    """Show the version that the lab uses, and the last promotion or rollback."""
    in_lab = [row.version for row in table.itertuples() if LAB in row.aliases.split(", ")]
    alias = f"models:/{name}@{LAB}"
    if not in_lab:
        st.metric("In the lab", "none yet", help=f"No version has the alias {alias}")
    else:
        st.metric("In the lab", f"version {in_lab[0]}", help=alias)
        if steps:
            by = f" by {steps[-1].who}, {steps[-1].when[:10]}" if steps[-1].who else ""
            st.caption(f"{steps[-1].action}{by}")
            st.text(f"“{steps[-1].reason}”")
    st.metric("Versions", len(table))


def show_version(shown: Version, steps: list[Promotion]) -> None:
    """Show the gates that a version passed, its model card and its tags."""
    passed = [step for step in steps if step.to_version == shown.version and step.gates]
    if passed:
        step = passed[-1]
        how = "overridden" if step.override else "passed"
        st.markdown(f"**Gates** {how} on {step.when[:10]}, promoted by {step.who}")
        show_gates(step.gates)
    else:
        st.caption("This version has not been promoted yet: see the tab Promote.")
    show_verdict(shown)
    card, tags = st.columns(2, gap="large")
    with card:
        st.markdown(f"**Model card** of `{shown.ref}`")
        with st.container(border=True, height=420):
            # Headings of the card are ranked below those of the page.
            # The settings in JSON are the tags beside it.
            text = re.sub(r"```json\n.*?```", "", shown.card, flags=re.DOTALL)
            text = re.sub(r"^#+ ", "##### ", text, flags=re.MULTILINE)
            st.markdown(text or "This version has no model card.")
    with tags:
        st.markdown("**Lineage and measurements**")
        table = pd.DataFrame(sorted(shown.tags.items()), columns=["tag", "value"])
        layout.table(table, height=420)


def show_verdict(shown: Version) -> None:
    """Show whether a repeated training had the scores of a version."""
    text = verdict_text(shown.tags)
    if not text:
        st.caption(f"The training has not been repeated yet: `spinscope reproduce {shown.ref}`")
    elif shown.tags[VERDICT] == REPRODUCED:
        st.success(text, icon=":material/replay:")
    else:
        st.warning(text, icon=":material/replay:")


def show_comparison(store: Store, name: str, numbers: list[int]) -> None:
    """Show the differences between two versions."""
    if len(numbers) < 2:
        st.caption("There is only one version; train again to compare two.")
        return
    left, right = st.columns(2)
    a = left.selectbox("Version a", numbers, 1, key="a")
    b = right.selectbox("Version b", numbers, 0, key="b")
    difference = compare(version(store, name, a), version(store, name, b))
    if a == b:
        st.caption("Choose two different versions.")
    elif difference.empty:
        st.caption("The versions are identical.")
    else:
        layout.table(difference, {"change": "{:+.4g}"}, height=420)


with layout.page("Registry", "Versions of a model, and the version that the lab uses.") as params:
    store = models.open_tracking(params)
    known = names(store) if store else []
    if not known:
        layout.untrained("No model has been registered yet.")
    with st.sidebar:
        name = st.selectbox("Model", known, key="registered")
    table, steps = versions(store, name), history(store, name)
    numbers = table["version"].tolist()
    metric = families.of_model(version(store, name).tags).metric

    left, right = st.columns([2, 3], gap="large")
    with left:
        show_lab(name, table, steps)
    right.altair_chart(version_chart(table, metric), width="stretch")
    columns = {"version": "version", "aliases": "aliases", metric.name: metric.title}
    columns |= {f"{metric.name}_sd": "SD"} | COLUMNS
    shown = table[[key for key in columns if table[key].notna().any()]].rename(columns=columns)
    number = f"{{:{metric.form}}}"
    forms = {metric.title: number, "SD": number, "frame, ms": "{:.0f}", "coverage": "{:.1%}"}
    layout.table(shown, forms)

    one, promotion, two, past = st.tabs(["One version", "Promote", "Compare two", "History"])
    with one:
        number = st.selectbox("Version", numbers, key="version")
        show_version(version(store, name, number), steps)
    with promotion:
        show_promotion(version(store, name, number))
    with two:
        show_comparison(store, name, numbers)
    with past:
        if steps:
            show_history(steps)
        else:
            command = f"spinscope registry promote {name} --reason …"
            st.caption(f"{name} has not been promoted yet: `{command}`")
