"""A recording through decode, segment, measure and write, each stage beside the others.

One thread reads; `workers` threads segment and measure a frame each, one processor core a frame;
the caller's thread puts the results in order and writes them in parts. A few frames are in memory
at a time, however long the recording is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from spinscope.errors import SpinscopeError
from spinscope.inference.predict import Predictor
from spinscope.live.frame import measure_frame
from spinscope.live.results import (
    SUMMARY,
    Encoded,
    Parts,
    Results,
    encode,
    finish,
    open_results,
)
from spinscope.recordings import Recording, RecordingError
from spinscope.recordings.watch import WatchedFolder

_WAIT = 0.2  # s between looks at what is finished while no frame comes
_LINGER = 2.0  # s after which the frames of a slow camera are written as they are


class Stopped(SpinscopeError):
    """The recording was left before its end; what was finished is kept."""


class Stages:
    """Seconds that each stage took, over all frames; the stages run side by side."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def add(self, seconds: dict[str, float]) -> None:
        for stage, value in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value

    def timing(self, frames: int) -> dict[str, Any]:
        """Frames a second from the beginning until now, and milliseconds of each stage a frame."""
        seconds = time.perf_counter() - self.started
        return {
            "frames": frames,
            "frames_per_s": frames / seconds if frames else None,
            "stages_ms": {k: 1e3 * value / max(frames, 1) for k, value in self.seconds.items()},
        }


def segment_recording(
    recording: Recording,
    predictors: Sequence[Predictor],
    folder: Path,
    *,
    about: dict[str, Any],
    tta: int = 1,
    min_px: int = 1,
    workers: int = 2,
    part: int = 64,
    on_frame: Callable[[int], None] | None = None,
) -> Results:
    """Segment and measure every frame of a recording into `folder`.

    about : what decides the result (model, settings); finished frames of an interrupted call with
        the same are not computed again, and a finished folder of the same is returned as it is.
    part : frames written at a time, the most that a kill costs.
    on_frame : is told the number of frames that are done.
    Raises Stopped where a frame cannot be read; the frames before it are kept in `folder`.
    """
    about = {**about, "stream": describe(recording)}

    def work(index: int, raw: np.ndarray) -> Encoded:
        frame = measure_frame(
            raw, predictors, index=index, scale=recording.scale, tta=tta, min_px=min_px
        )
        return encode(frame, recording.names(index))

    with _alone(folder):
        begun = _begin(recording, folder, about)
        if isinstance(begun, Results):
            return begun
        parts, done, stages = begun, begun.done, Stages()
        if on_frame:
            on_frame(done)
        writer = _Writer(parts, part, recording, stages, on_frame)
        with _Reader(recording, done, stages) as reader, ThreadPoolExecutor(workers) as pool:
            try:
                stopped = _run(reader, writer, lambda *frame: pool.submit(work, *frame), workers)
            finally:
                writer.flush()
        if parts.done != done + writer.written:
            raise SpinscopeError(
                f"{parts.folder} holds {parts.done} frames of {done + writer.written}: it was "
                "changed by another program meanwhile; run the same command again"
            )
        if not parts.done:
            parts.remove()
            raise stopped or SpinscopeError(f"{recording.path}: no frame came")
        engine = predictors[0].engine
        told = {
            "about": about,
            "stream": about["stream"],
            "classes": list(predictors[0].info["classes"]),
            "engine": f"{engine.name} {engine.precision}",
            "stopped": str(stopped) if stopped else None,
        }
        results = finish(parts, folder, lambda: told | {"timing": stages.timing(writer.written)})
    if stopped:
        raise _kept(results)
    return results


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other programs from writing the same results meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise SpinscopeError(
            f"{folder} is being written by another program; wait for it or name another folder"
        ) from None


