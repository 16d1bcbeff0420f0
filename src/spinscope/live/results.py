"""Folder of one segmented recording: written in chunks that survive an interruption, then merged.

    masks.tif                     stack (n, H, W) uint8 of class indices, deflated
    objects.parquet, objects.csv  one row per object
    frames.parquet, frames.csv    one row per frame
    summary.json                  model, recording, settings, statistics

While a recording is being segmented, its finished frames are in `NAME.chunks`, one folder per
chunk.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis.units import with_units
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, write_json
from spinscope.live.frame import MeasuredFrame
from spinscope.recordings import Recording, open_recording

if TYPE_CHECKING:
    import pandas as pd

MASKS, SUMMARY, SETTINGS, CALIBRATION = (
    "masks.tif",
    "summary.json",
    "settings.json",
    "recording.json",
)
_CALIBRATION = ("shape", "scale", "pixel_size", "interval")
TABLES = ("objects", "frames")
_STRIP_BYTES = 1 << 24

FORMER_KEYS = {
    "stream": "recording",
    "about": "settings",
    "former": "previous",
    "stopped": "error",
    "n": "n_frames",
    "figures": "statistics",
    "per_frame": "objects_per_frame",
    "zoom": "scale",
}
"""Key of a summary or of settings written by an earlier version → its present name."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a summary or settings, with the keys of earlier versions renamed."""
    return json.loads(
        path.read_text(),
        object_pairs_hook=lambda pairs: {FORMER_KEYS.get(key, key): value for key, value in pairs},
    )


@dataclass(frozen=True)
class EncodedFrame:
    """A measured frame with its mask compressed in strips, waiting to be written."""

    name: str
    shape: tuple[int, int]
    strips: list[bytes]
    index: int
    objects: dict[str, np.ndarray]
    row: dict[str, float]
    seconds: dict[str, float]


def encode(frame: MeasuredFrame, name: str) -> EncodedFrame:
    """Compress the mask of a frame in strips, each a whole number of rows."""
    known = vars(frame).copy()
    mask = np.ascontiguousarray(known.pop("mask"))
    rows = _strip_rows(mask.shape)
    strips = [zlib.compress(mask[top : top + rows], 2) for top in range(0, len(mask), rows)]
    return EncodedFrame(name, mask.shape, strips, **known)


