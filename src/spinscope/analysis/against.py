r"""Density, diameter, lattice order and diffusion against swept quantities; phase diagrams.

Frames of one recording show the same objects again. With the correlation :math:`\rho` of
successive frames, corrected for the finite number :math:`n` of frames, :math:`\rho^k` between
frames :math:`k` apart, and the deviation :math:`s` between frames, the standard error of a mean is

.. math:: \mathrm{se}^2 = \frac{s^2}{n_\mathrm{eff}}\,\Big(\frac{t_{0.95}(n_\mathrm{eff} - 1)}
          {1.645}\Big)^2, \qquad
          n_\mathrm{eff} = n \Big/ \Big(1 + 2 \sum_{k=1}^{n-1} (1 - k/n)\,\rho^k\Big),

in which Student's factor widens errors from few independent frames, so that 1.645 standard errors
contain the truth in 90 % of all cases. A single frame has the error of its objects:
:math:`\sqrt{N}` of their number, which is an upper limit for objects that repel each other, and
:math:`s / \sqrt{N}` of the mean of their diameters.

The error of the boundary, or of the number of detected objects, is the same in all frames and does
not become smaller in the mean: it has a column of its own, `_sd_boundary`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from spinscope.analysis.tracks import diffusion
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

ORDERED = 0.7
"""Mean |ψ6| of an ordered lattice; points at random have about 0.4."""
DILUTE = 7
"""Frames of fewer objects have no lattice: ψ6 needs a neighbourhood."""
_MOST = 60
"""A quantity of more different values is sorted into `_BINS` bins."""
_BINS = 24
_LEAST_EFFECTIVE = 1.5  # independent frames


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean of a series whose neighbours are correlated.

    Parameters
    ----------
    values : (n,) array
        Values in order of time.

    Returns
    -------
    float
        Standard error, NaN for fewer than two values.

    References
    ----------
    Marriott & Pope, Biometrika 41, 390 (1954), for the bias of the correlation.

    Examples
    --------
    >>> round(standard_error(np.array([1.0, 3.0] * 50)), 2)
    0.1
    """
    n = len(values)
    if n < 2:
        return math.nan
    rest = values - values.mean()
    total = float(rest @ rest)
    if not total:
        return 0.0
    rho = float(rest[:-1] @ rest[1:]) / total * n / (n - 1)
    rho = min(max(rho + (1 + 4 * rho) / n, 0.0), 1 - 2 / n)  # the mean was subtracted
    lags = np.arange(1, n)
    effective = max(n / (1 + 2 * float(((1 - lags / n) * rho**lags).sum())), _LEAST_EFFECTIVE)
    deviation = math.sqrt(total / (n * (1 - 1 / effective)))
    widened = stats.t.ppf(0.95, max(effective - 1, 1)) / stats.norm.ppf(0.95)
    return deviation / math.sqrt(effective) * float(widened)


