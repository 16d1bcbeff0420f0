"""Hide defects in labels, recover them from a network's probabilities, and score the recovery.

Labels are (H, W) uint8 class indices: 0 background, 1 skyrmion, 2 defect, 3 outside, 4 edge.

References
----------
Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024), labelled the defects of a few frames by
hand and those of the others by a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from spinscope.analysis import label_objects
from spinscope.classes import BACKGROUND, DEFECT, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import scores
from spinscope.evaluation.objects import match_objects

THRESHOLDS = tuple(float(t) for t in np.arange(0.2, 0.81, 0.05).round(2))
"""Thresholds that `best_threshold` tries."""

ON_SKYRMION = 0.5
"""Fraction of an object on skyrmions above which it counts as a skyrmion."""


def richest_sources(defects: Mapping[int, Sequence[int]], n: int) -> tuple[int, ...]:
    """Sources with the most defects per frame, which give many examples for little labelling.

    Parameters
    ----------
    defects : mapping
        Source → number of defects in each of its frames.
    n : int
        Number of sources.

    Returns
    -------
    tuple of int
        Sources in ascending order; of equals the lower number is chosen.

    Raises
    ------
    SpinscopeError
        If no source would be left over, or none of the chosen ones has a defect.
    """
    if not 0 < n < len(defects):
        raise SpinscopeError(
            f"relabelling.labelled_sources (={n}) must be 1 to {len(defects) - 1}: there are "
            f"{len(defects)} sources to train on, and one must be left to relabel"
        )
    order = sorted(defects, key=lambda source: (-float(np.mean(defects[source])), source))
    chosen = tuple(sorted(order[:n]))
    if not any(any(defects[source]) for source in chosen):
        raise SpinscopeError("no source to train on holds a defect, so there is nothing to learn")
    return chosen


def hide(label: np.ndarray) -> np.ndarray:
    """Label with its defects as background.

    Parameters
    ----------
    label : (H, W) array
        Label.

    Examples
    --------
    >>> hide(np.array([[0, 1, 2, 3, 4]], dtype=np.uint8))
    array([[0, 1, 0, 3, 4]], dtype=uint8)
    """
    return np.where(label == DEFECT, np.uint8(BACKGROUND), label)


def defects_of(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    r"""Pixels that are a defect, given that they are no skyrmion.

    .. math:: \frac{p_2}{p_0 + p_2} \ge t \quad\text{and}\quad p_2 > \min(p_0, p_1)

    The labelled skyrmions are known, so outside them the conditional probability counts. The second
    condition excludes pixels that the network assigns to a skyrmion with certainty, where the
    ratio is one of two small numbers.

    Parameters
    ----------
    probabilities : (H, W, 3) array
        Probabilities of background, skyrmion and defect.
    threshold : float
        Smallest conditional probability.

    Returns
    -------
    (H, W) bool array
        Defect pixels.
    """
    background, skyrmion, defect = (probabilities[..., k].astype(np.float32) for k in range(3))
    conditional = defect / np.maximum(background + defect, 1e-6)
    return (conditional >= threshold) & (defect > np.minimum(background, skyrmion))


def clean(
    found: np.ndarray, label: np.ndarray, *, min_px: int = 1, fill: bool = True
) -> np.ndarray:
    """Remove mistaken, labelled and small parts of detected defects.

    An 8-connected object with more than half of its area on labelled skyrmions is a mistaken
    skyrmion and is dropped. From the others the pixels of any labelled class but background are
    removed, holes are filled, and objects below `min_px` are dropped.

    Parameters
    ----------
    found : (H, W) bool array
        Detected defects.
    label : (H, W) array
        Label whose skyrmions, outside and edges were made by hand.
    min_px : int
        Smallest area in px.
    fill : bool
        Fill holes of background.

    Returns
    -------
    (H, W) bool array
        Defects that may enter the label.
    """
    numbers, areas = label_objects(found)
    on_skyrmion = np.bincount(numbers[label == SKYRMION], minlength=len(areas) + 1)[1:]
    keep = np.concatenate([[False], on_skyrmion <= ON_SKYRMION * areas])
    kept, free = keep[numbers], label == BACKGROUND
    if fill:
        kept = ndimage.binary_fill_holes(kept)
    return label_objects(kept & free, min_px)[0] > 0


def merge(label: np.ndarray, defects: np.ndarray) -> np.ndarray:
    """Label with `defects` (H, W) bool on its background; other labelled pixels are unchanged.

    Parameters
    ----------
    label : (H, W) array
        Label.
    defects : (H, W) bool array
        Defect pixels.
    """
    return np.where(defects & (label == BACKGROUND), np.uint8(DEFECT), label)


def relabelled(
    label: np.ndarray, probabilities: np.ndarray, *, threshold: float = 0.5, min_px: int = 1
) -> np.ndarray:
    """Label with hidden defects, completed from a network's probabilities (H, W, 3).

    Parameters
    ----------
    label : (H, W) array
        Label.
    probabilities : (H, W, 3) array
        Probabilities of background, skyrmion and defect.
    threshold : float
        Smallest conditional probability of a defect.
    min_px : int
        Smallest area of an object in px.
    """
    found = defects_of(probabilities, threshold)
    return merge(label, clean(found, label, min_px=min_px))


def recovery(
    true: np.ndarray, found: np.ndarray, skyrmions: np.ndarray | None = None, *, iou: float = 0.5
) -> dict[str, int]:
    """Counts of recovered defects in one frame, which can be summed over frames.

    Parameters
    ----------
    true, found : (H, W) bool array
        Labelled and detected defects.
    skyrmions : (H, W) bool array, optional
        Labelled skyrmions.
    iou : float
        Intersection over union of a matched pair.

    Returns
    -------
    dict
        `n_true`, `n_found`: 8-connected objects. `matched`: pairs at `iou`. `touched_true`,
        `touched_found`: objects that share a pixel with one of the other side, for in objects of
        a few pixels a shift of the outline by one pixel halves the overlap. `n_free`,
        `touched_free`: labelled ones that touch no skyrmion. `px_true`, `px_found`, `px_both`.
    """
    numbers, areas = label_objects(true)
    others, other_areas = label_objects(found)
    both = true & found
    free = np.ones(len(areas) + 1, dtype=bool)
    if skyrmions is not None:
        beside = ndimage.binary_dilation(skyrmions, np.ones((3, 3)))
        free[np.unique(numbers[beside & true])] = False
    touched = np.unique(numbers[both])
    return {
        "n_true": len(areas),
        "n_found": len(other_areas),
        "matched": match_objects(true, found, iou=iou).matched,
        "touched_true": len(touched),
        "touched_found": len(np.unique(others[both])),
        "n_free": int(free[1:].sum()),
        "touched_free": int(free[touched].sum()),
        "px_true": int(true.sum()),
        "px_found": int(found.sum()),
        "px_both": int(both.sum()),
    }


_COUNTS = ("n_true", "n_found", "matched", "touched_true", "touched_found", "n_free")
_COUNTS += ("touched_free", "px_true", "px_found", "px_both")


def precision_recall(rows: Iterable[Mapping[str, int]]) -> dict[str, int | float | None]:
    """Precision and recall over frames.

    Parameters
    ----------
    rows : iterable of dict
        Counts of each frame (`recovery`).

    Returns
    -------
    dict
        `precision`, `recall`: by objects that share a pixel; `recall_free`: of those that touch
        no skyrmion; `precision_iou`, `recall_iou`: by pairs at the IoU; `precision_px`,
        `recall_px`: by pixels. None where the denominator is 0. Also the summed counts and
        `n_images`.
    """
    rows = list(rows)
    total = {name: sum(row[name] for row in rows) for name in _COUNTS}

    def fraction(some: str, whole: str) -> float | None:
        return total[some] / total[whole] if total[whole] else None

    return {
        "precision": fraction("touched_found", "n_found"),
        "recall": fraction("touched_true", "n_true"),
        "recall_free": fraction("touched_free", "n_free"),
        "precision_iou": fraction("matched", "n_found"),
        "recall_iou": fraction("matched", "n_true"),
        "precision_px": fraction("px_both", "px_found"),
        "recall_px": fraction("px_both", "px_true"),
        **total,
        "n_images": len(rows),
    }


def best_threshold(
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    min_px: int = 1,
) -> float:
    r"""Threshold of `defects_of` with the best F1 of defect pixels on labelled frames.

    .. math:: F_1 = \frac{2\,|T \cap F|}{|T| + |F|}

    Parameters
    ----------
    frames : iterable of (label, probabilities)
        Label (H, W) and probabilities (H, W, 3).
    thresholds : sequence of float
        Candidates; of equals the one nearest to 0.5 is chosen.
    min_px : int
        Smallest area of a defect in px.

    Returns
    -------
    float
        The threshold.
    """
    both, either = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for label, probabilities in frames:
        true, hidden = label == DEFECT, hide(label)
        for k, threshold in enumerate(thresholds):
            found = clean(defects_of(probabilities, threshold), hidden, min_px=min_px)
            both[k] += np.count_nonzero(true & found)
            either[k] += np.count_nonzero(true) + np.count_nonzero(found)
    f1 = 2 * both / np.maximum(either, 1)
    return min(zip(thresholds, f1, strict=True), key=lambda t: (-t[1], abs(t[0] - 0.5)))[0]


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Mean and sample standard deviation of `values` - `reference`, paired by seed.

    Parameters
    ----------
    values : sequence of float
        Values.
    reference : sequence of float
        Values to subtract.

    Examples
    --------
    >>> paired_difference([0.5, 0.75], [0.25, 0.5])
    {'mean': 0.25, 'sd': 0.0}
    """
    differences = np.subtract(values, reference)
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else None
    return {"mean": float(differences.mean()), "sd": sd}


def defect_mcc(matrix: Sequence[Sequence[int]]) -> float:
    """Matthews correlation of defects against the rest.

    Parameters
    ----------
    matrix : (C, C) sequence of int
        Confusion matrix of the pixels; rows are true classes.

    Examples
    --------
    >>> defect_mcc([[90, 0, 0], [0, 5, 0], [0, 0, 5]])
    1.0
    """
    counts = np.asarray(matrix)
    both = int(counts[DEFECT, DEFECT])
    missed, extra = int(counts[DEFECT].sum()) - both, int(counts[:, DEFECT].sum()) - both
    neither = int(counts.sum()) - both - missed - extra
    return scores(np.array([[neither, extra], [missed, both]]))["mcc"]
