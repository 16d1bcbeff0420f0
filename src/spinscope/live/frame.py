"""Segment and measure one frame."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from spinscope.analysis import frame_quantities, measure, measure_views
from spinscope.classes import SKYRMION
from spinscope.inference.predict import Predictor

_GREY = ("intensity", "intensity_sd_views", "contrast", "contrast_sd_views")
"""Quantities in units of the pixels."""


@dataclass(frozen=True)
class MeasuredFrame:
    """Mask and measurements of a frame.

    Attributes
    ----------
    index : int
        Number of the frame.
    mask : (H, W) uint8 array
        Class indices.
    objects : dict of (n,) arrays
        Quantities of the skyrmions.
    row : dict of float
        Quantities of the frame.
    seconds : dict of float
        Time of each stage.
    """

    index: int
    mask: np.ndarray
    objects: dict[str, np.ndarray]
    row: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


def measure_frame(
    raw: np.ndarray,
    predictor: Predictor,
    *,
    index: int = 0,
    scale: float = 1.0,
    tta: int = 1,
    min_px: int = 1,
) -> MeasuredFrame:
    """Segment a frame with a network or an ensemble, and measure its skyrmions.

    Parameters
    ----------
    raw : (H, W) array
        Pixels of any type.
    predictor : Predictor or Ensemble
        Model. Where it averages several views, each quantity gets its standard deviation over
        the views as `<quantity>_sd_views`; frames computed in tiles get none.
    index : int
        Number of the frame.
    scale : float
        Pixel value of white; intensities are divided by it.
    tta : {1, 2, 3, 8}
        Number of augmented views.
    min_px : int
        Objects of fewer pixels are left out.

    Returns
    -------
    MeasuredFrame
        Mask, measurements and times.
    """
    started = time.perf_counter()
    mask, doubt, view_masks, rim = predictor.segment_views(raw, tta)
    segmented = time.perf_counter()
    skyrmions = mask == SKYRMION
    if view_masks:
        views = (view_mask == SKYRMION for view_mask in view_masks)
        objects, row = measure_views(skyrmions, views, raw, min_px=min_px, rim=rim)
    else:
        objects = measure(skyrmions, raw, min_px=min_px, rim=rim)
        row = frame_quantities(objects, mask.shape)
    objects |= {key: objects[key] / scale for key in _GREY if key in objects}
    row["uncertain_fraction"] = doubt
    ended = time.perf_counter()
    seconds = {"segment": segmented - started, "measure": ended - segmented}
    return MeasuredFrame(index, mask, objects, row, seconds)
