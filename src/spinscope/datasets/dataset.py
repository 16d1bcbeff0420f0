"""What a dataset is: rows of image and label, in the published MOKE layout or as packed shards."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from spinscope.datasets import shards
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder
from spinscope.images import bit_depth, read_image, read_label, write_image, write_label


@dataclass(frozen=True)
class Record:
    """One frame: its name, the source (video or specimen) and batch of sources it belongs to."""

    name: str
    source: int
    batch: int | None
    use: str = "train_test_val"


class Store(Protocol):
    """Where the pixels are; `index` counts the rows of the whole dataset."""

    def image(self, index: int) -> np.ndarray: ...
    def label(self, index: int) -> np.ndarray: ...
    def depth(self, index: int) -> int: ...
    def names(self, index: int) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Dataset:
    """A folder of frames with labels. `path` is the folder, `rows` index into its store."""

    path: Path
    records: tuple[Record, ...]
    store: Store
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        """Yield (record, image, label) of every frame."""
        for index in range(len(self)):
            yield self.records[index], self.image(index), self.label(index)

    def image(self, index: int) -> np.ndarray:
        """(H, W) float32 in [0, 1] of frame `index`."""
        return self.store.image(self.rows[index])

    def label(self, index: int) -> np.ndarray:
        """(H, W) uint8 five-class indices of frame `index`."""
        return self.store.label(self.rows[index])

    def depth(self, index: int) -> int:
        """Bits of a pixel of image `index` as it is stored."""
        return self.store.depth(self.rows[index])

    def names(self, index: int) -> tuple[str, str]:
        """Files below the folder that hold image and label of frame `index`."""
        return self.store.names(self.rows[index])

    @property
    def sources(self) -> tuple[int, ...]:
        """The sources in it, sorted."""
        return tuple(sorted({record.source for record in self.records}))

    def select(
        self, batches: Iterable[int] | None = None, sources: Iterable[int] | None = None
    ) -> Dataset:
        """Keep the frames of these batches and of these sources; None keeps all.

        Raises SpinscopeError where a batch or source is not in the dataset.
        """
        keep = set(range(len(self)))
        for what, wanted in (("batch", batches), ("source", sources)):
            if wanted is None:
                continue
            wanted = set(wanted)
            present = {getattr(record, what) for record in self.records}
            if missing := wanted - present:
                raise SpinscopeError(
                    f"{self.path}: {what} {min(missing)} must be one of "
                    f"{', '.join(map(str, sorted(present - {None})))}"
                )
            keep &= {i for i, record in enumerate(self.records) if getattr(record, what) in wanted}
        order = sorted(keep)
        return replace(
            self,
            records=tuple(self.records[i] for i in order),
            rows=tuple(self.rows[i] for i in order),
        )


def open_dataset(path: Path | str) -> Dataset:
    """Open a dataset folder: packed shards (corpus.json) or the MOKE layout (table.csv).

    Raises SpinscopeError for a folder that is neither, is empty or has a malformed table.
    """
    path = Path(path)
    if not path.is_dir():
        raise SpinscopeError(f"dataset {path} does not exist or is not a folder")
    if (path / shards.HEADER).is_file():
        return _open_shards(path)
    if (path / "table.csv").is_file():
        return _open_moke(path)
    raise SpinscopeError(
        f"dataset {path} holds neither table.csv (MOKE layout) nor {shards.HEADER} (packed corpus)"
    )


def write_moke(
    path: Path | str, frames: Iterable[tuple[Record, np.ndarray, np.ndarray]], bits: int = 8
) -> Dataset:
    """Write frames (record, image, label) in the MOKE layout, the whole folder or nothing.

    Raises SpinscopeError where two frames bear one name, or a source or batch has two uses.
    """
    rows: list[tuple[int, str, str]] = []
    batches: dict[int, tuple[str, set[int]]] = {}
    with atomic_folder(path) as partial:
        for record, image, label in frames:
            names = f"images/{record.name}.png", f"labels/{record.name}.png"
            if (partial / names[0]).exists():
                raise SpinscopeError(f"{path}: two frames are named {record.name!r}")
            write_image(partial / names[0], image, bits)
            write_label(partial / names[1], label)
            rows.append((record.source, *names))
            if record.batch is not None:
                use, sources = batches.setdefault(record.batch, (record.use, set()))
                if use != record.use:
                    raise SpinscopeError(
                        f"{path}: batch {record.batch} must be either {use} or {record.use}"
                    )
                sources.add(record.source)
        with (partial / "table.csv").open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";", lineterminator="\n")
            writer.writerows([("source_id", "img_fn", "label_fn"), *rows])
        with (partial / "partition.txt").open("w") as file:
            for batch in range(max(batches, default=-1) + 1):
                use, sources = batches.get(batch, ("train_test_val", set()))
                file.write(";".join([use, *map(str, sorted(sources))]) + "\n")
        open_dataset(partial)
    return open_dataset(path)


@dataclass(frozen=True)
class _MokeStore:
    path: Path
    files: tuple[tuple[str, str], ...]

    def image(self, index: int) -> np.ndarray:
        return read_image(self.path / self.files[index][0])

    def label(self, index: int) -> np.ndarray:
        return read_label(self.path / self.files[index][1])

    def depth(self, index: int) -> int:
        return bit_depth(self.path / self.files[index][0])

    def names(self, index: int) -> tuple[str, str]:
        return self.files[index]


def moke_files(dataset: Dataset) -> list[tuple[Path, Path]] | None:
    """Image and label file of every frame, or None where the frames are packed."""
    if not isinstance(dataset.store, _MokeStore):
        return None
    return [
        tuple(dataset.path / name for name in dataset.names(index)) for index in range(len(dataset))
    ]


def _open_moke(path: Path) -> Dataset:
    batch_of = _read_partition(path / "partition.txt")
    table = path / "table.csv"
    records, files = [], []
    reader = csv.DictReader(_read_lines(table), delimiter=";")
    expected = {"source_id", "img_fn", "label_fn"}
    if missing := expected - set(reader.fieldnames or ()):
        raise SpinscopeError(f"{table} has no column {min(missing)}; it must be ;-separated")
    for number, row in enumerate(reader, start=2):
        try:
            source = int(row["source_id"])
        except (TypeError, ValueError):
            raise SpinscopeError(
                f"{table} row {number}: source_id (={row['source_id']!r}) must be an integer"
            ) from None
        if not row["img_fn"] or not row["label_fn"]:
            raise SpinscopeError(f"{table} row {number}: img_fn and label_fn must not be empty")
        for name in (row["img_fn"], row["label_fn"]):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise SpinscopeError(
                    f"{table} row {number}: {name!r} must lie within the dataset folder"
                )
        batch, use = batch_of.get(source, (None, "unassigned"))
        records.append(Record(Path(row["img_fn"]).stem, source, batch, use))
        files.append((row["img_fn"], row["label_fn"]))
    if not records:
        raise SpinscopeError(f"{table} names no image; a dataset must hold at least one")
    return Dataset(path, tuple(records), _MokeStore(path, tuple(files)), tuple(range(len(records))))


def _read_partition(path: Path) -> dict[int, tuple[int, str]]:
    """Batch (line number from 0) and use of every source that partition.txt names."""
    if not path.is_file():
        return {}
    batch_of: dict[int, tuple[int, str]] = {}
    lines = [line.strip() for line in _read_lines(path) if line.strip()]
    for batch, line in enumerate(lines):
        use, *sources = line.split(";")
        if use not in ("train_test_val", "only_training"):
            raise SpinscopeError(
                f"{path} line {batch + 1}: {use!r} must be train_test_val or only_training"
            )
        for text in filter(None, sources):
            try:
                source = int(text)
            except ValueError:
                raise SpinscopeError(
                    f"{path} line {batch + 1}: source {text!r} must be an integer"
                ) from None
            if source in batch_of:
                raise SpinscopeError(f"{path} line {batch + 1}: source {source} stands twice")
            batch_of[source] = (batch, use)
    return batch_of


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpinscopeError(f"{path} must be readable UTF-8 text: {error}") from error


def _open_shards(path: Path) -> Dataset:
    store = shards.ShardStore.open(path)
    records = tuple(
        Record(row["name"], int(row["source"]), int(row["batch"])) for row in store.rows
    )
    return Dataset(path, records, store, tuple(range(len(records))))


def data_hash(dataset: Dataset) -> str:
    """MD5 by which DVC names the content of a dataset's folder, as in dvc.lock: `md5:….dir`.

    MD5 of the JSON list of every file's MD5 and path, sorted by path; so it holds for a folder
    that DVC does not track, too.
    """
    files = {p.relative_to(dataset.path).as_posix(): p for p in dataset.path.rglob("*")}
    listing = [
        {"md5": _md5(path), "relpath": name}
        for name, path in sorted(files.items())
        if path.is_file()
    ]
    digest = hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False)
    return f"md5:{digest.hexdigest()}.dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
