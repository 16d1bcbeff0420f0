"""Layers of napari: recordings, masks, objects and tracks, with their physical units.

A layer is the tuple (data, keywords, kind) of a napari reader. All layers of a recording have the
axes time, y and x; an axis without calibration is in frames or pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis import label_objects, link
from spinscope.classes import BACKGROUND, COLOURS, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.live.results import SUMMARY, Results, open_results
from spinscope.recordings import Recording, image_of, open_recording
from spinscope.recordings.base import IMAGE, TIFF, VIDEO
from spinscope.recordings.kinds import KINDS, ZARR
from spinscope.reviews.folder import REVIEWS, Review, Reviews

if TYPE_CHECKING:
    import dask.array

Layer = tuple[Any, dict[str, Any], str]
"""Data, keywords and kind of a layer."""

MASKS_LAYER, OBJECTS_LAYER, TRACKS_LAYER = "classes", "objects", "tracks"
"""Ends of the names of the layers."""

_FEATURES = ("diameter_nm", "diameter_px", "area_px", "contrast")


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[Layer]] | None:
    """Return the function that reads a path, None where spinscope cannot.

    Parameters
    ----------
    path : str or sequence of str
        File or folder; several paths are left to other readers.
    """
    if not isinstance(path, str | Path):
        return None
    place = Path(path)
    if (place / SUMMARY).is_file():
        return lambda folder: result_layers(open_results(folder))
    known = place.suffix.lower() in IMAGE | TIFF | VIDEO | set(KINDS) | {ZARR}
    return read_recording if known or place.is_dir() else None


def read_recording(path: str | Path) -> list[Layer]:
    """Open a recording as an image layer, whose frames are read when they are shown.

    Raises
    ------
    SpinscopeError
        Where it cannot be opened.
    """
    return [image_layer(open_recording(path))]


def image_layer(recording: Recording) -> Layer:
    """Return a recording as an image layer, in [0, 1].

    Raises
    ------
    SpinscopeError
        If the number of its frames is unknown.
    """
    if not recording.n:
        raise SpinscopeError(f"{recording.path} must have a known number of frames")
    first = image_of(recording.read(0), recording.scale)
    low, high = np.percentile(first, (0.5, 99.5))
    data = _lazily(
        lambda k: image_of(recording.read(k), recording.scale),
        recording.n,
        recording.shape,
        np.float32,
    )
    more = {
        "name": recording.name,
        "contrast_limits": (float(low), float(max(high, low + 1e-6))),
        "metadata": {"spinscope": {"path": str(recording.path)}},
    }
    return data, {**_geometry(recording.pixel_size, recording.interval), **more}, "image"


def result_layers(results: Results) -> list[Layer]:
    """Return the layers of a results folder: frames, classes, objects, and tracks of skyrmions.

    The image layer is missing where the recording has moved, and the tracks where there are none.
    The masks are in memory, so that they can be painted.
    """
    layers = []
    with contextlib.suppress(SpinscopeError):  # moved or changed since
        layers.append(image_layer(results.recording()))
    return [*layers, *mask_layers(results)]


def mask_layers(results: Results) -> list[Layer]:
    """Return the layers of the masks of a results folder, with the corrections in it."""
    geometry = _geometry(results.pixel_size, results.interval)
    about = {"metadata": {"spinscope": {"results": str(results.folder)}}}
    masks = np.stack(list(results.masks()))
    reviews = reviews_of(results)
    for mask, frame in zip(masks, results.table("frames", ["name"])["name"], strict=True):
        review = reviews.latest(frame)
        if review is not None and review.label is not None:
            mask[:] = reviews.label(review)
    classes = {
        "name": f"{results.name} {MASKS_LAYER}",
        "colormap": _colours(len(results.classes)),
        "opacity": 0.5,
        "features": {"index": range(len(results.classes)), "class": list(results.classes)},
    }
    objects = {"name": f"{results.name} {OBJECTS_LAYER}", "visible": False}
    numbers = _lazily(
        lambda k: label_objects(masks[k] == SKYRMION, results.min_px)[0],
        len(masks),
        results.shape,
        np.int32,
    )
    layers: list[Layer] = [
        (masks, {**classes, **geometry, **about}, "labels"),
        (numbers, {**objects, **geometry, **about}, "labels"),
    ]
    tracks = track_layer(results)
    return layers if tracks is None else [*layers, tracks]


def track_layer(results: Results) -> Layer | None:
    """Return the tracks of the skyrmions, None for a single frame or fewer than two objects.

    They are those of `measure`; a folder that was not measured is linked.
    """
    objects, keys = results.objects, ["frame", "object"]
    if results.n_frames < 2 or not len(objects):
        return None
    try:
        if (results.folder / "tracks.parquet").is_file():
            tracks = results.table("tracks", [*keys, "track"]).merge(objects, on=keys)
        else:
            tracks = link(objects)
    except SpinscopeError:  # links that are ambiguous
        return None
    data = tracks[["track", "frame", "y_px", "x_px"]].to_numpy(dtype=float)
    features = tracks[[name for name in _FEATURES if name in tracks]]
    keywords = {"name": f"{results.name} {TRACKS_LAYER}", "features": features}
    return data, {**keywords, **_geometry(results.pixel_size, results.interval)}, "tracks"


def save_corrections(results: Results, masks: np.ndarray, who: str) -> list[Review]:
    """Store the frames whose mask was changed as reviews, in the results folder.

    Parameters
    ----------
    results : Results
        Results folder whose masks were corrected.
    masks : (n, H, W) array
        Class indices of all frames.
    who : str
        Name of the reviewer.

    Returns
    -------
    list of Review
        One per changed frame; a frame that was stored like this before is not stored again.

    Raises
    ------
    SpinscopeError
        For masks of another shape or with unknown classes, without a name, and where the recording
        has moved.
    """
    masks = np.asarray(masks)
    if masks.shape != (results.n_frames, *results.shape):
        raise SpinscopeError(
            f"masks {masks.shape} must have the shape {(results.n_frames, *results.shape)} of "
            f"{results.folder}"
        )
    if not who.strip():
        raise SpinscopeError("type the name of the reviewer; nothing was saved")
    known = len(results.classes)
    if masks.size and not 0 <= int(masks.min()) <= int(masks.max()) < known:
        names = ", ".join(results.classes)
        raise SpinscopeError(f"class {int(masks.max())} must be one of 0 to {known - 1}: {names}")
    recording, reviews = results.recording(), reviews_of(results)
    models = results.summary["settings"].get("models", [])
    origin = {
        "model": ", ".join(model["ref"] for model in models),
        "model_sha256": ", ".join(model["sha256"] for model in models),
    }
    saved = []
    for index, before in enumerate(results.masks()):
        frame, mask = recording.names(index), masks[index].astype(np.uint8)
        last = reviews.latest(frame)
        shown = before if last is None or last.label is None else reviews.label(last)
        if np.array_equal(mask, shown):
            continue
        image = image_of(recording.read(index), recording.scale)
        given = {"status": "corrected", "who": who.strip(), "before": before}
        saved.append(reviews.add(frame, image, mask, **given, **origin))
    return saved


def reviews_of(results: Results) -> Reviews:
    """Open the reviews in a results folder."""
    return Reviews.open(results.folder / REVIEWS)


def _geometry(pixel_size: float | None, interval: float | None) -> dict[str, Any]:
    """Scale, units and names of the axes time, y and x."""
    lateral = (1.0, "pixel") if pixel_size is None else (pixel_size * 1e6, "um")
    times = (1.0, "pixel") if interval is None else (interval, "s")
    return {
        "scale": (times[0], lateral[0], lateral[0]),
        "units": (times[1], lateral[1], lateral[1]),
        "axis_labels": ("t", "y", "x"),
    }


def _lazily(
    read: Callable[[int], np.ndarray], n: int, shape: tuple[int, int], dtype: Any
) -> dask.array.Array:
    """Stack (n, H, W) whose frames are read when they are needed."""
    import dask
    from dask import array

    frames = [
        array.from_delayed(dask.delayed(read, pure=False)(k), shape, dtype=dtype) for k in range(n)
    ]
    return array.stack(frames)


def _colours(n: int) -> Any:
    """Colour of each class, the background transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colours = {k: (*(COLOURS[k] / 255), 1.0) for k in range(n) if k != BACKGROUND}
    return DirectLabelColormap(color_dict={BACKGROUND: (0, 0, 0, 0), None: (1, 1, 1, 1), **colours})
