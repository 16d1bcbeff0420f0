"""Where a skyrmion ends: the level of its probability at which the boundary is drawn.

A pixel belongs to a skyrmion where the probability of that class reaches the level. Where a
skyrmion ends is a convention, and labels of different sources follow different ones: the level
moves the boundary without another network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spinscope.classes import SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.inference.rules import most_probable

LEVEL_SD = 1.0
"""Standard deviation, over sources, of the level that agrees best with the labels, in logits."""

FITTED_SD = 0.3
"""The same within a source, about the level that was fitted to one of its frames."""

MOST_PROBABLE = 0.5
"""Level of the rule "most probable class" between two classes."""

MZ_LEVELS = "mz_levels"
"""Key of the levels of m_z in the info of a network."""

MIN_IOU, MAX_ERROR = 0.75, 0.1
"""Limits of a level of m_z on simulated films: smallest mean IoU of the regions with the true
ones, and largest relative error of the mean diameter of the objects."""

_EDGES = np.linspace(-3, 3, 25)
"""Logits between which the brightness is averaged."""
_SMOOTH_PX = 32.0
"""Scale over which the brightness of the film varies."""
_NEAR_PX = 8
"""Distance from skyrmions up to which pixels count: beyond may be anything, such as no film."""
_CERTAIN = 5.0
"""Contrast between skyrmions and film, in standard errors, from which it is known."""


def logit(level: float) -> float:
    """Return ln(p / (1 - p)).

    >>> round(logit(0.5), 6), round(expit(logit(0.2)), 6)
    (0.0, 0.2)
    """
    return float(np.log(level / (1 - level)))


def expit(value: float) -> float:
    """Return the inverse of `logit`."""
    return float(1 / (1 + np.exp(-value)))


def at_level(probabilities: np.ndarray, level: float) -> np.ndarray:
    """Return the class of each pixel, skyrmion where its probability is at least a level.

    Parameters
    ----------
    probabilities : (H, W, C) array
        Class probabilities.
    level : float
        Level in (0, 1). All other pixels get the most probable of the other classes.

    Returns
    -------
    (H, W) uint8 array
        Class indices.

    Examples
    --------
    >>> p = np.array([[[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]]], dtype=np.float32)
    >>> [at_level(p, level)[0].tolist() for level in (0.5, 0.2, 0.9)]
    [[0, 2, 1], [1, 1, 1], [0, 2, 0]]
    """
    others = probabilities.copy()
    others[..., SKYRMION] = -1
    classes = most_probable(others)[0]
    classes[probabilities[..., SKYRMION] >= level] = SKYRMION
    return classes


def boundary_rim(
    probabilities: np.ndarray, mask: np.ndarray, level: float | None, sd: float = LEVEL_SD
) -> np.ndarray:
    """Return the pixels of skyrmions that a level one standard deviation higher leaves out.

    The logit of the probability falls evenly across a boundary, so that the boundary at a level
    one standard deviation lower lies as far outside.

    Parameters
    ----------
    probabilities : (H, W, C) array
        Class probabilities.
    mask : (H, W) uint8 array
        Class indices.
    level : float or None
        Level of the mask, None for the most probable class.
    sd : float
        Standard deviation of the level in logits.

    Returns
    -------
    (H, W) bool array
    """
    higher = expit(logit(MOST_PROBABLE if level is None else level) + sd)
    return (mask == SKYRMION) & (probabilities[..., SKYRMION] < higher)


def with_peaks(probability: np.ndarray, min_peak_probability: float) -> np.ndarray:
    """Return a probability whose objects at any level have a peak of at least a minimum.

    At each level at or below the minimum, the pixels that reach it are those of the objects that
    `drop_low_peaks` keeps there.

    Parameters
    ----------
    probability : (H, W) array
        Probability of skyrmion.
    min_peak_probability : float
        Peak that an object must reach.

    Returns
    -------
    (H, W) array

    References
    ----------
    Vincent, IEEE Trans. Image Process. 2, 176 (1993): morphological reconstruction.

    Examples
    --------
    >>> with_peaks(np.array([[0.3, 0.9, 0.5, 0.2, 0.6]]), 0.75).tolist()
    [[0.3, 0.9, 0.5, 0.2, 0.2]]
    """
    from skimage.morphology import reconstruction

    seeds = np.where(probability >= min_peak_probability, probability, 0)
    return reconstruction(seeds, probability, footprint=np.ones((3, 3))).astype(probability.dtype)


class MzLevel(BaseModel):
    """Level of a network at which its regions have the area of {m_z <= value}.

    Attributes
    ----------
    m_z : float
        Largest m_z of the region.
    level : float
        Probability of skyrmion at its boundary.
    sd_logits : float
        Root mean square over images of the deviation of the level of a single image, in logits.
    iou : float
        Mean over images of intersection over union of the regions at `level` and the true ones.
    diameter : float
        Mean over images of the predicted over the true mean diameter of the objects at `level`.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)
    m_z: float = Field(gt=-1, lt=1)
    level: float = Field(gt=0, lt=1)
    sd_logits: float = Field(ge=0)
    iou: float = Field(ge=0, le=1)
    diameter: float = Field(ge=0)

    @property
    def reached(self) -> bool:
        """Whether the probability follows the region."""
        return self.iou >= MIN_IOU and abs(self.diameter - 1) <= MAX_ERROR


