"""Segment, measure and export recordings."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Params, Segment, magnetisation
from spinscope.errors import SpinscopeError
from spinscope.families.segmentation import fewer_views
from spinscope.files import sha256
from spinscope.jobs.evaluating import predictor
from spinscope.recordings import Recording, RecordingError

if TYPE_CHECKING:
    import numpy as np

    from spinscope.inference.predict import Predictor
    from spinscope.live.results import Results

_MAX_DRAWN_PIXELS = 2**24
"""No overlay is drawn for frames of more pixels."""


def segment(
    params: Params,
    paths: Sequence[Path],
    model_refs: Sequence[str],
    out: Path,
    *,
    watch: bool = False,
    stop: Callable[[], bool] | None = None,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> list[dict]:
    """Segment and measure recordings with a model, or with an ensemble of several.

    Parameters
    ----------
    params : Params
        Settings.
    paths : sequence of Path
        Images, stacks, videos and folders of images; all are opened before the first is segmented.
    model_refs : sequence of str
        References of the models.
    out : Path
        Folder of the outputs: a results folder `NAME` per recording, an overlay of its first frame,
        and for a single image its mask as a label file.
    watch : bool
        Whether `paths` is one folder whose frames are taken as they arrive.
    stop : callable, optional
        Ends the watch when it returns True.
    on_frame : callable, optional
        Called with name, number of frames done and number of frames (None where unknown).

    Returns
    -------
    list of dict
        One per recording: `file`, `folder`, `frames`, `objects`, `objects_sd_detection` (of one
        frame), `diameter_px_mean`,
        `diameter_nm_mean` and `diameter_px_mean_sd_boundary`, `pixel_size_nm`, `fraction` of each
        class in the first frame and `area_fraction` of the skyrmions in its sample, `left_out`
        (parts that are not sample), `frames_per_s`, `previous` (folder of earlier results); also
        `error` where a frame could not be read, `level` where the boundary is not that of the most
        probable class, `scale`, `polarity` and `evidence_nats` where they were found, `note` where
        the model allows fewer augmented views, and `warning` where
        the first frame shows another modality than that of a model, half contrast was not found,
        or the objects look unlike those of the training (`doubts`).

    Raises
    ------
    SpinscopeError
        For a recording or model that cannot be opened.
    """
    from spinscope import families
    from spinscope.jobs.conditions import with_conditions
    from spinscope.jobs.levels import with_level
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    folders = {ref: resolve(params.tracking, ref) for ref in model_refs}
    if watch:
        recordings = [_watched(params, paths, stop)]
    else:
        recordings = [_opened(params, path) for path in paths]
    if not recordings:
        raise SpinscopeError("segment needs at least one image, stack, video or folder")
    check_names(recordings)
    model, settings = open_models(params, folders)
    modalities = {
        ref: families.of_model(model_info(folder)).modality for ref, folder in folders.items()
    }
    rows = []
    for recording in recordings:
        with contextlib.closing(recording):
            fitting, found = with_conditions(model, params.segment, recording)
            leveled, unknown = with_level(fitting, params.segment, settings["models"], recording)
            known = settings | found | _level_settings(leveled, params.segment)
            shown = _shown(recording)
            other = _other_modality(recording, shown, modalities)
            warnings = [*filter(None, (unknown, other))]
            if not warnings:
                warnings += _lattice_advice(recording, model, params.segment)
            familiar = shown is not None and other is None
            row = _segment_one(params, recording, leveled, out, known, warnings, familiar, on_frame)
            rows.append(found | row)
    return rows


def check_names(recordings: Sequence[Recording]) -> None:
    """Refuse recordings of one name, whose results would have one place."""
    names = [recording.name for recording in recordings]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(
            f"two recordings are named {twice[0]!r}; their results would "
            "collide: give them in two calls, each with its own --out"
        )


def _level_settings(model: Predictor, asked: Segment) -> dict[str, float]:
    """Settings of results whose boundary is not that of the most probable class."""
    from spinscope.inference.level import LEVEL_SD

    if model.level is None:
        return {}
    fitted = model.level_sd != LEVEL_SD
    known = {"level_sd_logits": model.level_sd} if fitted else {}
    if (m_z := magnetisation(asked.level)) is not None:
        known["level_mz"] = m_z
    return {"level": model.level} | known


def _shown(recording: Recording) -> str | None:
    """Modality of the first frame, None where it is not certain or the frame cannot be read."""
    from spinscope.datasets.modality import modality_of_image
    from spinscope.recordings import image_of

    try:
        return modality_of_image(image_of(recording.read(0), recording.scale))
    except (RecordingError, OSError):  # a camera's file may have been moved
        return None


def _other_modality(recording: Recording, shown: str | None, models: dict[str, str]) -> str | None:
    """Warning about models (reference → modality) of another modality; None without one."""
    for ref, modality in models.items():
        if shown not in (None, modality):
            return (
                f"{recording.name} looks like a {shown} image, and {ref} is a model of "
                f"{modality} images: check the model"
            )
    return None


def _lattice_advice(recording: Recording, model: Predictor, settings: Segment) -> list[str]:
    """Advice on scale and tilt axis of the first frame, for models of images with a tilt axis."""
    from spinscope.jobs.lattices import lattice_advice
    from spinscope.recordings import image_of

    if "axis_deg" not in model.info or recording.n is None:
        return []
    try:
        image = image_of(recording.read(0), recording.scale)
    except (RecordingError, OSError):
        return []
    return lattice_advice(image, model.info, settings)


def _opened(params: Params, path: Path) -> Recording:
    """Open a recording without keeping its file open: thousands of files cannot be."""
    from spinscope.recordings import open_recording

    with contextlib.closing(open_recording(path, pixel_size=_pixel_size(params))) as recording:
        if recording.n == 1 and math.prod(recording.shape) <= _MAX_DRAWN_PIXELS:
            recording.read(0)  # a damaged image ends the call before the first one is segmented
        return recording


def _watched(params: Params, paths: Sequence[Path], stop: Callable[[], bool] | None) -> Recording:
    from spinscope.recordings import WatchedFolder

    if len(paths) != 1:
        raise SpinscopeError(f"--watch must name one folder, not {len(paths)} paths")
    return WatchedFolder(
        paths[0],
        pixel_size=_pixel_size(params),
        settle=params.segment.settle_s,
        idle=params.segment.idle_s,
        stop=stop or (lambda: False),
    )


def _pixel_size(params: Params) -> float | None:
    size = params.segment.pixel_size_nm
    return None if size is None else size * 1e-9


def _workers(params: Params) -> int:
    return params.segment.workers or len(os.sched_getaffinity(0))


def open_models(params: Params, folders: dict[str, Path]) -> tuple[Predictor, dict[str, Any]]:
    """Model or ensemble of these folders by reference, and the settings the results depend on."""
    from spinscope.inference.predict import combined
    from spinscope.models.store import NETWORK

    models = [{"ref": ref, "sha256": sha256(folder / NETWORK)} for ref, folder in folders.items()]
    if len({row["sha256"] for row in models}) < len(models):
        raise SpinscopeError(
            f"models {', '.join(folders)} must be different networks; error bars from one and the "
            "same would say nothing"
        )
    workers = _workers(params)
    members = [
        predictor(params, str(folder), streams=workers, masks=True) for folder in folders.values()
    ]
    geometry = params.segment.model_dump(include={"axis_deg", "scale", "pixel_size_nm"})
    region = params.segment.region
    return combined(members), {
        "models": models,
        "inference": params.inference.model_dump(),
        "tta": params.segment.tta,
        "min_px": params.segment.min_px,
        # Only where set: results that are older than these settings can be resumed.
        **{key: value for key, value in geometry.items() if value not in (None, "auto")},
        **({"polarity": "bright"} if params.segment.polarity == "bright" else {}),
        **({} if region == "whole" else {"region": region}),
    }


def _segment_one(
    params: Params,
    recording: Recording,
    model: Predictor,
    out: Path,
    settings: dict[str, Any],
    warnings: Sequence[str],
    familiar: bool,
    on_frame: Callable[[str, int, int | None], None] | None,
) -> dict[str, Any]:
    """Segment one recording and draw its first frame; return the row of the answer."""
    from spinscope.live.pipeline import Stopped, segment_recording
    from spinscope.live.results import open_results

    name, folder = recording.name, out / recording.name
    row: dict[str, Any] = {"file": str(recording.path), "folder": str(folder)}
    if note := fewer_views([model], params.segment.tta):
        row["note"] = note
    if model.level is not None:
        row["level"] = model.level
    try:
        results = segment_recording(
            recording,
            model,
            folder,
            settings=settings,
            tta=params.segment.tta,
            min_px=params.segment.min_px,
            region=params.segment.region,
            workers=_workers(params),
            chunk_frames=params.segment.chunk_frames,
            on_frame=on_frame and (lambda done: on_frame(name, done, recording.n)),
            warnings=warnings,
            familiar=familiar,
        )
    except Stopped as stopped:  # the recordings after it are segmented all the same
        row["error"] = str(stopped)
        results = open_results(folder)
    mask, classes, statistics = results.mask(0), results.classes, results.summary["statistics"]
    row |= {
        "frames": results.n_frames,
        "objects": statistics["objects"],
        "objects_sd_detection": statistics.get("objects_per_frame_sd_detection"),
        "diameter_px_mean": statistics["diameter_px_mean"],
        "diameter_nm_mean": statistics.get("diameter_nm_mean"),
        "diameter_px_mean_sd_boundary": statistics.get("diameter_px_mean_sd_boundary"),
        "pixel_size_nm": results.summary["recording"]["pixel_size_nm"],
        "frames_per_s": results.summary["timing"]["frames_per_s"],
        "previous": results.summary["previous"],
        "fraction": {name: float((mask == k).mean()) for k, name in enumerate(classes)},
        "area_fraction": float(
            results.table("frames", ["area_fraction"])["area_fraction"].fillna(0.0).iloc[0]
        ),
        "left_out": results.summary.get("left_out", []),
    }
    if doubtful := results.summary.get("warnings"):
        row["warning"] = "; ".join(doubtful)
    try:
        first = recording.read(0)
    except (RecordingError, OSError):  # a camera's file may have been moved
        return row
    return row | draw_first(first, mask, results)


def draw_first(raw: np.ndarray, mask: np.ndarray, results: Results) -> dict[str, str]:
    """Write the overlay of the first frame, and the mask of a single image; return kind → file."""
    from spinscope.drawing import overlay, write_panels
    from spinscope.images import write_class_indices

    if mask.size > _MAX_DRAWN_PIXELS:
        return {}
    drawn = {"overlay": f"{results.folder}.overlay.png"}
    write_panels(drawn["overlay"], [overlay(raw, mask)])
    if results.n_frames == 1:
        drawn["mask"] = f"{results.folder}.mask.png"
        write_class_indices(drawn["mask"], mask, results.pixel_size)
    return drawn


def calibrate(
    params: Params,
    model_refs: Sequence[str],
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    out: Path,
) -> dict[str, Any]:
    """Fit the level of a recording to corrected frames, and write it to a file.

    Parameters
    ----------
    params : Params
        Settings; those of `segment` and `inference` must be those of the segmentation.
    model_refs : sequence of str
        References of the models.
    frames : iterable
        Images (H, W), and class indices (H, W) of their corrected masks.
    out : Path
        JSON file to write.

    Returns
    -------
    dict
        `level`; `mcc` of the masks at that level, and `mcc_most_probable` of the masks without one;
        number of `frames`; `file`.
    """
    from spinscope.jobs.conditions import with_conditions
    from spinscope.jobs.levels import fit_level, write_level
    from spinscope.recordings.array import ArrayRecording
    from spinscope.tracking import resolve

    model, settings = open_models(
        params, {ref: resolve(params.tracking, ref) for ref in model_refs}
    )
    frames = list(frames)
    if frames:  # scale and polarity as `segment` finds them
        model, _ = with_conditions(model, params.segment, ArrayRecording(frames[0][0]))
    fitted = fit_level(model, frames, params.segment.tta)
    write_level(out, fitted, [row["sha256"] for row in settings["models"]])
    return fitted | {"file": str(out)}


def corrected_frame(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its corrected mask, a label file.

    Raises
    ------
    SpinscopeError
        For a recording of several frames, and for what cannot be read.
    """
    from spinscope.images import read_label
    from spinscope.recordings import image_of, open_recording

    with contextlib.closing(open_recording(image)) as recording:
        if recording.n != 1:
            raise SpinscopeError(f"{image} must be a single image, not {recording.n} frames")
        return image_of(recording.read(0), recording.scale), read_label(mask)


