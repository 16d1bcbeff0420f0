"""Frames of an MRC file."""

from __future__ import annotations

from typing import Any

from spinscope.recordings.base import RecordingError
from spinscope.recordings.file import FileRecording

_ANGSTROM = 1e-10
_HEADER, _STAMP = 1024, 212  # bytes: size of the header, and place of its byte order
_EXTENDED = slice(92, 96)  # size of the extended header


class MrcRecording(FileRecording):
    """Sections of an MRC file as frames, memory-mapped; an unset voxel size is unknown."""

    def _open(self) -> Any:
        import mrcfile

        self._check_header()
        self._file = file = mrcfile.mmap(self.path, mode="r")
        size = file.voxel_size
        self._calibrate(float(size.y) * _ANGSTROM, float(size.x) * _ANGSTROM)
        labels = [bytes(label).decode("latin-1").strip(" \0") for label in file.header.label]
        self.metadata = {"labels": [label for label in labels if label]}
        return file.data

    def _check_header(self) -> None:
        """Refuse an extended header that is longer than the file: the reader would allocate it."""
        with self.path.open("rb") as file:
            header = file.read(_HEADER)
        order = "big" if header[_STAMP : _STAMP + 1] == b"\x11" else "little"
        extended = int.from_bytes(header[_EXTENDED], order, signed=True)
        size = self.path.stat().st_size
        if not 0 <= extended <= size:
            raise RecordingError(
                f"{self.path} is damaged: its extended header has {extended} bytes, the file {size}"
            )

    def _shut(self) -> None:
        """Close the memory map."""
        self._file.close()
