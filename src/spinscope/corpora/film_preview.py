"""Films as colour pictures: hue for the direction in the plane, lightness for m_z."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinscope.drawing import colour_wheel
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.physics.film import Film

_COLOURS = 128  # of a preview's palette


def film_colours(m: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of unit vectors (H, W, 3): white along +z, black along -z.

    In the plane the hue is the direction's, as `data.pictures.colour_wheel` has it.
    """
    x, y, z = np.moveaxis(np.asarray(m, dtype=np.float32), -1, 0)
    in_plane = np.maximum(np.hypot(x, y), 1e-6)
    hue = colour_wheel(y / in_plane, x / in_plane, strongest=1) / 255
    lightness = np.clip((1 + z) / 2, 0, 1)[..., None]
    chroma = 1 - np.abs(2 * lightness - 1)
    return np.rint(255 * np.clip(lightness + (hue - 0.5) * chroma, 0, 1)).astype(np.uint8)


def preview(
    films: Sequence[Film], path: Path | str, *, n: int = 8, columns: int = 4, width: int = 1000
) -> Path:
    """Draw the first `n` films as one picture, `width` pixels wide, white between them."""
    from PIL import Image

    shown = [films[index] for index in range(min(n, len(films)))]
    if not shown:
        raise SpinscopeError(f"{path}: a preview must have at least one film")
    columns = min(columns, len(shown))
    tile = width // columns
    height = round(tile * shown[0].shape[0] / shown[0].shape[1])
    picture = Image.new("RGB", (tile * columns, height * -(-len(shown) // columns)), "white")
    for index, film in enumerate(shown):
        row, column = divmod(index, columns)
        small = Image.fromarray(film_colours(film.m))
        small = small.resize((tile - 4, height - 4), Image.Resampling.BOX)
        picture.paste(small, (column * tile + 2, row * height + 2))
    with atomic_file(path) as partial:
        flat = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
        flat.save(partial, format="PNG", optimize=True)
    return Path(path)
