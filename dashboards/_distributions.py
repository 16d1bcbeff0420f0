"""Distributions of values, one of each name, as tables whose rows are the corners of steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

COLUMNS = ["who", "value", "share"]


def histogram(values: Mapping[str, np.ndarray], edges: np.ndarray) -> pd.DataFrame:
    """Share of all values of a name in each bin; what lies beyond the edges is not drawn."""
    rows = []
    for name, numbers in values.items():
        share = np.histogram(numbers, edges)[0] / max(len(numbers), 1)
        rows += [(name, edge, part) for edge, part in zip(edges, [*share, 0.0], strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def cumulative(values: Mapping[str, np.ndarray], points: int = 400) -> pd.DataFrame:
    """Share of the values that are at most so large, in `points` corners at most.

    With all corners the area between two names is their Wasserstein distance.
    """
    rows = []
    for name, numbers in values.items():
        n, ordered = len(numbers), np.sort(numbers)
        for count in np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int)):
            if n:
                rows.append((name, ordered[max(count - 1, 0)], count / n))
    return pd.DataFrame(rows, columns=COLUMNS)
