"""Label images as OME-TIFF: object numbers or class indices."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import GROUND, Frame, checked, number, written
from spinscope.analysis.objects import BAND_PX, label_objects
from spinscope.errors import SpinscopeError


def write_object_image(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
    object_class: str | None = None,
) -> int:
    """Write the number of the object that each pixel belongs to, 0 where it belongs to none.

    object_class : class that is numbered; the first one that is an object (skyrmion) where None.
    Pixels are uint16, or uint32 where the first frame already holds more than 32 767 objects.
    Raises SpinscopeError where a later frame holds more than its pixels can tell apart.
    """
    of = object_class or next((name for name in classes if name not in GROUND), None)
    if of not in classes:
        raise SpinscopeError(f"class {of!r} must be one of {', '.join(classes)}")
    top = 0

    def labels() -> Iterator[tuple[np.ndarray, type]]:
        nonlocal top
        for index, _, mask in checked(frames, classes):
            numbers, areas = label_objects(mask == classes.index(of), min_px)
            top = top or (65535 if len(areas) < 2**15 else 2**32 - 1)
            if len(areas) > top:
                raise SpinscopeError(
                    f"frame {index} holds {len(areas)} objects; in 16 bits at most {top} can be "
                    "told apart (export class indices, or this frame alone)"
                )
            yield numbers, np.uint16 if top == 65535 else np.uint32

    return _write(target, labels(), f"{of} objects", pixel_size, interval)


def write_class_image(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write the class index of each pixel (uint8); the description names the classes."""
    said = ", ".join(f"{index} {name}" for index, name in enumerate(classes))
    labels = ((mask, np.uint8) for _, _, mask in checked(frames, classes))
    return _write(target, labels, f"classes: {said}", pixel_size, interval)


def _write(
    target: Path | str,
    labels: Iterator[tuple[np.ndarray, type]],
    title: str,
    pixel_size: float | None,
    interval: float | None,
) -> int:
    """Pages first, one a frame; then the OME-XML, which tells how many there are."""
    import tifffile

    count, shape, dtype = 0, (0, 0), np.uint8
    with written(target) as partial:
        with tifffile.TiffWriter(partial, ome=False) as file:
            for label, dtype in labels:
                shape = label.shape
                rows = min(shape[0], max(1, BAND_PX // shape[1]))
                file.write(
                    _strips(label, dtype, rows),
                    shape=shape,
                    dtype=dtype,
                    rowsperstrip=rows,
                    compression="adobe_deflate",
                    photometric="minisblack",
                    metadata=None,
                    description="OME-XML follows" if not count else None,
                    software="spinscope" if not count else False,
                )
                count += 1
        xml = _description(dtype, (count, *shape), title, pixel_size, interval)
        with tifffile.TiffFile(partial, mode="r+") as file:
            file.pages.first.tags[270].overwrite(xml)
    return count


def _strips(label: np.ndarray, dtype: type, rows: int) -> Iterator[bytes]:
    for top in range(0, len(label), rows):
        yield zlib.compress(np.ascontiguousarray(label[top : top + rows], dtype=dtype), 4)


def _description(
    dtype: type,
    shape: tuple[int, ...],
    title: str,
    pixel_size: float | None,
    interval: float | None,
) -> bytes:
    import tifffile

    said = {"Name": title, "Channel": {"Name": title}}
    for axis in "XY" if pixel_size else "":
        said[f"PhysicalSize{axis}"] = float(f"{pixel_size * 1e6:.12g}")
        said[f"PhysicalSize{axis}Unit"] = "µm"
    if interval:
        said |= {"TimeIncrement": interval, "TimeIncrementUnit": "s"}
    xml = tifffile.OmeXml(Creator="spinscope")
    stored = (shape[0], 1, 1, *shape[1:], 1)
    xml.addimage(dtype, shape, stored, axes="TYX", **said)
    return xml.tostring(declaration=True).encode()
