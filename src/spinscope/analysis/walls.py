r"""Walls of an expanding bubble: ellipse, velocity, creep law, and the field of the DMI.

Creep of a wall in a field along the normal (:math:`\mu = 1/4` for a line in a film),

.. math:: \ln v = \ln v_0 - \alpha H^{-\mu}.

Under an in-plane field :math:`H_x` the walls on both sides of the bubble move at different speeds;
each is slowest where the in-plane field cancels the field of the DMI, the right one at
:math:`-H_\mathrm{DMI}`, the left one at :math:`H_\mathrm{DMI}`. Both are fitted together, with an
even function g: :math:`\ln v_\mathrm{right} = g(H_x + H_\mathrm{DMI})`,
:math:`\ln v_\mathrm{left} = g(H_x - H_\mathrm{DMI})`.

References
----------
Lemerle et al., Phys. Rev. Lett. 80, 849 (1998); Je et al., Phys. Rev. B 88, 214401 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, optimize

from spinscope.analysis.fits import linear_fit, student
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

_TIP = 0.35  # half height of the part of a wall that is fitted, in half heights of the bubble
_SMALLEST = 30  # pixels of a bubble
_SHRINKS = 0.9  # of the area before, below which another bubble has begun
_POSITION_SD = 0.3  # px, of a wall of which nothing better is known
_EXPONENTS = (0.02, 3.0)


def bubble(
    mask: np.ndarray, before: np.ndarray | None = None, fraction: np.ndarray | None = None
) -> dict[str, float] | None:
    """Ellipse of a bubble, and the places of its walls.

    Parameters
    ----------
    mask : (H, W) bool array
        Domains.
    before : (H, W) bool array, optional
        The bubble in the frame before; the domain that overlaps it most is taken, by default the
        largest one.
    fraction : (H, W) array, optional
        Smooth image that is 0.5 at the boundary of the mask; the walls are then interpolated
        between the pixels.

    Returns
    -------
    dict or None
        `y_px`, `x_px` (centroid), `radius_px` (of the disc of its area), `major_px`, `minor_px`
        (axes), `orientation_deg` (from y towards x), `left_px`, `right_px` (x of the walls at
        its middle height), `touches_border`; None without a domain of 30 pixels.
    """
    found = bubble_mask(mask, before)
    if found is None:
        return None
    y, x = np.nonzero(found)
    n = len(y)
    cy, cx = y.mean(), x.mean()
    yy, xx, xy = (
        ((y - cy) ** 2).mean() + 1 / 12,
        ((x - cx) ** 2).mean() + 1 / 12,
        ((y - cy) * (x - cx)).mean(),
    )
    root = np.hypot((yy - xx) / 2, xy)
    mean = (yy + xx) / 2
    fraction = None if fraction is None else np.asarray(fraction, float)
    left, right = _tips(found, cy, fraction)
    area = n if fraction is None else _area(found, fraction)
    edges = (found[0], found[-1], found[:, 0], found[:, -1])
    return {
        "y_px": float(cy),
        "x_px": float(cx),
        "radius_px": float(np.sqrt(area / np.pi)),
        "major_px": float(4 * np.sqrt(mean + root)),
        "minor_px": float(4 * np.sqrt(max(mean - root, 0))),
        "orientation_deg": float(np.degrees(np.arctan2(2 * xy, yy - xx)) / 2),
        "left_px": left,
        "right_px": right,
        "touches_border": bool(any(edge.any() for edge in edges)),
    }


def bubble_mask(mask: np.ndarray, before: np.ndarray | None = None) -> np.ndarray | None:
    """Return the domain that `bubble` measures, with its holes filled, or None if it is missing."""
    labels, count = ndimage.label(mask)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    best = int(np.argmax(sizes))
    if before is not None:
        shared = np.bincount(labels[before], minlength=count + 1)
        shared[0] = 0
        best = int(np.argmax(shared)) if shared.any() else best
    if sizes[best] < _SMALLEST:
        return None
    return ndimage.binary_fill_holes(labels == best)


def _area(mask: np.ndarray, fraction: np.ndarray) -> float:
    """Area within the boundary, which crosses pixels at a distance known from the gradient."""
    wall = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask, iterations=2)
    gradient = np.hypot(*np.gradient(fraction))[wall]
    covered = np.clip(0.5 + (fraction[wall] - 0.5) / np.maximum(gradient, 1e-6), 0, 1)
    return float(np.count_nonzero(mask & ~wall) + covered.sum())


def _tips(mask: np.ndarray, middle: float, fraction: np.ndarray | None) -> tuple[float, float]:
    """Columns of the left and the right wall at the middle height, from a parabola each."""
    rows = np.flatnonzero(mask.any(axis=1))
    half = (rows[-1] - rows[0] + 1) / 2
    rows = rows[np.abs(rows - middle) <= max(_TIP * half, 1.5)]
    place = (rows - middle) / half
    basis = np.stack([np.ones_like(place), place, place**2], -1)[:, : min(3, len(rows))]
    width, tips = mask.shape[1], []
    for flip in (False, True):
        side = mask[rows][:, ::-1] if flip else mask[rows]
        first = side.argmax(axis=1)
        x = first - 0.5
        if fraction is not None:
            values = fraction[rows][:, ::-1] if flip else fraction[rows]
            each = np.arange(len(rows))
            inner, outer = values[each, first], values[each, np.maximum(first - 1, 0)]
            good = (inner > 0.5) & (outer < 0.5)
            x = np.where(good, first - (inner - 0.5) / np.where(good, inner - outer, 1), x)
        x = width - 1 - x if flip else x
        tips.append(float(linear_fit(basis, x).values[0]))
    return tips[0], tips[1]


def steps_of(
    keys: Sequence[Sequence[float]], area: np.ndarray, *, pulsed: bool = False
) -> list[np.ndarray]:
    """Frames between which a wall moved in one constant field.

    Parameters
    ----------
    keys : sequence of (n,) arrays
        Field, in-plane field, … of each frame.
    area : (n,) array
        Area of the bubble, NaN where it cannot be measured; a step ends where it falls by a tenth.
    pulsed : bool, default False
        Whether a field acts from the frame before to its frame. A constant field of one or two
        frames is read in the same way; of more frames, only the intervals within are used.

    Returns
    -------
    list of (k,) int arrays
        Numbers of the frames of each step, two or more.
    """
    columns = np.stack([np.asarray(key, float) for key in keys])
    columns = np.where(np.isfinite(columns), columns, np.inf)
    runs: list[list[int]] = []
    for k in range(columns.shape[1]):
        if not np.isfinite(area[k]):
            runs.append([])
        elif (
            runs
            and runs[-1]
            and (columns[:, k] == columns[:, k - 1]).all()
            and area[k] > _SHRINKS * area[k - 1]
        ):
            runs[-1].append(k)
        else:
            runs.append([k])
    result = []
    for run in filter(None, runs):
        k = run[0] - 1
        grows = k >= 0 and np.isfinite(area[k]) and area[run[0]] > _SHRINKS * area[k]
        frames = [k, *run] if grows and (pulsed or len(run) < 3) else run
        if len(frames) > 1:
            result.append(np.array(frames))
    return result


def wall_velocities(
    time: np.ndarray,
    position: np.ndarray,
    steps: Sequence[np.ndarray],
    *,
    position_sd: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity of a wall in each step: slope of its position, with a common scatter of positions.

    Parameters
    ----------
    time : (n,) array
        Time of each frame, or time of pulses until then.
    position : (n,) array
        Place of the wall, along its outward normal.
    steps : sequence of int arrays
        Frames of each step, see `steps_of`.
    position_sd : float, optional
        Standard deviation of a position, used where no step has three frames, and as the least.

    Returns
    -------
    velocity, sd : (len(steps),) array
        In units of position per time; NaN without time between the frames.
    """
    fits, square, freedom = [], 0.0, 0
    for step in steps:
        t, x = np.asarray(time, float)[step], np.asarray(position, float)[step]
        t = t - t.mean()
        spread = float(np.sum(t**2))
        slope = float(t @ x / spread) if spread > 0 else np.nan
        rest = x - x.mean() - slope * t
        if np.isfinite(slope) and len(step) > 2:
            square += float(rest @ rest)
            freedom += len(step) - 2
        fits.append((slope, spread))
    least = 0.0 if position_sd is None else position_sd
    scatter = np.sqrt(square / freedom) * student(freedom) if freedom else least
    scatter = max(scatter, least) or np.nan
    velocity = np.array([slope for slope, _ in fits])
    with np.errstate(divide="ignore"):
        sd = scatter / np.sqrt(np.array([spread for _, spread in fits]))
    return velocity, np.where(np.isfinite(velocity), sd, np.nan)


