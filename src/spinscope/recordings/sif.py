"""Frames of a SIF file of an Andor camera."""

from __future__ import annotations

import io
from typing import Any

from spinscope.recordings.file import FileRecording


class SifRecording(FileRecording):
    """Frames of a SIF file, memory-mapped float32; its format has no pixel size."""

    def _open(self) -> Any:
        import sif_parser

        with _UntilEnd(io.FileIO(self.path)) as file:
            frames, header = sif_parser.np_open(file, lazy="memmap")
        times = [header.pop(f"timestamp_of_{k}", 0) for k in range(len(frames))]
        header.pop("tile", None)
        self.metadata = dict(header)
        if len(times) > 1:
            mean = (times[-1] - times[0]) * 1e-6 / (len(times) - 1)
            self._calibrate(None, None, mean if mean > 0 else header["CycleTime"])
        return frames


class _UntilEnd(io.BufferedReader):
    """File that raises EOFError at its end, where its reader would search on for ever."""

    def __init__(self, raw: io.FileIO):
        super().__init__(raw)
        self._size = raw.seek(0, io.SEEK_END)
        raw.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read all of so many bytes."""
        left = self._size - self.tell()
        if not 0 <= size <= left:
            raise EOFError("its header is cut off or damaged")
        return super().read(size)

    def readline(self, size: int = -1) -> bytes:
        """Read a line that is not empty."""
        line = super().readline(size)
        if not line:
            raise EOFError("its header is cut off or damaged")
        return line
