r"""Tracks of objects over frames: links, mean squared displacement, diffusion and lifetimes.

A table of objects holds `frame`, `y_px` and `x_px`, one row per object; further columns are kept.
A frame without objects has no row. Steps connect neighbouring frames only: where an object is
missing in a frame, there is no step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from spinscope.analysis.fits import student
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

_ENOUGH = 10  # tracks whose scatter gives a standard error


def link(
    objects: pd.DataFrame | Mapping[str, np.ndarray],
    *,
    search_range_px: float | None = None,
    memory: int = 0,
    size_ratio: float | None = 2.0,
) -> pd.DataFrame:
    """Link the objects of all frames to tracks (Crocker and Grier's algorithm, by trackpy).

    Parameters
    ----------
    objects : DataFrame or mapping
        Columns `frame`, `y_px`, `x_px` and any others.
    search_range_px : float, optional
        Distance that an object may move between frames, some five standard deviations of a step.
        By default half the median distance of nearest neighbours, within which the nearest object
        of the next frame is the same one.
    memory : int
        Frames an object may disappear and still be linked.
    size_ratio : float or None
        Objects whose `diameter_px` differ by this factor are as far apart as `search_range_px`, so
        that a small object is not linked to a large one, nor to a merged pair. None, or a missing
        column, links by position alone.

    Returns
    -------
    DataFrame
        The table with a column `track`, 0 …, in order of first appearance, sorted by track and
        frame.

    Raises
    ------
    SpinscopeError
        For a missing column, a parameter out of range, and where so many objects are within the
        search range that links are ambiguous.

    References
    ----------
    Crocker & Grier, J. Colloid Interface Sci. 179, 298 (1996).
    """
    import pandas as pd

    table = _table(objects)
    if search_range_px is not None and not search_range_px > 0:
        raise SpinscopeError(f"search_range_px (={search_range_px}) must be above 0")
    if size_ratio is not None and not size_ratio > 1:
        raise SpinscopeError(f"size_ratio (={size_ratio}) must be above 1, or None")
    table = table.sort_values("frame", kind="stable", ignore_index=True)
    if not len(table):
        return table.assign(track=pd.Series(dtype=np.int64))
    search_range = default_search_range(table) if search_range_px is None else search_range_px
    place = table[["y_px", "x_px"]].to_numpy() / search_range
    if size_ratio is not None and "diameter_px" in table:
        size = np.log(table["diameter_px"].to_numpy()) / np.log(size_ratio)
        place = np.column_stack([place, size])
    table["track"] = _linked(table["frame"].to_numpy(), place, memory, search_range)
    return table.sort_values(["track", "frame"], kind="stable", ignore_index=True)


def assign_tracks(objects: pd.DataFrame, spots: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Give each object the track of the spot that lies on it.

    Spots and objects of a frame are paired one to one, the nearest first. A spot lies on an object
    if it is within its radius, and within 1 px of a smaller one.

    Parameters
    ----------
    objects : DataFrame
        Columns `frame`, `y_px`, `x_px`, `diameter_px` and any others.
    spots : DataFrame
        Columns `frame`, `y_px`, `x_px` and `track`, as `imports.read_tracks` returns them.

    Returns
    -------
    tracks : DataFrame
        The objects with a spot and a column `track`, numbered and sorted as by `link`.
    notes : list of str
        How many spots lie on no object, and how many objects have no spot, where there are any.

    Raises
    ------
    SpinscopeError
        For two spots on one object, and where more than half of the spots lie on no object.
    """
    table = _table(objects).sort_values("frame", kind="stable", ignore_index=True)
    spots = spots.sort_values("frame", kind="stable", ignore_index=True)
    radius = np.maximum(table["diameter_px"].to_numpy() / 2, 1.0)
    place, at = table[["y_px", "x_px"]].to_numpy(), spots[["y_px", "x_px"]].to_numpy()
    chosen = np.full(len(table), -1)
    for frame, rows in spots.groupby("frame").indices.items():
        first, last = np.searchsorted(table["frame"], [frame, frame + 1])
        pairs = _pairs(at[rows], place[first:last], radius[first:last])
        paired, twice = _one_to_one(*pairs, len(rows), last - first)
        if twice is not None:
            y, x = place[first + twice]
            raise SpinscopeError(
                f"two spots lie on one object, in frame {frame} at y, x = ({y:.1f}, {x:.1f}) px; "
                "delete one of them, or correct the mask of the frame first"
            )
        chosen[first:last][paired >= 0] = rows[paired[paired >= 0]]
    found = chosen >= 0
    lost = np.setdiff1d(np.arange(len(spots)), chosen)
    if 2 * len(lost) > len(spots):
        raise SpinscopeError(
            f"{len(lost)} of {len(spots)} spots lie on no object; the tracks must belong to these "
            "results: check the unit of the positions, and that frames are counted from 0"
        )
    notes = []
    if len(lost):
        spot = spots.iloc[lost[0]]
        notes.append(
            f"{len(lost)} of {len(spots)} spots lie on no object and were left out, the first in "
            f"frame {spot['frame']:.0f} at y, x = ({spot['y_px']:.1f}, {spot['x_px']:.1f}) px"
        )
    if not found.all():
        notes.append(
            f"{(~found).sum()} of {len(table)} objects have no spot and belong to no track"
        )
    tracks = table[found].assign(track=_renumbered(spots["track"].to_numpy()[chosen[found]]))
    return tracks.sort_values(["track", "frame"], kind="stable", ignore_index=True), notes


def default_search_range(table: pd.DataFrame) -> float:
    """Return half the median distance of nearest neighbours over all frames, in px.

    Raises
    ------
    SpinscopeError
        Where no frame has two objects.
    """
    from spinscope.analysis.lattice import nearest

    distances = [nearest(frame.to_numpy()) for _, frame in table.groupby("frame")[["y_px", "x_px"]]]
    distances = np.concatenate(distances)
    known = distances[np.isfinite(distances) & (distances > 0)]
    if not len(known):
        raise SpinscopeError("search_range_px must be given where no frame has two objects")
    return float(np.median(known) / 2)


def subtract_drift(tracks: pd.DataFrame) -> pd.DataFrame:
    """Subtract the ensemble drift: the mean motion of all objects from frame to frame.

    With n objects per frame, this removes 1/n of their own motion; `diffusion` corrects for it.
    """
    first, second = _steps(tracks)
    starts, mean, _, _ = _mean_step(tracks, first, second)
    moved = np.concatenate([np.zeros((1, 2)), np.cumsum(mean, axis=0)])
    moved = moved[np.searchsorted(starts, tracks["frame"].to_numpy())]
    return tracks.assign(y_px=tracks["y_px"] - moved[:, 0], x_px=tracks["x_px"] - moved[:, 1])


def mean_squared_displacement(
    tracks: pd.DataFrame, *, max_lag: int = 20, interval: float | None = None
) -> pd.DataFrame:
    r"""Mean squared displacement over tracks and times.

    .. math:: \mathrm{MSD}(\ell) = \langle |r(t + \ell) - r(t)|^2 \rangle
              = 4 D \ell + 4 \sigma^2 \text{ for free diffusion}

    Parameters
    ----------
    tracks : DataFrame
        Result of `link`.
    max_lag : int
        Largest lag in frames.
    interval : float, optional
        Time between frames in s.

    Returns
    -------
    DataFrame
        One row per lag with a pair: `lag_frames`, `lag_s` (NaN without interval), `msd_px2`,
        `msd_px2_se` (from the scatter between tracks, NaN for fewer than two), `pairs`, `tracks`.
    """
    import pandas as pd

    rows = []
    for lag, squares, _, pairs, sums in _displacements(tracks, max_lag):
        mean, count, error = squares.mean(), len(pairs), np.nan
        if count > 1:
            scatter = ((sums - pairs * mean) ** 2).sum() * count / (count - 1)
            error = np.sqrt(scatter) / len(squares)
        seconds = lag * (np.nan if interval is None else interval)
        rows.append((lag, seconds, mean, error, len(squares), count))
    names = ["lag_frames", "lag_s", "msd_px2", "msd_px2_se", "pairs", "tracks"]
    return pd.DataFrame(rows, columns=names, dtype=None if rows else float)


def track_msd(
    tracks: pd.DataFrame, *, max_lag: int = 20, interval: float | None = None
) -> pd.DataFrame:
    """Mean squared displacement of each track: `track`, `lag_frames`, `lag_s`, `msd_px2`,
    `pairs`.

    See `mean_squared_displacement` for the parameters.
    """
    import pandas as pd

    names = ["track", "lag_frames", "lag_s", "msd_px2", "pairs"]
    tables = [pd.DataFrame(columns=names, dtype=float)]
    for lag, _, numbers, pairs, sums in _displacements(tracks, max_lag):
        seconds = lag * (np.nan if interval is None else interval)
        columns = (numbers, lag, seconds, sums / pairs, pairs)
        tables.append(pd.DataFrame(dict(zip(names, columns, strict=True))))
    table = pd.concat(tables[1:] or tables, ignore_index=True)
    return table.sort_values(["track", "lag_frames"], ignore_index=True)


def diffusion(
    tracks: pd.DataFrame,
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
    drift: bool = False,
    exposure: float = 0.0,
) -> dict[str, float]:
    r"""Diffusion constant of all tracks together, from the covariance of their steps.

    .. math:: D = \tfrac12 \langle \Delta_n^2 \rangle
                  + \langle \Delta_n \Delta_{n+1} \rangle, \qquad
              \sigma^2 = R \langle \Delta_n^2 \rangle
                         + (2R - 1) \langle \Delta_n \Delta_{n+1} \rangle

    averaged over y and x. Localisation noise lengthens a step and reverses the next one: the two
    terms cancel it, and the blur of an open shutter, exactly. The estimator is unbiased for tracks
    of any length and close to optimal, while a line fitted to a mean squared displacement depends
    on the number of its correlated lags.

    Parameters
    ----------
    tracks : DataFrame
        Result of `link`.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s.
    drift : bool
        Whether to subtract the ensemble drift first.
    exposure : float
        Fraction of the interval during which the shutter is open, R = exposure / 6; it does not
        change D.

    Returns
    -------
    dict
        `diffusion_px2_per_frame` and its standard error `_se`; both in `m2_per_s` where pixel size
        and interval are known, otherwise NaN; `localisation_px` (:math:`\sigma`, 0 for a negative
        square), `step_px` (root mean square of a step along y or x), `steps`,
        `tracks_with_steps` (of two frames and more). The error is the scatter between tracks for
        ten and more (see `fits.student`), otherwise the theoretical one. All are NaN without three
        frames in a row.

    References
    ----------
    Vestergaard, Blainey & Flyvbjerg, Phys. Rev. E 89, 022726 (2014).
    """
    steps = _moments(tracks, drift)
    total = steps.sum()
    count, twice = total["steps"], total["couples"]
    result = {
        "diffusion_px2_per_frame": np.nan,
        "diffusion_px2_per_frame_se": np.nan,
        "localisation_px": np.nan,
        "step_px": float(np.sqrt(total["square"] / count)) if count else np.nan,
        "steps": int(count),
        "tracks_with_steps": len(steps),
    }
    if twice:
        square, product = total["square"] / count, total["product"] / twice
        d = square / 2 + product
        blur = exposure / 6
        noise = blur * square + (2 * blur - 1) * product
        influence = (steps["square"] - steps["steps"] * square) / (2 * count)
        influence += (steps["product"] - steps["couples"] * product) / twice
        if len(steps) >= _ENOUGH:
            freedom = len(steps) - 1
            error = np.sqrt((influence**2).sum() * len(steps) / freedom) * student(freedom)
        else:
            error = _theory(d, noise, blur, count)
        result |= {
            "diffusion_px2_per_frame": float(d),
            "diffusion_px2_per_frame_se": float(error),
            "localisation_px": float(np.sqrt(max(noise, 0))),
        }
    scale = np.nan if pixel_size is None or interval is None else pixel_size**2 / interval
    for end in ("", "_se"):
        result[f"diffusion_m2_per_s{end}"] = result[f"diffusion_px2_per_frame{end}"] * scale
    return result


def track_diffusion(
    tracks: pd.DataFrame,
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
    drift: bool = False,
) -> pd.DataFrame:
    """Diffusion constant of each track of three frames in a row or more, as by `diffusion`.

    Values of short tracks scatter widely, also below zero; their mean is unbiased.

    Returns
    -------
    DataFrame
        `track`, `steps`, `diffusion_px2_per_frame`, `diffusion_m2_per_s` and their theoretical
        standard errors `_se`.
    """
    steps = _moments(tracks, drift)
    steps = steps[steps["couples"] > 0]
    square = steps["square"] / steps["steps"]
    product = steps["product"] / steps["couples"]
    d = square / 2 + product
    error = _theory(d.abs(), (-product).clip(lower=0), 0.0, steps["steps"])
    scale = np.nan if pixel_size is None or interval is None else pixel_size**2 / interval
    table = (
        steps[["steps"]]
        .astype(np.int64)
        .assign(
            diffusion_px2_per_frame=d,
            diffusion_px2_per_frame_se=error,
            diffusion_m2_per_s=d * scale,
            diffusion_m2_per_s_se=error * scale,
        )
    )
    return table.reset_index()


def lifetimes(
    tracks: pd.DataFrame,
    *,
    frames: tuple[int, int] | None = None,
    interval: float | None = None,
) -> pd.DataFrame:
    """Lifetime of each track, and whether its beginning and end were observed.

    Parameters
    ----------
    tracks : DataFrame
        Result of `link`. Where it has `touches_border`, a track whose first or last object touches
        the border of the frame entered or left there.
    frames : (int, int), optional
        First and last frame of the recording, by default of the table.
    interval : float, optional
        Time between frames in s.

    Returns
    -------
    DataFrame
        `track`, `first_frame`, `last_frame`, `detections` (frames with the object),
        `lifetime_frames` (last - first + 1), `lifetime_s`, `start_cut_off` (may have existed
        earlier), `end_cut_off` (may have continued): where either is true, the lifetime is a lower
        bound. `observed_frames` counts the frames in which an end would have been observed: away
        from the border and before the last frame of the recording.
    """
    table = tracks.sort_values(["track", "frame"], ignore_index=True)
    start, end = frames or ((table["frame"].min(), table["frame"].max()) if len(table) else (0, 0))
    by_track = table.groupby("track")
    lives = (
        by_track["frame"].agg(first_frame="min", last_frame="max", detections="size").reset_index()
    )
    lives["lifetime_frames"] = lives["last_frame"] - lives["first_frame"] + 1
    lives["lifetime_s"] = lives["lifetime_frames"] * (np.nan if interval is None else interval)
    edge = table["frame"] * 0 > 0
    if "touches_border" in table:
        edge = table["touches_border"].astype(bool)
    edges = edge.groupby(table["track"])
    lives["start_cut_off"] = (lives["first_frame"] <= start) | edges.first().to_numpy(dtype=bool)
    lives["end_cut_off"] = (lives["last_frame"] >= end) | edges.last().to_numpy(dtype=bool)
    lived = (-by_track["frame"].diff(-1)).fillna(1).where(~edge & (table["frame"] < end), 0)
    lives["observed_frames"] = lived.groupby(table["track"]).sum().to_numpy(dtype=np.int64)
    return lives


def mean_lifetime(table: pd.DataFrame, *, interval: float | None = None) -> dict[str, float]:
    r"""Mean lifetime of objects that vanish at a constant rate, from tracks that may be cut off.

    With :math:`k` observed ends in :math:`n` watched frames, the probability to vanish in a frame
    is :math:`p = k / n`, and :math:`\tau = -1 / \ln(1 - p)`. Tracks that are cut off count in n,
    not in k; the time before the first frame does not matter at a constant rate.

    Parameters
    ----------
    table : DataFrame
        Result of `lifetimes`.
    interval : float, optional
        Time between frames in s.

    Returns
    -------
    dict
        `lifetime_frames_mean`, `lifetime_s_mean` and their standard errors `_se`, `observed_ends`
        and `tracks`; NaN without an observed end. Every lost link ends a track: the lifetime is
        that of the tracks.
    """
    ends = int((~table["end_cut_off"]).sum())
    watched = int(table["observed_frames"].sum())
    p = ends / watched if watched else 0.0
    tau, error = np.nan, np.nan
    if 0 < p < 1:
        tau = -1 / np.log1p(-p)
        error = tau**2 * np.sqrt(p / (1 - p) / watched)
    seconds = np.nan if interval is None else interval
    return {
        "lifetime_frames_mean": float(tau),
        "lifetime_frames_mean_se": float(error),
        "lifetime_s_mean": float(tau * seconds),
        "lifetime_s_mean_se": float(error * seconds),
        "observed_ends": ends,
        "tracks": len(table),
    }


def _table(objects) -> pd.DataFrame:
    """Table of objects, checked."""
    import pandas as pd

    table = pd.DataFrame(objects) if not isinstance(objects, pd.DataFrame) else objects
    missing = [name for name in ("frame", "y_px", "x_px") if name not in table]
    if missing:
        raise SpinscopeError(f"table of objects must have a column {missing[0]}")
    return table


def _linked(frame: np.ndarray, place: np.ndarray, memory: int, search_range: float) -> np.ndarray:
    """Track of each row, (n,); `frame` ascends and `place` is in units of the search range."""
    import trackpy

    frame = _closer(frame, memory + 2)
    bounds = np.searchsorted(frame, np.arange(frame[-1] + 2))
    stacks = ((k, place[a:b]) for k, (a, b) in enumerate(pairwise(bounds)))
    try:
        with _quiet():
            linked = trackpy.link_iter(
                stacks, 1.0, memory=memory, adaptive_stop=0.2, adaptive_step=0.9
            )
            ids = np.concatenate([np.asarray(ids, dtype=np.int64) for _, ids in linked])
    except trackpy.SubnetOversizeException:
        raise SpinscopeError(
            f"search_range_px (={search_range:g}) is so long that links are ambiguous; it must be "
            "shorter"
        ) from None
    return _renumbered(ids)


def _renumbered(ids: np.ndarray) -> np.ndarray:
    """Numbers 0 … in order of first appearance."""
    _, start, number = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(start))
    return order[number]


