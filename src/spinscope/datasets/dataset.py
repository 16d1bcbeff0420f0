"""A dataset: frames with labels, whatever their layout on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from spinscope.errors import SpinscopeError

USES = ("train_test_val", "only_training")
"""Uses of a source; the first is the usual one."""


@dataclass(frozen=True)
class Record:
    """One frame: its name, its source (video or specimen), and the batch and use of the source."""

    name: str
    source: int
    batch: int | None
    use: str = USES[0]


class Store(Protocol):
    """Pixels of a layout; `index` counts the frames of the whole folder."""

    def image(self, index: int) -> np.ndarray: ...
    def label(self, index: int) -> np.ndarray: ...
    def depth(self, index: int) -> int: ...
    def names(self, index: int) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Dataset:
    """Frames with labels of one folder, or a selection of them."""

    path: Path
    records: tuple[Record, ...]
    store: Store
    rows: tuple[int, ...]
    """Index of each frame in the store."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        """Yield (record, image, label) of every frame."""
        for index in range(len(self)):
            yield self.records[index], self.image(index), self.label(index)

    def image(self, index: int) -> np.ndarray:
        """Return the image of a frame, (H, W) float32 in [0, 1]."""
        return self.store.image(self.rows[index])

    def label(self, index: int) -> np.ndarray:
        """Return the label of a frame, (H, W) uint8 indices of the five classes."""
        return self.store.label(self.rows[index])

    def depth(self, index: int) -> int:
        """Return the bits per pixel of a stored image."""
        return self.store.depth(self.rows[index])

    def names(self, index: int) -> tuple[str, str]:
        """Return the files that hold image and label of a frame, relative to the folder."""
        return self.store.names(self.rows[index])

    @property
    def sources(self) -> tuple[int, ...]:
        """Sources of the frames, sorted."""
        return tuple(sorted({record.source for record in self.records}))

    def select(
        self, batches: Iterable[int] | None = None, sources: Iterable[int] | None = None
    ) -> Dataset:
        """Keep the frames of some batches and sources; None keeps all.

        Raises
        ------
        SpinscopeError
            If a batch or source is not in the dataset.
        """
        keep = range(len(self))
        for field, wanted in (("batch", batches), ("source", sources)):
            if wanted is None:
                continue
            wanted = set(wanted)
            present = {getattr(record, field) for record in self.records}
            if missing := wanted - present:
                raise SpinscopeError(
                    f"{self.path}: {field} {min(missing)} must be one of "
                    f"{', '.join(map(str, sorted(present - {None})))}"
                )
            keep = [i for i in keep if getattr(self.records[i], field) in wanted]
        return replace(
            self,
            records=tuple(self.records[i] for i in keep),
            rows=tuple(self.rows[i] for i in keep),
        )


def data_hash(dataset: Dataset) -> str:
    """Return the hash by which DVC names the contents of a dataset's folder, ``md5:….dir``.

    It is the MD5 of a JSON list of the MD5 and path of every file, sorted by path, and also valid
    for a folder that DVC does not track.
    """
    files = {p.relative_to(dataset.path).as_posix(): p for p in dataset.path.rglob("*")}
    listing = []
    for name, path in sorted(files.items()):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
            listing.append({"md5": digest, "relpath": name})
    digest = hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False)
    return f"md5:{digest.hexdigest()}.dir"
