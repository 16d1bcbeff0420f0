"""How much the seeds of a training differ: mean and spread of the MCC, and the curves."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from _shared import legend, missing, page, store
from spinscope.tracking.curves import curves, experiments
from spinscope.tracking.runs import runs

PLAIN, AUGMENTED = "one view", "test-time augmentation"
TINTS = {PLAIN: "#2a6f97", AUGMENTED: "#e07a1f"}
AUGMENTATION = alt.Color(
    "views:N", scale=alt.Scale(domain=list(TINTS), range=list(TINTS.values())), legend=None
)


def trainings(table: pd.DataFrame) -> pd.DataFrame:
    """The parent runs that have ended, with a name that tells them apart."""
    if "mcc.mean" not in table:
        return table.iloc[:0]
    parents = table[(table["kind"] == "experiment") & table["mcc.mean"].notna()]
    when = parents["started"].dt.tz_convert(None).dt.strftime("%Y-%m-%d %H:%M")
    return parents.assign(training=when + " · " + parents["run_id"].str[:6])


def of_seeds(table: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """A row a seed: which training, its MCC without and with test-time augmentation."""
    names = parents.set_index("run_id")["training"]
    seeds = table[(table["kind"] == "seed") & table["parent"].isin(names.index)]
    return seeds.assign(training=seeds["parent"].map(names)).sort_values(
        "seed", key=lambda s: s.astype(int)
    )


def spread_chart(parents: pd.DataFrame, seeds: pd.DataFrame) -> alt.LayerChart:
    """Mean and SD of the MCC over the seeds of each training, the seeds as small points."""
    means, points = [], []
    for views, mean, sd, one in (
        (PLAIN, "mcc.mean", "mcc.sd", "validation.mcc"),
        (AUGMENTED, "tta.mcc.mean", "tta.mcc.sd", "tta.mcc"),
    ):
        if mean in parents:
            part = parents[["training", mean, sd]].set_axis(["training", "mean", "sd"], axis=1)
            means.append(
                part.assign(
                    views=views, low=part["mean"] - part["sd"], high=part["mean"] + part["sd"]
                )
            )
        if one in seeds:
            part = seeds[["training", "seed", one]].set_axis(["training", "seed", "mcc"], axis=1)
            points.append(part.assign(views=views))
    order = parents["training"].tolist()
    y = alt.Y("training:N", title=None, sort=order, axis=alt.Axis(labelLimit=320))
    offset = alt.YOffset("views:N", sort=[PLAIN, AUGMENTED])
    scale = alt.Scale(zero=False, nice=True, padding=12)
    base = alt.Chart(pd.concat(means)).encode(y, AUGMENTATION, offset)
    tooltip = [
        "training",
        "views",
        alt.Tooltip("mean", format=".4f"),
        alt.Tooltip("sd", format=".4f"),
    ]
    bars = base.mark_rule(strokeWidth=2.5).encode(
        alt.X("low:Q", title="MCC on the validation frames: mean ± SD over the seeds", scale=scale),
        alt.X2("high:Q"),
    )
    middles = base.mark_point(filled=True, size=110, opacity=1).encode(
        alt.X("mean:Q", scale=scale), tooltip=tooltip
    )
    layers = [bars, middles]
    if points:
        layers.insert(
            0,
            alt.Chart(pd.concat(points))
            .mark_tick(thickness=2, size=16, opacity=0.55)
            .encode(
                alt.X("mcc:Q", scale=scale),
                y,
                AUGMENTATION,
                offset,
                tooltip=["seed", "views", alt.Tooltip("mcc", format=".4f")],
            ),
        )
    return alt.layer(*layers).properties(height=alt.Step(30))


def curve_chart(table: pd.DataFrame, what: str, title: str) -> alt.LayerChart:
    """One quantity over the epochs, a colour a seed: validation solid, training dashed."""
    table = table[table["metric"].isin([what, f"val_{what}"])]
    table = table.assign(
        frames=table["metric"].str.startswith("val_").map({True: "validation", False: "training"})
    )
    return (
        alt.Chart(table, title=alt.TitleParams(title, anchor="start"))
        .mark_line(strokeWidth=1.8)
        .encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d")),
            alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            alt.Color(
                "seed:N", scale=alt.Scale(scheme="tableau10"), legend=alt.Legend(orient="top")
            ),
            alt.StrokeDash(
                "frames:N",
                sort=["validation", "training"],
                legend=alt.Legend(title=None, orient="top"),
            ),
            opacity=alt.condition(alt.datum.frames == "validation", alt.value(1), alt.value(0.45)),
            tooltip=["seed", "frames", "epoch", alt.Tooltip("value", format=".4f")],
        )
        .properties(height=320)
    )


with page(
    "Seeds", "How far a result can be trusted: the same training from different seeds."
) as params:
    opened = store(params)
    names = experiments(opened) if opened else []
    if not names:
        missing("Nothing has been trained and tracked yet.", "spinscope train moke-unet")
    with st.sidebar:
        first = (
            names.index(params.tracking.experiment) if params.tracking.experiment in names else 0
        )
        name = st.selectbox("Experiment", names, first, key="experiment")
    table = runs(store(params, name))
    if table.empty:
        missing(f"Experiment {name} holds no run yet.", "spinscope train moke-unet")
    parents = trainings(table)
    if parents.empty:
        missing(f"No training of {name} has come to its end yet.", "spinscope train moke-unet")
    seeds = of_seeds(table, parents)
    legend(TINTS)
    st.altair_chart(spread_chart(parents, seeds), width="stretch")
    st.caption("Points and bars: mean ± SD of a sample over the seeds. Ticks: the single seeds.")

    chosen = st.selectbox("Training", parents["training"].tolist(), key="training")
    parent = parents.set_index("training").loc[chosen]
    own = seeds[seeds["training"] == chosen]
    for column, (title, key) in zip(
        st.columns(4),
        (
            ("MCC", "mcc"),
            ("MCC with augmentation", "tta.mcc"),
            ("Jaccard", "jaccard"),
            ("Size distance, px", "size.wasserstein_px"),
        ),
        strict=True,
    ):
        mean, sd = (parent.get(f"{key}.{part}") for part in ("mean", "sd"))
        column.metric(title, "–" if pd.isna(mean) else f"{mean:.3f} ± {sd:.3f}")

    history = curves(opened, own["run_id"].tolist())
    if history.empty:
        st.info("The seeds of this training keep no curves.")
    else:
        history = history.merge(own[["run_id", "seed"]], on="run_id")
        left, right = st.columns(2, gap="large")
        left.altair_chart(curve_chart(history, "mcc", "MCC"), width="stretch")
        right.altair_chart(curve_chart(history, "loss", "Loss"), width="stretch")
    columns = {
        "seed": "seed",
        "validation.mcc": "MCC",
        "tta.mcc": "MCC with augmentation",
        "validation.f1": "F1",
        "validation.jaccard": "Jaccard",
        "validation.objects.predicted": "skyrmions",
        "validation.objects.true": "of",
        "validation.size.wasserstein_px": "size distance, px",
        "status": "status",
        "run_id": "run",
    }
    shown = own[[key for key in columns if key in own]].rename(columns=columns)
    whole = {"skyrmions": "{:.0f}", "of": "{:.0f}", "seed": "{}", "status": "{}", "run": "{}"}
    form = {name: whole.get(name, "{:.4f}") for name in shown}
    st.dataframe(shown.style.format(form, na_rep="–"), width="stretch", hide_index=True)
