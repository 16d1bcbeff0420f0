"""Objects found, missed and made up, and how their sizes are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from spinscope.analysis import equivalent_diameter, label_objects


@dataclass(frozen=True)
class ObjectMatch:
    """Diameters (px) of the labelled and of the predicted objects, and how many agree."""

    true_px: np.ndarray
    predicted_px: np.ndarray
    matched: int

    @property
    def precision(self) -> float | None:
        """Matched over predicted objects; None without any."""
        return self.matched / len(self.predicted_px) if len(self.predicted_px) else None

    @property
    def recall(self) -> float | None:
        """Matched over labelled objects; None without any."""
        return self.matched / len(self.true_px) if len(self.true_px) else None


def match_objects(
    label: np.ndarray, predicted: np.ndarray, *, iou: float = 0.5, min_px: int = 1
) -> ObjectMatch:
    """Match the objects of two (H, W) bool masks one to one by intersection over union.

    A pair counts where its IoU exceeds `iou`, or equals it and is the object's best. From one
    half on an object can have one such partner only, so no assignment problem is left.
    Raises ValueError for an `iou` below one half.
    """
    if not 0.5 <= iou <= 1:
        raise ValueError(f"iou (={iou}) must lie in [0.5, 1]")
    numbers, areas = label_objects(label, min_px)
    found, found_areas = label_objects(predicted, min_px)
    true_px, predicted_px = equivalent_diameter(areas), equivalent_diameter(found_areas)
    shared = (numbers > 0) & (found > 0)
    codes, overlap = np.unique(
        numbers[shared].astype(np.int64) * (len(found_areas) + 1) + found[shared],
        return_counts=True,
    )
    i, j = codes // (len(found_areas) + 1) - 1, codes % (len(found_areas) + 1) - 1
    good = overlap / (areas[i] + found_areas[j] - overlap) >= iou
    matched = min(len(np.unique(i[good])), len(np.unique(j[good])))
    return ObjectMatch(true_px, predicted_px, matched)


def size_distance(true_px: np.ndarray, predicted_px: np.ndarray) -> float | None:
    """Wasserstein distance of two sets of diameters, in px; None where one is empty."""
    if not len(true_px) or not len(predicted_px):
        return None
    return float(wasserstein_distance(true_px, predicted_px))


def size_histogram(
    names: list[str], true_px: list[np.ndarray], predicted_px: list[np.ndarray], bins: int = 32
) -> dict:
    """Diameters of all images on common bins, each image normalised to one, then averaged.

    Returns edges_px (bins + 1), true and predicted (bins): probability a bin; images without an
    object are left out. `per_image` holds {name, true, predicted} of every image: objects a bin.
    """
    every = np.concatenate([*true_px, *predicted_px, np.zeros(1)])
    edges = np.linspace(0, max(float(every.max()), 1.0) * 1.0001, bins + 1)

    def counts(images: list[np.ndarray]) -> list[np.ndarray]:
        return [np.histogram(px, edges)[0] for px in images]

    def mean(images: list[np.ndarray]) -> list[float]:
        shares = [image / image.sum() for image in images if image.any()]
        return (np.mean(shares, axis=0) if shares else np.zeros(bins)).tolist()

    true, predicted = counts(true_px), counts(predicted_px)
    return {
        "edges_px": edges.tolist(),
        "true": mean(true),
        "predicted": mean(predicted),
        "per_image": [
            {"name": name, "true": a.tolist(), "predicted": b.tolist()}
            for name, a, b in zip(names, true, predicted, strict=True)
        ],
    }
