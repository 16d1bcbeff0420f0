"""COCO annotations: polygons and run lengths."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.analysis.imports.drawing import Canvas
from spinscope.analysis.imports.filling import Window, filled
from spinscope.analysis.imports.target import Drawn, Masks, Target
from spinscope.classes import CLASSES
from spinscope.errors import SpinscopeError


def read_coco(path: Path, target: Target) -> Masks:
    """Read COCO JSON: images with the names of frames, and their annotations.

    A category with the name of a class becomes that class. A single category with another name
    becomes the default class. An image without annotations is a frame without objects.

    Parameters
    ----------
    path : Path
        JSON file.
    target : Target
        Frames and classes.

    Raises
    ------
    SpinscopeError
        For a file that is not COCO JSON, images of no frame or of another size, and categories
        that are no classes.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise SpinscopeError(f"{path} is not a readable JSON file: {text:.200}") from error
    images = _rows(path, content, "images")
    if not images:
        raise SpinscopeError(f"{path}: images must list at least one image")
    target.check_count(len(images), path)
    annotations = _rows(path, content, "annotations")
    frames: dict[Any, int] = {}
    found: dict[int, list[Mapping[str, Any]]] = {}
    for image in images:
        name, key = image.get("file_name"), image.get("id")
        if not isinstance(name, str) or not isinstance(key, int | str):
            raise SpinscopeError(f"{path}: image {key!r:.80} must have an id and a file_name")
        frames[key] = target.named(name, path)
        if found.setdefault(frames[key], []):
            raise SpinscopeError(f"{path}: two images are named {name!r}; names must differ")
        size = image.get("height"), image.get("width")
        if all(isinstance(side, int) for side in size):
            target.check_shape(size, path, f"image {name!r}")
    for annotation in annotations:
        if not isinstance(category := annotation.get("category_id"), int | str):
            raise SpinscopeError(
                f"{path}: annotation {annotation.get('id')!r:.80} has category_id "
                f"{category!r:.80}; it must be the id of a category"
            )
        key = annotation.get("image_id")
        if not isinstance(key, int | str) or key not in frames:
            raise SpinscopeError(
                f"{path}: annotation {annotation.get('id')!r:.80} has image_id {key!r:.80}, which "
                "is no image of the file"
            )
        found[frames[key]].append(annotation)
    classes = _classes(path, _rows(path, content, "categories"), annotations, target)
    return {
        frame: functools.partial(_draw, path, target, frame, rows, classes)
        for frame, rows in found.items()
    }


def _rows(path: Path, content: Any, key: str) -> list[dict[str, Any]]:
    """One of the lists of objects of a COCO file."""
    rows = content.get(key, []) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SpinscopeError(
            f"{path} is not COCO JSON: it must be an object whose {key} is a list of objects"
        )
    return rows


def _classes(
    path: Path, categories: Sequence[dict], annotations: Sequence[dict], target: Target
) -> dict[Any, int]:
    """Class of each category id that annotations have."""
    names = {}
    for row in categories:
        key, name = row.get("id"), row.get("name")
        if not isinstance(key, int | str) or not isinstance(name, str):
            raise SpinscopeError(f"{path}: category {key!r:.80} must have an id and a name")
        names[key] = name.strip().lower()
    used = dict.fromkeys(row["category_id"] for row in annotations)
    unknown = {names.get(key, str(key)) for key in used} - set(CLASSES)
    if unknown and len(used) > 1:
        raise SpinscopeError(
            f"{path}: category {min(unknown)!r} must be one of {', '.join(CLASSES)}, since the "
            "file has several: rename it"
        )
    return {
        key: CLASSES.index(names[key]) if names.get(key) in CLASSES else target.default
        for key in used
    }


def _draw(
    path: Path, target: Target, frame: int, rows: Sequence[dict], classes: Mapping[Any, int]
) -> Drawn:
    canvas = Canvas(path, target, frame)
    for row in rows:
        name = f"annotation {row.get('id')!r:.40}"
        class_ = classes[row["category_id"]]
        canvas.draw(name, class_, *_pixels(path, target, name, row.get("segmentation")))
    return canvas.drawn()


def _pixels(path: Path, target: Target, name: str, shape: Any) -> tuple[Window, np.ndarray]:
    """Pixels of an annotation: the union of its polygons, or its run lengths."""
    if isinstance(shape, dict):
        return (slice(None), slice(None)), _of_runs(path, target, name, shape)
    if not isinstance(shape, list) or not shape:
        raise SpinscopeError(
            f"{path}: {name} has no segmentation; a box is no mask: export polygons or run lengths"
        )
    rings = []
    for polygon in shape:
        try:
            ring = np.asarray(polygon, dtype=float).reshape(-1, 2)[:, ::-1]
        except (ValueError, TypeError, OverflowError) as error:
            raise SpinscopeError(
                f"{path}: a polygon of {name} must be a list of numbers x, y, x, y, …"
            ) from error
        if len(ring) < 3 or not np.isfinite(ring).all():
            raise SpinscopeError(f"{path}: a polygon of {name} must have three finite corners")
        rings.append(ring)
    if len(rings) == 1:
        return filled(rings, target.shape)
    inside = np.zeros(target.shape, dtype=bool)
    for ring in rings:
        window, one = filled([ring], target.shape)
        inside[window] |= one
    return (slice(None), slice(None)), inside


def _of_runs(path: Path, target: Target, name: str, shape: dict) -> np.ndarray:
    """Pixels (H, W) of run lengths down the columns, compressed or not."""
    size, counts = shape.get("size"), shape.get("counts")
    if not isinstance(size, list) or not all(isinstance(side, int) for side in size):
        raise SpinscopeError(f"{path}: {name} must have a segmentation with size [height, width]")
    target.check_shape(size, path, name)
    try:
        runs = _lengths(counts) if isinstance(counts, str) else np.array(counts, dtype=np.int64)
        good = runs.ndim == 1 and bool((runs >= 0).all()) and int(runs.sum()) == np.prod(size)
    except (ValueError, TypeError, OverflowError):
        good = False
    if not good:
        raise SpinscopeError(
            f"{path}: run lengths of {name} must be numbers that add up to {np.prod(size)} pixels"
        )
    inside = np.repeat(np.arange(len(runs)) % 2 > 0, runs)
    return inside.reshape(size[1], size[0]).T


def _lengths(text: str) -> np.ndarray:
    """Run lengths of COCO's text, the inverse of `exports.coco`.

    >>> _lengths("61X13").tolist()
    [6, 1, 40, 4]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 40:
            raise ValueError(f"{character!r} is no part of a run length")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("the last run length is cut off")
    return np.array(counts, dtype=np.int64)
