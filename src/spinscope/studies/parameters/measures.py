"""Estimates of test views and their scores: R², RMSE, bias and coverage of the 90 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.analysis.domains import domain_width
from spinscope.errors import SpinscopeError
from spinscope.studies.parameters.views import Condition, Films

CONDITIONS: dict[str, Condition] = {
    "ideal": Condition(),
    "noise 10 %": Condition(noise=0.1),
    "noise 30 %": Condition(noise=0.3),
    "noise 60 %": Condition(noise=0.6),
    "blur 1 px": Condition(blur_px=1.0),
    "blur 2 px": Condition(blur_px=2.0),
    "blocks of 2×2 px": Condition(blocks=2),
    "blocks of 4×4 px": Condition(blocks=4),
    "contrast 40 %": Condition(contrast=0.4),
    "background 60 %": Condition(background=0.6),
}
"""Imaging conditions. Noise and background are in units of the contrast."""

LEVEL = 0.9
"""Confidence of the intervals."""
DEGREE = 3
"""Degree of the polynomial of log width that is the baseline."""

Estimate = Callable[[np.ndarray, float], tuple[float, float, float, float]]
"""Image and pixel size in m → mean, sd, low, high in SI units."""

Table = dict[str, list]
"""Estimates of views: film, mean, sd, low and high, a list each."""


def estimates(
    estimate: Estimate,
    films: Films,
    widths: Mapping[float, float],
    condition: Condition = CONDITIONS["ideal"],
    n: int | None = None,
) -> dict[str, Table]:
    """Estimates of the views of films at every scale.

    Parameters
    ----------
    estimate : callable
        Network or baseline.
    films : Films
        Films with known constants.
    widths : mapping
        Scale → side of a view, m.
    condition : Condition
        Imaging conditions.
    n : int, optional
        Views per film.
    """
    found = {}
    for scale, width in widths.items():
        rng = np.random.default_rng([films.seed, round(width * 1e12), 1])
        rows = [
            (one.film, *estimate(condition.applied(one.image, rng), one.pixel_size))
            for one in films.views(width, n)
        ]
        keys = ("film", "mean", "sd", "low", "high")
        columns = [[row[place] for row in rows] for place in range(len(keys))]
        found[f"{scale:g}"] = {
            key: [value if key == "film" else float(f"{value:.5g}") for value in column]
            for key, column in zip(keys, columns, strict=True)
        }
    return found


def under_conditions(
    estimate: Estimate, films: Films, widths: Mapping[float, float]
) -> dict[str, dict[str, Table]]:
    """Estimates under every imaging condition, from one view per film and scale."""
    return {
        name: estimates(estimate, films, widths, condition, 1)
        for name, condition in CONDITIONS.items()
    }


def scores(tables: Sequence[Mapping[str, Sequence]], films: Films, group: str | None = None):
    """Scores of estimates, all scales of `tables` together.

    Parameters
    ----------
    tables : sequence of mapping
        Estimates at one or more scales.
    films : Films
        Films with their true constants.
    group : str, optional
        Group of the films that count; by default all.

    Returns
    -------
    dict
        `r2`, `rmse` and `bias` in SI units, `coverage` of the intervals, the mean half width of an
        interval as `half_width`, and `n`, the number of views.
    """
    numbers = np.concatenate([np.asarray(table["film"], int) for table in tables])
    mean, low, high = (
        np.concatenate([np.asarray(table[key], float) for table in tables])
        for key in ("mean", "low", "high")
    )
    if group is not None:
        keep = np.array([films.films[number].group == group for number in numbers], bool)
        numbers, mean, low, high = numbers[keep], mean[keep], low[keep], high[keep]
    true = films.values[numbers]
    error = mean - true
    spread = np.square(true - true.mean()).sum()
    return {
        "r2": float(1 - np.square(error).sum() / spread),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "bias": float(error.mean()),
        "coverage": float(((low <= true) & (true <= high)).mean()),
        "half_width": float((high - low).mean() / 2),
        "n": len(true),
    }


def width_of(image: np.ndarray, pixel_size: float) -> float:
    """Domain width of an image in m; NaN for one without domains."""
    try:
        return domain_width(image, pixel_size)
    except SpinscopeError:
        return float("nan")


class WidthRegression:
    """Baseline: the constant as a polynomial of the logarithm of the domain width.

    Its interval holds 90 % of the residuals of the films that it was fitted to.

    Parameters
    ----------
    widths : (N,) array
        Domain widths, m.
    values : (N,) array
        Constants, SI units.
    """

    def __init__(self, widths: np.ndarray, values: np.ndarray):
        known = np.isfinite(widths)
        logs, values = np.log(widths[known]), values[known]
        self.middle, self.limits = float(np.median(logs)), (logs.min(), logs.max())
        self.coefficients = np.polyfit(logs - self.middle, values, DEGREE)
        self.range = float(values.min()), float(values.max())
        residuals = values - self.value(widths[known])
        self.sd = float(residuals.std(ddof=DEGREE + 1))
        self.below, self.above = np.quantile(residuals, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])

    @classmethod
    def fit(cls, films: Films, sides: Sequence[float], condition: Condition) -> WidthRegression:
        """Fit to the views of films at some scales.

        Parameters
        ----------
        films : Films
            Training films.
        sides : sequence of float
            Sides of the views, m.
        condition : Condition
            Imaging conditions.
        """
        pairs = [
            (width_of(condition.applied(one.image, rng), one.pixel_size), one.film)
            for width in sides
            for rng in [np.random.default_rng([films.seed, round(width * 1e12), 2])]
            for one in films.views(width)
        ]
        widths, numbers = (np.array(column) for column in zip(*pairs, strict=True))
        return cls(widths.astype(float), films.values[numbers.astype(int)])

    def value(self, width: np.ndarray | float) -> np.ndarray | float:
        """Constant at a domain width in m, within the range of the fitted ones."""
        log = np.clip(np.log(width), *self.limits)
        return np.clip(np.polyval(self.coefficients, log - self.middle), *self.range)

    def __call__(self, image: np.ndarray, pixel_size: float) -> tuple[float, float, float, float]:
        """Estimate of an image; the middle of the range where no width is found."""
        width = width_of(image, pixel_size)
        if not np.isfinite(width):
            low, high = self.range
            return (low + high) / 2, (high - low) / 12**0.5, low, high
        mean = float(self.value(width))
        return mean, self.sd, mean + self.below, mean + self.above


def baseline(
    films: Films, train: Films, widths: Mapping[float, float], used: Sequence[float]
) -> dict[str, Any]:
    """Estimates by the domain width.

    Parameters
    ----------
    films, train : Films
        Test and training films.
    widths : mapping
        Scale → side of a view, m.
    used : sequence of float
        Scales of the regression over several scales.

    Returns
    -------
    dict
        `pooled`, one regression over the scales `used`; `each`, one regression per scale;
        `conditions`, the pooled one under every imaging condition.
    """
    ideal = CONDITIONS["ideal"]
    pooled = WidthRegression.fit(train, [widths[scale] for scale in used], ideal)
    each: dict[str, Table] = {}
    for scale, width in widths.items():
        own = WidthRegression.fit(train, [width], ideal)
        each |= estimates(own, films, {scale: width})
    return {
        "pooled": estimates(pooled, films, widths),
        "each": each,
        "conditions": under_conditions(pooled, films, widths),
    }


def estimate_by(predictor: Any) -> Estimate:
    """Function of an image and a pixel size from a loaded model."""

    def estimate(image: np.ndarray, pixel_size: float) -> tuple[float, float, float, float]:
        found = predictor(image, pixel_size)
        return found.mean, found.sd, found.low, found.high

    return estimate
