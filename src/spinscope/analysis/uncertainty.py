"""How sure a measurement is: its scatter over views of a frame.

A view is one more mask of the same frame: of a turned or mirrored copy, turned back (test-time
augmentation), or of a network trained from another seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

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


def measure_views(
    mask: np.ndarray,
    views: Iterable[np.ndarray],
    image: np.ndarray | None = None,
    *,
    min_px: int = 1,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """`measure` with an error on each quantity: its scatter over views.

    mask : (H, W) bool, whose objects are measured.   views : masks of the same shape, looked at
    one after another.   image : (H, W) pixels or None.   min_px : objects of fewer pixels are left
    out, in all masks.

    An object is found in a view if it overlaps one there, and is the one of which it shares the
    most pixels (of equals the first). Where two objects are one in a view, both are that one:
    the doubled area is part of their scatter.

    Returns (table, frame). The table is that of `measure` and holds beside it `<quantity>_sd`, the
    standard deviation of the sample (n - 1) over the views, NaN for an object found in fewer than
    two; of directions it is that of the angle to the mask's. `found` is the share of views in
    which the object is found, NaN without views. The frame has `frame_quantities` of the mask and
    their `_sd`, NaN where fewer than two views have a value.
    Raises SpinscopeError where a view has another shape, and as `measure`.
    """
    table, numbers = measure_numbered(mask, image, min_px=min_px)
    count = len(table["area_px"])
    away, frames = [], []
    for view in views:
        if view.shape != mask.shape:
            raise SpinscopeError(f"view of shape {view.shape} must be as the mask, {mask.shape}")
        seen, others = measure_numbered(view, image, min_px=min_px)
        away.append(_away(table, seen, best_overlap(numbers, others, count)))
        frames.append(frame_quantities(seen, mask.shape))
    spread = {f"{name}_sd": _sd([view[name] for view in away], count) for name in QUANTITIES}
    found = np.array([view["found"] for view in away])
    spread["found"] = found.mean(axis=0) if away else np.full(count, np.nan)
    frame = frame_quantities(table, mask.shape)
    scatter = {f"{name}_sd": float(_sd([view[name] for view in frames], 1)[0]) for name in frame}
    return table | spread, frame | scatter


def best_overlap(numbers: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """(count,) row of the object of `others` that shares the most pixels with each object; or -1.

    numbers, others : (H, W) numbers of objects, 0 outside; `numbers` has 1 ... count.
    """
    partner = np.full(count, -1, dtype=np.int64)
    shared = np.flatnonzero((numbers > 0) & (others > 0))
    if not len(shared):
        return partner
    own, other = (n.reshape(-1)[shared].astype(np.int64) - 1 for n in (numbers, others))
    width = int(other.max()) + 1
    pairs, pixels = np.unique(own * width + other, return_counts=True)
    own, other = np.divmod(pairs, width)
    # the last one written stays: that of most pixels, of equals the first
    order = np.lexsort((-other, pixels))
    partner[own[order]] = other[order]
    return partner


def frame_quantities(table: Mapping[str, np.ndarray], shape: tuple[int, int]) -> dict[str, float]:
    """Of a frame: count, area_fraction (of its pixels), diameter_px (mean; NaN without object)."""
    diameters = table["diameter_px"]
    return {
        "count": len(diameters),
        "area_fraction": float(np.sum(table["area_px"]) / np.prod(shape)),
        "diameter_px": float(np.mean(diameters)) if len(diameters) else np.nan,
    }


def _away(
    table: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray], partner: np.ndarray
) -> dict[str, np.ndarray]:
    """Quantities (n,) of each object's partner less its own, NaN without one."""
    found = partner >= 0
    away = {"found": found}
    for name in QUANTITIES:
        values = np.full(len(partner), np.nan)
        values[found] = seen[name][partner[found]]
        values -= np.nan_to_num(table[name])
        if name in _PERIOD:
            values = (values + _PERIOD[name] / 2) % _PERIOD[name] - _PERIOD[name] / 2
        away[name] = values
    return away


def _sd(views: list, count: int) -> np.ndarray:
    """(count,) standard deviation of a sample over those views that have a number."""
    values = np.array(views, dtype=float).reshape(len(views), count)
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1)
    square = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    return np.where(number > 1, np.sqrt(square / np.maximum(number - 1, 1)), np.nan)
