"""Frames with the outlines of their objects, as a video that any player shows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import Frames
from spinscope.classes import COLOURS

MOST = 4096
"""Largest side of a video: what players decode in hardware."""

_DOUBLED = 1024  # largest side of frames that are doubled
_RATE, _SLOWEST, _FASTEST = 10, 1, 60  # frames per second
_SMOOTHING = 0.1  # fraction of a change of the grey levels that each frame follows
_FAST_START = {"movflags": "+faststart"}
_QUALITY = {"crf": "20", "preset": "superfast"}


def write_video(target: Path, frames: Frames) -> None:
    """Write MP4 (H.264, yuv420p) with the inner border of every object in the colour of its class.

    The video runs in real time if that is 1 to 60 frames per second, else at 10 frames per second.
    Frames of up to 1024 px a side are doubled, so that thin outlines keep their colour; larger
    ones than 4096 px are subsampled. Odd sides are padded. Grey levels are stretched to the 1-99 %
    range, which follows the recording slowly to avoid flicker.
    """
    import av

    shown, levels = [index for index, _ in frames.object_classes], None
    with av.open(str(target), "w", format="mp4", options=_FAST_START) as out:
        stream = out.add_stream("libx264", rate=_rate(frames.interval), options=_QUALITY)
        stream.pix_fmt = "yuv420p"
        for _, image, mask in frames:
            step = -(-max(mask.shape) // MOST)
            image, mask = image[::step, ::step], mask[::step, ::step]
            levels = _smoothed(levels, image)
            rgb = _outlined(_grey(image, levels), mask, shown)
            if not frames.count:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = frames.count
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def _smoothed(levels: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    """Grey levels shown black and white: the 1-99 % range of the image, smoothed over time."""
    stride = max(1, min(image.shape) // 256)
    now = np.percentile(image[::stride, ::stride], (1, 99))
    before = now if levels is None else levels
    return before + _SMOOTHING * (now - before)


def _grey(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Image as (H, W) uint8 grey levels."""
    low, high = levels
    scale = np.float32(255 / max(high - low, 1e-6))
    grey = (np.asarray(image, dtype=np.float32) - np.float32(low)) * scale
    return np.clip(grey, 0, 255).astype(np.uint8)


def _rate(interval: float | None) -> Fraction:
    """Frames per second."""
    if interval and _SLOWEST <= 1 / interval <= _FASTEST:
        return Fraction(1 / interval).limit_denominator(1000)
    return Fraction(_RATE)


def _outlined(grey: np.ndarray, mask: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """Grey levels with the borders of objects, doubled if small, with even sides, as uint8 RGB."""
    doubled = max(mask.shape) <= _DOUBLED
    if doubled:
        grey, mask = (array.repeat(2, axis=0).repeat(2, axis=1) for array in (grey, mask))
    objects = np.isin(mask, shown)
    border = inner_border(mask) & objects
    if doubled:  # two pixels wide: yuv420p stores colour at half the resolution
        border |= inner_border(np.where(border, len(COLOURS), mask)) & objects
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    rgb[border] = COLOURS[mask[border] % len(COLOURS)]
    height, width = rgb.shape[:2]
    return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def inner_border(mask: np.ndarray) -> np.ndarray:
    """Return the pixels with a neighbour of another class in their row or column, (H, W) bool."""
    border = np.zeros(mask.shape, dtype=bool)
    down, across = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= across
    border[:, :-1] |= across
    return border