def _pairs(
    spots: np.ndarray, objects: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spot and object of each pair within the radius of the object, the nearest first."""
    from scipy.spatial import cKDTree

    if not len(objects):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    within = cKDTree(spots).query_ball_point(objects, radius)
    which = np.repeat(np.arange(len(objects)), [len(near) for near in within])
    spot = np.fromiter(chain.from_iterable(within), dtype=np.int64, count=len(which))
    distance = np.hypot(*(spots[spot] - objects[which]).T)
    order = np.argsort(distance, kind="stable")
    return spot[order], which[order]


def _one_to_one(
    spots: np.ndarray, objects: np.ndarray, n_spots: int, n_objects: int
) -> tuple[np.ndarray, int | None]:
    """Spot of each object, -1 for none, and the first object with a second spot that has no other.

    `spots` and `objects` are pairs, the best first.
    """
    paired, free = np.full(n_objects, -1), np.ones(n_spots, dtype=bool)
    for spot, which in zip(spots.tolist(), objects.tolist(), strict=True):
        if free[spot] and paired[which] < 0:
            paired[which], free[spot] = spot, False
    second = free[spots]
    return paired, int(objects[second][0]) if second.any() else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress trackpy's line per frame, and restore its logger."""
    logger = logging.getLogger("trackpy")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _steps(tracks: pd.DataFrame, lag: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows (first, second) of all pairs of objects of a track that are `lag` frames apart."""
    frame, track = tracks["frame"].to_numpy(), tracks["track"].to_numpy()
    if not len(frame):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    frame = _closer(frame, lag + 1)
    key = track.astype(np.int64) * (frame.max() + lag + 1) + frame
    order = np.argsort(key, kind="stable")
    key = key[order]
    later = np.minimum(np.searchsorted(key, key + lag), len(key) - 1)
    found = key[later] == key + lag
    return order[found], order[later[found]]


def _closer(frame: np.ndarray, longest: int) -> np.ndarray:
    """Frame numbers from 0, with gaps of more than `longest` frames shortened to that."""
    numbers, which = np.unique(frame, return_inverse=True)
    gaps = np.minimum(np.diff(numbers), longest)
    return np.concatenate([[0], np.cumsum(gaps, dtype=np.int64)])[which]


def _mean_step(tracks, first, second) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames from which an object steps to the next one, mean step (frames, 2) and number of
    objects of each, and which of them each step starts from.
    """
    frame, place = tracks["frame"].to_numpy(), tracks[["y_px", "x_px"]].to_numpy()
    starts, at, objects = np.unique(frame[first], return_inverse=True, return_counts=True)
    steps = place[second] - place[first]
    sums = [np.bincount(at, steps[:, axis], minlength=len(starts)) for axis in (0, 1)]
    return starts, np.stack(sums, -1) / objects[:, None], objects, at


def _moments(tracks: pd.DataFrame, drift: bool) -> pd.DataFrame:
    """Number of steps and of pairs of successive steps of each track, their squares and products.

    Squares and products are sums over steps of the mean over y and x.
    """
    import pandas as pd

    first, second = _steps(tracks)
    place = tracks[["y_px", "x_px"]].to_numpy()
    step = place[second] - place[first]
    if drift:
        _, mean, objects, at = _mean_step(tracks, first, second)
        several = objects[at] > 1
        first, second, at = first[several], second[several], at[several]
        # the mean of n steps holds 1/n of each
        step = (step[several] - mean[at]) * np.sqrt(1 + 1 / (objects[at] - 1))[:, None]
    following = np.full(len(tracks), -1)
    following[first] = np.arange(len(first))
    after = following[second]
    track = tracks["track"].to_numpy()[first]
    product = np.where(after < 0, 0, (step * step[after]).mean(axis=1)) if len(step) else []
    table = pd.DataFrame(
        {
            "track": track,
            "steps": 1,
            "square": (step**2).mean(axis=1),
            "couples": (after >= 0).astype(np.int64),
            "product": product,
        }
    )
    return table.groupby("track").sum()


def _theory(d, noise, blur, steps):
    """Theoretical standard error of D from a number of steps in two dimensions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        e = noise / d - 2 * blur
        variance = d**2 * ((6 + 4 * e + 2 * e**2) / steps + 4 * (1 + e) ** 2 / steps**2) / 2
        return np.sqrt(variance)


def _displacements(tracks: pd.DataFrame, max_lag: int) -> Iterator[tuple]:
    """Lag, squared displacements, and per track its number, pairs and sum of squares."""
    if max_lag < 1:
        raise SpinscopeError(f"max_lag (={max_lag}) must be at least 1")
    place, track = tracks[["y_px", "x_px"]].to_numpy(), tracks["track"].to_numpy()
    frames = tracks.groupby("track")["frame"]
    longest = int((frames.max() - frames.min()).max()) if len(tracks) else 0
    for lag in range(1, min(max_lag, longest) + 1):
        first, second = _steps(tracks, lag)
        if len(first):
            squares = ((place[second] - place[first]) ** 2).sum(axis=1)
            numbers, which, pairs = np.unique(track[first], return_inverse=True, return_counts=True)
            yield lag, squares, numbers, pairs, np.bincount(which, squares)
