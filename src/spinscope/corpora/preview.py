"""Previews of a corpus: one small PNG of its first items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spinscope.classes import COLOURS
from spinscope.corpora.domains import films_of
from spinscope.datasets import Dataset
from spinscope.drawing import film_colours
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.physics.film import Film

GREYS = 40
"""Grey levels of a preview; noise does not compress."""

FILM_COLOURS = 128
"""Colours of a preview of films or lattices."""


def preview_frames(
    dataset: Dataset, path: Path | str, *, columns: int = 4, width: int = 1000
) -> Path:
    """Draw the frames of a dataset, each above its label.

    Parameters
    ----------
    dataset : Dataset
        Frames to draw.
    path : Path
        PNG to write.
    columns : int, default 4
        Frames in a row.
    width : int, default 1000
        Width of the PNG in pixels.
    """
    if not len(dataset):
        raise SpinscopeError(f"{dataset.path} must hold at least one frame to draw")
    tiles = []
    for _, frame, label in dataset:
        size = width // columns, round(frame.shape[0] * width / columns / frame.shape[1])
        small = Image.fromarray(frame).resize(size, Image.Resampling.BOX)
        grey = np.round(np.asarray(small) * (GREYS - 1)).astype(np.uint8)
        colour = Image.fromarray(label).resize(size, Image.Resampling.NEAREST)
        tiles.append(np.concatenate([grey, np.asarray(colour) + np.uint8(GREYS)]))
    sheet = Image.fromarray(_sheet(tiles, columns, GREYS - 1))
    palette = np.concatenate([np.repeat(np.linspace(0, 255, GREYS), 3).reshape(-1, 3), COLOURS])
    sheet.putpalette(np.round(palette).astype(np.uint8).tobytes())
    return _write(sheet, path)


def preview_films(
    films: Sequence[Film], path: Path | str, *, n: int = 8, columns: int = 4, width: int = 1000
) -> Path:
    """Draw the first `n` films in colour (`drawing.film_colours`), `width` pixels wide."""
    return _coloured([films[index].m for index in range(min(n, len(films)))], path, columns, width)


def preview_lattices(
    dataset: Dataset, path: Path | str, *, n: int = 8, columns: int = 4, width: int = 1000
) -> Path:
    """Draw the first `n` lattices of a dataset in colour, `width` pixels wide."""
    shown = [dataset.image(index) for index in range(min(n, len(dataset)))]
    return _coloured(shown, path, columns, width)


def preview_domains(
    dataset: Dataset, path: Path | str, *, n: int = 8, columns: int = 4, width: int = 1000
) -> Path:
    """Draw m_z of `n` films of a dataset, evenly chosen by their constant in ascending order."""
    store = dataset.store
    rows = sorted((dataset.rows[index] for index in films_of(dataset)), key=store.label)
    chosen = dict.fromkeys(np.linspace(0, len(rows) - 1, n).round().astype(int)) if rows else ()
    shown = [store.film(rows[index])[..., None] * np.float32([0, 0, 1]) for index in chosen]
    return _coloured(shown, path, columns, width)


def _coloured(shown: Sequence[np.ndarray], path: Path | str, columns: int, width: int) -> Path:
    """Draw arrays (H, W, 3) of unit vectors side by side."""
    if not shown:
        raise SpinscopeError(f"{path}: a preview must have at least one item")
    columns = min(columns, len(shown))
    size = width // columns
    height = round(size * shown[0].shape[0] / shown[0].shape[1])
    tiles = []
    for m in shown:
        colours = Image.fromarray(film_colours(m))
        small = np.asarray(colours.resize((size - 4, height - 4), Image.Resampling.BOX))
        tiles.append(np.pad(small, ((2, 2), (2, 2), (0, 0)), constant_values=255))
    sheet = Image.fromarray(_sheet(tiles, columns, 255))
    return _write(sheet.quantize(FILM_COLOURS, dither=Image.Dither.NONE), path)


def _sheet(tiles: list[np.ndarray], columns: int, fill: int) -> np.ndarray:
    """Arrange tiles in rows; missing ones of the last row are filled."""
    tiles = tiles + [np.full_like(tiles[0], fill)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _write(sheet: Image.Image, path: Path | str) -> Path:
    """Write a PNG, whole or not at all."""
    with atomic_file(path) as partial:
        sheet.save(partial, format="PNG", optimize=True)
    return Path(path)