def steps_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value of the step to which each frame belongs, and direction in which it was reached.

    Parameters
    ----------
    values : (n,) array
        Swept quantity of each frame, NaN where unknown.

    Returns
    -------
    value : (n,) array
        Value of the step: that of the frame, or for more than 60 different values the middle of
        one of 24 bins.
    direction : (n,) int array
        1 where the value rose before, -1 where it fell, 0 where it has not changed before.
    """
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    value = values.copy()
    if len(np.unique(known)) > _MOST:
        edges = np.linspace(known.min(), known.max(), _BINS + 1)
        middle = (edges[1:] + edges[:-1]) / 2
        at = np.clip(np.digitize(values, edges) - 1, 0, _BINS - 1)
        value = np.where(np.isfinite(values), middle[at], np.nan)
    direction, last, sign = np.zeros(len(values), dtype=int), math.nan, 0
    for k, now in enumerate(values):
        if math.isfinite(now):
            if math.isfinite(last) and now != last:
                sign = 1 if now > last else -1
            last = now
        direction[k] = sign
    return value, direction


def against(
    columns: Sequence[str],
    frames: pd.DataFrame,
    objects: pd.DataFrame,
    *,
    shape: tuple[int, int],
    tracks: pd.DataFrame | None = None,
    pixel_size: float | None = None,
    interval: float | None = None,
) -> pd.DataFrame:
    """Quantities of the objects against one or more swept quantities.

    Parameters
    ----------
    columns : sequence of str
        Swept quantities, columns of `frames`. For one of them, the branches of a sweep up and down
        are kept apart in `direction`.
    frames : DataFrame
        One row per frame that was read: `frame`, `columns`, `objects`, optionally
        `sample_fraction`, `objects_sd_detection` and `psi6_mean`.
    objects : DataFrame
        One row per object: `frame`, `diameter_px`, optionally `diameter_px_sd_boundary`.
    shape : (int, int)
        Height and width of the frames in px.
    tracks : DataFrame, optional
        Result of `link` without objects at the border, for the diffusion constant.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s.

    Returns
    -------
    DataFrame
        One row per value: `columns`, `direction` (of a single column), `frames`, `objects` (mean
        of a frame), `density_px2`, `diameter_px`, `psi6`, `diffusion_px2_per_frame`, the same in
        `density_um2`, `diameter_nm` and `diffusion_m2_per_s`; standard errors `_se` and errors of
        the boundary `_sd_boundary`. NaN where unknown.

    Raises
    ------
    SpinscopeError
        Where a column is missing or unknown in all frames.
    """
    import pandas as pd

    for name in columns:
        if name not in frames or not frames[name].notna().any():
            raise SpinscopeError(
                f"{name} is not known for any frame; give it in a table beside the recording"
            )
    keys, direction = {}, np.zeros(len(frames), dtype=int)
    for name in columns:
        keys[name], direction = steps_of(frames[name].to_numpy())
    groups = pd.DataFrame(keys)
    if len(columns) == 1:
        groups["direction"] = direction
    groups["row"] = np.arange(len(frames))
    rows = []
    for key, group in groups.dropna().groupby([c for c in groups if c != "row"], sort=True):
        chosen = frames.iloc[group["row"].to_numpy()]
        row = dict(zip(groups.columns, key, strict=False)) | {"frames": len(chosen)}
        row |= _densities(chosen, shape, pixel_size)
        row |= _diameters(chosen, objects, pixel_size)
        row |= _order(chosen)
        if tracks is not None:
            row |= _diffusion(chosen["frame"].to_numpy(), tracks, pixel_size, interval)
        rows.append(row)
    return pd.DataFrame(rows)


def diagram(x: str, y: str, table: pd.DataFrame) -> pd.DataFrame:
    """Phase diagram over two swept quantities.

    Parameters
    ----------
    x, y : str
        Swept quantities.
    table : DataFrame
        Result of `against` for both.

    Returns
    -------
    DataFrame
        Columns `x`, `y`, `frames`, `density_px2`, `density_um2`, `psi6`, their errors, and `state`:
        "empty" (less than half an object a frame), "dilute" (fewer than 7), "lattice" (mean |ψ6|
        of at least 0.7) or "disordered".
    """
    kept = [c for c in table if c.startswith(("density_", "psi6"))]
    found = table[[x, y, "frames", *kept]].copy()
    objects, psi6 = table["objects"].to_numpy(), table["psi6"].to_numpy()
    ordered = np.where(psi6 >= ORDERED, "lattice", "disordered")
    sparse = np.where(objects < 0.5, "empty", "dilute")
    found["state"] = np.where(objects < DILUTE, sparse, ordered)
    return found


def _densities(
    frames: pd.DataFrame, shape: tuple[int, int], pixel_size: float | None
) -> dict[str, float]:
    """Number and density of the objects of frames."""
    sample = math.prod(shape) * (
        frames["sample_fraction"].to_numpy(float) if "sample_fraction" in frames else 1.0
    )
    number = frames["objects"].to_numpy(float)
    density = number / np.where(sample > 0, sample, np.nan) * np.ones(len(frames))
    error = standard_error(density)
    if len(frames) == 1:
        error = math.sqrt(max(number[0], 1)) / number[0] * density[0] if number[0] else math.nan
    boundary = math.nan
    if "objects_sd_detection" in frames and number.any():
        boundary = float(frames["objects_sd_detection"].mean() / number.mean() * density.mean())
    row = {"objects": float(number.mean()), "density_px2": float(density.mean())}
    row |= {"density_px2_se": float(error), "density_px2_sd_boundary": boundary}
    scale = math.nan if pixel_size is None else (1e-6 / pixel_size) ** 2
    return row | {
        name.replace("px2", "um2"): value * scale for name, value in row.items() if "px2" in name
    }


def _diameters(
    frames: pd.DataFrame, objects: pd.DataFrame, pixel_size: float | None
) -> dict[str, float]:
    """Mean diameter of the objects of frames."""
    chosen = objects[objects["frame"].isin(frames["frame"])]
    value = error = boundary = math.nan
    if len(chosen):
        value = float(chosen["diameter_px"].mean())
        sums = chosen.groupby("frame")["diameter_px"].agg(["sum", "size"])
        if len(sums) > 1:  # mean of all objects: a frame counts by their number
            part = (sums["sum"] - value * sums["size"]).to_numpy() / sums["size"].mean()
            error = standard_error(part)
        elif len(chosen) > 1:
            error = float(chosen["diameter_px"].std()) / math.sqrt(len(chosen))
        if "diameter_px_sd_boundary" in chosen:
            boundary = float(chosen["diameter_px_sd_boundary"].mean())
    row = {"diameter_px": value, "diameter_px_se": error, "diameter_px_sd_boundary": boundary}
    scale = math.nan if pixel_size is None else pixel_size * 1e9
    return row | {name.replace("_px", "_nm"): number * scale for name, number in row.items()}


def _order(frames: pd.DataFrame) -> dict[str, float]:
    """Mean |ψ6| of frames."""
    known = frames["psi6_mean"].dropna().to_numpy() if "psi6_mean" in frames else np.empty(0)
    return {
        "psi6": float(known.mean()) if len(known) else math.nan,
        "psi6_se": standard_error(known),
    }


def _diffusion(
    numbers: np.ndarray, tracks: pd.DataFrame, pixel_size: float | None, interval: float | None
) -> dict[str, float]:
    """Diffusion constant within frames; no step leads from one stay to another."""
    numbers = np.sort(numbers)
    stay = np.cumsum(np.diff(numbers, prepend=numbers[:1] - 1) != 1)
    at = np.searchsorted(numbers, tracks["frame"].to_numpy())
    inside = (at < len(numbers)) & (numbers[np.minimum(at, len(numbers) - 1)] == tracks["frame"])
    chosen = tracks[inside]
    same = chosen["track"].to_numpy() * (int(stay.max()) + 1) + stay[at[inside]]
    found = diffusion(chosen.assign(track=same), pixel_size=pixel_size, interval=interval)
    names = ("diffusion_px2_per_frame", "diffusion_m2_per_s")
    return {f"{name}{end}": found[f"{name}{end}"] for name in names for end in ("", "_se")}
