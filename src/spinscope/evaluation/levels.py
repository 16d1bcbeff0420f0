"""Agreement of a mask with its label at every level of the probability, from one histogram."""

from __future__ import annotations

import numpy as np

from spinscope.evaluation.metrics import scores

BINS = 100
"""Levels are read in steps of 1 / BINS."""


def level_counts(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count the pixels inside and outside of labelled skyrmions by their probability.

    Parameters
    ----------
    probability : (H, W) array
        Probability of skyrmion, in [0, 1].
    truth : (H, W) bool array
        Labelled skyrmions.

    Returns
    -------
    (2, BINS) int64 array
        Pixels outside and inside, by probability in steps of 1 / `BINS`. Sums of such counts are
        the counts of several frames.
    """
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount((bins + BINS * truth).ravel(), minlength=2 * BINS)
    return counts.reshape(2, BINS)


def matrix_at_level(counts: np.ndarray, level: float) -> np.ndarray:
    """Return the confusion matrix (2, 2) of the mask at a level, rest and skyrmion.

    Parameters
    ----------
    counts : (2, BINS) array
        Result of `level_counts`.
    level : float
        Multiple of 1 / `BINS`.
    """
    first = round(level * BINS)
    return np.stack([counts[:, :first].sum(axis=1), counts[:, first:].sum(axis=1)], axis=1)


def best_level(counts: np.ndarray) -> tuple[float, float]:
    """Return the level of the largest MCC, and that MCC; of equal levels, the middle one.

    Parameters
    ----------
    counts : (2, BINS) array
        Result of `level_counts`.

    Examples
    --------
    >>> truth = np.array([[True, True, False, False]])
    >>> best_level(level_counts(np.array([[0.9, 0.35, 0.305, 0.1]]), truth))
    (0.33, 1.0)
    """
    levels = np.arange(1, BINS) / BINS
    mcc = np.array([scores(matrix_at_level(counts, level))["mcc"] for level in levels])
    best = np.flatnonzero(mcc == mcc.max())
    return float(levels[best[len(best) // 2]]), float(mcc.max())
