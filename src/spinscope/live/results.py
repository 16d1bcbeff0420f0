"""The folder of one segmented recording: written in parts that survive a kill, then as a whole.

    masks.tif                     stack (n, H, W) uint8 of class indices, deflated
    objects.parquet, objects.csv  a row an object
    frames.parquet, frames.csv    a row a frame
    summary.json                  model, recording, settings, figures

While a recording is under way its finished frames lie in `NAME.parts`, one folder a part.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis.units import with_units
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, write_json
from spinscope.live.frame import Measured
from spinscope.recordings import Recording, open_recording

if TYPE_CHECKING:
    import pandas as pd

MASKS, SUMMARY, SETTINGS, FACTS = "masks.tif", "summary.json", "settings.json", "stream.json"
_FACTS = ("shape", "scale", "pixel_size", "interval")
TABLES = ("objects", "frames")
_STRIP_BYTES = 1 << 24


@dataclass(frozen=True)
class Encoded:
    """A measured frame with its mask compressed: what waits to be written."""

    index: int
    name: str
    shape: tuple[int, int]
    strips: list[bytes]
    objects: dict[str, np.ndarray]
    row: dict[str, float]
    seconds: dict[str, float]


def encode(frame: Measured, name: str) -> Encoded:
    """Compress the mask of a frame in strips, each a whole number of rows."""
    rows = strip_rows(frame.mask.shape)
    strips = [
        zlib.compress(np.ascontiguousarray(frame.mask[start : start + rows]), 2)
        for start in range(0, frame.mask.shape[0], rows)
    ]
    shape = frame.mask.shape
    return Encoded(frame.index, name, shape, strips, frame.objects, frame.row, frame.seconds)


def strip_rows(shape: tuple[int, int]) -> int:
    """Rows of a strip of the mask stack: a whole frame, unless that is very large."""
    return min(shape[0], max(1, _STRIP_BYTES // shape[1]))


class Parts:
    """Finished frames of a recording under way: `NAME.parts`, read back after a kill."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder = folder
        kept = folder / SETTINGS
        if folder.exists() and not (
            kept.is_file() and json.loads(kept.read_text()) == json.loads(json.dumps(settings))
        ):
            _discard(folder)  # unfinished work of another model, recording or setting
        folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, settings)
        following = set(self)
        for path in folder.iterdir():
            if path.is_dir() and path not in following:
                _discard(path)

    def __iter__(self) -> Iterator[Path]:
        """Folders of the parts that follow each other from the first frame on."""
        parts = {}
        for path in self.folder.glob("[0-9]*-[0-9]*"):
            first, last = map(int, path.name.split("-"))
            parts[first] = path, last + 1
        expected = 0
        while expected in parts:
            path, expected = parts[expected]
            yield path

    @property
    def done(self) -> int:
        """Frames that need not be computed again."""
        return max((int(path.name.split("-")[1]) + 1 for path in self), default=0)

    @property
    def names(self) -> list[str]:
        """Names of those frames, in order."""
        import pyarrow.parquet as pq

        tables = (pq.read_table(path / "frames.parquet", columns=["name"]) for path in self)
        return [name for table in tables for name in table["name"].to_pylist()]

    def adopt(self, results: Results) -> None:
        """Take finished results back as the first part, to go on from them."""
        write_json(results.folder / FACTS, {key: results.summary["stream"][key] for key in _FACTS})
        results.folder.rename(self.folder / f"{0:08d}-{results.n - 1:08d}")

    @property
    def facts(self) -> dict[str, Any]:
        """What the recording said of itself when its last part was written."""
        return json.loads((list(self)[-1] / FACTS).read_text())

    def add(self, frames: Sequence[Encoded], recording: Recording) -> None:
        """Write frames that follow each other as one part, whole or not at all."""
        if not frames:
            return
        pixel_size = recording.pixel_size
        name = f"{frames[0].index:08d}-{frames[-1].index:08d}"
        strips = (strip for frame in frames for strip in frame.strips)
        try:
            with atomic_folder(self.folder / name) as partial:
                _write_masks(partial / MASKS, strips, (len(frames), *frames[0].shape))
                for table, columns in zip(TABLES, _columns(frames, pixel_size), strict=True):
                    _write_parquet(partial / f"{table}.parquet", columns)
                write_json(partial / FACTS, {key: getattr(recording, key) for key in _FACTS})
        except OSError as error:  # a full disk, a folder that was taken away
            raise SpinscopeError(
                f"{self.folder / name} cannot be written: {error.strerror or error}; the "
                f"{frames[0].index} frames before are kept, the same command goes on from them"
            ) from error

    def remove(self) -> None:
        """Delete the parts, once they are merged."""
        _discard(self.folder)


