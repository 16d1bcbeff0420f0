"""Uncertainty of measurements: their scatter over views of a frame.

A view is another mask of the same frame: of an augmented view (test-time augmentation), or by a
network trained from another seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from spinscope.analysis.objects import shared_pixels
from spinscope.analysis.shapes import measure_numbered
from spinscope.errors import SpinscopeError

QUANTITIES = (
    "y_px",
    "x_px",
    "area_px",
    "diameter_px",
    "major_px",
    "minor_px",
    "orientation_deg",
    "eccentricity",
    "convex_deficit",
    "holes",
    "intensity",
    "contrast",
)
_PERIOD = {"orientation_deg": 180.0}

SHALLOW = 0.2
"""An object may be none where its diameter is less certain than this, at one logit."""
SHALLOW_SD, COUNT_SD = 0.75, 0.01
"""Standard deviation of a number of objects, in such objects and in all objects."""


def measure_views(
    mask: np.ndarray,
    views: Iterable[np.ndarray],
    image: np.ndarray | None = None,
    *,
    min_px: int = 1,
    rim: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Measure objects with the standard deviation of each quantity over views.

    An object is matched to the object that it overlaps most in each view (the first of equals).
    Where two objects are connected in a view, both match the connected one: the doubled area is
    part of their scatter.

    Parameters
    ----------
    mask : (H, W) bool array
        Objects to measure.
    views : iterable of (H, W) bool arrays
        Masks of the views, one in memory at a time.
    image : (H, W) array, optional
        Pixels.
    min_px : int
        Objects of fewer pixels are left out, in all masks.
    rim : (H, W) bool array, optional
        Rim of the mask, see `measure`.

    Returns
    -------
    table : dict of (n,) arrays
        Result of `measure`, with `<quantity>_sd_views`: sample standard deviation (n - 1) over the
        views, NaN for objects found in fewer than two; of directions, that of the angle to the
        mask's. `fraction_of_views`: fraction of views with the object, NaN without views.
    frame : dict of float
        Result of `frame_quantities` for the mask, with `<quantity>_sd_views`, NaN where fewer than
        two views have a value.

    Raises
    ------
    SpinscopeError
        Where a view has another shape, and as `measure`.
    """
    table, numbers = measure_numbered(mask, image, min_px=min_px, rim=rim)
    count = len(table["area_px"])
    differences, frames = [], []
    for view in views:
        if view.shape != mask.shape:
            raise SpinscopeError(f"view of shape {view.shape} must be as the mask, {mask.shape}")
        in_view, others = measure_numbered(view, image, min_px=min_px)
        differences.append(_differences(table, in_view, best_overlap(numbers, others, count)))
        frames.append(frame_quantities(in_view, mask.shape))
    spread = {
        f"{name}_sd_views": _sd([view[name] for view in differences], count) for name in QUANTITIES
    }
    found = np.array([view["found"] for view in differences])
    spread["fraction_of_views"] = found.mean(axis=0) if differences else np.full(count, np.nan)
    frame = frame_quantities(table, mask.shape)
    scatter = {
        f"{name}_sd_views": float(_sd([view[name] for view in frames], 1)[0])
        for name in frame
        if not name.endswith("_sd_boundary")
    }
    return table | spread, frame | scatter


def best_overlap(numbers: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Return the index of the object in `others` that overlaps each object most, -1 for none.

    Parameters
    ----------
    numbers, others : (H, W) int arrays
        Object numbers, 0 outside; those of `numbers` are 1 … count.
    count : int
        Number of objects.

    Returns
    -------
    (count,) int array
        Number of the other object - 1.
    """
    match = np.full(count, -1, dtype=np.int64)
    own, other, pixels = shared_pixels(numbers, others)
    # The last one written stays: the one with the most pixels, the first of equals.
    order = np.lexsort((-other, pixels))
    match[own[order]] = other[order]
    return match


def frame_quantities(table: Mapping[str, np.ndarray], shape: tuple[int, int]) -> dict[str, float]:
    """Return `objects`, `area_fraction` and `diameter_px_mean` (NaN without object) of a frame.

    Where the table has `diameter_px_sd_boundary`, `area_fraction_sd_boundary` and
    `diameter_px_mean_sd_boundary` as well: all boundaries move together, so that the mean is no
    more certain than one object.
    """
    diameters, pixels = table["diameter_px"], float(np.prod(shape))
    frame = {
        "objects": len(diameters),
        "area_fraction": float(np.sum(table["area_px"]) / pixels),
        "diameter_px_mean": float(np.mean(diameters)) if len(diameters) else np.nan,
    }
    if "diameter_px_sd_boundary" not in table:
        return frame
    sd = table["diameter_px_sd_boundary"]
    rim = np.pi / 4 * (diameters**2 - (diameters - sd) ** 2)
    return frame | {
        "area_fraction_sd_boundary": float(np.sum(rim) / pixels),
        "diameter_px_mean_sd_boundary": float(np.mean(sd)) if len(sd) else np.nan,
    }


def detection_sd(table: Mapping[str, np.ndarray], level_sd: float = 1.0) -> float:
    r"""Systematic standard deviation of the number of objects: which of them count.

    .. math:: \sqrt{(a d)^2 + (b n)^2}

    with n objects, of which d have shallow boundaries: their probability hardly rises above the
    level, so that another threshold may leave all of them out. a and b are known from the labels of
    published Kerr frames (`benchmarks/intervals.py`).

    Parameters
    ----------
    table : dict of (n,) arrays
        Result of `measure` with a rim.
    level_sd : float
        Standard deviation in logits that the rim stands for.

    Examples
    --------
    >>> table = {"diameter_px": np.full(100, 10.0), "diameter_px_sd_boundary": np.full(100, 1.0)}
    >>> detection_sd(table)
    1.0
    >>> table["diameter_px_sd_boundary"][:20] = 3
    >>> round(detection_sd(table), 2)
    15.03
    """
    n = len(table["diameter_px"])
    return float(np.hypot(SHALLOW_SD * shallow(table, level_sd), COUNT_SD * n))


def shallow(table: Mapping[str, np.ndarray], level_sd: float = 1.0) -> int:
    """Return the number of objects with a shallow boundary, see `detection_sd`."""
    limit = SHALLOW * level_sd * table["diameter_px"]
    return int(np.count_nonzero(table["diameter_px_sd_boundary"] > limit))


def _differences(
    table: Mapping[str, np.ndarray], in_view: Mapping[str, np.ndarray], match: np.ndarray
) -> dict[str, np.ndarray]:
    """Differences (n,) between each object's match and itself, NaN without a match."""
    found = match >= 0
    differences = {"found": found}
    for name in QUANTITIES:
        values = np.full(len(match), np.nan)
        values[found] = in_view[name][match[found]]
        values -= np.nan_to_num(table[name])
        if name in _PERIOD:
            values = (values + _PERIOD[name] / 2) % _PERIOD[name] - _PERIOD[name] / 2
        differences[name] = values
    return differences


def _sd(views: list, count: int) -> np.ndarray:
    """Sample standard deviation (count,) over the views that have a value."""
    values = np.array(views, dtype=float).reshape(len(views), count)
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1)
    square = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    return np.where(number > 1, np.sqrt(square / np.maximum(number - 1, 1)), np.nan)
