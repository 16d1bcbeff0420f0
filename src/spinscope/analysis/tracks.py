r"""Tracks of objects over frames: links, mean square displacement, diffusion and lifetimes.

A table of objects holds `frame`, `y_px` and `x_px`, one row an object; further columns stay with
their rows. Frames are counted; a frame without objects has no row. Steps are between neighbouring
frames only: where an object was missed for a frame there is no step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

_ENOUGH = 10  # tracks whose scatter gives an error


def link(
    objects: pd.DataFrame | Mapping[str, np.ndarray],
    *,
    search_range_px: float | None = None,
    memory: int = 0,
    size_ratio: float | None = 2.0,
) -> pd.DataFrame:
    """Join the objects of all frames to tracks (Crocker and Grier's algorithm, by trackpy).

    objects : frame, y_px, x_px and any other columns.   search_range_px : how far an object may move in a
    frame; some five times the step's standard deviation, or fast steps are lost. By default half
    of the median distance of nearest objects, within which the next frame's nearest is the one.
    memory : frames for which an object may be missed.   size_ratio : two objects whose
    `diameter_px` differ by this factor are as far apart as `search_range_px`, so that in a sample of mixed
    sizes a small one does not go on as a large one, nor two that merged as one of them; None, or no
    such column, links by place alone.
    Returns the table sorted by track and frame with a column `track`, 0 ..., in order of the first
    appearance. Raises SpinscopeError for missing columns, a search_range not above zero, a size ratio
    not above one, and where so many objects are within search_range that the links are ambiguous.
    Source: Crocker & Grier, J. Colloid Interface Sci. 179, 298 (1996).
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


def default_search_range(table: pd.DataFrame) -> float:
    """Half the median distance of nearest objects over all frames, px: how far `link` looks.

    Raises SpinscopeError where no frame has two objects.
    """
    from spinscope.analysis.lattice import nearest

    distances = [nearest(frame.to_numpy()) for _, frame in table.groupby("frame")[["y_px", "x_px"]]]
    distances = np.concatenate(distances)
    known = distances[np.isfinite(distances) & (distances > 0)]
    if not len(known):
        raise SpinscopeError("search_range_px must be given where no frame has two objects")
    return float(np.median(known) / 2)


def subtract_drift(tracks: pd.DataFrame) -> pd.DataFrame:
    """The tracks with the mean motion of all objects from frame to frame taken away.

    With n objects a frame, this takes 1/n of their own motion with it; `diffusion` allows for it.
    """
    first, second = _steps(tracks)
    frame = tracks["frame"].to_numpy()
    start = frame.min() if len(frame) else 0
    mean, _ = _mean_step(tracks, first, second)
    moved = np.concatenate([np.zeros((1, 2)), np.cumsum(mean, axis=0)])[frame - start]
    return tracks.assign(y_px=tracks["y_px"] - moved[:, 0], x_px=tracks["x_px"] - moved[:, 1])


def mean_squared_displacement(
    tracks: pd.DataFrame, *, max_lag: int = 20, interval: float | None = None
) -> pd.DataFrame:
    r"""Mean over tracks and times of :math:`|r(t + \ell) - r(t)|^2`; 4 D l + 4 sigma^2 if free.

    tracks : as of `link`.   max_lag : frames.   interval : seconds between frames.
    Returns one row a lag: lag (frames), lag_s (NaN without interval), msd_px2, msd_px2_se (from the
    scatter between tracks; NaN for fewer than two), pairs, tracks. Lags without a pair have no row.
    """
    return _msd(tracks, max_lag, interval, by_track=False)


def track_msd(
    tracks: pd.DataFrame, *, max_lag: int = 20, interval: float | None = None
) -> pd.DataFrame:
    """Mean square displacement of each track: track, lag (frames), lag_s, msd_px2, pairs."""
    return _msd(tracks, max_lag, interval, by_track=True)


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

    averaged over y and x. The noise of locating an object makes a step too long and the next one
    turn back: the two terms cancel it, and the blur of an open shutter, exactly. The estimator is
    unbiased for tracks of any length and close to the best one, while a line fitted through a mean
    square displacement depends on how many correlated lags it runs over.

    tracks : as of `link`.   pixel_size : m.   interval : s between frames.   drift : take away the
    mean motion of all objects first.   exposure : part of the interval the shutter is open, R =
    exposure / 6; it does not change D.
    Returns diffusion_px2_per_frame, its standard error `_se`, both in m2_per_s where both units
    are known (otherwise NaN), localisation_px (:math:`\sigma`; 0 where its square comes out
    negative), step_px (root mean square of a step, y or x), steps, tracks (of two frames or more).
    The error is the scatter between tracks for ten and more, otherwise that of the theory; NaN,
    as all is, without three frames in a row.
    Source: Vestergaard, Blainey & Flyvbjerg, Phys. Rev. E 89, 022726 (2014).
    """
    steps = _moments(tracks, drift)
    total = steps.sum()
    count, twice = total["steps"], total["couples"]
    found = {
        "diffusion_px2_per_frame": np.nan,
        "diffusion_px2_per_frame_se": np.nan,
        "localisation_px": np.nan,
        "step_px": float(np.sqrt(total["square"] / count)) if count else np.nan,
        "steps": int(count),
        "tracks": len(steps),
    }
    if twice:
        square, product = total["square"] / count, total["product"] / twice
        d = square / 2 + product
        blur = exposure / 6
        noise = blur * square + (2 * blur - 1) * product
        influence = (steps["square"] - steps["steps"] * square) / (2 * count)
        influence += (steps["product"] - steps["couples"] * product) / twice
        if len(steps) >= _ENOUGH:
            error = np.sqrt((influence**2).sum() * len(steps) / (len(steps) - 1))
        else:
            error = _theory(d, noise, blur, count)
        found |= {
            "diffusion_px2_per_frame": float(d),
            "diffusion_px2_per_frame_se": float(error),
            "localisation_px": float(np.sqrt(max(noise, 0))),
        }
    scale = np.nan if pixel_size is None or interval is None else pixel_size**2 / interval
    for end in ("", "_se"):
        found[f"diffusion_m2_per_s{end}"] = found[f"diffusion_px2_per_frame{end}"] * scale
    return found


def track_diffusion(
    tracks: pd.DataFrame,
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
    drift: bool = False,
) -> pd.DataFrame:
    """Diffusion constant of each track of three frames in a row or more, as `diffusion` has it.

    Returns track, steps, diffusion_px2_per_frame, diffusion_m2_per_s and their errors `_se`, which
    are the theory's. Short tracks scatter widely, below zero as well: their mean is right.
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
    """How long each track was seen, and whether it was seen from its beginning and to its end.

    tracks : as of `link`; where it has `touches_border`, a track that touches the border of the
    frame at its first or last sighting came or went there.   frames : first and last frame of the
    recording, by default of the table.   interval : s between frames.
    Returns track, first, last (frames), points (sightings), lifetime_frames (last - first + 1),
    lifetime_s, before (may have been there before it was seen), after (may have lived on): where
    either is true, the lifetime is a lower bound. `watched`: frames in which an end would have
    been seen as one, those away from the border and before the last of the recording.
    """
    table = tracks.sort_values(["track", "frame"], ignore_index=True)
    start, end = frames or ((table["frame"].min(), table["frame"].max()) if len(table) else (0, 0))
    by_track = table.groupby("track")
    found = by_track["frame"].agg(first="min", last="max", points="size").reset_index()
    found["lifetime_frames"] = found["last"] - found["first"] + 1
    found["lifetime_s"] = found["lifetime_frames"] * (np.nan if interval is None else interval)
    edge = table["frame"] * 0 > 0
    if "touches_border" in table:
        edge = table["touches_border"].astype(bool)
    edges = edge.groupby(table["track"])
    found["before"] = (found["first"] <= start) | edges.first().to_numpy(dtype=bool)
    found["after"] = (found["last"] >= end) | edges.last().to_numpy(dtype=bool)
    lived = (-by_track["frame"].diff(-1)).fillna(1).where(~edge & (table["frame"] < end), 0)
    found["watched"] = lived.groupby(table["track"]).sum().to_numpy(dtype=np.int64)
    return found


def mean_lifetime(table: pd.DataFrame, *, interval: float | None = None) -> dict[str, float]:
    r"""Mean lifetime of objects that vanish at a constant rate, from tracks partly cut off.

    With :math:`k` ends seen in :math:`n` frames watched, a frame is not outlived with
    :math:`p = k / n`, and :math:`\tau = -1 / \ln(1 - p)`. Tracks that are cut off count in n, not
    in k; what was before the first sighting does not matter, as the rate is constant.

    table : as of `lifetimes`.   interval : s between frames.
    Returns lifetime_frames, lifetime_s and their errors `_se`, ends (seen) and tracks; NaN where no
    end is seen. Each lost link ends a track: the lifetime is that of the tracks.
    """
    ends = int((~table["after"]).sum())
    watched = int(table["watched"].sum())
    p = ends / watched if watched else 0.0
    tau, error = np.nan, np.nan
    if 0 < p < 1:
        tau = -1 / np.log1p(-p)
        error = tau**2 * np.sqrt(p / (1 - p) / watched)
    seconds = np.nan if interval is None else interval
    return {
        "lifetime_frames": float(tau),
        "lifetime_frames_se": float(error),
        "lifetime_s": float(tau * seconds),
        "lifetime_s_se": float(error * seconds),
        "ends": ends,
        "tracks": len(table),
    }


def _table(objects) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(objects) if not isinstance(objects, pd.DataFrame) else objects
    missing = [name for name in ("frame", "y_px", "x_px") if name not in table]
    if missing:
        raise SpinscopeError(f"table of objects must have a column {missing[0]}")
    return table


def _linked(frame: np.ndarray, place: np.ndarray, memory: int, search_range: float) -> np.ndarray:
    """(n,) track of each row; `frame` ascends and `place` is in units of the search_range."""
    import trackpy

    first, last = int(frame[0]), int(frame[-1])
    bounds = np.searchsorted(frame, np.arange(first, last + 2))
    stacks = ((k, place[a:b]) for k, (a, b) in enumerate(pairwise(bounds)))
    try:
        with _quiet():
            linked = trackpy.link_iter(
                stacks, 1.0, memory=memory, adaptive_stop=0.2, adaptive_step=0.9
            )
            ids = np.concatenate([np.asarray(ids, dtype=np.int64) for _, ids in linked])
    except trackpy.SubnetOversizeException:
        raise SpinscopeError(
            f"search_range_px (={search_range:g}) is so long that links are ambiguous; it must be shorter"
        ) from None
    _, start, number = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(start))
    return order[number]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep trackpy from writing a line a frame, and leave its logger as it was."""
    logger = logging.getLogger("trackpy")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _steps(tracks: pd.DataFrame, lag: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows (first, second) of all pairs of sightings of a track that are `lag` frames apart."""
    frame, track = tracks["frame"].to_numpy(), tracks["track"].to_numpy()
    if not len(frame):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    key = track.astype(np.int64) * (np.ptp(frame) + lag + 1) + (frame - frame.min())
    order = np.argsort(key, kind="stable")
    key = key[order]
    later = np.minimum(np.searchsorted(key, key + lag), len(key) - 1)
    found = key[later] == key + lag
    return order[found], order[later[found]]


