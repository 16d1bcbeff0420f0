"""Two masks of one frame, object by object: found in both, only in the first, only in the other."""

from __future__ import annotations

import numpy as np

from spinscope.analysis import equivalent_diameter, label_objects

BOTH, ONLY_A, ONLY_B = "both", "only A", "only B"


def object_differences(
    a: np.ndarray, b: np.ndarray, *, iou: float = 0.5, min_px: int = 1
) -> dict[str, np.ndarray]:
    """Objects of two (H, W) bool masks, paired one to one where they overlap enough.

    The best overlaps are paired first; a pair counts where its intersection over union is at
    least `iou`, as in `match_objects`.
    Returns columns of equal length, pairs first, then what only A and what only B holds:
    found ("both", "only A", "only B"); y_px, x_px: centroid, in A where A holds it;
    a_px, b_px: diameters of the discs of the same area, NaN where there is none;
    iou: of the pair, or the best one that an unpaired object has; change_px: b_px - a_px.
    Raises ValueError for an `iou` outside [0.5, 1] or masks of two shapes.
    """
    if not 0.5 <= iou <= 1:
        raise ValueError(f"iou (={iou}) must lie in [0.5, 1]")
    if a.shape != b.shape:
        raise ValueError(f"masks {a.shape} and {b.shape} differ in shape")
    (numbers, areas), (others, other_areas) = (label_objects(mask, min_px) for mask in (a, b))
    i, j, share = _overlaps(numbers, areas, others, other_areas)

    best_a, best_b = np.zeros(len(areas)), np.zeros(len(other_areas))
    np.maximum.at(best_a, i, share)
    np.maximum.at(best_b, j, share)
    order = np.lexsort((j, i, -share))
    order = order[share[order] >= iou]
    pairs: list[tuple[int, int]] = []
    free_a, free_b = np.ones(len(areas), dtype=bool), np.ones(len(other_areas), dtype=bool)
    for k in order:
        if free_a[i[k]] and free_b[j[k]]:
            free_a[i[k]] = free_b[j[k]] = False
            pairs.append((i[k], j[k]))
    of_a, of_b = np.array(pairs, dtype=int).reshape(-1, 2).T
    only_a, only_b = np.flatnonzero(free_a), np.flatnonzero(free_b)

    a_px, b_px = equivalent_diameter(areas), equivalent_diameter(other_areas)
    nothing = [np.full(len(side), np.nan) for side in (only_a, only_b)]
    in_a = np.concatenate([a_px[of_a], a_px[only_a], nothing[1]])
    in_b = np.concatenate([b_px[of_b], nothing[0], b_px[only_b]])
    places = [_centroids(numbers, len(areas)), _centroids(others, len(other_areas))]
    y_px, x_px = np.concatenate(
        [places[0][:, of_a], places[0][:, only_a], places[1][:, only_b]], axis=1
    )
    return {
        "found": np.repeat([BOTH, ONLY_A, ONLY_B], [len(of_a), len(only_a), len(only_b)]),
        "y_px": y_px,
        "x_px": x_px,
        "a_px": in_a,
        "b_px": in_b,
        "iou": np.concatenate([best_a[of_a], best_a[only_a], best_b[only_b]]),
        "change_px": in_b - in_a,
    }


def _overlaps(
    numbers: np.ndarray, areas: np.ndarray, others: np.ndarray, other_areas: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of objects of A and of B that share pixels, and their intersection over union."""
    shared = (numbers > 0) & (others > 0)
    width = len(other_areas) + 1
    codes, overlap = np.unique(
        numbers[shared].astype(np.int64) * width + others[shared], return_counts=True
    )
    i, j = codes // width - 1, codes % width - 1
    return i, j, overlap / (areas[i] + other_areas[j] - overlap)


def _centroids(numbers: np.ndarray, count: int) -> np.ndarray:
    """(2, count) mean row and column of the objects 1..count."""
    flat = numbers.ravel()
    pixels = np.bincount(flat, minlength=count + 1)[1 : count + 1]
    means = [
        np.bincount(flat, np.broadcast_to(places, numbers.shape).ravel(), count + 1)[1 : count + 1]
        for places in np.ogrid[tuple(map(slice, numbers.shape))]
    ]
    return np.stack(means) / np.maximum(pixels, 1)
