"""Agreement of a mask with its label at every level of the probability, from one histogram.

Also the levels of regions {m_z <= value} of films.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spinscope.analysis import equivalent_diameter, label_objects
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import scores
from spinscope.inference.level import logit

BINS = 100
"""Levels are read in steps of 1 / BINS."""

MZ = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99)
"""Values of m_z whose levels are found."""

_MIN_PX = 10
"""Smallest object whose diameter counts."""


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
        frames of the deviation of their own levels, in logits. Means over frames at `level`:
        `iou`, the intersection over union; `area` and `diameter`, the predicted over the true area
        and mean diameter of the objects, with their standard deviations `area_sd` and
        `diameter_sd`.

    Raises
    ------
    SpinscopeError
        Without a frame, and for a value that no frame or every pixel reaches.
    """
    frames = [(np.asarray(p, dtype=np.float32), m_z) for p, m_z in frames]
    if not frames:
        raise SpinscopeError("levels of m_z need at least one film")
    for probability, m_z in frames:
        if probability.shape != m_z.shape:
            raise SpinscopeError(
                f"probability {probability.shape} and m_z {m_z.shape} must be of one shape"
            )
    rising = [np.sort(probability, axis=None) for probability, _ in frames]
    together = np.sort(np.concatenate(rising))
    return [_mz_row(value, frames, rising, together) for value in values]


def _mz_row(
    value: float,
    frames: list[tuple[np.ndarray, np.ndarray]],
    rising: list[np.ndarray],
    together: np.ndarray,
) -> dict[str, float]:
    """Row of `mz_levels` for a value, from the frames and their ordered probabilities."""
    pixels = [int(np.count_nonzero(m_z <= value)) for _, m_z in frames]
    if not 0 < sum(pixels) < len(together):
        raise SpinscopeError(f"films have no region and rest at m_z <= {value:g}")
    level, deviations, found = float(together[-sum(pixels)]), [], []
    for (probability, m_z), ordered, n in zip(frames, rising, pixels, strict=True):
        if not n:
            continue
        deviations.append(_finite_logit(ordered[-n]) - _finite_logit(level))
        mask, true = probability >= level, m_z <= value
        both = int(np.count_nonzero(mask & true))
        area = int(np.count_nonzero(mask))
        found.append([both / (area + n - both), area / n, _diameter(mask) / _diameter(true)])
    (iou, area, diameter), (_, area_sd, diameter_sd) = (
        of(found, axis=0) for of in (np.nanmean, np.nanstd)
    )
    return {
        "m_z": float(value),
        "level": round(level, 4),
        "sd_logits": round(float(np.sqrt(np.mean(np.square(deviations)))), 3),
        "iou": round(float(iou), 3),
        "area": round(float(area), 3),
        "area_sd": round(float(area_sd), 3),
        "diameter": round(float(diameter), 3),
        "diameter_sd": round(float(diameter_sd), 3),
    }


def _diameter(mask: np.ndarray) -> float:
    """Mean diameter of the objects of a mask in px, NaN without one."""
    areas = label_objects(mask, _MIN_PX)[1]
    return float(equivalent_diameter(areas).mean()) if len(areas) else float("nan")


def _finite_logit(probability: float) -> float:
    """Logit, finite for probabilities of 0 and 1."""
    return logit(min(max(float(probability), 1e-6), 1 - 1e-6))