def creep_fit(
    field: np.ndarray,
    velocity: np.ndarray,
    sd: np.ndarray,
    *,
    exponent: float | None = 0.25,
) -> dict[str, float]:
    """Creep law of a wall.

    Parameters
    ----------
    field : (n,) array
        Driving field; its sign does not matter.
    velocity, sd : (n,) array
        Velocity and its standard deviation. Points that are not above 2 sd are left out.
    exponent : float or None, default 0.25
        Exponent of the field; None fits it, too.

    Returns
    -------
    dict
        `ln_v0`, `alpha`, `exponent`, each with `_sd` (0 for a given exponent), `points`, and
        `chi2` per degree of freedom (NaN without any). Errors are enlarged by the scatter.

    Raises
    ------
    SpinscopeError
        For fewer different fields than coefficients.
    """
    field, velocity, sd = (np.asarray(a, float) for a in (np.abs(field), velocity, sd))
    used = (field > 0) & (velocity > 2 * sd) & np.isfinite(velocity) & (sd > 0)
    needed = 3 if exponent is None else 2
    if (count := len(np.unique(field[used]))) < needed:
        raise SpinscopeError(
            f"a creep law needs velocities above their errors in {needed} different fields; there "
            f"are {count}"
        )
    h, y, error = field[used], np.log(velocity[used]), sd[used] / velocity[used]
    if exponent is not None:
        fit = linear_fit(np.stack([np.ones_like(h), -(h**-exponent)], -1), y, error)
        values, covariance = [*fit.values, exponent], np.zeros((3, 3))
        covariance[:2, :2] = fit.covariance
    else:
        middle = np.exp(np.log(h).mean())

        def model(mu: float) -> np.ndarray:
            return np.stack([np.ones_like(h), -((h / middle) ** -mu)], -1)

        def square(log_mu: float) -> float:
            basis = model(np.exp(log_mu)) / error[:, None]
            rest = y / error - basis @ np.linalg.lstsq(basis, y / error, rcond=None)[0]
            return float(rest @ rest)

        found = optimize.minimize_scalar(
            square, bounds=tuple(np.log(_EXPONENTS)), method="bounded", options={"xatol": 1e-6}
        )
        mu = float(np.exp(found.x))
        scaled = linear_fit(model(mu), y, error).values
        slope = scaled[1] * np.log(h / middle) * (h / middle) ** -mu
        fit = linear_fit(np.column_stack([model(mu), slope]), y - model(mu) @ scaled, error)
        # From α in units of the middle field to α itself: α = a middle^μ.
        change = np.diag([1.0, middle**mu, 1.0])
        change[1, 2] = scaled[1] * middle**mu * np.log(middle)
        covariance = change @ fit.covariance @ change.T
        values = [scaled[0], scaled[1] * middle**mu, mu]
    errors = np.sqrt(np.diag(covariance))
    return {
        "ln_v0": float(values[0]),
        "ln_v0_sd": float(errors[0]),
        "alpha": float(values[1]),
        "alpha_sd": float(errors[1]),
        "exponent": float(values[2]),
        "exponent_sd": float(errors[2]),
        "chi2": float(fit.scatter**2),
        "points": int(used.sum()),
    }


