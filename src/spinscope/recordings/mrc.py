"""Frames of an MRC file."""

from __future__ import annotations

from typing import Any

from spinscope.recordings.file import FileRecording

_ANGSTROM = 1e-10


class MrcRecording(FileRecording):
    """Sections of an MRC file as frames, memory-mapped; an unset voxel size is unknown."""

    def _open(self) -> Any:
        import mrcfile

        self._file = file = mrcfile.mmap(self.path, mode="r")
        size = file.voxel_size
        self._calibrate(float(size.y) * _ANGSTROM, float(size.x) * _ANGSTROM)
        labels = [bytes(label).decode("latin-1").strip(" \0") for label in file.header.label]
        self.metadata = {"labels": [label for label in labels if label]}
        return file.data

    def _shut(self) -> None:
        """Close the memory map."""
        self._file.close()