def _discard(folder: Path) -> None:
    """Delete a folder; a kill meanwhile leaves nothing that looks whole."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def finish(parts: Parts, folder: Path, summary: Callable[[], Mapping[str, Any]]) -> Results:
    """Merge the parts into the results folder, which appears whole; nothing is decompressed.

    summary : is asked when the tables are written, so that it can tell how long all took.
    A folder of results that stands there already is kept as `NAME.1`, `NAME.2`, …
    """
    paths, facts = list(parts), parts.facts
    with atomic_folder(folder) as partial:
        _merge_masks(paths, partial / MASKS)
        for table in TABLES:
            _merge_tables([path / f"{table}.parquet" for path in paths], partial / table)
        figures = _figures(partial, facts["pixel_size"])
        told = dict(summary())
        told["stream"] = {**told["stream"], **facts}
        former = set_aside(folder)  # last, so that a full disk leaves it in its place
        told |= {"former": former and str(former), "n": parts.done, "figures": figures}
        write_json(partial / SUMMARY, told)
    parts.remove()
    return open_results(folder)


def set_aside(folder: Path) -> Path | None:
    """Rename a folder of earlier results to the first free `NAME.k`, and return that."""
    if not folder.exists():
        return None
    k = 1
    while (aside := folder.with_name(f"{folder.name}.{k}")).exists():
        k += 1
    folder.rename(aside)
    return aside


@dataclass(frozen=True)
class Results:
    """A folder of results, opened."""

    folder: Path
    summary: dict[str, Any]

    @property
    def n(self) -> int:
        """Frames."""
        return self.summary["n"]

    @property
    def objects(self) -> pd.DataFrame:
        """A row an object."""
        return self.table("objects")

    @property
    def frames(self) -> pd.DataFrame:
        """A row a frame."""
        return self.table("frames")

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The table of objects or of frames, or some of its columns."""
        import pandas as pd

        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path, columns=columns) if path.is_file() else pd.DataFrame()

    def mask(self, index: int) -> np.ndarray:
        """(H, W) uint8 class index of a frame."""
        import tifffile

        if not 0 <= index < self.n:
            raise SpinscopeError(f"{self.folder}: frame {index} must be from 0 to {self.n - 1}")
        with tifffile.TiffFile(self.folder / MASKS) as file:
            return file.pages[index].asarray()

    def masks(self) -> Iterator[np.ndarray]:
        """Every mask in order, one in memory at a time."""
        import tifffile

        if self.n:
            with tifffile.TiffFile(self.folder / MASKS) as file:
                for page in file.pages:
                    yield page.asarray()

    def recording(self) -> Recording:
        """The recording that was segmented.

        Raises SpinscopeError where it has moved or changed since.
        """
        about = self.summary["stream"]
        only = list(self.frames["name"]) if about["watched"] else None
        recording = open_recording(about["path"], pixel_size=about["pixel_size"], only=only)
        if not about["watched"] and recording.fingerprint != about["fingerprint"]:
            raise SpinscopeError(
                f"{about['path']} has changed since {self.folder} was made from it; segment it "
                "again"
            )
        return recording


def open_results(folder: Path | str) -> Results:
    """Open a folder that `spinscope segment` wrote.

    Raises SpinscopeError where it holds no summary.
    """
    folder = Path(folder)
    if not (folder / SUMMARY).is_file():
        raise SpinscopeError(f"{folder} holds no {SUMMARY}: it must be a folder of `segment`")
    return Results(folder, json.loads((folder / SUMMARY).read_text()))


def _columns(frames: Sequence[Encoded], pixel_size: float | None) -> tuple[dict, dict]:
    """Columns of the tables of objects and of frames."""
    counts = [len(frame.objects["area_px"]) for frame in frames]
    objects = {
        "frame": np.repeat([frame.index for frame in frames], counts).astype(np.int64),
        "object": np.concatenate([np.arange(1, count + 1) for count in counts]).astype(np.int64),
    }
    for key in frames[0].objects:
        objects[key] = np.concatenate([frame.objects[key] for frame in frames])
    rows: dict[str, Any] = {
        "frame": np.array([frame.index for frame in frames], dtype=np.int64),
        "name": [frame.name for frame in frames],
    }
    for key in frames[0].row:
        rows[key] = np.array([frame.row[key] for frame in frames])
    return with_units(objects, pixel_size), with_units(rows, pixel_size)


def _write_masks(path: Path, strips: Iterator[bytes], shape: tuple[int, int, int]) -> None:
    """Write strips that `encode` made as the pages of one TIFF."""
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=math.prod(shape) > 2**31) as file:
        file.write(
            strips,
            shape=shape,
            dtype=np.uint8,
            compression="adobe_deflate",
            rowsperstrip=strip_rows(shape[1:]),
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )


def _merge_masks(parts: Sequence[Path], target: Path) -> None:
    import tifffile

    count, shape = 0, (0, 0)
    for path in parts:
        with tifffile.TiffFile(path / MASKS) as file:
            count, shape = count + len(file.pages), file.pages[0].shape

    def strips() -> Iterator[bytes]:
        for path in parts:
            with tifffile.TiffFile(path / MASKS) as file:
                for page in file.pages:
                    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                        file.filehandle.seek(offset)
                        yield file.filehandle.read(size)

    _write_masks(target, strips(), (count, *shape))


def _write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)


def _merge_tables(parts: Sequence[Path], target: Path) -> None:
    """Append tables to one Parquet and one CSV file, a part in memory at a time."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    schema = pq.read_schema(parts[0])
    with (
        pq.ParquetWriter(target.with_suffix(".parquet"), schema) as parquet,
        csv.CSVWriter(target.with_suffix(".csv"), schema) as text,
    ):
        for path in parts:
            table = pq.read_table(path, schema=schema)
            parquet.write_table(table)
            text.write_table(table)


def _figures(folder: Path, pixel_size: float | None) -> dict[str, float | None]:
    """Figures of the whole recording: objects, their mean diameter and its SD over objects."""
    import pyarrow.parquet as pq

    path = folder / "objects.parquet"
    diameters = pq.read_table(path, columns=["diameter_px"])["diameter_px"].to_numpy()
    frames = pq.read_metadata(folder / "frames.parquet").num_rows
    spread = float(diameters.std(ddof=1)) if len(diameters) > 1 else None
    mean = float(diameters.mean()) if len(diameters) else None
    figures = {
        "objects": len(diameters),
        "per_frame": len(diameters) / frames,
        "diameter_px": mean,
        "diameter_px_sd": spread,
    }
    if pixel_size is not None:
        for key in ("diameter_px", "diameter_px_sd"):
            value = figures[key]
            figures[key.replace("_px", "_nm")] = value and value * pixel_size * 1e9
    return figures
