"""Mean and standard deviation over the seeds of a training."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def mean_sd(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for one value) and number.

    Parameters
    ----------
    values : sequence of float
        Values.
    """
    values = np.asarray(values, np.float64)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"mean": float(values.mean()), "sd": sd, "n": len(values)}


def over_seeds(
    seeds: Sequence[Mapping[str, Any]], *path: str | int, factor: float = 1.0
) -> dict[str, Any]:
    """Mean, sd and n over the seeds of a training.

    Parameters
    ----------
    seeds : sequence of mapping
        Measurements of each seed.
    *path : str or int
        Keys and places that lead to the number in the measurements of a seed.
    factor : float, default 1
        Factor of the number.
    """
    return mean_sd([factor * functools.reduce(operator.getitem, path, one) for one in seeds])
