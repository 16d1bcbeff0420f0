"""From a recording to tables in five lines: the functions that `import spinscope` offers.

Examples
--------
>>> import spinscope                                                  # doctest: +SKIP
>>> model = spinscope.load_model("bundled:moke-unet")                 # doctest: +SKIP
>>> recording = spinscope.open_recording("stack.tif", pixel_size=1e-7)  # doctest: +SKIP
>>> result = spinscope.segment(recording, model)                      # doctest: +SKIP
>>> tables = spinscope.measure(result)                                # doctest: +SKIP
>>> spinscope.export(result, "roi", "for-fiji")                       # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from spinscope.classes import CLASSES
from spinscope.config import Measure, Segment, first_error, load_params
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.files import partial_folder, sha256
from spinscope.inference.predict import Ensemble, Predictor
from spinscope.inference.sample import recording_region, without_noise
from spinscope.recordings import (
    Recording,
    check_pixel_size,
    image_of,
    open_recording,
    readable_frames,
)

if TYPE_CHECKING:
    import pandas as pd

    from spinscope.live.results import Results

__all__ = [
    "Segmentation",
    "export",
    "load_model",
    "measure",
    "open_dataset",
    "open_recording",
    "segment",
]

_SETTINGS = ("tta", "min_px", "level", "region", "axis_deg", "scale", "polarity")
"""Settings of the section `segment` that `segment` takes."""


@dataclass(frozen=True)
class Segmentation:
    """Masks and tables of a segmented recording, in memory.

    Attributes
    ----------
    masks : (n, H, W) uint8 array
        Class index of each pixel.
    objects : DataFrame
        One row per skyrmion: frame, position, area, shape, contrast; lengths in px, nm and µm.
    frames : DataFrame
        One row per frame: number of skyrmions, area fraction, mean diameter, uncertainty.
    classes : tuple of str
        Name of each class.
    recording : Recording or None
        Frames that were segmented, None where they no longer exist.
    name : str
        Name of the recording.
    pixel_size, interval : float or None
        Pixel size in m and time between frames in s.
    min_px : int
        Objects of fewer pixels are left out.
    warnings : tuple of str
        Reasons to doubt the results.
    conditions : dict
        `scale`, `polarity` and `level`, given or found, where they are not those of the training
        frames, and `evidence_nats` of every scale and polarity where these were found.
    probability : (n, H, W) float32 array or None
        Probability of skyrmion, NaN where an image shows no sample; None where it was not asked
        for.
    """

    masks: np.ndarray
    objects: pd.DataFrame
    frames: pd.DataFrame
    classes: tuple[str, ...]
    recording: Recording | None
    name: str
    pixel_size: float | None
    interval: float | None
    min_px: int
    warnings: tuple[str, ...] = ()
    conditions: dict[str, Any] = field(default_factory=dict)
    probability: np.ndarray | None = None

    @classmethod
    def of(cls, results: Results, recording: Recording | None) -> Segmentation:
        """Read a results folder into memory."""
        return cls(
            masks=np.stack(list(results.masks())),
            objects=results.objects,
            frames=results.frames,
            classes=results.classes,
            recording=recording,
            name=results.name,
            pixel_size=results.pixel_size,
            interval=results.interval,
            min_px=results.min_px,
            warnings=tuple(results.summary.get("warnings", ())),
            conditions={
                key: value
                for key, value in results.summary["settings"].items()
                if key in ("scale", "polarity", "level", "evidence_nats")
            },
        )

    @classmethod
    def of_masks(
        cls,
        masks: np.ndarray,
        recording: Recording | None = None,
        *,
        pixel_size: float | None = None,
        interval: float | None = None,
        min_px: int | None = None,
    ) -> Segmentation:
        """Measure the skyrmions of given masks.

        Parameters
        ----------
        masks : (n, H, W) array
            Class index of each pixel, in the order of `spinscope.classes.CLASSES`.
        recording : Recording, optional
            Frames of the masks; without them the objects have no intensity and no contrast.
        pixel_size, interval : float, optional
            Pixel size in m and time between frames in s.
        min_px : int, optional
            Objects of fewer pixels are left out. By default `segment.min_px`.

        Raises
        ------
        SpinscopeError
            For masks of numbers that are no classes.
        """
        from spinscope.live.given import GivenMasks
        from spinscope.live.pipeline import segment_recording

        if masks.dtype.kind not in "bui" or not 0 <= masks.min() <= masks.max() < len(CLASSES):
            raise SpinscopeError(
                f"a mask ({masks.dtype}, {masks.min()} to {masks.max()}) must hold integers from 0 "
                f"to {len(CLASSES) - 1}: {', '.join(CLASSES)}"
            )
        masks = masks.astype(np.uint8)
        frames = open_recording(np.zeros_like(masks)) if recording is None else recording
        frames.pixel_size, frames.interval = check_pixel_size(pixel_size), interval
        min_px = load_params().segment.min_px if min_px is None else min_px
        given = GivenMasks(
            {k: partial(masks.__getitem__, k) for k in range(len(masks))}, CLASSES, "no mask"
        )
        with partial_folder() as folder:
            results = segment_recording(
                frames,
                given,
                Path(folder) / "results",
                settings={"min_px": min_px},
                min_px=min_px,
                warnings=None,
            )
            found = cls.of(results, recording)
        if recording is None:
            return replace(found, objects=found.objects.drop(columns=["intensity", "contrast"]))
        return found

    @classmethod
    def open(cls, folder: Path | str) -> Segmentation:
        """Read a folder that `spinscope segment` wrote into memory."""
        from spinscope.live.results import open_results

        results = open_results(folder)
        try:
            recording = results.recording()
        except SpinscopeError:  # moved or changed since
            recording = None
        return cls.of(results, recording)


@explained()
def load_model(
    model_ref: str | Iterable[str], *, axis_deg: float | None = None, scale: float | None = None
) -> Predictor:
    """Load a model, or several as an ensemble.

    Parameters
    ----------
    model_ref : str or iterable of str
        `bundled:NAME`, `models:/NAME@ALIAS` or a model folder.
    axis_deg : float, optional
        Tilt axis of the Lorentz recordings in degrees, from +x to +y.
    scale : float, optional
        Ratio between network and image pixels.

    Returns
    -------
    Predictor or Ensemble
        Model; `probabilities(image)` and `classes(image)` apply it to a single image.

    Raises
    ------
    SpinscopeError
        For an unknown reference, and for a tilt axis of a model without one.
    """
    from spinscope import jobs
    from spinscope.inference.predict import combined

    params, workers = load_params(), len(os.sched_getaffinity(0))
    refs = [model_ref] if isinstance(model_ref, str | Path) else list(model_ref)
    model = combined(
        [jobs.predictor(params, str(ref), streams=workers, masks=True) for ref in refs]
    )
    unset = axis_deg is None and scale is None
    return model if unset else model.with_geometry(axis_deg, scale)


def segment(
    recording: Recording | Path | str | np.ndarray,
    model: Predictor | Path | str | Iterable[str] = "bundled:moke-unet",
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
    probability: bool = False,
    **settings: Any,
) -> Segmentation:
    """Segment a recording and measure its skyrmions.

    All masks are held in memory; `spinscope segment` writes long recordings to disk.

    Parameters
    ----------
    recording : Recording, Path, str or (n, H, W) array
        Frames; an array holds real numbers of any type.
    model : Predictor, Ensemble, Path, str or iterable of str
        Model, its folder or reference, or the references of several.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s, which override the recording's metadata.
    probability : bool, default False
        Whether the result contains the probability of skyrmion, for which the model is applied once
        more.
    **settings
        Settings of the section `segment`, by default those that the model was loaded with, then
        those of the project:

        - `tta`: number of augmented views, 1, 2, 3 or 8; more than one gives error bars.
        - `min_px`: objects of fewer pixels are left out.
        - `level`: probability at the boundary of skyrmions, "half", "mz=0.9" or a file of
          `spinscope calibrate`; None for that of the model, usually the most probable class.
        - `region`: "auto" leaves out information bars, lettering and scale bars; "whole"; or a
          crop "y0,x0,y1,x1" in px.
        - `axis_deg`: tilt axis of Lorentz images in degrees.
        - `scale`: ratio between network and image pixels; "auto": found in Kerr frames; None:
          the frames as they are, which the model may magnify if their objects are small.
        - `polarity`: "dark", "bright" or "auto".

    Returns
    -------
    Segmentation
        Masks and tables.

    Raises
    ------
    SpinscopeError
        Where a frame cannot be read, for a pixel size that is not from 0.5 nm to 10 µm, and for a
        setting that is unknown or against its rule.

    Examples
    --------
    >>> frames = np.random.default_rng(0).random((2, 64, 64), dtype=np.float32)
    >>> result = segment(frames, pixel_size=2e-7)  # doctest: +SKIP
    >>> result.masks.shape  # doctest: +SKIP
    (2, 64, 64)
    """
    from spinscope.jobs.conditions import with_conditions
    from spinscope.jobs.levels import with_level
    from spinscope.live.pipeline import segment_recording

    if not isinstance(recording, Recording):
        recording = open_recording(recording)
    if pixel_size is not None:
        recording.pixel_size = check_pixel_size(pixel_size)
    if interval is not None:
        recording.interval = interval
    if isinstance(model, Predictor):
        networks, own = [], _own(model)
    else:
        model, networks = _loaded([model] if isinstance(model, str | Path) else model)
        own = {}
    chosen = _chosen(own | settings)
    scale = None if chosen.scale == "auto" else chosen.scale
    model = model.with_geometry(chosen.axis_deg, scale).under(None, chosen.polarity == "bright")
    model, found = with_conditions(model, chosen, recording)
    model, warning = with_level(model, chosen, networks, recording)
    given = {"scale": scale, "polarity": chosen.polarity, "level": model.level}
    known = {key: value for key, value in given.items() if value not in (None, "auto", "dark")}
    with partial_folder() as folder:
        results = segment_recording(
            recording,
            model,
            Path(folder) / "results",
            settings={"min_px": chosen.min_px, **known, **found},
            tta=chosen.tta,
            min_px=chosen.min_px,
            region=chosen.region,
            workers=chosen.workers or len(os.sched_getaffinity(0)),
            warnings=[warning] if warning else [],
        )
        result = Segmentation.of(results, recording)
    if probability:
        return replace(result, probability=_probability(recording, model, chosen))
    return result


def _loaded(refs: Iterable[Path | str]) -> tuple[Predictor, list[dict[str, str]]]:
    """Model, or several as an ensemble, and the checksum of each network."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    tracking = load_params().tracking
    folders = [resolve(tracking, str(ref)) for ref in refs]
    networks = [{"sha256": sha256(folder / NETWORK)} for folder in folders]
    return load_model([str(folder) for folder in folders]), networks


