"""Frames of an OME-Zarr image, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.recordings.base import RecordingError
from spinscope.recordings.calibration import METRES, SECONDS
from spinscope.recordings.file import FileRecording

_CHUNK = 2048
"""Largest side of a chunk of a written image in px."""


class ZarrRecording(FileRecording):
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
        self._check_chunks(place)
        return self._store[tuple(place)]

    def _check_chunks(self, place: list[int]) -> None:
        """Refuse a frame with a missing chunk, which would be read as fill value."""
        array = self._store
        sides = array.shards or array.chunks
        grid = [range(-(-size // side)) for size, side in zip(self.shape, sides[-2:], strict=True)]
        first = [k // side for k, side in zip(place, sides, strict=False)]
        keys = [array.metadata.encode_chunk_key((*first, *last)) for last in product(*grid)]
        missing = sum(not (self.path / array.path / key).is_file() for key in keys)
        if missing:
            raise ValueError(
                f"{missing} of its {len(keys)} chunks are missing; copy the store again, or write "
                "empty chunks too (write_empty_chunks)"
            )


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


class ZarrWriter:
    """Writes a time series and its labels frame by frame as OME-Zarr 0.5.

    Parameters
    ----------
    folder : Path
        Empty folder of the store.
    pixel_size : float or None
        Pixel size in m.
    interval : float or None
        Time between frames in s.
    """

    def __init__(self, folder: Path, pixel_size: float | None, interval: float | None):
        import zarr

        self._root = zarr.open_group(folder, mode="w", zarr_format=3)
        self._pixel_size, self._interval = pixel_size, interval
        self._arrays: dict[str, Any] = {}
        self._colours: dict[str, Mapping[int, Any]] = {}

    def add(self, label: str, frame: np.ndarray, colours: Mapping[int, Any] | None = None) -> None:
        """Append a frame to the image, or to one of its labels.

        Parameters
        ----------
        label : str
            Name of the label, "" for the image.
        frame : (H, W) array
            Pixels.
        colours : mapping, optional
            Value → RGB of 8 bit, of a label.
        """
        if label not in self._arrays:
            path = f"labels/{label}/0" if label else "0"
            self._arrays[label] = self._root.create_array(
                path,
                shape=(0, *frame.shape),
                chunks=(1, *(min(side, _CHUNK) for side in frame.shape)),
                dtype=frame.dtype,
                dimension_names=("t", "y", "x"),
                config={"write_empty_chunks": True},
            )
            self._colours[label] = colours or {}
        self._arrays[label].append(frame[None])

    def finish(self) -> None:
        """Write the metadata: axes with units, scales, and the list of labels."""
        self._root.attrs["ome"] = {"version": "0.5", "multiscales": [self._scales("image")]}
        labels = [label for label in self._arrays if label]
        if not labels:
            return
        self._root["labels"].attrs["ome"] = {"version": "0.5", "labels": labels}
        for label in labels:
            colours = [
                {"label-value": value, "rgba": [*map(int, rgb), 255]}
                for value, rgb in self._colours[label].items()
            ]
            known = {"source": {"image": "../../"}} | ({"colors": colours} if colours else {})
            self._root[f"labels/{label}"].attrs["ome"] = {
                "version": "0.5",
                "multiscales": [self._scales(label)],
                "image-label": known,
            }

    def _scales(self, name: str) -> dict[str, Any]:
        """One multiscale image of one level."""
        time, space = {"name": "t", "type": "time"}, {"type": "space"}
        time |= {"unit": "second"} if self._interval else {}
        space |= {"unit": "micrometer"} if self._pixel_size else {}
        side = float(f"{self._pixel_size * 1e6:.12g}") if self._pixel_size else 1.0
        scale = {"type": "scale", "scale": [self._interval or 1.0, side, side]}
        return {
            "name": name,
            "axes": [time, {"name": "y", **space}, {"name": "x", **space}],
            "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        }
