"""A model on a real Lorentz image without a label, compared with estimates from the image alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinscope.analysis.lattice import lattice_order, lattice_summary
from spinscope.analysis.shapes import measure_numbered
from spinscope.analysis.spacing import dipoles, expected_objects, lattice_spacing
from spinscope.classes import SKYRMION
from spinscope.studies.lorentz.scores import mean_sd

Segment = Callable[[np.ndarray, float, float], tuple[np.ndarray, float]]
"""(image (H, W), tilt axis in degrees, scale) → classes (H, W), fraction of doubtful pixels."""


@dataclass(frozen=True)
class RealImage:
    """Mask (H, W) uint8 of a model, places (n, 2) of dipoles, and the report."""

    mask: np.ndarray
    places: np.ndarray
    report: dict[str, Any]


def real_image(
    segment: Segment,
    image: np.ndarray,
    *,
    trained_spacing: float,
    axis_deg: float = 0.0,
    either_way: bool = True,
    scale: float | None = None,
    pixel_size: float | None = None,
    min_px: int = 4,
) -> RealImage:
    """Segment an image without a label and compare the count with estimates from the image.

    Parameters
    ----------
    segment : callable
        Model.
    image : (H, W) array
        Lorentz image.
    trained_spacing : float
        Distance of neighbours in px in the images that the model was trained on. The image is
        scaled to the same distance unless `scale` is given.
    axis_deg : float
        Tilt axis in degrees.
    either_way : bool
        Also try the axis rotated by 180 degrees, the opposite sign of tilt or defocus. The sense
        with fewer doubtful pixels is used.
    scale : float, optional
        Ratio between network and image pixels.
    pixel_size : float, optional
        Pixel size in m, for lengths in nm.
    min_px : int
        Smallest area of an object in px.

    Returns
    -------
    RealImage
        Its report holds `axis_deg`, `scale`, `doubt`, `senses` per axis tried, and of the objects:
        `count`; `count_inside`, an estimate without bias by the border, which leaves out objects
        cut by the first row or column; `area_fraction`; `diameter_px` {n, mean, sd} off the border;
        `small`, those below half the median diameter; `spacing_px` from their mean cell; `psi6`.
        With `pixel_size` also lengths in nm and the density. `estimate` holds `spacing_px` of the
        ring of the power spectrum, the `count` that fits it, and `dipoles` counted by a filter.
        `found` is the fraction of dipoles inside an object, `single` the fraction of objects with
        exactly one.
    """
    spacing = lattice_spacing(image)
    scale = trained_spacing / spacing if scale is None else scale
    senses = {}
    for sense in (axis_deg, axis_deg + 180.0) if either_way else (axis_deg,):
        classes, doubt = segment(image, sense, scale)
        senses[sense] = doubt, classes == SKYRMION
    chosen = min(senses, key=lambda sense: senses[sense][0])
    doubt, mask = senses[chosen]
    table, numbers = measure_numbered(mask, min_px=min_px)
    places = dipoles(image, spacing, chosen)
    hit = np.bincount(numbers[tuple(places.astype(int).T)], minlength=len(table["y_px"]) + 1)
    report = {
        "shape": list(image.shape),
        "axis_deg": chosen,
        "scale": scale,
        "doubt": doubt,
        "senses": [
            {
                "axis_deg": sense,
                "doubt": d,
                "area_fraction": float(m.mean()),
                "dipoles": len(dipoles(image, spacing, sense)),
            }
            for sense, (d, m) in senses.items()
        ],
        **_found(table, mask),
        "estimate": {
            "spacing_px": spacing,
            "count": expected_objects(mask.shape, spacing),
            "dipoles": len(places),
        },
        "found": 1 - float(hit[0]) / len(places) if len(places) else None,
        "single": float((hit[1:] == 1).mean()) if len(hit) > 1 else None,
    }
    if pixel_size is not None:
        report |= _in_nanometres(report, 1e9 * pixel_size)
    return RealImage(mask.astype(np.uint8), places, report)


def _found(table: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, Any]:
    """Counts, sizes and order of the objects of a mask."""
    px = table["diameter_px"][~table["touches_border"]]
    found: dict[str, Any] = {
        "count": len(table["y_px"]),
        "count_inside": int(((table["y0_px"] > 0) & (table["x0_px"] > 0)).sum()),
        "small": int((px < np.median(px) / 2).sum()) if len(px) else 0,
        "area_fraction": float(mask.mean()),
        "diameter_px": {"n": len(px), **mean_sd(px.tolist())},
        "spacing_px": None,
        "psi6": None,
    }
    if found["count"] > 3:
        at = np.stack([table["y_px"], table["x_px"]], axis=1)
        order = lattice_summary(lattice_order(at))
        for key, name in (("spacing_px", "lattice_px"), ("psi6", "psi6_mean")):
            found[key] = float(order[name]) if np.isfinite(order[name]) else None
    return found


def _in_nanometres(report: dict[str, Any], nm: float) -> dict[str, Any]:
    """Lengths of a report in nm."""
    height, width = report["shape"]
    px, spacing = report["diameter_px"], report["spacing_px"]
    return {
        "pixel_size_nm": nm,
        "diameter_nm": {key: v if key == "n" or v is None else nm * v for key, v in px.items()},
        "spacing_nm": None if spacing is None else nm * spacing,
        "density_um2": report["count_inside"] / (height * width * (1e-3 * nm) ** 2),
    }
