"""Drawn frames of known imaging conditions."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHAPE = (160, 192)


def draw(
    rng, shape=SHAPE, *, diameter=14.0, blur=1.2, noise=0.04, depth=0.25, slope=0.02, zoom=1.0
):
    """Frame of dark discs, and their mask."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(float)
    pitch = 26.0 * zoom
    mask = np.zeros(shape, dtype=bool)
    for row in np.arange(pitch, height - pitch / 2, pitch):
        for column in np.arange(pitch, width - pitch / 2, pitch):
            middle = np.array([row, column]) + rng.uniform(-2, 2, 2)
            mask |= np.hypot(y - middle[0], x - middle[1]) <= diameter * zoom / 2
    image = 0.5 - depth * ndimage.gaussian_filter(mask.astype(float), blur * zoom)
    image += slope * (x / width - 0.5) + rng.normal(0, noise, shape)
    return image.clip(0, 1).astype(np.float32), mask
