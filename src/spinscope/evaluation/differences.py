"""Comparison of two masks of one image, object by object."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinscope.analysis import equivalent_diameter, label_objects
from spinscope.evaluation.objects import overlaps

BOTH, ONLY_A, ONLY_B = "both", "only A", "only B"


def object_differences(
    a: np.ndarray, b: np.ndarray, *, iou: float = 0.5, min_px: int = 1
) -> dict[str, np.ndarray]:
    """Pair the objects of two masks and list paired and unpaired ones.

    The largest overlaps are paired first.

    Parameters
    ----------
    a, b : (H, W) bool arrays
    iou : float, default 0.5
        Smallest intersection over union of a pair, in [0.5, 1].
    min_px : int, default 1
        Smaller objects, in pixels, are left out.

    Returns
    -------
    dict of arrays
        Columns of equal length: pairs first, then objects of A only, then of B only. `found`:
        "both", "only A" or "only B". `y_px`, `x_px`: centroid, that in A for a pair. `a_px`,
        `b_px`: equivalent diameter, NaN if missing. `iou`: that of the pair, or the largest of an
        unpaired object. `change_px`: `b_px` - `a_px`.

    Raises
    ------
    ValueError
        If `iou` is not in [0.5, 1] or the shapes differ.
    """
    if not 0.5 <= iou <= 1:
        raise ValueError(f"iou (={iou}) must lie in [0.5, 1]")
    if a.shape != b.shape:
        raise ValueError(f"masks {a.shape} and {b.shape} differ in shape")
    (numbers, areas), (others, other_areas) = (label_objects(mask, min_px) for mask in (a, b))
    i, j, ious = overlaps(numbers, areas, others, other_areas)

    best_a, best_b = np.zeros(len(areas)), np.zeros(len(other_areas))
    np.maximum.at(best_a, i, ious)
    np.maximum.at(best_b, j, ious)
    order = np.lexsort((j, i, -ious))
    order = order[ious[order] >= iou]
    pairs: list[tuple[int, int]] = []
    free_a, free_b = np.ones(len(areas), dtype=bool), np.ones(len(other_areas), dtype=bool)
    for k in order:
        if free_a[i[k]] and free_b[j[k]]:
            free_a[i[k]] = free_b[j[k]] = False
            pairs.append((i[k], j[k]))
    of_a, of_b = np.array(pairs, dtype=int).reshape(-1, 2).T
    only_a, only_b = np.flatnonzero(free_a), np.flatnonzero(free_b)

    a_px, b_px = equivalent_diameter(areas), equivalent_diameter(other_areas)
    missing = [np.full(len(side), np.nan) for side in (only_a, only_b)]
    in_a = np.concatenate([a_px[of_a], a_px[only_a], missing[1]])
    in_b = np.concatenate([b_px[of_b], missing[0], b_px[only_b]])
    places = [_centroids(numbers, len(areas)), _centroids(others, len(other_areas))]
    y_px, x_px = np.concatenate([places[0][of_a], places[0][only_a], places[1][only_b]]).T
    return {
        "found": np.repeat([BOTH, ONLY_A, ONLY_B], [len(of_a), len(only_a), len(only_b)]),
        "y_px": y_px,
        "x_px": x_px,
        "a_px": in_a,
        "b_px": in_b,
        "iou": np.concatenate([best_a[of_a], best_a[only_a], best_b[only_b]]),
        "change_px": in_b - in_a,
    }


def _centroids(numbers: np.ndarray, count: int) -> np.ndarray:
    """Mean row and column (count, 2) of the objects 1..count."""
    centroids = ndimage.center_of_mass(numbers > 0, numbers, np.arange(1, count + 1))
    return np.array(centroids, dtype=float).reshape(-1, 2)
