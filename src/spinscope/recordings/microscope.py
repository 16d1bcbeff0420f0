"""Frames of the files that electron microscopes write: MRC, Velox EMD, OME-Zarr, Gatan DM3 and DM4.

Only the headers are read on opening. A frame is read when it is requested.
"""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.recordings.base import (
    Recording,
    RecordingError,
    check_pixel_size,
    check_size,
    fingerprint,
    white_level,
)
from spinscope.recordings.calibration import METRES, SECONDS

_ANGSTROM = 1e-10


class _FileRecording(Recording):
    """Frames of a file; `_open` returns the image and its calibration."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem.removesuffix(".ome")
        self._lock = threading.Lock()
        try:
            self.fingerprint = fingerprint(self._files())
            self._frames = self._open()
            shape, dtype = tuple(self._frames.shape), np.dtype(self._frames.dtype)
        except RecordingError:
            raise
        except Exception as error:  # the readers raise many kinds on damaged files
            text = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(f"{path} is truncated or damaged: {text}") from error
        if len(shape) not in (2, 3) or not all(shape):
            raise RecordingError(f"{path}: data of shape {shape} must be (n, H, W) or (H, W)")
        if dtype.kind not in "buif":
            raise RecordingError(f"{path}: {dtype} pixels; must be real numbers")
        self._single = len(shape) == 2
        self.n, self.shape = self._count(shape), self._plane(shape)
        self.scale = white_level(dtype)
        check_size(path, *self.shape)

    def _files(self) -> list[Path]:
        """Files of the recording."""
        return [self.path]

    @abstractmethod
    def _open(self) -> Any:
        """Return the array of the frames, and set calibration and metadata."""

    def _count(self, shape: tuple[int, ...]) -> int:
        """Number of frames."""
        return 1 if self._single else shape[0]

    def _plane(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of a frame in px."""
        return shape[-2:]

    def _frame(self, index: int) -> Any:
        """Pixels of a frame."""
        return self._frames if self._single else self._frames[index]

    def stored(self, index: int) -> np.ndarray:
        """Read the stored pixels (H, W) of one frame."""
        self.check_index(index)
        try:
            with self._lock:
                pixels = np.array(self._frame(index))
        except Exception as error:  # the readers raise many kinds on damaged files
            text = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(
                f"{self.path}: frame {index} cannot be read: {text}", index
            ) from error
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

    def _calibrate(self, y: float | None, x: float | None, interval: float | None = None) -> None:
        """Set pixel size and interval; pixels that are not square, and no micrograph's, have none.

        Parameters
        ----------
        y, x : float or None
            Sides of a pixel in m.
        interval : float, optional
            Time between frames in s.
        """
        self.interval = interval if interval and interval > 0 else None
        if y and x and abs(y / x - 1) <= 0.01:
            try:
                self.pixel_size = check_pixel_size(x)
            except RecordingError:
                self.pixel_size = None


class MrcRecording(_FileRecording):
    """Sections of an MRC file as frames, memory-mapped; an unset voxel size is unknown."""

    def _open(self) -> Any:
        import mrcfile

        file = mrcfile.mmap(self.path, mode="r")
        size = file.voxel_size
        self._calibrate(float(size.y) * _ANGSTROM, float(size.x) * _ANGSTROM)
        labels = [bytes(label).decode("latin-1").strip(" \0") for label in file.header.label]
        self.metadata = {"labels": [label for label in labels if label]}
        return file.data


