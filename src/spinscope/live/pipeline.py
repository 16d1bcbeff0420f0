"""Segment a whole recording: decode, segment, measure and write at the same time.

One thread decodes; `workers` threads segment and measure one frame each, one processor core per
frame; the calling thread puts the results in order and writes them in chunks. A few frames are in
memory at a time, however long the recording is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.classes import CLASSES
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.inference.predict import Predictor
from spinscope.inference.sample import recording_region
from spinscope.live.doubts import CHECKED, KERR, LORENTZ, doubts
from spinscope.live.frame import measure_frame, unreadable
from spinscope.live.given import GivenMasks
from spinscope.live.results import (
    SUMMARY,
    Chunks,
    EncodedFrame,
    Results,
    encode,
    finish,
    open_results,
    same_settings,
)
from spinscope.recordings import Recording, RecordingError, WatchedFolder, readable_frames

_WAIT = 0.2  # s between checks for finished frames while no new one arrives
_LINGER = 2.0  # s after which the frames of a slow camera are written as an incomplete chunk
_END = object()  # end of a recording


class Stopped(SpinscopeError):
    """A recording could not be read to its end; the frames before are kept."""


class _Timing:
    """Seconds spent in each stage, over all frames; the stages run at the same time.

    Parameters
    ----------
    earlier : mapping
        Timing of the frames that earlier calls finished, empty for none.
    """

    def __init__(self, earlier: Mapping[str, Any]) -> None:
        self.started = time.perf_counter()
        self.frames = earlier.get("frames", 0)
        rate = earlier.get("frames_per_s")
        self.started -= self.frames / rate if rate else 0.0
        self.seconds = {
            stage: ms * self.frames / 1e3 for stage, ms in earlier.get("ms_per_frame", {}).items()
        }

    def add(self, seconds: dict[str, float]) -> None:
        for stage, value in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value

    def summary(self, frames: int) -> dict[str, Any]:
        """Frames per second until now, and milliseconds per frame of each stage.

        Parameters
        ----------
        frames : int
            Frames that this call has finished.
        """
        seconds, frames = time.perf_counter() - self.started, self.frames + frames
        return {
            "frames": frames,
            "seconds": _four_digits(seconds),
            "frames_per_s": _four_digits(frames / seconds) if frames else None,
            "ms_per_frame": {
                stage: _four_digits(1e3 * value / max(frames, 1))
                for stage, value in self.seconds.items()
            },
        }


def _four_digits(value: float) -> float:
    """Round a measured time to four significant digits."""
    return float(f"{value:.4g}")


def segment_recording(
    recording: Recording,
    predictor: Predictor | GivenMasks,
    folder: Path,
    *,
    settings: dict[str, Any],
    tta: int = 1,
    min_px: int = 1,
    region: str = "whole",
    workers: int = 2,
    chunk_frames: int = 64,
    on_frame: Callable[[int], None] | None = None,
    warnings: Sequence[str] | None = (),
    familiar: bool = False,
) -> Results:
    """Segment and measure every frame of a recording into a results folder.

    Parameters
    ----------
    recording : Recording
        Frames to segment.
    predictor : Predictor, Ensemble or GivenMasks
        Model, or masks in the place of one.
    folder : Path
        Results folder to write.
    settings : dict
        Everything the result depends on (model, settings). An interrupted call with the same
        settings is resumed, and finished results of the same settings are returned unchanged.
    tta : {1, 2, 3, 8}
        Number of augmented views.
    min_px : int
        Objects of fewer pixels are left out.
    region : str
        What of the frames is measured: "whole", "auto" (without information bars, lettering and
        scale bars) or a crop "y0,x0,y1,x1" in px.
    workers : int
        Frames segmented at once.
    chunk_frames : int
        Frames written at a time: at most this many are recomputed after an interruption.
    on_frame : callable, optional
        Called with the number of frames that are done.
    warnings : sequence of str or None
        Warnings of the summary, to which those of `doubts` are added. None for masks that no
        network made: they have no warnings.
    familiar : bool
        Whether the first frame has the symmetry of the training images, see `doubts`.

    Returns
    -------
    Results
        The results folder.

    Raises
    ------
    Stopped
        Where a file ends before its last two frames or more, or a watched folder vanishes; the
        frames before are kept in `folder`. A single frame that cannot be read has a row without
        objects, and its error in the summary (`unreadable`, `warnings`).
    """
    source = describe(recording)
    settings = {**settings, "recording": source}

    def work(index: int, raw: np.ndarray | RecordingError) -> EncodedFrame:
        network, reviewer = predictor, None
        if isinstance(predictor, GivenMasks):
            network, raw = predictor.at(index, raw)
            reviewer = predictor.reviewer(index)
        error = str(raw) if isinstance(raw, RecordingError) else None
        frame = measure_frame(
            np.zeros(recording.shape, np.float32) if error else raw,
            network,
            index=index,
            scale=recording.scale,
            tta=tta,
            min_px=min_px,
            region=chunks.region,
            check=error is None and warnings is not None and index % CHECKED == 0,
        )
        applied = recording.applied_at(index)
        frame = unreadable(frame, error) if error else frame
        return encode(frame, recording.names(index), applied, reviewer)

    with locked(folder):
        resumed = _resume(recording, folder, settings)
        if isinstance(resumed, Results):
            return resumed
        chunks, done, timing = resumed, resumed.n_frames, _Timing(resumed.timing)
        on_frame = on_frame or (lambda done: None)
        on_frame(done)
        writer = _Writer(chunks, chunk_frames, recording, timing, on_frame)
        if recording.n is not None:
            _decide_region(chunks, recording.shape, _spread_frames(recording), region)
        frames = _with_region(chunks, _read_ahead(recording, done, timing), region)
        with contextlib.closing(frames), ThreadPoolExecutor(workers) as pool:
            try:
                error = _run(frames, writer, partial(pool.submit, work), workers)
            finally:
                writer.flush()
        if chunks.n_frames != done + writer.written:
            raise SpinscopeError(
                f"{chunks.folder} holds {chunks.n_frames} frames of {done + writer.written}: it "
                "was changed by another program meanwhile; run the same command again"
            )
        if not chunks.n_frames:
            chunks.remove()
            raise error or SpinscopeError(f"{recording.path}: no frame came")
        summary = {
            "settings": settings,
            "recording": source,
            "classes": list(CLASSES if chunks.left_out else predictor.info["classes"]),
            "left_out": chunks.left_out,
            "applied": list(recording.applied_at(0)),
            "engine": f"{predictor.engine.name} {predictor.engine.precision}",
            "error": str(error) if error else None,
        }
        known = KERR if predictor.info.get("symmetry", "square") == "square" else LORENTZ
        scale = settings.get("scale") or 1.0

        def content(merged: Path) -> dict[str, Any]:
            found = {
                "timing": timing.summary(writer.written),
                "warnings": [*_named(chunks.unreadable), *(warnings or ())],
            }
            if warnings is not None:
                found["warnings"] += doubts(
                    merged, known, min_px=min_px, scale=scale, familiar=familiar
                )
            return summary | found

        results = finish(chunks, folder, content)
    if error:
        raise _stopped(results)
    return results


def _named(unreadable: list[dict[str, Any]]) -> list[str]:
    """Warning that names the frames that could not be read; none where all were read."""
    if not unreadable:
        return []
    names = ", ".join(row["name"] for row in unreadable[:5])
    more = f" and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
    count = "1 frame" if len(unreadable) == 1 else f"{len(unreadable)} frames"
    return [
        f"{count} cannot be read, without objects in the tables: {names}{more} "
        f"({unreadable[0]['error']})"
    ]


def _spread_frames(recording: Recording) -> list[np.ndarray]:
    """First, middle and last frame of a recording, as far as they can be read."""
    return list(readable_frames(recording, sorted({0, recording.n // 2, recording.n - 1})))


def _decide_region(
    chunks: Chunks, shape: tuple[int, int], frames: list[np.ndarray], setting: str
) -> None:
    """Decide what of the frames is sample, once per recording."""
    if chunks.region is None and frames:
        chunks.region = recording_region(shape, frames, setting)


def _with_region(
    chunks: Chunks, frames: Iterator[tuple[int, np.ndarray | RecordingError] | None], setting: str
) -> Iterator[tuple[int, np.ndarray | RecordingError] | None]:
    """Yield frames; the first one decides the region where none was decided before."""
    with contextlib.closing(frames):
        for frame in frames:
            if frame is not None and not isinstance(frame[1], RecordingError):
                _decide_region(chunks, frame[1].shape, [frame[1]], setting)
            yield frame


def _resume(recording: Recording, folder: Path, settings: dict[str, Any]) -> Results | Chunks:
    """Finished results of the same recording and settings, or the chunks to resume from."""
    finished = open_results(folder) if (folder / SUMMARY).is_file() else None
    if finished is not None and not same_settings(finished.summary["settings"], settings):
        finished = None
    if finished is not None and recording.n is not None:
        if finished.summary["error"]:
            raise _stopped(finished)
        return finished
    chunks = Chunks(folder.with_name(f"{folder.name}.chunks"), settings)
    if isinstance(recording, WatchedFolder):  # it may have grown since
        if finished is not None and not chunks.n_frames:
            chunks.adopt(finished)
        if chunks.n_frames:
            known = chunks.calibration
            size = known["pixel_size_nm"]
            recording.skip(
                chunks.names, known["shape_px"], known["white_level"], size and size / 1e9
            )
    return chunks


def _stopped(results: Results) -> Stopped:
    """Error of a recording that ended at a damaged frame."""
    return Stopped(
        f"{results.summary['error']}; the {results.n_frames} frames before it are kept in "
        f"{results.folder}"
    )


def describe(recording: Recording) -> dict[str, Any]:
    """Return what identifies a recording: path, name, fingerprint, whether it was watched."""
    return {
        "path": str(recording.path.resolve()),
        "name": recording.name,
        "fingerprint": recording.fingerprint,
        "watched": recording.n is None,
    }


def _run(
    frames: Iterator[tuple[int, np.ndarray | RecordingError] | None],
    writer: _Writer,
    submit: Callable[[int, np.ndarray | RecordingError], Future[EncodedFrame]],
    workers: int,
) -> RecordingError | None:
    """Move frames from the reader to the workers to the writer; return what ended the reading."""
    pending: deque[Future[EncodedFrame]] = deque()
    error = None
    try:
        for frame in frames:
            if frame is not None:
                pending.append(submit(*frame))
            while pending and (len(pending) > workers or pending[0].done()):
                writer.add(pending.popleft().result())
            if writer.waiting and time.monotonic() - writer.since > _LINGER:
                writer.flush()
    except RecordingError as damaged:
        error = damaged
    while pending:
        writer.add(pending.popleft().result())
    return error


class _Writer:
    """Collects finished frames and writes them in chunks."""

    def __init__(
        self,
        chunks: Chunks,
        chunk_frames: int,
        recording: Recording,
        timing: _Timing,
        on_frame: Callable[[int], None],
    ):
        self.chunks, self.chunk_frames, self.recording = chunks, chunk_frames, recording
        self.timing, self.on_frame = timing, on_frame
        self.waiting: list[EncodedFrame] = []
        self.written, self.since = 0, time.monotonic()

    def add(self, frame: EncodedFrame) -> None:
        if not self.waiting:
            self.since = time.monotonic()
        self.waiting.append(frame)
        self.timing.add(frame.seconds)
        self.on_frame(frame.index + 1)
        if len(self.waiting) >= self.chunk_frames:
            self.flush()

    def flush(self) -> None:
        started = time.perf_counter()
        waiting, self.waiting = self.waiting, []
        done = self.written + len(waiting)
        self.chunks.add(waiting, self.recording, self.timing.summary(done))
        self.written = done
        self.timing.add({"write": time.perf_counter() - started})


def _read_ahead(
    recording: Recording, start: int, timing: _Timing
) -> Iterator[tuple[int, np.ndarray | RecordingError] | None]:
    """Decode in a thread of its own, at most two frames ahead; yield None while none arrives.

    The thread is a daemon: a camera that sends no frame does not keep the program alive.
    """
    frames: queue.Queue = queue.Queue(maxsize=2)
    cancelled = threading.Event()

    def put(item: Any) -> None:
        while not cancelled.is_set():
            with contextlib.suppress(queue.Full):
                return frames.put(item, timeout=_WAIT)

    def read() -> None:
        try:
            source = iter(recording.frames_or_errors(start))
            while not cancelled.is_set():
                started = time.perf_counter()
                frame = next(source, None)
                if frame is not None:
                    timing.add({"decode": time.perf_counter() - started})
                put(frame or _END)
                if frame is None:
                    return
        except BaseException as error:  # raised again in the calling thread
            put(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = frames.get(timeout=_WAIT)
            except queue.Empty:
                item = None
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        cancelled.set()
        thread.join(timeout=5)
