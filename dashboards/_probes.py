"""The probes of models as charts and tables, from their report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from _study import PALETTE

GREY = {"grey": "uniform frame", "patch": "uniform patch in film of grey 128"}
LIMITS = {
    "snr": ("contrast over noise SD", 1, (0.5, 1, 2, 4)),
    "contrast": ("contrast of the skyrmions, grey levels of 255", 255, (0.5, 1, 2, 5, 10, 20, 50)),
    "gradient": ("SD of the illumination, grey levels of 255", 255, None),
}
"""What is drawn along a curve, what its values are multiplied by, ticks of a logarithmic axis."""

PUBLISHED = "published, two classes"
MADE_UP = {"empty": ("film", "defects"), "real": ("made_up", "speckles")}
"""What is drawn as a line, and dashed beside it."""


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour a model."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


def grey_table(report: Mapping[str, Any], names: Sequence[str], key: str) -> pd.DataFrame:
    """Share called skyrmion at every grey level."""
    rows = [(name, grey, share) for name in names for grey, share in enumerate(report[key][name])]
    return pd.DataFrame(rows, columns=["model", "grey", "share"])


def grey_chart(
    report: Mapping[str, Any], names: Sequence[str], shades: Mapping[str, str], key: str
) -> alt.LayerChart:
    """A colour a model; dashed the step of the published two-class network on uniform frames."""
    y = alt.Y("share:Q", title="share called skyrmion", scale=alt.Scale(domain=[0, 1]))
    x = alt.X("grey:Q", title=f"grey level, {GREY[key]}", scale=alt.Scale(domain=[0, 255]))
    lines = (
        alt.Chart(grey_table(report, names, key))
        .mark_line(strokeWidth=2)
        .encode(
            x,
            y,
            _colour(names, shades),
            tooltip=["model", "grey", alt.Tooltip("share:Q", format=".3f")],
        )
    )
    layers = [lines]
    if key == "grey":
        step = report["published"]["grey"]
        paper = pd.DataFrame({"grey": [0, step, step, 255], "share": [1.0, 1.0, 0.0, 0.0]})
        paper["order"] = range(len(paper))
        layers += [
            alt.Chart(paper)
            .mark_line(strokeDash=[4, 4], color="black", strokeWidth=1.5)
            .encode(x, y, order="order:Q")
        ]
    return alt.layer(*layers).properties(height=240)


def limit_table(report: Mapping[str, Any], names: Sequence[str], curve: str) -> pd.DataFrame:
    """MCC and one SD over the frames around it, at every point of a curve."""
    _, scale, _ = LIMITS[curve]
    rows = []
    for row in report["limits"][curve]:
        for name in names:
            mcc, sd = row["mcc"][name], row["sd"][name]
            rows.append((name, scale * row["x"], mcc, max(mcc - sd, 0), min(mcc + sd, 1)))
    return pd.DataFrame(rows, columns=["model", "x", "mcc", "low", "high"])


def limit_chart(
    report: Mapping[str, Any], names: Sequence[str], shades: Mapping[str, str], curve: str
) -> alt.LayerChart:
    """MCC along a curve; a diamond where it falls below what is enough."""
    title, scale, ticks = LIMITS[curve]
    table = limit_table(report, names, curve)
    domain = [float(table["x"].min()), float(table["x"].max())]
    kind = alt.Scale(type="log" if ticks else "linear", domain=domain, nice=False)
    axis = alt.Axis(values=list(ticks), format="~g") if ticks else alt.Axis()
    x = alt.X("x:Q", title=title, scale=kind, axis=axis)
    y_scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(table).encode(x, _colour(names, shades))
    band = base.mark_area(opacity=0.15).encode(
        alt.Y("low:Q", scale=y_scale, title="MCC"), alt.Y2("high:Q")
    )
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24), clip=True).encode(
        alt.Y("mcc:Q", scale=y_scale),
        tooltip=["model", alt.Tooltip("x:Q", format=".3g"), alt.Tooltip("mcc:Q", format=".3f")],
    )
    enough = alt.Chart(pd.DataFrame({"mcc": [report["enough"]]})).mark_rule(
        strokeDash=[4, 4], color="#7d8590"
    )
    chart = band + line + enough.encode(alt.Y("mcc:Q", scale=y_scale))
    found = report["limit_at"][curve]
    marks = pd.DataFrame(
        [
            (name, scale * found[name], report["enough"])
            for name in names
            if found[name] is not None
        ],
        columns=["model", "x", "mcc"],
    )
    if len(marks):
        chart += (
            alt.Chart(marks)
            .mark_point(shape="diamond", filled=True, size=90, opacity=1)
            .encode(x, alt.Y("mcc:Q", scale=y_scale), _colour(names, shades),
                    tooltip=["model", alt.Tooltip("x:Q", format=".3g")])
        )  # fmt: skip
    return chart.properties(height=260)


def speckle_chart(
    report: Mapping[str, Any], names: Sequence[str], shades: Mapping[str, str], key: str
) -> alt.Chart:
    """Skyrmions made up a frame against noise."""
    solid, dashed = MADE_UP[key]
    rows = [
        (name, kind, 255 * row["x"], row[kind][name])
        for row in report["speckles"][key]
        for name in names
        for kind in (solid, dashed)
    ]
    table = pd.DataFrame(rows, columns=["model", "kind", "x", "count"])
    title = {"empty": "noise SD", "real": "added noise SD"}[key]
    return (
        alt.Chart(table)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24))
        .encode(
            alt.X("x:Q", title=f"{title}, grey levels of 255", scale=alt.Scale(nice=False)),
            alt.Y("count:Q", title="made up a frame"),
            _colour(names, shades),
            alt.StrokeDash(
                "kind:N",
                scale=alt.Scale(domain=[solid, dashed], range=[[1, 0], [3, 3]]),
                legend=None,
            ),
            tooltip=["model", "kind", alt.Tooltip("x:Q", format=".0f"),
                     alt.Tooltip("count:Q", format=".2f")],
        )
        .properties(height=240)
    )  # fmt: skip


def inverted_rows(report: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """MCC on labelled frames as they are and inverted."""
    rows = [(name, report["inverted"][name]) for name in names]
    return pd.DataFrame(
        {
            "model": [name for name, _ in rows],
            "MCC": [row["mcc"] for _, row in rows],
            "MCC, inverted": [row["mcc_inverted"] for _, row in rows],
            "frames": [row["n_images"] for _, row in rows],
        }
    )


def limit_rows(report: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """Where the MCC of each model falls below what is enough; contrast, gradient in grey levels."""
    table = {"model": list(names)}
    heads = {"snr": "SNR", "contrast": "contrast", "gradient": "gradient"}
    for curve, head in heads.items():
        found, scale = report["limit_at"][curve], LIMITS[curve][1]
        table[head] = [None if found[name] is None else scale * found[name] for name in names]
    return pd.DataFrame(table)


def augmented_rows(report: Mapping[str, Any]) -> pd.DataFrame:
    """Views, MCC, count, its excess over the labelled one, and time a frame of every version."""
    return pd.DataFrame(
        [
            {
                "model": row["model"],
                "views": row["views"],
                "MCC": row["mcc"],
                "skyrmions": row["objects_predicted"],
                "more, %": 100 * (row["objects_predicted"] / row["objects_true"] - 1)
                if row["objects_true"]
                else None,
                "ms": row["frame_ms"],
            }
            for row in report["rows"]
        ]
    )


def _colour(names: Sequence[str], shades: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=[shades[name] for name in names])
    return alt.Color("model:N", scale=scale, legend=None)
