"""Labels of Lorentz micrographs: where the film's magnetisation leaves the background's."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError


def skyrmion_label(
    m_z: np.ndarray,
    *,
    threshold: float | Literal["triangle"] = 0.98,
    erosion: int = 1,
    periodic: bool = False,
) -> np.ndarray:
    """Classes (H, W) uint8, 1 (skyrmion) where `m_z` is at most `threshold`, after the erosion.

    m_z : (H, W) component along the normal; the background's is positive.
    threshold : 0.98 takes in the whole wall, 0 ends in its middle; "triangle" is the level that
    `triangle_level` finds.   erosion : times that the pixels with a neighbour of the background,
    above, below or beside them, are given to it.
    periodic : the film goes on at the opposite border; else outside is background, and an erosion
    empties the outermost pixels.
    Raises SpinscopeError if no skyrmion or no background is left, or for what is out of range.
    Source of the threshold: McCray et al., APL Mach. Learn. 2, 026120 (2024).

    >>> skyrmion_label(np.array([[1, 1, 1, 1], [1, 0.2, -0.9, 0.99]]), erosion=0).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0]]
    """
    m_z = np.asarray(m_z)
    if m_z.ndim != 2 or not np.all(np.isfinite(m_z)):
        raise SpinscopeError(f"m_z of shape {m_z.shape} must be (H, W) and finite")
    if threshold == "triangle":
        threshold = triangle_level(m_z)
    elif isinstance(threshold, str) or not -1 < threshold < 1:
        raise SpinscopeError(f"threshold (={threshold}) must lie between -1 and 1, or be triangle")
    if erosion != int(erosion) or erosion < 0:
        raise SpinscopeError(f"erosion (={erosion}) must be a count of pixels, 0 or more")
    inside = m_z <= threshold
    if inside.all():
        raise SpinscopeError(
            f"threshold (={threshold}) leaves no background: m_z is at most {m_z.max():.4g}"
        )
    for _ in range(int(erosion)):
        inside = _eroded(inside, periodic)
    if not inside.any():
        eroded = f" after an erosion of {erosion}" if erosion else ""
        raise SpinscopeError(
            f"threshold (={threshold}) leaves no skyrmion{eroded}: "
            f"m_z runs from {m_z.min():.4g} to {m_z.max():.4g}"
        )
    return inside.astype(np.uint8)


def triangle_level(m_z: np.ndarray) -> float:
    """Level of m_z at which the background's peak in its histogram rises, by the triangle rule.

    The background of a film along +z is a sharp peak at m_z = 1; the level lies where the histogram
    is farthest below the straight line from the rarest value to that peak: 0.90 in dense lattices
    to 0.95 in sparse ones. Discs at this level, eroded once, are as large as those of the two
    published labels at hand (14.8 and 12.4 px at 24 and 46 skyrmions in 256 x 256 pixels), which
    discs at m_z = 0.98 exceed by a third, for all that their names say.
    Source of the rule: Zack et al., J. Histochem. Cytochem. 25, 741 (1977).
    """
    from skimage.filters import threshold_triangle

    if m_z.min() == m_z.max():
        raise SpinscopeError(
            f"m_z (={m_z.max():.4g} everywhere) has no triangle level: no skyrmion"
        )
    return float(threshold_triangle(m_z))


def _eroded(inside: np.ndarray, periodic: bool) -> np.ndarray:
    if not periodic:
        return ndimage.binary_erosion(inside)
    kept = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            kept &= np.roll(inside, step, axis)
    return kept
