"""Frames and labels as pictures for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.data.micrograph import COLOURS
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