def dmi_field(
    in_plane: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    left_sd: np.ndarray,
    right_sd: np.ndarray,
) -> dict[str, float]:
    """Field of the DMI from the velocities of the left and the right wall.

    Parameters
    ----------
    in_plane : (n,) array
        In-plane field along x.
    left, right, left_sd, right_sd : (n,) array
        Outward velocities of the walls, and their standard deviations.

    Returns
    -------
    dict
        `dmi_field` with `_sd`, in units of `in_plane`, positive where the right wall is slowest in
        a negative field; `points`; `chi2` per degree of freedom.

    Raises
    ------
    SpinscopeError
        For fewer than four in-plane fields, or without a minimum within them.
    """
    hx, x = np.asarray(in_plane, float), np.asarray(in_plane, float)
    v = np.concatenate([right, left]).astype(float)
    sd = np.concatenate([right_sd, left_sd]).astype(float)
    x, side = np.concatenate([hx, hx]), np.repeat([1.0, -1.0], len(hx))
    used = (v > 2 * sd) & np.isfinite(v) & (sd > 0) & np.isfinite(x)
    if (count := len(np.unique(x[used]))) < 4:
        raise SpinscopeError(
            f"the field of the DMI needs velocities in four in-plane fields; there are {count}"
        )
    x, side, y, error = x[used], side[used], np.log(v[used]), sd[used] / v[used]
    widest = float(np.abs(x).max())
    orders = (0, 2, 4) if count > 5 else (0, 2)

    def basis(d: float) -> np.ndarray:
        u = (x + side * d) / widest
        return np.stack([u**order for order in orders], -1)

    def square(d: float) -> float:
        a = basis(d) / error[:, None]
        rest = y / error - a @ np.linalg.lstsq(a, y / error, rcond=None)[0]
        return float(rest @ rest)

    grid = np.linspace(-widest, widest, 201)
    best = float(grid[np.argmin([square(d) for d in grid])])
    step = grid[1] - grid[0]
    d = float(
        optimize.minimize_scalar(
            square,
            bounds=(best - step, best + step),
            method="bounded",
            options={"xatol": step * 1e-5},
        ).x
    )
    even = linear_fit(basis(d), y, error).values
    u = (x + side * d) / widest
    slope = sum(c * o * u ** (o - 1) for c, o in zip(even, orders, strict=True) if o)
    if even[1] <= 0 or abs(d) > 0.98 * widest:
        raise SpinscopeError(
            f"the velocities have no minimum within in-plane fields of ±{widest:g}: the field of "
            "the DMI is larger, or the walls do not creep; apply higher in-plane fields"
        )
    fit = linear_fit(np.column_stack([basis(d), slope * side / widest]), y - basis(d) @ even, error)
    return {
        "dmi_field": d,
        "dmi_field_sd": float(np.sqrt(fit.covariance[-1, -1])),
        "chi2": float(fit.scatter**2),
        "points": int(used.sum()),
    }


