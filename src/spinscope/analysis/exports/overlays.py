"""Frames with their masks drawn on them, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from spinscope.analysis.exports.frames import Frame, checked, number
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder
from spinscope.inference.segment import overlay, write_picture


def write_overlays(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write a folder of PNG: each frame, stretched to its 1-99 % range, tinted by class.

    Raises SpinscopeError where two frames are of one name.
    """
    seen: set[str] = set()
    try:
        with atomic_folder(target) as partial:
            for index, image, mask in checked(frames, classes, images=True):
                name = names(index)
                if name in seen:
                    raise SpinscopeError(f"two frames are named {name!r}; their pictures collide")
                seen.add(name)
                write_picture(partial / f"{name}.png", [overlay(image, mask)])
    except OSError as error:
        raise SpinscopeError(
            f"{target} cannot be written: {error.strerror or error}; nothing of it was kept"
        ) from error
    return len(seen)
