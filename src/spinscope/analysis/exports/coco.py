"""Objects as COCO annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.contours import Contour, contours
from spinscope.analysis.exports.frames import GROUND, Frame, checked, number, objects, written


def write_coco(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write COCO JSON: images, categories, and one annotation an object.

    An object without holes is a polygon along the edges of its pixels; one with holes, which a
    polygon of COCO cannot have, is a compressed run-length encoding. Both give its pixels exactly.
    An image's id is its index + 1 and its `file_name` NAME.png; a category's id is the class index.
    Pixel size and interval stand in `info`.   Source: cocodataset.org/#format-data.
    """
    head = {
        "info": {
            "description": "spinscope masks",
            "version": "1.0",
            "pixel_size_m": pixel_size,
            "interval_s": interval,
        },
        "licenses": [],
        "categories": [
            {"id": index, "name": name, "supercategory": "magnetic texture"}
            for index, name in enumerate(classes)
            if name not in GROUND
        ],
    }
    images = []
    with written(target) as partial, partial.open("w") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        written_before = 0
        for index, _, mask in checked(frames, classes):
            height, width = mask.shape
            images.append(
                {
                    "id": index + 1,
                    "file_name": f"{names(index)}.png",
                    "width": width,
                    "height": height,
                }
            )
            for class_, _, numbers, areas in objects(mask, classes, min_px):
                for contour in contours(numbers):
                    annotation = {
                        "id": written_before + 1,
                        "image_id": index + 1,
                        "category_id": class_,
                        **_shape(contour, numbers),
                        "area": int(areas[contour.number - 1]),
                        "iscrowd": 0,
                    }
                    file.write(",\n" if written_before else "\n")
                    file.write(json.dumps(annotation))
                    written_before += 1
        file.write('\n], "images": ' + json.dumps(images) + "}\n")
    return len(images)


def _shape(contour: Contour, numbers: np.ndarray) -> dict:
    """`segmentation` and `bbox` (x, y, width, height) of an object."""
    (y0, x0), (y1, x1) = contour.outer.min(axis=0).tolist(), contour.outer.max(axis=0).tolist()
    box = [x0, y0, x1 - x0, y1 - y0]
    if contour.holes:
        inside = numbers[y0:y1, x0:x1] == contour.number
        return {"segmentation": _runs(inside, y0, x0, numbers.shape), "bbox": box}
    return {"segmentation": [contour.outer[:, ::-1].reshape(-1).tolist()], "bbox": box}


def _runs(inside: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> dict:
    """Lengths of runs outside and inside in turn, down the columns, of an object in its box."""
    x, y = np.nonzero(inside.T)
    place = (x + left) * shape[0] + y + top
    breaks = np.flatnonzero(np.diff(place) > 1)
    starts = place[np.concatenate([[0], breaks + 1])]
    stops = place[np.concatenate([breaks, [-1]])] + 1
    ends = np.stack([starts, stops], axis=1).reshape(-1)
    counts = np.diff(np.concatenate([[0], ends, [shape[0] * shape[1]]]))
    if not counts[-1]:
        counts = counts[:-1]
    return {"size": list(shape), "counts": _compressed(counts.tolist())}


def _compressed(counts: list[int]) -> str:
    """COCO's text of run lengths: from the third on the difference to the one two before, in
    groups of five bits, lowest first, a sixth bit telling that more follow, plus 48.

    Source: `rleToString` of the COCO API (maskApi.c).

    >>> _compressed([6, 1, 40, 4])
    '61X13'
    """
    text = []
    for k, count in enumerate(counts):
        value = count - counts[k - 2] if k > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr((bits | 32 if more else bits) + 48))
            if not more:
                break
    return "".join(text)
