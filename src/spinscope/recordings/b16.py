"""Frame of a B16 file of a PCO camera.

References
----------
PCO, "Image file formats", appendix of the pco.edge user manual: the characters "PCO-", then
little-endian 32-bit integers: size of the file, of the header with its comment, width, height, -1
if an extended header of 32 integers follows, 1 for a colour camera.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spinscope.recordings.base import RecordingError, check_size
from spinscope.recordings.file import FileRecording

_MAGIC = b"PCO-"
_BASIC, _EXTENDED = 6 * 4, 32 * 4
_NAMES = (
    "color mode", "b/w min", "b/w max", "b/w linlog", "red min", "red max", "green min",
    "green max", "blue min", "blue max", "color linlog",
)  # fmt: skip


class B16Recording(FileRecording):
    """Image of a B16 file, unsigned 16 bit; its format has no pixel size."""

    def _open(self) -> Any:
        with self.path.open("rb") as file:
            head = file.read(_EXTENDED)
            if head[:4].upper() != _MAGIC or len(head) < _BASIC:
                raise RecordingError(f"{self.path} is no B16 file: it must begin with PCO-")
            _, start, width, height, extended = np.frombuffer(head[4:_BASIC], "<i4").tolist()
            if min(start - _BASIC, width, height) < 0:
                raise ValueError(f"its header promises {width}x{height} pixels behind {start} B")
            check_size(self.path, height, width)
            comment = _BASIC
            if extended == -1 and start >= _EXTENDED and len(head) == _EXTENDED:
                comment = _EXTENDED
                values = np.frombuffer(head[_BASIC:], "<i4").tolist()
                self.metadata = dict(zip(_NAMES, values, strict=False))
            if self.metadata.get("color mode") == 1:
                raise RecordingError(
                    f"{self.path}: is of a colour camera; a micrograph must be grayscale"
                )
            file.seek(comment)
            text = file.read(min(start - comment, 2**16)).split(b"\0")[0].decode("latin-1").strip()
            self.metadata = {**self.metadata, "comment": text} if text else self.metadata
        return np.memmap(self.path, "<u2", "r", start, (height, width))
