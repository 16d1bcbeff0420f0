"""Frames, labels and fields as RGB images for display."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.classes import BACKGROUND, COLOURS
from spinscope.files import atomic_file


def overlay(image: np.ndarray, label: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """Tint an image by the classes of a label; the background is not tinted.

    Parameters
    ----------
    image : (H, W) array
        Intensity.
    label : (H, W) uint8 array
        Class indices.
    opacity : float, default 0.35
        Weight of the tint.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    grey = _grey_rgb(image).astype(np.float32)
    tint = COLOURS[label].astype(np.float32)
    mixed = np.where((label == BACKGROUND)[..., None], grey, (1 - opacity) * grey + opacity * tint)
    return mixed.astype(np.uint8)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Stretch an image (H, W) from its 1 % to its 99 % quantile; return (H, W) uint8."""
    low, high = np.percentile(image, (1, 99))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def label_panels(image: np.ndarray, labels: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return panels for `write_panels`: the image, then each label in its colours."""
    return [_grey_rgb(image), *(COLOURS[label] for label in labels)]


def write_panels(path: Path | str, panels: Sequence[np.ndarray], gap: int = 8) -> None:
    """Write (H, W, 3) uint8 panels side by side as one PNG, separated by `gap` white pixels."""
    space = np.full((panels[0].shape[0], gap, 3), 255, dtype=np.uint8)
    row = [array for panel in panels for array in (panel, space)][:-1]
    with atomic_file(path) as partial:
        Image.fromarray(np.concatenate(row, axis=1)).save(partial, format="PNG")


def colour_wheel(by: np.ndarray, bx: np.ndarray, *, strongest: float | None = None) -> np.ndarray:
    """Colour an in-plane field: hue for its direction, brightness for its strength.

    Red is a field to the right, yellow-green down, cyan left and violet up; black is no field.
    `colour_legend` draws the key.

    Parameters
    ----------
    by, bx : (H, W) array
        Components down the rows and along the columns.
    strongest : float, optional
        Strength shown at full brightness; by default the maximum of the field.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    strength = np.hypot(by, bx)
    scale = float(strength.max()) if strongest is None else strongest
    hue = np.arctan2(by, bx) * (3 / np.pi)  # in sixths of the circle
    value = np.clip(strength / max(scale, np.finfo(np.float64).tiny), 0, 1)[..., None]
    distance = np.abs((hue[..., None] + np.array([0, 4, 2])) % 6 - 3)
    return np.rint(255 * value * np.clip(distance - 1, 0, 1)).astype(np.uint8)


def colour_legend(size: int) -> np.ndarray:
    """Draw the key of `colour_wheel`, (size, size, 3) uint8; a colour's direction is outwards."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    wheel = colour_wheel(y, x, strongest=size / 2)
    wheel[np.hypot(y, x) > size / 2] = 255
    return wheel


def film_colours(m: np.ndarray) -> np.ndarray:
    """Colour unit vectors: white along +z, black along -z, hue for the in-plane direction.

    Parameters
    ----------
    m : (H, W, 3) array
        Unit magnetisation, components (x, y, z). Vectors without an in-plane part are grey.

    Returns
    -------
    (H, W, 3) uint8 array
        The hue of a direction is that of `colour_wheel`.
    """
    x, y, z = np.moveaxis(np.asarray(m, dtype=np.float32), -1, 0)
    length = np.hypot(x, y)
    in_plane = np.maximum(length, 1e-6)
    hue = colour_wheel(y / in_plane, x / in_plane, strongest=1) / 255
    lightness = np.clip((1 + z) / 2, 0, 1)[..., None]
    chroma = np.where(length > 1e-6, 1, 0)[..., None] * (1 - np.abs(2 * lightness - 1))
    return np.rint(255 * np.clip(lightness + (hue - 0.5) * chroma, 0, 1)).astype(np.uint8)


def _grey_rgb(image: np.ndarray) -> np.ndarray:
    """Stretched image (H, W) as (H, W, 3) uint8."""
    return np.repeat(grey_levels(image)[..., None], 3, axis=-1)
