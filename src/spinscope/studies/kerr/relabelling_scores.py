"""Defects that are hidden from labels, taken over from a network, and held against the truth.

Labels are (H, W) uint8 class indices: 0 background, 1 skyrmion, 2 defect, 3 outside, 4 edge.
Source of the idea: Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024), who labelled the
defects of a few frames by hand and had a network label those of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spinscope.analysis import label_objects
from spinscope.classes import BACKGROUND, DEFECT, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import scores
from spinscope.evaluation.objects import match_objects

THRESHOLDS = tuple(float(t) for t in np.arange(0.2, 0.81, 0.05).round(2))
"""Probabilities from which a pixel may be called a defect (`best_threshold`)."""

ON_SKYRMION = 0.5
"""A found object with more than this share of its pixels on skyrmions is a skyrmion."""


def richest_sources(defects: Mapping[int, Sequence[int]], n: int) -> tuple[int, ...]:
    """The `n` sources with the most defects a frame, sorted; of equals the lower number.

    defects : source → number of defects in each of its frames.
    It is what somebody would label by hand who wants many examples for little work: a video of
    ten frames that show the same few defects costs ten times the work of one frame.
    Raises SpinscopeError unless at least one source holds a defect and one is left over.
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
    """The label with its defects as background.

    >>> hide(np.array([[0, 1, 2, 3, 4]], dtype=np.uint8))
    array([[0, 1, 0, 3, 4]], dtype=uint8)
    """
    return np.where(label == DEFECT, np.uint8(BACKGROUND), label)


def defects_of(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    r"""Pixels that are a defect if they are no skyrmion, (H, W) bool.

    .. math:: \frac{p_2}{p_0 + p_2} \ge t \quad\text{and}\quad p_2 > \min(p_0, p_1)

    probabilities : (H, W, 3) of background, skyrmion and defect. The labelled skyrmions are known,
    so what counts outside them is the probability given that it is none; the second part keeps a
    pixel out that the network is sure is a skyrmion, where the ratio is one of two small numbers.
    """
    background, skyrmion, defect = (probabilities[..., k].astype(np.float32) for k in range(3))
    share = defect / np.maximum(background + defect, 1e-6)
    return (share >= threshold) & (defect > np.minimum(background, skyrmion))


def clean(
    found: np.ndarray, label: np.ndarray, *, min_px: int = 1, fill: bool = True
) -> np.ndarray:
    """Found defects as they may enter a label, (H, W) bool.

    found : (H, W) bool.   label : (H, W), its skyrmions, outside and edges labelled by hand.
    An 8-connected object of which more than half lies on labelled skyrmions is a skyrmion that
    the network mistook, and is dropped whole. Of the others the pixels that a hand gave any class
    but background are taken away (a true defect often touches a skyrmion, so an object that only
    touches one is kept), holes of background within them are filled (`fill`), and what is left of
    fewer than `min_px` pixels is dropped.
    """
    from scipy import ndimage

    numbers, areas = label_objects(found)
    on_skyrmion = np.bincount(numbers[label == SKYRMION], minlength=len(areas) + 1)[1:]
    keep = np.concatenate([[False], on_skyrmion <= ON_SKYRMION * areas])
    kept, free = keep[numbers], label == BACKGROUND
    if fill:
        kept = ndimage.binary_fill_holes(kept)
    return label_objects(kept & free, min_px)[0] > 0


def merge(label: np.ndarray, defects: np.ndarray) -> np.ndarray:
    """The label with `defects` (H, W) bool on its background; what a hand labelled stays."""
    return np.where(defects & (label == BACKGROUND), np.uint8(DEFECT), label)


def relabelled(
    label: np.ndarray, probabilities: np.ndarray, *, threshold: float = 0.5, min_px: int = 1
) -> np.ndarray:
    """The label with hidden defects, completed by what a network found: clean, then merge."""
    found = defects_of(probabilities, threshold)
    return merge(label, clean(found, label, min_px=min_px))


def recovery(
    true: np.ndarray, found: np.ndarray, skyrmions: np.ndarray | None = None, *, iou: float = 0.5
) -> dict[str, int]:
    """Counts that tell how well the defects of one frame were recovered; they add over frames.

    true, found, skyrmions : (H, W) bool.
    n_true, n_found : 8-connected objects.   matched : pairs at `iou`.   touched_true,
    touched_found : objects that share a pixel with one of the other side; for objects of a few
    pixels an outline that is off by one costs half of the overlap.   n_free, touched_free : of
    the true ones those that lie beside no pixel of `skyrmions`.   px_true, px_found, px_both.
    """
    from scipy import ndimage

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
    """Precision and recall over frames, from their `recovery`.

    precision, recall : by objects that share a pixel;   recall_free : of those that touch no
    skyrmion;   precision_iou, recall_iou : by pairs at the IoU;   precision_px, recall_px : by
    pixels; None where there is nothing to divide by.
    Returns them with the sums of the counts and `n_images`.
    """
    rows = list(rows)
    total = {name: sum(row[name] for row in rows) for name in _COUNTS}

    def part(of: str, whole: str) -> float | None:
        return total[of] / total[whole] if total[whole] else None

    return {
        "precision": part("touched_found", "n_found"),
        "recall": part("touched_true", "n_true"),
        "recall_free": part("touched_free", "n_free"),
        "precision_iou": part("matched", "n_found"),
        "recall_iou": part("matched", "n_true"),
        "precision_px": part("px_both", "px_found"),
        "recall_px": part("px_both", "px_true"),
        **total,
        "n_images": len(rows),
    }


def best_threshold(
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    min_px: int = 1,
) -> float:
    r"""The threshold of `defects_of` with the best F1 of defect pixels on hand-labelled frames.

    frames : (label (H, W), probabilities (H, W, 3)).

    .. math:: F_1 = \frac{2\,|T \cap F|}{|T| + |F|}

    Of equals the one nearest to one half.
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
    """Mean and sample standard deviation of `values` - `reference`, seed by seed.

    >>> paired_difference([0.5, 0.75], [0.25, 0.5])
    {'mean': 0.25, 'sd': 0.0}
    """
    differences = np.subtract(values, reference)
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return {"mean": float(differences.mean()), "sd": sd}


def defect_mcc(matrix: Sequence[Sequence[int]]) -> float:
    """Matthews correlation of defect against the rest, from the pixels' confusion matrix.

    matrix : (C, C), row: true class. As `metrics.scores`, which is of skyrmions.

    >>> defect_mcc([[90, 0, 0], [0, 5, 0], [0, 0, 5]])
    1.0
    """
    counts = np.asarray(matrix)
    both = int(counts[DEFECT, DEFECT])
    missed, extra = int(counts[DEFECT].sum()) - both, int(counts[:, DEFECT].sum()) - both
    neither = int(counts.sum()) - both - missed - extra
    return scores(np.array([[neither, extra], [missed, both]]))["mcc"]
