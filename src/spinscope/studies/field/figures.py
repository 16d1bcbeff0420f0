"""Figures of the study of effective fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinscope.drawing import colour_legend, film_colours
from spinscope.studies.field.findings import denoising_steps
from spinscope.studies.figures import colour, finish, new_figure


def spin_figure(rows: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> Figure:
    """Lattices in the colours of their directions, one row per entry, with the key of the colours.

    Parameters
    ----------
    rows : mapping
        Title of a row → (title, image) of its panels. An image is (H, W, 3) spins or (H, W) grey.
    """
    columns = max(map(len, rows.values()))
    figure = new_figure(2.1 * columns, 2.3 * len(rows))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(panels, rows.items(), strict=True):
        for axes in line[len(images) :]:
            axes.set_axis_off()
        for axes, (title, image) in zip(line, images, strict=False):
            if image.ndim == 2:
                axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
            else:
                axes.imshow(_drawn(image))
            axes.set_title(title, fontsize="x-small")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize="small")
    key = panels[0, -1].inset_axes([0.8, 0.0, 0.2, 0.2])
    key.imshow(colour_legend(64))
    key.set_axis_off()
    return figure


def noise_figure(trainings: Mapping[str, Sequence[Mapping]], references: Mapping) -> Figure:
    """Angle before and after noise removal against the strength of the noise."""
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    before = references["true"]["denoise"]
    alphas = [row["alpha"] for row in before]
    axes.plot(alphas, [row["before"]["mean"] for row in before], "k.-", label="before")
    smooth = [row["after"]["mean"] for row in references["smooth"]]
    axes.plot(alphas, smooth, "s:", color="#888", label="best Gaussian filter")
    for name, style, seeds in _lines(trainings, references, "denoise"):
        steps = denoising_steps(seeds)
        after = np.array([[row["angles"][steps] for row in one] for one in seeds])
        _band(axes, alphas, after, label=name, **style)
    finish(axes, xlabel="noise α", ylabel="mean angle to the lattice without noise, °")
    axes.set_ylim(bottom=0)
    return figure


def repair_figure(trainings: Mapping[str, Sequence[Mapping]], references: Mapping) -> Figure:
    """Angle at the sites of a defect along the recursion, one panel per kind."""
    figure = new_figure(9, 3.6)
    for place, axes in enumerate(figure.subplots(1, 2, sharey=True)):
        for name, style, seeds in _lines(trainings, references, "repair"):
            angles = np.array([one[place]["angles"][1:] for one in seeds], float)
            _band(axes, np.arange(1, angles.shape[1] + 1), angles, label=name, **style)
        kind = references["true"]["repair"][place]["kind"]
        title = "rows of noise" if kind == "rows" else "erased square"
        finish(axes, title=title, xlabel="iteration", ylabel="mean angle in the defect, °")
        axes.set_ylim(bottom=0)
    return figure


def generation_figure(trainings: Mapping[str, Sequence[Mapping]], references: Mapping) -> Figure:
    """Energy above the annealed one against iterations, and against seconds."""
    figure = new_figure(10, 3.8)
    by_iterations, by_seconds = figure.subplots(1, 2, sharey=True)
    lowest = references["anneal"][0]["energy"]["mean"]
    for name, style, seeds in _lines(trainings, references, "generate"):
        above = np.array([one["energy"] for one in seeds]) - lowest
        above = np.maximum(above.mean(0), 1e-5)
        seconds = np.median([one["seconds"] for one in seeds]) * np.arange(len(above))
        by_iterations.plot(above, label=name, **style)
        by_seconds.plot(seconds[1:], above[1:], label=name, **style)
    annealed = references["anneal"]
    by_seconds.plot(
        [row["seconds"] for row in annealed],
        [max(row["energy"]["mean"] - lowest, 1e-5) for row in annealed],
        "k^--", ms=5, label="Monte Carlo, short to long schedule",
    )  # fmt: skip
    for axes, label in ((by_iterations, "iteration"), (by_seconds, "seconds")):
        axes.axhline(0.01 * abs(lowest), color="#888", ls=":", lw=1)
        finish(axes, "x-small", xlabel=label, ylabel="energy above the annealed one, J per site")
        axes.set_yscale("log")
    by_seconds.set_xscale("log")
    return figure


def response_figure(trainings: Mapping[str, Sequence[Mapping]], references: Mapping) -> Figure:
    """M_z and topological charge against the external field."""
    figure = new_figure(9, 3.6)
    panels = figure.subplots(1, 2)
    fields = [row["external"] for row in references["respond"]]
    for axes, key, label in zip(
        panels, ("mz", "charge"), ("M_z", "topological charge"), strict=True
    ):
        axes.plot(fields, [row[key] for row in references["respond"]], "k^--", label="Monte Carlo")
        for name, style, seeds in _lines(trainings, references, "respond"):
            thermal = np.array([[row["thermal"][key] for row in one] for one in seeds])
            greedy = np.array([[row["greedy"][key] for row in one] for one in seeds])
            _band(axes, fields, thermal, label=name, **style)
            axes.plot(fields, greedy.mean(0), color=style["color"], ls=":", lw=1)
        finish(axes, xlabel="external field B, J", ylabel=label)
    return figure


def _lines(trainings: Mapping[str, Sequence[Mapping]], references: Mapping, measure: str):
    """Name, style and measurements of each seed, of the trainings and of the true field."""
    for number, (name, seeds) in enumerate(trainings.items()):
        yield name, {"color": colour(number)}, [one[measure] for one in seeds]
    yield "true field", {"color": "#444"}, [references["true"][measure]]


def _band(axes: Axes, x: Any, values: np.ndarray, **style: Any) -> None:
    """Mean over the seeds with a band of one standard deviation."""
    mean = values.mean(0)
    axes.plot(x, mean, marker="." if len(mean) < 20 else "", **style)
    if len(values) > 1:
        sd = values.std(0, ddof=1)
        axes.fill_between(x, mean - sd, mean + sd, color=style["color"], alpha=0.15, lw=0)


def _drawn(m: np.ndarray) -> np.ndarray:
    """Colours of spins; sites that are not known are grey."""
    known = np.linalg.norm(m, axis=-1, keepdims=True) > 1e-6
    return np.where(known, film_colours(m), np.uint8(128))
