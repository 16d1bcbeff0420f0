"""Folder of one segmented recording: written in chunks that survive an interruption, then merged.

    masks.tif                     stack (n, H, W) uint8 of class indices, deflated, with its scale
    objects.parquet, objects.csv  one row per object
    frames.parquet, frames.csv    one row per frame
    summary.json                  model, recording, settings, statistics

Beside it are `NAME.overlay.png` and, for a single image, `NAME.mask.png`. While a recording is
being segmented, its finished frames are in `NAME.chunks`, one folder per chunk.
"""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.analysis.tables import arrow_table, csv_writer, rounded, write_parquet
from spinscope.analysis.units import with_units
from spinscope.config import check_stored
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, discard, provenance, write_json
from spinscope.inference.sample import Part, SampleRegion
from spinscope.live.frame import MeasuredFrame
from spinscope.live.stored import Summary, check_table, parse_json
from spinscope.recordings import Recording, open_recording

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MASKS, SUMMARY, SETTINGS, CALIBRATION, TIMING, REGION, UNREADABLE = (
    "masks.tif",
    "summary.json",
    "settings.json",
    "recording.json",
    "timing.json",
    "region.json",
    "unreadable.json",
)
TABLES = ("objects", "frames")
SIDE_FILES = ("overlay.png", "mask.png")
"""Ends of the names of the files beside a results folder."""

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
    "stages_ms": "ms_per_frame",
}
"""Key of a summary or of settings written by an earlier version → its present name."""

FORMER_STATISTICS = {
    "diameter_px": "diameter_px_mean",
    "diameter_px_sd": "diameter_px_sd_objects",
    "diameter_nm": "diameter_nm_mean",
    "diameter_nm_sd": "diameter_nm_sd_objects",
}
"""The same for the statistics of a summary."""

FORMER_COLUMNS = {
    "objects": {
        "found": "fraction_of_views",
        "y0": "y0_px",
        "x0": "x0_px",
        "y1": "y1_px",
        "x1": "x1_px",
    },
    "frames": {
        "count": "objects",
        "diameter_px": "diameter_px_mean",
        "diameter_nm": "diameter_nm_mean",
        "diameter_um": "diameter_um_mean",
        "uncertainty": "uncertain_fraction",
    },
}
"""Table → its column in an earlier version → its present name."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a summary, settings or a calibration, with the keys of earlier versions renamed."""
    return parse_json(path, object_pairs_hook=_present)


