"""Frames of a folder that a camera is filling, in order of arrival.

The folder is polled: change notifications of the operating system do not report files that another
computer writes to a network share, and a file is complete only once it stopped growing.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spinscope.recordings.applied import of_text
from spinscope.recordings.base import Recording, RecordingError
from spinscope.recordings.folder import is_image, natural, read_file


class WatchedFolder(Recording):
    """Folder that a camera is filling; frames are numbered in order of arrival.

    Files that arrive between two checks are taken in natural order of their names, and none is
    taken before an earlier one that is still being written. `n` is None; `shape`, `scale` and
    `pixel_size` wait for the first frame.

    Parameters
    ----------
    path : Path or str
        Folder to watch.
    settle : float
        Seconds without growth after which a file is complete; one that opens without an error is
        read at once.
    poll : float
        Seconds between two checks of the folder.
    stop : callable
        `frames()` ends when it returns True.
    idle : float, optional
        `frames()` ends after so many seconds without a new file; by default never.
    pixel_size : float, optional
        Pixel size in m, which overrides the files' metadata.

    Raises
    ------
    RecordingError
        Where the folder does not exist.
    """

    n = None
    separate = True

    def __init__(
        self,
        path: Path | str,
        *,
        settle: float = 1.0,
        poll: float = 0.1,
        stop: Callable[[], bool] = lambda: False,
        idle: float | None = None,
        pixel_size: float | None = None,
    ):
        path = Path(path)
        for name, value in (("settle", settle), ("poll", poll), ("idle", idle)):
            if value is not None and not value >= 0:
                raise RecordingError(f"{name} (={value}) must be a number of seconds, not negative")
        if not path.is_dir():
            raise RecordingError(f"{path} is not a folder; only a folder can be watched")
        self.path = path
        self.name = path.resolve().name
        self._settle, self._poll, self._stop, self._idle = settle, poll, stop, idle
        self._pixel_size = pixel_size
        state = path.stat()
        self.fingerprint = hashlib.sha256(
            f"{path.resolve()}\0{state.st_dev}\0{state.st_ino}".encode()
        ).hexdigest()
        self._files: list[Path] = []  # of the frames taken, in order
        self._skipped: list[str] = []  # names of the frames that an earlier watch took
        self._waiting: list[Path] = []
        self._sizes: dict[str, tuple[int, float]] = {}  # name → size, time of the last growth
        self._first: tuple[tuple[int, int], float, float | None] | None = None
        self._lock = threading.RLock()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width; waits for the first frame."""
        return self._wait_for_first()[0]

    @property
    def scale(self) -> float:
        """Pixel value of white; waits for the first frame."""
        return self._wait_for_first()[1]

    @property
    def pixel_size(self) -> float | None:
        """Pixel size in m, None where unknown; waits for the first frame unless it was given."""
        return self._pixel_size or self._wait_for_first()[2]

    @pixel_size.setter
    def pixel_size(self, value: float) -> None:
        self._pixel_size = value

    def names(self, index: int) -> str:
        """Return the stem of the frame's file."""
        return self._skipped[index] if index < len(self._skipped) else self._files[index].stem

    def applied_at(self, index: int) -> dict[str, float]:
        """Return the values in the name of the frame, else in that of the folder.

        The columns are those of the first frame; a value is NaN where a later name lacks it.
        """
        columns = of_text(self.name) | of_text(self.names(0))
        found = of_text(self.name) | of_text(self.names(index))
        return {column: found.get(column, math.nan) for column in columns}

    def spanning(self) -> set[int]:
        """Frames that decide the range of all: the one that is read first."""
        return set()

    def stored(self, index: int) -> np.ndarray:
        """Read the stored pixels (H, W) of a frame that has arrived."""
        if not 0 <= index < len(self._files):
            raise RecordingError(
                f"{self.path}: frame {index} has not come; {len(self._files)} have", index
            )
        if index < len(self._skipped):
            raise RecordingError(f"{self.path}: frame {index} was taken by an earlier watch", index)
        pixels, scale, pixel_size = read_file(self._files[index], index)
        if self._first is None:
            self._first = pixels.shape, scale, pixel_size
        self.check_like(pixels.shape, scale, index, self._files[index])
        return pixels

    def skip(
        self, names: Sequence[str], shape: tuple[int, int], scale: float, pixel_size: float | None
    ) -> None:
        """Skip frames of these names, which an earlier watch took, in this order.

        The frames to come must have the same shape and scale.
        """
        with self._lock:
            self._files = [self.path / name for name in names]
            self._skipped = list(names)
            self._first = tuple(shape), scale, pixel_size

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over (index, pixels) as frames arrive.

        Raises
        ------
        RecordingError
            Where the folder vanishes, and at a complete file that is no frame.
        """
        index, waited = start, time.monotonic()
        while not self._stop():
            if index < len(self._files):
                pixels = self.read(index)
            else:
                number, pixels = self._take_next()
                if pixels is None:
                    if self._idle is not None and time.monotonic() - waited >= self._idle:
                        return
                    time.sleep(self._poll)
                if pixels is None or number != index:
                    continue
            yield index, pixels
            index, waited = index + 1, time.monotonic()

    def frames_or_errors(self, start: int = 0) -> Iterator[tuple[int, np.ndarray | RecordingError]]:
        """Iterate over (index, pixels) as frames arrive; a complete file that is no frame gives
        its error, once the first frame has come.

        Raises
        ------
        RecordingError
            Where the folder vanishes.
        """
        lost: list[RecordingError] = []
        index = start
        while True:
            try:
                for index, pixels in self.frames(index):  # noqa: B020 - resumes behind an error
                    yield from ((error.index, error) for error in lost)
                    yield index, pixels
                    lost, index = [], index + 1
                break
            except RecordingError as error:
                if error.index >= len(self._files):  # the folder has vanished
                    raise
                lost.append(error)
                index = error.index + 1
                if self._first is not None:
                    yield from ((error.index, error) for error in lost)
                    lost = []
        if lost:
            raise lost[0]

    def _wait_for_first(self) -> tuple[tuple[int, int], float, float | None]:
        """Shape, scale and pixel size of the first frame."""
        if self._first is None:
            next(self.frames(), None)
        if self._first is None:
            raise RecordingError(f"{self.path}: no frame came before the watch ended")
        return self._first

    def _take_next(self) -> tuple[int, np.ndarray | None]:
        """Number and pixels of the next file; None where it is missing or incomplete."""
        with self._lock:
            index = len(self._files)
            self._waiting = self._waiting or self._new_files(index)
            if not self._waiting:
                return index, None
            path = self._waiting[0]
            try:
                size = path.stat().st_size
            except OSError:  # renamed or deleted between two checks
                self._waiting = []
                return index, None
            now = time.monotonic()
            size_before, since = self._sizes.get(path.name, (None, now))
            if size != size_before:
                since = now
            self._sizes[path.name] = size, since
            settled = now - since >= self._settle
            if size == size_before and not settled:
                self._waiting = []
                return index, None
            self._files.append(path)
            try:
                pixels = self.read(index)
            except RecordingError:
                if settled and path.exists():  # complete and no frame: it keeps its number
                    self._forget_waiting()
                    raise
                self._files.pop()
                self._waiting = []
                return index, None
            self._forget_waiting()
            return index, pixels

    def _forget_waiting(self) -> None:
        """Remove the file that was just taken from those that wait."""
        self._sizes.pop(self._waiting.pop(0).name, None)

    def _new_files(self, index: int) -> list[Path]:
        """Images that were not taken yet, in natural order."""
        taken = {path.name for path in self._files[len(self._skipped) :]}
        skipped = set(self._skipped)
        try:
            with os.scandir(self.path) as entries:
                fresh = [
                    Path(entry.path)
                    for entry in entries
                    if entry.name not in taken
                    and Path(entry.name).stem not in skipped
                    and is_image(entry.name)
                    and entry.is_file()
                ]
        except OSError as error:
            raise RecordingError(
                f"{self.path} vanished while it was watched; {index} frames came before", index
            ) from error
        return sorted(fresh, key=natural)
