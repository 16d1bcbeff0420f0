"""Matplotlib figures of a training and of an evaluation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABEL, _PREDICTION = "#d62728", "#1f77b4"


def training_curves(
    histories: Mapping[int, Mapping[str, Sequence[float]]],
    metric: str = "mcc",
    title: str = "MCC",
) -> Figure:
    """Plot loss and metric over the epochs: training dashed, validation solid, one colour per seed.

    Parameters
    ----------
    histories : mapping
        Seed → name of a curve → one value per epoch.
    metric, title : str
        Name of the metric's curve and its title.
    """
    figure = _figure(9, 3.6)
    for axes, key, name in zip(
        figure.subplots(1, 2), ("loss", metric), ("loss", title), strict=True
    ):
        for colour, (seed, history) in enumerate(histories.items()):
            epochs = range(1, len(history[key]) + 1)
            axes.plot(epochs, history[f"val_{key}"], f"C{colour}", label=f"seed {seed}")
            axes.plot(epochs, history[key], f"C{colour}--", alpha=0.5)
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def estimates(rows: Sequence[Mapping]) -> Figure:
    """Plot estimated against true values with their standard deviations, SI units.

    Parameters
    ----------
    rows : sequence of dict
        Each with `true`, `predicted` and `sd`.
    """
    figure = _figure(4.6, 4.2)
    axes = figure.subplots()
    true, found, sd = (np.array([row[key] for row in rows]) for key in ("true", "predicted", "sd"))
    axes.errorbar(true, found, sd, fmt=".", ms=3, lw=0.5, alpha=0.5, color=_PREDICTION)
    ends = [true.min(), true.max()]
    axes.plot(ends, ends, color=_LABEL, lw=1)
    axes.set(xlabel="true value", ylabel="estimate")
    axes.grid(alpha=0.3)
    return figure


def size_distribution(report: Mapping) -> Figure:
    """Plot the equivalent diameters of labelled and predicted objects, normalised per image."""
    figure = _figure(5.5, 3.6)
    axes = figure.subplots()
    size, edges = report["size"], np.asarray(report["size"]["edges_px"])
    for key, colour in (("true", _LABEL), ("predicted", _PREDICTION)):
        name = f"{'label' if key == 'true' else 'prediction'}: {report['objects'][key]} objects"
        axes.stairs(size[key], edges, color=colour, label=name, fill=key == "true", alpha=0.6)
    distance = size["wasserstein_px"]
    title = "" if distance is None else f"Wasserstein distance {distance:.2f} px"
    axes.set(
        xlabel="equivalent diameter in px", ylabel="fraction of an image's objects", title=title
    )
    axes.legend(fontsize="small")
    return figure


def confusion_matrix(report: Mapping) -> Figure:
    """Plot the fraction of each true class that was predicted as each class."""
    figure = _figure(4.4, 3.8)
    axes = figure.subplots()
    matrix = np.asarray(report["confusion"], dtype=float)
    fraction = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(fraction):
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour)
    ticks = range(len(report["classes"]))
    axes.set_xticks(ticks, report["classes"])
    axes.set_yticks(ticks, report["classes"])
    axes.set(xlabel="predicted", ylabel="label")
    return figure


def reliability_diagram(report: Mapping) -> Figure:
    """Plot the labelled fraction of pixels over their probability, before and after calibration."""
    figure = _figure(4.6, 4.2)
    axes, found = figure.subplots(), report["calibration"]
    rows = found["reliability"]
    labelled = [row["labelled"] for row in rows]
    for key, error, name, colour in (
        ("probability", "ece", "network", _PREDICTION),
        ("calibrated", "ece_calibrated", "calibrated on other sources", "C2"),
    ):
        if found[error] is not None:
            name = f"{name}: {found[error]:.3f}"
            axes.plot([row[key] for row in rows], labelled, ".-", color=colour, label=name)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, zorder=0)
    axes.set(
        xlabel="probability of skyrmion",
        ylabel="labelled fraction of pixels",
        title="all pixels; expected calibration error of a source",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)