def _mean_step(tracks, first, second) -> tuple[np.ndarray, np.ndarray]:
    """(frames - 1, 2) mean step from each frame to the next, and of how many objects."""
    frame, place = tracks["frame"].to_numpy(), tracks[["y_px", "x_px"]].to_numpy()
    count = int(np.ptp(frame)) if len(frame) else 0
    at = frame[first] - frame.min() if len(frame) else frame
    steps = place[second] - place[first]
    objects = np.bincount(at, minlength=count)
    sums = np.stack([np.bincount(at, steps[:, axis], minlength=count) for axis in (0, 1)], -1)
    return sums / np.maximum(objects, 1)[:, None], objects


def _moments(tracks: pd.DataFrame, drift: bool) -> pd.DataFrame:
    """Of each track: steps, their square, couples of steps in a row, their product.

    Square and product are sums over steps of the mean over y and x.
    """
    import pandas as pd

    first, second = _steps(tracks)
    place = tracks[["y_px", "x_px"]].to_numpy()
    step = place[second] - place[first]
    if drift:
        mean, objects = _mean_step(tracks, first, second)
        frame = tracks["frame"].to_numpy()
        at = frame[first] - (frame.min() if len(frame) else 0)
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
    """Standard error of D from `steps` steps in two dimensions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        e = noise / d - 2 * blur
        variance = d**2 * ((6 + 4 * e + 2 * e**2) / steps + 4 * (1 + e) ** 2 / steps**2) / 2
        return np.sqrt(variance)


def _msd(tracks, max_lag, interval, *, by_track) -> pd.DataFrame:
    import pandas as pd

    if max_lag < 1:
        raise SpinscopeError(f"max_lag (={max_lag}) must be at least 1")
    place, track = tracks[["y_px", "x_px"]].to_numpy(), tracks["track"].to_numpy()
    longest = int(np.ptp(tracks["frame"])) if len(tracks) else 0
    rows = []
    for lag in range(1, min(max_lag, longest) + 1):
        first, second = _steps(tracks, lag)
        if not len(first):
            continue
        square = ((place[second] - place[first]) ** 2).sum(axis=1)
        numbers, which, pairs = np.unique(track[first], return_inverse=True, return_counts=True)
        sums = np.bincount(which, square)
        if by_track:
            rows.append(
                pd.DataFrame(
                    {"track": numbers, "lag": lag, "msd_px2": sums / pairs, "pairs": pairs}
                )
            )
            continue
        mean, count = square.mean(), len(numbers)
        error = np.nan
        if count > 1:
            scatter = ((sums - pairs * mean) ** 2).sum() * count / (count - 1)
            error = np.sqrt(scatter) / len(square)
        rows.append(
            pd.DataFrame(
                {
                    "lag": [lag],
                    "msd_px2": [mean],
                    "msd_px2_se": [error],
                    "pairs": [len(square)],
                    "tracks": [count],
                }
            )
        )
    names = ["track", "lag", "msd_px2", "pairs"]
    if not by_track:
        names = ["lag", "msd_px2", "msd_px2_se", "pairs", "tracks"]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=names, dtype=float)
    table.insert(
        names.index("lag") + 1, "lag_s", table["lag"] * (np.nan if interval is None else interval)
    )
    return table.sort_values(names[:2], ignore_index=True) if by_track else table
