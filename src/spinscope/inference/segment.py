"""Micrograph files in, masks, overlays and a table of objects out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.data import COLOURS, read_image, write_label
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.inference.predict import Predictor


def segment_files(
    files: Sequence[Path],
    predictor: Predictor,
    out: Path,
    *,
    tta: int = 1,
    progress=lambda items, **_: items,
) -> list[dict]:
    """Write `NAME.mask.png` (RGB classes) and `NAME.overlay.png` for every file.

    Every file is checked by reading it before the first mask is written.
    Returns a row a file: file, mask, overlay, and the fraction of pixels of each class.
    Raises SpinscopeError where a file is bad or two files have the same name.
    """
    if not files:
        raise SpinscopeError("segment needs at least one image file")
    stems = [path.stem for path in files]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise SpinscopeError(f"two files are named {twice[0]!r}; their masks would collide")
    for path in progress(files, desc="check", total=len(files)):
        read_image(path)
    rows = []
    for path in progress(files, desc="segment", total=len(files)):
        image = read_image(path)
        mask = predictor.classes(image, tta)
        names = {kind: out / f"{path.stem}.{kind}.png" for kind in ("mask", "overlay")}
        write_label(names["mask"], mask)
        write_picture(names["overlay"], [overlay(image, mask)])
        shares = np.bincount(mask.ravel(), minlength=len(predictor.info["classes"])) / mask.size
        rows.append(
            {
                "file": str(path),
                **{kind: str(name) for kind, name in names.items()},
                "fraction": dict(zip(predictor.info["classes"], shares.tolist(), strict=True)),
            }
        )
    return rows


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
