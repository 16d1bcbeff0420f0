"""Figures of the probes, from their report, as Matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2a6f97", "#e07a1f", "#5a8f3c", "#8e5ea2", "#b5483a")
AXES = {
    "snr": ("contrast over noise SD", 1),
    "contrast": ("contrast of the skyrmions, grey levels of 255", 255),
    "gradient": ("SD of the illumination, grey levels of 255", 255),
}
"""Quantity of a curve of limits as it is drawn, and what its values are multiplied by."""

LOGARITHMIC = ("contrast",)


def figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Every figure of a report by its name."""
    drawn = {
        "grey": grey_figure(report),
        "speckles": speckle_figure(report),
        "limits": limit_figure(report),
    }
    return drawn | ({"inverted": inverted_figure(report)} if report["inverted"] else {})


def grey_figure(report: Mapping[str, Any]) -> Figure:
    """Share called skyrmion against the grey level: uniform frames, and a patch in film."""
    figure = _figure(10, 3.6)
    titles = {"grey": "uniform frame", "patch": "uniform patch in film of grey 128"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for name, colour in _colours(report):
            axes.plot(report[key][name], color=colour, label=name)
        grey = report["published"]["grey"]
        axes.axvline(grey, color="black", ls="--", lw=1, label=f"published: all below {grey}")
        axes.set(xlabel="grey level", title=title, xlim=(0, 255), ylim=(-0.03, 1.03))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("share called skyrmion")
    figure.axes[0].legend(fontsize="small")
    return figure


def inverted_figure(report: Mapping[str, Any]) -> Figure:
    """MCC on labelled frames as they are and inverted, two bars a model."""
    names = list(report["inverted"])
    figure = _figure(1.8 + 1.6 * len(names), 3.6)
    axes = figure.subplots()
    for shift, key, words, pale in (
        (-0.2, "mcc", "as it is", 1.0), (0.2, "mcc_inverted", "inverted", 0.45)
    ):  # fmt: skip
        values = [report["inverted"][name][key] for name in names]
        bars = axes.bar(np.arange(len(names)) + shift, values, 0.38, alpha=pale,
                        color=[colour for _, colour in _colours(report)], label=words)  # fmt: skip
        axes.bar_label(bars, fmt="%.3f", fontsize="small")
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="MCC", ylim=(min(-0.1, axes.get_ylim()[0]), 1.08))
    axes.legend(fontsize="small")
    return figure


def speckle_figure(report: Mapping[str, Any]) -> Figure:
    """Skyrmions made up a frame against noise: on film without any, and on labelled frames."""
    real = report["speckles"]["real"]
    figure = _figure(10 if real else 5.2, 3.6)
    panels = figure.subplots(1, 2 if real else 1, squeeze=False)[0]
    for name, colour in _colours(report):
        rows = report["speckles"]["empty"]
        _line(panels[0], rows, "film", name, colour, "-", f"{name}, bare film")
        _line(panels[0], rows, "defects", name, colour, ":", f"{name}, at dust")
        if real:
            _line(panels[1], real, "made_up", name, colour, "-", f"{name}, all made up")
            _line(panels[1], real, "speckles", name, colour, ":", f"{name}, speckles")
    titles = ("simulated film without a skyrmion", "labelled frames")
    words = ("noise SD, share of the full range", "added noise SD, share of the full range")
    for axes, title, said in zip(panels, titles, words, strict=False):
        axes.set(xlabel=said, title=title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    panels[0].set_ylabel("skyrmions made up a frame")
    return figure


def limit_figure(report: Mapping[str, Any]) -> Figure:
    """MCC against signal-to-noise, contrast and gradient; bands: one SD over the frames."""
    figure = _figure(13, 3.6)
    for axes, (curve, rows) in zip(
        figure.subplots(1, 3, sharey=True), report["limits"].items(), strict=True
    ):
        words, scale = AXES[curve]
        x = scale * np.array([row["x"] for row in rows])
        for name, colour in _colours(report):
            mcc, sd = (np.array([row[key][name] for row in rows]) for key in ("mcc", "sd"))
            at = report["limit_at"][curve][name]
            label = name if at is None else f"{name}: {scale * at:.3g}"
            axes.plot(x, mcc, ".-", color=colour, label=label)
            axes.fill_between(x, mcc - sd, mcc + sd, color=colour, alpha=0.15, lw=0)
            if at is not None:
                axes.plot(scale * at, report["enough"], "D", color=colour, ms=5)
        axes.axhline(report["enough"], color="black", ls="--", lw=1)
        axes.set(xlabel=words, ylim=(-0.05, 1.02))
        if curve in LOGARITHMIC:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("MCC")
    return figure


def _line(
    axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, name: str, colour: str, style: str,
    label: str,
) -> None:  # fmt: skip
    x = [row["x"] for row in rows]
    axes.plot(x, [row[key][name] for row in rows], f".{style}", color=colour, label=label)


def _colours(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = [model["name"] for model in report["models"]]
    return [(name, COLOURS[k % len(COLOURS)]) for k, name in enumerate(names)]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)
