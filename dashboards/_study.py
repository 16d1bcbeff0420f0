"""The study of Lorentz models as charts and tables, from its report."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from _distributions import histogram

SCORES = {"f1": "F1", "jaccard": "Jaccard", "accuracy": "subset accuracy", "mcc": "MCC"}
CURVES = {
    "noise": ("Gaussian noise, % of the mean intensity", 100),
    "defocus": ("defocus, mm", 1),
    "tilt": ("tilt, °", 1),
    "axis": ("tilt axis, °", 1),
}
DASHED = {"noise": ("clipped", "clipped to [0, 1]"), "axis": ("axis_known", "axis given")}
PALETTE = ["#2a6f97", "#e07a1f", "#5a8f3c", "#8e5ea2", "#b5483a"]
PUBLISHED = "published, eight images"
TRUE = "true"


def steps(study: dict, names: list[str], curve: str, score: str) -> pd.DataFrame:
    """Mean of a score and one SD around it at every point of a curve, and of the one beside it."""
    rows = []
    beside, words = DASHED.get(curve, (None, ""))
    for name in names:
        for key, manner in ((curve, "as it is"), (beside, words)):
            for step in study["curves"][name].get(key, ()):
                mean, sd = step[score]["mean"], step[score]["sd"]
                x = CURVES[curve][1] * step["x"]
                rows.append((name, manner, x, mean, max(mean - sd, 0), min(mean + sd, 1)))
    return pd.DataFrame(rows, columns=["model", "manner", "x", "mean", "low", "high"])


def published(study: dict, score: str) -> pd.DataFrame:
    """Scores of the paper at its noise, from the rows of the study."""
    first = study["models"][0]["name"]
    rows = []
    for noise, words in ((0, "no added noise"), (10, "10 % noise"), (50, "50 % noise")):
        name = f"{SCORES[score]}, {words}, {first}"
        rows += [(noise, row["published"]) for row in study["rows"] if row["name"] == name]
    return pd.DataFrame(rows, columns=["x", "mean"])


def curve_chart(study: dict, names: list[str], curve: str, score: str) -> alt.LayerChart:
    """A colour a model; dashed what stands beside a curve; bands of one SD over the films."""
    table = steps(study, names, curve, score)
    colours = alt.Scale(domain=names, range=PALETTE[: len(names)])
    ordinary, beside = "as it is", DASHED.get(curve, ("", "none"))[1]
    base = alt.Chart(table).encode(
        alt.X("x:Q", title=CURVES[curve][0], scale=alt.Scale(zero=False, nice=False)),
        alt.Color("model:N", scale=colours, legend=None),
    )
    scale = alt.Scale(domain=[0, 1])
    band = (
        base.transform_filter(alt.datum.manner == ordinary)
        .mark_area(opacity=0.15)
        .encode(alt.Y("low:Q", scale=scale, title=SCORES[score]), alt.Y2("high:Q"))
    )
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24)).encode(
        alt.Y("mean:Q", scale=scale),
        alt.StrokeDash(
            "manner:N",
            scale=alt.Scale(domain=[ordinary, beside], range=[[1, 0], [3, 3]]),
            legend=None,
        ),
        tooltip=["model", "manner", alt.Tooltip("x:Q"), alt.Tooltip("mean:Q", format=".3f")],
    )
    chart = band + line
    if curve == "noise" and not (paper := published(study, score)).empty:
        chart += (
            alt.Chart(paper)
            .mark_point(shape="diamond", filled=True, size=70, color="black", opacity=1)
            .encode(alt.X("x:Q"), alt.Y("mean:Q"), tooltip=[alt.Tooltip("mean:Q", format=".3f")])
        )
    return chart.properties(height=260)


def size_chart(study: dict, names: list[str], noise: str, bins: int = 40) -> alt.LayerChart:
    """Diameters in nm: the true ones filled, those found as lines."""
    sizes = {name: study["sizes"][name][noise] for name in names}
    values = {TRUE: np.asarray(next(iter(sizes.values()))["true"], dtype=float)}
    values |= {name: np.asarray(of["predicted"], dtype=float) for name, of in sizes.items()}
    largest = 1.5 * max((v.max() for v in (values[TRUE],) if len(v)), default=100.0)
    table = histogram(values, np.linspace(0, largest, bins + 1))
    counts = {name: len(v) for name, v in values.items()}
    table["skyrmions"] = table["share"] * table["who"].map(counts)
    colours = alt.Scale(domain=list(values), range=["#9aa3ad", *PALETTE[: len(names)]])
    base = alt.Chart(table).encode(
        alt.X("value:Q", title="equivalent diameter, nm", scale=alt.Scale(nice=False)),
        alt.Y("skyrmions:Q", title="skyrmions"),
        alt.Color("who:N", scale=colours, legend=None),
    )
    filled = base.transform_filter(alt.datum.who == TRUE).mark_area(
        interpolate="step-after", opacity=0.5
    )
    lines = base.transform_filter(alt.datum.who != TRUE).mark_line(
        interpolate="step-after", strokeWidth=2
    )
    return (filled + lines).properties(height=260)


def size_rows(study: dict, names: list[str], noise: str) -> pd.DataFrame:
    """Count, mean and SD of the diameters, and their distance from the true ones."""
    rows = []
    for name in names:
        step = next(s for s in study["curves"][name]["noise"] if 100 * s["x"] == float(noise))
        size = step["diameter"]
        for who in ("true", "predicted") if not rows else ("predicted",):
            rows.append(
                {
                    "": TRUE if who == "true" else name,
                    "skyrmions": size[who]["n"],
                    f"mean, {size['unit']}": size[who]["mean"],
                    f"SD, {size['unit']}": size[who]["sd"],
                    f"Wasserstein, {size['unit']}": None if who == "true" else size["wasserstein"],
                }
            )
    return pd.DataFrame(rows)
