"""Confidence intervals of scores over sources, and comparison of two models on the same frames.

Frames of one source are alike, so sources are resampled, not frames. Every source has the same
weight: the estimated quantity is that of a new film.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

RESAMPLES, WIDEST = 4000, 1.5
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Quantity:
    """Number that is computed for every source of a report and judged by gates.

    Parameters
    ----------
    name : str
        Short name in tables.
    title : str
        Name in sentences.
    limit : float or None
        Worst value that passes; None for no gate on the value itself.
    margin : float or None
        Largest loss against the reference; None for no comparison.
    maximise : bool, default True
        Whether larger values are better.
    lowest, highest : float
        Range of possible values.
    of : callable, optional
        Columns of the rows of one source → value, NaN if it is not defined there. By default the
        mean of the column `name`.
    """

    name: str
    title: str
    limit: float | None = None
    margin: float | None = None
    maximise: bool = True
    lowest: float = -math.inf
    highest: float = math.inf
    of: Callable[[Columns], float] | None = None

    def per_source(self, rows: Sequence[Mapping[str, Any]]) -> dict[Any, float]:
        """Value of every source of a report's rows, without sources where it is not defined.

        Parameters
        ----------
        rows : sequence of dict
            Rows `per_image` of a report, each with its `source`.
        """
        sources: dict[Any, list[Mapping[str, Any]]] = {}
        for row in rows:
            sources.setdefault(row["source"], []).append(row)
        values = {source: self._value(group) for source, group in sources.items()}
        return {source: value for source, value in values.items() if math.isfinite(value)}

    def _value(self, rows: Sequence[Mapping[str, Any]]) -> float:
        columns = {
            key: np.array([np.nan if row[key] is None else row[key] for row in rows])
            for key, value in rows[0].items()
            if value is None or isinstance(value, int | float)
        }
        return float(self.of(columns) if self.of else np.mean(columns[self.name]))


def ratio(numerator: str, denominator: str) -> Callable[[Columns], float]:
    """Function for `Quantity.of`: ratio of two sums over the frames of a source."""

    def of(columns: Columns) -> float:
        below = columns[denominator].sum()
        return float(columns[numerator].sum() / below) if below else math.nan

    return of


@dataclass(frozen=True)
class Interval:
    """Estimate with its one-sided confidence limits.

    Parameters
    ----------
    value : float
        Mean over the sources.
    low, high : float or None
        Lower and upper limit, each with the whole confidence; None for fewer than two sources.
    n : int
        Number of sources.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def needed(self, distance: float, *, upper: bool = False) -> int | None:
        """Number of sources at which a limit would be no further than `distance` from the value.

        Parameters
        ----------
        distance : float
            Allowed distance between the value and the limit.
        upper : bool, default False
            Whether the upper limit is meant.

        Returns
        -------
        int or None
            None if no number of sources would do, or the spread is unknown.
        """
        if self.low is None or self.high is None or distance <= 0:
            return None
        width = self.high - self.value if upper else self.value - self.low
        return max(self.n + 1, math.ceil(self.n * (width / distance) ** 2))


def interval(
    values: Sequence[float],
    confidence: float,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of the mean over sources.

    Sources are resampled and the error of each resampled mean is divided by its own standard error
    (bootstrap-t), which keeps the confidence for skewed scores. A limit is never closer than that
    of Student's t, nor further than `WIDEST` times that: a single odd source of few would otherwise
    make every interval useless.

    Parameters
    ----------
    values : sequence of float
        One value per source.
    confidence : float
        Probability that the true value lies above `low`, and that it lies below `high`.
    lowest, highest : float
        Range of possible values.
    seed : int, default 0
        Seed of the resampling.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 12.5.

    Examples
    --------
    >>> found = interval([0.90, 0.92, 0.91, 0.93], 0.95)
    >>> found.low < 0.905 < found.value < 0.925 < found.high
    True
    """
    data = np.asarray(values, dtype=float)
    n = len(data)
    if not n:
        raise ValueError("values must hold at least one source")
    mean = float(data.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    error = float(data.std(ddof=1)) / math.sqrt(n)
    drawn = data[np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))]
    spreads = drawn.std(axis=1, ddof=1)
    varied = spreads > 1e-9 * error * math.sqrt(n)
    student = float(stats.t.ppf(confidence, n - 1))
    below = above = student
    if error and varied.any():
        t = (drawn.mean(axis=1) - mean)[varied] / (spreads[varied] / math.sqrt(n))
        ends = np.quantile(t, confidence), -np.quantile(t, 1 - confidence)
        below, above = (float(np.clip(end, student, WIDEST * student)) for end in ends)
    low, high = mean - below * error, mean + above * error
    return Interval(mean, max(low, lowest), min(high, highest), n)


def optimism(per_seed: Sequence[Mapping[Any, float]], *, maximise: bool = True) -> float | None:
    r"""Gain of choosing the best seed on the frames on which it is then scored.

    The lead of the best seed over the mean of all is partly noise. The expected part is that of
    James and Stein's shrinkage, with the variance of the seeds' means over the sources, and the
    variance of their error after the differences between sources and between seeds are removed:

    .. math:: \min(1, \sigma_{error}^2 / \sigma_{seeds}^2)\,(M_{best} - \bar M)

    Parameters
    ----------
    per_seed : sequence of mapping
        Source → value, one mapping per seed.
    maximise : bool, default True
        Whether larger values are better.

    Returns
    -------
    float or None
        Not negative; None for a single seed, which was not chosen among several, or one source.

    References
    ----------
    Efron and Morris, Journal of the American Statistical Association 70, 311 (1975).
    """
    common = sorted(set.intersection(*(set(values) for values in per_seed)))
    table = np.array([[values[source] for source in common] for values in per_seed])
    k, n = table.shape
    if k < 2 or n < 2:
        return None
    means = table.mean(axis=1)
    rest = table - means[:, None] - table.mean(axis=0) + table.mean()
    error = (rest**2).sum() / ((k - 1) * (n - 1)) / n
    spread = means.var(ddof=1)
    lead = (means.max() - means.mean()) if maximise else (means.mean() - means.min())
    return float(min(1.0, error / spread) * lead) if spread else 0.0


def paired(
    quantity: Quantity,
    rows: Sequence[Mapping[str, Any]],
    reference: Sequence[Mapping[str, Any]],
    confidence: float,
) -> Interval | None:
    """Interval of the gain of one model over another on the same frames, positive if better.

    Parameters
    ----------
    quantity : Quantity
    rows, reference : sequences of dict
        Rows `per_image` of the two reports.
    confidence : float
        See `interval`.

    Returns
    -------
    Interval or None
        None if the quantity is defined on no common source.
    """
    ours, theirs = quantity.per_source(rows), quantity.per_source(reference)
    sign = 1 if quantity.maximise else -1
    gains = [sign * (ours[source] - theirs[source]) for source in ours if source in theirs]
    return interval(gains, confidence) if gains else None
