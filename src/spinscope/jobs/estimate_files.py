"""Files of an estimate: numbers, the image beside training films, and the closed loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spinscope.files import atomic_file, provenance, write_json
from spinscope.inference.parameters import SHOWN
from spinscope.jobs.estimate import Estimated


def write_estimate(found: Estimated, out: Path) -> list[Path]:
    """Write an estimate into a folder.

    Parameters
    ----------
    found : Estimated
    out : Path
        Receives `estimate.json`, `estimate.png` (the image and the nearest training films) and, of
        a refined estimate, `refined.png` and `posterior.csv` (parameter in SI units, density).

    Returns
    -------
    list of Path
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [write_json(out / "estimate.json", {**found.summary, **provenance()})]
    files.append(_saved(nearest_figure(found), out / "estimate.png"))
    if (one := found.refined) is not None:
        files.append(_saved(refined_figure(found), out / "refined.png"))
        files.append(out / "posterior.csv")
        with atomic_file(files[-1]) as partial:
            table = np.column_stack([one.values, one.density])
            np.savetxt(
                partial, table, "%.6g", ",", header=f"{found.parameter},density", comments=""
            )
    return files


def _saved(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def nearest_figure(found: Estimated) -> Figure:
    """Draw the image and the nearest training films; a frame marks the image's field of view."""
    symbol, unit, factor = SHOWN[found.parameter]
    figure = Figure(figsize=(2.4 * (1 + len(found.nearest)), 2.8), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, 1 + len(found.nearest)))
    height, width = (1e9 * side for side in found.given.field_of_view)
    one = found.estimate
    value = "no estimate" if one is None else f"{symbol} = {one.mean * factor:.3g} {unit}"
    _show(axes[0], found.given.image, (0, width, height, 0), f"image, {width:.0f} nm\n{value}")
    for place, film in zip(axes[1:], found.nearest, strict=True):
        side = film.image.shape[0] * film.pixel_size * 1e9
        title = f"film, {side:.0f} nm\n{symbol} = {film.value * factor:.3g} {unit}"
        _show(place, film.image, (0, side, side, 0), title)
        if width < side and height < side:
            place.add_patch(Rectangle((0, 0), width, height, fill=False, color="#e07a1f"))
    return figure


def refined_figure(found: Estimated) -> Figure:
    """Draw image and rendered films side by side, their correlations and the posterior."""
    symbol, unit, factor = SHOWN[found.parameter]
    one = found.refined
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1))
    values = {"before": found.network.mean, "after": one.value}
    for place, (name, image) in zip(upper.subplots(1, 3), one.views.items(), strict=True):
        low, high = np.percentile(one.views["image"], (1, 99))
        title = "image" if name == "image" else f"film {name}, {values[name] * factor:.3g} {unit}"
        place.imshow(image, cmap="gray", vmin=low, vmax=high)
        place.set(title=title, xticks=[], yticks=[])
    left, right = lower.subplots(1, 2)
    for name, style in (("image", "k-"), ("before", "C0--"), ("after", "C1-")):
        left.plot(one.r * 1e9, one.curves[name], style, label=name)
    left.set(xlabel="distance, nm", ylabel="two-point correlation")
    left.legend()
    right.plot(one.values * factor, one.density / factor, "C1", label="posterior")
    right.axvspan(one.low * factor, one.high * factor, color="C1", alpha=0.2)
    right.axvline(found.network.mean * factor, color="C0", ls="--", label="network")
    right.set(xlabel=f"{symbol}, {unit}", ylabel="density", ylim=(0, None))
    right.legend()
    return figure


def _show(axes: Any, image: np.ndarray, extent: tuple[float, ...], title: str) -> None:
    """Show an image with sides in nm."""
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize="small")
