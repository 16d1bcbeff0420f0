"""Clean a whole recording: read, clean and write at the same time, in bounded memory.

The calling thread reads and writes; `workers` threads clean one frame each. A few frames are in
memory at a time, however long the recording is. The raw recording is only read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinscope.config import Intake
from spinscope.errors import SpinscopeError
from spinscope.files import (
    atomic_file,
    digest,
    locked,
    provenance,
    sha256,
    sha256_folder,
    write_json,
)
from spinscope.intake.cleaning import Cleaner, LeftFrame, Misaligned, common
from spinscope.recordings import Recording, RecordingError
from spinscope.recordings.applied import typed

RECIPE = ".intake.json"
"""Ending of the recipe beside a clean recording."""

VERSION = 1
"""Version of the steps; recordings of another version are made again."""

DRIFT = ["drift_y_px", "drift_x_px"]

_DIGITS = 7


class Stopped(SpinscopeError):
    """A recording could not be cleaned to its end; the frames before are kept."""


@dataclass(frozen=True)
class Clean:
    """A clean recording.

    Attributes
    ----------
    path : Path
        TIFF of the frames; the table and the recipe are beside it.
    recipe : dict
        Contents of the recipe.
    """

    path: Path
    recipe: dict[str, Any]

    @property
    def table(self) -> pd.DataFrame:
        """One row per frame: frame, applied conditions, drift, intensities."""
        return pd.read_csv(self.path.with_suffix(".csv"))


@dataclass
class _Group:
    """Frames that are averaged to one: sum of their contrast, what was in view, drift."""

    contrast: np.ndarray
    inside: tuple[slice, slice]
    drift: np.ndarray
    lost: list[RecordingError]
    stop: LeftFrame | RecordingError | None = None
    frames: int = 0


def clean_recording(
    recording: Recording,
    out: Path,
    settings: Intake,
    reference: Recording | str | None = "first",
    *,
    drift: np.ndarray | None = None,
    workers: int | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Clean:
    """Clean a raw recording, and write it with its table and recipe.

    `NAME.tif` is a BigTIFF of 16-bit intensities with pixel size and interval in OME-XML,
    `NAME.csv` holds one row per frame, `NAME.intake.json` the recipe. A clean recording of the same
    raw recording, reference and settings is returned as it is.

    Parameters
    ----------
    recording : Recording
        Raw recording.
    out : Path
        Folder to write to.
    settings : Intake
        Settings.
    reference : Recording, str or None
        Recording of the reference, "first", "first:N", "mean" or None, see `Cleaner`.
    drift : (n, 2) array, optional
        Known drift (y, x) of each raw frame in px; measured by default.
    workers : int, optional
        Frames cleaned at once; by default one per processor core.
    on_frame : callable, optional
        Called with the number of raw frames that are done.

    Returns
    -------
    Clean
        The clean recording.

    Raises
    ------
    Stopped
        Where the drift leaves the frame, or the file ends early; the frames before are kept. A
        single frame that cannot be read is black and has no intensity.
    SpinscopeError
        For input that does not fit, see `Cleaner`, and for an output that would replace the raw
        recording.
    """
    target = out / f"{recording.name}.tif"
    _check_out(recording, out)
    if settings.applied:
        recording.applied = {**recording.applied, **typed(settings.applied, recording.n)}
    if drift is not None and drift.shape != (recording.n, 2):
        raise SpinscopeError(
            f"the stored drift has {len(drift)} rows, {recording.path} has {recording.n} frames; "
            "it must have one row per raw frame (of a call with intake.average=1)"
        )
    key = digest(
        {
            "version": VERSION,
            "raw": recording.fingerprint,
            "reference": reference.fingerprint if isinstance(reference, Recording) else reference,
            "settings": settings.model_dump(mode="json"),
            "drift": None if drift is None else np.asarray(drift, float).tolist(),
        }
    )
    with locked(target):
        if (finished := _finished(target, key)) is not None:
            return finished
        return _clean(recording, target, settings, reference, drift, workers, on_frame, key)


def _clean(
    recording: Recording,
    target: Path,
    settings: Intake,
    reference: Recording | str | None,
    drift: np.ndarray | None,
    workers: int | None,
    on_frame: Callable[[int], None] | None,
    key: str,
) -> Clean:
    """Clean a recording into `target`; see `clean_recording`."""
    workers = workers or len(os.sched_getaffinity(0))
    cleaner = Cleaner(recording, settings, reference, align=drift is None)
    span = cleaner.span(drift)
    rows: list[dict[str, Any]] = []
    lost: dict[int, str] = {}
    clipped: list[float] = []
    shape = tuple(box.stop - box.start for box in cleaner.crop)
    _check_space(target, recording.n // settings.average + 1, shape)
    target.with_name(target.stem + RECIPE).unlink(missing_ok=True)  # not complete from here on
    error: BaseException | None = None
    done = 0
    with (
        ThreadPoolExecutor(1) as hashing,
        atomic_file(target) as partial,
        _Stack(partial, recording.name, shape, _calibration(recording, settings), key) as stack,
    ):
        hashes = hashing.submit(_hashes, recording, reference)
        groups = _groups(recording, settings.average, cleaner, drift, workers)
        try:
            with contextlib.closing(groups):
                for first, group in groups:
                    if group.frames:
                        levels, outside = cleaner.mapped(group.contrast, span)
                        clipped.append(outside)
                        means = cleaner.means(group.contrast, group.inside)
                    elif group.stop is None:  # not one of its frames can be used
                        levels, means = np.zeros(shape, np.uint16), {}
                    else:
                        break
                    stack.add(levels)
                    rows.append(_row(recording, len(rows), first, group, means, settings.average))
                    lost |= {one.index: str(one) for one in group.lost}
                    done = first + settings.average
                    if on_frame is not None:
                        on_frame(min(done, recording.n))
                    if group.stop is not None:
                        break
            error = group.stop
        except KeyboardInterrupt as interrupted:
            error = interrupted
        except RecordingError as ended:
            error = ended
        if not rows:
            raise error or RecordingError(f"{recording.path}: no frame of it can be read")
        with contextlib.suppress(KeyboardInterrupt):
            known = hashes.result()
    table = pd.DataFrame(rows)
    with atomic_file(target.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False)
    if isinstance(error, KeyboardInterrupt):
        text = f"interrupted before frame {done} of {recording.n}"
    else:
        text = None if error is None else str(error)
    recipe = {
        "key": key,
        **provenance(),
        "raw": {
            "file": str(recording.path.resolve()),
            "sha256": known[0],
            "frames": recording.n,
            "shape_px": list(recording.shape),
        },
        "reference": {
            "kind": "file" if isinstance(reference, Recording) else reference or "none",
            "file": str(reference.path.resolve()) if isinstance(reference, Recording) else None,
            "sha256": known[1],
        },
        "settings": settings.model_dump(mode="json") | {"span": span},
        "mapping": (
            f"intensity = 0.5 + contrast / (2 * {span:g}), of 65535"
            if reference is not None
            else "intensity = raw value / white, of 65535"
        ),
        "drift": _drift_summary(table, "none" if not settings.drift else
                                "measured" if drift is None else "stored"),
        "hot_pixels": cleaner.hot_pixels,
        "clipped_fraction": _rounded(np.mean(clipped)) if clipped else 0.0,
        "frames": len(rows),
        "lost": [{"frame": index, "error": why} for index, why in sorted(lost.items())],
        "error": text,
    }  # fmt: skip
    write_json(target.with_name(target.stem + RECIPE), recipe)
    if isinstance(error, KeyboardInterrupt):
        raise error
    if error is not None:
        raise _stopped(target, recipe)
    return Clean(target, recipe)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the recipe beside a clean recording.

    Raises
    ------
    SpinscopeError
        Where the file is not one.
    """
    try:
        recipe = json.loads(path.read_text())
        Intake.model_validate(recipe["settings"])
        kind, file = recipe["reference"]["kind"], recipe["reference"]["file"]
        if not isinstance(recipe["raw"]["file"], str) or (kind == "file") != isinstance(file, str):
            raise ValueError("raw and reference must be named")
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise SpinscopeError(f"{path} is not a recipe of `spinscope intake`: {text}") from error
    return recipe


