"""Objects as COCO annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.contours import Contour, contours
from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.tables import rounded
from spinscope.files import provenance


def write_coco(target: Path, frames: Frames) -> None:
    """Write COCO JSON: images, categories, and one annotation per object.

    An object without holes is a polygon along the edges of its pixels; one with holes, which a
    COCO polygon cannot have, is a compressed run-length encoding. Both give its pixels exactly. The
    id of an image is its index + 1, its `file_name` NAME.png; the id of a category is the class
    index. `info` holds version, date, pixel size and interval.

    References
    ----------
    cocodataset.org/#format-data
    """
    made = provenance()
    head = {
        "info": {
            "description": "spinscope masks",
            "version": made["spinscope_version"],
            "date_created": made["created_utc"][:10],
            "pixel_size_nm": frames.pixel_size and rounded(frames.pixel_size * 1e9),
            "interval_s": frames.interval,
        },
        "licenses": [],
        "categories": [
            {"id": index, "name": name, "supercategory": "magnetic texture"}
            for index, name in frames.object_classes
        ],
    }
    images, n = [], 0
    with target.open("w") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for index, _, mask in frames:
            height, width = mask.shape
            image = {"id": index + 1, "file_name": f"{frames.names(index)}.png"}
            images.append(image | {"width": width, "height": height})
            for class_, _, numbers, areas in frames.objects(mask):
                for contour in contours(numbers):
                    annotation = {
                        "id": n + 1,
                        "image_id": index + 1,
                        "category_id": class_,
                        **_shape(contour, numbers),
                        "area": int(areas[contour.number - 1]),
                        "iscrowd": 0,
                    }
                    file.write((",\n" if n else "\n") + json.dumps(annotation))
                    n += 1
        file.write('\n], "images": ' + json.dumps(images) + "}\n")


def _shape(contour: Contour, numbers: np.ndarray) -> dict:
    """`segmentation` and `bbox` (x, y, width, height) of an object."""
    (y0, x0), (y1, x1) = contour.outer.min(axis=0).tolist(), contour.outer.max(axis=0).tolist()
    box = [x0, y0, x1 - x0, y1 - y0]
    if contour.holes:
        inside = numbers[y0:y1, x0:x1] == contour.number
        return {"segmentation": _run_lengths(inside, y0, x0, numbers.shape), "bbox": box}
    return {"segmentation": [contour.outer[:, ::-1].reshape(-1).tolist()], "bbox": box}


def _run_lengths(inside: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> dict:
    """Alternating lengths of runs outside and inside an object, down the columns of a frame."""
    x, y = np.nonzero(inside.T)
    place = (x + left) * shape[0] + y + top
    breaks = np.flatnonzero(np.diff(place) > 1)
    starts = place[np.concatenate([[0], breaks + 1])]
    stops = place[np.concatenate([breaks, [-1]])] + 1
    ends = np.stack([starts, stops], axis=1).reshape(-1)
    counts = np.diff(np.concatenate([[0], ends, [shape[0] * shape[1]]])).tolist()
    return {"size": list(shape), "counts": _compressed(counts if counts[-1] else counts[:-1])}


def _compressed(counts: list[int]) -> str:
    """Compress run lengths to COCO's text.

    From the third on, lengths are stored as the difference to the one two before, in groups of
    five bits, the lowest first, with a sixth bit where more follow, plus 48.

    References
    ----------
    `rleToString` of the COCO API (maskApi.c).

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
