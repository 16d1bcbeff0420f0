"""Frames with their masks drawn on them, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.analysis.exports.frames import Frame, checked, number
from spinscope.analysis.exports.video import inner_border
from spinscope.analysis.objects import BAND_PX
from spinscope.classes import COLOURS
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder


def write_overlays(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write a folder of PNG: each frame, stretched to its 1-99 % range, tinted by class,
    with the inner border of every object in its full colour.

    Raises SpinscopeError where two frames are of one name.
    """
    seen: set[str] = set()
    try:
        with atomic_folder(target) as partial:
            for index, image, mask in checked(frames, classes, images=True):
                name = names(index)
                if name in seen:
                    raise SpinscopeError(f"two frames are named {name!r}; their pictures collide")
                seen.add(name)
                picture = drawn(image, mask)
                # noise hardly shrinks: harder compression costs five times as long for nothing
                Image.fromarray(picture).save(partial / f"{name}.png", compress_level=1)
    except OSError as error:
        raise SpinscopeError(
            f"{target} cannot be written: {error.strerror or error}; nothing of it was kept"
        ) from error
    return len(seen)


def drawn(image: np.ndarray, mask: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """(H, W, 3) uint8: the image with its classes tinted and outlined, made band by band."""
    stride = max(1, min(image.shape) // 1024)
    low, high = np.percentile(image[::stride, ::stride], (1, 99)).astype(np.float32)
    scale = np.float32(255) / max(high - low, np.float32(1e-6))
    picture = np.empty((*image.shape, 3), dtype=np.uint8)
    rows = max(1, BAND_PX // image.shape[1])
    for top in range(0, len(image), rows):
        band, above = slice(top, top + rows), min(top, 1)
        part = mask[band]
        grey = np.clip((image[band].astype(np.float32) - low) * scale, 0, 255)
        picture[band] = grey.astype(np.uint8)[..., None]
        inside = part > 0
        tint = COLOURS[part[inside]].astype(np.float32)
        picture[band][inside] = (1 - opacity) * grey[inside][:, None] + opacity * tint
        border = inner_border(mask[top - above : top + rows + 1])[above : above + len(part)]
        border &= inside
        picture[band][border] = COLOURS[part[border]]
    return picture
