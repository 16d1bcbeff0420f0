"""Figures of the ablations and of the free search, as Matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.studies.kerr.ablation_table import DEFAULT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table_figure(report: Mapping[str, Any]) -> Figure:
    """Table I as a picture: mean and SD over the seeds, every seed, and the published values."""
    rows = report["rows"]
    figure = _figure(7.2, 0.42 * len(rows) + 1.2)
    axes = figure.subplots()
    for k, row in enumerate(rows):
        colour = "C3" if row["stands"] else "C0"
        axes.errorbar(row["mean"], k, xerr=row["sd"] or 0, fmt="o", color=colour, capsize=3)
        axes.plot(row["mcc"], [k + 0.18] * len(row["mcc"]), ".", color=colour, alpha=0.4)
        if row["published"]:
            theirs = row["published"]
            axes.errorbar(
                theirs["mean"], k - 0.22, xerr=theirs["sd"], fmt="d", color="0.6", capsize=2
            )
    default = next(row for row in rows if row["factor"] == DEFAULT)
    axes.axvline(default["mean"], color="C0", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["factor"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("MCC (grey diamonds: published; red: a difference that stands)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def generalisation_figure(report: Mapping[str, Any]) -> Figure:
    """Their Fig. 5: MCC of benchmark and master model on train, validation and test frames."""
    master = report["master"]
    parts = [part for part in ("train", "validation", "test") if master["benchmark"].get(part)]
    figure = _figure(5.2, 3.6)
    axes = figure.subplots()
    for k, name in enumerate(("benchmark", "master")):
        places = np.arange(len(parts)) + 0.36 * (k - 0.5)
        values = [master[name][part] for part in parts]
        axes.bar(
            places,
            [value["mean"] for value in values],
            0.34,
            yerr=[value["sd"] or 0 for value in values],
            capsize=3,
            color=f"C{k}",
            alpha=0.7,
            label=name,
        )
        for place, value in zip(places, values, strict=True):
            axes.plot([place] * len(value["mcc"]), value["mcc"], ".k", markersize=3)
    axes.set_xticks(range(len(parts)), parts)
    lowest = min(
        min(master[name][part]["mcc"]) for name in ("benchmark", "master") for part in parts
    )
    axes.set(ylabel="MCC", ylim=(max(-1.0, lowest - 0.1), 1))
    axes.legend(fontsize="small")
    return figure


def pareto_figure(search: Mapping[str, Any]) -> Figure:
    """MCC against the time of a frame of every trial of a search, and their Pareto front."""
    figure = _figure(6, 3.8)
    axes = figure.subplots()
    for state, style in (("complete", {"color": "C0"}), ("pruned", {"color": "0.7"})):
        some = [t for t in search["trials"] if t["state"] == state and t["mcc"] is not None]
        if some:
            marker = "o" if state == "complete" else "x"
            x, y = [t["frame_ms"] for t in some], [t["mcc"] for t in some]
            axes.scatter(x, y, s=18, marker=marker, label=state, **style)
    by_number = {trial["number"]: trial for trial in search["trials"]}
    front = sorted((by_number[k] for k in search["front"]), key=lambda trial: trial["frame_ms"])
    axes.plot(
        [trial["frame_ms"] for trial in front],
        [trial["mcc"] for trial in front],
        "C3.-",
        drawstyle="steps-post",
        label="Pareto front",
    )
    for trial in front:
        at = (trial["frame_ms"], trial["mcc"])
        axes.annotate(str(trial["number"]), at, xytext=(3, 3), textcoords="offset points", size=7)
    axes.set(xlabel="ms a frame of 512 x 672", ylabel="validation MCC", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)
