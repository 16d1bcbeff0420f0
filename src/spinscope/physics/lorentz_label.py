"""Labels of Lorentz micrographs: where the film's magnetisation leaves the background's."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError


def skyrmion_label(
    m_z: np.ndarray,
    *,
    threshold: float = 0.98,
    erosion: int = 1,
    periodic: bool = False,
) -> np.ndarray:
    """Classes (H, W) uint8, 1 (skyrmion) where `m_z` is at most `threshold`, after the erosion.

    m_z : (H, W) component along the normal; the background's is positive.   threshold : 0.98 as
    published takes in the whole wall, 0 ends in its middle.   erosion : times that the pixels with
    a neighbour of the background, above, below or beside them, are given to it.
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
    if not -1 < threshold < 1:
        raise SpinscopeError(f"threshold (={threshold}) must lie between -1 and 1")
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


def _eroded(inside: np.ndarray, periodic: bool) -> np.ndarray:
    if not periodic:
        return ndimage.binary_erosion(inside)
    kept = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            kept &= np.roll(inside, step, axis)
    return kept
