"""Figures of the study of Lorentz models, as Matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.studies.lorentz.findings import PUBLISHED, WORDS, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2a6f97", "#e07a1f", "#5a8f3c", "#8e5ea2", "#b5483a")
AXES = {
    "noise": "Gaussian noise, % of the mean intensity",
    "clipped": "Gaussian noise, % of the mean intensity",
    "defocus": "defocus, mm",
    "tilt": "tilt, degrees",
    "axis": "tilt axis, degrees",
    "axis_known": "tilt axis, degrees",
}
SHARED = {"noise": ("noise", "clipped"), "axis": ("axis", "axis_known")}
"""Curves that are drawn into one figure, the second dashed."""


def curve_figure(models: Mapping[str, Curves], curve: str) -> Figure:
    """F1 and Jaccard along a curve, a colour a model; bands: one SD over the films."""
    figure = _figure(9.5, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score in zip(panels, ("f1", "jaccard"), strict=True):
        for number, (name, curves) in enumerate(models.items()):
            for style, key in zip("-:", SHARED.get(curve, (curve,)), strict=False):
                if key in curves:
                    label = f"{name}{_manner(key)}"
                    colour = COLOURS[number % len(COLOURS)]
                    _line(axes, curves[key], score, colour, style, label, _scale(key))
        if curve == "noise":
            x = [100 * noise for noise in PUBLISHED]
            y = [scores[score] for scores in PUBLISHED.values()]
            axes.plot(x, y, "kD", ms=5, label="published, eight images", zorder=5)
        axes.set(xlabel=AXES[curve], ylabel=WORDS[score], ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    return figure


def size_figure(models: Mapping[str, Curves], cell_nm: float) -> Figure:
    """Diameters at 0, 50 and 100 % noise, true filled and predicted as lines."""
    figure = _figure(11, 3.4)
    for axes, noise in zip(figure.subplots(1, 3, sharey=True, sharex=True), (0, 0.5, 1),
                           strict=True):  # fmt: skip
        rows = {name: curves["noise"][float(noise)] for name, curves in models.items()}
        true = _pooled(next(iter(rows.values())), "true", cell_nm)
        edges = np.linspace(0, 1.5 * true.max() if len(true) else 100, 41)
        axes.hist(true, edges, color="#9aa3ad", label=f"true: {_numbers(true)}")
        for number, (name, of) in enumerate(rows.items()):
            found = _pooled(of, "predicted", cell_nm)
            axes.stairs(
                np.histogram(found, edges)[0],
                edges,
                color=COLOURS[number % len(COLOURS)],
                lw=1.6,
                label=f"{name}: {_numbers(found)}",
            )
        axes.set(xlabel="equivalent diameter, nm", title=f"{100 * noise:.0f} % noise")
        axes.legend(fontsize="x-small")
    figure.axes[0].set_ylabel("skyrmions")
    return figure


def picture_figure(panels: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Images of one film over what was found of it: (title, image, label, found) each.

    Found pixels are pale, missed ones blue, made-up ones orange.
    """
    figure = _figure(2.7 * len(panels), 5.6)
    for (top, bottom), (title, image, label, found) in zip(
        figure.subplots(2, len(panels), squeeze=False).T, panels, strict=True
    ):
        low, high = np.percentile(image, (1, 99))
        top.imshow(image, cmap="gray", vmin=low, vmax=high)
        top.set_title(title, fontsize="small")
        bottom.imshow(agreement(label, found))
        for axes in (top, bottom):
            axes.set_axis_off()
    return figure


def agreement(label: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: found pixels pale, missed ones blue, made-up ones orange, the rest dark."""
    truth, mask = label == SKYRMION, found == SKYRMION
    picture = np.full((*label.shape, 3), 30, dtype=np.uint8)
    picture[truth & mask] = (225, 225, 225)
    picture[truth & ~mask] = (40, 150, 255)
    picture[mask & ~truth] = (255, 140, 20)
    return picture


def overlay_figure(image: np.ndarray, mask: np.ndarray, places: np.ndarray) -> Figure:
    """A micrograph, and over it the outlines of what was found and the places of dipoles."""
    figure = _figure(11, 5.8)
    low, high = np.percentile(image, (1, 99))
    for axes, marked in zip(figure.subplots(1, 2), (False, True), strict=True):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_axis_off()
        if marked:
            if mask.any():
                axes.contour(mask, [0.5], colors=[COLOURS[1]], linewidths=0.9)
            axes.plot(places[:, 1], places[:, 0], ".", color="#39c0f0", ms=4)
    return figure


def _line(
    axes: Axes, curve: Mapping[float, Any], score: str, colour: str, style: str, label: str, scale
) -> None:
    x = np.array(sorted(curve))
    values = [np.array([row[score] for row in curve[at]]) for at in x]
    mean = np.array([v.mean() for v in values])
    sd = np.array([v.std(ddof=1) if len(v) > 1 else 0 for v in values])
    axes.plot(scale * x, mean, style, color=colour, label=label, marker="." if style == "-" else "")
    if style == "-":
        axes.fill_between(scale * x, mean - sd, mean + sd, color=colour, alpha=0.15, lw=0)


def _pooled(rows: Sequence[Mapping[str, Any]], which: str, cell_nm: float) -> np.ndarray:
    return cell_nm * np.concatenate([np.asarray(row[f"{which}_px"], float) for row in rows])


def _numbers(values: np.ndarray) -> str:
    if not len(values):
        return "none"
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{len(values)}, {values.mean():.1f}{spread} nm"


def _manner(curve: str) -> str:
    return {"clipped": ", clipped", "axis_known": ", axis given"}.get(curve, "")


def _scale(curve: str) -> float:
    return 100.0 if curve in SHARED["noise"] else 1.0


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)
