"""Frames that a model was trained on, and whether a dataset contains some of them.

A frame is identified by the hash of its pixels, the same for its rotated and mirrored copies, at 8
and at 16 bit. A simulated frame is identified by its corpus and source as well: another image of
the same film counts as seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import HEADER, read_header
from spinscope.errors import SpinscopeError

FRAMES = "training_frames.json"
"""File of a model folder that lists its training frames."""


@dataclass(frozen=True)
class TrainingFrames:
    """Frames that a network was trained on.

    Parameters
    ----------
    hashes : frozenset of str
        `frame_hash` of each frame.
    simulated : mapping
        Name of a simulated corpus (`corpus_name`) → its sources in the training.
    """

    hashes: frozenset[str] = frozenset()
    simulated: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def __or__(self, other: TrainingFrames) -> TrainingFrames:
        names = {*self.simulated, *other.simulated}
        none: frozenset[int] = frozenset()
        return TrainingFrames(
            self.hashes | other.hashes,
            {name: self.simulated.get(name, none) | other.simulated.get(name, none)
             for name in names},
        )  # fmt: skip

    def contains(self, dataset: Dataset) -> list[bool]:
        """Whether the network was trained on each frame of a dataset."""
        sources = self.simulated.get(corpus_name(dataset) or "", frozenset())
        return [
            record.source in sources or (bool(self.hashes) and frame_hash(image) in self.hashes)
            for record, image, _ in dataset
        ]

    def to_json(self) -> dict[str, Any]:
        """Value that JSON can hold; `read_frames` reads it back."""
        return {
            "frames": sorted(self.hashes),
            "simulated": {name: sorted(n) for name, n in sorted(self.simulated.items())},
        }


def frame_hash(image: np.ndarray) -> str:
    """Sixteen hexadecimal digits of the pixels of an image, equal for its eight orientations.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Intensities in [0, 1], or components of unit vectors; compared with 8 bits.
    """
    image = np.asarray(image, np.float32)
    levels = np.round(image * 255 if image.ndim == 2 else 127 * (1 + image)).astype(np.uint8)
    views = (np.rot90(side, k) for side in (levels, levels[:, ::-1]) for k in range(4))
    return min(
        hashlib.sha256(f"{view.shape}".encode() + view.tobytes()).hexdigest()[:16] for view in views
    )


def corpus_name(dataset: Dataset) -> str | None:
    """Name of the simulated corpus that a dataset is part of, "KIND GENERATOR seed SEED"; or None.

    The name does not depend on the size and the settings of the corpus: films of one seed start
    from the same random states.
    """
    if not (dataset.path / HEADER).is_file():
        return None
    header = read_header(dataset.path)
    if not {"kind", "generator", "seed"} <= set(header):
        return None
    return f"{header['kind']} {header['generator']} seed {header['seed']}"


def training_frames(dataset: Dataset) -> TrainingFrames:
    """All frames of a dataset as frames of a training."""
    hashes = frozenset(frame_hash(image) for _, image, _ in dataset)
    name = corpus_name(dataset)
    return TrainingFrames(hashes, {name: frozenset(dataset.sources)} if name else {})


def read_frames(folder: Path) -> TrainingFrames | None:
    """Training frames that a model folder lists; None for a folder without the list.

    Parameters
    ----------
    folder : Path
        Model folder.

    Raises
    ------
    SpinscopeError
        If the list is not readable.
    """
    path = Path(folder) / FRAMES
    try:
        value = json.loads(path.read_text())
        hashes: Iterable[str] = value["frames"]
        simulated = {name: frozenset(n) for name, n in value["simulated"].items()}
        return TrainingFrames(frozenset(hashes), simulated)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpinscopeError(f"{path} must list the frames of a training: {error}") from error
