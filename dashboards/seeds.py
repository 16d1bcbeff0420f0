"""Spread of a training over its seeds: scores and learning curves."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from components import charts, layout, models
from spinscope import families
from spinscope.families import Family, Metric
from spinscope.tracking import Store
from spinscope.tracking.curves import curves, experiments
from spinscope.tracking.runs import runs

# Reports of a seed and their titles.
REPORTS = {"validation": "without augmentation", "tta": "test-time augmentation"}

COLOURS = layout.colours(REPORTS.values())
# Titles of the numbers of a report, besides the metric of the family.
TITLES = {
    "accuracy": "pixel accuracy",
    "f1": "F1",
    "jaccard": "Jaccard",
    "size.wasserstein_px": "size distance, px",
    "objects.predicted": "skyrmions",
    "objects.true": "labelled",
    "mse": "mean squared error, J²",
    "r2.x": "R² of x",
    "r2.y": "R² of y",
    "r2.z": "R² of z",
    "r2": "R²",
    "coverage": "coverage of the 90 % interval",
    "rmse_si": "RMSE, SI units",
    "bias": "bias",
}


def trainings(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Completed parent runs, with a unique name of each training."""
    if f"{metric.name}.mean" not in table:
        return table.iloc[:0]
    parents = table[(table["kind"] == "experiment") & table[f"{metric.name}.mean"].notna()]
    when = parents["started"].dt.tz_convert(None).dt.strftime("%Y-%m-%d %H:%M")
    return parents.assign(training=when + " · " + parents["run_id"].str[:6])