class MzLevels(BaseModel):
    """Levels of a network for several m_z, as its info contains them."""

    model_config = ConfigDict(frozen=True)
    rows: tuple[MzLevel, ...] = Field(min_length=1, max_length=1000)


def level_of_mz(info: Mapping[str, Any], m_z: float) -> tuple[float, float]:
    """Return the level at which a network draws the boundary of {m_z <= value}.

    Between two values of the network's table the level is interpolated linearly in logits.

    Parameters
    ----------
    info : mapping
        Description of the network; its key `mz_levels` was fitted with relaxed films.
    m_z : float
        Largest m_z of a skyrmion, along the field.

    Returns
    -------
    level : float
        Probability of skyrmion at the boundary.
    sd : float
        Its standard deviation in logits.

    Raises
    ------
    SpinscopeError
        For a network without levels of m_z, and an m_z at which its probability does not follow
        the region (`MzLevel.reached`).
    """
    if MZ_LEVELS not in info:
        raise SpinscopeError(
            f"level (=mz={m_z:g}) must be a probability for this model, which has no levels of "
            "m_z; `spinscope calibrate --films` adds them to a Lorentz model"
        )
    try:
        rows = MzLevels.model_validate(info[MZ_LEVELS]).rows
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise SpinscopeError(f"{MZ_LEVELS}.{where} of the model is not valid") from error
    rows = sorted(rows, key=lambda row: row.m_z)
    reached = [row for row in rows if row.reached]
    if not reached or not reached[0].m_z <= m_z <= reached[-1].m_z:
        ends = f"between {reached[0].m_z:g} and {reached[-1].m_z:g}" if reached else "left out"
        iou, diameter = (
            np.interp(m_z, [row.m_z for row in rows], [getattr(row, key) for row in rows])
            for key in ("iou", "diameter")
        )
        raise SpinscopeError(
            f"level (=mz={m_z:g}): m_z must be {ends} for this model; at {m_z:g} its regions on "
            f"simulated films have an IoU of {iou:.2f} and {diameter:.2f} of the true diameter"
        )
    at = [row.m_z for row in reached]
    level = float(np.interp(m_z, at, [logit(row.level) for row in reached]))
    return expit(level), float(np.interp(m_z, at, [row.sd_logits for row in reached]))


def half_contrast_level(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> float | None:
    r"""Return the level whose contour runs where the image is halfway from film to skyrmion.

    In each frame the slow variation of the film is subtracted; the centres of the skyrmions and
    the film around them give 1 and 0. The mean of this contrast over all pixels of like
    probability rises with the probability, and reaches 1/2 at the level. Only pixels near
    skyrmions count.

    Parameters
    ----------
    frames : iterable of ((H, W) array, (H, W) array)
        Image, and probability of skyrmion.

    Returns
    -------
    float or None
        Level in (0, 1); None where the frames do not determine it: no skyrmions, or skyrmions
        that do not differ from the film in brightness.
    """
    from scipy.optimize import isotonic_regression

    total, count = np.zeros((2, len(_EDGES) - 1))
    for image, probability in frames:
        contrast = _contrast(np.asarray(image, dtype=np.float32), probability)
        if contrast is None:
            continue
        bins = np.digitize(_logits(probability), _EDGES).ravel() - 1
        inside = (bins >= 0) & (bins < len(total)) & np.isfinite(contrast.ravel())
        count += np.bincount(bins[inside], minlength=len(total))
        total += np.bincount(bins[inside], contrast.ravel()[inside], minlength=len(total))
    known = count > 0
    if np.count_nonzero(known) < 2:
        return None
    profile = isotonic_regression(total[known] / count[known], weights=count[known]).x
    if not profile[0] < 0.5 < profile[-1]:
        return None
    # Pooled steps have no slope: interpolate between their middles.
    height, step = np.unique(profile, return_inverse=True)
    middles = ((_EDGES[1:] + _EDGES[:-1]) / 2)[known]
    place = np.bincount(step, middles * count[known]) / np.bincount(step, count[known])
    return expit(float(np.interp(0.5, height, place)))


def _logits(probability: np.ndarray) -> np.ndarray:
    """Logit of each pixel, finite."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _contrast(image: np.ndarray, probability: np.ndarray) -> np.ndarray | None:
    """Image with the film at 0, the centres of skyrmions at 1, NaN far from them; None without."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    inside = probability >= MOST_PROBABLE
    if not inside.any() or inside.all():
        return None
    depth, away = distance_transform_edt(inside), distance_transform_edt(~inside)
    core = depth >= max(2.0, float(np.quantile(depth[inside], 0.75)))
    near = away <= _NEAR_PX
    film = near & (away >= min(4.0, float(np.quantile(away[near & ~inside], 0.75))))
    if not core.any() or not film.any():
        return None
    weight = gaussian_filter(film.astype(np.float32), _SMOOTH_PX)
    level = gaussian_filter(image * film, _SMOOTH_PX) / np.maximum(weight, 1e-6)
    flat = image - level
    zero, one = float(flat[film].mean()), float(flat[core].mean())
    error = np.sqrt(flat[film].var() / film.sum() + flat[core].var() / core.sum())
    if not abs(one - zero) > _CERTAIN * error:
        return None
    return np.where(near, (flat - zero) / (one - zero), np.nan)
