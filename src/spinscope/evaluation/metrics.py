"""Metrics of a segmentation from its confusion matrix, skyrmion against the rest."""

from __future__ import annotations

import math

import numpy as np

from spinscope.classes import SKYRMION


def confusion(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix: (C, C) int64 counts of pixels, rows true and columns predicted classes.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    if label.shape != predicted.shape:
        raise ValueError(f"label {label.shape} and prediction {predicted.shape} differ in shape")
    code = label.astype(np.int64).ravel() * classes + predicted.ravel()
    return np.bincount(code, minlength=classes**2).reshape(classes, classes)


def skyrmion_counts(matrix: np.ndarray) -> tuple[int, int, int, int]:
    """Count (TP, FP, FN, TN) of skyrmion against the rest."""
    tp = int(matrix[SKYRMION, SKYRMION])
    fp = int(matrix[:, SKYRMION].sum()) - tp
    fn = int(matrix[SKYRMION].sum()) - tp
    return tp, fp, fn, int(matrix.sum()) - tp - fp - fn


def scores(matrix: np.ndarray) -> dict[str, float]:
    r"""MCC, pixel accuracy, F1 and Jaccard index of skyrmion against the rest.

    .. math:: MCC = \frac{TP\,TN - FP\,FN}
              {\sqrt{(TP+FP)(TP+FN)(TN+FP)(TN+FN)}}

    If label or mask contains one class only, MCC is 1 for equal masks and 0 otherwise; F1 and
    Jaccard index of two empty masks are 1.

    Parameters
    ----------
    matrix : (C, C) array
        Confusion matrix.

    Returns
    -------
    dict
        `mcc`, `accuracy`, `f1` and `jaccard`.

    References
    ----------
    Chicco and Jurman, BMC Genomics 21, 6 (2020).

    Examples
    --------
    >>> scores(np.array([[50, 0], [0, 50]]))["mcc"]
    1.0
    """
    tp, fp, fn, tn = skyrmion_counts(matrix)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)  # exact: Python integers
    wrong = fp + fn
    return {
        "mcc": (tp * tn - fp * fn) / math.sqrt(spread) if spread else float(wrong == 0),
        "accuracy": (tp + tn) / (tp + tn + wrong),
        "f1": 2 * tp / (2 * tp + wrong) if tp + wrong else 1.0,
        "jaccard": tp / (tp + wrong) if tp + wrong else 1.0,
    }
