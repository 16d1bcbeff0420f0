"""Frames and masks as (H, W, 3) uint8 colour images, and the legends of their colours."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spinscope.classes import BACKGROUND, CLASSES, SKYRMION
from spinscope.drawing import grey_levels

CLASS_COLOURS = np.array(
    [(38, 54, 96), (222, 73, 73), (92, 184, 92), (240, 200, 70), (84, 196, 206)], dtype=np.uint8
)
"""RGB of each class: the hues of the label files, muted for the screen."""

BOTH, BLUE, ORANGE = (245, 245, 245), (0, 90, 255), (255, 120, 0)


def grey(image: np.ndarray) -> np.ndarray:
    """Image in grey, stretched to its 1-99 % range."""
    return np.repeat(grey_levels(image)[..., None], 3, axis=-1)


def class_map(mask: np.ndarray) -> np.ndarray:
    """Every class in its colour."""
    return CLASS_COLOURS[mask]


def tinted(image: np.ndarray, mask: np.ndarray, opacity: float) -> np.ndarray:
    """Image with all classes but the background tinted, at an opacity from 0 to 1."""
    pixels = grey(image)
    mixed = (1 - opacity) * pixels.astype(np.float32) + opacity * CLASS_COLOURS[mask]
    return np.where((mask == BACKGROUND)[..., None], pixels, mixed).astype(np.uint8)


def differences(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Skyrmion pixels of two masks on the image.

    Parameters
    ----------
    image : (H, W) array
        Image in [0, 1].
    first, second : (H, W) uint8 arrays
        Masks: label and prediction, or those of two models.

    Returns
    -------
    (H, W, 3) uint8 array
        Pale where both masks hold a skyrmion, blue where only `first` does, orange where only
        `second` does.
    """
    pixels = grey(image).astype(np.float32)
    a, b = first == SKYRMION, second == SKYRMION
    for where, rgb, opacity in ((a & b, BOTH, 0.5), (a & ~b, BLUE, 0.9), (b & ~a, ORANGE, 0.9)):
        pixels[where] = (1 - opacity) * pixels[where] + opacity * np.array(rgb)
    return pixels.astype(np.uint8)


def crop(array: np.ndarray, zoom: int, x: float, y: float) -> np.ndarray:
    """Window of an (H, W, ...) array that is 1 / `zoom` as wide and high.

    Parameters
    ----------
    array : (H, W, ...) array
        Image or mask.
    zoom : int
        Ratio between the sides of the array and those of the window.
    x, y : float
        Place of the window, from 0 (left, top) to 1 (right, bottom).
    """
    height, width = (max(1, side // zoom) for side in array.shape[:2])
    top, left = round(y * (array.shape[0] - height)), round(x * (array.shape[1] - width))
    return array[top : top + height, left : left + width]


def enlarged(image: np.ndarray, min_width: int = 640) -> np.ndarray:
    """Repeat every pixel until the image is `min_width` wide, so that pixels stay sharp."""
    times = max(1, -(-min_width // image.shape[1]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def with_scale_bar(image: np.ndarray, pixel_size: float) -> np.ndarray:
    """Enlarged image with a bar of a round length in its lower left corner.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    pixel_size : float
        Edge of a pixel, m.

    Returns
    -------
    (n H, n W, 3) uint8 array
    """
    length = scale_bar(image.shape[1] * pixel_size)
    large = enlarged(image)
    pixels = round(length / pixel_size * large.shape[1] / image.shape[1])
    drawn = Image.fromarray(large)
    draw, unit = ImageDraw.Draw(drawn), large.shape[1] / 64
    left, bottom = round(2 * unit), large.shape[0] - round(2 * unit)
    text = f"{length * 1e9:g} nm" if length < 1e-6 else f"{length * 1e6:g} µm"
    font = ImageFont.load_default(size=3.5 * unit)
    top = bottom - round(unit)
    width = max(pixels, draw.textlength(text, font=font))
    box = (left - unit, top - 5.5 * unit, left + width + unit, bottom + unit)
    draw.rectangle(box, fill="black")
    draw.rectangle((left, top, left + pixels - 1, bottom), fill="white")
    draw.text((left, top - unit), text, fill="white", font=font, anchor="ls")
    return np.asarray(drawn)


def scale_bar(width: float) -> float:
    """Largest of 1, 2 and 5 times a power of ten that is at most a third of a width.

    >>> scale_bar(1.0)
    0.2
    """
    power = 10.0 ** np.floor(np.log10(width / 3))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width / 3))


def css(rgb: tuple[int, int, int] | np.ndarray) -> str:
    """CSS notation of a colour."""
    return "rgb({}, {}, {})".format(*rgb)


def class_legend(n_classes: int, *, background: bool = False) -> dict[str, str]:
    """Class → CSS colour, for the first `n_classes` classes."""
    colours = dict(zip(CLASSES[:n_classes], map(css, CLASS_COLOURS), strict=False))
    if not background:
        del colours[CLASSES[BACKGROUND]]
    return colours


def difference_legend(both: str, first: str, second: str) -> dict[str, str]:
    """Name → CSS colour of the three kinds of pixels of `differences`."""
    return {both: css(BOTH), first: css(BLUE), second: css(ORANGE)}
