"""Agreement of masks with labels at several boundaries, and whether stated uncertainties hold.

`bundled:moke-unet-simulated`, which is trained on simulated frames only, segments the published
Kerr frames. `level.mcc_*`: MCC, mean over the sources, at the best level of each source, at half
contrast, and at the level that is fitted to the first frame of a source and scored on its others;
the peer is the most probable class on the same frames. `level.error_px*`: root mean square error of
the mean diameter of a source, of the most probable class on all sources, and at fitted levels; the
peer of the latter is the most probable class on the same sources. `within` gives the fractions of
the sources within 1 and 1.64 stated standard deviations, in mean diameter and area fraction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from _rows import row
from spinscope.analysis.shapes import measure
from spinscope.classes import SKYRMION
from spinscope.config import bundled_models, moke_path
from spinscope.datasets import open_dataset
from spinscope.evaluation.levels import best_level, level_counts, matrix_at_level
from spinscope.evaluation.metrics import confusion, scores
from spinscope.inference.level import (
    FITTED_SD,
    LEVEL_SD,
    expit,
    half_contrast_level,
    logit,
    with_peaks,
)
from spinscope.inference.predict import Predictor

MIN_PX, HALF_FRAMES = 4, 4


class Frame(NamedTuple):
    """Image, label, mask of the most probable class, and probability after the peak rule."""

    image: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    probability: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Pixels by probability, outside and inside of the label."""
        return level_counts(self.probability, self.label)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    sources = segmented()
    several = [frames for frames in sources if len(frames) > 1]
    best = [best_level(pooled(frames))[1] for frames in sources]
    fitted = [best_level(frames[0].counts)[0] for frames in several]
    others = [frames[1:] for frames in several]
    plain = np.mean([plain_mcc(frames) for frames in sources])
    plain_others = np.mean([plain_mcc(frames) for frames in others])
    at_fitted = [mcc_at(*pair) for pair in zip(others, fitted, strict=True)]
    at_half = [mcc_at(frames, half(frames)) for frames in sources]
    all_plain = [errors(frames, None) for frames in sources]
    some_plain = [errors(frames, None) for frames in others]
    some_fitted = [errors(*pair) for pair in zip(others, fitted, strict=True)]
    return {
        "level.mcc_best": row(np.mean(best), "MCC", plain, sources=len(sources)),
        "level.mcc_half": row(np.mean(at_half), "MCC", plain, sources=len(sources)),
        "level.mcc_fitted": row(np.mean(at_fitted), "MCC", plain_others, sources=len(others)),
        "level.error_px": error_row(all_plain, all_plain),
        "level.error_px_fitted": error_row(some_fitted, some_plain),
    }


def segmented() -> list[list[Frame]]:
    """Frames of each source of the published dataset."""
    predictor = Predictor.load(bundled_models() / "moke-unet-simulated", "auto")
    rule, sources = predictor.info["min_peak_probability"], defaultdict(list)
    for record, image, label in open_dataset(moke_path()):
        mask, probability = predictor.mask_and_probability(image)
        frame = Frame(image, label == SKYRMION, mask == SKYRMION, with_peaks(probability, rule))
        sources[record.source].append(frame)
    return list(sources.values())


def pooled(frames: list[Frame]) -> np.ndarray:
    """Counts of all frames."""
    return np.sum([frame.counts for frame in frames], axis=0)


def plain_mcc(frames: list[Frame]) -> float:
    """MCC of the most probable class."""
    return scores(sum(confusion(frame.label, frame.mask, 2) for frame in frames))["mcc"]


def mcc_at(frames: list[Frame], level: float | None) -> float:
    """MCC at a level, or of the most probable class without one."""
    if level is None:
        return plain_mcc(frames)
    return scores(matrix_at_level(pooled(frames), round(level, 2)))["mcc"]


def half(frames: list[Frame]) -> float | None:
    """Level of half contrast of a source."""
    return half_contrast_level((one.image, one.probability) for one in frames[:HALF_FRAMES])


def errors(frames: list[Frame], level: float | None) -> dict[str, float]:
    """Errors of mean diameter and area fraction, and their stated standard deviations."""
    found: dict[str, list[float]] = defaultdict(list)
    higher = expit(LEVEL_SD) if level is None else expit(logit(level) + FITTED_SD)
    for frame in frames:
        mask = frame.mask if level is None else frame.probability >= level
        rim = mask & (frame.probability < higher)
        objects, true = measure(mask, min_px=MIN_PX, rim=rim), measure(frame.label, min_px=MIN_PX)
        found["error"].append(objects["diameter_px"].mean() - true["diameter_px"].mean())
        found["sd"].append(objects["diameter_px_sd_boundary"].mean())
        found["area_error"].append(mask.mean() - frame.label.mean())
        found["area_sd"].append(rim.mean())
    return {key: float(np.mean(values)) for key, values in found.items()}


def error_row(found: list[dict[str, float]], plain: list[dict[str, float]]) -> dict[str, Any]:
    """Row of the root mean square error, with the fractions within the stated uncertainty."""
    within = {
        key: [
            round(float(np.mean([abs(one[error]) < k * one[sd] for one in found])), 3)
            for k in (1, 1.64)
        ]
        for key, error, sd in (("diameter", "error", "sd"), ("area", "area_error", "area_sd"))
    }
    value, peer = (np.sqrt(np.mean([one["error"] ** 2 for one in rows])) for rows in (found, plain))
    return row(value, "px", peer, peer / value, within=within, sources=len(found))


if __name__ == "__main__":
    print(json.dumps(main()))
