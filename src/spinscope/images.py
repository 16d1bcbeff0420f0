"""Read, check and write single images and labels.

An image is (H, W) float32 in [0, 1], order (y, x); a label is (H, W) uint8 class indices.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from spinscope.classes import COLOURS, SCHEMES
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file

if TYPE_CHECKING:
    import tifffile

# Every colour is a corner of the RGB cube, numbered by one bit per channel.
_CLASS_OF_CORNER = np.full(8, 255, dtype=np.uint8)
_CLASS_OF_CORNER[(COLOURS & np.array([4, 2, 1], dtype=np.uint8)).sum(axis=-1)] = range(5)

MAX_PIXELS = 2**29
"""Largest number of pixels of an image; larger ones are refused before they are decoded."""

_MAX_TILE = 2**24
"""Largest number of pixels of a tile, where the image is not larger."""

MIN_SIDE = 8
"""Smallest side of an image in px."""

_BAND_PX = 2**18
"""Pixels of a label that are converted at once."""

_TIFF = {".tif", ".tiff"}
_PILLOW = threading.Lock()
_COLOUR = {"RGB", "RGBA", "RGBX", "LA", "P", "PA"}
_DEPTH = {"L": 255.0, "I;16": 65535.0, "I;16B": 65535.0, "I": 65535.0, "1": 1.0}


class UnknownColour(SpinscopeError):
    """A label contains a colour of no class."""


def read_image(path: Path | str) -> np.ndarray:
    """Read a grayscale PNG or TIFF of 8 or 16 bit, or a float TIFF in [0, 1].

    A PNG in colour is read if its channels are equal.

    Parameters
    ----------
    path : Path or str
        Image file.

    Returns
    -------
    (H, W) float32 array
        Pixels in [0, 1]: the integer value over 255 or 65535.

    Raises
    ------
    SpinscopeError
        For an unreadable or truncated file, several channels, a value that is not finite, a side
        under 8 pixels or more than 2**29 pixels.
    """
    path = Path(path)
    pixels, scale = _read_tiff(path) if path.suffix.lower() in _TIFF else read_pixels(path)
    if pixels.ndim != 2:
        raise SpinscopeError(
            f"{path}: a micrograph must be grayscale (H, W), not of shape {pixels.shape}"
        )
    image = pixels.astype(np.float32) / np.float32(scale)
    return check_image(image, path)


def check_image(image: np.ndarray, name: Path | str = "image") -> np.ndarray:
    """Return an image if it is (H, W), finite, in [0, 1] and at least 8 pixels a side.

    Parameters
    ----------
    image : (H, W) array
        Image to check.
    name : Path or str
        Name of the image, for error messages.

    Raises
    ------
    SpinscopeError
        Where it is not.
    """
    if image.ndim != 2:
        raise SpinscopeError(f"{name}: a micrograph must be (H, W), not of shape {image.shape}")
    if min(image.shape) < MIN_SIDE:
        raise SpinscopeError(
            f"{name}: {image.shape[1]}x{image.shape[0]} pixels; a side must be at least {MIN_SIDE}"
        )
    if not np.isfinite(image).all():
        bad = int((~np.isfinite(image)).sum())
        raise SpinscopeError(f"{name}: {bad} pixels are NaN or infinite; all must be finite")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise SpinscopeError(f"{name}: values span {low:g} to {high:g}; they must lie in [0, 1]")
    return image


def read_label(path: Path | str) -> np.ndarray:
    """Read an RGB label file as class indices, (H, W) uint8.

    Raises
    ------
    SpinscopeError
        For an unreadable or truncated file.
    UnknownColour
        For a colour of no class.
    """
    path = Path(path)
    with _open(path) as file:
        image = _decode(file, path)
        label = np.empty((image.height, image.width), dtype=np.uint8)
        rows = max(1, _BAND_PX // image.width)
        for top in range(0, image.height, rows):
            bottom = min(top + rows, image.height)
            rgb = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
            classes = _CLASS_OF_CORNER[(rgb[..., 0] & 4) | (rgb[..., 1] & 2) | (rgb[..., 2] & 1)]
            classes[~((rgb == 0) | (rgb == 255)).all(axis=-1)] = 255
            unknown = classes == 255
            if unknown.any():
                y, x = np.unravel_index(np.argmax(unknown), unknown.shape)
                raise UnknownColour(
                    f"{path}: colour {tuple(int(v) for v in rgb[y, x])} at (y={top + y}, x={x}) "
                    "must be one of red, green, blue, yellow, cyan"
                )
            label[top:bottom] = classes
    return label


def bit_depth(path: Path | str) -> int:
    """Return the bits of a pixel (8, 16, 32 or 64), from the header of an image file."""
    path = Path(path)
    if path.suffix.lower() in _TIFF:
        with _open_tiff(path) as file:
            return file.pages[0].dtype.itemsize * 8
    with _open(path) as file:
        return 16 if file.mode.startswith("I") else 8


def write_label(path: Path | str, label: np.ndarray) -> None:
    """Write class indices (H, W) as an RGB PNG for `read_label`."""
    with atomic_file(path) as partial:
        Image.fromarray(COLOURS[label]).save(partial, format="PNG")


def write_class_indices(
    path: Path | str, label: np.ndarray, pixel_size: float | None = None
) -> None:
    """Write class indices (H, W) as a palette PNG, which shows the colours of a label file.

    `read_label` reads it as well.

    Parameters
    ----------
    path : Path or str
        File to write.
    label : (H, W) uint8 array
        Class indices.
    pixel_size : float, optional
        Pixel size in m, stored as the physical size of a pixel.
    """
    image = Image.fromarray(np.ascontiguousarray(label, dtype=np.uint8))
    image.putpalette(COLOURS.tobytes())
    scale = {} if pixel_size is None else {"dpi": (0.0254 / pixel_size,) * 2}
    with atomic_file(path) as partial:
        image.save(partial, format="PNG", bits=8, **scale)


def write_image(path: Path | str, image: np.ndarray, bits: int = 8) -> None:
    """Write an (H, W) image in [0, 1] as a grayscale PNG of 8 or 16 bit."""
    if bits not in (8, 16):
        raise SpinscopeError(f"bits (={bits}) must be 8 or 16")
    levels = np.round(image * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    with atomic_file(path) as partial:
        Image.fromarray(levels).save(partial, format="PNG")


def to_scheme(label: np.ndarray, classes: int) -> np.ndarray:
    """Reduce the five classes of a label to a scheme of 2, 3 or 5 classes.

    Parameters
    ----------
    label : (H, W) uint8 array
        Class indices.
    classes : {2, 3, 5}
        2: skyrmion and background; 3: also defects; 5: also outside and edge.

    Returns
    -------
    (H, W) uint8 array
        Class indices of the scheme.

    Raises
    ------
    SpinscopeError
        For another number of classes.

    Examples
    --------

    >>> to_scheme(np.array([0, 1, 2, 3, 4], dtype=np.uint8), 3)
    array([0, 1, 2, 0, 0], dtype=uint8)
    """
    if classes not in SCHEMES:
        raise SpinscopeError(f"scheme (={classes}) must be 2, 3 or 5 classes")
    return SCHEMES[classes][label]


def standardise(image: np.ndarray, statistics: tuple[float, float] | None = None) -> np.ndarray:
    """Standardise an image to zero mean and unit standard deviation, clipped at ±6.

    The networks read standardised images. A constant image becomes zeros.

    Parameters
    ----------
    image : (H, W) array
        Image of any type, or a section of one.
    statistics : (float, float), optional
        Mean and standard deviation of the whole image; by default of `image`.

    Returns
    -------
    (H, W) float32 array
        Standardised image.
    """
    mean, spread = moments(image) if statistics is None else statistics
    centred = image.astype(np.float32) - np.float32(mean)
    return np.clip(centred / np.float32(max(spread, 1e-6)), -6, 6)


def moments(image: np.ndarray, rows: int = 1024) -> tuple[float, float]:
    """Return mean and standard deviation of an image of any type, computed in bands of rows."""
    mean = float(image.mean(dtype=np.float64))
    squares = 0.0
    for start in range(0, image.shape[0], rows):
        centred = image[start : start + rows].astype(np.float32) - np.float32(mean)
        squares += float(np.sum(np.square(centred), dtype=np.float64))
    return mean, float(np.sqrt(squares / max(image.size, 1)))


def _open(path: Path) -> Image.Image:
    """Open an image file with Pillow, its size checked."""
    if not path.is_file():
        raise SpinscopeError(f"{path} does not exist or is not a file")
    with _PILLOW:  # Pillow's own limit is global, and images are read in several threads
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            file = Image.open(path)
        except Exception as error:  # Pillow raises many kinds on damaged files
            raise SpinscopeError(f"{path} is not a readable image: {error}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    _check_header(path, file.height, file.width)
    return file


def _decode(file: Image.Image, path: Path) -> Image.Image:
    """Decode the pixels of an opened image."""
    try:
        file.load()
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise SpinscopeError(f"{path} is truncated or damaged: {error}") from error
    return file


def _check_header(path: Path, height: int, width: int) -> None:
    """Refuse an image that is too large to decode."""
    if height * width > MAX_PIXELS:
        raise SpinscopeError(
            f"{path}: the header promises {width}x{height} pixels; at most {MAX_PIXELS} are read"
        )


def read_pixels(path: Path) -> tuple[np.ndarray, float]:
    """Read the pixels (H, W) of a grayscale image with Pillow, and the pixel value of white.

    An image in colour is read if its channels are equal; its transparency is ignored.
    """
    with _open(path) as file:
        if file.mode in _COLOUR:
            return grey_of(np.asarray(_decode(file, path).convert("RGB")), path), 255.0
        if file.mode not in _DEPTH:
            raise SpinscopeError(
                f"{path}: mode {file.mode}; a micrograph must be grayscale of 8 or 16 bit, "
                "with one channel"
            )
        return np.asarray(_decode(file, path)), _DEPTH[file.mode]


def grey_of(pixels: np.ndarray, name: Path | str) -> np.ndarray:
    """Return one of the equal channels of pixels (H, W, channels).

    Raises
    ------
    SpinscopeError
        Where the channels differ.
    """
    grey = pixels[..., 0]
    if not all(np.array_equal(grey, pixels[..., k]) for k in range(1, pixels.shape[-1])):
        raise SpinscopeError(
            f"{name}: its {pixels.shape[-1]} colour channels differ; a micrograph must be "
            "grayscale: one channel, or equal channels"
        )
    return grey


@contextlib.contextmanager
def _open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; any error in it becomes one sentence."""
    import tifffile

    if not path.is_file():
        raise SpinscopeError(f"{path} does not exist or is not a file")
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except SpinscopeError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise SpinscopeError(f"{path} is not a readable TIFF: {error}") from error


def _read_tiff(path: Path) -> tuple[np.ndarray, float]:
    """Read the first page of a TIFF, and the pixel value of white."""
    with _open_tiff(path) as file:
        page = file.pages[0]
        _check_header(path, *page.shape[:2])
        height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (0, 0)
        if height * width > max(math.prod(page.shape[:2]), _MAX_TILE):
            raise SpinscopeError(
                f"{path}: the header promises tiles of {width}x{height} pixels; at most "
                f"{_MAX_TILE} are read, or those of the whole image"
            )
        pixels = page.asarray()
    if pixels.dtype == np.uint8:
        return pixels, 255.0
    if pixels.dtype == np.uint16:
        return pixels, 65535.0
    if pixels.dtype.kind == "f":
        return pixels, 1.0
    raise SpinscopeError(f"{path}: {pixels.dtype} pixels; must be uint8, uint16 or float in [0, 1]")
