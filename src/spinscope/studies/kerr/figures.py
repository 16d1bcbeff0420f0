"""Figures of the Kerr study, drawn from the reports of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinscope.classes import DEFECT
from spinscope.studies.figures import colour, finish, new_figure
from spinscope.studies.kerr.ablation_table import DEFAULT

RECOVERED, MISSED, FALSE = (0.20, 0.75, 0.25), (0.15, 0.40, 0.95), (1.0, 0.55, 0.0)

QUANTITIES = {
    "snr": ("contrast over noise SD", 1),
    "contrast": ("contrast of the skyrmions, grey levels of 255", 255),
    "gradient": ("SD of the illumination, grey levels of 255", 255),
}
"""Curve of limits → label of its axis, and the factor of its values."""

LOGARITHMIC = ("contrast",)


def table_figure(report: Mapping[str, Any]) -> Figure:
    """Table I: mean and SD over the seeds, every seed, and the published values.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    rows = report["rows"]
    figure = new_figure(7.2, 0.42 * len(rows) + 1.2)
    axes = figure.subplots()
    for k, row in enumerate(rows):
        shade = "C3" if row["stands"] else "C0"
        axes.errorbar(row["mean"], k, xerr=row["sd"] or 0, fmt="o", color=shade, capsize=3)
        axes.plot(row["mcc"], [k + 0.18] * len(row["mcc"]), ".", color=shade, alpha=0.4)
        if published := row["published"]:
            at = published["mean"], k - 0.22
            axes.errorbar(*at, xerr=published["sd"], fmt="d", color="0.6", capsize=2)
    default = next(row for row in rows if row["factor"] == DEFAULT)
    axes.axvline(default["mean"], color="C0", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["factor"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("MCC (grey diamonds: published; red: a significant difference)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def generalisation_figure(report: Mapping[str, Any]) -> Figure:
    """Fig. 5: MCC of benchmark and master model on train, validation and test frames.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    master = report["master"]
    splits = [name for name in ("train", "validation", "test") if master["benchmark"].get(name)]
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    for k, name in enumerate(("benchmark", "master")):
        places = np.arange(len(splits)) + 0.36 * (k - 0.5)
        values = [master[name][split] for split in splits]
        means, sds = [v["mean"] for v in values], [v["sd"] or 0 for v in values]
        axes.bar(places, means, 0.34, yerr=sds, capsize=3, color=f"C{k}", alpha=0.7, label=name)
        for place, value in zip(places, values, strict=True):
            axes.plot([place] * len(value["mcc"]), value["mcc"], ".k", markersize=3)
    axes.set_xticks(range(len(splits)), splits)
    lowest = min(min(master[n][s]["mcc"]) for n in ("benchmark", "master") for s in splits)
    axes.set(ylabel="MCC", ylim=(max(-1.0, lowest - 0.1), 1))
    axes.legend(fontsize="small")
    return figure


def pareto_figure(search: Mapping[str, Any]) -> Figure:
    """MCC against time per frame of the trials of a search, with their Pareto front.

    Parameters
    ----------
    search : mapping
        Report of the search.
    """
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    for state, shade, marker in (("complete", "C0", "o"), ("pruned", "0.7", "x")):
        some = [t for t in search["trials"] if t["state"] == state and t["mcc"] is not None]
        if some:
            x, y = [t["frame_ms"] for t in some], [t["mcc"] for t in some]
            axes.scatter(x, y, s=18, marker=marker, label=state, color=shade)
    by_number = {trial["number"]: trial for trial in search["trials"]}
    front = sorted((by_number[k] for k in search["front"]), key=lambda trial: trial["frame_ms"])
    x, y = [trial["frame_ms"] for trial in front], [trial["mcc"] for trial in front]
    axes.plot(x, y, "C3.-", drawstyle="steps-post", label="Pareto front")
    for trial in front:
        at = (trial["frame_ms"], trial["mcc"])
        axes.annotate(str(trial["number"]), at, xytext=(3, 3), textcoords="offset points", size=7)
    finish(axes, xlabel="ms per frame of 512 x 672", ylabel="validation MCC", xscale="log")
    return figure


def recovery_figure(frames: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Frames and their defects: recovered in green, missed in blue, false in orange.

    Parameters
    ----------
    frames : sequence of (title, image, true label, new label)
        One row of the figure each; image in [0, 1], all arrays (H, W).
    """
    n = max(1, len(frames))
    figure = new_figure(9, 3.4 * n)
    panels = figure.subplots(n, 2, squeeze=False)
    for axes, (title, image, true, new) in zip(panels, frames, strict=False):
        grey = np.repeat(image[..., None], 3, axis=-1)
        marked, a, b = grey.copy(), true == DEFECT, new == DEFECT
        for where, shade in ((a & b, RECOVERED), (a & ~b, MISSED), (b & ~a, FALSE)):
            marked[where] = 0.35 * marked[where] + 0.65 * np.array(shade)
        counts = f"defects: {a.sum()} px labelled, {b.sum()} px found"
        for panel, shown, text in zip(axes, (grey, marked), (title, counts), strict=True):
            panel.imshow(shown, vmin=0, vmax=1)
            panel.set_title(text, fontsize="small")
            panel.set_axis_off()
    return figure


def student_figure(mcc: Mapping[str, Sequence[float]]) -> Figure:
    """MCC of every student by kind of labels; a line joins a seed, a bar marks the mean.

    Parameters
    ----------
    mcc : mapping
        Kind of labels → MCC per seed.
    """
    figure = new_figure(4.6, 3.4)
    axes = figure.subplots()
    table = np.array(list(mcc.values()))  # (kinds, seeds)
    axes.plot(table, "o-", color="#9aa3ad", lw=0.8, ms=4)
    axes.hlines(table.mean(axis=1), np.arange(len(table)) - 0.2, np.arange(len(table)) + 0.2)
    axes.set_xticks(range(len(table)), [f"{kind} labels" for kind in mcc])
    finish(axes, None, ylabel="MCC, validation", xlim=(-0.5, len(table) - 0.5))
    return figure


def probe_figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Every figure of the probes by its name.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    drawn = {
        "grey": grey_figure(report),
        "speckles": speckle_figure(report),
        "limits": limit_figure(report),
    }
    return drawn | ({"inverted": inverted_figure(report)} if report["inverted"] else {})


def grey_figure(report: Mapping[str, Any]) -> Figure:
    """Fraction called skyrmion against the grey level of a uniform frame and of a patch.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    figure = new_figure(10, 3.6)
    titles = {"grey": "uniform frame", "patch": "uniform patch in film of grey 128"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for name, shade in _colours(report):
            axes.plot(report[key][name], color=shade, label=name)
        grey = report["published"]["grey"]
        axes.axvline(grey, color="black", ls="--", lw=1, label=f"published: all below {grey}")
        finish(axes, None, xlabel="grey level", title=title, xlim=(0, 255), ylim=(-0.03, 1.03))
    figure.axes[0].set_ylabel("fraction called skyrmion")
    figure.axes[0].legend(fontsize="small")
    return figure


def inverted_figure(report: Mapping[str, Any]) -> Figure:
    """MCC on labelled frames, original and inverted, two bars per model.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    names, shades = list(report["inverted"]), [shade for _, shade in _colours(report)]
    figure = new_figure(1.8 + 1.6 * len(names), 3.6)
    axes = figure.subplots()
    for offset, key, label, alpha in (
        (-0.2, "mcc", "original", 1.0),
        (0.2, "mcc_inverted", "inverted", 0.45),
    ):
        values, places = [report["inverted"][name][key] for name in names], np.arange(len(names))
        bars = axes.bar(places + offset, values, 0.38, alpha=alpha, color=shades, label=label)
        axes.bar_label(bars, fmt="%.3f", fontsize="small")
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="MCC", ylim=(min(-0.1, axes.get_ylim()[0]), 1.08))
    axes.legend(fontsize="small")
    return figure


def speckle_figure(report: Mapping[str, Any]) -> Figure:
    """False skyrmions per frame against noise, on empty film and on labelled frames.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    panels = [
        ("simulated film without a skyrmion", "noise SD", report["speckles"]["empty"],
         (("film", "-", "bare film"), ("defects", ":", "at dust"))),
        ("labelled frames", "added noise SD", report["speckles"]["real"],
         (("made_up", "-", "all false"), ("speckles", ":", "speckles"))),
    ]  # fmt: skip
    panels = [panel for panel in panels if panel[2]]
    figure = new_figure(10 if len(panels) > 1 else 5.2, 3.6)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, quantity, rows, kinds) in zip(every, panels, strict=True):
        for name, shade in _colours(report):
            for key, style, what in kinds:
                _line(axes, rows, key, name, color=shade, ls=style, label=f"{name}, {what}")
        finish(axes, "x-small", xlabel=f"{quantity}, fraction of the full range", title=title)
        axes.set_ylim(bottom=0)
    every[0].set_ylabel("false skyrmions per frame")
    return figure


def limit_figure(report: Mapping[str, Any]) -> Figure:
    """MCC against signal-to-noise ratio, contrast and gradient, with one SD over the frames.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    figure = new_figure(13, 3.6)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (curve, rows) in zip(panels, report["limits"].items(), strict=True):
        text, factor = QUANTITIES[curve]
        x = factor * np.array([row["x"] for row in rows])
        for name, shade in _colours(report):
            mcc, sd = (np.array([row[key][name] for row in rows]) for key in ("mcc", "sd"))
            at = report["limit_at"][curve][name]
            label = name if at is None else f"{name}: {factor * at:.3g}"
            axes.plot(x, mcc, ".-", color=shade, label=label)
            axes.fill_between(x, mcc - sd, mcc + sd, color=shade, alpha=0.15, lw=0)
            if at is not None:
                axes.plot(factor * at, report["enough"], "D", color=shade, ms=5)
        axes.axhline(report["enough"], color="black", ls="--", lw=1)
        finish(axes, xlabel=text, ylim=(-0.05, 1.02))
        if curve in LOGARITHMIC:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("MCC")
    return figure


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, name: str, **style: Any) -> None:
    """One quantity of one model along the rows of a probe."""
    axes.plot([row["x"] for row in rows], [row[key][name] for row in rows], marker=".", **style)


def _colours(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and colour of each model."""
    return [(model["name"], colour(k)) for k, model in enumerate(report["models"])]