def _own(model: Predictor) -> dict[str, Any]:
    """Settings that a model was loaded with."""
    first = model.members[0] if isinstance(model, Ensemble) else model
    own: dict[str, Any] = {}
    if first.geometry is not None:
        if "axis_deg" in first.info:
            own["axis_deg"] = first.info["axis_deg"] + first.geometry.rotate_deg
        if "axis_deg" not in own or first.geometry.scale != 1:
            own["scale"] = first.geometry.scale
    if first.inverted:
        own["polarity"] = "bright"
    if first.level is not None:
        own["level"] = None
    return own


def _chosen(settings: dict[str, Any]) -> Segment:
    """Section `segment` of the project with other settings."""
    if unknown := sorted(set(settings) - set(_SETTINGS)):
        raise SpinscopeError(f"setting {unknown[0]!r} must be one of {', '.join(_SETTINGS)}")
    if isinstance(settings.get("level"), Path):
        settings["level"] = str(settings["level"])
    try:
        return Segment.model_validate(load_params().segment.model_dump() | settings)
    except ValidationError as error:
        raise SpinscopeError(first_error(error, Segment, "segment")) from error


def _probability(recording: Recording, model: Predictor, settings: Segment) -> np.ndarray:
    """Probability of skyrmion, (n, H, W) float32; NaN where an image shows no sample."""
    frames = readable_frames(recording, sorted(recording.spanning()))
    sample = recording_region(recording.shape, list(frames), settings.region)
    found = np.full((recording.n, *recording.shape), np.nan, np.float32)
    for k, raw in recording.frames():
        found[k][sample.window] = without_noise(model, sample.sample(raw), settings.tta)[1]
        found[k][sample.left_out] = np.nan
    return found


