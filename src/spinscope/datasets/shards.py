"""The packed layout: a corpus in a few NumPy arrays, read through memory maps.

The folder holds ``corpus.json`` (kind, seed, settings, checksum of every file), ``manifest.csv``
(one row per frame: name, source, batch, shard, index and columns of the corpus) and, per shard,
``images-NNNN.npy``, (n, H, W) uint8 or uint16, and ``labels-NNNN.npy``, (n, H, W) uint8. The same
frames give the same bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spinscope.datasets.dataset import USES, Dataset, Record
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256

HEADER = "corpus.json"
MANIFEST = "manifest.csv"
_COLUMNS = ("name", "source", "batch", "shard", "index")

RENAMED = {
    "kerr": {"bright": "bright_fraction"},
    "films": {
        "images": "periodic_images",
        "evaluations": "max_evaluations",
        "grained": "grained_fraction",
    },
    "ltem": {
        "views": "images_per_film",
        "kinds": "film_states",
        "roll": "shift",
        "turn": "rotate",
        "coherence_mrad": "convergence_mrad",
        "spread_nm": "defocus_spread_nm",
    },
}
"""Settings whose names changed, by the kind of a corpus: old name → new name."""


def renamed(header: dict[str, Any]) -> dict[str, Any]:
    """Return a corpus header with today's names of its settings."""
    names = RENAMED.get(str(header.get("kind")), {})
    return {names.get(key, key): value for key, value in header.items()}


def own_folder(path: Path, header: str) -> None:
    """Check that a corpus may be written to a folder.

    Parameters
    ----------
    path : Path
        Folder of the corpus; it may be missing or empty.
    header : str
        File name of the header that identifies a corpus of this kind.

    Raises
    ------
    SpinscopeError
        If the path is a file, or the folder holds other files and no header.
    """
    if path.exists() and not path.is_dir():
        raise SpinscopeError(f"{path} is a file; a corpus needs a folder of its own")
    if not path.exists() or (path / header).is_file():
        return
    # An interrupted `atomic_file` leaves a hidden file that ends in the name of the header.
    if any(not file.name.endswith(f".{header}") for file in path.iterdir()):
        raise SpinscopeError(f"{path} holds other files; a corpus needs a folder of its own")


def write_corpus(
    path: Path | str,
    frames: Iterable[tuple[dict[str, Any], np.ndarray, np.ndarray | None]],
    *,
    header: dict[str, Any],
    shard_frames: int = 64,
) -> Path:
    """Write frames as packed shards, the whole folder or nothing.

    Parameters
    ----------
    path : Path
        Folder to write; an earlier corpus is replaced.
    frames : iterable of (dict, (H, W) array, (H, W) array)
        Row of the manifest with `name`, `source`, `batch` and further columns; image, uint8 or
        uint16 levels; label, uint8 class indices, or None where labels are not stored.
    header : dict
        Entries of corpus.json; number of frames and checksums are added.
    shard_frames : int, default 64
        Frames of a shard.

    Raises
    ------
    SpinscopeError
        If the folder holds other files, there is no frame, or the frames of a shard differ in size.
    """
    path = Path(path)
    own_folder(path, HEADER)
    rows: list[dict[str, Any]] = []
    with atomic_folder(path) as partial:
        for shard, chunk in enumerate(_chunks(frames, shard_frames)):
            added, *arrays = zip(*chunk, strict=True)
            rows += [{**row, "shard": shard, "index": k} for k, row in enumerate(added)]
            for kind, stack in zip(("images", "labels"), arrays, strict=True):
                if stack[0] is None:
                    continue
                if len({array.shape for array in stack}) > 1:
                    raise SpinscopeError(
                        f"corpus {path}: the {kind} of a shard must be of one size"
                    )
                np.save(partial / f"{kind}-{shard:04d}.npy", np.stack(stack))
        if not rows:
            raise SpinscopeError(f"corpus {path} must hold at least one frame")
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
    """Describe the damage of every file whose checksum differs from the recorded one, by name."""
    path = Path(path)
    damage = {}
    for name, expected in read_header(path)["sha256"].items():
        if not (path / name).is_file():
            damage[name] = "is missing"
        elif (found := sha256(path / name)) != expected:
            damage[name] = f"has sha256 {found[:12]}, {HEADER} says {expected[:12]}"
    return damage