def _finished(target: Path, key: str) -> Clean | None:
    """Clean recording that an earlier call has finished, None where there is none."""
    try:
        recipe = json.loads(target.with_name(target.stem + RECIPE).read_text())
    except (OSError, ValueError):
        return None
    complete = target.is_file() and target.with_suffix(".csv").is_file()
    if not isinstance(recipe, dict) or recipe.get("key") != key or not complete:
        return None
    if recipe["error"]:
        if recipe["error"].startswith("interrupted"):
            return None
        raise _stopped(target, recipe)
    return Clean(target, recipe)


def _stopped(target: Path, recipe: Mapping[str, Any]) -> Stopped:
    """Error of a recording that was not cleaned to its end."""
    return Stopped(f"{recipe['error']}; the {recipe['frames']} frames before it are in {target}")


def _check_out(recording: Recording, out: Path) -> None:
    """Refuse an output folder in which the raw recording lies: the table would be its sidecar."""
    raw = recording.path.resolve()
    if out.resolve() in (raw.parent, raw):
        raise SpinscopeError(
            f"--out {out} is the folder of the raw recording {recording.path}; choose another, so "
            "that nothing of the raw data is replaced"
        )


def _check_space(target: Path, frames: int, shape: tuple[int, ...]) -> None:
    """Refuse a clean recording that does not fit on the disk."""
    needed = 2 * frames * int(np.prod(shape))
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise SpinscopeError(
            f"{target} needs {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free; choose another "
            "folder with --out, or a crop or average"
        )


def _hashes(recording: Recording, reference: Recording | str | None) -> list[str | None]:
    """SHA-256 of the raw recording and of the file of the reference."""
    found: list[str | None] = []
    for one in (recording, reference):
        if not isinstance(one, Recording):
            found.append(None)
        elif one.path.is_dir():
            found.append(sha256_folder(one.path))
        else:
            found.append(sha256(one.path) if one.path.is_file() else one.fingerprint)
    return found


