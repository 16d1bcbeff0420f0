"""The manifest of a dataset: one row a frame with what is in it, or with what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import CLASSES
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import HEADER, damaged_files
from spinscope.errors import SpinscopeError
from spinscope.images import UnknownColour

if TYPE_CHECKING:
    import pandas as pd

READ_RULES = {
    "image intact": "image",
    "label intact": "label",
    "image present": "image",
    "image readable": "image",
    "label present": "label",
    "label readable": "label",
    "known colours": "label",
    "same size": "label",
}
"""What `rule` names where a frame could not be read, and the file that breaks it.

`error` is the sentence that says why; intact: the shard has its recorded checksum.
"""

COLUMNS = {
    "name": "str",
    "image": "str",
    "label": "str",
    "source": "int64",
    "batch": "Int64",
    "use": "str",
    "image_sha256": "str",
    "label_sha256": "str",
    "height": "Int64",
    "width": "Int64",
    "bits": "Int64",
    "mean": "float64",
    "std": "float64",
    "min": "float64",
    "max": "float64",
    "clipped": "float64",
    **dict.fromkeys(CLASSES, "float64"),
    "objects": "Int64",
    "rule": "str",
    "error": "str",
}
"""Columns of a manifest and their types."""


def manifest(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> pd.DataFrame:
    """Read every frame once and tell what is in it, one row a frame in the dataset's order.

    name, image, label : the frame and its files (shards, where packed) below the folder.
    source, batch, use : as in table.csv and partition.txt.
    image_sha256, label_sha256 : of the decoded pixels, so that one frame stored at 8 and at 16 bit
    is one frame.
    height, width, bits : size in pixels and bits of a pixel as stored.
    mean, std, min, max : of the intensity in [0, 1].   clipped : fraction that is 0 or 1.
    background … edge : area fraction of each class.   objects : 8-connected skyrmion regions.
    rule, error : what is wrong with a frame that could not be read, one of `READ_RULES`, and why;
    what was not read stays empty.
    """
    import pandas as pd

    damage = damaged_files(dataset.path) if (dataset.path / HEADER).is_file() else {}

    def row(index: int) -> dict[str, Any]:
        return _row(dataset, index, damage)

    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        indices = range(len(dataset))
        rows = list(progress(pool.map(row, indices), total=len(indices), desc="manifest"))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def count_objects(mask: np.ndarray) -> int:
    """Number of 8-connected regions of a boolean mask.

    >>> count_objects(np.eye(3, dtype=bool))
    1
    """
    from scipy import ndimage

    return int(ndimage.label(mask, structure=np.ones((3, 3)))[1])


def pixel_sha256(pixels: np.ndarray) -> str:
    """SHA-256 of shape, type and values of an array, whatever its layout in memory."""
    digest = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def _row(dataset: Dataset, index: int, damage: dict[str, str]) -> dict[str, Any]:
    record = dataset.records[index]
    image_file, label_file = dataset.names(index)
    row: dict[str, Any] = {
        "name": record.name,
        "image": image_file,
        "label": label_file,
        "source": record.source,
        "batch": record.batch,
        "use": record.use,
    }

    def broken(rule: str, why: object) -> dict[str, Any]:
        # Without the folder: the same frames give the same manifest wherever they lie.
        error = str(why).replace(f"{dataset.path}{os.sep}", "")
        return {**row, "rule": rule, "error": error}

    for rule, file in (("image intact", image_file), ("label intact", label_file)):
        if file in damage:
            return broken(rule, f"{file} {damage[file]}")
    if not (dataset.path / image_file).is_file():
        return broken("image present", f"{image_file} is missing")
    try:
        image = dataset.image(index)
        row |= {"bits": dataset.depth(index), **_of_image(image)}
    except SpinscopeError as error:
        return broken("image readable", error)
    if not (dataset.path / label_file).is_file():
        return broken("label present", f"{label_file} is missing")
    try:
        label = dataset.label(index)
    except UnknownColour as error:
        return broken("known colours", error)
    except SpinscopeError as error:
        return broken("label readable", error)
    if (found := int(label.max(initial=0))) >= len(CLASSES):
        why = f"{label_file}: class {found} must be below {len(CLASSES)}"
        return broken("known colours", why)
    row |= _of_label(label)
    if label.shape != image.shape:
        sizes = [f"{width}x{height}" for height, width in (label.shape, image.shape)]
        why = f"{label_file} is {sizes[0]}, its image is {sizes[1]} pixels"
        return broken("same size", why)
    return row


def _of_image(image: np.ndarray) -> dict[str, Any]:
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


def _of_label(label: np.ndarray) -> dict[str, Any]:
    counts = np.bincount(label.ravel(), minlength=len(CLASSES))
    fractions = {name: float(n / label.size) for name, n in zip(CLASSES, counts, strict=True)}
    objects = count_objects(label == CLASSES.index("skyrmion"))
    return {"label_sha256": pixel_sha256(label), **fractions, "objects": objects}