def velocity_table(
    rows: pd.DataFrame,
    time: np.ndarray,
    steps: Sequence[np.ndarray],
    *,
    position_sd: float = _POSITION_SD,
) -> pd.DataFrame:
    """Velocities of the mean wall, the left and the right wall in each step.

    Parameters
    ----------
    rows : DataFrame
        One row per frame with `radius_px`, `left_px`, `right_px`.
    time : (n,) array
        Time of each frame.
    steps : sequence of int arrays
        See `steps_of`.
    position_sd : float, default 0.3
        As for `wall_velocities`, for steps of two frames, px.

    Returns
    -------
    DataFrame
        `first_frame`, `last_frame`, `frames`, `velocity`, `left`, `right` and their `_sd`, px per
        time.
    """
    import pandas as pd

    table = pd.DataFrame(
        {
            "first_frame": [int(step[0]) for step in steps],
            "last_frame": [int(step[-1]) for step in steps],
            "frames": [len(step) for step in steps],
        }
    )
    several = any(len(step) > 2 for step in steps)
    for name, column, sign in (
        ("velocity", "radius_px", 1), ("left", "left_px", -1), ("right", "right_px", 1)
    ):  # fmt: skip
        table[name], table[f"{name}_sd"] = wall_velocities(
            time, sign * rows[column].to_numpy(), steps,
            position_sd=None if several else position_sd,
        )  # fmt: skip
    return table
