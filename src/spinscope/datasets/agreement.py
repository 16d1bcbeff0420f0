"""Agreement of a label with its image: contrast at the skyrmions, and labels of other frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spinscope.classes import BACKGROUND, SKYRMION

MIN_FIT = 0.15
"""Smallest correlation of an image with its label around the skyrmions.

The published Kerr images have 0.37 to 0.8, with the label of an unrelated frame 0 to 0.15.
"""

MIN_AGREEMENT = 0.8
"""Fraction of the sources with one sign of the contrast, above which the other sign is an error."""

_RING = 6  # px around an object that are compared with it
_WINDOW = 2048  # largest side of the examined window, px
_HIGH_PASS = 65  # px
_COARSE = 2**16  # most pixels of a frame that are compared
_COMPARED = 512  # frames compared at once
_SIGMA = 5.0  # significance of a better label


class Coarse(NamedTuple):
    """Image and label of a frame with a few pixels, to compare many frames."""

    place: tuple[int, ...]
    """Size of the frame and origin of the window; only frames of one place are compared."""
    image: np.ndarray
    """Intensities without their slow variation, int8, flat."""
    label: np.ndarray
    """Fraction of skyrmion in each pixel, uint8, flat."""


def label_contrast(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Correlation of an image with its label around the skyrmions.

    Every skyrmion is compared with the background within 6 px of it: its intensity, and the
    difference between its two sides along either axis, which a Lorentz image of a tilted film
    shows. Without a skyrmion, or without any contrast, the result is NaN.

    Parameters
    ----------
    image : (H, W) array
        Intensities. Of a side over 2048 px, the window with most skyrmions counts.
    label : (H, W) uint8 array
        Indices of the five classes.

    Returns
    -------
    (3,) array
        Correlation with skyrmion against background, negative for dark skyrmions, and with the
        position relative to the centre of a skyrmion along columns (x) and rows (y).
    """
    from scipy import ndimage

    rows, columns = _window(label)
    image, label = image[rows, columns], label[rows, columns]
    inside = label == SKYRMION
    objects, n = ndimage.label(inside, structure=np.ones((3, 3)))
    around = ndimage.maximum_filter(objects, size=2 * _RING + 1)
    around[inside] = objects[inside]
    around[(label != SKYRMION) & (label != BACKGROUND)] = 0
    pixels = np.flatnonzero(around)
    step = -(-len(pixels) // _COARSE) or 1
    pixels = pixels[::step]
    owner = around.ravel()[pixels]
    values = image.ravel()[pixels].astype(np.float64)
    weight = inside.ravel()[pixels].astype(np.float64)
    y, x = np.divmod(pixels, label.shape[1])

    def total(quantity: np.ndarray | None) -> np.ndarray:
        return np.bincount(owner, quantity, n + 1)

    count, area = np.maximum(total(None), 1), np.maximum(total(weight), 1)

    def centred(quantity: np.ndarray) -> np.ndarray:
        return quantity - (total(quantity) / count)[owner]

    values = centred(values)
    values = values.clip(*(limit * 3 * values.std() for limit in (-1, 1))) if n else values
    reach = (np.sqrt(area * step / np.pi) + _RING)[owner]
    offsets = [(axis - (total(weight * axis) / area)[owner]) / reach for axis in (x, y)]
    parts = [centred(part) for part in (weight, *offsets)]
    norms = [np.sqrt(np.vdot(values, values) * np.vdot(part, part)) for part in parts]
    if not norms or norms[0] < 1e-9:
        return np.full(3, np.nan)
    return np.array(
        [np.vdot(values, part) / max(norm, 1e-9) for part, norm in zip(parts, norms, strict=True)]
    )


def opposite_contrast(contrast: np.ndarray, sources: Sequence[int]) -> np.ndarray:
    """Find frames whose contrast has the opposite sign of nearly all others.

    Parameters
    ----------
    contrast : (n, 3) array
        Results of `label_contrast`; NaN for frames without one.
    sources : sequence of int
        Source of each frame; every source counts once.

    Returns
    -------
    (n,) bool array
        All false if less than 80 % of the sources agree.
    """
    sources = np.asarray(sources)
    fit = np.linalg.norm(contrast, axis=1)
    known = fit >= MIN_FIT  # false for NaN
    opposite = np.zeros(len(contrast), dtype=bool)
    if not known.any():
        return opposite
    unit = contrast[known] / fit[known, None]
    _, place, count = np.unique(sources[known], return_inverse=True, return_counts=True)
    weight = 1 / count[place]
    # The direction of most sources: one that a few opposite ones do not turn.
    common = np.median(np.repeat(unit, np.rint(weight * count.max()).astype(int), axis=0), axis=0)
    norm = np.linalg.norm(common)
    cosine = unit @ common / norm if norm > 0 else np.zeros(len(unit))
    if weight[cosine > 0.5].sum() >= MIN_AGREEMENT * weight.sum():
        opposite[known] = cosine < -0.5
    return opposite


def coarse(image: np.ndarray, label: np.ndarray) -> Coarse:
    """Reduce a frame to at most 65536 pixels, for `exchanged_labels`."""
    from scipy import ndimage

    rows, columns = _window(label)
    image, skyrmion = image[rows, columns], label[rows, columns] == SKYRMION
    place = (*label.shape, rows.start, columns.start)
    factor = int(np.ceil(np.sqrt(image.size / _COARSE)))
    image = _reduced(image - ndimage.uniform_filter(image, _HIGH_PASS, mode="nearest"), factor)
    levels = np.clip(image * (127 / 4) / max(float(image.std()), 1e-6), -127, 127)
    return Coarse(
        place,
        np.round(levels).astype(np.int8).ravel(),
        np.round(_reduced(skyrmion.astype(np.float32), factor) * 255).astype(np.uint8).ravel(),
    )


def exchanged_labels(
    frames: Sequence[Coarse | None], contrast: np.ndarray, sources: Sequence[int]
) -> dict[int, int]:
    """Find frames that would fit each other's labels better than their own.

    The labels are assigned to the images so that the sum of their correlations is largest. This
    uses the contrast of the skyrmions, so it decides nothing for frames that have none.

    Parameters
    ----------
    frames : sequence of Coarse or None
        Results of `coarse`; None for frames to leave out.
    contrast : (n, 3) array
        Results of `label_contrast`.
    sources : sequence of int
        Source of each frame. At most 512 frames of similar source are compared with each other.

    Returns
    -------
    dict
        Index of the frame with the better label, by the index of a frame.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for index in np.argsort(sources, kind="stable"):
        if frames[index] is not None and np.isfinite(contrast[index, 0]):
            places.setdefault(frames[index].place, []).append(int(index))
    better: dict[int, int] = {}
    for indices in places.values():
        for start in range(0, len(indices), _COMPARED):
            some = indices[start : start + _COMPARED]
            found = _exchanged([frames[index] for index in some], contrast[some, 0])
            better |= {some[one]: some[other] for one, other in found.items()}
    return better


def _exchanged(frames: Sequence[Coarse], contrast: np.ndarray) -> dict[int, int]:
    """`exchanged_labels` of frames of one place."""
    from scipy.optimize import linear_sum_assignment

    clear = np.abs(contrast) >= MIN_FIT  # false for NaN
    if not clear.any():
        return {}
    sign = np.sign(np.where(clear, contrast, np.median(contrast[clear]))).astype(np.float32)
    images = np.stack([frame.image for frame in frames]).astype(np.float32)
    images *= (sign / np.maximum(np.linalg.norm(images, axis=1), 1e-6))[:, None]
    labels = np.stack([frame.label for frame in frames]).astype(np.float32) / 255
    scores = images @ labels.T
    products = labels @ labels.T
    areas = np.diag(products)
    distances = areas[:, None] + areas[None, :] - 2 * products
    best = linear_sum_assignment(scores, maximize=True)[1]
    better: dict[int, int] = {}
    for cycle in _cycles(best):
        gain = scores[cycle, best[cycle]] - scores[cycle, cycle]
        changed = distances[cycle, best[cycle]].sum()
        noise = np.sqrt(max(changed, 0) / images.shape[1])
        if gain.min() > 0 and gain.sum() > _SIGMA * noise:
            better |= {one: int(best[one]) for one in cycle}
    return better


def _cycles(permutation: np.ndarray) -> Iterable[list[int]]:
    """Cycles of a permutation with more than one element."""
    left = set(range(len(permutation)))
    while left:
        cycle = [min(left)]
        while (following := int(permutation[cycle[-1]])) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        if len(cycle) > 1:
            yield cycle


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of `factor` pixels; a remainder at the border is left out."""
    height, width = (size // factor for size in image.shape)
    image = image[: height * factor, : width * factor]
    return image.reshape(height, factor, width, factor).mean(axis=(1, 3))


def _window(label: np.ndarray) -> tuple[slice, slice]:
    """Window of at most 2048 x 2048 px with most pixels of skyrmions."""
    starts = [range(0, size, _WINDOW) for size in label.shape]
    windows = [
        (slice(y, min(y + _WINDOW, label.shape[0])), slice(x, min(x + _WINDOW, label.shape[1])))
        for y in starts[0]
        for x in starts[1]
    ]
    if len(windows) == 1:
        return windows[0]
    return max(windows, key=lambda window: int((label[window] == SKYRMION).sum()))
