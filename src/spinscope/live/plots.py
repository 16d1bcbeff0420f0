"""Plots of a measured recording: sizes, order, pair correlation, displacement and lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.files import atomic_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_BINS = 30  # at most, in a histogram
_PANEL_INCHES = (4.2, 3.1)
_COLUMNS = 3


def draw_measurements(
    path: Path, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Any], unit: str
) -> None:
    """Draw the tables of a recording as one PNG, one panel per quantity that was measured.

    Parameters
    ----------
    path : Path
        File to write.
    tables : mapping
        `objects`, and the tables of `measure_objects`.
    figures : mapping
        Figures of `measure_objects`.
    unit : {"px", "nm", "um"}
        Unit of lengths.
    """
    from matplotlib.figure import Figure

    name = {"um": "µm"}.get(unit, unit)
    panels: list[Callable[[Axes], None]] = [lambda axis: _sizes(axis, tables, unit, name)]
    if len(tables["order"]) > 1:
        panels.append(lambda axis: _over_frames(axis, tables))
    if "pair_correlation" in tables:
        panels.append(lambda axis: _pair_correlation(axis, tables, unit, name))
    if len(tables.get("msd", ())):
        panels.append(lambda axis: _displacement(axis, tables, figures, unit, name))
    if len(tables.get("lifetimes", ())):
        panels.append(lambda axis: _lifetimes(axis, tables))
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    for k, panel in enumerate(panels):
        axis = figure.add_subplot(rows, columns, k + 1)
        panel(axis)
        axis.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def unit_of(diameter_nm: float | None) -> str:
    """Unit in which lengths of about a diameter are readable; px where it is unknown."""
    if diameter_nm is None or not np.isfinite(diameter_nm):
        return "px"
    return "um" if diameter_nm >= 1000 else "nm"


def _sizes(axis: Axes, tables: Mapping[str, pd.DataFrame], unit: str, name: str) -> None:
    values = tables["objects"][f"diameter_{unit}"].to_numpy()
    axis.hist(values, bins=min(_BINS, max(5, round(np.sqrt(len(values))))))
    axis.set(
        title=f"Diameters of {len(values)} objects", xlabel=f"diameter in {name}", ylabel="objects"
    )


def _over_frames(axis: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    order = tables["order"]
    axis.plot(order["frame"], order["psi6_mean"], ".-", label="mean of |ψ6|")
    axis.plot(order["frame"], order["psi6_global"], ".-", label="|mean of ψ6|")
    axis.set(title="Lattice order", xlabel="frame", ylim=(0, 1))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)


def _pair_correlation(axis: Axes, tables: Mapping[str, pd.DataFrame], unit: str, name: str) -> None:
    table = tables["pair_correlation"]
    r, g, error = table[f"r_{unit}"], table["g"], table["g_se"].fillna(0)
    axis.fill_between(r, g - error, g + error, alpha=0.3, linewidth=0)
    axis.plot(r, g)
    axis.axhline(1, color="0.6", linewidth=0.8)
    axis.set(title="Pair correlation", xlabel=f"distance in {name}", ylabel="g(r)", ylim=(0, None))


def _displacement(
    axis: Axes,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Any],
    unit: str,
    name: str,
) -> None:
    msd = tables["msd"]
    seconds = msd["lag_s"].notna().all()
    lag = msd["lag_s" if seconds else "lag_frames"]
    value, error = msd[f"msd_{unit}2"], msd[f"msd_{unit}2_se"]
    axis.errorbar(lag, value, error.fillna(0), fmt="o", markersize=4, label="measured")
    diffusion = figures.get("diffusion_px2_per_frame")
    if diffusion is not None and np.isfinite(diffusion):
        noise = figures.get("localisation_px") or 0.0
        squared = float(value.iloc[0] / msd["msd_px2"].iloc[0]) if msd["msd_px2"].iloc[0] else 1.0
        line = 4 * (diffusion * msd["lag_frames"] + noise**2) * squared
        axis.plot(lag, line, label="4 D t + 4 σ²")
    axis.set(
        title="Mean squared displacement",
        xlabel=f"lag in {'s' if seconds else 'frames'}",
        ylabel=f"MSD in {name}²",
        ylim=(0, None),
    )
    if not seconds:
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)


def _lifetimes(axis: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    lives = tables["lifetimes"]
    seconds = lives["lifetime_s"].notna().all()
    values = lives["lifetime_s" if seconds else "lifetime_frames"].to_numpy()
    cut = (lives["start_cut_off"] | lives["end_cut_off"]).to_numpy(dtype=bool)
    step = values.max() / lives["lifetime_frames"].max()  # one frame
    step *= -(-int(lives["lifetime_frames"].max()) // _BINS)
    axis.hist(
        [values[~cut], values[cut]],
        bins=np.arange(step / 2, values.max() + 1.5 * step, step),
        stacked=True,
        label=["whole tracks", "cut off"],
        color=["C0", "0.75"],
    )
    axis.set(
        title=f"Lifetimes of {len(lives)} tracks",
        xlabel=f"lifetime in {'s' if seconds else 'frames'}",
        ylabel="tracks",
    )
    if not seconds:
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)
