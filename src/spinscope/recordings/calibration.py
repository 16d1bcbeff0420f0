"""Calibration stored in a TIFF: pixel size, time between frames, bits of the camera.

References
----------
OME-TIFF specification (ome-model.readthedocs.io); ImageJ's description text as written by
`ij.io.FileSaver`; tags of TIFF 6.0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spinscope.recordings.base import RecordingError, check_pixel_size

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


@dataclass(frozen=True)
class Calibration:
    """Metadata of a stack, None where unknown.

    Attributes
    ----------
    n : int or None
        Number of planes.
    channels, sections, times : int
        Numbers of channels, of planes in depth and in time.
    pixel_size, interval : float or None
        Pixel size in m and time between frames in s.
    plane_times : tuple of float
        Time of each plane in s, in the order of the frames; empty where one is unknown.
    bits : int or None
        Bits of the camera in a wider pixel.
    display : float or None
        Upper end of the display range.
    """

    n: int | None = None
    channels: int = 1
    sections: int = 1
    times: int = 1
    pixel_size: float | None = None
    interval: float | None = None
    plane_times: tuple[float, ...] = ()
    bits: int | None = None
    display: float | None = None


def calibration(page: tifffile.TiffPage, name: str) -> Calibration:
    """Read the calibration of a TIFF from its first page: OME-XML, else ImageJ's text, else tags.

    Parameters
    ----------
    page : TiffPage
        First page.
    name : str
        Name of the file, for error messages.

    Returns
    -------
    Calibration
        Metadata of the stack.

    Raises
    ------
    RecordingError
        For OME-XML that is damaged or declares entities.
    """
    if page.is_ome and (known := _of_ome(page.description, name, page.samplesperpixel)):
        return known
    if page.is_imagej:
        return _of_imagej(page)
    planes = _planes_of_shaped(page) if page.is_shaped else None
    return Calibration(n=planes, **_of_tags(page))


def _of_ome(text: str, name: str, samples: int = 1) -> Calibration | None:
    """Calibration in OME-XML, None where it only refers to another file.

    A pixel has `samples` values, which OME-XML counts as channels.
    """
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
    if pixels is None:
        return None
    if len(images) > 1:
        raise RecordingError(f"{name}: holds {len(images)} recordings; a recording is one of them")
    sizes = {axis: int(pixels.get(f"Size{axis}") or 1) for axis in "CZT"}
    sizes["C"] = max(sizes["C"] // samples, 1)
    channels = sum(_tag(e) == "Channel" for e in pixels) or sizes["C"]
    files = {e.get("FileName") for e in root.iter() if _tag(e) == "UUID"}
    x, y = (_quantity(pixels, f"PhysicalSize{axis}", "µm", METRES) for axis in "XY")
    increment = _quantity(pixels, "TimeIncrement", "s", SECONDS)
    bits = pixels.get("SignificantBits")
    return Calibration(
        n=math.prod(sizes.values()) if len(files) < 2 else None,  # else planes are in other files
        channels=max(channels, sizes["C"]),
        sections=sizes["Z"],
        times=sizes["T"],
        pixel_size=_square(x, y),
        interval=increment or _interval_of_planes(pixels),
        plane_times=_plane_times(pixels, sizes),
        bits=int(bits) if bits and bits.isdigit() else None,
    )


def _tag(element) -> str:
    """Tag of an XML element without its namespace."""
    return element.tag.rpartition("}")[2]


def _quantity(
    element, key: str, unit: str, units: dict[str, float], least: float = math.ulp(0)
) -> float | None:
    """Attribute of an XML element in SI units, None where unknown or below `least`."""
    scale = units.get(element.get(f"{key}Unit", unit).strip().lower())
    try:
        value = float(element.get(key, "nan"))
    except ValueError:
        return None
    return value * scale if scale and math.isfinite(value) and value >= least else None


def _interval_of_planes(pixels) -> float | None:
    """Mean time between planes."""
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


def _plane_times(pixels, sizes: dict[str, int]) -> tuple[float, ...]:
    """Time of each plane of a series that has neither channels nor depth."""
    times: dict[str | None, float | None] = {}
    for element in pixels:
        if _tag(element) == "Plane":
            times[element.get("TheT")] = _quantity(element, "DeltaT", "s", SECONDS, least=0.0)
    found = [times.get(str(k)) for k in range(sizes["T"])]
    if sizes["C"] * sizes["Z"] != 1 or len(found) < 2 or None in found:
        return ()
    return tuple(found)


def _of_imagej(page: tifffile.TiffPage) -> Calibration:
    """Calibration in ImageJ's description."""
    text = dict(re.findall(r"^(\w+)=(.*?)\s*$", page.imagej_description, re.MULTILINE))
    scale = METRES.get(text.get("unit", "").lower())
    step = _number(text, "finterval")
    return Calibration(
        n=_count(text, "images"),
        channels=_count(text, "channels"),
        sections=_count(text, "slices"),
        times=_count(text, "frames"),
        pixel_size=_square(*(_resolution(page, axis, scale) for axis in "XY")),
        interval=step * SECONDS.get(text.get("tunit", "s").lower(), 1.0) if step else None,
        display=_number(text, "max"),
    )


def _number(text: dict[str, str], key: str) -> float | None:
    """Positive number of a description, None where unknown."""
    try:
        value = float(text.get(key, "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _count(text: dict[str, str], key: str) -> int:
    """Number of planes along an axis, 1 where unknown."""
    return int(_number(text, key) or 1)


def _of_tags(page: tifffile.TiffPage) -> dict:
    """Pixel size and display range in the tags of a page."""
    unit = {2: 2.54e-2, 3: 1e-2}.get(int(page.tags.valueof(296, 2)))
    size = _square(*(_resolution(page, axis, unit) for axis in "XY"))
    top = page.tags.valueof(281)  # MaxSampleValue
    return {"pixel_size": size, "display": float(top) if isinstance(top, int) else None}


def _resolution(page: tifffile.TiffPage, axis: str, unit: float | None) -> float | None:
    """Pixel size along an axis, from the resolution tag in pixels per `unit` metres."""
    value = page.tags.valueof({"X": 282, "Y": 283}[axis])
    if unit is None or value is None or not value[0] or not value[1]:
        return None
    return unit * value[1] / value[0]


def _square(x: float | None, y: float | None) -> float | None:
    """Side of a pixel that is square to 1 %; an unknown side equals the other.

    A resolution may be that of a printer or a screen: 72 dots per inch are a pixel of 353 µm. Such
    a size, which no micrograph of magnetic textures has, is unknown.
    """
    size = x or y if x is None or y is None else x
    if x is not None and y is not None and not math.isclose(x, y, rel_tol=0.01):
        return None
    try:
        return check_pixel_size(size)
    except RecordingError:
        return None


def _planes_of_shaped(page: tifffile.TiffPage) -> int | None:
    """Number of planes in the description that tifffile writes."""
    import json

    try:
        shape = json.loads(page.shaped_description)["shape"]
        sides = 2 if page.samplesperpixel == 1 else 3
        return math.prod(int(side) for side in shape[:-sides])
    except (ValueError, KeyError, TypeError):
        return None
