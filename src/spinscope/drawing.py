"""Frames and labels as pictures for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.classes import COLOURS
from spinscope.files import atomic_file


def overlay(image: np.ndarray, label: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """(H, W, 3) uint8: the image, stretched to its 1-99 % range, tinted by the label's classes."""
    grey = np.repeat(grey_levels(image)[..., None], 3, axis=-1).astype(np.float32)
    tint = COLOURS[label].astype(np.float32)
    mixed = np.where((label == 0)[..., None], grey, (1 - opacity) * grey + opacity * tint)
    return mixed.astype(np.uint8)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the image stretched to its 1-99 % range, for the eye."""
    low, high = np.percentile(image, (1, 99))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def picture_row(image: np.ndarray, labels: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Panels for `write_picture`: the image, then each label in its colours."""
    return [np.repeat(grey_levels(image)[..., None], 3, axis=-1), *(COLOURS[y] for y in labels)]


def write_picture(path: Path | str, panels: Sequence[np.ndarray], gap: int = 8) -> None:
    """Write (H, W, 3) uint8 panels side by side, white between them, as one PNG."""
    space = np.full((panels[0].shape[0], gap, 3), 255, dtype=np.uint8)
    parts = [part for panel in panels for part in (panel, space)][:-1]
    with atomic_file(path) as partial:
        Image.fromarray(np.concatenate(parts, axis=1)).save(partial, format="PNG")


def colour_wheel(by: np.ndarray, bx: np.ndarray, *, strongest: float | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of a field in the plane: hue by its direction, brightness by its strength.

    by, bx : (H, W) components down the rows and along the columns. Red points right, then by way
    of yellow-green (down), cyan (left) and violet (up); black is no field.   strongest : strength
    that is shown at full brightness, else the largest of the field. `colour_legend` is the key.
    """
    strength = np.hypot(by, bx)
    scale = float(strength.max()) if strongest is None else strongest
    hue = np.arctan2(by, bx) * (3 / np.pi)  # in sixths of the circle
    value = np.clip(strength / max(scale, np.finfo(np.float64).tiny), 0, 1)[..., None]
    turned = (hue[..., None] + np.array([0, 4, 2])) % 6
    return np.rint(255 * value * np.clip(np.abs(turned - 3) - 1, 0, 1)).astype(np.uint8)


def colour_legend(size: int) -> np.ndarray:
    """(size, size, 3) uint8: the wheel of `colour_wheel`, in white; a colour points outwards."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    wheel = colour_wheel(y, x, strongest=size / 2)
    wheel[np.hypot(y, x) > size / 2] = 255
    return wheel
