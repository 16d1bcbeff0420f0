"""Charts and tables of the study of Lorentz models, from its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from components import charts, layout
from spinscope.studies.lorentz.findings import NAMES

CURVES = {
    "noise": ("Gaussian noise, % of the mean intensity", 100),
    "defocus": ("defocus, mm", 1),
    "tilt": ("tilt, °", 1),
    "axis": ("tilt axis, °", 1),
}
"""Curve → title of its axis, and factor of its values."""

DASHED = {"noise": ("clipped", "clipped to [0, 1]"), "axis": ("axis_known", "axis given")}
"""Curve → key and name of a second curve, which is dashed."""

PUBLISHED = "published, eight images"
TRUE = "true"
UNCHANGED = "unchanged"


def curve_table(
    study: dict[str, Any], names: Sequence[str], curve: str, score: str
) -> pd.DataFrame:
    """Mean of a score (y) and the range of one SD around it (low, high), at every point.

    Parameters
    ----------
    study : dict
        Report of the study.
    names : sequence of str
        Models.
    curve, score : str
        Keys of `CURVES` and `NAMES`.
    """
    rows = []
    second, style = DASHED.get(curve, (None, ""))
    for name in names:
        for key, kind in ((curve, UNCHANGED), (second, style)):
            for point in study["curves"][name].get(key, ()):
                mean, sd = point[score]["mean"], point[score]["sd"] or 0
                x = CURVES[curve][1] * point["x"]
                rows.append((name, kind, x, mean, max(mean - sd, 0), min(mean + sd, 1)))
    return pd.DataFrame(rows, columns=["name", "style", "x", "y", "low", "high"])


def published(study: dict[str, Any], score: str) -> pd.DataFrame:
    """Published scores (y) at the published noise in percent (x)."""
    first = study["models"][0]["name"]
    values = {row["name"]: row["published"] for row in study["rows"]}
    conditions = {0: "no added noise", 10: "10 % noise", 50: "50 % noise"}
    names = {x: f"{NAMES[score]}, {words}, {first}" for x, words in conditions.items()}
    rows = [(x, values[name]) for x, name in names.items() if name in values]
    return pd.DataFrame(rows, columns=["x", "y"])


def curve_chart(
    study: dict[str, Any], names: Sequence[str], curve: str, score: str
) -> alt.LayerChart:
    """Score along a curve, with bands of one SD over the films and the published values."""
    chart = charts.curves(
        curve_table(study, names, curve, score),
        layout.colours(names),
        alt.X("x:Q", title=CURVES[curve][0], scale=alt.Scale(zero=False, nice=False)),
        alt.Y("y:Q", title=NAMES[score], scale=alt.Scale(domain=[0, 1])),
        dashed=DASHED.get(curve, ("", "none"))[1],
    )
    if curve == "noise" and not (table := published(study, score)).empty:
        chart += charts.diamonds(table)
    return chart


def size_colours(names: Sequence[str]) -> dict[str, str]:
    """Name → CSS colour of the true sizes and of those of each model."""
    return {TRUE: "#9aa3ad", **layout.colours(names)}


def size_chart(
    study: dict[str, Any], names: Sequence[str], noise: str, bins: int = 40
) -> alt.LayerChart:
    """Histogram of the diameters in nm, the true ones filled.

    Parameters
    ----------
    study : dict
        Report of the study.
    names : sequence of str
        Models.
    noise : str
        Noise in percent, as the report names it.
    bins : int, default 40
        Number of bins.
    """
    sizes = {name: study["sizes"][name][noise] for name in names}
    values = {TRUE: np.asarray(sizes[names[0]]["true"], dtype=float)}
    values |= {name: np.asarray(size["predicted"], dtype=float) for name, size in sizes.items()}
    largest = 1.5 * values[TRUE].max(initial=0) or 150.0
    table = charts.histogram(values, np.linspace(0, largest, bins + 1))
    table["skyrmions"] = table["fraction"] * table["name"].map(
        {name: len(diameters) for name, diameters in values.items()}
    )
    return charts.steps(
        table,
        size_colours(names),
        alt.X("value:Q", title="equivalent diameter, nm", scale=alt.Scale(nice=False)),
        alt.Y("skyrmions:Q", title="skyrmions", stack=None),
        filled=[TRUE],
        height=260,
    )


def size_table(study: dict[str, Any], names: Sequence[str], noise: str) -> pd.DataFrame:
    """Count, mean and SD of the diameters, and their Wasserstein distance from the true ones."""
    rows = []
    for name in names:
        points = study["curves"][name]["noise"]
        size = next(p for p in points if 100 * p["x"] == float(noise))["diameter"]
        unit = size["unit"]
        shown = {TRUE: size["true"]} if not rows else {}
        for title, values in {**shown, name: size["predicted"]}.items():
            rows.append(
                {
                    "": title,
                    "skyrmions": values["n"],
                    f"mean, {unit}": values["mean"],
                    f"SD, {unit}": values["sd"],
                    f"Wasserstein, {unit}": None if title == TRUE else size["wasserstein"],
                }
            )
    return pd.DataFrame(rows)
