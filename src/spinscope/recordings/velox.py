"""Frames of an EMD file of Velox."""

from __future__ import annotations

import json
from typing import Any

from spinscope.recordings.base import RecordingError
from spinscope.recordings.calibration import METRES
from spinscope.recordings.file import FileRecording


class VeloxRecording(FileRecording):
    """Frames of the image in an EMD file of Velox."""

    def _open(self) -> Any:
        import h5py

        self._file = h5py.File(self.path, "r")
        images = self._file.get("Data/Image")
        if images is None or len(images) != 1:
            raise RecordingError(
                f"{self.path}: holds {0 if images is None else len(images)} images of Velox; a "
                "recording must be one of them"
            )
        image = next(iter(images.values()))
        if "Metadata" in image:
            text = bytes(image["Metadata"][:, 0]).split(b"\0")[0]
            self.metadata = json.loads(text) if text.strip() else {}
        known = self.metadata.get("BinaryResult", {})
        sides, units = known.get("PixelSize", {}), known.get("PixelUnitX", "")
        unit = METRES.get(str(units).lower())
        if unit:
            self._calibrate(*(float(sides.get(key, 0)) * unit for key in ("height", "width")))
        return image["Data"]

    def _shut(self) -> None:
        """Close the file."""
        self._file.close()

    def _count(self, shape: tuple[int, ...]) -> int:
        """Number of frames, the last axis."""
        return 1 if self._single else shape[2]

    def _plane(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of a frame in px."""
        return shape[:2]

    def _frame(self, index: int) -> Any:
        """Pixels of a frame."""
        return self._frames[...] if self._single else self._frames[:, :, index]