def seeds_of(table: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """One row per seed of the trainings, with the name of its training."""
    names = parents.set_index("run_id")["training"]
    seeds = table[(table["kind"] == "seed") & table["parent"].isin(names.index)]
    seeds = seeds.assign(training=seeds["parent"].map(names), number=seeds["seed"].astype(int))
    return seeds.sort_values("number")


def key_of(report: str, name: str) -> str:
    """Key of a mean or SD over the seeds; keys of the validation report have no prefix."""
    return name if report == "validation" else f"{report}.{name}"


def spread_chart(parents: pd.DataFrame, seeds: pd.DataFrame, metric: Metric) -> alt.LayerChart:
    """Mean and SD of the metric of each training as points and bars, its seeds as ticks."""
    means, ticks = [], []
    for report, name in REPORTS.items():
        mean = key_of(report, f"{metric.name}.mean")
        if mean in parents:
            value, sd = parents[mean], parents[key_of(report, f"{metric.name}.sd")]
            ends = {"low": value - sd, "high": value + sd}
            columns = {"training": parents["training"], "name": name, "value": value, "sd": sd}
            means.append(pd.DataFrame(columns | ends))
        if (key := f"{report}.{metric.name}") in seeds:
            ticks.append(seeds[["training", "seed"]].assign(name=name, value=seeds[key]))
    order, scale = parents["training"].tolist(), alt.Scale(zero=False, nice=True, padding=12)
    rows = (
        alt.Y("training:N", title=None, sort=order, axis=alt.Axis(labelLimit=320)),
        alt.YOffset("name:N", sort=list(COLOURS)),
        charts.colour(COLOURS),
    )
    number = alt.Tooltip("value", title=metric.title, format=metric.form)
    base = alt.Chart(pd.concat(means)).encode(*rows)
    title = f"{metric.title} on the validation frames, mean ± SD"
    x = alt.X("value:Q", title=title, scale=scale)
    bars = base.mark_rule(strokeWidth=2.5).encode(
        alt.X("low:Q", title=title, scale=scale), alt.X2("high:Q")
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        x, tooltip=["training", "name", number, alt.Tooltip("sd", format=metric.form)]
    )
    layers = [bars, points]
    if ticks:
        marks = alt.Chart(pd.concat(ticks)).mark_tick(thickness=2, size=16, opacity=0.55)
        layers.insert(0, marks.encode(*rows, x, tooltip=["seed", "name", number]))
    return alt.layer(*layers).properties(height=alt.Step(30))


def show_learning_curves(table: pd.DataFrame, metric: Metric) -> None:
    """Show metric and loss over the epochs, one colour per seed."""
    colours = layout.colours(table["name"].unique())
    layout.legend(colours)
    titles = {metric.name: metric.title, "loss": "loss"}
    for column, (key, title) in zip(st.columns(2, gap="large"), titles.items(), strict=True):
        splits = {f"val_{key}": "validation", key: "training"}
        shown = table[table["metric"].isin(splits)]
        shown = shown.assign(style=shown["metric"].map(splits))
        x = alt.X("x:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
        y = alt.Y("y:Q", title=title, scale=alt.Scale(zero=False))
        chart = charts.curves(shown, colours, x, y, dashed="training", points=False, height=320)
        column.altair_chart(chart, width="stretch")
    st.caption("Solid: validation frames. Dashed: training frames.")


def mean_sd(mean: float, sd: float) -> str:
    """Mean and SD in one cell, as powers of ten where the mean is small.

    >>> mean_sd(0.9123, 0.0012), mean_sd(2.1e-6, 4e-7)
    ('0.912 ± 0.001', '2.1e-06 ± 4.0e-07')
    """
    form = ".3f" if abs(mean) >= 1e-3 or mean == 0 else ".1e"
    return f"{mean:{form}} ± {sd:{form}}"


def show_training(store: Store, parent: pd.Series, seeds: pd.DataFrame, family: Family) -> None:
    """Show means over the seeds of one training, its learning curves, and one row per seed."""
    metric = family.metric
    augmented = f"{metric.title} with augmentation"
    means = {metric.title: metric.name, augmented: key_of("tta", metric.name)}
    # Four numbers fit side by side; the table below holds all.
    titles = {key: TITLES.get(key, key) for key in family.summarised[-2:]}
    means |= {title[0].upper() + title[1:]: key for key, title in titles.items()}
    layout.metrics(
        {
            title: mean_sd(parent[f"{key}.mean"], parent[f"{key}.sd"])
            for title, key in means.items()
            if not pd.isna(parent.get(f"{key}.mean"))
        }
    )
    history = curves(store, seeds["run_id"].tolist())
    if history.empty:
        st.caption("No learning curves were stored for this training.")
    else:
        history = history.merge(seeds[["run_id", "seed"]], on="run_id")
        history = history.rename(columns={"epoch": "x", "value": "y"})
        show_learning_curves(history.assign(name="seed " + history["seed"]), metric)
    columns = {"seed": "seed", f"validation.{metric.name}": metric.title}
    columns |= {f"tta.{metric.name}": augmented}
    columns |= {f"validation.{k}": title for k, title in TITLES.items() if k != metric.name}
    columns |= {"status": "status", "run_id": "run"}
    shown = seeds[[key for key in columns if key in seeds]].rename(columns=columns)
    forms = {"skyrmions": "{:.0f}", "labelled": "{:.0f}", TITLES["mse"]: "{:.2e}"}
    forms |= {TITLES[f"r2.{axis}"]: "{:.6f}" for axis in "xyz"}
    forms |= {TITLES["coverage"]: "{:.1%}", TITLES["rmse_si"]: "{:.2e}"}
    forms |= dict.fromkeys((metric.title, augmented), f"{{:{metric.form}}}")
    layout.table(shown, forms, precision=4)


with layout.page("Seeds", "Spread of the results of one training over its random seeds.") as params:
    store = models.open_tracking(params)
    names = experiments(store) if store else []
    if not names:
        layout.untrained("No training has been tracked yet.")
    with st.sidebar:
        name = st.selectbox("Experiment", names, key="experiment")
    table = runs(models.open_tracking(params, name))
    known = table["family"].dropna() if len(table) else table
    family = families.of_model({"family": known.iloc[0]} if len(known) else {})
    parents = trainings(table, family.metric)
    if parents.empty:
        layout.untrained(f"Experiment {name} has no completed training yet.")
    seeds = seeds_of(table, parents)
    layout.legend(COLOURS)
    st.altair_chart(spread_chart(parents, seeds, family.metric), width="stretch")
    st.caption("Points and bars: mean ± sample SD over the seeds. Ticks: single seeds.")
    chosen = st.selectbox("Training", parents["training"].tolist(), key="training")
    parent = parents.set_index("training").loc[chosen]
    show_training(store, parent, seeds[seeds["training"] == chosen], family)
