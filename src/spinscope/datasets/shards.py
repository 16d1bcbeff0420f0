"""A corpus packed into a few NumPy arrays that are read through memory maps.

A folder holds `corpus.json` (what it is: kind, seed, parameters, checksum of every file),
`manifest.csv` (a row a frame: name, source, batch, shard, index, then what its maker adds) and
per shard `images-NNNN.npy`, (n, H, W) uint8 or uint16, and `labels-NNNN.npy`, (n, H, W) uint8.
The same frames give the same bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256

HEADER = "corpus.json"
MANIFEST = "manifest.csv"
_COLUMNS = ("name", "source", "batch", "shard", "index")


def write_corpus(
    path: Path | str,
    frames: Iterable[tuple[dict[str, Any], np.ndarray, np.ndarray]],
    *,
    header: dict[str, Any],
    shard_frames: int = 64,
) -> Path:
    """Write frames (row, image, label) as packed shards, the whole folder or nothing.

    row : dict with `name`, `source`, `batch` and further columns of the maker's.
    image : (H, W) uint8 or uint16 levels.   label : (H, W) uint8 class indices.
    A corpus that stands at `path` is replaced; anything else there is refused.
    """
    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not (path / HEADER).is_file():
        raise SpinscopeError(f"{path} holds other files; a corpus needs a folder of its own")
    rows: list[dict[str, Any]] = []
    with atomic_folder(path) as partial:
        pending: list[tuple[np.ndarray, np.ndarray]] = []

        def flush(shard: int) -> None:
            for kind, arrays in zip(("images", "labels"), zip(*pending, strict=True), strict=True):
                if len({array.shape for array in arrays}) > 1:
                    raise SpinscopeError(
                        f"corpus {path}: the {kind} of a shard must be of one size"
                    )
                np.save(partial / f"{kind}-{shard:04d}.npy", np.stack(arrays))
            pending.clear()

        for number, (row, image, label) in enumerate(frames):
            shard, index = divmod(number, shard_frames)
            rows.append({**row, "shard": shard, "index": index})
            pending.append((image, label))
            if len(pending) == shard_frames:
                flush(shard)
        if not rows:
            raise SpinscopeError(f"corpus {path} must hold at least one frame")
        if pending:
            flush(rows[-1]["shard"])
        extra = [key for key in rows[0] if key not in _COLUMNS]
        with (partial / MANIFEST).open("w", newline="") as file:
            writer = csv.DictWriter(file, [*_COLUMNS, *extra], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        checksums = {p.name: sha256(p) for p in sorted(partial.iterdir())}
        complete = {**header, "n": len(rows), "sha256": checksums}
        (partial / HEADER).write_text(json.dumps(complete, indent=1, sort_keys=True) + "\n")
    return path


def damaged_files(path: Path | str) -> dict[str, str]:
    """What is wrong with each file whose bytes differ from the recorded checksum, by its name."""
    path = Path(path)
    damage = {}
    for name, expected in read_header(path)["sha256"].items():
        if not (path / name).is_file():
            damage[name] = "is missing"
        elif (found := sha256(path / name)) != expected:
            damage[name] = f"has sha256 {found[:12]}, {HEADER} says {expected[:12]}"
    return damage


def read_header(path: Path | str) -> dict[str, Any]:
    """What corpus.json says: kind, seed, parameters, number of frames, checksum of every file."""
    header = Path(path) / HEADER
    try:
        value = json.loads(header.read_text())
        if not isinstance(value["sha256"], dict):
            raise TypeError("sha256 must be a table")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpinscopeError(f"{header} must be the header of a corpus: {error}") from error
    return value


@dataclass
class ShardStore:
    """Frames of a packed corpus, each read through a memory map."""

    path: Path
    rows: list[dict[str, str]]
    _maps: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path) -> ShardStore:
        """Read the manifest of the corpus at `path`."""
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise SpinscopeError(f"corpus {path}: {MANIFEST} is missing")
        with manifest.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or not set(_COLUMNS) <= set(rows[0]):
            raise SpinscopeError(f"{manifest} must hold rows with {', '.join(_COLUMNS)}")
        for number, row in enumerate(rows, start=2):
            for column in _COLUMNS[1:]:
                if not (row[column] or "").isdecimal():
                    raise SpinscopeError(
                        f"{manifest} row {number}: {column} (={row[column]!r}) must be an integer"
                    )
        return cls(path, rows)

    def image(self, index: int) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        levels = self._frame("images", index)
        return levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)

    def label(self, index: int) -> np.ndarray:
        """(H, W) uint8 five-class indices."""
        return np.array(self._frame("labels", index))

    def depth(self, index: int) -> int:
        """Bits of a pixel of the image."""
        return self._frame("images", index).dtype.itemsize * 8

    def names(self, index: int) -> tuple[str, str]:
        """The shards that hold image and label of a frame."""
        shard = int(self.rows[index]["shard"])
        return f"images-{shard:04d}.npy", f"labels-{shard:04d}.npy"

    def _frame(self, kind: str, index: int) -> np.ndarray:
        row = self.rows[index]
        name = self.names(index)[kind == "labels"]
        if name not in self._maps:
            try:
                self._maps[name] = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise SpinscopeError(
                    f"corpus {self.path}: {name} is missing or damaged: {error}"
                ) from error
        try:
            return self._maps[name][int(row["index"])]
        except IndexError as error:
            raise SpinscopeError(
                f"corpus {self.path}: {name} holds no frame {row['index']}"
            ) from error