def _groups(
    recording: Recording,
    average: int,
    cleaner: Cleaner,
    drift: np.ndarray | None,
    workers: int,
) -> Iterator[tuple[int, _Group]]:
    """Yield the number of the first frame and the mean of each group of frames, in order."""

    def work(frames: list[tuple[int, np.ndarray | RecordingError]]) -> _Group:
        group = _Group(np.zeros(cleaner.shape, np.float32), (slice(None),) * 2, np.zeros(2), [])
        for index, pixels in frames:
            if isinstance(pixels, RecordingError):
                group.lost.append(pixels)
                continue
            try:
                one = cleaner(pixels, index, None if drift is None else tuple(drift[index]))
            except Misaligned as error:
                group.lost.append(error)
                continue
            except LeftFrame as error:
                group.stop = error
                break
            if not group.frames:
                group.contrast, group.inside = one.contrast, one.inside
            else:
                group.contrast += one.contrast
                group.inside = common(group.inside, one.inside)
            group.drift += one.drift[:2]
            group.frames += 1
        if group.frames > 1:
            group.contrast /= group.frames
        group.drift /= max(group.frames, 1)
        return group

    pending: deque[tuple[int, Future[_Group]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[tuple[int, np.ndarray | RecordingError]] = []
        ended: RecordingError | None = None
        try:
            for frame in recording.frames_or_errors():
                waiting.append(frame)
                if len(waiting) == average:
                    pending.append((waiting[0][0], pool.submit(work, waiting)))
                    waiting = []
                while len(pending) > workers:
                    first, future = pending.popleft()
                    yield first, future.result()
        except RecordingError as error:  # the frames before it are good
            ended = error
        if waiting:
            pending.append((waiting[0][0], pool.submit(work, waiting)))
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
        if ended is not None:
            raise ended


def _row(
    recording: Recording,
    frame: int,
    first: int,
    group: _Group,
    means: Mapping[str, float],
    average: int,
) -> dict[str, Any]:
    """Row of the table for one clean frame."""
    row: dict[str, Any] = {"frame": frame}
    for name, values in recording.applied.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing but NaN
            row[name] = float(np.nanmean(values[first : first + average]))
    drift = group.drift if group.frames else (np.nan, np.nan)
    row |= {name: round(float(value), 4) for name, value in zip(DRIFT, drift, strict=True)}
    return row | {name: _rounded(value) for name, value in means.items()}


def _rounded(value: float) -> float:
    """Value with seven significant digits."""
    return float(f"{value:.{_DIGITS}g}")


def _drift_summary(table: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Kind and extremes of the drift."""
    known = table[DRIFT].dropna()
    if known.empty:
        return {"kind": kind}
    return {"kind": kind} | {
        f"{key}_{name}": float(getattr(known[name], key)())
        for name in DRIFT
        for key in ("min", "max")
    }


def _calibration(recording: Recording, settings: Intake) -> dict[str, Any]:
    """Pixel size and interval as attributes of OME-XML."""
    known: dict[str, Any] = {}
    size = recording.pixel_size
    if settings.pixel_size_nm is not None:
        size = settings.pixel_size_nm * 1e-9
    for axis in "XY" if size else "":
        known[f"PhysicalSize{axis}"] = float(f"{size * 1e6:.12g}")
        known[f"PhysicalSize{axis}Unit"] = "µm"
    interval = recording.interval if settings.interval_s is None else settings.interval_s
    if interval:
        known |= {"TimeIncrement": interval * settings.average, "TimeIncrementUnit": "s"}
    return known


class _Stack:
    """BigTIFF to which frames are added one by one; OME-XML is written at the end."""

    def __init__(
        self,
        path: Path,
        name: str,
        shape: tuple[int, ...],
        calibration: Mapping[str, Any],
        key: str,
    ):
        import tifffile

        self._path, self._name, self._shape, self._known = path, name, shape, calibration
        self._file = tifffile.TiffWriter(path, bigtiff=True, ome=False)
        self._count = 0
        self._uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, key))  # equal for equal recipes

    def __enter__(self) -> _Stack:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._describe()

    def add(self, levels: np.ndarray) -> None:
        """Write a frame (h, w) uint16."""
        self._file.write(
            np.ascontiguousarray(levels),
            photometric="minisblack",
            metadata=None,
            description=None if self._count else "OME-XML follows",
            software=False if self._count else "spinscope",
        )
        self._count += 1

    def _describe(self) -> None:
        """Write the OME-XML with the number of frames."""
        import tifffile

        version = provenance()["spinscope_version"]
        xml = tifffile.OmeXml(Creator=f"spinscope {version}", UUID=self._uuid)
        shape = (self._count, *self._shape)
        stored = (self._count, 1, 1, *self._shape, 1)
        xml.addimage(np.uint16, shape, stored, axes="TYX", Name=self._name, **self._known)
        with tifffile.TiffFile(self._path, mode="r+") as file:
            file.pages.first.tags[270].overwrite(xml.tostring(declaration=True).encode())
