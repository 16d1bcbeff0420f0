"""Spread of a training over its seeds: scores and learning curves."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from components.charts import colour, curves
from components.choices import open_tracking
from components.layout import PALETTE, hint, legend, missing, page, show_metrics, show_table
from spinscope.tracking.curves import curves as learning_curves
from spinscope.tracking.curves import experiments
from spinscope.tracking.runs import runs

ONE_PASS, AUGMENTED = "without augmentation", "test-time augmentation"
COLOURS = {ONE_PASS: PALETTE[0], AUGMENTED: PALETTE[1]}
METRICS = {
    "MCC": "mcc",
    "MCC with augmentation": "tta.mcc",
    "Jaccard": "jaccard",
    "Size distance, px": "size.wasserstein_px",
}
SCORES = (
    (ONE_PASS, "mcc.mean", "mcc.sd", "validation.mcc"),
    (AUGMENTED, "tta.mcc.mean", "tta.mcc.sd", "tta.mcc"),
)
COLUMNS = {
    "seed": "seed",
    "validation.mcc": "MCC",
    "tta.mcc": "MCC with augmentation",
    "validation.f1": "F1",
    "validation.jaccard": "Jaccard",
    "validation.objects.predicted": "skyrmions",
    "validation.objects.true": "labelled",
    "validation.size.wasserstein_px": "size distance, px",
    "status": "status",
    "run_id": "run",
}


def trainings(table: pd.DataFrame) -> pd.DataFrame:
    """Completed parent runs, with a unique name of each training."""
    if "mcc.mean" not in table:
        return table.iloc[:0]
    parents = table[(table["kind"] == "experiment") & table["mcc.mean"].notna()]
    when = parents["started"].dt.tz_convert(None).dt.strftime("%Y-%m-%d %H:%M")
    return parents.assign(training=when + " · " + parents["run_id"].str[:6])


def seeds_of(table: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """One row per seed of the trainings, with the name of its training."""
    names = parents.set_index("run_id")["training"]
    seeds = table[(table["kind"] == "seed") & table["parent"].isin(names.index)]
    return seeds.assign(training=seeds["parent"].map(names)).sort_values(
        "seed", key=lambda s: s.astype(int)
    )


def spread_chart(parents: pd.DataFrame, seeds: pd.DataFrame) -> alt.LayerChart:
    """Mean and SD of the MCC of each training as points and bars, its seeds as ticks."""
    means, ticks = [], []
    for kind, mean, sd, mcc in SCORES:
        if mean in parents:
            table = parents[["training", mean, sd]].set_axis(["training", "mcc", "sd"], axis=1)
            means.append(table.assign(name=kind))
        if mcc in seeds:
            table = seeds[["training", "seed", mcc]].set_axis(["training", "seed", "mcc"], axis=1)
            ticks.append(table.assign(name=kind))
    summary = pd.concat(means)
    summary = summary.assign(
        low=summary["mcc"] - summary["sd"], high=summary["mcc"] + summary["sd"]
    )
    scale = alt.Scale(zero=False, nice=True, padding=12)
    position = (
        alt.Y(
            "training:N",
            title=None,
            sort=parents["training"].tolist(),
            axis=alt.Axis(labelLimit=320),
        ),
        alt.YOffset("name:N", sort=[ONE_PASS, AUGMENTED]),
        colour(COLOURS),
    )
    mcc = alt.Tooltip("mcc", format=".4f")
    base = alt.Chart(summary).encode(*position)
    layers = [
        base.mark_rule(strokeWidth=2.5).encode(
            alt.X("low:Q", title="MCC on the validation frames, mean ± SD", scale=scale),
            alt.X2("high:Q"),
        ),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            alt.X("mcc:Q", scale=scale),
            tooltip=["training", "name", mcc, alt.Tooltip("sd", format=".4f")],
        ),
    ]
    if ticks:
        marks = alt.Chart(pd.concat(ticks)).mark_tick(thickness=2, size=16, opacity=0.55)
        layers.insert(
            0, marks.encode(*position, alt.X("mcc:Q", scale=scale), tooltip=["seed", "name", mcc])
        )
    return alt.layer(*layers).properties(height=alt.Step(30))


def show_learning_curves(table: pd.DataFrame) -> None:
    """Show MCC and loss over the epochs, one colour per seed."""
    colours = {seed: PALETTE[k % len(PALETTE)] for k, seed in enumerate(table["name"].unique())}
    legend(colours)
    for column, (key, title) in zip(
        st.columns(2, gap="large"), {"mcc": "MCC", "loss": "loss"}.items(), strict=True
    ):
        splits = {f"val_{key}": "validation", key: "training"}
        shown = table[table["metric"].isin(splits)]
        shown = shown.assign(style=shown["metric"].map(splits), x=shown["epoch"], y=shown["value"])
        x = alt.X("x:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
        y = alt.Y("y:Q", title=title, scale=alt.Scale(zero=False))
        chart = curves(shown, colours, x, y, dashed="training", points=False, height=320)
        column.altair_chart(chart, width="stretch")
    st.caption("Solid: validation frames. Dashed: training frames.")


with page("Seeds", "Spread of the results of one training over its random seeds.") as params:
    train = f"spinscope train {params.family}"
    store = open_tracking(params)
    names = experiments(store) if store else []
    if not names:
        missing("No training has been tracked yet.", train)
    own = params.tracking.experiment
    with st.sidebar:
        name = st.selectbox(
            "Experiment", names, names.index(own) if own in names else 0, key="experiment"
        )
    table = runs(open_tracking(params, name))
    parents = table if table.empty else trainings(table)
    if parents.empty:
        missing(f"Experiment {name} has no completed training yet.", train)
    seeds = seeds_of(table, parents)
    legend(COLOURS)
    st.altair_chart(spread_chart(parents, seeds), width="stretch")
    st.caption("Points and bars: mean ± sample SD over the seeds. Ticks: single seeds.")

    chosen = st.selectbox("Training", parents["training"].tolist(), key="training")
    parent = parents.set_index("training").loc[chosen]
    means = {title: parent.get(f"{key}.mean") for title, key in METRICS.items()}
    show_metrics(
        {
            title: "–" if pd.isna(mean) else f"{mean:.3f} ± {parent[f'{METRICS[title]}.sd']:.3f}"
            for title, mean in means.items()
        }
    )
    seeds = seeds[seeds["training"] == chosen]
    history = learning_curves(store, seeds["run_id"].tolist())
    if history.empty:
        hint("No learning curves were stored for this training.")
    else:
        history = history.merge(seeds[["run_id", "seed"]], on="run_id")
        show_learning_curves(history.assign(name="seed " + history["seed"].astype(str)))
    shown = seeds[[key for key in COLUMNS if key in seeds]].rename(columns=COLUMNS)
    show_table(shown, {"skyrmions": "{:.0f}", "labelled": "{:.0f}"}, precision=4)
