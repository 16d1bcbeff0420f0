"""Lattice and tracks of a segmented recording, as tables and as files of its results folder.

lattice.parquet, lattice.csv   one row per object: neighbours, order, defects
order.csv                      one row per frame: order of its lattice
pair_correlation.csv           g(r), mean over the frames
tracks.parquet, tracks.csv     the objects with the number of their track
lifetimes.csv, msd.csv         one row per track; one row per lag
measurements.json              the figures of the recording
plots.png                      diameters, order, g(r), displacement, lifetimes
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis import (
    assign_tracks,
    default_search_range,
    diffusion,
    lattice_order,
    lattice_summary,
    lifetimes,
    link,
    mean_lifetime,
    mean_squared_displacement,
    pair_correlation,
    subtract_drift,
    with_units,
)
from spinscope.analysis.imports import read_tracks
from spinscope.analysis.tables import rounded, write_csv, write_parquet
from spinscope.config import Measure
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance, sha256, write_json
from spinscope.live.plots import draw_measurements, unit_of
from spinscope.live.results import Results

if TYPE_CHECKING:
    import pandas as pd

FIGURES = "measurements.json"
PLOTS = "plots.png"
TABLES = ("lattice", "order", "pair_correlation", "tracks", "lifetimes", "msd")
COLUMNS = ("frame", "object", "y_px", "x_px", "diameter_px", "touches_border")
"""Columns of the table of objects that are needed."""

_LONG_RANGE = 8  # mean steps, beyond which a note advises a shorter search range
_SHORT_RANGE = 3.5  # mean steps, below which D of simulated tracks is over 5 % too small
_FROM_LINKS = ("diffusion", "localisation", "lifetime")
"""Beginnings of the figures that wrong links falsify."""
_SPACINGS, _BINS = 6, 20  # extent of g(r) in mean spacings, and bins per spacing

Tables = dict[str, "pd.DataFrame"]


def measure_recording(
    results: Results,
    settings: Measure,
    sample_mask: np.ndarray | None = None,
    tracks: Path | None = None,
) -> dict[str, Any]:
    """Measure a results folder and write the tables into it, in place of earlier ones.

    Parameters
    ----------
    results : Results
        Results folder.
    settings : Measure
        Section `measure` of the settings.
    sample_mask : (H, W) bool array, optional
        Where a patterned sample has a film. By default the pixels that the model classifies as
        outside or edge have none, where it knows these classes.
    tracks : Path, optional
        File with tracks in place of links, as `imports.read_tracks` reads it.

    Returns
    -------
    dict
        Figures of the recording, None where unknown (an unknown pixel size, a single frame, fewer
        than four objects), with `settings` and `notes` on what could not be measured, and with
        `path` and `sha256` of the `tracks_file`.

    Raises
    ------
    SpinscopeError
        Where the recording holds no object, and for tracks that cannot be read or do not fit.
    """
    objects = results.table("objects", list(COLUMNS))
    if not len(objects):
        raise SpinscopeError(f"{results.folder} holds no object; there is nothing to measure")
    spots, origin = None, {}
    if tracks is not None:
        size = {"shape": results.shape, "pixel_size": results.pixel_size}
        spots = read_tracks(tracks, n_frames=results.n_frames, **size)
        origin = {"tracks_file": {"path": str(tracks), "sha256": sha256(tracks)}}
    tables, figures = measure_objects(
        objects,
        settings,
        n_frames=results.n_frames,
        shape=results.shape,
        pixel_size=results.pixel_size,
        interval=results.interval,
        sample_mask=lambda frame: (
            sample_of(results.mask(frame), results.classes) if sample_mask is None else sample_mask
        ),
        spots=spots,
    )
    applied = results.applied
    for name, table in tables.items():
        if "frame" in table:
            new = applied.columns.difference(table.columns, sort=False)
            tables[name] = table = table.join(applied[list(new)], on="frame")
        if name in ("lattice", "tracks"):
            with atomic_file(results.folder / f"{name}.parquet") as partial:
                write_parquet(partial, table)
        with atomic_file(results.folder / f"{name}.csv") as partial:
            write_csv(partial, table)
    for name in set(TABLES) - set(tables):
        for suffix in (".parquet", ".csv"):
            (results.folder / f"{name}{suffix}").unlink(missing_ok=True)
    sizes = with_units(objects, results.pixel_size)
    unit = unit_of(None if results.pixel_size is None else float(sizes["diameter_nm"].median()))
    draw_measurements(results.folder / PLOTS, {"objects": sizes} | tables, figures, unit)
    figures = provenance() | rounded(figures) | origin
    write_json(results.folder / FIGURES, figures)
    return figures


def measure_objects(
    objects: pd.DataFrame,
    settings: Measure,
    *,
    n_frames: int,
    shape: tuple[int, int],
    pixel_size: float | None = None,
    interval: float | None = None,
    sample_mask: Callable[[int], np.ndarray | None] = lambda frame: None,
    spots: pd.DataFrame | None = None,
) -> tuple[Tables, dict[str, Any]]:
    """Measure the lattice of every frame and the tracks over the frames.

    Tracks of recordings with one object per frame need `search_range_px`: such an object has no
    neighbour whose distance limits how far it may move.

    Parameters
    ----------
    objects : DataFrame
        One row per object, with `COLUMNS`.
    settings : Measure
        Section `measure` of the settings.
    n_frames : int
        Number of frames.
    shape : (int, int)
        Height and width of the frames in px.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s.
    sample_mask : callable, optional
        Returns, for a frame, where a patterned sample has a film, (H, W) bool, None for everywhere.
    spots : DataFrame, optional
        Tracks in place of links: `frame`, `y_px`, `x_px` and `track` of each spot, as
        `imports.read_tracks` returns them. Each object has the track of the spot on it.

    Returns
    -------
    tables : dict of DataFrame
        `lattice`, `order`, `pair_correlation`, `tracks`, `lifetimes`, `msd`, as far as known.
    figures : dict
        Figures of the recording, None where unknown, with `settings` and `notes`.

    Raises
    ------
    SpinscopeError
        Where there is no object, the sample mask has another shape than the frames, or the spots
        do not fit the objects.
    """
    if not len(objects):
        raise SpinscopeError("there is no object to measure")
    tables, figures = _lattice(objects, shape, pixel_size, sample_mask)
    notes = []
    if n_frames == 1:
        notes.append(
            "no tracks: a single frame shows no motion; tracks, diffusion and lifetimes need a "
            "recording of several frames"
        )
    elif (
        spots is None
        and settings.search_range_px is None
        and objects.groupby("frame").size().max() == 1
    ):
        notes.append(
            "no tracks: with one object per frame no neighbour limits how far it may move; give "
            "measure.search_range_px"
        )
    else:
        found, more, notes = _tracks(objects, settings, n_frames, pixel_size, interval, spots)
        tables, figures = tables | found, figures | more
    known = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in figures.items()
    }
    return tables, known | {"notes": notes, "settings": settings.model_dump()}


def sample_of(mask: np.ndarray, classes: list[str]) -> np.ndarray | None:
    """Return where a patterned sample has a film, None for a model that does not segment that."""
    beyond = [k for k, name in enumerate(classes) if name in ("outside", "edge")]
    return ~np.isin(mask, beyond) if beyond else None


def _lattice(
    objects: pd.DataFrame,
    shape: tuple[int, int],
    pixel_size: float | None,
    sample_mask: Callable[[int], np.ndarray | None],
) -> tuple[Tables, dict[str, float]]:
    """Tables and figures of the lattice."""
    import pandas as pd

    spacing = math.sqrt(math.prod(shape) * objects["frame"].nunique() / len(objects))
    r_max = min(_SPACINGS * spacing, min(shape) / 2)
    width = min(spacing / _BINS, r_max)
    lattices, rows, correlations = [], [], []
    for frame, group in objects.groupby("frame"):
        positions = group[["y_px", "x_px"]].to_numpy()
        sample = sample_mask(int(frame))
        if sample is not None and sample.shape != shape:
            raise SpinscopeError(
                f"sample_mask of shape {sample.shape} must be as the frames, {shape}"
            )
        order = lattice_order(positions, sample_mask=sample)
        keys = {key: group[key].to_numpy() for key in ("frame", "object")}
        lattices.append(pd.DataFrame(keys | order))
        rows.append({"frame": frame} | lattice_summary(order))
        g = pair_correlation(positions, shape, r_max=r_max, width=width, sample_mask=sample)
        if len(g["g"]):
            correlations.append(g)
    order = pd.DataFrame(rows)
    tables = {"lattice": pd.concat(lattices, ignore_index=True), "order": order}
    if correlations:
        g = np.array([one["g"] for one in correlations])
        error = correlations[0]["g_se"]
        if len(g) > 1:
            error = g.std(axis=0, ddof=1) / math.sqrt(len(g))
        columns = {"r_px": correlations[0]["r_px"], "g": g.mean(axis=0), "g_se": error}
        tables["pair_correlation"] = pd.DataFrame(columns)
    names = [
        "psi6_mean", "psi6_global", "psi4_mean", "nearest_px_mean", "lattice_px",
        "lattice_defect_fraction",
    ]  # fmt: skip
    figures = order[names].mean().to_dict() | order[names].std().add_suffix("_sd_frames").to_dict()
    tables = {name: with_units(table, pixel_size) for name, table in tables.items()}
    return tables, with_units(figures, pixel_size)


def _tracks(
    objects: pd.DataFrame,
    settings: Measure,
    n_frames: int,
    pixel_size: float | None,
    interval: float | None,
    spots: pd.DataFrame | None,
) -> tuple[Tables, dict[str, Any], list[str]]:
    """Tables and figures of the tracks, and notes on them."""
    search_range, notes = settings.search_range_px, []
    if spots is not None:
        tracks, notes = assign_tracks(objects, spots)
    else:
        if search_range is None:
            search_range = default_search_range(objects)
        tracks = link(
            objects,
            search_range_px=search_range,
            memory=settings.memory,
            size_ratio=settings.size_ratio,
        )
    lifetime_table = lifetimes(tracks, frames=(0, n_frames - 1), interval=interval)
    # The border cuts objects and so shifts their centres.
    inner = tracks[~tracks["touches_border"].to_numpy(dtype=bool)].reset_index(drop=True)
    moved = subtract_drift(inner) if settings.subtract_drift else inner
    msd = mean_squared_displacement(moved, max_lag=settings.max_lag, interval=interval)
    figures = diffusion(
        inner, pixel_size=pixel_size, interval=interval, drift=settings.subtract_drift
    )
    step, lives = figures["step_px"], mean_lifetime(lifetime_table, interval=interval)
    if spots is None:
        figures |= {"search_range_px": search_range} | lives
        doubts, reliable = _doubts(objects, step, search_range)
        notes += doubts
        if not reliable:
            figures = {
                key: math.nan if key.startswith(_FROM_LINKS) else value
                for key, value in figures.items()
            }
    else:
        figures |= lives
        with contextlib.suppress(SpinscopeError):  # no frame has two objects
            if step and default_search_range(objects) / step < _SHORT_RANGE:
                notes.append(
                    "the objects move almost as far as they are apart: D and the lifetime are only "
                    "as good as every link of the given tracks"
                )
    figures = with_units(figures, pixel_size)
    tables = {
        "tracks": with_units(tracks, pixel_size),
        "lifetimes": lifetime_table,
        "msd": with_units(msd, pixel_size),
    }
    return tables, figures, notes


def _doubts(objects: pd.DataFrame, step: float, search_range: float) -> tuple[list[str], bool]:
    """Notes on links over a search range, and whether they are reliable."""
    notes = []
    if step and (steps := search_range / step) > _LONG_RANGE:  # 0 where nothing moves
        notes.append(
            f"objects were linked over up to {search_range:.3g} px a frame, {steps:.0f} times "
            "their mean step; where they come close to each other, a smaller "
            "measure.search_range_px of some five steps links more surely"
        )
    with contextlib.suppress(SpinscopeError):  # no frame has two objects
        search_range = min(search_range, default_search_range(objects))
    reliable = not (step and search_range / step < _SHORT_RANGE)
    if not reliable:
        notes.append(
            f"the links are not reliable, and D and the lifetime are left out: the mean step of "
            f"{step:.3g} px is hardly shorter than half the distance of neighbours or the search "
            f"range ({search_range:.3g} px, {search_range / step:.1f} steps; at least "
            f"{_SHORT_RANGE:g} are needed). Record faster, or with fewer skyrmions"
        )
    return notes, reliable
