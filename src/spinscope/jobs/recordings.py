"""Recordings segmented, measured and exported."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.families.segmentation import fewer_views
from spinscope.files import sha256
from spinscope.jobs.evaluating import predictor
from spinscope.recordings import Recording, RecordingError

if TYPE_CHECKING:
    import numpy as np

    from spinscope.inference.predict import Predictor

_PICTURE_PIXELS = 2**24
"""Frames of more pixels are not drawn whole."""


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
    """Segment and measure recordings with a model, or with the mean of several.

    paths : images, stacks, videos and folders of images; every one is opened before the first is
        segmented. Each gets a folder of results `out/NAME` and an overlay of its first frame, a
        single image also its mask as a label file.
    watch : `paths` is one folder whose frames are taken as they appear, until `stop` says so.
    on_frame : is told (name, frames done, frames in all or None).
    Returns a row a recording: file, folder, frames, objects, fraction of each class in the first
    frame, frames_per_s, former (where earlier results went); of one that ended at a bad frame also
    the sentence `stopped`, of a model that allows fewer views than asked a `note`.
    """
    from spinscope.tracking import resolve

    folders = {ref: resolve(params.tracking, ref) for ref in model_refs}
    if watch:
        sources = [_watched(params, paths, stop)]
    else:
        sources = [_checked(params, path) for path in paths]
    if not sources:
        raise SpinscopeError("segment needs at least one image, stack, video or folder")
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(
            f"two recordings are named {twice[0]!r}; their results would "
            "collide: give them in two calls, each with its own --out"
        )
    predictors, about = _predictors(params, folders)
    return [_segment_one(params, source, predictors, out, about, on_frame) for source in sources]


@dataclass(frozen=True)
class _Source:
    """A recording that was looked at: its name, and what opens it."""

    name: str
    path: Path
    open: Callable[[], Recording]


def _checked(params: Params, path: Path) -> _Source:
    """Open a recording and close it again: thousands of files cannot be open at once."""
    from spinscope.recordings import open_recording

    size = _pixel_size(params)
    with _closing(open_recording(path, pixel_size=size)) as recording:
        if recording.n == 1 and math.prod(recording.shape) <= _PICTURE_PIXELS:
            recording.read(0)  # of single images, a bad one stops the call before the first is done
        return _Source(recording.name, path, partial(open_recording, path, pixel_size=size))


def _watched(params: Params, paths: Sequence[Path], stop: Callable[[], bool] | None) -> _Source:
    from spinscope.recordings import watch

    if len(paths) != 1:
        raise SpinscopeError(f"--watch must name one folder, not {len(paths)} paths")
    settings = params.segment
    recording = watch(
        paths[0],
        pixel_size=_pixel_size(params),
        settle=settings.settle_s,
        idle=settings.idle_s,
        stop=stop or (lambda: False),
    )
    return _Source(recording.name, paths[0], lambda: recording)


def _pixel_size(params: Params) -> float | None:
    size = params.segment.pixel_size_nm
    return None if size is None else size * 1e-9


@contextlib.contextmanager
def _closing(recording: Recording) -> Iterator[Recording]:
    """Close the file of a recording that keeps one open."""
    try:
        yield recording
    finally:
        getattr(recording, "close", lambda: None)()


def measure(params: Params, folder: Path, film: Path | None = None) -> dict[str, Any]:
    """Figures of lattice and tracks of a folder of results, which gets their tables.

    film : an image that is not black where the film of a patterned sample is.
    """
    from spinscope.images import read_image
    from spinscope.live.measurements import measure_recording
    from spinscope.live.results import open_results

    ground = None if film is None else read_image(film) > 0
    return measure_recording(open_results(folder), params.measure, ground)


def export(folder: Path, kinds: Sequence[str], out: Path | None = None) -> dict[str, Path]:
    """Write a folder of results as other programs read it; returns kind → file.

    kinds : of `analysis.exports.KINDS`.   out : folder to write to, by default that of the results.
    The recording itself is read again where it is still there; without it there are no grey values.
    """
    from spinscope.analysis.exports import KINDS, SUFFIXES
    from spinscope.live.results import open_results
    from spinscope.recordings import image_of

    results = open_results(folder)
    for kind in kinds:
        if kind not in KINDS:
            raise SpinscopeError(f"export {kind!r} must be one of {', '.join(KINDS)}")
    about, names = results.summary["stream"], dict(enumerate(results.table("frames")["name"]))
    try:
        recording = results.recording()
    except SpinscopeError:
        if {"png", "mp4"} & set(kinds):  # they are drawn on the frames
            raise
        recording = None
    written = {}
    for kind in kinds:
        images: Iterable = itertools.repeat(None)
        if recording is not None:
            images = (image_of(raw, recording.scale) for _, raw in recording.frames())
        target = (out or folder) / f"{about['name']}{SUFFIXES[kind]}"
        pairs = zip(results.masks(), images, strict=False)  # masks end first where a call stopped
        KINDS[kind](
            target,
            ((k, image, mask) for k, (mask, image) in enumerate(pairs)),
            classes=results.summary["classes"],
            pixel_size=about["pixel_size"],
            interval=about["interval"],
            names=names.__getitem__,
            min_px=results.summary["about"]["min_px"],
        )
        written[kind] = target
    return written


def _predictors(params: Params, folders: dict[str, Path]) -> tuple[list[Predictor], dict]:
    """The models of an ensemble, reference → folder, and what decides about a result."""
    from spinscope.models.store import NETWORK

    about = [{"ref": ref, "sha256": sha256(folder / NETWORK)} for ref, folder in folders.items()]
    if len({row["sha256"] for row in about}) < len(about):
        raise SpinscopeError(
            f"models {', '.join(folders)} must be different networks; error bars from one and the "
            "same would say nothing"
        )
    workers = _workers(params)
    predictors = [predictor(params, str(folder), streams=workers) for folder in folders.values()]
    classes = {tuple(one.info["classes"]) for one in predictors}
    if len(classes) != 1:
        raise SpinscopeError(
            f"models {', '.join(folders)} must know the same classes, not {sorted(classes)}"
        )
    laid = params.segment.model_dump(include={"axis_deg", "scale"})
    return predictors, {
        "models": about,
        "inference": params.inference.model_dump(),
        "tta": params.segment.tta,
        "min_px": params.segment.min_px,
        "pixel_size_nm": params.segment.pixel_size_nm,
        # Only where they are set: what was segmented before there were these is gone on with.
        **{key: value for key, value in laid.items() if value is not None},
    }


def _workers(params: Params) -> int:
    return params.segment.workers or len(os.sched_getaffinity(0))


def _segment_one(
    params: Params,
    source: _Source,
    predictors: Sequence[Predictor],
    out: Path,
    about: dict,
    on_frame: Callable[[str, int, int | None], None] | None,
) -> dict:
    from spinscope.live.pipeline import Stopped, segment_recording
    from spinscope.live.results import open_results

    row: dict[str, Any] = {"file": str(source.path), "folder": str(out / source.name)}
    if note := fewer_views(predictors, params.segment.tta):
        row["note"] = note
    with _closing(source.open()) as recording:
        try:
            results = segment_recording(
                recording,
                predictors,
                out / source.name,
                about=about,
                tta=params.segment.tta,
                min_px=params.segment.min_px,
                workers=_workers(params),
                part=params.segment.chunk_frames,
                on_frame=on_frame and (lambda done: on_frame(source.name, done, recording.n)),
            )
        except Stopped as stopped:  # the recordings after it are segmented all the same
            row["stopped"] = str(stopped)
            results = open_results(out / source.name)
        row |= {
            "frames": results.n,
            "objects": results.summary["figures"]["objects"],
            "frames_per_s": results.summary["timing"]["frames_per_s"],
            "former": results.summary["former"],
        }
        mask, classes = results.mask(0), results.summary["classes"]
        row["fraction"] = {name: float((mask == k).mean()) for k, name in enumerate(classes)}
        try:
            first = recording.read(0)
        except (RecordingError, OSError):  # a camera's file may have moved on
            return row
        return row | _draw(first, mask, out / source.name, single=results.n == 1)


def _draw(raw: np.ndarray, mask: np.ndarray, name: Path, *, single: bool) -> dict[str, str]:
    """Write the overlay of a frame, and the mask of a single image; returns kind → file."""
    from spinscope.drawing import overlay, write_panels
    from spinscope.images import write_label

    if mask.size > _PICTURE_PIXELS:
        return {}
    drawn = {"overlay": f"{name}.overlay.png"}
    write_panels(drawn["overlay"], [overlay(raw, mask)])
    if single:
        drawn["mask"] = f"{name}.mask.png"
        write_label(drawn["mask"], mask)
    return drawn