def read_header(path: Path | str) -> dict[str, Any]:
    """Read corpus.json of a corpus, with today's names of its settings.

    Raises
    ------
    SpinscopeError
        If the file is missing or is no header.
    """
    header = Path(path) / HEADER
    try:
        value = json.loads(header.read_text())
        if not isinstance(value["sha256"], dict):
            raise TypeError("sha256 must be a table")
        for name, checksum in value["sha256"].items():
            if name != Path(name).name or not isinstance(checksum, str):
                raise TypeError(f"{name!r} must be a file of the folder with its checksum")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpinscopeError(f"{header} must be the header of a corpus: {error}") from error
    return renamed(value)


def open_shards(path: Path) -> Dataset:
    """Open a packed corpus."""
    store = ShardStore.open(path)
    records = tuple(
        Record(row["name"], int(row["source"]), int(row["batch"]), row.get("use", USES[0]))
        for row in store.rows
    )
    return Dataset(path, records, store, tuple(range(len(records))))


@dataclass
class ShardStore:
    """Pixels of a packed corpus, read through memory maps."""

    GREY: ClassVar[bool] = True
    """Whether the arrays must be unsigned (n, H, W); other stores check their own."""
    path: Path
    rows: list[dict[str, str]]
    """Rows of manifest.csv."""
    _maps: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path) -> ShardStore:
        """Read the manifest of a corpus.

        Raises
        ------
        SpinscopeError
            If the manifest is missing, empty or malformed.
        """
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise SpinscopeError(f"corpus {path}: {MANIFEST} is missing")
        try:
            with manifest.open(newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise SpinscopeError(f"{manifest} is not a readable table: {error}") from error
        if not rows or not set(_COLUMNS) <= set(rows[0]):
            raise SpinscopeError(f"{manifest} must hold rows with {', '.join(_COLUMNS)}")
        for number, row in enumerate(rows, start=2):
            if not row["name"]:
                raise SpinscopeError(f"{manifest} row {number}: the name is missing")
            for column in _COLUMNS[1:]:
                text = row[column] or ""
                if not (text.isdecimal() and len(text) < 16):
                    raise SpinscopeError(
                        f"{manifest} row {number}: {column} (={row[column]!r}) must be an integer"
                    )
            if (use := row.get("use", USES[0])) not in USES:
                raise SpinscopeError(
                    f"{manifest} row {number}: use (={use!r}) must be {' or '.join(USES)}"
                )
        return cls(path, rows)

    def image(self, index: int) -> np.ndarray:
        """Read an image, (H, W) float32 in [0, 1]."""
        levels = self._frame(index, 0)
        return levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)

    def label(self, index: int) -> np.ndarray:
        """Read a label, (H, W) uint8 indices of the five classes."""
        return np.array(self._frame(index, 1))

    def depth(self, index: int) -> int:
        """Return the bits per pixel of an image."""
        return self._frame(index, 0).dtype.itemsize * 8

    def names(self, index: int) -> tuple[str, str]:
        """Return the shards that hold image and label of a frame."""
        shard = int(self.rows[index]["shard"])
        return f"images-{shard:04d}.npy", f"labels-{shard:04d}.npy"

    def _frame(self, index: int, kind: int) -> np.ndarray:
        """Image (kind 0) or label (kind 1) of a frame as it is stored."""
        return self._stored(self.rows[index], self.names(index)[kind])

    def _stored(self, row: dict[str, str], name: str) -> np.ndarray:
        """Array that a row of the manifest names, from the file of its shard."""
        try:
            if name not in self._maps:
                stack = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
                if self.GREY and (stack.ndim != 3 or stack.dtype.kind != "u" or 0 in stack.shape):
                    raise ValueError(f"{stack.dtype} {stack.shape} must be unsigned (n, H, W)")
                self._maps[name] = stack
            return self._maps[name][int(row["index"])]
        except IndexError as error:
            raise SpinscopeError(
                f"corpus {self.path}: {name} holds no frame {row['index']}"
            ) from error
        except Exception as error:  # the header of a NumPy file is Python, which raises many kinds
            raise SpinscopeError(
                f"corpus {self.path}: {name} is missing or damaged: {error}"
            ) from error


def _chunks(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items, the last one shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
