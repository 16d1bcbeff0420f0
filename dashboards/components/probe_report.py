"""Charts and tables of the probes of models, from their reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import altair as alt
import pandas as pd

from components import charts, layout

GREY_FRAMES = {"grey": "uniform frame", "patch": "uniform patch in a film of grey level 128"}
"""Key of the report → what the grey level is that of."""

LIMITS = {
    "snr": ("contrast over noise SD", 1, (0.5, 1, 2, 4)),
    "contrast": ("contrast of the skyrmions, grey levels of 255", 255, (0.5, 1, 2, 5, 10, 20, 50)),
    "gradient": ("SD of the illumination, grey levels of 255", 255, None),
}
"""Curve → title of its axis, factor of its values, ticks of a logarithmic axis."""

PUBLISHED = "published, two classes"
FALSE_OBJECTS = {"empty": ("film", "defects"), "real": ("made_up", "speckles")}
"""Key of the report → keys of the solid and of the dashed line."""

Report = Mapping[str, Any]
Colours = Mapping[str, str]


def grey_chart(report: Report, colours: Colours, key: str) -> alt.LayerChart:
    """Fraction of skyrmion pixels against the grey level, with the published step.

    Parameters
    ----------
    report : mapping
        Report of the probes.
    colours : mapping of str to str
        Model → CSS colour.
    key : str
        Key of `GREY_FRAMES`.
    """
    rows = [(name, x, y) for name in colours for x, y in enumerate(report[key][name])]
    scale = alt.Scale(domain=[0, 255])
    x = alt.X("x:Q", title=f"grey level, {GREY_FRAMES[key]}", scale=scale)
    y = alt.Y("y:Q", title="fraction predicted as skyrmion", scale=alt.Scale(domain=[0, 1]))
    table = pd.DataFrame(rows, columns=["name", "x", "y"])
    chart = charts.curves(table, colours, x, y, points=False, height=240)
    if key == "grey":
        step = report["published"]["grey"]
        corners = {"x": [0, step, step, 255], "y": [1.0, 1.0, 0.0, 0.0], "order": range(4)}
        line = alt.Chart(pd.DataFrame(corners)).encode(x, y, order="order:Q")
        chart += line.mark_line(strokeDash=[4, 4], color="black", strokeWidth=1.5)
    return chart


def limit_chart(report: Report, colours: Colours, curve: str) -> alt.LayerChart:
    """MCC with a band of one SD along a curve of `LIMITS`; a diamond marks each model's limit."""
    title, factor, ticks = LIMITS[curve]
    rows = []
    for point in report["limits"][curve]:
        for name in colours:
            mcc, sd = point["mcc"][name], point["sd"][name] or 0
            rows.append((name, factor * point["x"], mcc, max(mcc - sd, 0), min(mcc + sd, 1)))
    table = pd.DataFrame(rows, columns=["name", "x", "y", "low", "high"])
    domain = [float(table["x"].min()), float(table["x"].max())]
    scale = alt.Scale(type="log" if ticks else "linear", domain=domain, nice=False)
    axis = alt.Axis(values=list(ticks), format="~g") if ticks else alt.Axis()
    x = alt.X("x:Q", title=title, scale=scale, axis=axis)
    y = alt.Y("y:Q", title="MCC", scale=alt.Scale(domain=[0, 1]))
    chart = charts.curves(table, colours, x, y, clip=True)
    enough = report["enough"]
    rule = alt.Chart(pd.DataFrame({"y": [enough]})).mark_rule(strokeDash=[4, 4], color=layout.GREY)
    chart += rule.encode(alt.Y("y:Q"))
    limits = report["limit_at"][curve]
    marks = [(name, factor * limits[name], enough) for name in colours if limits[name] is not None]
    if marks:
        marks = pd.DataFrame(marks, columns=["name", "x", "y"])
        chart += charts.diamonds(marks, colours)
    return chart


def false_object_chart(report: Report, colours: Colours, key: str) -> alt.LayerChart:
    """False skyrmions per frame against the noise, for a key of `FALSE_OBJECTS`."""
    kinds = FALSE_OBJECTS[key]
    rows = [
        (name, kind, 255 * point["x"], point[kind][name])
        for point in report["speckles"][key]
        for name in colours
        for kind in kinds
    ]
    table = pd.DataFrame(rows, columns=["name", "style", "x", "y"])
    title = {"empty": "noise SD", "real": "added noise SD"}[key]
    x = alt.X("x:Q", title=f"{title}, grey levels of 255", scale=alt.Scale(nice=False))
    y = alt.Y("y:Q", title="false skyrmions per frame")
    return charts.curves(table, colours, x, y, dashed=kinds[1], height=240)


def inverted_table(report: Report, names: Collection[str]) -> pd.DataFrame:
    """MCC of each model on labelled frames and on the same frames inverted."""
    columns = {"mcc": "MCC", "mcc_inverted": "MCC, inverted", "n_images": "frames"}
    rows = pd.DataFrame([report["inverted"][name] for name in names])
    table = rows[list(columns)].rename(columns=columns)
    table.insert(0, "model", list(names))
    return table


def limit_table(report: Report, names: Collection[str]) -> pd.DataFrame:
    """Limit of each model along every curve of `LIMITS`; contrast and gradient in grey levels."""
    table = pd.DataFrame({"model": list(names)})
    for curve, head in {"snr": "SNR", "contrast": "contrast", "gradient": "gradient"}.items():
        limits = pd.Series([report["limit_at"][curve][name] for name in names], dtype=float)
        table[head] = LIMITS[curve][1] * limits
    return table


def augmentation_table(report: Report) -> pd.DataFrame:
    """One row per model and number of views: MCC, count, excess, time, frames seen in training."""
    columns = {"model": "model", "views": "views", "mcc": "MCC", "objects_predicted": "skyrmions"}
    rows = pd.DataFrame(report["rows"])
    table = rows[list(columns)].rename(columns=columns)
    true = rows["objects_true"].where(rows["objects_true"] > 0)
    table["excess, %"] = 100 * (rows["objects_predicted"] / true - 1)
    table["ms"] = rows["frame_ms"]
    if "seen_in_training" in rows:  # not in a report of an earlier version
        seen = rows["seen_in_training"]
        table["seen in training"] = [
            "unknown" if pd.isna(k) else f"{k:.0f} of {n}"
            for k, n in zip(seen, rows["n_images"], strict=True)
        ]
    return table