def measure(
    result: Segmentation | Path | str,
    *,
    pixel_size: float | None = None,
    interval: float | None = None,
    sample_mask: np.ndarray | None = None,
    tracks: Path | str | None = None,
    **settings: Any,
) -> dict[str, pd.DataFrame]:
    """Measure the lattice of every frame and the tracks over the frames.

    Parameters
    ----------
    result : Segmentation, Path or str
        Result of `segment`, or a folder that `spinscope segment` wrote.
    pixel_size, interval : float, optional
        Pixel size in m and time between frames in s, by default those of the recording.
    sample_mask : (H, W) bool array, optional
        Where a patterned sample has a film; by default everywhere that the model does not
        classify as outside or edge.
    tracks : Path or str, optional
        File with tracks in place of links: TrackMate XML or CSV, or a table.
    **settings
        Settings of the section `measure`, as `search_range_px` or `memory`.

    Returns
    -------
    dict of DataFrame
        `figures` of the recording with their errors (columns `value`, `se`: standard error,
        `sd_frames`: standard deviation over frames); `lattice` (one row per object), `order` (per
        frame) and `pair_correlation`; for several frames also `tracks`, `lifetimes` and `msd`.
        Lengths are in px, nm and µm.

    Raises
    ------
    SpinscopeError
        Where there is no object, for an unknown setting, and for tracks that do not fit.
    """
    import pandas as pd

    from spinscope.analysis.imports import read_tracks
    from spinscope.live.measurements import measure_objects, sample_of

    result = result if isinstance(result, Segmentation) else Segmentation.open(result)
    try:
        chosen = Measure.model_validate(load_params().measure.model_dump() | settings)
    except ValidationError as error:
        raise SpinscopeError(first_error(error, Measure, "measure")) from error
    size = check_pixel_size(result.pixel_size if pixel_size is None else pixel_size)
    n, *shape = result.masks.shape
    spots = None
    if tracks is not None:
        spots = read_tracks(tracks, n_frames=n, shape=shape, pixel_size=size)
    tables, figures = measure_objects(
        result.objects,
        chosen,
        n_frames=n,
        shape=tuple(shape),
        pixel_size=size,
        interval=result.interval if interval is None else interval,
        sample_mask=lambda frame: (
            sample_of(result.masks[frame], result.classes) if sample_mask is None else sample_mask
        ),
        spots=spots,
    )
    numbers = {k: v for k, v in figures.items() if v is None or isinstance(v, int | float)}
    rows = {
        key: {
            "value": value,
            "se": numbers.get(f"{key}_se"),
            "sd_frames": numbers.get(f"{key}_sd_frames"),
        }
        for key, value in numbers.items()
        if not key.endswith(("_se", "_sd_frames"))
    }
    return {"figures": pd.DataFrame.from_dict(rows, orient="index", dtype=float)} | tables


