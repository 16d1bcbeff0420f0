"""Weighted fits whose standard deviations are those of a normal distribution with the same 90 %.

The scatter of a few points is itself uncertain. Standard deviations from n degrees of freedom are
multiplied by `student`, so that value ± 1.645 sd is Student's 90 % interval.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from spinscope.errors import SpinscopeError

NORMAL = 1.6448536269514722
"""Half the width of a 90 % interval, in standard deviations."""


class Fit(NamedTuple):
    """Coefficients of a linear model."""

    values: np.ndarray
    """(p,) coefficients."""
    covariance: np.ndarray
    """(p, p), of the points' scatter, already multiplied by the square of `student`."""
    scatter: float
    """Standard deviation of the points, or of points in units of their given errors."""
    freedom: int
    """Degrees of freedom."""


def student(freedom: int) -> float:
    """Factor for a standard deviation of so many degrees of freedom; inf without any.

    Examples
    --------
    >>> round(student(3), 2)
    1.43
    """
    if freedom < 1:
        return np.inf
    return float(stats.t.ppf(0.95, freedom) / NORMAL)


def linear_fit(basis: np.ndarray, y: np.ndarray, sd: np.ndarray | None = None) -> Fit:
    """Least squares of ``y = basis @ values``.

    Parameters
    ----------
    basis : (n, p) array
        Value of each function at each point.
    y : (n,) array
        Points.
    sd : (n,) array, optional
        Standard deviation of each point; all alike and unknown by default. Given ones are enlarged
        where the scatter is larger, never reduced.

    Raises
    ------
    SpinscopeError
        For fewer points than coefficients.
    """
    basis, y = np.asarray(basis, float), np.asarray(y, float)
    n, p = basis.shape
    if n < p:
        raise SpinscopeError(f"a fit of {p} coefficients needs {p} points; there are {n}")
    weight = np.ones(n) if sd is None else 1 / np.asarray(sd, float)
    a, b = basis * weight[:, None], y * weight
    values, *_ = np.linalg.lstsq(a, b, rcond=None)
    inverse = np.linalg.pinv(a.T @ a)
    freedom = n - p
    square = float(np.sum((b - a @ values) ** 2)) / freedom if freedom else np.nan
    if sd is None:
        factor = square * student(freedom) ** 2 if freedom else np.nan
    else:
        factor = max(1.0, square * student(freedom) ** 2) if freedom and square > 1 else 1.0
    return Fit(values, inverse * factor, float(np.sqrt(square)), freedom)
