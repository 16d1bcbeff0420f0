"""Agreement of a mask with its label at every level of the probability, from one histogram.

The same for regions {m_z <= value} of films, whose levels are found from histograms in logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import scores
from spinscope.inference.level import expit

BINS = 100
"""Levels are read in steps of 1 / BINS."""

MZ = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99)
"""Values of m_z whose levels are found."""

_EDGES = np.linspace(-8, 8, 1601)
"""Logits between which pixels are counted."""


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


def mz_levels(
    frames: Iterable[tuple[np.ndarray, np.ndarray]], values: Sequence[float] = MZ
) -> list[dict[str, float]]:
    """Return the level at which the regions of a network have the area of {m_z <= value}.

    One level serves all frames: their regions together have the true area. A frame for itself
    would need another level; how much these differ is the uncertainty of the level.

    Parameters
    ----------
    frames : iterable of ((H, W) array, (H, W) array)
        Probability of skyrmion in [0, 1], and true m_z of the film.
    values : sequence of float
        Values of m_z.

    Returns
    -------
    list of dict
        One row per value: `m_z`; `level`, falling with m_z; `sd_logits`: root mean square over
        frames of the deviation of their own levels, in logits; `iou`: mean over frames of the
        intersection over union at `level`; `area_sd`: standard deviation over frames of the
        predicted over the true area there.

    Raises
    ------
    SpinscopeError
        Without a frame, and for a value that no frame or every pixel reaches.
    """
    counted = [_mz_counts(probability, m_z, values) for probability, m_z in frames]
    if not counted:
        raise SpinscopeError("levels of m_z need at least one film")
    above = np.cumsum(np.array(counted)[..., ::-1], axis=-1)[..., ::-1]  # (F, V, 2, B)
    return [_mz_row(value, above[:, k]) for k, value in enumerate(values)]


def _mz_counts(probability: np.ndarray, m_z: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """Pixels outside and inside of {m_z <= value} by logit, (V, 2, B) int64."""
    if probability.shape != m_z.shape:
        raise SpinscopeError(
            f"probability {probability.shape} and m_z {m_z.shape} must be of one shape"
        )
    low, high = expit(_EDGES[0]), expit(_EDGES[-1])
    clipped = np.clip(probability.astype(np.float64), low, high)
    size = len(_EDGES) - 1
    bins = np.digitize(np.log(clipped / (1 - clipped)), _EDGES[1:-1])
    return np.stack(
        [
            np.bincount((bins + size * (m_z <= value)).ravel(), minlength=2 * size).reshape(2, size)
            for value in values
        ]
    )


def _mz_row(value: float, above: np.ndarray) -> dict[str, float]:
    """Row of `mz_levels` for a value, from the pixels (F, 2, B) at or above each lower edge."""
    true, predicted = above[:, 1, 0], above.sum(axis=1)
    if not 0 < true.sum() < predicted[:, 0].sum():
        raise SpinscopeError(f"films have no region and rest at m_z <= {value:g}")
    level = _crossing(predicted.sum(axis=0), true.sum())
    own = np.array([_crossing(*pair) for pair in zip(predicted, true, strict=True)])
    at = int(np.abs(_EDGES[:-1] - level).argmin())
    common, area = above[:, 1, at], predicted[:, at]
    seen = true > 0
    return {
        "m_z": float(value),
        "level": round(expit(level), 4),
        "sd_logits": round(float(np.sqrt(np.mean((own[seen] - level) ** 2))), 3),
        "iou": round(float(np.mean((common / np.maximum(area + true - common, 1))[seen])), 3),
        "area_sd": round(float(np.std(area[seen] / true[seen])), 3),
    }


def _crossing(area: np.ndarray, true: float) -> float:
    """Logit at which a falling area reaches the true one."""
    return float(np.interp(true, area[::-1], _EDGES[:-1][::-1]))