def _present(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Object of a JSON file, with the keys of earlier versions renamed."""
    content = {FORMER_KEYS.get(key, key): value for key, value in pairs}
    if "objects_per_frame" in content:
        return {FORMER_STATISTICS.get(key, key): value for key, value in content.items()}
    if {"shape", "interval"} <= set(content):
        size = content.pop("pixel_size")
        content |= {
            "shape_px": content.pop("shape"),
            "white_level": content.pop("scale"),
            "pixel_size_nm": size and rounded(size * 1e9),
            "interval_s": content.pop("interval"),
        }
    return content


def present_column(table: str, name: str) -> str:
    """Present name of a column that an earlier version wrote.

    >>> present_column("objects", "diameter_px_sd")
    'diameter_px_sd_views'
    """
    name, spread = (name[: -len("_sd")], "_sd_views") if name.endswith("_sd") else (name, "")
    return FORMER_COLUMNS.get(table, {}).get(name, name) + spread


def calibration_of(recording: Recording) -> dict[str, Any]:
    """Size, white level, pixel size and interval of a recording, as its summary holds them."""
    size = recording.pixel_size
    return {
        "shape_px": list(recording.shape),
        "white_level": recording.scale,
        "pixel_size_nm": size and rounded(size * 1e9),
        "interval_s": recording.interval,
    }


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
    error: str | None = None
    applied: Mapping[str, float] = field(default_factory=dict)
    reviewer: str | None = None


def encode(
    frame: MeasuredFrame,
    name: str,
    applied: Mapping[str, float] | None = None,
    reviewer: str | None = None,
) -> EncodedFrame:
    """Compress the mask of a frame in strips, each a whole number of rows."""
    known = vars(frame).copy()
    mask = np.ascontiguousarray(known.pop("mask"))
    rows = _strip_rows(mask.shape)
    strips = [zlib.compress(mask[top : top + rows], 2) for top in range(0, len(mask), rows)]
    return EncodedFrame(name, mask.shape, strips, **known, applied=applied or {}, reviewer=reviewer)


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
        self._region: SampleRegion | None = None
        former = folder.with_suffix(".parts")  # name in earlier versions
        if former.is_dir() and not folder.exists():
            former.rename(folder)
        kept = folder / SETTINGS
        if folder.exists() and not (kept.is_file() and same_settings(read_json(kept), settings)):
            discard(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, settings)
        following = set(self)
        for path in folder.iterdir():
            if path.is_dir() and path not in following:
                discard(path)

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
        """Size, white level, pixel size and interval of the recording, from the last chunk."""
        last = list(self)[-1]
        path = last / CALIBRATION
        return read_json(path if path.is_file() else last / "stream.json")  # earlier versions

    @property
    def timing(self) -> dict[str, Any]:
        """Time that the finished frames took; empty where an earlier version wrote the chunks."""
        paths = [path / TIMING for path in list(self)[-1:] if (path / TIMING).is_file()]
        return read_json(paths[0]) if paths else {}

    @property
    def unreadable(self) -> list[dict[str, Any]]:
        """Frames that could not be read: number `frame`, `name` and `error` of each."""
        paths = [path / UNREADABLE for path in self if (path / UNREADABLE).is_file()]
        return [row for path in paths for row in read_json(path)["frames"]]

    @property
    def region(self) -> SampleRegion | None:
        """What of the frames is sample; None before it was decided."""
        if self._region is None and (self.folder / REGION).is_file():
            stored = read_json(self.folder / REGION)
            self._region = _region_of(stored["shape_px"], stored["left_out"])
        return self._region

    @region.setter
    def region(self, region: SampleRegion) -> None:
        self._region = region
        content = {"shape_px": list(region.shape), "left_out": self.left_out}
        write_json(self.folder / REGION, content)

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """Parts of the frames that are not sample, as a summary holds them."""
        return [asdict(part) for part in self.region.parts] if self.region else []

    def adopt(self, results: Results) -> None:
        """Turn finished results into the first chunk, so that the recording can be continued."""
        recording = results.summary["recording"]
        known = ("shape_px", "white_level", "pixel_size_nm", "interval_s")
        write_json(results.folder / CALIBRATION, {key: recording[key] for key in known})
        write_json(results.folder / TIMING, results.summary["timing"])
        write_json(results.folder / UNREADABLE, {"frames": results.summary.get("unreadable", [])})
        if "left_out" in results.summary:
            self.region = _region_of(recording["shape_px"], results.summary["left_out"])
        results.folder.rename(self.folder / f"{0:08d}-{results.n_frames - 1:08d}")

    def add(
        self, frames: Sequence[EncodedFrame], recording: Recording, timing: Mapping[str, Any]
    ) -> None:
        """Write consecutive frames as one chunk, whole or not at all.

        Parameters
        ----------
        frames : sequence of EncodedFrame
            Frames of the chunk.
        recording : Recording
            Recording of the frames.
        timing : mapping
            Time of all frames up to these, as a summary holds it.
        """
        if not frames:
            return
        name = f"{frames[0].index:08d}-{frames[-1].index:08d}"
        strips = (strip for frame in frames for strip in frame.strips)
        try:
            with atomic_folder(self.folder / name) as partial:
                calibration = calibration_of(recording)
                _write_masks(partial / MASKS, strips, (len(frames), *frames[0].shape), calibration)
                columns = frame_tables(frames, recording.pixel_size)
                for table, values in zip(TABLES, columns, strict=True):
                    write_parquet(partial / f"{table}.parquet", values)
                write_json(partial / CALIBRATION, calibration)
                write_json(partial / TIMING, timing)
                lost = [
                    {"frame": frame.index, "name": frame.name, "error": frame.error}
                    for frame in frames
                    if frame.error
                ]
                if lost:
                    write_json(partial / UNREADABLE, {"frames": lost})
        except OSError as error:  # a full disk, a deleted folder
            raise SpinscopeError(
                f"{self.folder / name} cannot be written: {error.strerror or error}; the "
                f"{frames[0].index} frames before are kept, the same command resumes from them"
            ) from error

    def remove(self) -> None:
        """Delete all chunks."""
        discard(self.folder)


def finish(chunks: Chunks, folder: Path, summary: Callable[[Path], Mapping[str, Any]]) -> Results:
    """Merge the chunks into the results folder, which appears whole; no mask is decompressed.

    Parameters
    ----------
    chunks : Chunks
        Finished frames; deleted once they are merged.
    folder : Path
        Results folder. One that exists already is renamed to `NAME.1`, `NAME.2`, …, and the
        files beside it with it.
    summary : callable
        Returns the summary, from the folder of the merged tables; called when they are written, so
        that it holds the whole time.

    Returns
    -------
    Results
        The new results.
    """
    paths, calibration = list(chunks), chunks.calibration
    with atomic_folder(folder) as partial:
        _merge_masks(paths, partial / MASKS, calibration)
        for table in TABLES:
            _merge_tables(paths, table, partial)
        unreadable = chunks.unreadable
        statistics = _statistics(partial, calibration["pixel_size_nm"], len(unreadable))
        content = provenance() | dict(summary(partial))
        content["recording"] = {**content["recording"], **calibration}
        previous = _set_aside(folder)  # last, so that a full disk leaves it in its place
        content |= {"previous": previous and str(previous), "n_frames": chunks.n_frames}
        content |= {"unreadable": unreadable} if unreadable else {}
        write_json(partial / SUMMARY, content | {"statistics": statistics})
    chunks.remove()
    return open_results(folder)


def _region_of(shape: Sequence[int], left_out: Sequence[Mapping[str, Any]]) -> SampleRegion:
    """Region of frames, from the parts in a summary."""
    return SampleRegion(tuple(shape), tuple(Part(**part) for part in left_out))


def _set_aside(folder: Path) -> Path | None:
    """Rename a folder of earlier results to the first free `NAME.k`, and return that.

    The files beside it are renamed first: an interruption leaves none to be overwritten.
    """
    if not folder.exists():
        return None
    k = 1
    while any(path.exists() for path in _with_side_files(folder, k)):
        k += 1
    *side_files, aside = _with_side_files(folder, k)
    for end, target in zip(SIDE_FILES, side_files, strict=True):
        with contextlib.suppress(FileNotFoundError):
            folder.with_name(f"{folder.name}.{end}").rename(target)
    folder.rename(aside)
    return aside


def _with_side_files(folder: Path, k: int) -> list[Path]:
    """Return the names of the side files and of the folder of earlier results number `k`."""
    name = f"{folder.name}.{k}"
    return [*(folder.with_name(f"{name}.{end}") for end in SIDE_FILES), folder.with_name(name)]


def same_settings(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether settings are those that were stored; None is the same as a missing one."""
    now = json.loads(json.dumps(settings))
    first, second = (
        {key: value for key, value in known.items() if value is not None} for known in (stored, now)
    )
    return first == second


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
    def name(self) -> str:
        """Name of the recording."""
        return self.summary["recording"]["name"]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frames in px."""
        height, width = self.summary["recording"]["shape_px"]
        return height, width

    @property
    def pixel_size(self) -> float | None:
        """Pixel size in m, None where unknown."""
        size = self.summary["recording"]["pixel_size_nm"]
        return size and size / 1e9

    @property
    def interval(self) -> float | None:
        """Time between frames in s, None where unknown."""
        return self.summary["recording"]["interval_s"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""
        return tuple(self.summary["classes"])

    @property
    def min_px(self) -> int:
        """Objects of fewer pixels are left out."""
        return self.summary["settings"].get("min_px", 1)

    @property
    def objects(self) -> pd.DataFrame:
        """Table with one row per object."""
        return self.table("objects")

    @property
    def frames(self) -> pd.DataFrame:
        """Table with one row per frame."""
        return self.table("frames")

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the table of objects or of frames, or some of its columns, by present names."""
        import pyarrow.parquet as pq

        path = self.folder / f"{name}.parquet"
        try:
            stored = {present_column(name, column): column for column in pq.read_schema(path).names}
            wanted = list(stored if columns is None else columns)
            if missing := [column for column in wanted if column not in stored]:
                raise SpinscopeError(f"{path} must have a column {missing[0]}")
            read = pq.read_table(path, columns=[stored[column] for column in wanted])
            table = read.to_pandas(ignore_metadata=True).set_axis(wanted, axis=1)
        except SpinscopeError:
            raise
        except Exception as error:  # pyarrow raises many kinds on damaged files
            text = " ".join(str(error).split())
            raise SpinscopeError(f"{path} is not a readable table: {text[:300]}") from error
        if name == "frames" and len(table) != self.n_frames:
            raise SpinscopeError(
                f"{path} has {len(table)} rows; {SUMMARY} has {self.n_frames} frames"
            )
        check_table(path, table, self.n_frames)
        return table

    @property
    def applied(self) -> pd.DataFrame:
        """What was done to the sample: one row per frame, indexed by its number."""
        columns = self.summary.get("applied", [])
        return self.table("frames", ["frame", *columns]).set_index("frame")

    def mask(self, index: int) -> np.ndarray:
        """Read the mask of a frame, (H, W) uint8 class indices."""
        n = self.n_frames
        if not 0 <= index < n:
            raise SpinscopeError(f"{self.folder}: frame {index} must be from 0 to {n - 1}")
        with contextlib.closing(self._stack()) as stack:
            return self._mask(stack, index)

    def masks(self) -> Iterator[np.ndarray]:
        """Iterate over all masks, one in memory at a time."""
        with contextlib.closing(self._stack()) as stack:
            for index in range(self.n_frames):
                yield self._mask(stack, index)

    def _stack(self) -> Recording:
        """Open the stack of masks."""
        path = self.folder / MASKS
        stack = open_recording(path)
        if (stack.n, tuple(stack.shape)) != (self.n_frames, self.shape):
            stack.close()
            raise SpinscopeError(
                f"{path} has {stack.n} frames of shape {tuple(stack.shape)}; {SUMMARY} has "
                f"{self.n_frames} of {self.shape}"
            )
        return stack

    def _mask(self, stack: Recording, index: int) -> np.ndarray:
        """Read a mask of the stack, and check its classes."""
        mask, known = stack.read(index), len(self.classes)
        if mask.dtype != np.uint8 or mask.max() >= known:
            raise SpinscopeError(
                f"{stack.path}: frame {index} ({mask.dtype} up to {mask.max()}) must contain "
                f"class indices from 0 to {known - 1}"
            )
        return mask

    def recording(self) -> Recording:
        """Open the recording that was segmented.

        Raises
        ------
        SpinscopeError
            Where it has moved or changed since.
        """
        known = self.summary["recording"]
        only = list(self.frames["name"]) if known["watched"] else None
        try:
            recording = open_recording(known["path"], pixel_size=self.pixel_size, only=only)
        except SpinscopeError:
            raise
        except (OSError, ValueError) as error:  # a path that no file can have
            raise SpinscopeError(f"{known['path']!r} cannot be opened: {error}") from error
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
        Where it holds no summary, or one that `segment` cannot have written.
    """
    folder = Path(folder)
    if not (folder / SUMMARY).is_file():
        raise SpinscopeError(f"{folder} holds no {SUMMARY}: it must be a folder of `segment`")
    content = read_json(folder / SUMMARY)
    check_stored(folder / SUMMARY, content, Summary)
    return Results(folder, content)


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
    for key in frames[0].applied:
        values = np.array([frame.applied[key] for frame in frames])
        rows.setdefault(key, values)
        objects.setdefault(key, np.repeat(values, counts))
    if frames[0].reviewer is not None:
        rows["reviewer"] = [frame.reviewer for frame in frames]
        objects["reviewer"] = np.repeat(rows["reviewer"], counts)
    return with_units(objects, pixel_size), with_units(rows, pixel_size)


def _write_masks(
    path: Path,
    strips: Iterable[bytes],
    shape: tuple[int, int, int],
    calibration: Mapping[str, Any],
) -> None:
    """Write strips that `encode` made as the pages of one TIFF.

    Pixel size and interval are stored as ImageJ does, in a file over 2 GB (BigTIFF, which ImageJ
    does not define) as pixels per centimetre.
    """
    import tifffile

    large = math.prod(shape) > 2**31
    size, interval = calibration["pixel_size_nm"], calibration["interval_s"]
    metadata: dict[str, Any] = {"axes": "TYX"}
    resolution, unit = None, None
    if size:
        resolution, unit = ((1e7 / size,) * 2, "CENTIMETER") if large else ((1e3 / size,) * 2, None)
        metadata |= {} if large else {"unit": "um"}
    if interval and not large:
        metadata |= {"finterval": interval, "tunit": "s"}
    with tifffile.TiffWriter(path, bigtiff=large, imagej=not large) as file:
        file.write(
            strips,
            shape=shape,
            dtype=np.uint8,
            compression="adobe_deflate",
            rowsperstrip=_strip_rows(shape[1:]),
            photometric="minisblack",
            resolution=resolution,
            resolutionunit=unit,
            metadata=metadata,
        )


def _merge_masks(chunks: Sequence[Path], target: Path, calibration: Mapping[str, Any]) -> None:
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

    _write_masks(target, strips(), (count, *shape), calibration)


def _merge_tables(chunks: Sequence[Path], name: str, folder: Path) -> None:
    """Append tables to one Parquet and one CSV file, one chunk in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def tables(paths: Sequence[Path]) -> Iterator[pa.Table]:
        for path in paths:
            table = pq.read_table(path / f"{name}.parquet")
            names = [present_column(name, column) for column in table.column_names]
            columns = (column.to_numpy() for column in table.columns)
            yield arrow_table(dict(zip(names, columns, strict=True)))

    def same_columns(table: pa.Table) -> pa.Table:
        """Table with the columns of the last chunk: an earlier version may have written fewer."""
        known = set(table.column_names)
        columns = [
            table[field.name] if field.name in known else pa.nulls(len(table), field.type)
            for field in schema
        ]
        return pa.table(columns, schema)

    schema = next(tables(chunks[-1:])).schema
    with (
        pq.ParquetWriter(folder / f"{name}.parquet", schema) as parquet,
        csv_writer(folder / f"{name}.csv", schema) as text,
    ):
        for table in map(same_columns, tables(chunks)):
            parquet.write_table(table)
            text.write_table(table)


def _statistics(
    folder: Path, pixel_size_nm: float | None, unreadable: int = 0
) -> dict[str, float | None]:
    """Number of objects, and mean and SDs of their diameters, over all frames that were read."""
    import pyarrow.parquet as pq

    path, boundary = folder / "objects.parquet", "diameter_px_sd_boundary"
    columns = [name for name in pq.read_schema(path).names if name in ("diameter_px", boundary)]
    table = pq.read_table(path, columns=columns)
    diameters = table["diameter_px"].to_numpy()
    rim = table[boundary].to_numpy() if boundary in columns else np.full(len(diameters), np.nan)
    frames = pq.read_table(folder / "frames.parquet").to_pandas()

    def of_frames(name: str) -> float | None:
        """Mean over the frames; errors that all frames share do not become smaller in it."""
        return float(frames[name].mean()) if name in frames and frames[name].notna().any() else None

    statistics = {
        "objects": len(diameters),
        "objects_per_frame": len(diameters) / max(len(frames) - unreadable, 1),
        "objects_per_frame_sd_detection": of_frames("objects_sd_detection"),
        "area_fraction_mean": of_frames("area_fraction"),
        "area_fraction_mean_sd_boundary": of_frames("area_fraction_sd_boundary"),
        "diameter_px_mean": float(diameters.mean()) if len(diameters) else None,
        "diameter_px_sd_objects": float(diameters.std(ddof=1)) if len(diameters) > 1 else None,
        # The boundaries of all objects move together.
        "diameter_px_mean_sd_boundary": (
            float(np.nanmean(rim)) if np.isfinite(rim).any() else None
        ),
    }
    if pixel_size_nm is not None:
        for key in [key for key in statistics if "_px" in key]:
            value = statistics[key]
            statistics[key.replace("_px", "_nm")] = value and value * pixel_size_nm
    return rounded(statistics)
