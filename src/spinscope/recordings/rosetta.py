"""Frames of files that RosettaSciIO reads (GPL, extra `tem`): Gatan, TIA and TVIPS."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinscope.extras import MissingExtra, explained
from spinscope.recordings.base import RecordingError
from spinscope.recordings.calibration import METRES, SECONDS
from spinscope.recordings.file import FileRecording


class RosettaRecording(FileRecording):
    """Frames of the one image in a file, with the axes that its reader gives."""

    reader: str
    """Module of RosettaSciIO."""

    maker: str
    """Maker of the files, for messages."""

    def _open(self) -> Any:
        try:
            with explained(f"{self.path}, a file of {self.maker},"):
                file_reader = importlib.import_module(f"rsciio.{self.reader}").file_reader
        except MissingExtra as error:
            raise RecordingError(str(error)) from error
        images = self._images(file_reader)
        if len(images) != 1:
            raise RecordingError(
                f"{self.path}: holds {len(images)} images; a recording must be one of them"
            )
        (image,) = images
        self.metadata = image["original_metadata"]
        *frames, y, x = image["axes"]
        interval = _step(frames[0], SECONDS) if len(frames) == 1 else None
        self._calibrate(_step(y, METRES), _step(x, METRES), interval)
        return image["data"]

    def _images(self, file_reader: Any) -> list[dict[str, Any]]:
        """Images of the file, not read yet."""
        return file_reader(str(self.path), lazy=True)


class GatanRecording(RosettaRecording):
    """Frames of the image in a DM3 or DM4 file."""

    reader, maker = "digitalmicrograph", "Gatan"


class TiaRecording(RosettaRecording):
    """Frames of a SER file of TIA, or of the one that belongs to an EMI file.

    The reader knows no part of a series: all frames are in memory until `close`.
    """

    reader, maker = "tia", "TIA"

    def _files(self) -> list[Path]:
        """File of the recording, with the series of an EMI file."""
        series = self.path.parent.glob("*.ser") if self.path.suffix.lower() == ".emi" else ()
        stem = f"{self.path.stem}_"
        return [self.path, *sorted(file for file in series if file.name.startswith(stem))]

    def _images(self, file_reader: Any) -> list[dict[str, Any]]:
        """Images of the file, read."""
        return file_reader(str(self.path), lazy=False)


class TvipsRecording(RosettaRecording):
    """Frames of a series of TVIPS, whose first file is NAME_000.tvips."""

    reader, maker = "tvips", "TVIPS"

    def __init__(self, path: Path):
        if not path.stem.endswith("_000"):
            raise RecordingError(
                f"{path}: a series of TVIPS must be opened by its first file, which ends in "
                "_000.tvips"
            )
        super().__init__(path)
        self.name = self.name.removesuffix("_000")

    def _files(self) -> list[Path]:
        """All files of the series."""
        stem = self.path.stem.removesuffix("000")
        files = self.path.parent.glob(f"*{self.path.suffix}")
        parts = [file for file in files if file.stem[:-3] == stem and file.stem[-3:].isdigit()]
        return sorted(parts)

    def _images(self, file_reader: Any) -> list[dict[str, Any]]:
        """Image of the files, one frame per chunk."""
        try:
            return file_reader(str(self.path), lazy=True, rechunking={0: 1, 1: -1, 2: -1})
        except IndexError as error:  # it takes the time of the second frame
            raise RecordingError(
                f"{self.path}: a series of TVIPS must have at least two complete frames"
            ) from error


def _step(axis: Mapping[str, Any], units: Mapping[str, float]) -> float | None:
    """Step along an axis in SI units, None where it is not calibrated in one of `units`."""
    unit = units.get(str(axis.get("units", "")).lower())
    return unit and abs(float(axis["scale"])) * unit