def _strip_rows(shape: tuple[int, int]) -> int:
    """Rows in a strip of the mask stack: a whole frame, unless that is very large."""
    return min(shape[0], max(1, _STRIP_BYTES // shape[1]))


class Chunks:
    """Finished frames of a recording in progress, read again after an interruption.

    Parameters
    ----------
    folder : Path
        Folder of the chunks, `NAME.chunks`.
    settings : mapping
        Everything the result depends on; chunks made with other settings are deleted.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder = folder
        former = folder.with_suffix(".parts")  # name in earlier versions
        if former.is_dir() and not folder.exists():
            former.rename(folder)
        kept = folder / SETTINGS
        if folder.exists() and not (
            kept.is_file() and read_json(kept) == json.loads(json.dumps(settings))
        ):
            _discard(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, settings)
        following = set(self)
        for path in folder.iterdir():
            if path.is_dir() and path not in following:
                _discard(path)

    def __iter__(self) -> Iterator[Path]:
        """Iterate over the folders of consecutive chunks, from the first frame."""
        chunks = {}
        for path in self.folder.glob("[0-9]*-[0-9]*"):
            first, last = map(int, path.name.split("-"))
            chunks[first] = path, last + 1
        expected = 0
        while expected in chunks:
            path, expected = chunks[expected]
            yield path

    @property
    def n_frames(self) -> int:
        """Number of finished frames."""
        return max((int(path.name.split("-")[1]) + 1 for path in self), default=0)

    @property
    def names(self) -> list[str]:
        """Names of the finished frames, in order."""
        import pyarrow.parquet as pq

        tables = (pq.read_table(path / "frames.parquet", columns=["name"]) for path in self)
        return [name for table in tables for name in table["name"].to_pylist()]

    @property
    def calibration(self) -> dict[str, Any]:
        """Shape, scale, pixel size and interval of the recording, from the last chunk."""
        last = list(self)[-1]
        path = last / CALIBRATION
        return read_json(path if path.is_file() else last / "stream.json")  # earlier versions

    def adopt(self, results: Results) -> None:
        """Turn finished results into the first chunk, so that the recording can be continued."""
        recording = results.summary["recording"]
        write_json(results.folder / CALIBRATION, {key: recording[key] for key in _CALIBRATION})
        results.folder.rename(self.folder / f"{0:08d}-{results.n_frames - 1:08d}")

    def add(self, frames: Sequence[EncodedFrame], recording: Recording) -> None:
        """Write consecutive frames as one chunk, whole or not at all."""
        if not frames:
            return
        name = f"{frames[0].index:08d}-{frames[-1].index:08d}"
        strips = (strip for frame in frames for strip in frame.strips)
        try:
            with atomic_folder(self.folder / name) as partial:
                _write_masks(partial / MASKS, strips, (len(frames), *frames[0].shape))
                columns = frame_tables(frames, recording.pixel_size)
                for table, values in zip(TABLES, columns, strict=True):
                    _write_parquet(partial / f"{table}.parquet", values)
                calibration = {key: getattr(recording, key) for key in _CALIBRATION}
                write_json(partial / CALIBRATION, calibration)
        except OSError as error:  # a full disk, a deleted folder
            raise SpinscopeError(
                f"{self.folder / name} cannot be written: {error.strerror or error}; the "
                f"{frames[0].index} frames before are kept, the same command resumes from them"
            ) from error

    def remove(self) -> None:
        """Delete all chunks."""
        _discard(self.folder)


def _discard(folder: Path) -> None:
    """Delete a folder; an interruption leaves nothing that looks complete."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def finish(chunks: Chunks, folder: Path, summary: Callable[[], Mapping[str, Any]]) -> Results:
    """Merge the chunks into the results folder, which appears whole; no mask is decompressed.

    Parameters
    ----------
    chunks : Chunks
        Finished frames; deleted once they are merged.
    folder : Path
        Results folder. One that exists already is renamed to `NAME.1`, `NAME.2`, …
    summary : callable
        Returns the summary; called when the tables are written, so that it holds the whole time.

    Returns
    -------
    Results
        The new results.
    """
    paths, calibration = list(chunks), chunks.calibration
    with atomic_folder(folder) as partial:
        _merge_masks(paths, partial / MASKS)
        for table in TABLES:
            _merge_tables([path / f"{table}.parquet" for path in paths], partial / table)
        statistics = _statistics(partial, calibration["pixel_size"])
        content = dict(summary())
        content["recording"] = {**content["recording"], **calibration}
        previous = _set_aside(folder)  # last, so that a full disk leaves it in its place
        content |= {"previous": previous and str(previous), "n_frames": chunks.n_frames}
        write_json(partial / SUMMARY, content | {"statistics": statistics})
    chunks.remove()
    return open_results(folder)


def _set_aside(folder: Path) -> Path | None:
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
    """An opened results folder.

    Attributes
    ----------
    folder : Path
        Where the results are.
    summary : dict
        Content of summary.json.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.summary["n_frames"]

    @property
    def objects(self) -> pd.DataFrame:
        """Table with one row per object."""
        return self.table("objects")

    @property
    def frames(self) -> pd.DataFrame:
        """Table with one row per frame."""
        return self.table("frames")

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the table of objects or of frames, or some of its columns."""
        import pandas as pd

        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path, columns=columns) if path.is_file() else pd.DataFrame()

    def mask(self, index: int) -> np.ndarray:
        """Read the mask of a frame, (H, W) uint8 class indices."""
        import tifffile

        n = self.n_frames
        if not 0 <= index < n:
            raise SpinscopeError(f"{self.folder}: frame {index} must be from 0 to {n - 1}")
        with tifffile.TiffFile(self.folder / MASKS) as file:
            return file.pages[index].asarray()

    def masks(self) -> Iterator[np.ndarray]:
        """Iterate over all masks, one in memory at a time."""
        import tifffile

        if self.n_frames:
            with tifffile.TiffFile(self.folder / MASKS) as file:
                for page in file.pages:
                    yield page.asarray()

    def recording(self) -> Recording:
        """Open the recording that was segmented.

        Raises
        ------
        SpinscopeError
            Where it has moved or changed since.
        """
        known = self.summary["recording"]
        only = list(self.frames["name"]) if known["watched"] else None
        recording = open_recording(known["path"], pixel_size=known["pixel_size"], only=only)
        if not known["watched"] and recording.fingerprint != known["fingerprint"]:
            raise SpinscopeError(
                f"{known['path']} has changed since {self.folder} was made from it; segment it "
                "again"
            )
        return recording


def open_results(folder: Path | str) -> Results:
    """Open a folder that `spinscope segment` wrote, in this version or an earlier one.

    Raises
    ------
    SpinscopeError
        Where it holds no summary.
    """
    folder = Path(folder)
    if not (folder / SUMMARY).is_file():
        raise SpinscopeError(f"{folder} holds no {SUMMARY}: it must be a folder of `segment`")
    return Results(folder, read_json(folder / SUMMARY))


def frame_tables(
    frames: Sequence[EncodedFrame], pixel_size: float | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of the tables of objects and of frames, with units."""
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


def _write_masks(path: Path, strips: Iterable[bytes], shape: tuple[int, int, int]) -> None:
    """Write strips that `encode` made as the pages of one TIFF."""
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=math.prod(shape) > 2**31) as file:
        file.write(
            strips,
            shape=shape,
            dtype=np.uint8,
            compression="adobe_deflate",
            rowsperstrip=_strip_rows(shape[1:]),
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )


def _merge_masks(chunks: Sequence[Path], target: Path) -> None:
    """Copy the compressed strips of all chunks into one TIFF."""
    import tifffile

    count, shape = 0, (0, 0)
    for path in chunks:
        with tifffile.TiffFile(path / MASKS) as file:
            count, shape = count + len(file.pages), file.pages[0].shape

    def strips() -> Iterator[bytes]:
        for path in chunks:
            with tifffile.TiffFile(path / MASKS) as file:
                for page in file.pages:
                    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                        file.filehandle.seek(offset)
                        yield file.filehandle.read(size)

    _write_masks(target, strips(), (count, *shape))


def _write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)


def _merge_tables(chunks: Sequence[Path], target: Path) -> None:
    """Append tables to one Parquet and one CSV file, one chunk in memory at a time."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    schema = pq.read_schema(chunks[0])
    with (
        pq.ParquetWriter(target.with_suffix(".parquet"), schema) as parquet,
        csv.CSVWriter(target.with_suffix(".csv"), schema) as text,
    ):
        for path in chunks:
            table = pq.read_table(path, schema=schema)
            parquet.write_table(table)
            text.write_table(table)


def _statistics(folder: Path, pixel_size: float | None) -> dict[str, float | None]:
    """Number of objects, and mean and SD of their diameters, over the whole recording."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "objects.parquet", columns=["diameter_px"])
    diameters = table["diameter_px"].to_numpy()
    statistics = {
        "objects": len(diameters),
        "objects_per_frame": len(diameters) / pq.read_metadata(folder / "frames.parquet").num_rows,
        "diameter_px": float(diameters.mean()) if len(diameters) else None,
        "diameter_px_sd": float(diameters.std(ddof=1)) if len(diameters) > 1 else None,
    }
    if pixel_size is not None:
        for key in ("diameter_px", "diameter_px_sd"):
            value = statistics[key]
            statistics[key.replace("_px", "_nm")] = value and value * pixel_size * 1e9
    return statistics