class VeloxRecording(_FileRecording):
    """Frames of the image in an EMD file of Velox."""

    def _open(self) -> Any:
        import h5py

        self._file = h5py.File(self.path, "r")
        images = self._file.get("Data/Image")
        if images is None or len(images) != 1:
            raise RecordingError(
                f"{self.path}: holds {0 if images is None else len(images)} images of Velox; a "
                "recording must be one of them"
            )
        image = next(iter(images.values()))
        if "Metadata" in image:
            text = bytes(image["Metadata"][:, 0]).split(b"\0")[0]
            self.metadata = json.loads(text) if text.strip() else {}
        known = self.metadata.get("BinaryResult", {})
        sides, units = known.get("PixelSize", {}), known.get("PixelUnitX", "")
        unit = METRES.get(str(units).lower())
        if unit:
            self._calibrate(*(float(sides.get(key, 0)) * unit for key in ("height", "width")))
        return image["Data"]

    def _count(self, shape: tuple[int, ...]) -> int:
        """Number of frames, the last axis."""
        return 1 if self._single else shape[2]

    def _plane(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of a frame in px."""
        return shape[:2]

    def _frame(self, index: int) -> Any:
        """Pixels of a frame."""
        return self._frames[...] if self._single else self._frames[:, :, index]


class ZarrRecording(_FileRecording):
    """Frames of an OME-Zarr image at full resolution, versions 0.4 and 0.5."""

    def _files(self) -> list[Path]:
        """All files of the store."""
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    def _open(self) -> Any:
        import zarr

        group = zarr.open_group(self.path, mode="r")
        attributes = dict(group.attrs)
        images = attributes.get("ome", attributes).get("multiscales", [])
        if len(images) != 1:
            raise RecordingError(
                f"{self.path}: holds {len(images)} images of OME-Zarr; a recording must be one of "
                "them"
            )
        self.metadata = attributes
        level = images[0]["datasets"][0]
        array = group[level["path"]]
        names = [axis["name"] for axis in images[0]["axes"]]
        if names[-2:] != ["y", "x"] or len(names) != array.ndim:
            raise RecordingError(f"{self.path}: axes {names} must end in y, x, one per dimension")
        self._axis = _frame_axis(self.path, dict(zip(names, array.shape, strict=True)))
        scales = [
            one["scale"]
            for one in level.get("coordinateTransformations", [])
            if one.get("type") == "scale"
        ]
        if scales:
            sides = dict(zip(names, scales[0], strict=True))
            units = {axis["name"]: str(axis.get("unit", "")).lower() for axis in images[0]["axes"]}
            y, x = (METRES.get(units[name], 0) * sides[name] for name in "yx")
            self._calibrate(y, x, SECONDS.get(units.get("t", ""), 0) * sides.get("t", 0))
        self._store, shape = array, array.shape
        return np.broadcast_to(
            np.zeros((), array.dtype), (*(shape[k] for k in self._axis), *shape[-2:])
        )

    def _frame(self, index: int) -> Any:
        """Pixels of a frame."""
        place = [index if k in self._axis else 0 for k in range(self._store.ndim - 2)]
        return self._store[tuple(place)]


def _frame_axis(path: Path, sizes: Mapping[str, int]) -> list[int]:
    """Number of the axis of the frames, in a list; empty for one image."""
    axes = [k for k, (name, size) in enumerate(sizes.items()) if name not in "yx" and size > 1]
    if len(axes) > 1 or sizes.get("c", 1) > 1:
        found = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise RecordingError(
            f"{path}: has the axes {found}; a recording must have one channel, and several frames "
            "along one axis"
        )
    return axes


class GatanRecording(_FileRecording):
    """Frames of the image in a DM3 or DM4 file, read by RosettaSciIO (extra `microscopes`)."""

    def _open(self) -> Any:
        try:
            from rsciio.digitalmicrograph import file_reader
        except ImportError as error:
            raise RecordingError(
                f"{self.path}: files of Gatan need RosettaSciIO; install it with "
                "pip install 'spinscope[microscopes]'"
            ) from error
        images = file_reader(str(self.path), lazy=True)
        if len(images) != 1:
            raise RecordingError(
                f"{self.path}: holds {len(images)} images; a recording must be one of them"
            )
        (image,) = images
        self.metadata = image["original_metadata"]
        *frames, y, x = image["axes"]
        interval = _length(frames[0], SECONDS) if len(frames) == 1 else None
        self._calibrate(_length(y, METRES), _length(x, METRES), interval)
        return image["data"]


def _length(axis: Mapping[str, Any], units: Mapping[str, float]) -> float | None:
    """Step along an axis in SI units, None where it is not calibrated in one of `units`."""
    unit = units.get(str(axis.get("units", "")).lower())
    return unit and abs(float(axis["scale"])) * unit


KINDS: Sequence[tuple[set[str], type[_FileRecording]]] = (
    ({".mrc", ".mrcs"}, MrcRecording),
    ({".emd"}, VeloxRecording),
    ({".dm3", ".dm4"}, GatanRecording),
)
"""Suffixes of files, and the recordings that read them."""

ZARR = ".zarr"
"""Suffix of the folder of an OME-Zarr image."""
