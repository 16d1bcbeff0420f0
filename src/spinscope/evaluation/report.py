"""Report of a segmentation model on a dataset: one row per image and pooled numbers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.config import Evaluation
from spinscope.datasets import Dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation.calibration import calibration
from spinscope.evaluation.levels import BINS, best_level, level_counts, matrix_at_level
from spinscope.evaluation.metrics import confusion, scores, skyrmion_counts
from spinscope.evaluation.objects import match_objects, size_distance, size_histogram
from spinscope.images import to_scheme
from spinscope.inference.level import with_peaks
from spinscope.progress import Progress, no_progress

PIXELS = ("true_positive_px", "false_positive_px", "false_negative_px", "true_negative_px")
"""Columns of a row per image: pixels of skyrmion against the rest."""


Prediction = np.ndarray | tuple[np.ndarray, np.ndarray]
"""Mask (H, W), or mask and probability of skyrmion (H, W)."""


def evaluate(
    predict: Callable[[np.ndarray], Prediction],
    dataset: Dataset,
    classes: Sequence[str],
    settings: Evaluation,
    *,
    min_peak_probability: float | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Evaluate a segmentation on every frame of a dataset.

    Parameters
    ----------
    predict : callable
        Image (H, W) in [0, 1] → mask (H, W), or mask and probability of skyrmion (H, W).
    dataset : Dataset
    classes : sequence of str
        Names of the classes of a mask.
    settings : Evaluation
    min_peak_probability : float, optional
        Objects without a pixel of this probability count at no level.
    progress : callable, optional

    Returns
    -------
    dict
        A report that JSON can hold. `mcc`, `accuracy`, `f1`, `jaccard`: skyrmion against the rest,
        over all pixels. `mcc_per_image`: {mean, sd}. `confusion`: counts, rows true classes.
        `objects`: {true, predicted, matched, precision, recall} at an IoU of at least
        `settings.iou`. `size`: {wasserstein_px, edges_px, true, predicted, per_image}, see
        `size_histogram`. `n_images`, `frame_ms` (median time of a frame), `classes`, and
        `per_image` with one row per image. With probabilities also `mcc_best_level`: MCC with the
        boundary of each source at the level that agrees best with its labels, which a fit to the
        same labels cannot fall short of; and `levels`: {level, mcc} of the best level for all
        sources, and `per_source` rows {source, level, mcc, mcc_best_level}; and `calibration`, see
        `spinscope.evaluation.calibration.calibration`.

    Raises
    ------
    SpinscopeError
        If a label and its image differ in size.
    """
    total = np.zeros((len(classes), len(classes)), dtype=np.int64)
    rows, true_px, predicted_px = [], [], []
    levels: dict[int, np.ndarray] = {}
    for record, image, label in progress(dataset, total=len(dataset), desc="evaluate"):
        if label.shape != image.shape:
            raise SpinscopeError(
                f"{dataset.path}: frame {record.name} is {image.shape[1]}x{image.shape[0]} pixels, "
                f"its label {label.shape[1]}x{label.shape[0]}; they must be of one size"
            )
        truth = to_scheme(label, len(classes))
        started = time.perf_counter()
        found = predict(image)
        elapsed = time.perf_counter() - started
        mask, probability = found if isinstance(found, tuple) else (found, None)
        if probability is not None:
            if min_peak_probability:
                probability = with_peaks(probability, min_peak_probability)
            counts = levels.setdefault(record.source, np.zeros((2, BINS), dtype=np.int64))
            counts += level_counts(probability, truth == SKYRMION)
        matrix = confusion(truth, mask, len(classes))
        total += matrix
        match = match_objects(
            truth == SKYRMION, mask == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
        )
        true_px.append(match.true_px)
        predicted_px.append(match.predicted_px)
        rows.append(
            {
                "name": record.name,
                "source": record.source,
                **scores(matrix),
                **dict(zip(PIXELS, skyrmion_counts(matrix), strict=True)),
                "objects_true": len(match.true_px),
                "objects_predicted": len(match.predicted_px),
                "objects_matched": match.matched,
                "wasserstein_px": size_distance(match.true_px, match.predicted_px),
                "frame_ms": 1e3 * elapsed,
            }
        )
    per_image = [row["mcc"] for row in rows]
    n_true, n_predicted, n_matched = (
        sum(row[f"objects_{kind}"] for row in rows) for kind in ("true", "predicted", "matched")
    )
    return {
        **scores(total),
        "mcc_per_image": {"mean": statistics.fmean(per_image), "sd": spread(per_image)},
        "n_images": len(rows),
        "objects": {
            "true": n_true,
            "predicted": n_predicted,
            "matched": n_matched,
            "precision": n_matched / n_predicted if n_predicted else None,
            "recall": n_matched / n_true if n_true else None,
        },
        "size": {
            "wasserstein_px": size_distance(np.concatenate(true_px), np.concatenate(predicted_px)),
            **size_histogram(
                [row["name"] for row in rows], true_px, predicted_px, settings.size_bins
            ),
        },
        "frame_ms": statistics.median(row["frame_ms"] for row in rows),
        "classes": list(classes),
        "confusion": total.tolist(),
        **(_levels(levels, rows) if levels else {}),
        "per_image": rows,
    }


def _levels(counts: Mapping[int, np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Best level of each source and of all of them, and the scores there."""
    total, per_source = np.zeros((2, 2), dtype=np.int64), []
    for source in sorted(counts):
        level, score = best_level(counts[source])
        at_best = matrix_at_level(counts[source], level)
        default = np.zeros((2, 2), dtype=np.int64)
        for row in rows:
            if row["source"] == source:
                tp, fp, fn, tn = (row[name] for name in PIXELS)
                default += [[tn, fp], [fn, tp]]
        mcc = scores(default)["mcc"]
        total += at_best if score > mcc else default
        per_source.append(
            {"source": source, "level": level, "mcc": mcc, "mcc_best_level": max(score, mcc)}
        )
    level, score = best_level(sum(counts.values()))
    return {
        "mcc_best_level": scores(total)["mcc"],
        "levels": {"level": level, "mcc": score, "per_source": per_source},
        "calibration": calibration(counts),
    }


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for a single value, whose spread is unknown."""
    return statistics.stdev(values) if len(values) > 1 else None


def seen_text(report: Mapping[str, Any]) -> str:
    """Sentence about the frames of a report that the model was trained on.

    >>> seen_text({"seen_in_training": 3, "n_images": 15})
    'seen in training: 3 of 15'
    """
    seen, n = report.get("seen_in_training"), report["n_images"]
    if seen is None:
        return "seen in training: unknown, the model folder lists no training frames"
    return f"seen in training: {seen} of {n}"
