"""Segment and measure one frame."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from spinscope.analysis import frame_quantities, label_objects, measure, measure_views
from spinscope.analysis.uncertainty import detection_sd
from spinscope.classes import OUTSIDE, SKYRMION
from spinscope.inference.predict import Predictor
from spinscope.inference.sample import SampleRegion, segment_sample
from spinscope.live.doubts import supported_fraction

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
    error : str or None
        Why the frame could not be read.
    """

    index: int
    mask: np.ndarray
    objects: dict[str, np.ndarray]
    row: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None


def measure_frame(
    raw: np.ndarray,
    predictor: Predictor,
    *,
    index: int = 0,
    scale: float = 1.0,
    tta: int = 1,
    min_px: int = 1,
    region: SampleRegion | None = None,
    check: bool = False,
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
    region : SampleRegion, optional
        Sample of the frame, by default all of it. What is left out is of the class "outside" in the
        mask, does not count in the area fraction, and cuts objects off as the border does.
    check : bool
        Whether to find the fraction of objects that the image supports, `supported_fraction`; NaN
        otherwise, and for models of images in which skyrmions are bright on one side.

    Returns
    -------
    MeasuredFrame
        Mask, measurements and times.
    """
    started = time.perf_counter()
    region = region if region and region.parts else None
    mask, doubt, view_masks, rim = segment_sample(predictor, raw, tta, region)
    segmented = time.perf_counter()
    # Bars have no place in the local background of an object.
    window = region.window if region else (slice(None), slice(None))
    image = region.sample(raw) if region else raw
    inner, rim = mask[window], None if rim is None else rim[window]
    skyrmions = inner == SKYRMION
    if view_masks:
        views = (view_mask[window] == SKYRMION for view_mask in view_masks)
        objects, row = measure_views(skyrmions, views, image, min_px=min_px, rim=rim)
    else:
        objects = measure(skyrmions, image, min_px=min_px, rim=rim)
        row = frame_quantities(objects, inner.shape)
    _leave_out(inner, skyrmions, objects, row, min_px)
    row["sample_fraction"] *= inner.size / mask.size
    for axis, side in zip("yx", window, strict=True):
        for key in (f"{axis}_px", f"{axis}0_px", f"{axis}1_px"):
            objects[key] = objects[key] + (side.start or 0)
    objects |= {key: objects[key] / scale for key in _GREY if key in objects}
    row["uncertain_fraction"] = doubt
    if rim is not None:
        row["objects_sd_detection"] = detection_sd(objects, predictor.level_sd)
    check = check and predictor.info.get("symmetry", "square") == "square"
    row["supported_fraction"] = (
        supported_fraction(image, skyrmions, inverted=predictor.inverted) if check else np.nan
    )
    ended = time.perf_counter()
    seconds = {"segment": segmented - started, "measure": ended - segmented}
    return MeasuredFrame(index, mask, objects, row, seconds)


def unreadable(frame: MeasuredFrame, error: str) -> MeasuredFrame:
    """Return a frame in place of one that cannot be read: no object, and no quantity is known.

    Parameters
    ----------
    frame : MeasuredFrame
        Any frame of this number and size, for the quantities of the tables.
    error : str
        Why the frame could not be read.
    """
    row = {
        key: 0 if isinstance(value, int | np.integer) else np.nan
        for key, value in frame.row.items()
    }
    return MeasuredFrame(
        frame.index,
        np.zeros_like(frame.mask),
        {key: values[:0] for key, values in frame.objects.items()},
        row | {"sample_fraction": 0.0, "uncertain_fraction": 0.0},
        {},
        error,
    )


def _leave_out(
    mask: np.ndarray,
    skyrmions: np.ndarray,
    objects: dict[str, np.ndarray],
    row: dict[str, float],
    min_px: int,
) -> None:
    """Relate the quantities to the sample, which ends where the mask has classes beyond it."""
    row["sample_fraction"] = 1.0
    if mask.max() < OUTSIDE:
        return
    beyond = mask >= OUTSIDE
    row["sample_fraction"] -= np.count_nonzero(beyond) / mask.size
    if not row["sample_fraction"]:
        return
    for key in row:
        if key.startswith("area_fraction"):
            row[key] /= row["sample_fraction"]
    near = beyond.copy()
    near[1:] |= beyond[:-1]
    near[:-1] |= beyond[1:]
    near[:, 1:] |= near[:, :-1].copy()
    near[:, :-1] |= near[:, 1:].copy()
    near &= skyrmions
    if near.any():
        cut = np.unique(label_objects(skyrmions, min_px)[0][near])
        objects["touches_border"][cut[cut > 0] - 1] = True
