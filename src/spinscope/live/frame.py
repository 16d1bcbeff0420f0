"""One frame: segmented, labelled and measured."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spinscope.analysis import frame_quantities, measure, measure_views
from spinscope.classes import SKYRMION
from spinscope.inference.predict import Predictor, doubtful, mean_of

Objects = dict[str, np.ndarray]

_GREY = ("intensity", "intensity_sd", "contrast", "contrast_sd")
"""Quantities in units of the pixels."""


@dataclass(frozen=True)
class Measured:
    """What is known of a frame.

    mask : (H, W) uint8 class index.   objects : quantity → one value an object.
    row : quantity → value of the frame.   seconds : stage → time it took.
    """

    index: int
    mask: np.ndarray
    objects: Objects
    row: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


def measure_frame(
    raw: np.ndarray,
    predictors: Sequence[Predictor],
    *,
    index: int = 0,
    scale: float = 1.0,
    tta: int = 1,
    min_px: int = 1,
) -> Measured:
    """Segment a frame with one network or with several (an ensemble), and measure its skyrmions.

    raw : (H, W) pixels of any type.   scale : a pixel's value over it is in [0, 1].
    Where there is more than one opinion (predictors times views), the mask is that of the mean
    probability, and each quantity gets the standard deviation over the opinions as `_sd`. Frames
    that are computed in tiles get none.
    """
    started = time.perf_counter()
    mask, doubt, opinions = _segment(raw, predictors, tta)
    segmented = time.perf_counter()
    skyrmions = mask == SKYRMION
    if opinions:
        views = (opinion == SKYRMION for opinion in opinions)
        objects, row = measure_views(skyrmions, views, raw, min_px=min_px)
    else:
        objects = measure(skyrmions, raw, min_px=min_px)
        row = frame_quantities(objects, mask.shape)
    objects |= {key: objects[key] / scale for key in _GREY if key in objects}
    row["uncertainty"] = doubt
    ended = time.perf_counter()
    seconds = {"segment": segmented - started, "measure": ended - segmented}
    return Measured(index, mask, objects, row, seconds)


def _segment(
    raw: np.ndarray, predictors: Sequence[Predictor], tta: int
) -> tuple[np.ndarray, float, list[np.ndarray]]:
    """Mask, share of doubtful pixels, and the masks of the single opinions."""
    first = predictors[0]
    if first.tiling.fits(raw.shape):
        views = [view for predictor in predictors for view in predictor.views(raw, tta)]
        mask, highest = first.decide(mean_of(views), raw.shape)
        opinions = [first.decide(view, raw.shape)[0] for view in views] if len(views) > 1 else []
        return mask, doubtful(highest), opinions
    mask, doubt = np.empty(raw.shape, dtype=np.uint8), 0.0
    grid = math.lcm(*(predictor.info["size_multiple"] for predictor in predictors))
    together = zip(*(predictor.bands(raw, tta, grid) for predictor in predictors), strict=True)
    for bands in together:
        rows = bands[0][0]
        mask[rows], highest = first.decide(mean_of([band for _, band in bands]), raw.shape)
        doubt += doubtful(highest) * highest.size / mask.size
        del bands  # before the next are made
    return mask, doubt, []
