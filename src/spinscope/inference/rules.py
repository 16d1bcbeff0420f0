"""Inference rules stored with a model: when to upscale an image, which objects to drop, and the
level of the boundary.

The rules are entries of a model's `info`, not of its weights: the digest of the network does not
cover them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinscope.classes import BACKGROUND, SKYRMION

RULES = ("upscale", "min_peak_probability", "level")
"""Keys of a model's `info` that hold its rules."""

MIN_COVERED = 0.01
"""Fraction of an image that skyrmions must cover before their width is trusted: a few specks of
noise are narrow as well."""

DOUBT = 0.6
"""A pixel whose highest class probability is below this is doubtful."""


def rules(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inference rules in a model's `info`, without those that are unset."""
    return {name: info[name] for name in RULES if info.get(name)}


@dataclass(frozen=True)
class Upscale:
    """Rule that upscales images whose skyrmions are narrower than a width.

    Parameters
    ----------
    below_px : float
        Images with skyrmions narrower than this many pixels are upscaled.
    scale : float
        Scale at which such images are segmented.
    """

    below_px: float
    scale: float

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Upscale | None:
        """Return the rule in a model's `info`, None without one."""
        return cls(**info["upscale"]) if info.get("upscale") else None

    def applies(self, mask: np.ndarray) -> bool:
        """Whether the skyrmions of an (H, W) bool mask cover enough pixels and are too narrow."""
        return bool(mask.mean() >= MIN_COVERED and object_width(mask) < self.below_px)


def object_width(mask: np.ndarray) -> float:
    r"""Diameter of the objects of a mask, from their total area and perimeter.

    .. math:: d = \frac{16}{\pi} \frac{A}{P},

    with P the number of pixel sides between object and background: discs of diameter d have
    :math:`A = \pi d^2/4` and :math:`P = 4d`.

    Parameters
    ----------
    mask : (H, W) bool array
        Objects.

    Returns
    -------
    float
        Diameter in pixels, infinite without a perimeter.

    Examples
    --------
    >>> y, x = np.mgrid[:40, :40]
    >>> bool(abs(object_width(np.hypot(y - 20, x - 20) < 10) - 20) < 0.6)
    True
    """
    perimeter = np.count_nonzero(mask[1:] != mask[:-1])
    perimeter += np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    return 16 / np.pi * np.count_nonzero(mask) / perimeter if perimeter else np.inf


def drop_low_peaks(mask: np.ndarray, probability: np.ndarray, min_peak_probability: float) -> None:
    """Drop the skyrmions of a mask whose peak probability is too low; `mask` is changed in place.

    Parameters
    ----------
    mask : (H, W) uint8 array
        Class indices.
    probability : (H, W) array
        Probability of skyrmion.
    min_peak_probability : float
        A skyrmion without a pixel of at least this probability becomes background.

    Examples
    --------
    >>> mask = np.array([[1, 1, 0, 1]], dtype=np.uint8)
    >>> drop_low_peaks(mask, np.array([[0.6, 0.9, 0.1, 0.6]]), 0.75)
    >>> mask.tolist()
    [[1, 1, 0, 0]]
    """
    from scipy import ndimage

    skyrmion = mask == SKYRMION
    numbers, count = ndimage.label(skyrmion, np.ones((3, 3)))
    kept = np.zeros(count + 1, dtype=bool)
    kept[numbers[skyrmion & (probability >= min_peak_probability)]] = True
    mask[skyrmion & ~kept[numbers]] = BACKGROUND


def doubtful(highest: np.ndarray) -> float:
    """Return the fraction of doubtful pixels, from the highest probability of each pixel.

    Networks trained with smoothed labels are never certain, so the mean of 1 - the highest
    probability hardly separates an easy image from a hard one.
    """
    return float(np.count_nonzero(highest < DOUBT) / highest.size)


def most_probable(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each pixel, the first of equals, and its probability.

    Equal to `argmax` and `max`, whose reduction over a short last axis is several times slower.

    Parameters
    ----------
    probabilities : (H, W, C) array
        Class probabilities.

    Returns
    -------
    classes : (H, W) uint8 array
        Class indices.
    highest : (H, W) array
        Probability of that class.

    Examples
    --------
    >>> most_probable(np.array([[[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]], dtype=np.float32))[0]
    array([[1, 0]], dtype=uint8)
    """
    highest = probabilities[..., 0]
    classes = np.zeros(highest.shape, dtype=np.uint8)
    for index in range(1, probabilities.shape[-1]):
        candidate = probabilities[..., index]
        classes = np.where(candidate > highest, np.uint8(index), classes)
        highest = np.maximum(highest, candidate)
    return classes, highest
