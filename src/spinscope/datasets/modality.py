"""Imaging modality of frames: Kerr or Lorentz, from a corpus header or from the pixels.

A corpus of lattices holds spins, which are no images. One of domain films holds images whose labels
are numbers, not masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spinscope.datasets.shards import HEADER, read_header

KERR, LORENTZ, SPINS, DOMAINS = "Kerr", "Lorentz", "Spins", "Domains"
_KINDS = {"kerr": KERR, "ltem": LORENTZ, "lattice": SPINS, "domains": DOMAINS}
WITHOUT_MASKS = {SPINS: "spins, not images", DOMAINS: "domain films, which have no masks"}
"""Modalities of corpora without images and masks → what these corpora hold."""
_ANGLES = np.linspace(0, np.pi, 24, endpoint=False)
_BLUR_PX = 2.5
_SIDE = 768  # px; only the middle of a larger image is examined
_MIN_SIDE = 96  # px; a smaller image shows too few skyrmions


def modality_of_folder(path: Path) -> str | None:
    """Modality of a simulated corpus, by the kind in its header; None for other folders."""
    if not (path / HEADER).is_file():
        return None
    return _KINDS.get(str(read_header(path).get("kind")))


def modality_of_images(images: Iterable[np.ndarray]) -> str | None:
    """Modality that most of some images have, None if most of them have neither for certain."""
    counts = Counter(modality_of_image(image) for image in images)
    known = [counts[KERR], counts[LORENTZ]]
    if max(known) <= min(known) or 2 * max(known) <= counts.total() - min(known):
        return None
    return KERR if known[0] > known[1] else LORENTZ


def modality_of_image(image: np.ndarray) -> str | None:
    r"""Modality of an image by its symmetry, None where it shows neither for certain.

    The skyrmions of a Kerr image are discs darker or brighter than the film: its grey levels are
    skewed, and their derivative along any direction is not. A skyrmion of a tilted film in a
    Lorentz image has a dark and a bright side: the derivative along one direction is skewed, with
    the same sign everywhere, and the grey levels are not.

    .. math:: S = \frac{\langle g^3 \rangle}{\langle g^2 \rangle^{3/2}}, \quad
              D = \max_\theta \frac{\langle (\partial_\theta g)^3 \rangle}
              {\langle (\partial_\theta g)^2 \rangle^{3/2}}

    Parameters
    ----------
    image : (H, W) array
        Image of any type.

    Returns
    -------
    "Kerr", "Lorentz" or None
        Kerr where :math:`|S| > 0.8` and :math:`D < 0.12 |S|`; Lorentz where :math:`D > 0.3`,
        :math:`D > 0.6 |S|` and the derivative is skewed alike in all four quadrants.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    if min(image.shape) < _MIN_SIDE:
        return None
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape)
    pixels = np.asarray(image[top : top + _SIDE, left : left + _SIDE], dtype=np.float32)
    grey = pixels - uniform_filter(pixels, min(pixels.shape) // 3)
    grey = gaussian_filter(np.clip(grey, *np.percentile(grey, (0.5, 99.5))), _BLUR_PX)
    if grey.std() < 1e-6:
        return None
    slopes = np.gradient(grey)
    levels = abs(float(_skewness(grey - np.median(grey))))
    skewed = _skewness_of_slopes(slopes)
    angle = int(np.argmax(np.abs(skewed)))
    slope = abs(float(skewed[angle]))
    if levels > 0.8 and slope < 0.12 * levels:
        return KERR
    quadrants = [
        _skewness_of_slopes([part[rows, columns] for part in slopes])[angle] / skewed[angle]
        for rows in _halves(grey.shape[0])
        for columns in _halves(grey.shape[1])
    ]
    if slope > 0.3 and slope > 0.6 * levels and min(quadrants) > 0.65:
        return LORENTZ
    return None


def _halves(side: int) -> tuple[slice, slice]:
    return slice(0, side // 2), slice(side // 2, side)


def _skewness(values: np.ndarray) -> float:
    return float(np.mean(values**3) / max(np.mean(values**2), 1e-20) ** 1.5)


def _skewness_of_slopes(slopes: list[np.ndarray]) -> np.ndarray:
    """Skewness (n,) of the derivative along each of `_ANGLES`, from the moments of (y, x)."""
    y, x = (part - part.mean() for part in slopes)
    c, s = np.cos(_ANGLES), np.sin(_ANGLES)
    second = c**2 * np.mean(x * x) + 2 * c * s * np.mean(x * y) + s**2 * np.mean(y * y)
    third = c**3 * np.mean(x**3) + 3 * c**2 * s * np.mean(x * x * y)
    third += 3 * c * s**2 * np.mean(x * y * y) + s**3 * np.mean(y**3)
    return third / np.maximum(second, 1e-20) ** 1.5
