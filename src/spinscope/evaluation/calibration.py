"""Whether probabilities hold: reliability of a class, and its calibration on other sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spinscope.evaluation.levels import BINS

_LEVELS = (np.arange(BINS) + 0.5) / BINS
_POINTS = 20
"""Points of a reliability diagram."""


def calibration_error(counts: np.ndarray, probability: np.ndarray = _LEVELS) -> float:
    r"""Return the expected calibration error of a class.

    .. math:: ECE = \sum_b \frac{n_b}{N} |f_b - p_b|,

    with n pixels of probability p in bin b, of which the fraction f is labelled as the class.

    Parameters
    ----------
    counts : (2, BINS) array
        Result of `level_counts`.
    probability : (BINS,) array
        Probability of each bin, by default its middle.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, Proc. ICML 70, 1321 (2017).

    Examples
    --------
    >>> counts = np.zeros((2, BINS))
    >>> counts[:, 80] = 10, 90
    >>> round(calibration_error(counts), 3)
    0.095
    """
    return float(np.abs(counts[1] - probability * counts.sum(axis=0)).sum() / counts.sum())


def calibrate(counts: np.ndarray) -> np.ndarray:
    """Return the calibrated probability of each bin: the labelled fraction, made to rise.

    Parameters
    ----------
    counts : (2, BINS) array
        Result of `level_counts`. Bins without pixels lie between their neighbours.

    Returns
    -------
    (BINS,) array

    References
    ----------
    Zadrozny and Elkan, Proc. ACM SIGKDD 8, 694 (2002): isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    pixels = counts.sum(axis=0)
    known = pixels > 0
    fitted = isotonic_regression(counts[1][known] / pixels[known], weights=pixels[known]).x
    return np.interp(_LEVELS, _LEVELS[known], fitted)


def calibration(counts: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """Reliability of the probabilities of several sources, as they are and calibrated.

    Parameters
    ----------
    counts : mapping
        Source → result of `level_counts`.

    Returns
    -------
    dict
        `ece`: expected calibration error of a source, mean over the sources; over all pixels the
        errors of different sources would cancel. `ece_calibrated`: the same with the probabilities
        of each source calibrated on all others; None for a single source. `reliability`: rows
        {`pixels`, `probability`, `calibrated`, `labelled`} with the mean probability of pixels of
        like probability, before and after the calibration, and their labelled fraction.
    """
    total = np.sum(list(counts.values()), axis=0)
    pixels = total.sum(axis=0)
    several = len(counts) > 1
    fitted = {source: calibrate(total - own) for source, own in counts.items()} if several else {}
    expected = sum(fitted[source] * counts[source].sum(axis=0) for source in fitted)
    rows = []
    for part in np.split(np.arange(BINS), _POINTS):
        if n := int(pixels[part].sum()):
            rows.append(
                {
                    "pixels": n,
                    "probability": float(_LEVELS[part] @ pixels[part] / n),
                    "calibrated": float(expected[part].sum() / n) if several else None,
                    "labelled": float(total[1][part].sum() / n),
                }
            )
    errors = [calibration_error(counts[source], fitted[source]) for source in fitted]
    return {
        "ece": float(np.mean([calibration_error(own) for own in counts.values()])),
        "ece_calibrated": float(np.mean(errors)) if several else None,
        "reliability": rows,
    }