def export(result: Segmentation | Path | str, kind: str, out: Path | str) -> Path:
    """Write a segmented recording in the format of another program.

    Parameters
    ----------
    result : Segmentation, Path or str
        Result of `segment`, or a folder that `spinscope segment` wrote.
    kind : str
        "roi" (ImageJ), "labels" or "classes" (OME-TIFF), "coco", "geojson", "zarr", "csv", "png"
        (overlays), "mp4" or "trackmate".
    out : Path or str
        Folder to write to.

    Returns
    -------
    Path
        File that was written, for "png" a folder.

    Raises
    ------
    SpinscopeError
        For an unknown format, and for "png" and "mp4" where the recording no longer exists.
    """
    from spinscope.analysis.exports import KINDS, write

    if kind not in KINDS:
        raise SpinscopeError(f"export {kind!r} must be one of {', '.join(KINDS)}")
    result = result if isinstance(result, Segmentation) else Segmentation.open(result)
    recording = result.recording

    def frames() -> Iterable[tuple[int, np.ndarray | None, np.ndarray]]:
        for k, mask in enumerate(result.masks):
            image = None if recording is None else image_of(recording.read(k), recording.scale)
            yield k, image, mask

    return write(
        [kind],
        Path(out) / result.name,
        frames,
        classes=result.classes,
        pixel_size=result.pixel_size,
        interval=result.interval,
        names=list(result.frames["name"]).__getitem__,
        min_px=result.min_px,
    )[kind]
