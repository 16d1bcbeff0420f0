"""Figures of the Lorentz study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinscope.classes import SKYRMION
from spinscope.studies.figures import colour, finish, new_figure
from spinscope.studies.lorentz.findings import NAMES, PUBLISHED, Curves

AXES = {
    "noise": "Gaussian noise, % of the mean intensity",
    "defocus": "defocus, mm",
    "tilt": "tilt, degrees",
    "axis": "tilt axis, degrees",
}
SHARED = {"noise": ("noise", "clipped"), "axis": ("axis", "axis_known")}
"""Curves in one figure; the second is dotted."""

SUFFIX = {"clipped": ", clipped", "axis_known": ", axis given"}
"""Curve → suffix of a model's name in legends and tables."""


def curve_figure(models: Mapping[str, Curves], curve: str) -> Figure:
    """F1 and Jaccard along a curve, one colour per model; bands are one SD over the films.

    Parameters
    ----------
    models : mapping
        Model → its curves.
    curve : str
        Name of the curve.
    """
    figure = new_figure(9.5, 3.8)
    panels, factor = figure.subplots(1, 2, sharey=True), 100.0 if curve == "noise" else 1.0
    for axes, score in zip(panels, ("f1", "jaccard"), strict=True):
        for number, (name, curves) in enumerate(models.items()):
            for style, key in zip("-:", SHARED.get(curve, (curve,)), strict=False):
                if key in curves:
                    label, shade = f"{name}{SUFFIX.get(key, '')}", colour(number)
                    _line(axes, curves[key], score, factor, color=shade, ls=style, label=label)
        if curve == "noise":
            x = [factor * noise for noise in PUBLISHED]
            y = [scores[score] for scores in PUBLISHED.values()]
            axes.plot(x, y, "kD", ms=5, label="published, eight images", zorder=5)
        finish(axes, None, xlabel=AXES[curve], ylabel=NAMES[score], ylim=(0, 1.02))
    panels[0].legend(fontsize="small")
    return figure


def size_figure(models: Mapping[str, Curves], cell_nm: float) -> Figure:
    """Diameters at 0, 50 and 100 % noise: true ones filled, predicted ones as lines.

    Parameters
    ----------
    models : mapping
        Model → its curves.
    cell_nm : float
        Pixel size in nm.
    """
    figure = new_figure(11, 3.4)
    panels = figure.subplots(1, 3, sharey=True, sharex=True)
    for axes, noise in zip(panels, (0.0, 0.5, 1.0), strict=True):
        rows = {name: curves["noise"][noise] for name, curves in models.items()}
        true = _pooled(next(iter(rows.values())), "true", cell_nm)
        edges = np.linspace(0, 1.5 * true.max() if len(true) else 100, 41)
        axes.hist(true, edges, color="#9aa3ad", label=f"true: {_summary(true)}")
        for number, (name, found) in enumerate(rows.items()):
            px = _pooled(found, "predicted", cell_nm)
            counts, label = np.histogram(px, edges)[0], f"{name}: {_summary(px)}"
            axes.stairs(counts, edges, color=colour(number), lw=1.6, label=label)
        axes.set(xlabel="equivalent diameter, nm", title=f"{100 * noise:.0f} % noise")
        axes.legend(fontsize="x-small")
    panels[0].set_ylabel("skyrmions")
    return figure


def image_figure(panels: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Images of one film above the agreement of label and prediction.

    Parameters
    ----------
    panels : sequence of (title, image, label, prediction)
        One column each; arrays (H, W).
    """
    figure = new_figure(2.7 * len(panels), 5.6)
    columns = figure.subplots(2, len(panels), squeeze=False).T
    for (top, bottom), (title, image, label, found) in zip(columns, panels, strict=True):
        _show(top, image)
        top.set_title(title, fontsize="small")
        bottom.imshow(agreement(label, found))
        bottom.set_axis_off()
    return figure


def agreement(label: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Image (H, W, 3) uint8: found pixels pale, missed ones blue, false ones orange, rest dark.

    Parameters
    ----------
    label : (H, W) array
        Label.
    found : (H, W) array
        Predicted classes.
    """
    truth, mask = label == SKYRMION, found == SKYRMION
    colours = np.full((*label.shape, 3), 30, dtype=np.uint8)
    colours[truth & mask] = (225, 225, 225)
    colours[truth & ~mask] = (40, 150, 255)
    colours[mask & ~truth] = (255, 140, 20)
    return colours


def overlay_figure(image: np.ndarray, mask: np.ndarray, places: np.ndarray) -> Figure:
    """Image (H, W), plain and with outlines of the mask and places (n, 2) of dipoles.

    Parameters
    ----------
    image : (H, W) array
        Image.
    mask : (H, W) array
        Mask.
    places : (n, 2) array
        Places of dipoles (y, x) in px.
    """
    figure = new_figure(11, 5.8)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        _show(axes, image)
    if mask.any():
        right.contour(mask, [0.5], colors=[colour(1)], linewidths=0.9)
    right.plot(places[:, 1], places[:, 0], ".", color="#39c0f0", ms=4)
    return figure


def _show(axes: Axes, image: np.ndarray) -> None:
    """Grey image without axes; the contrast spans the central 98 % of its levels."""
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray", vmin=low, vmax=high)
    axes.set_axis_off()


def _line(
    axes: Axes, curve: Mapping[float, Any], score: str, factor: float, *, ls: str, **style: Any
) -> None:
    """Mean of a score along a curve; a solid line gets a band of one SD."""
    x = factor * np.array(sorted(curve))
    values = [[row[score] for row in curve[at]] for at in sorted(curve)]
    mean = np.array([np.mean(v) for v in values])
    axes.plot(x, mean, ls, marker="." if ls == "-" else "", **style)
    if ls == "-":
        sd = np.array([np.std(v, ddof=1) if len(v) > 1 else 0 for v in values])
        axes.fill_between(x, mean - sd, mean + sd, color=style["color"], alpha=0.15, lw=0)


def _pooled(rows: Sequence[Mapping[str, Any]], which: str, cell_nm: float) -> np.ndarray:
    """Diameters of all films in nm."""
    return cell_nm * np.concatenate([np.asarray(row[f"{which}_px"], float) for row in rows])


def _summary(values: np.ndarray) -> str:
    """Number, mean and SD of diameters in nm."""
    if not len(values):
        return "none"
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{len(values)}, {values.mean():.1f}{spread} nm"
