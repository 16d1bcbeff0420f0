"""The MOKE layout: one file per image and label, listed in table.csv; batches in partition.txt."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinscope.datasets.dataset import USES, Dataset, Record
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder
from spinscope.images import bit_depth, read_image, read_label, write_image, write_label

TABLE = "table.csv"
PARTITION = "partition.txt"
COLUMNS = ("source_id", "img_fn", "label_fn")


@dataclass(frozen=True)
class MokeStore:
    """Pixels of the MOKE layout, decoded on access."""

    path: Path
    files: tuple[tuple[str, str], ...]

    def image(self, index: int) -> np.ndarray:
        """Read an image, (H, W) float32 in [0, 1]."""
        return read_image(self.path / self.files[index][0])

    def label(self, index: int) -> np.ndarray:
        """Read a label, (H, W) uint8 indices of the five classes."""
        return read_label(self.path / self.files[index][1])

    def depth(self, index: int) -> int:
        """Return the bits per pixel of an image."""
        return bit_depth(self.path / self.files[index][0])

    def names(self, index: int) -> tuple[str, str]:
        """Return the files of image and label."""
        return self.files[index]


def moke_files(dataset: Dataset) -> list[tuple[Path, Path]] | None:
    """List image and label file of every frame; None for a packed corpus."""
    if not isinstance(dataset.store, MokeStore):
        return None
    return [
        tuple(dataset.path / name for name in dataset.names(index)) for index in range(len(dataset))
    ]


def open_moke(path: Path) -> Dataset:
    """Open a folder in the MOKE layout.

    Raises
    ------
    SpinscopeError
        If table.csv or partition.txt is malformed, or the table is empty.
    """
    batch_of = _read_partition(path / PARTITION)
    table = path / TABLE
    records, files = [], []
    reader = csv.DictReader(_read_lines(table), delimiter=";")
    if missing := set(COLUMNS) - set(reader.fieldnames or ()):
        raise SpinscopeError(f"{table} has no column {min(missing)}; it must be ;-separated")
    for number, row in enumerate(reader, start=2):
        source, *names = (row[column] for column in COLUMNS)
        source = _integer(source, f"{table} row {number}: source_id (={source!r})")
        if not all(names):
            raise SpinscopeError(f"{table} row {number}: img_fn and label_fn must not be empty")
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise SpinscopeError(
                    f"{table} row {number}: {name!r} must lie within the dataset folder"
                )
        batch, use = batch_of.get(source, (None, "unassigned"))
        records.append(Record(Path(names[0]).stem, source, batch, use))
        files.append(tuple(names))
    if not records:
        raise SpinscopeError(f"{table} names no image; a dataset must hold at least one")
    return Dataset(path, tuple(records), MokeStore(path, tuple(files)), tuple(range(len(records))))


def write_moke(
    path: Path | str, frames: Iterable[tuple[Record, np.ndarray, np.ndarray]], bits: int = 8
) -> Dataset:
    """Write a dataset in the MOKE layout, the whole folder or nothing.

    Parameters
    ----------
    path : Path
        Folder to write; an earlier one is replaced.
    frames : iterable of (Record, (H, W) array, (H, W) array)
        Record, image in [0, 1] and label of every frame.
    bits : {8, 16}, default 8
        Bits per pixel of the images.

    Raises
    ------
    SpinscopeError
        If two frames have the same name, or a source or batch has two uses.
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
        with (partial / TABLE).open("w", newline="") as file:
            csv.writer(file, delimiter=";", lineterminator="\n").writerows([COLUMNS, *rows])
        with (partial / PARTITION).open("w") as file:
            for batch in range(max(batches, default=-1) + 1):
                use, sources = batches.get(batch, (USES[0], ()))
                file.write(";".join([use, *map(str, sorted(sources))]) + "\n")
        open_moke(partial)
    return open_moke(Path(path))


def _read_partition(path: Path) -> dict[int, tuple[int, str]]:
    """Batch (index of the line, from 0) and use of every source in partition.txt."""
    batch_of: dict[int, tuple[int, str]] = {}
    lines = _read_lines(path) if path.is_file() else []
    for batch, line in enumerate(stripped for line in lines if (stripped := line.strip())):
        place = f"{path} line {batch + 1}"
        use, *sources = line.split(";")
        if use not in USES:
            raise SpinscopeError(f"{place}: {use!r} must be {' or '.join(USES)}")
        for text in filter(None, sources):
            source = _integer(text, f"{place}: source {text!r}")
            if source in batch_of:
                raise SpinscopeError(f"{place}: source {source} stands twice")
            batch_of[source] = (batch, use)
    return batch_of


def _integer(text: str | None, name: str) -> int:
    """Integer of a cell; an error begins with `name`."""
    try:
        return int(text)
    except (TypeError, ValueError):
        raise SpinscopeError(f"{name} must be an integer") from None


def _read_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpinscopeError(f"{path} must be readable UTF-8 text: {error}") from error
