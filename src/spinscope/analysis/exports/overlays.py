"""Frames with their masks drawn on them, as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.exports.video import inner_border
from spinscope.analysis.objects import BAND_PX
from spinscope.classes import BACKGROUND, COLOURS
from spinscope.errors import SpinscopeError

_OPACITY = 0.35


def write_overlays(target: Path, frames: Frames) -> None:
    """Write one PNG per frame: stretched to its 1-99 % range, tinted by class, with the inner
    border of every object in full colour.

    Raises
    ------
    SpinscopeError
        Where two frames have the same name.
    """
    for index, image, mask in frames:
        path = target / f"{frames.names(index)}.png"
        if path.exists():
            raise SpinscopeError(f"two frames are named {path.stem!r}; their images collide")
        # Noise hardly shrinks: stronger compression takes five times as long for nothing.
        Image.fromarray(_overlay(image, mask)).save(path, compress_level=1)


def _overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Image with its classes tinted and outlined, (H, W, 3) uint8, drawn band by band."""
    stride = max(1, min(image.shape) // 1024)
    low, high = np.percentile(image[::stride, ::stride], (1, 99)).astype(np.float32)
    scale = np.float32(255) / max(high - low, np.float32(1e-6))
    rgb = np.empty((*image.shape, 3), dtype=np.uint8)
    rows = max(1, BAND_PX // image.shape[1])
    for top in range(0, len(image), rows):
        band, above = slice(top, top + rows), min(top, 1)
        classes = mask[band]
        grey = np.clip((image[band].astype(np.float32) - low) * scale, 0, 255)
        rgb[band] = grey.astype(np.uint8)[..., None]
        inside = classes > BACKGROUND
        tint = COLOURS[classes[inside]].astype(np.float32)
        rgb[band][inside] = (1 - _OPACITY) * grey[inside][:, None] + _OPACITY * tint
        border = inner_border(mask[top - above : top + rows + 1])[above : above + len(classes)]
        border &= inside
        rgb[band][border] = COLOURS[classes[border]]
    return rgb
