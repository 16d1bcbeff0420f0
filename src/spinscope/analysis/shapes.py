r"""Shapes of all objects of a mask at once: no loop over objects, a few ms for a thousand.

Definitions are those of scikit-image's `regionprops` for 8-connected objects, with which tests
compare them. Second moments treat pixels as points at integer coordinates.
"""

from __future__ import annotations

import numpy as np

from spinscope.analysis.objects import (
    BAND_PX,
    Runs,
    equivalent_diameter,
    in_order,
    object_runs,
    paint,
)
from spinscope.analysis.outline import Outline
from spinscope.errors import SpinscopeError

RING_PX = 5  # distance to which the local background of an object extends


def measure(
    mask: np.ndarray,
    image: np.ndarray | None = None,
    *,
    min_px: int = 1,
    rim: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    r"""Measure shape, position and contrast of every object, in order of the first pixel.

    Parameters
    ----------
    mask : (H, W) bool array
        Pixels of objects.
    image : (H, W) array, optional
        Pixels of any real type.
    min_px : int
        Objects of fewer pixels are left out.
    rim : (H, W) bool array, optional
        Pixels of objects that a boundary one standard deviation further inside leaves out.

    Returns
    -------
    dict of (n,) arrays
        - `y_px`, `x_px`: centroid; `area_px`: number of pixels; `diameter_px`: diameter of the disc
          of the same area.
        - `major_px`, `minor_px`: axes :math:`4\sqrt{\lambda}` of the ellipse with the second
          moments :math:`\lambda` of the object; `orientation_deg`: angle from the y axis to the
          major axis, towards x, in (-90, 90], -45 without a direction; `eccentricity`:
          :math:`\sqrt{1 - \lambda_2/\lambda_1}`.
        - `convex_deficit`: fraction of the convex hull that the object does not fill.
        - `holes`: number of background regions that it encloses.
        - `intensity`: mean of the image inside; `contrast`: intensity minus the mean of the local
          background: pixels up to 5 px away in rows and columns, within the outline or around it,
          that neither belong to an object nor touch one. NaN without an image or such pixels.
        - `touches_border`; `y0_px`, `x0_px`, `y1_px`, `x1_px`: pixel indices of the bounding box,
          half open.
        - `diameter_px_sd_boundary`, with a rim: difference to the diameter without the rim.

    Raises
    ------
    SpinscopeError
        For a mask that is not (H, W) bool, an image or rim of another shape, and `min_px` below 1.

    References
    ----------
    scikit-image, `skimage.measure.regionprops`.
    """
    return _measure(mask, image, min_px, rim, None)


def measure_numbered(
    mask: np.ndarray,
    image: np.ndarray | None = None,
    *,
    min_px: int = 1,
    rim: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the table of `measure` and the object numbers (H, W) int32; row i is object i + 1."""
    numbers = np.zeros(mask.shape, dtype=np.int32)
    return _measure(mask, image, min_px, rim, numbers), numbers


def _measure(mask, image, min_px, rim, numbers) -> dict[str, np.ndarray]:
    """Table of all objects, whose numbers are written to `numbers` if given."""
    for name, array in (("image", image), ("rim", rim)):
        if array is not None and array.shape != mask.shape:
            raise SpinscopeError(f"{name} of shape {array.shape} must be as the mask, {mask.shape}")
    tables, first, count = [], [], 0
    for runs in object_runs(mask, min_px):
        if numbers is not None:
            paint(numbers, runs, count)
        count += len(runs)
        tables.append(_table(runs, mask, image, rim))
        first.append(runs.start[runs.first])
    if len(tables) == 1:
        return tables[0]
    order = in_order(numbers, np.concatenate(first))
    return {name: np.concatenate([t[name] for t in tables])[order] for name in tables[0]}


def _table(
    runs: Runs, mask: np.ndarray, image: np.ndarray | None, rim: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Table of the objects of one batch."""
    outline = Outline.of(runs)
    areas = runs.areas
    table = _moments(runs, areas)
    table["convex_deficit"] = 1 - areas / np.maximum(outline.convex_area(), 1)
    table["holes"] = runs.holes
    table["intensity"], table["contrast"] = _intensities(runs, outline, mask, image)
    box = outline.box()
    table["touches_border"] = (
        (box["y0_px"] == 0)
        | (box["x0_px"] == 0)
        | (box["y1_px"] == mask.shape[0])
        | (box["x1_px"] == mask.shape[1])
    )
    if rim is not None:
        inner = equivalent_diameter(areas - _rim_areas(runs, rim))
        table["diameter_px_sd_boundary"] = table["diameter_px"] - inner
    return table | box


def _rim_areas(runs: Runs, rim: np.ndarray) -> np.ndarray:
    """Number of pixels of a rim (H, W) in each object."""
    row = runs.row
    begin, end = runs.start - row, runs.stop - row  # without the padding of the rows
    pixels = np.flatnonzero(rim)
    return runs.sum(np.searchsorted(pixels, end) - np.searchsorted(pixels, begin))


def _moments(runs: Runs, areas: np.ndarray) -> dict[str, np.ndarray]:
    """Centroid, axes, orientation and eccentricity, from the moments of runs."""
    row, length = runs.row, runs.length
    middle = runs.start - row * runs.stride + (length - 1) / 2
    y, x = runs.sum(length * row) / areas, runs.sum(length * middle) / areas
    dy, dx = row - y[runs.number], middle - x[runs.number]
    yy = runs.sum(length * dy**2) / areas
    xx = runs.sum(length * (dx**2 + (length**2 - 1) / 12)) / areas
    xy = runs.sum(length * dy * dx) / areas
    mean, half = (yy + xx) / 2, (yy - xx) / 2
    # Differences within rounding are zero: a disc has no direction.
    tiny = 1e-12 * (mean + 1)
    half, xy = (np.where(np.abs(q) < tiny, 0, q) for q in (half, xy))
    spread = np.hypot(half, xy)
    major, minor = mean + spread, np.maximum(mean - spread, 0)
    minor[minor < tiny] = 0
    diagonal = np.where(xy > 0, np.pi / 4, -np.pi / 4)
    angle = np.where(half == 0, diagonal, 0.5 * np.arctan2(2 * xy, 2 * half))
    ratio = np.divide(minor, major, out=np.ones_like(major), where=major > 0)
    return {
        "y_px": y,
        "x_px": x,
        "area_px": areas,
        "diameter_px": equivalent_diameter(areas),
        "major_px": 4 * np.sqrt(major),
        "minor_px": 4 * np.sqrt(minor),
        "orientation_deg": np.degrees(angle),
        "eccentricity": np.sqrt(1 - ratio),
    }


def _intensities(
    runs: Runs, outline: Outline, mask: np.ndarray, image: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the image in each object, and its difference to the local background."""
    if image is None:
        nothing = np.full(len(runs), np.nan)
        return nothing, nothing.copy()
    height, width = mask.shape
    row = runs.row
    inside = (runs.number, row, runs.start - row * runs.stride, runs.stop - row * runs.stride)
    number, row, left, right = outline.ring(RING_PX)
    seen = (row >= 0) & (row < height)
    ring = (
        number[seen],
        row[seen],
        np.maximum(left[seen], 0),
        np.minimum(right[seen], width),
    )
    inner, outer, free_px = np.zeros((3, len(runs)))
    rows = max(1, BAND_PX // max(1, width))
    for top in range(int(ring[1].min(initial=height)), int(ring[1].max(initial=-1)) + 1, rows):
        band = slice(top, min(top + rows, height))
        pixels, free = image[band], _free(mask, band)
        if pixels.dtype.kind == "f":
            pixels = pixels.astype(np.float64)
            bad = ~np.isfinite(pixels)
            if bad.any():
                inner[_sums(bad, top, inside, len(runs)) > 0] = np.nan
                free &= ~bad
                pixels[bad] = 0
        inner += _sums(pixels, top, inside, len(runs))
        outer += _sums(pixels * free, top, ring, len(runs))
        free_px += _sums(free, top, ring, len(runs))
    mean = inner / runs.areas
    around = np.divide(outer, free_px, out=np.full(len(runs), np.nan), where=free_px > 0)
    return mean, mean - around


def _free(mask: np.ndarray, band: slice) -> np.ndarray:
    """Pixels in some rows that neither belong to an object nor touch one."""
    top = max(0, band.start - 1)
    near = mask[top : band.stop + 1]
    wide = near.copy()
    wide[:, 1:] |= near[:, :-1]
    wide[:, :-1] |= near[:, 1:]
    taken = wide.copy()
    taken[1:] |= wide[:-1]
    taken[:-1] |= wide[1:]
    return ~taken[band.start - top : band.stop - top]


def _sums(values: np.ndarray, top: int, sections: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Sums (count,) of values (h, W) from row `top` over sections (number, row, left, right).

    Integers are summed exactly.
    """
    height, width = values.shape
    number, row, left, right = sections
    here = (row >= top) & (row < top + height)
    if not here.all():
        number, row, left, right = (section[here] for section in sections)
    total = np.zeros(height * width + 1, dtype=np.float64 if values.dtype.kind == "f" else np.int64)
    np.cumsum(values.reshape(-1), out=total[1:], dtype=total.dtype)
    origin = (row - top) * width
    return np.bincount(number, total[origin + right] - total[origin + left], minlength=count)
