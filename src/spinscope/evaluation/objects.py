"""Matching of labelled and predicted objects, and their size distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from spinscope.analysis import equivalent_diameter, label_objects, shared_pixels


@dataclass(frozen=True)
class ObjectMatch:
    """Diameters in px of labelled and predicted objects, and the number of matches."""

    true_px: np.ndarray
    predicted_px: np.ndarray
    matched: int

    @property
    def precision(self) -> float | None:
        """Matched over predicted objects; None without predicted objects."""
        return self.matched / len(self.predicted_px) if len(self.predicted_px) else None

    @property
    def recall(self) -> float | None:
        """Matched over labelled objects; None without labelled objects."""
        return self.matched / len(self.true_px) if len(self.true_px) else None


def match_objects(
    label: np.ndarray, predicted: np.ndarray, *, iou: float = 0.5, min_px: int = 1
) -> ObjectMatch:
    """Match the objects of two masks one to one by intersection over union (IoU).

    An object has at most one partner of an IoU above one half, so that no assignment problem has
    to be solved.

    Parameters
    ----------
    label, predicted : (H, W) bool arrays
    iou : float, default 0.5
        Smallest IoU of a match, in [0.5, 1].
    min_px : int, default 1
        Smaller objects, in pixels, are left out.

    Raises
    ------
    ValueError
        If `iou` is not in [0.5, 1].
    """
    if not 0.5 <= iou <= 1:
        raise ValueError(f"iou (={iou}) must lie in [0.5, 1]")
    numbers, areas = label_objects(label, min_px)
    others, other_areas = label_objects(predicted, min_px)
    true_px, predicted_px = equivalent_diameter(areas), equivalent_diameter(other_areas)
    i, j, ious = overlaps(numbers, areas, others, other_areas)
    good = ious >= iou
    matched = min(len(np.unique(i[good])), len(np.unique(j[good])))
    return ObjectMatch(true_px, predicted_px, matched)


def overlaps(
    a: np.ndarray, a_areas: np.ndarray, b: np.ndarray, b_areas: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of objects of two masks that share pixels.

    Parameters
    ----------
    a, b : (H, W) integer arrays
        Number of the object of each pixel, from 1; 0 for background.
    a_areas, b_areas : arrays
        Area of each object in pixels.

    Returns
    -------
    (i, j, iou) : arrays
        Indices of the objects of `a` and `b`, from 0, and their intersection over union.
    """
    i, j, counts = shared_pixels(a, b)
    return i, j, counts / (a_areas[i] + b_areas[j] - counts)


def size_distance(true_px: np.ndarray, predicted_px: np.ndarray) -> float | None:
    """Wasserstein distance of two sets of diameters, in px; None if one is empty."""
    if not len(true_px) or not len(predicted_px):
        return None
    return float(wasserstein_distance(true_px, predicted_px))


def size_histogram(
    names: list[str], true_px: list[np.ndarray], predicted_px: list[np.ndarray], bins: int = 32
) -> dict:
    """Histogram of diameters: each image normalised to one, then averaged over the images.

    Parameters
    ----------
    names : list of str
        Names of the images.
    true_px, predicted_px : lists of arrays
        Diameters in px of the labelled and predicted objects, one array per image.
    bins : int, default 32

    Returns
    -------
    dict
        `edges_px` (bins + 1); `true` and `predicted` (bins), the probability of each bin over the
        images that contain objects; `per_image`, {name, true, predicted} with the number of
        objects in each bin.
    """
    every = np.concatenate([*true_px, *predicted_px, np.zeros(1)])
    edges = np.linspace(0, max(float(every.max()), 1.0) * 1.0001, bins + 1)

    def counts(images: list[np.ndarray]) -> list[np.ndarray]:
        return [np.histogram(px, edges)[0] for px in images]

    def mean(images: list[np.ndarray]) -> list[float]:
        fractions = [image / image.sum() for image in images if image.any()]
        return (np.mean(fractions, axis=0) if fractions else np.zeros(bins)).tolist()

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
