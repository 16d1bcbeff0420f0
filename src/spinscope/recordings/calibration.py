"""What a TIFF says of itself: pixel size, time between frames, bits that the camera used.

Sources: OME-TIFF specification (ome-model.readthedocs.io), ImageJ's description text as written by
`ij.io.FileSaver`, and the tags of TIFF 6.0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spinscope.recordings.base import RecordingError

if TYPE_CHECKING:
    import tifffile

METRES = {
    "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "\\u00b5m": 1e-6,
    "micron": 1e-6, "microns": 1e-6, "micrometer": 1e-6, "micrometre": 1e-6,
    "nm": 1e-9, "nanometer": 1e-9, "nanometre": 1e-9, "pm": 1e-12, "å": 1e-10,
    "angstrom": 1e-10, "\\u00c5": 1e-10, "inch": 2.54e-2, "in": 2.54e-2,
}  # fmt: skip
SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6,
    "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0,
}  # fmt: skip

# A tag that holds a printer's or a screen's resolution says nothing of the specimen: 2540 dots an
# inch are a pixel of 10 µm, coarser than any micrograph of magnetic textures.
_FINEST, _COARSEST = 1e-12, 1e-5


@dataclass(frozen=True)
class Calibration:
    """What is known of a stack; None where nothing is said.

    n : number of planes promised.   channels : of colour or of fluorescence.
    sections, times : planes in depth and in time.   pixel_size : m.   interval : s.
    bits : bits of the camera in a wider pixel.   display : top of the display range.
    """

    n: int | None = None
    channels: int = 1
    sections: int = 1
    times: int = 1
    pixel_size: float | None = None
    interval: float | None = None
    bits: int | None = None
    display: float | None = None


def calibration(page: tifffile.TiffPage, name: str) -> Calibration:
    """Read what the first page of a TIFF says: OME-XML, else ImageJ's text, else its tags."""
    if page.is_ome and (said := _of_ome(page.description, name)):
        return said
    if page.is_imagej:
        return _of_imagej(page)
    planes = _planes_of_shaped(page) if page.is_shaped else None
    return Calibration(n=planes, **_of_tags(page))


def _of_ome(text: str, name: str) -> Calibration | None:
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise RecordingError(
            f"{name}: its OME-XML declares entities; such a description is not read"
        )
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RecordingError(f"{name}: its OME-XML is damaged: {error}") from error
    images = [e for e in root.iter() if _tag(e) == "Image"]
    pixels = next((e for e in root.iter() if _tag(e) == "Pixels"), None)
    if pixels is None:  # it only names the file that holds the description
        return None
    if len(images) > 1:
        raise RecordingError(f"{name}: holds {len(images)} recordings; a recording is one of them")
    sizes = {axis: int(pixels.get(f"Size{axis}") or 1) for axis in "CZT"}
    channels = sum(_tag(e) == "Channel" for e in pixels) or sizes["C"]
    files = {e.get("FileName") for e in root.iter() if _tag(e) == "UUID"}
    x, y = (_quantity(pixels, f"PhysicalSize{axis}", "µm", METRES) for axis in "XY")
    increment = _quantity(pixels, "TimeIncrement", "s", SECONDS)
    bits = pixels.get("SignificantBits")
    return Calibration(
        n=math.prod(sizes.values()) if len(files) < 2 else None,  # else planes lie elsewhere
        channels=max(channels, sizes["C"]),
        sections=sizes["Z"],
        times=sizes["T"],
        pixel_size=_square(x, y),
        interval=increment or _interval_of_planes(pixels),
        bits=int(bits) if bits and bits.isdigit() else None,
    )


def _tag(element) -> str:
    return element.tag.rpartition("}")[2]


def _quantity(element, key: str, unit: str, units: dict[str, float]) -> float | None:
    scale = units.get(element.get(f"{key}Unit", unit).strip().lower())
    try:
        value = float(element.get(key, "nan"))
    except ValueError:
        return None
    return value * scale if scale and math.isfinite(value) and value > 0 else None


def _interval_of_planes(pixels) -> float | None:
    """Mean step of the planes' times."""
    planes = [e for e in pixels if _tag(e) == "Plane" and e.get("DeltaT")]
    if len(planes) < 2 or planes[0].get("TheT") == planes[-1].get("TheT"):
        return None
    first, last = planes[0], planes[-1]
    scale = SECONDS.get(first.get("DeltaTUnit", "s").strip().lower())
    try:
        span = float(last.get("DeltaT")) - float(first.get("DeltaT"))
        step = span / (int(last.get("TheT")) - int(first.get("TheT")))
    except (TypeError, ValueError):
        return None
    return step * scale if scale and math.isfinite(step) and step > 0 else None


def _of_imagej(page: tifffile.TiffPage) -> Calibration:
    said = dict(re.findall(r"^(\w+)=(.*?)\s*$", page.imagej_description, re.MULTILINE))
    scale = METRES.get(said.get("unit", "").lower())
    step = _number(said, "finterval")
    return Calibration(
        n=_count(said, "images"),
        channels=_count(said, "channels"),
        sections=_count(said, "slices"),
        times=_count(said, "frames"),
        pixel_size=_square(*(_pixels_per_unit(page, axis, scale) for axis in "XY")),
        interval=step * SECONDS.get(said.get("tunit", "s").lower(), 1.0) if step else None,
        display=_number(said, "max"),
    )


def _number(said: dict[str, str], key: str) -> float | None:
    try:
        value = float(said.get(key, "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _count(said: dict[str, str], key: str) -> int:
    return int(_number(said, key) or 1)


def _of_tags(page: tifffile.TiffPage) -> dict:
    unit = {2: 2.54e-2, 3: 1e-2}.get(int(page.tags.valueof(296, 2)))
    size = _square(*(_pixels_per_unit(page, axis, unit) for axis in "XY"))
    if size is not None and not _FINEST <= size <= _COARSEST:
        size = None
    top = page.tags.valueof(281)  # MaxSampleValue
    return {"pixel_size": size, "display": float(top) if isinstance(top, int) else None}


def _pixels_per_unit(page: tifffile.TiffPage, axis: str, unit: float | None) -> float | None:
    value = page.tags.valueof({"X": 282, "Y": 283}[axis])
    if unit is None or value is None or not value[0] or not value[1]:
        return None
    return unit * value[1] / value[0]


def _square(x: float | None, y: float | None) -> float | None:
    """The pixel's side, if it is a square to 1 %; one unknown side is taken to be the other."""
    if x is None or y is None:
        return x or y
    return x if math.isclose(x, y, rel_tol=0.01) else None


def _planes_of_shaped(page: tifffile.TiffPage) -> int | None:
    import json

    try:
        shape = json.loads(page.shaped_description)["shape"]
        return math.prod(int(side) for side in shape[:-2])
    except (ValueError, KeyError, TypeError):
        return None
