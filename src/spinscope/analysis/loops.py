r"""Hysteresis loops: coercive field, remanence and bias, with errors.

The signal :math:`s` of a frame or a region, such as its mean contrast or the area fraction of
reversed domains, follows the magnetisation from one saturation to the other. With the levels
:math:`s_\pm` at the two ends of the sweep, :math:`m = (2s - s_+ - s_-) / (s_+ - s_-)`. A branch
crosses :math:`m = 0` at its switching field, and

.. math:: H_\mathrm{c} = \tfrac12 (H_\uparrow - H_\downarrow), \qquad
          H_\mathrm{b} = \tfrac12 (H_\uparrow + H_\downarrow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spinscope.analysis.fits import linear_fit
from spinscope.errors import SpinscopeError

_ENDS = 0.12
"""Fraction of the field range at each end in which the film counts as saturated."""
_LEAST_ENDS = 2
_NEAR = 0.5
"""Points of a branch with a smaller |m| decide its switching field, if they are enough."""
_LEAST_NEAR = 4
_SPAN = 0.6
"""Part of the field range that a branch must cover."""
_CERTAIN = 3.0
"""The two levels must differ by this many standard deviations of the signal. The coercive field may
be negative by as many of its own."""


class Value(NamedTuple):
    """A quantity and its standard error, both in the unit of the quantity."""

    value: float
    se: float


@dataclass(frozen=True)
class Loop:
    """Hysteresis loop and what follows from it.

    Attributes
    ----------
    coercive, bias : Value
        Half of the difference, and mean, of the switching fields of the two branches; in the unit
        of the field.
    remanence : Value
        Mean of |m| of the two branches without a field; NaN where the sweep leaves zero field out.
    switching_down, switching_up : Value
        Field at which the descending and the ascending branches cross m = 0.
    branches : int
        Number of branches.
    noise : float
        Standard deviation of m in saturation.
    field, m, direction : (n,) arrays
        Field, magnetisation in units of saturation and direction of the sweep (-1, 0, 1) of each
        frame.
    """

    coercive: Value
    bias: Value
    remanence: Value
    switching_down: Value
    switching_up: Value
    branches: int
    noise: float
    field: np.ndarray
    m: np.ndarray
    direction: np.ndarray


def hysteresis_loop(field: np.ndarray, signal: np.ndarray, *, background: bool = False) -> Loop:
    """Evaluate a hysteresis loop.

    Parameters
    ----------
    field : (n,) array
        Field of each frame in the order of the sweep, in any unit; frames with an unknown field or
        signal are left out.
    signal : (n,) array
        Quantity that follows the magnetisation. Its sign does not matter: m > 0 at the highest
        field.
    background : bool, default False
        Whether to subtract a slope that is proportional to the field, such as the Faraday effect of
        the objective; it is fitted to the saturated ends.

    Returns
    -------
    Loop

    Raises
    ------
    SpinscopeError
        Where the sweep has no branch in each direction that goes from one saturation to the other,
        the signal does not differ between them, or it reverses before the field does.
    """
    field, signal = (np.asarray(values, dtype=np.float64) for values in (field, signal))
    if field.shape != signal.shape or field.ndim != 1:
        raise SpinscopeError(f"field {field.shape} and signal {signal.shape} must be of one length")
    known = np.isfinite(field) & np.isfinite(signal)
    if known.sum() < 8 or np.ptp(field[known]) == 0:
        raise SpinscopeError(
            f"a loop needs at least 8 frames at different fields; {int(known.sum())} are known"
        )
    h, s = field[known], signal[known]
    branches = _branches(h)
    directions = {direction for _, direction in branches}
    if directions != {-1, 1}:
        missing = "descending" if -1 not in directions else "ascending"
        raise SpinscopeError(
            f"the field has no {missing} branch over at least {_SPAN:.0%} of its range, "
            f"{h.min():g} to {h.max():g}: a loop needs both"
        )
    m, noise, level_se = _normalised(h, s, background)
    crossings: dict[int, list[Value]] = {-1: [], 1: []}
    remanent: list[Value] = []
    for part, direction in branches:
        crossings[direction].append(_crossing(h[part], m[part], noise, level_se))
        remanent.append(_at_zero(h[part], m[part], noise))
    down, up = (_mean(crossings[direction]) for direction in (-1, 1))
    half = float(np.hypot(down.se, up.se)) / 2
    if (up.value - down.value) / 2 < -_CERTAIN * half:
        raise SpinscopeError(
            f"the ascending branch reverses at {up.value:.4g}, before the descending one at "
            f"{down.value:.4g}: the signal shows no hysteresis between two saturated states"
        )
    kept = [one for one in remanent if np.isfinite(one.value)]
    everywhere = np.full(field.shape, np.nan)
    everywhere[known] = m
    direction_of = np.zeros(field.shape, dtype=np.int64)
    for part, direction in branches:
        direction_of[np.flatnonzero(known)[part]] = direction
    remanence = Value(np.nan, np.nan)
    if kept:
        one = _mean([Value(abs(value), se) for value, se in kept])
        remanence = Value(one.value, float(np.hypot(one.se, one.value * level_se)))
    return Loop(
        coercive=Value((up.value - down.value) / 2, half),
        bias=Value((up.value + down.value) / 2, half),
        remanence=remanence,
        switching_down=down,
        switching_up=up,
        branches=len(branches),
        noise=noise,
        field=field,
        m=everywhere,
        direction=direction_of,
    )


def _branches(h: np.ndarray) -> list[tuple[slice, int]]:
    """Parts of a sweep in which the field falls (-1) or rises (1) over most of its range."""
    step = np.sign(np.diff(h))
    for k in range(1, len(step)):  # a pause belongs to the sweep before it
        if step[k] == 0:
            step[k] = step[k - 1]
    found, start = [], 0
    for k in range(1, len(step) + 1):
        if k == len(step) or step[k] != step[start]:
            part = slice(start, k + 1)
            if step[start] and np.ptp(h[part]) >= _SPAN * np.ptp(h):
                found.append((part, int(step[start])))
            start = k
    return found


def _normalised(h: np.ndarray, s: np.ndarray, background: bool) -> tuple[np.ndarray, float, float]:
    """Signal from -1 to 1, its noise, and the error of the middle between the levels."""
    margin = _ENDS * np.ptp(h)
    top, bottom = h >= h.max() - margin, h <= h.min() + margin
    for end, name in ((top, "highest"), (bottom, "lowest")):
        if end.sum() < _LEAST_ENDS:
            raise SpinscopeError(
                f"only {int(end.sum())} frames lie within {_ENDS:.0%} of the {name} field; a loop "
                f"needs at least {_LEAST_ENDS} there, where the film is saturated"
            )
    freedom = top.sum() + bottom.sum() - 2
    if background:
        deviation = [h[end] - h[end].mean() for end in (top, bottom)]
        total = sum(float(np.square(one).sum()) for one in deviation)
        if total > 0:
            product = sum(
                float((one * s[end]).sum())
                for one, end in zip(deviation, (top, bottom), strict=True)
            )
            s, freedom = s - product / total * h, freedom - 1
    high, low = s[top].mean(), s[bottom].mean()
    rest = np.concatenate([s[top] - high, s[bottom] - low])
    sd = float(np.sqrt(np.square(rest).sum() / max(freedom, 1)))
    contrast = (high - low) / 2
    if abs(contrast) <= _CERTAIN * sd * np.sqrt(1 / top.sum() + 1 / bottom.sum()) / 2:
        raise SpinscopeError(
            f"the signal is {high:.4g} at the highest and {low:.4g} at the lowest field, with a "
            f"noise of {sd:.2g}: it shows no hysteresis between two saturated states"
        )
    noise = sd / abs(contrast)
    level_se = noise * float(np.sqrt(1 / top.sum() + 1 / bottom.sum())) / 2
    return (s - (high + low) / 2) / contrast, noise, level_se


def _crossing(h: np.ndarray, m: np.ndarray, noise: float, level_se: float) -> Value:
    """Field at which a branch crosses m = 0.

    A line is fitted to the points near the crossing; where the branch jumps there, the field is
    known to the step of the sweep.
    """
    order = np.argsort(h, kind="stable")
    h, m = h[order], m[order]
    above, below = np.cumsum(m > 0), np.cumsum(m <= 0)
    wrong = np.concatenate([[below[-1]], above + below[-1] - below])  # points on the wrong side
    cut = int(np.argmin(wrong))
    if not 0 < cut < len(m):
        raise SpinscopeError(
            f"the branch from {h[0]:g} to {h[-1]:g} does not cross the middle between the levels; "
            "the sweep must go from one saturation to the other"
        )
    low, high = _near(m, cut)
    x, y = h[low:high], m[low:high]
    step = h[cut] - h[cut - 1]
    if len(x) >= _LEAST_NEAR and np.ptp(x) > 0:
        fit = linear_fit(np.stack([x - x.mean(), np.ones_like(x)], axis=1), y)
        (slope, offset), covariance = fit.values, fit.covariance
        if slope > 0:
            shift = -offset / slope
            variance = (
                covariance[1, 1] + 2 * shift * covariance[0, 1] + shift**2 * covariance[0, 0]
            ) / slope**2
            return Value(
                float(x.mean() + shift), float(np.sqrt(variance + (level_se / slope) ** 2))
            )
    left, right = m[cut - 1], m[cut]
    fraction = float(np.clip(-left / (right - left), 0, 1)) if right > left else 0.5
    error = np.hypot(noise, level_se) / max(right - left, 1e-9)
    unknown = min(abs(left * right), 1.0) / np.sqrt(12)  # a jump is anywhere within the step
    return Value(float(h[cut - 1] + fraction * step), float(step * np.hypot(unknown, error)))


def _near(m: np.ndarray, cut: int) -> tuple[int, int]:
    """Range of points around a cut that lie on the flank."""
    low, high = cut, cut
    while low > 0 and abs(m[low - 1]) < _NEAR:
        low -= 1
    while high < len(m) and abs(m[high]) < _NEAR:
        high += 1
    return low, high


def _at_zero(h: np.ndarray, m: np.ndarray, noise: float) -> Value:
    """Magnetisation of a branch without a field, NaN where it has none."""
    if h.min() > 0 or h.max() < 0:
        return Value(np.nan, np.nan)
    order = np.argsort(h, kind="stable")
    h, m = h[order], m[order]
    right = int(np.searchsorted(h, 0))
    if right < len(h) and h[right] == 0:
        here = h == 0
        return Value(float(m[here].mean()), noise / np.sqrt(here.sum()))
    left = right - 1
    weight = -h[left] / (h[right] - h[left])
    value = (1 - weight) * m[left] + weight * m[right]
    curve = abs(m[right] - m[left]) / np.sqrt(12) * 2 * np.sqrt(weight * (1 - weight))
    return Value(float(value), float(np.hypot(noise * np.hypot(weight, 1 - weight), curve)))


def _mean(values: list[Value]) -> Value:
    """Mean of several branches; of three or more, their scatter counts where it is larger."""
    each = np.array([one.value for one in values])
    se = float(np.sqrt(np.mean([one.se**2 for one in values]) / len(values)))
    if len(values) >= 3:
        se = max(se, float(each.std(ddof=1)) / np.sqrt(len(values)))
    return Value(float(each.mean()), se)
