"""Scale and tilt axis of a Lorentz image, from its lattice, against those of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spinscope.analysis.spacing import ring, tilt_axis
from spinscope.config import Segment
from spinscope.errors import SpinscopeError

SPACING_PX = (40.0, 55.0)
"""Distance of neighbours in the training images."""

_SIDE = 512  # px; only the middle of a larger image is looked at
_SHARP = 0.2  # width of the ring over its wave number, above which there is no lattice
_TOLERANCE = 1.1  # factor by which the distance may be outside of the training
_ALONG, _TURNED_DEG = 0.2, 20.0  # coherence that determines an axis; deviation that matters
_SIDED = 0.1  # skewness that determines its bright side


def lattice_advice(image: np.ndarray, info: Mapping[str, Any], settings: Segment) -> list[str]:
    """Sentences about a lattice that lies otherwise than in the training images, with settings.

    Parameters
    ----------
    image : (H, W) array
        Lorentz image.
    info : mapping
        Description of the model; `axis_deg` is the tilt axis of its training images.
    settings : Segment
        Section `segment` of the settings.

    Returns
    -------
    list of str
        Empty where the image agrees with the training, and where it shows no clear lattice.
    """
    top, left = (max(0, side - _SIDE) // 2 for side in image.shape)
    image = image[top : top + _SIDE, left : left + _SIDE]
    try:
        wave_number, width = ring(image)
    except SpinscopeError:
        return []
    if width > _SHARP * wave_number:
        return []
    spacing, advice = 2 / (np.sqrt(3) * wave_number), []
    scale = settings.scale if isinstance(settings.scale, float) else 1.0
    low, high = SPACING_PX
    if not low / _TOLERANCE < spacing * scale < high * _TOLERANCE:
        advice.append(
            f"neighbours are {spacing:.1f} px apart"
            + (f", {spacing * scale:.1f} px at segment.scale={scale:g}" if scale != 1 else "")
            + f"; in the training images {low:g} to {high:g} px: try "
            f"segment.scale={(low * high) ** 0.5 / spacing:.2g}"
        )
    angle, coherence, skewness = tilt_axis(image, spacing)
    set_deg = info["axis_deg"] if settings.axis_deg is None else settings.axis_deg
    off = (angle - set_deg + 180) % 360 - 180
    along = min(abs(off), 180 - abs(off))
    if coherence > _ALONG and (
        along > _TURNED_DEG or (abs(off) > 180 - _TURNED_DEG and skewness > _SIDED)
    ):
        other = (angle + 360) % 360 - 180
        advice.append(
            f"the bright side of the skyrmions lies along {angle:.0f}° (+x to +y), and "
            f"{set_deg:g}° is set: try segment.axis_deg={angle:.0f}"
            + ("" if skewness > _SIDED else f" or {other:.0f}, whichever gives compact objects")
        )
    return advice