def _begin(recording: Recording, folder: Path, about: dict[str, Any]) -> Results | Parts:
    """The finished results of the same recording and settings, or the parts to go on from."""
    finished = open_results(folder) if (folder / SUMMARY).is_file() else None
    if finished is not None and finished.summary["about"] != about:
        finished = None
    if finished is not None and recording.n is not None:
        if finished.summary["stopped"]:
            raise _kept(finished)
        return finished
    parts = Parts(folder.with_name(f"{folder.name}.parts"), about)
    if isinstance(recording, WatchedFolder):  # it may have grown since it was left
        if finished is not None and not parts.done:
            parts.adopt(finished)
        if parts.done:
            facts = parts.facts
            recording.take(parts.names, *(facts[key] for key in ("shape", "scale", "pixel_size")))
    return parts


def _kept(results: Results) -> Stopped:
    return Stopped(
        f"{results.summary['stopped']}; the {results.n} frames before it are kept in "
        f"{results.folder}"
    )


def describe(recording: Recording) -> dict[str, Any]:
    """What identifies a recording."""
    return {
        "path": str(recording.path.resolve()),
        "name": recording.name,
        "fingerprint": recording.fingerprint,
        "watched": recording.n is None,
    }


def _run(
    reader: _Reader,
    writer: _Writer,
    submit: Callable[[int, np.ndarray], Future[Encoded]],
    workers: int,
) -> SpinscopeError | None:
    """Move frames from the reader to the workers to the writer; returns why the reading ended."""
    pending: deque[Future[Encoded]] = deque()
    while True:
        frame = reader.next(_WAIT)
        if frame is not None:
            pending.append(submit(*frame))
        while pending and (len(pending) > workers or pending[0].done()):
            writer.add(pending.popleft().result())
        if frame is None and reader.ended:
            break
        writer.flush_if_old()
    while pending:
        writer.add(pending.popleft().result())
    return reader.error


class _Writer:
    """Collects finished frames and writes them in parts."""

    def __init__(self, parts, part, recording, stages, on_frame):
        self.parts, self.part, self.recording = parts, part, recording
        self.stages, self.on_frame = stages, on_frame
        self.waiting: list[Encoded] = []
        self.written = 0
        self.since = time.monotonic()

    def add(self, frame: Encoded) -> None:
        if not self.waiting:
            self.since = time.monotonic()
        self.waiting.append(frame)
        self.stages.add(frame.seconds)
        if self.on_frame:
            self.on_frame(frame.index + 1)
        if len(self.waiting) >= self.part:
            self.flush()

    def flush_if_old(self) -> None:
        if self.waiting and time.monotonic() - self.since > _LINGER:
            self.flush()

    def flush(self) -> None:
        started = time.perf_counter()
        waiting, self.waiting = self.waiting, []
        self.parts.add(waiting, self.recording)
        self.written += len(waiting)
        self.stages.add({"write": time.perf_counter() - started})


class _Reader:
    """Decodes ahead in a thread of its own, two frames at the most."""

    def __init__(self, recording: Recording, start: int, stages: Stages):
        self.recording, self.start, self.stages = recording, start, stages
        self.error: SpinscopeError | None = None
        self.ended = False
        self._failure: BaseException | None = None
        self._frames: queue.Queue[tuple[int, np.ndarray]] = queue.Queue(maxsize=2)
        self._left = threading.Event()
        self._exhausted = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join(timeout=5)

    def next(self, wait: float) -> tuple[int, np.ndarray] | None:
        """The next frame, or None where none came in `wait` seconds or none is left."""
        exhausted = self._exhausted.is_set()  # before the look: a frame may come between
        try:
            return self._frames.get(block=not exhausted, timeout=wait)
        except queue.Empty:
            if exhausted:
                self.ended = True
                if self._failure is not None:
                    raise self._failure from None
            return None

    def _read(self) -> None:
        frames = iter(self.recording.frames(self.start))
        try:
            while not self._left.is_set():
                started = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    break
                self.stages.add({"decode": time.perf_counter() - started})
                self._put(frame)
        except RecordingError as error:
            self.error = error
        except BaseException as error:  # handed to the caller's thread
            self._failure = error
        finally:
            self._exhausted.set()

    def _put(self, frame: tuple[int, np.ndarray]) -> None:
        while not self._left.is_set():
            try:
                return self._frames.put(frame, timeout=_WAIT)
            except queue.Full:
                continue
