"""What microscope software draws into frames: information bars, lettering and scale bars.

The drawn pixels are returned with the frame, so that their recognition can be tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spinscope.errors import SpinscopeError

SIDES = ("top", "left", "bottom", "right")
"""Sides of a frame along which a bar is drawn."""

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "pillow")
"""Names of fonts that are installed with spinscope."""

TEXTS = (
    "12.4 mT  2021-03-18 14:07", "Field: -3.25 mT", "I = 0.50 A  f = 16 Hz", "Frame 0042 / 1200",
    "Kerr 50x  avg 16", "T=295.3 K", "100 µm", "Sample B7  12:45:09", "x=+102.5 y=-33.1",
)  # fmt: skip
"""Lettering of microscope software."""


@dataclass(frozen=True)
class Annotated:
    """A frame with what software drew into it.

    Attributes
    ----------
    image : (H, W) array
        Frame, of the type it was given in.
    bar : (H, W) bool array
        Pixels of the information bar.
    ink : (H, W) bool array
        Pixels of lettering and scale bar, in the bar or over the film.
    """

    image: np.ndarray
    bar: np.ndarray
    ink: np.ndarray

    @property
    def drawn(self) -> np.ndarray:
        """Pixels that show no sample, (H, W) bool."""
        return self.bar | self.ink


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return an installed font of a height in px.

    Raises
    ------
    SpinscopeError
        For a name that is not in `FONTS`.
    """
    if name not in FONTS:
        raise SpinscopeError(f"font (={name!r}) must be one of {', '.join(FONTS)}")
    if name == "pillow":
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf", f"{name}.ttf"), size)


def annotate(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    side: str | None = None,
    text: bool = False,
    scale_bar: bool = False,
    bright_ink: bool = True,
    font_name: str = "DejaVuSans",
    size: int = 14,
    antialias: bool = True,
) -> Annotated:
    """Draw an information bar beside a frame, or lettering and a scale bar over its film.

    Parameters
    ----------
    image : (H, W) uint8 or uint16 array
        Frame.
    rng : numpy.random.Generator
        Random numbers of texts and places.
    side : {"top", "left", "bottom", "right"}, optional
        Side that a bar with lettering covers; by default there is no bar.
    text, scale_bar : bool
        Whether a line of lettering, a scale bar with its length are drawn over the film.
    bright_ink : bool
        Whether lettering is white, and the bar black, or the other way round.
    font_name : str
        One of `FONTS`.
    size : int
        Height of the font in px.
    antialias : bool
        Whether characters have grey borders.

    Returns
    -------
    Annotated
        Frame and drawn pixels.

    Raises
    ------
    SpinscopeError
        For an unknown side or font.
    """
    if side is not None and side not in SIDES:
        raise SpinscopeError(f"side (={side!r}) must be one of {', '.join(SIDES)}")
    height, width = image.shape
    white = float(np.iinfo(image.dtype).max)
    face = font(font_name, size)
    bar = np.zeros(image.shape, dtype=bool)
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "L" if antialias else "1"
    if side in ("top", "bottom"):
        depth = round(size * float(rng.uniform(1.5, 3)))
        top = 0 if side == "top" else height - depth
        bar[top : top + depth] = True
        x, y = size // 2, top + (depth - size) // 2
        while x < 0.8 * width:
            words = str(rng.choice(TEXTS))
            draw.text((x, y), words, 255, face)
            x += round(draw.textlength(words, face) + size * float(rng.uniform(1, 4)))
    elif side is not None:
        depth = round(size * float(rng.uniform(6, 8)))
        left = 0 if side == "left" else width - depth
        bar[:, left : left + depth] = True
        for y in range(size, height - 2 * size, round(size * float(rng.uniform(1.5, 4)))):
            words = str(rng.choice(TEXTS))
            while draw.textlength(words, face) > depth - size:
                words = words[:-1]
            draw.text((left + size // 2, y), words, 255, face)
    free = np.flatnonzero(~bar.all(axis=1)), np.flatnonzero(~bar.all(axis=0))
    y0, y1, x0, x1 = free[0][0], free[0][-1] + 1, free[1][0], free[1][-1] + 1
    if text:
        words = str(rng.choice(TEXTS))
        x = rng.integers(x0 + 4, max(x1 - draw.textlength(words, face) - 4, x0 + 5))
        draw.text((x, y0 + rng.integers(4, (y1 - y0) // 3)), words, 255, face)
    if scale_bar:
        length, thick = round((x1 - x0) * float(rng.uniform(0.1, 0.3))), max(2, size // 3)
        x = rng.integers(x0 + 4, x1 - length - 4)
        y = y1 - thick - rng.integers(4, 20)
        draw.rectangle((x, y, x + length - 1, y + thick - 1), 255)
        draw.text((x, y - 1.5 * size), f"{rng.integers(1, 10)}0 µm", 255, face)
    ink = np.asarray(canvas, dtype=np.float32) / 255
    paper, level = (0.0, white) if bright_ink else (white, 0.0)
    drawn = np.where(bar, paper, image.astype(np.float32))
    drawn = np.rint(drawn + ink * (level - drawn))
    return Annotated(drawn.astype(image.dtype), bar, ink > 0)
