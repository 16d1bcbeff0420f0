r"""Imaging conditions of a frame, measured on its pixels and a mask of its objects.

The edge profile :math:`p(\delta)` is the mean grey level at the signed distance :math:`\delta` from
the border of the objects, over all borders of the frame. It averages the noise of thousands of
pixels, and objects of different sizes do not smear it. A tilted Lorentz image has a bright and a
dark side of every object, so that the profile of the half planes with most contrast is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinscope.datasets.agreement import label_contrast
from spinscope.errors import SpinscopeError

_REACH = 12
"""Largest distance of the edge profile from the border, px."""
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
_MIN_OBJECTS = 3
_MIN_PX = 9
"""Smaller objects are left out, px."""
_TINY = 1e-4
"""Smallest grey level that is told from zero, in units of the full scale."""


@dataclass(frozen=True)
class Measure:
    """One imaging condition.

    Parameters
    ----------
    name : str
        Name in sentences.
    meaning : str
        What is measured.
    unit : str
        Unit of the value; empty for a number without one.
    side : {"high", "low", "both"}
        Deviations that count: above the training set, below it, or both.
    logarithmic : bool
        Whether ratios are compared, not differences.
    """

    name: str
    meaning: str
    unit: str
    side: Literal["high", "low", "both"]
    logarithmic: bool = True


MEASURES = {
    one.name: one
    for one in (
        Measure("noise", "standard deviation of the pixel noise", "% of full scale", "high"),
        Measure("contrast", "step of the grey level at the objects' edges", "% of full scale",
                "low"),
        Measure("gradient", "change of the background across the frame", "% of full scale", "high"),
        Measure("blur", "width of the objects' edges, without a common change of scale", "px",
                "high"),
        Measure("scale", "common change of edge width and diameter, 1 for the training set", "",
                "both"),
        Measure("polarity", "cosine with the contrast of the training set, -1 if inverted",
                "", "low", False),
        Measure("object size", "diameter of the objects, without a common change of scale", "px",
                "both"),
    )
}  # fmt: skip
"""Name → imaging condition, in the order of reports."""


def measure_frame(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    r"""Measure the imaging conditions of a frame.

    Parameters
    ----------
    image : (H, W) array
        Grey levels in [0, 1].
    mask : (H, W) bool array
        Objects: skyrmions of a label or of a model's mask.

    Returns
    -------
    dict
        - ``noise``: standard deviation of the pixel noise, from the median of the absolute
          Laplacian differences, to which smooth structures do not contribute; % of full scale.
        - ``gradient``: largest difference of the plane that is fitted to the background; % of
          full scale.
        - ``contrast``: range of the edge profile, % of full scale; ``edge_px``: distance between
          20 % and 80 % of that range; ``diameter_px``: median equivalent diameter of the objects;
          ``contrast_0`` … ``contrast_2``: `agreement.label_contrast`. NaN with fewer than three
          objects.
        - ``objects``: number of objects of at least 9 px.

    References
    ----------
    Immerkær, Computer Vision and Image Understanding 64, 300 (1996).
    """
    from scipy import ndimage

    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or image.shape != mask.shape:
        raise SpinscopeError(
            f"image {image.shape} and mask {mask.shape} must be (H, W) and of one size"
        )
    gradient, level = _without_gradient(image, ~mask)
    differences = ndimage.convolve(image, _LAPLACIAN, mode="mirror")
    labelled, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    area = np.bincount(labelled.ravel())
    area[0] = 0
    large = area >= _MIN_PX
    values = {
        "noise": 100 * 1.4826 * float(np.median(np.abs(differences))),
        "gradient": 100 * gradient,
        "objects": int(large.sum()),
    }
    lost = dict.fromkeys(("contrast", "edge_px", "diameter_px"), float("nan"))
    lost |= {f"contrast_{axis}": float("nan") for axis in range(3)}
    if values["objects"] < _MIN_OBJECTS:
        return values | lost
    objects = np.where(large[labelled], labelled, 0)
    profile = _edge_profile(level, objects)
    signed = label_contrast(level, (objects > 0).astype(np.uint8))
    return values | {
        "contrast": 100 * float(np.ptp(profile)),
        "edge_px": _edge_width(profile),
        "diameter_px": float(np.median(np.sqrt(4 * area[large] / np.pi))),
        **{f"contrast_{axis}": float(value) for axis, value in enumerate(signed)},
    }


def _without_gradient(image: np.ndarray, background: np.ndarray) -> tuple[float, np.ndarray]:
    """Largest difference of a plane fitted to the background, and the image without the plane."""
    y, x = np.nonzero(background)
    if len(y) < 16:
        return float("nan"), image
    step = max(len(y) // 2**16, 1)
    y, x = y[::step], x[::step]
    height, width = image.shape
    terms = np.stack([np.ones(len(y)), x / width - 0.5, y / height - 0.5], axis=1)
    (_, along_x, along_y), *_ = np.linalg.lstsq(terms, image[y, x].astype(float), rcond=None)
    plane = along_y * (np.arange(height) / height - 0.5)[:, None]
    plane = plane + along_x * (np.arange(width) / width - 0.5)
    return max(float(abs(along_x) + abs(along_y)), _TINY), image - plane


def _edge_profile(image: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Mean grey level at each distance from the objects' borders; the half plane of most contrast.

    Distances are those of pixel centres from the nearest pixel of the other kind, negative inside.
    """
    from scipy import ndimage

    inside = objects > 0
    outer, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    distance = np.where(inside, 0.5 - ndimage.distance_transform_edt(inside), outer - 0.5)
    owner = objects[tuple(nearest)]
    used = (distance > -_REACH) & (distance < _REACH)
    y, x = np.nonzero(used)
    owner, levels = owner[used], image[used].astype(float)
    places = np.bincount(owner, minlength=1)
    middle_y, middle_x = (np.bincount(owner, axis)[owner] / places[owner] for axis in (y, x))
    bins = np.floor(distance[used]).astype(int) + _REACH
    profiles = []
    for half in (y >= middle_y, y < middle_y, x >= middle_x, x < middle_x):
        count = np.bincount(bins[half], minlength=2 * _REACH)
        total = np.bincount(bins[half], levels[half], minlength=2 * _REACH)
        enough = count >= max(count.max() / 20, 8)
        if enough.any():
            profiles.append((total / np.maximum(count, 1))[enough])
    return max(profiles, key=np.ptp, default=np.zeros(2))


def _edge_width(profile: np.ndarray) -> float:
    """Distance in px between the last 20 % and the next 80 % of the range of an edge profile."""
    low, high = float(profile.min()), float(profile.max())
    levels = (profile - low) / max(high - low, 1e-12)
    if levels.argmin() > levels.argmax():
        levels = levels[::-1]
    rise = levels[levels.argmin() : levels.argmax() + 1]
    start = int(np.flatnonzero(rise <= 0.2)[-1])
    end = start + int(np.flatnonzero(rise[start:] >= 0.8)[0])
    first = start + (0.2 - rise[start]) / (rise[start + 1] - rise[start])
    last = end - (rise[end] - 0.8) / (rise[end] - rise[end - 1])
    return float(last - first)
