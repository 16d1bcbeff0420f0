"""Manifest of a dataset: one row per frame, with its statistics or the rule that it breaks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import CLASSES, SKYRMION
from spinscope.datasets.agreement import label_contrast
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import HEADER, damaged_files
from spinscope.errors import SpinscopeError
from spinscope.images import UnknownColour
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("image", "label")

READ_RULES = {
    **{f"{kind} {rule}": kind for rule in ("intact", "present", "readable") for kind in _KINDS},
    "known colours": "label",
    "same size": "label",
}
"""Rules that a frame may break while it is read, and the file that breaks them.

A file is intact if its shard has the recorded checksum.
"""

COLUMNS = {
    **dict.fromkeys(("name", "image", "label"), "str"),
    **{"source": "int64", "batch": "Int64", "use": "str"},
    **dict.fromkeys(("image_sha256", "label_sha256"), "str"),
    **dict.fromkeys(("height", "width", "bits"), "Int64"),
    **dict.fromkeys(("mean", "std", "min", "max", "clipped", *CLASSES), "float64"),
    "objects": "Int64",
    **dict.fromkeys(("contrast", "contrast_x", "contrast_y"), "float64"),
    **{"rule": "str", "error": "str"},
}
"""Columns of a manifest and their types; see `manifest`."""


def manifest(
    dataset: Dataset, *, workers: int | None = None, progress: Progress = no_progress
) -> pd.DataFrame:
    """Read every frame once and describe it, in the order of the dataset.

    Parameters
    ----------
    dataset : Dataset
        Frames to read.
    workers : int, optional
        Threads; by default one per processor, at most 8.
    progress : callable
        Wraps the frames.

    Returns
    -------
    DataFrame
        One row per frame:

        - ``name``, ``image``, ``label``: frame and its files (shards of a packed corpus);
        - ``source``, ``batch``, ``use``: as in table.csv and partition.txt;
        - ``image_sha256``, ``label_sha256``: hash of the decoded pixels, the same for a frame
          stored at 8 and at 16 bit;
        - ``height``, ``width``, ``bits``: size in pixels, bits per pixel as stored;
        - ``mean``, ``std``, ``min``, ``max``: intensity in [0, 1]; ``clipped``: fraction of the
          pixels at 0 or 1;
        - ``background`` … ``edge``: area fraction of each class; ``objects``: 8-connected skyrmion
          regions;
        - ``contrast``, ``contrast_x``, ``contrast_y``: correlation of the image with the label
          around the skyrmions, as of `agreement.label_contrast`; missing without skyrmions;
        - ``rule``, ``error``: rule of `READ_RULES` that the frame breaks, and why. Values that
          could not be read are missing.
    """
    return read_frames(dataset, lambda image, label: None, workers=workers, progress=progress)[0]


def read_frames(
    dataset: Dataset,
    look: Callable[[np.ndarray, np.ndarray], Any],
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, list[Any]]:
    """Read every frame once: its row of the manifest, and the result of `look`.

    Parameters
    ----------
    dataset : Dataset
        Frames to read.
    look : callable
        Called in a thread with image and label of every frame that breaks no rule of reading.
    workers, progress
        As of `manifest`.

    Returns
    -------
    DataFrame
        The manifest.
    list
        Result of `look` for each frame; None where it was not called.
    """
    import pandas as pd

    damage = damaged_files(dataset.path) if (dataset.path / HEADER).is_file() else {}
    indices = range(len(dataset))
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda index: _row(dataset, index, damage, look), indices)
        read = list(progress(read, total=len(indices), desc="manifest"))
    rows, seen = ([frame[part] for frame in read] for part in (0, 1))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), seen


def count_objects(mask: np.ndarray) -> int:
    """Count the 8-connected regions of a boolean mask.

    >>> count_objects(np.eye(3, dtype=bool))
    1
    """
    from scipy import ndimage

    return int(ndimage.label(mask, structure=np.ones((3, 3)))[1])


def pixel_sha256(pixels: np.ndarray) -> str:
    """Return the SHA-256 of shape, type and values of an array, whatever its memory layout."""
    digest = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def _row(
    dataset: Dataset,
    index: int,
    damage: dict[str, str],
    look: Callable[[np.ndarray, np.ndarray], Any],
) -> tuple[dict[str, Any], Any]:
    """Row of a frame, up to the first rule that it breaks, and the result of `look`."""
    record, files = dataset.records[index], dict(zip(_KINDS, dataset.names(index), strict=True))
    row = {"name": record.name, **files}
    row |= {"source": record.source, "batch": record.batch, "use": record.use}

    def broken(rule: str, reason: object) -> tuple[dict[str, Any], None]:
        # Without the folder: the same frames give the same manifest at any place.
        error = str(reason).replace(f"{dataset.path}{os.sep}", "")
        return {**row, "rule": rule, "error": error}, None

    frame, shapes = {}, {}
    for kind, file in files.items():
        if file in damage:
            return broken(f"{kind} intact", f"{file} {damage[file]}")
        if not (dataset.path / file).is_file():
            return broken(f"{kind} present", f"{file} is missing")
        try:
            pixels = frame[kind] = getattr(dataset, kind)(index)
            if kind == "image":
                row |= {"bits": dataset.depth(index), **_image_statistics(pixels)}
        except UnknownColour as error:
            return broken("known colours", error)
        except SpinscopeError as error:
            return broken(f"{kind} readable", error)
        shapes[kind] = pixels.shape
    image, label = frame["image"], frame["label"]
    if (highest := int(label.max(initial=0))) >= len(CLASSES):
        reason = f"{files['label']}: class {highest} must be below {len(CLASSES)}"
        return broken("known colours", reason)
    row |= _label_statistics(label)
    if shapes["label"] != shapes["image"]:
        sizes = {kind: f"{width}x{height}" for kind, (height, width) in shapes.items()}
        reason = f"{files['label']} is {sizes['label']}, its image is {sizes['image']} pixels"
        return broken("same size", reason)
    contrast = label_contrast(image, label).round(4)
    row |= dict(zip(("contrast", "contrast_x", "contrast_y"), contrast, strict=True))
    return row, look(image, label)


def _image_statistics(image: np.ndarray) -> dict[str, Any]:
    """Hash, size and intensity of an image."""
    height, width = image.shape
    return {
        "image_sha256": pixel_sha256(image),
        "height": height,
        "width": width,
        "mean": float(image.mean(dtype=np.float64)),
        "std": float(image.std(dtype=np.float64)),
        "min": float(image.min()),
        "max": float(image.max()),
        "clipped": float(((image <= 0) | (image >= 1)).mean()),
    }


def _label_statistics(label: np.ndarray) -> dict[str, Any]:
    """Hash, area fraction of each class and number of skyrmions of a label."""
    counts = np.bincount(label.ravel(), minlength=len(CLASSES))
    fractions = {name: float(n / label.size) for name, n in zip(CLASSES, counts, strict=True)}
    objects = count_objects(label == SKYRMION)
    return {"label_sha256": pixel_sha256(label), **fractions, "objects": objects}
