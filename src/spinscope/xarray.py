"""Recordings, masks and tables as objects of xarray, with named dimensions and units.

`import spinscope.xarray` gives every DataArray the accessor `spinscope`. The dimensions of images
and masks are ("y", "x"), ("time", "y", "x") or ("frame", "y", "x"). Pixel size and time between
frames come from the coordinates, whose unit is their attribute `units`.

Examples
--------
>>> import spinscope.xarray                                                # doctest: +SKIP
>>> image = spinscope.xarray.open_recording("stack.tif", pixel_size=2e-7)  # doctest: +SKIP
>>> result = image.spinscope.segment("bundled:moke-unet")                  # doctest: +SKIP
>>> tables = result["mask"].spinscope.measure(result["image"])             # doctest: +SKIP
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import api
from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.recordings import Recording, check_pixel_size, image_of
from spinscope.recordings import open_recording as open_frames
from spinscope.recordings.array import ArrayRecording
from spinscope.recordings.calibration import METRES, SECONDS

with explained():
    import xarray

if TYPE_CHECKING:
    import pandas as pd

    from spinscope.inference.predict import Predictor

_DIMS = ("y", "x"), ("time", "y", "x"), ("frame", "y", "x")
_NO_UNIT = {"", "1", "px", "pixel", "pixels", "frame", "frames"}
_UNITS = {
    "px": "px", "px2": "px²", "nm": "nm", "nm2": "nm²", "um": "µm", "um2": "µm²", "deg": "deg",
    "s": "s", "ns": "ns", "mt": "mT", "ma": "mA", "k": "K", "frames": "frames",
}  # fmt: skip
"""Unit in the name of a column → attribute `units`."""
_UNIT = re.compile(rf"_({'|'.join(_UNITS)})(?=$|_mean|_se|_sd|_q\d)")
_ROWS = {"figures": "figure", "pair_correlation": "r_px", "lifetimes": "track", "msd": "lag_frames"}
"""Table → column, or name of the index, that becomes its dimension."""


def open_recording(
    source: Path | str | np.ndarray,
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
) -> xarray.DataArray:
    """Read a recording into memory.

    Parameters
    ----------
    source : Path, str or (n, H, W) array
        File, folder, or frames, as `spinscope.open_recording` takes them.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s, which override the recording's metadata.

    Returns
    -------
    (n, H, W) float32 DataArray
        `image`, intensities from 0 to 1 with the dimensions time, y and x in s and µm. Without an
        interval the first dimension is `frame`, and without a pixel size y and x are in px. Field,
        current and temperature of each frame are further coordinates.

    Raises
    ------
    SpinscopeError
        Where a frame cannot be read, and for a pixel size that is not from 0.5 nm to 10 µm.
    """
    recording = open_frames(source, pixel_size=pixel_size)
    if interval is not None:
        recording.interval = interval
    return _image(recording)


def to_dataset(result: api.Segmentation | Path | str) -> xarray.Dataset:
    """Return a segmented recording as a Dataset.

    Parameters
    ----------
    result : Segmentation, Path or str
        Result of `spinscope.segment`, or a folder that `spinscope segment` wrote.

    Returns
    -------
    Dataset
        As that of `Accessor.segment`; without the image where the recording no longer exists.
    """
    result = result if isinstance(result, api.Segmentation) else api.Segmentation.open(result)
    if result.recording is not None:
        result.recording.pixel_size = result.pixel_size
        result.recording.interval = result.interval
        return _dataset(result, _image(result.recording))
    coordinates = _coordinates(result.masks.shape, result.pixel_size, result.interval)
    masks = xarray.DataArray(result.masks, coordinates, list(coordinates))
    return _dataset(result, masks).drop_vars("image")


@xarray.register_dataarray_accessor("spinscope")
class Accessor:
    """Segmentation and measurement of a DataArray, as `array.spinscope`.

    Parameters
    ----------
    array : DataArray
        Images or masks with the dimensions (y, x), (time, y, x) or (frame, y, x).
    """

    def __init__(self, array: xarray.DataArray):
        self._array = array

    @property
    def pixel_size(self) -> float | None:
        """Pixel size in m, None where y and x have no unit of length.

        Raises
        ------
        SpinscopeError
            For coordinates that are not those of square pixels of 0.5 nm to 10 µm.
        """
        _check_dims(self._array)
        sizes = [size for size in map(self._step, ("y", "x")) if size is not None]
        if len(sizes) == 2 and not np.isclose(*sizes, rtol=0.01):
            raise SpinscopeError(
                f"pixels must be square; those of y and x are {sizes[0]:g} m and {sizes[1]:g} m"
            )
        return check_pixel_size(sizes[0]) if sizes else None

    @property
    def interval(self) -> float | None:
        """Mean time between frames in s, None where there is no dimension `time` with a unit.

        Raises
        ------
        SpinscopeError
            For times that do not increase.
        """
        _check_dims(self._array)
        if self._array.dims[0] != "time" or "time" not in self._array.coords:
            return None
        times = self._array["time"].values
        if times.dtype.kind in "mM":
            times, scale = (times - times[0]) / np.timedelta64(1, "s"), 1.0
        else:
            scale = _factor(self._array["time"], SECONDS)
        if scale is None or len(times) < 2:
            return None
        if not (np.diff(times) > 0).all():
            raise SpinscopeError("the coordinates of time must increase from frame to frame")
        return float(times[-1] - times[0]) / (len(times) - 1) * scale

    def segment(
        self,
        model: Predictor | str = "bundled:moke-unet",
        *,
        probability: bool = False,
        **settings: Any,
    ) -> xarray.Dataset:
        """Segment images and measure their skyrmions, see `spinscope.segment`.

        Parameters
        ----------
        model : Predictor, Ensemble or str
            Model, or its reference.
        probability : bool, default False
            Whether the Dataset contains the probability of skyrmion, for which the model is applied
            once more.
        **settings
            Settings of `spinscope.segment`.

        Returns
        -------
        Dataset
            The images under their own name, or `image`; `mask`, class indices of type uint8, whose
            attribute `flag_meanings` names the classes; and `probability` with NaN where the
            image shows no sample. They have the dimensions and coordinates of the images. The
            columns of the table of objects have the dimension `object`; `frame_index` and
            `object_index` are numbers of frame and object in the tables. The coordinates
            `object_y`, `object_x` and `object_time` give the place of each object in those of
            the images.

        Raises
        ------
        SpinscopeError
            For other dimensions, and as `spinscope.segment`.
        """
        result = api.segment(
            self._recording(),
            model,
            pixel_size=self.pixel_size,
            interval=self.interval,
            probability=probability,
            **settings,
        )
        dataset = _dataset(result, self._array)
        if result.probability is not None:
            found = result.probability.reshape(self._array.shape)
            about = {"long_name": "probability of skyrmion", "units": "1"}
            dataset["probability"] = (self._array.dims, found, about)
        return dataset

    def measure(
        self, image: xarray.DataArray | None = None, *, min_px: int | None = None, **settings: Any
    ) -> dict[str, xarray.Dataset]:
        """Measure objects, lattice and tracks of masks, see `spinscope.measure`.

        Parameters
        ----------
        image : DataArray, optional
            Images of the masks; without them the table of objects has no contrast.
        min_px : int, optional
            Objects of fewer pixels are left out. By default `segment.min_px`.
        **settings
            `sample_mask`, `tracks` and settings of the section `measure`, as `spinscope.measure`
            takes them.

        Returns
        -------
        dict of Dataset
            `objects` and `frames`, and the tables of `spinscope.measure`. The dimensions are
            `object` (`objects`, `lattice`, `tracks`), that of the frames (`frames`, `order`),
            `figure`, `r_px`, `track` and `lag_frames`.

        Raises
        ------
        SpinscopeError
            For an array that is no mask, for images of another size, and as `spinscope.measure`.
        """
        masks = _stack(self._array)
        recording = None
        if image is not None:
            if image.sizes != self._array.sizes:
                raise SpinscopeError(
                    f"image {dict(image.sizes)} must have the sizes of the mask, "
                    f"{dict(self._array.sizes)}"
                )
            recording = image.spinscope._recording()
        result = api.Segmentation.of_masks(
            masks,
            recording,
            pixel_size=self.pixel_size,
            interval=self.interval,
            min_px=min_px,
        )
        tables = {"objects": result.objects, "frames": result.frames}
        tables |= api.measure(result, **settings)
        return {name: _table(name, table, self._array) for name, table in tables.items()}

    def _recording(self) -> ArrayRecording:
        """Frames as a recording."""
        return ArrayRecording(_stack(self._array), str(self._array.name or "image"))

    def _step(self, dim: str) -> float | None:
        """Distance of neighbouring pixels in m, None without a unit of length."""
        places = self._array.coords.get(dim)
        scale = None if places is None else _factor(places, METRES)
        if scale is None or len(places) < 2:
            return None
        steps = np.diff(places.values.astype(float))
        mean = steps.mean()
        if not (mean and np.allclose(steps, mean, rtol=0.01, atol=0)):
            raise SpinscopeError(f"the coordinates of {dim} must be evenly spaced pixels")
        return abs(float(mean)) * scale


def _check_dims(array: xarray.DataArray) -> None:
    """Refuse other dimensions."""
    if array.dims not in _DIMS:
        wanted = " or ".join(f"({', '.join(dims)})" for dims in _DIMS)
        raise SpinscopeError(
            f"dimensions ({', '.join(map(str, array.dims))}) must be {wanted}; rename or "
            "transpose them"
        )


def _stack(array: xarray.DataArray) -> np.ndarray:
    """Values with the dimensions of frames, y and x."""
    _check_dims(array)
    return np.asarray(array.values).reshape(-1, *array.shape[-2:])


def _factor(places: xarray.DataArray, units: dict[str, float]) -> float | None:
    """Factor from the unit of a coordinate to SI units, None without a unit."""
    unit = str(places.attrs.get("units", "")).strip()
    if unit.lower() in _NO_UNIT:
        return None
    if unit.lower() not in units:
        known = ", ".join(name for name in units if name.isascii() and "\\" not in name)
        raise SpinscopeError(f"units of {places.name} (={unit!r}) must be one of {known}, or px")
    return units[unit.lower()]


def _coordinates(
    shape: tuple[int, ...], pixel_size: float | None, interval: float | None
) -> dict[str, Any]:
    """Coordinates of frames, y and x."""
    n, *sides = shape
    size, unit = (1, "px") if pixel_size is None else (pixel_size * 1e6, "µm")
    time = ("time", np.arange(n) * interval, {"units": "s"}) if interval else None
    frames = time or ("frame", np.arange(n), {})
    lateral = {
        dim: (dim, np.arange(side) * size, {"units": unit})
        for dim, side in zip(("y", "x"), sides, strict=True)
    }
    return {frames[0]: frames} | lateral


def _image(recording: Recording) -> xarray.DataArray:
    """Frames of a recording with its coordinates."""
    frames = [image_of(raw, recording.scale) for _, raw in recording.frames()]
    coordinates = _coordinates(
        (len(frames), *recording.shape), recording.pixel_size, recording.interval
    )
    first, *_ = dims = list(coordinates)
    for column, values in recording.applied.items():
        coordinates[column] = (first, values, _about(column))
    about = {"long_name": "intensity", "recording": recording.name}
    return xarray.DataArray(np.stack(frames), coordinates, dims, name="image", attrs=about)


def _dataset(result: api.Segmentation, image: xarray.DataArray) -> xarray.Dataset:
    """Images, masks and objects as one Dataset."""
    objects = _objects(result.objects, image)
    taken = {*objects.variables, *image.coords, *image.dims, "mask", "probability"}
    name = "image" if image.name is None or image.name in taken else image.name
    meanings = {
        "long_name": "class of each pixel",
        "flag_values": list(range(len(result.classes))),
        "flag_meanings": " ".join(result.classes),
    }
    mask = image.dims, result.masks.reshape(image.shape), meanings
    dataset = xarray.Dataset({name: image.variable, "mask": mask}, image.coords)
    dataset = dataset.assign(objects.data_vars).assign_coords(objects.coords)
    about = {"pixel_size_m": result.pixel_size, "interval_s": result.interval}
    about |= {"min_px": result.min_px, "warnings": list(result.warnings)}
    about |= {key: result.conditions.get(key) for key in ("scale", "polarity", "level")}
    dataset.attrs = {key: value for key, value in about.items() if value not in (None, [])}
    return dataset


def _objects(table: pd.DataFrame, image: xarray.DataArray) -> xarray.Dataset:
    """Rows that are objects, with their places in the coordinates of the images."""
    names = {"frame": "frame_index", "object": "object_index"}
    dataset = xarray.Dataset(
        {
            names.get(column, column): ("object", table[column].to_numpy(), _about(column))
            for column in table
        }
    )
    if len(image.dims) == 3 and image.dims[0] in image.coords:
        frames = image[image.dims[0]]
        found = frames.values[table["frame"].to_numpy()]
        dataset.coords[f"object_{image.dims[0]}"] = ("object", found, frames.attrs)
    for dim in ("y", "x"):
        if f"{dim}_px" in table and dim in image.coords:
            places = image[dim]
            found = np.interp(table[f"{dim}_px"], np.arange(len(places)), places.values)
            dataset.coords[f"object_{dim}"] = ("object", found, places.attrs)
    return dataset


def _table(name: str, table: pd.DataFrame, image: xarray.DataArray) -> xarray.Dataset:
    """A table of `measure` as a Dataset."""
    if name in ("objects", "lattice", "tracks"):
        return _objects(table, image)
    if name in ("frames", "order"):
        index = table["frame"].to_numpy()
        dim = image.dims[0] if len(image.dims) == 3 else "frame"
        values = {c: (dim, table[c].to_numpy(), _about(c)) for c in table if c != "frame"}
        if dim not in image.coords:
            return xarray.Dataset(values, {dim: index})
        return xarray.Dataset(values, {dim: image[dim].isel({dim: index})})
    dim = _ROWS[name]
    if dim in table:
        table = table.set_index(dim)
    return xarray.Dataset(
        {column: (dim, table[column].to_numpy(), _about(column)) for column in table},
        {dim: (dim, table.index.to_numpy(), _about(dim))},
    )


def _about(column: str) -> dict[str, str]:
    """Attribute `units` of a column, by its name; empty for a number."""
    found = _UNIT.search(column)
    if found is None:
        return {}
    unit = "px2" if found[1] == "px" and column.startswith(("area_", "cell_area_")) else found[1]
    return {"units": _UNITS[unit]}
