"""Figures of the study of magnetic parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spinscope.studies.figures import colour, finish, new_figure
from spinscope.studies.parameters.findings import TITLES, UNITS
from spinscope.studies.parameters.measures import CONDITIONS
from spinscope.studies.parameters.views import Films
from spinscope.studies.statistics import over_seeds

SHOWN = 2
"""Films that the page shows."""


def view_figure(films: Films, widths: Mapping[str, float]) -> Figure:
    """Views of the films with the smallest and the largest constant, one column per scale.

    Parameters
    ----------
    films : Films
        Test films.
    widths : mapping
        Label of a scale → side of a view, m.
    """
    order = np.argsort(films.values)
    unit, factor = UNITS[films.parameter]
    figure = new_figure(1.5 * len(widths), 1.8 * SHOWN)
    panels = figure.subplots(SHOWN, len(widths), squeeze=False)
    views = {label: [one.image for one in films.views(width, 1)] for label, width in widths.items()}
    for line, number in zip(panels, (order[0], order[-1]), strict=True):
        for axes, (label, images) in zip(line, views.items(), strict=True):
            axes.imshow(images[number], cmap="gray", vmin=0, vmax=1)
            axes.set_title(label, fontsize="xx-small")
            axes.set(xticks=[], yticks=[])
        value = factor * films.values[number]
        line[0].set_ylabel(f"{TITLES[films.parameter]} = {value:.3g} {unit}", fontsize="x-small")
    return figure


def matrix_figure(networks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """R² of every network (row) at every test scale (column), mean over the seeds.

    Frames mark the scales of the training.

    Parameters
    ----------
    networks : mapping
        Name → network.
    """
    scales = list(next(iter(networks.values()))["seeds"][0]["scores"])
    r2 = np.array(
        [
            [over_seeds(one["seeds"], "scores", scale, "r2")["mean"] for scale in scales]
            for one in networks.values()
        ]
    )
    figure = new_figure(1.6 + 0.72 * len(scales), 1.1 + 0.42 * len(networks))
    axes = figure.subplots()
    image = axes.imshow(r2, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    for row, one in enumerate(networks.values()):
        trained = {f"{scale:g}" for scale in one["scales"]}
        for column, scale in enumerate(scales):
            text = f"{r2[row, column]:.2f}" if r2[row, column] > -9.995 else "< −10"
            weight = "bold" if scale in trained else "normal"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, weight=weight)
            if scale in trained:
                corner = (column - 0.48, row - 0.46)
                axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, ec="k", lw=1.4))
    axes.set_xticks(range(len(scales)), scales)
    axes.set_yticks(range(len(networks)), list(networks), fontsize="small")
    axes.set_xlabel("scale of the test views, µm of the published films")
    figure.colorbar(image, ax=axes, label="R²")
    return figure


def scatter_figure(panels: Mapping[str, Sequence[Mapping[str, Sequence]]], films: Films) -> Figure:
    """Predicted against true values: mean over the seeds, with bars of their standard deviation.

    Parameters
    ----------
    panels : mapping
        Title → estimates of each seed at one scale.
    films : Films
        Test films.
    """
    unit, factor = UNITS[films.parameter]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.0 * columns, 3.0 * rows)
    limits = factor * films.values.min(), factor * films.values.max()
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, seeds) in zip(grid, panels.items(), strict=False):
        true = factor * films.values[np.asarray(seeds[0]["film"], int)]
        found = factor * np.array([seed["mean"] for seed in seeds], float)
        sd = found.std(0, ddof=1) if len(found) > 1 else None
        axes.errorbar(true, found.mean(0), sd, fmt=".", ms=4, lw=0.6, color=colour(0), alpha=0.7)
        axes.plot(limits, limits, "k-", lw=0.8)
        finish(axes, None, title=title)
        axes.title.set_fontsize("small")
        axes.set_xlim(limits[0] - 0.05 * np.ptp(limits), limits[1] + 0.05 * np.ptp(limits))
        axes.set_ylim(limits[0] - 0.3 * np.ptp(limits), limits[1] + 0.3 * np.ptp(limits))
    name = TITLES[films.parameter]
    figure.supxlabel(f"true {name}, {unit}", fontsize="medium")
    figure.supylabel(f"estimated {name}, {unit}", fontsize="medium")
    return figure


def error_figure(
    networks: Mapping[str, Mapping[str, Any]], parameter: str, trained: Sequence[float]
) -> Figure:
    """RMSE against the scale of the test views, mean and SD over the seeds.

    Parameters
    ----------
    networks : mapping
        Name → network or baseline with `seeds`.
    parameter : str
        "dmi" or "ms".
    trained : sequence of float
        Scales of the training, which are marked.
    """
    unit, factor = UNITS[parameter]
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for number, (name, one) in enumerate(networks.items()):
        scales = list(one["seeds"][0]["scores"])
        found = [
            over_seeds(one["seeds"], "scores", scale, "rmse", factor=factor) for scale in scales
        ]
        axes.errorbar(
            [float(scale) for scale in scales],
            [row["mean"] for row in found],
            [row["sd"] or 0 for row in found],
            fmt=".-",
            capsize=2,
            color=colour(number),
            label=name,
        )
    for scale in trained:
        axes.axvline(scale, color="#888", ls=":", lw=1)
    finish(
        axes,
        xlabel="scale of the test views, µm of the published films",
        ylabel=f"RMSE of {TITLES[parameter]}, {unit}",
    )
    axes.set_ylim(bottom=0)
    return figure


def coverage_figure(networks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Coverage of the 90 % intervals against scale, and under the imaging conditions.

    Parameters
    ----------
    networks : mapping
        Name → network with `conditions`.
    """
    figure = new_figure(10, 3.8)
    by_scale, by_condition = figure.subplots(1, 2, sharey=True)
    for number, (name, one) in enumerate(networks.items()):
        style = {"fmt": ".-", "capsize": 2, "color": colour(number), "label": name}
        scales = list(one["seeds"][0]["scores"])
        found = [
            over_seeds(one["seeds"], "scores", scale, "coverage", factor=100) for scale in scales
        ]
        by_scale.errorbar([float(scale) for scale in scales], *_bars(found), **style)
        found = [
            over_seeds(one["seeds"], "conditions", key, "all", "coverage", factor=100)
            for key in CONDITIONS
        ]
        by_condition.errorbar(range(len(CONDITIONS)), *_bars(found), **style)
    for axes in (by_scale, by_condition):
        axes.axhspan(85, 95, color="#5a8f3c", alpha=0.15, lw=0)
    finish(by_scale, xlabel="scale of the test views, µm", ylabel="coverage, %")
    finish(by_condition, None)
    by_condition.set_xticks(range(len(CONDITIONS)), list(CONDITIONS), rotation=40, ha="right")
    by_condition.tick_params(axis="x", labelsize="x-small")
    by_scale.set_ylim(0, 103)
    return figure


def refined_figure(parameter: str, films: Sequence[Mapping[str, Any]]) -> Figure:
    """Estimated against true values before and after refinement, with 90 % intervals after.

    Parameters
    ----------
    parameter : str
        "dmi" or "ms".
    films : sequence of mapping
        Results of `closed_loop.refined`.
    """
    unit, factor = UNITS[parameter]
    true, before, after, low, high = (
        factor * np.array([one[key] for one in films])
        for key in ("true", "before", "after", "low", "high")
    )
    figure = new_figure(4.4, 4.0)
    axes = figure.subplots()
    ends = true.min(), true.max()
    axes.plot(ends, ends, "k-", lw=0.8)
    axes.plot(true, before, "s", ms=4, color=colour(1), label="network")
    bars = np.maximum(0, [after - low, high - after])
    axes.errorbar(true, after, bars, fmt=".", capsize=2, color=colour(0), label="refined")
    name = TITLES[parameter]
    finish(axes, xlabel=f"true {name}, {unit}", ylabel=f"estimated {name}, {unit}")
    return figure


def _bars(found: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Means and their bars."""
    return [row["mean"] for row in found], [row["sd"] or 0 for row in found]
