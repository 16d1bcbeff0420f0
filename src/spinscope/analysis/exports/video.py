"""Frames with the outlines of their objects, as a film that any player shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import GROUND, Frame, checked, number, written
from spinscope.classes import COLOURS

MOST = 4096
"""Largest side of a film: what players decode in hardware."""

_ZOOMED = 1024
_RATE = 10
_SLOWEST, _FASTEST = 1, 60
_SETTLING = 0.1


def write_video(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write MP4 (H.264, yuv420p) with the inner border of every object drawn in its class's colour.

    It runs in real time where `interval` makes that 1 to 60 frames a second, else 10 a second.
    Frames of up to 1024 pixels a side are doubled, so that thin outlines keep their colour; those
    of more than 4096 are thinned out. Odd sides are padded by repeating the last row or column.
    Grey levels are stretched to the 1-99 % range, which follows the recording slowly: no flicker.
    """
    import av

    shown = [index for index, name in enumerate(classes) if name not in GROUND]
    count, levels = 0, _Levels()
    with written(target) as partial, av.open(str(partial), "w", format="mp4", options=_FAST) as out:
        stream = out.add_stream("libx264", rate=_rate(interval), options=_QUALITY)
        stream.pix_fmt = "yuv420p"
        for _, image, mask in checked(frames, classes, images=True):
            step = -(-max(mask.shape) // MOST)
            image, mask = image[::step, ::step], mask[::step, ::step]
            picture = _even(_drawn(levels.grey(image), mask, shown))
            if not count:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = count
            out.mux(stream.encode(frame))
            count += 1
        out.mux(stream.encode())
    return count


_FAST = {"movflags": "+faststart"}
_QUALITY = {"crf": "20", "preset": "superfast"}


class _Levels:
    """Grey levels of a recording: the 1-99 % range, each frame moving it by a tenth."""

    def __init__(self):
        self.range: np.ndarray | None = None

    def grey(self, image: np.ndarray) -> np.ndarray:
        """(H, W) uint8."""
        stride = max(1, min(image.shape) // 256)
        now = np.percentile(image[::stride, ::stride], (1, 99))
        before = now if self.range is None else self.range
        self.range = before + _SETTLING * (now - before)
        low, high = self.range
        scale = np.float32(255 / max(high - low, 1e-6))
        grey = (np.asarray(image, dtype=np.float32) - np.float32(low)) * scale
        return np.clip(grey, 0, 255).astype(np.uint8)


def _rate(interval: float | None) -> Fraction:
    """Frames a second."""
    if interval and _SLOWEST <= 1 / interval <= _FASTEST:
        return Fraction(1 / interval).limit_denominator(1000)
    return Fraction(_RATE)


def _drawn(grey: np.ndarray, mask: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """(h, w, 3) uint8: grey levels with the borders of objects, doubled where that is small."""
    doubled = max(mask.shape) <= _ZOOMED
    if doubled:
        grey, mask = (part.repeat(2, axis=0).repeat(2, axis=1) for part in (grey, mask))
    objects = np.isin(mask, shown)
    border = inner_border(mask) & objects
    if doubled:  # two pixels wide: the colour of a film is half as fine as its light
        border |= inner_border(np.where(border, len(COLOURS), mask)) & objects
    picture = np.repeat(grey[..., None], 3, axis=-1)
    picture[border] = COLOURS[mask[border] % len(COLOURS)]
    return picture


def inner_border(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels with a neighbour, in row or column, of another class."""
    border = np.zeros(mask.shape, dtype=bool)
    down, across = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= across
    border[:, :-1] |= across
    return border


def _even(picture: np.ndarray) -> np.ndarray:
    """Padded so that height and width are even, which yuv420p asks for."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
