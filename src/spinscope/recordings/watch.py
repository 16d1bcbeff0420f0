"""Frames of a folder that a camera is filling, in the order in which they come."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spinscope.recordings.base import RecordingError, check_like
from spinscope.recordings.folder import is_image, natural, read_file


class WatchedFolder:
    """A folder that is being filled; a frame's number is its place in the order of arrival.

    Files that came between two looks are taken in natural order of their names, and none is taken
    before an earlier one that is still being written.
    """

    n: int | None = None
    interval: float | None = None

    def __init__(
        self,
        path: Path,
        *,
        settle: float,
        poll: float,
        stop: Callable[[], bool],
        idle: float | None,
        pixel_size: float | None,
    ):
        for name, value in (("settle", settle), ("poll", poll), ("idle", idle)):
            if value is not None and not value >= 0:
                raise RecordingError(f"{name} (={value}) must be a number of seconds, not negative")
        if not path.is_dir():
            raise RecordingError(f"{path} is not a folder; only a folder can be watched")
        self.path = path
        self.name = path.resolve().name
        self._settle, self._poll, self._stop, self._idle = settle, poll, stop, idle
        self._known_pixel_size = pixel_size
        state = path.stat()
        self.fingerprint = hashlib.sha256(
            f"{path.resolve()}\0{state.st_dev}\0{state.st_ino}".encode()
        ).hexdigest()
        self._files: list[Path] = []
        self._names: set[str] = set()
        self._before: list[str] = []  # names of the frames that an earlier watch took
        self._stems: set[str] = set()
        self._waiting: list[Path] = []
        self._sizes: dict[str, tuple[int, float]] = {}
        self._like: tuple[tuple[int, int], float, float | None] | None = None
        self._lock = threading.RLock()

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W); waits for the first frame."""
        return self._first()[0]

    @property
    def scale(self) -> float:
        """Value of a white pixel; waits for the first frame."""
        return self._first()[1]

    @property
    def pixel_size(self) -> float | None:
        """Metres, or None where unknown; waits for the first frame unless it was given."""
        return self._known_pixel_size or self._first()[2]

    @pixel_size.setter
    def pixel_size(self, value: float) -> None:
        self._known_pixel_size = value

    def names(self, index: int) -> str:
        """Stem of the frame's file."""
        return self._before[index] if index < len(self._before) else self._files[index].stem

    def read(self, index: int) -> np.ndarray:
        """Raw pixels (H, W) of a frame that has come."""
        if not 0 <= index < len(self._files):
            raise RecordingError(
                f"{self.path}: frame {index} has not come; {len(self._files)} have", index
            )
        if index < len(self._before):
            raise RecordingError(f"{self.path}: frame {index} was taken by an earlier watch", index)
        pixels, scale, pixel_size = read_file(self._files[index], index)
        if self._like is None:
            self._like = pixels.shape, scale, pixel_size
        check_like(str(self._files[index]), pixels.shape, scale, self, index)
        return pixels

    def take(
        self, names: Sequence[str], shape: tuple[int, int], scale: float, pixel_size: float | None
    ) -> None:
        """Count frames of these names, in this order, as those that came first.

        The frames to come must be like them: of that shape and scale.
        """
        with self._lock:
            self._files = [self.path / name for name in names]
            self._before = list(names)
            self._stems = set(names)
            self._like = tuple(shape), scale, pixel_size

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(index, raw pixels) as frames come; see `watch` for how it ends.

        Raises RecordingError where the folder vanishes, and at a file that is whole but no frame.
        """
        index, waited = start, time.monotonic()
        while not self._stop():
            if index < len(self._files):
                pixels = self.read(index)
            else:
                number, pixels = self._look()
                if pixels is None:
                    if self._idle is not None and time.monotonic() - waited >= self._idle:
                        return
                    time.sleep(self._poll)
                if pixels is None or number != index:
                    continue
            yield index, pixels
            index, waited = index + 1, time.monotonic()

    def _first(self) -> tuple[tuple[int, int], float, float | None]:
        if self._like is None:
            next(self.frames(), None)
        if self._like is None:
            raise RecordingError(f"{self.path}: no frame came before the watch ended")
        return self._like

    def _look(self) -> tuple[int, np.ndarray | None]:
        """(number, pixels) of the next file if it is whole; it is a frame from then on."""
        with self._lock:
            index = len(self._files)
            self._waiting = self._waiting or self._new_files(index)
            if not self._waiting:
                return index, None
            path = self._waiting[0]
            try:
                size = path.stat().st_size
            except OSError:  # renamed or taken away between two looks
                self._waiting = []
                return index, None
            now = time.monotonic()
            before, since = self._sizes.get(path.name, (None, now))
            if size != before:
                since = now
            self._sizes[path.name] = size, since
            settled = now - since >= self._settle
            if size == before and not settled:
                self._waiting = []
                return index, None
            self._files.append(path)
            try:
                pixels = self.read(index)
            except RecordingError:
                if settled and path.exists():  # whole and no frame: it keeps its number
                    self._taken()
                    raise
                self._files.pop()
                self._waiting = []
                return index, None
            self._taken()
            return index, pixels

    def _taken(self) -> None:
        path = self._waiting.pop(0)
        self._names.add(path.name)
        self._sizes.pop(path.name, None)

    def _new_files(self, index: int) -> list[Path]:
        try:
            with os.scandir(self.path) as entries:
                fresh = [
                    Path(entry.path)
                    for entry in entries
                    if entry.name not in self._names
                    and Path(entry.name).stem not in self._stems
                    and is_image(entry.name)
                    and entry.is_file()
                ]
        except OSError as error:
            raise RecordingError(
                f"{self.path} vanished while it was watched; {index} frames came before", index
            ) from error
        return sorted(fresh, key=natural)
