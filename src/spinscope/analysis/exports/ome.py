"""Label images as OME-TIFF: object numbers or class indices."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.objects import BAND_PX, label_objects
from spinscope.errors import SpinscopeError
from spinscope.files import provenance


def write_object_image(target: Path, frames: Frames, object_class: str | None = None) -> None:
    """Write the number of the object that each pixel belongs to, 0 outside objects.

    Pixels are uint16, or uint32 where the first frame holds more than 32 767 objects.

    Parameters
    ----------
    target : Path
        File to write.
    frames : Frames
        Frames to export.
    object_class : str, optional
        Class whose objects are numbered, by default the first one (skyrmions).

    Raises
    ------
    SpinscopeError
        For an unknown class, and where a later frame holds more objects than its pixels can number.
    """
    name = object_class or next((name for _, name in frames.object_classes), None)
    if name not in frames.classes:
        raise SpinscopeError(f"class {name!r} must be one of {', '.join(frames.classes)}")
    class_ = list(frames.classes).index(name)
    top = 0

    def labels() -> Iterator[tuple[np.ndarray, type]]:
        nonlocal top
        for index, _, mask in frames:
            numbers, areas = label_objects(mask == class_, frames.min_px)
            top = top or (65535 if len(areas) < 2**15 else 2**32 - 1)
            if len(areas) > top:
                raise SpinscopeError(
                    f"frame {index} holds {len(areas)} objects; in 16 bits at most {top} can be "
                    "told apart (export class indices, or this frame alone)"
                )
            yield numbers, np.uint16 if top == 65535 else np.uint32

    _write(target, labels(), f"{name} objects", frames)


def write_class_image(target: Path, frames: Frames) -> None:
    """Write the class index of each pixel (uint8); the description names the classes."""
    names = ", ".join(f"{index} {name}" for index, name in enumerate(frames.classes))
    _write(target, ((mask, np.uint8) for _, _, mask in frames), f"classes: {names}", frames)


def _write(
    target: Path, labels: Iterator[tuple[np.ndarray, type]], title: str, frames: Frames
) -> None:
    """Write one page per frame, then the OME-XML with their number."""
    import tifffile

    count, shape, dtype = 0, (0, 0), np.uint8
    with tifffile.TiffWriter(target, ome=False) as file:
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
    metadata: dict[str, Any] = {"Name": title, "Channel": {"Name": title}}
    for axis in "XY" if frames.pixel_size else "":
        metadata[f"PhysicalSize{axis}"] = float(f"{frames.pixel_size * 1e6:.12g}")
        metadata[f"PhysicalSize{axis}Unit"] = "µm"
    if frames.interval:
        metadata |= {"TimeIncrement": frames.interval, "TimeIncrementUnit": "s"}
    version = provenance()["spinscope_version"]
    xml = tifffile.OmeXml(Creator=f"spinscope {version}")
    xml.addimage(dtype, (count, *shape), (count, 1, 1, *shape, 1), axes="TYX", **metadata)
    with tifffile.TiffFile(target, mode="r+") as file:
        file.pages.first.tags[270].overwrite(xml.tostring(declaration=True).encode())


def _strips(label: np.ndarray, dtype: type, rows: int) -> Iterator[bytes]:
    """Compressed strips of a page."""
    for top in range(0, len(label), rows):
        yield zlib.compress(np.ascontiguousarray(label[top : top + rows], dtype=dtype), 4)