def measure(
    params: Params, folder: Path, sample: Path | None = None, tracks: Path | None = None
) -> dict[str, Any]:
    """Measure lattice and tracks of a results folder, which gets their tables.

    Parameters
    ----------
    params : Params
        Settings.
    folder : Path
        Results folder.
    sample : Path, optional
        Image that is black where a patterned sample has no film.
    tracks : Path, optional
        File with tracks in place of links, as `analysis.imports.read_tracks` reads it.

    Returns
    -------
    dict
        Figures of the recording.
    """
    from spinscope.images import read_image
    from spinscope.live.measurements import measure_recording
    from spinscope.live.results import open_results

    sample_mask = None if sample is None else read_image(sample) > 0
    return measure_recording(open_results(folder), params.measure, sample_mask, tracks)


def export(folder: Path, kinds: Sequence[str], out: Path | None = None) -> dict[str, Path]:
    """Write a results folder in the formats of other programs.

    The recording is read again where it still exists; grey values are missing otherwise. The tracks
    are those of `measure`; a folder that was not measured is linked with the default settings.

    Parameters
    ----------
    folder : Path
        Results folder.
    kinds : sequence of str
        Formats, as `analysis.exports.chosen` reads them: "roi", "roi,mp4", "all".
    out : Path, optional
        Folder to write to, by default the results folder.

    Returns
    -------
    dict
        Format → file.

    Raises
    ------
    SpinscopeError
        For an unknown format, and where overlays are wanted and the recording is missing.
    """
    from spinscope.analysis.exports import DRAWN, chosen, write
    from spinscope.live.results import open_results
    from spinscope.recordings import image_of

    results, kinds = open_results(folder), chosen(kinds)
    rows = results.frames
    names = list(rows["name"])
    reviewers = list(rows["reviewer"]) if "reviewer" in rows else None
    try:
        recording = results.recording()
    except SpinscopeError:
        if DRAWN & set(kinds):
            raise
        recording = None
    source = None
    if recording is not None and recording.path.is_file():
        source = recording.path.resolve()
    tracks = None
    if "trackmate" in kinds and (results.folder / "tracks.parquet").is_file():
        tracks = results.table("tracks", ["frame", "object", "track"])

    def frames() -> Iterable[tuple[int, np.ndarray | None, np.ndarray]]:
        images: Iterable = itertools.repeat(None)
        if recording is not None:
            images = (image_of(raw, recording.scale) for _, raw in recording.frames())
        # The masks end first where a frame could not be read.
        for k, (mask, image) in enumerate(zip(results.masks(), images, strict=False)):
            yield k, image, mask

    return write(
        kinds,
        (out or folder) / results.name,
        frames,
        classes=results.classes,
        pixel_size=results.pixel_size,
        interval=results.interval,
        names=names.__getitem__,
        min_px=results.min_px,
        tracks=tracks,
        source=source,
        reviewers=reviewers and reviewers.__getitem__,
    )
