"""Lattice and tracks of a segmented recording, from its folder of results.

lattice.parquet, lattice.csv   a row an object: neighbours, order, defects
order.csv                      a row a frame: order of its lattice
pair_correlation.csv           g(r), mean over the frames
tracks.parquet, tracks.csv     the objects with the number of their track
lifetimes.csv, msd.csv         a row a track; a row a lag
measurements.json              the figures of the recording
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis import (
    default_search_range,
    diffusion,
    lattice_order,
    lattice_summary,
    lifetimes,
    link,
    mean_lifetime,
    mean_square_displacement,
    pair_correlation,
    with_units,
    without_drift,
)
from spinscope.config import Measure
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json
from spinscope.live.results import Results

if TYPE_CHECKING:
    import pandas as pd

FIGURES = "measurements.json"
_WIDE = 8  # mean steps, beyond which a search_range is worth a word
_REACH, _BINS = 6, 20  # mean spacings of g(r), and bins of each


def measure_recording(
    results: Results, settings: Measure, film: np.ndarray | None = None
) -> dict[str, Any]:
    """Measure the lattice of every frame and the tracks over the frames, and write the tables.

    film : (H, W) bool, where the film of a patterned sample is; by default what the model calls
        outside or edge is none, where it knows these classes, and all is film where not.
    Returns the figures of the recording; what cannot be known (an unknown pixel size, a single
    frame, fewer than four objects) is None; tracks of one object a frame need `search_range_px`.
    Raises SpinscopeError where the recording holds no object.
    """
    about = results.summary["stream"]
    pixel_size, interval = about["pixel_size"], about["interval"]
    columns = ["frame", "object", "y_px", "x_px", "diameter_px", "touches_border"]
    objects = results.table("objects", columns)
    if not len(objects):
        raise SpinscopeError(f"{results.folder} holds no object; there is nothing to measure")
    shape = tuple(about["shape"])
    if film is not None and film.shape != shape:
        raise SpinscopeError(f"film of shape {film.shape} must be as the frames, {shape}")
    figures = _lattice(results, objects, shape, pixel_size, film)
    alone = objects.groupby("frame").size().max() == 1
    # One object a frame has no neighbour that would tell how far it may move.
    if results.n > 1 and not (alone and settings.search_range_px is None):
        figures |= _tracks(results, objects, settings, pixel_size, interval)
    figures = {key: None if _unknown(value) else value for key, value in figures.items()}
    figures |= {"settings": settings.model_dump()}
    write_json(results.folder / FIGURES, figures)
    return figures


def _lattice(
    results: Results,
    objects: pd.DataFrame,
    shape: tuple[int, int],
    pixel_size: float | None,
    film: np.ndarray | None,
) -> dict[str, float]:
    import pandas as pd

    folder = results.folder
    spacing = math.sqrt(math.prod(shape) * objects["frame"].nunique() / len(objects))
    r_max = min(_REACH * spacing, min(shape) / 2)
    width = min(spacing / _BINS, r_max)
    tables, rows, correlations = [], [], []
    for frame, group in objects.groupby("frame"):
        positions = group[["y_px", "x_px"]].to_numpy()
        ground = _film(results, int(frame)) if film is None else film
        table = lattice_order(positions, film=ground)
        keys = {key: group[key].to_numpy() for key in ("frame", "object")}
        tables.append(pd.DataFrame(keys | table))
        rows.append({"frame": frame} | lattice_summary(table))
        correlations.append(
            pair_correlation(positions, shape, r_max=r_max, width=width, film=ground)
        )
    order = pd.DataFrame(rows)
    _write(folder / "lattice", with_units(pd.concat(tables, ignore_index=True), pixel_size))
    _write_csv(folder / "order.csv", with_units(order, pixel_size))
    if known := [found for found in correlations if len(found["g"])]:
        over = np.array([found["g"] for found in known])
        error = (
            over.std(axis=0, ddof=1) / math.sqrt(len(over)) if len(over) > 1 else known[0]["g_se"]
        )
        table = {"r_px": known[0]["r_px"], "g": over.mean(axis=0), "g_se": error}
        _write_csv(folder / "pair_correlation.csv", with_units(pd.DataFrame(table), pixel_size))
    means = order.drop(columns="frame").mean(skipna=True)
    spread = order.drop(columns="frame").std(ddof=1, skipna=True)
    names = ("psi6_mean", "psi6_global", "psi4_mean", "nearest_px", "lattice_px", "defect_share")
    figures = {name: float(means[name]) for name in names}
    figures |= {f"{name}_sd": float(spread[name]) for name in names}
    return with_units(figures, pixel_size)


def _tracks(
    results: Results,
    objects: pd.DataFrame,
    settings: Measure,
    pixel_size: float | None,
    interval: float | None,
) -> dict[str, float]:
    search_range = (
        default_search_range(objects)
        if settings.search_range_px is None
        else settings.search_range_px
    )
    tracks = link(
        objects,
        search_range_px=search_range,
        memory=settings.memory,
        size_ratio=settings.size_ratio,
    )
    _write(results.folder / "tracks", with_units(tracks, pixel_size))
    lived = lifetimes(tracks, frames=(0, results.n - 1), interval=interval)
    _write_csv(results.folder / "lifetimes.csv", lived)
    # An object that the border cuts has its centre elsewhere.
    tracks = tracks[~tracks["touches_border"].to_numpy(dtype=bool)].reset_index(drop=True)
    moved = without_drift(tracks) if settings.subtract_drift else tracks
    msd = mean_square_displacement(moved, max_lag=settings.max_lag, interval=interval)
    _write_csv(results.folder / "msd.csv", with_units(msd, pixel_size))
    found = diffusion(
        tracks, pixel_size=pixel_size, interval=interval, drift=settings.subtract_drift
    )
    if (steps := search_range / found["step_px"]) > _WIDE:
        found["note"] = (
            f"objects were linked over up to {search_range:.3g} px a frame, {steps:.0f} times their mean "
            "step; where they come close to each other, a smaller "
            "measure.search_range_px of some five steps links more surely"
        )
    return found | {"search_range_px": search_range} | mean_lifetime(lived, interval=interval)


def _film(results: Results, frame: int) -> np.ndarray | None:
    """Where the film of a patterned sample is, for models that tell it from the outside."""
    beyond = [k for k, name in enumerate(results.summary["classes"]) if name in ("outside", "edge")]
    return ~np.isin(results.mask(frame), beyond) if beyond else None


def _unknown(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _write(path: Path, table: pd.DataFrame) -> None:
    """A table as Parquet and as CSV."""
    with atomic_file(path.with_suffix(".parquet")) as partial:
        table.to_parquet(partial, index=False)
    _write_csv(path.with_suffix(".csv"), table)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_file(path) as partial:
        table.to_csv(partial, index=False)
