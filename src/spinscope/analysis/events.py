"""Nucleation and annihilation of objects, and the fields or temperatures at which they happen.

An object nucleates between the last frame without it and the first frame with it, and annihilates
between its last frame and the next. The value of a swept quantity at the event is the mean of the
two frames, with the standard deviation of a uniform distribution between them,
|step| / sqrt(12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spinscope.analysis.tracks import lifetimes
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd


def events(
    tracks: pd.DataFrame,
    applied: Mapping[str, np.ndarray],
    *,
    n_frames: int,
    shape: tuple[int, int],
    margin_px: float | None = None,
    min_detections: int = 2,
    unreadable: Sequence[int] = (),
) -> pd.DataFrame:
    """Find nucleation and annihilation events in tracks, without those at the edge of the frame.

    A track that begins in the first frame or ends in the last one has no event there. One that
    touches the border, or is closer to it than `margin_px`, may have come from outside or left.

    Parameters
    ----------
    tracks : DataFrame
        Result of `link`: `frame`, `track`, `y_px`, `x_px`, optionally `touches_border` and
        `diameter_px`.
    applied : mapping of (n,) arrays
        What was done to the sample: column → value of each frame.
    n_frames : int
        Number of frames.
    shape : (int, int)
        Height and width of the frames in px.
    margin_px : float, optional
        Distance of the centre from the border in px, by default the median diameter, 0 where it is
        unknown.
    min_detections : int, default 2
        Tracks in fewer frames are left out: they are as likely wrong detections.
    unreadable : sequence of int
        Numbers of frames that could not be read.

    Returns
    -------
    DataFrame
        One row per event, sorted by frame: `frame` (first one with the object, or first one
        without it), `event` ("nucleation" or "annihilation"), `track`, `y_px`, `x_px`, and for each
        column of `applied` its value at the event and the standard deviation `_sd` of that.

    Raises
    ------
    SpinscopeError
        If an applied column has another length than `n_frames`.
    """
    import pandas as pd

    for name, values in applied.items():
        if len(values) != n_frames:
            raise SpinscopeError(
                f"{name} has {len(values)} values; must have {n_frames}, one a frame"
            )
    readable = np.setdiff1d(np.arange(n_frames), np.asarray(unreadable, dtype=int))
    columns = ["frame", "event", "track", "y_px", "x_px"]
    columns += [f"{name}{end}" for name in applied for end in ("", "_sd")]
    if not len(tracks) or not len(readable):
        return pd.DataFrame(columns=columns)
    if margin_px is None:
        margin_px = float(tracks["diameter_px"].median()) if "diameter_px" in tracks else 0.0
    lives = lifetimes(tracks, frames=(int(readable[0]), int(readable[-1])))
    table = tracks.sort_values(["track", "frame"])
    rows = []
    for event, place, cut in (
        ("nucleation", table.groupby("track").first(), "start_cut_off"),
        ("annihilation", table.groupby("track").last(), "end_cut_off"),
    ):
        y, x = place["y_px"].to_numpy(), place["x_px"].to_numpy()
        edge = np.minimum.reduce([y, x, shape[0] - 1 - y, shape[1] - 1 - x])
        kept = ~lives[cut].to_numpy(dtype=bool) & (edge >= margin_px)
        kept &= lives["detections"].to_numpy() >= min_detections
        for k in np.flatnonzero(kept):
            last = event == "annihilation"
            seen = int(lives["last_frame" if last else "first_frame"].iloc[k])
            at = int(np.searchsorted(readable, seen))
            other = int(readable[at + 1 if last else at - 1])
            row = {
                "frame": other if last else seen,
                "event": event,
                "track": int(lives["track"].iloc[k]),
                "y_px": float(y[k]),
                "x_px": float(x[k]),
            }
            for name, values in applied.items():
                row[name] = float(values[seen] + values[other]) / 2
                row[f"{name}_sd"] = float(abs(values[seen] - values[other])) / np.sqrt(12)
            rows.append(row)
    found = pd.DataFrame(rows, columns=columns)
    return found.sort_values(["frame", "event", "track"], ignore_index=True)


def event_values(table: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean, spread and standard error of a swept quantity at the events of each kind.

    Parameters
    ----------
    table : DataFrame
        Result of `events`.
    column : str
        Column of the swept quantity.

    Returns
    -------
    dict
        `<event>_<column>`, its spread between events `_sd` (the part of the steps between frames
        subtracted), its standard error `_se`, and the number `<event>_events`; NaN where fewer
        events are known than are needed, one for a mean and two for a spread.
    """
    found: dict[str, float] = {}
    for event in ("nucleation", "annihilation"):
        chosen = table[table["event"] == event]
        values, steps = chosen[column].to_numpy(float), chosen[f"{column}_sd"].to_numpy(float)
        known = np.isfinite(values)
        values, steps, n = values[known], steps[known], int(known.sum())
        variance = values.var(ddof=1) if n > 1 else np.nan
        found[f"{event}_{column}"] = float(values.mean()) if n else np.nan
        found[f"{event}_{column}_sd"] = (
            float(np.sqrt(max(variance - np.square(steps).mean(), 0))) if n > 1 else np.nan
        )
        # all events between two frames share their step: it is not averaged
        share = np.square(steps).mean() / len(np.unique(values)) if n else np.nan
        found[f"{event}_{column}_se"] = (
            float(np.sqrt(variance / n + share)) if n > 1 else float(steps[0]) if n else np.nan
        )
        found[f"{event}_events"] = n
    return found
