"""Clicks of the tool Guided against brush strokes, for ten errors of a bundled model.

`bundled:moke-unet` segments simulated Kerr frames of 512 x 672 pixels with added noise, whose
labels are exact. Up to two errors of each frame are corrected: skyrmions of which it finds less
than half, and objects that are less than half skyrmion. Each gets one click at its deepest pixel.
The peer is the number of straight strokes, at most twelve, that reach the same IoU with the brush
of 9 px that the editor starts with and its eraser; each stroke is the one of many that leaves the
fewest wrong pixels. `chosen` gives the strokes of a brush whose width is also chosen, from 3, 5, 7
and 9 px. No hand knows the best stroke as this search does, which knows the truth.
`clicks.iou` is the IoU after one click on a missed skyrmion, against a disc of
median size, which the tool Add draws. `clicks.scribbles` adds to the clicks scribbles along the
largest wrong region, at most three, against the IoU of the clicks alone. `clicks.ms` is the time of
the function alone; the browser answers in the time that `pytest
tests/dashboards/test_editor_browser.py` writes to `build/test-output/guided_latency.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from _rows import row, seconds_of
from spinscope.analysis import label_objects
from spinscope.analysis.clicks import click, scribble, typical_area
from spinscope.classes import BACKGROUND, SKYRMION
from spinscope.config import bundled_models, load_params
from spinscope.corpora.kerr import kerr_frames
from spinscope.inference.predict import Predictor

SHAPE, FRAMES, SEED, ERRORS, PER_FRAME = (512, 672), 16, 5, 10, 2
MOST_SCRIBBLES, MOST_STROKES, MOST_ENDS = 3, 12, 48
MIN_PX, EDGE_PX, AROUND_PX = 20, 20, 24
NOISE = 24
"""Standard deviation of the added noise, in grey levels of 255."""


class Error(NamedTuple):
    """Frame, mask of the model, probability of any object, truth of one object, where to click."""

    image: np.ndarray
    mask: np.ndarray
    foreground: np.ndarray
    truth: np.ndarray
    place: tuple[int, int]


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    found = [error for error, _ in zip(errors(), range(ERRORS), strict=False)]
    missed = [bool(error.truth.any()) for error in found]
    clicked = [reached(error, _click(error)) for error in found]
    scribbled = [after_scribbles(error) for error in found]
    brush = [len(strokes_to(error, one, (9,))) for error, one in zip(found, clicked, strict=True)]
    chosen = [
        len(strokes_to(error, one, (3, 5, 7, 9))) for error, one in zip(found, clicked, strict=True)
    ]
    ms = np.median([1e3 * seconds_of(lambda e=e: _click(e)) for e in found * 3])
    return {
        "clicks.strokes": row(
            1.0, "", float(np.mean(brush)), float(np.mean(brush)), missed=sum(missed),
            brush=brush, chosen=chosen, iou=[round(one, 3) for one in clicked],
        ),
        "clicks.iou": row(
            float(np.mean(np.array(clicked)[missed])),
            "IoU",
            float(np.mean([disc(error) for error in found if error.truth.any()])),
        ),
        "clicks.scribbles": row(float(np.mean(scribbled)), "IoU", float(np.mean(clicked))),
        "clicks.ms": row(float(ms), "ms", 300.0, 300.0 / float(ms)),
    }  # fmt: skip


def errors() -> Iterator[Error]:
    """Errors of the bundled model, up to `PER_FRAME` of each frame."""
    settings = load_params("laptop").kerr.model_copy(
        update={"height": SHAPE[0], "width": SHAPE[1], "workers": 1}
    )
    predictor = Predictor.load(bundled_models() / "moke-unet", "auto")
    rng = np.random.default_rng(SEED)
    for _, image, label in kerr_frames(FRAMES, SEED, settings):
        image = np.clip(image + rng.normal(0, NOISE, SHAPE), 0, 255).round().astype(np.uint8)
        mask = predictor.classes(image)
        foreground = 1 - predictor.probabilities(image)[..., BACKGROUND]
        missed = objects_without(label == SKYRMION, mask == SKYRMION)
        invented = objects_without(mask == SKYRMION, label != BACKGROUND)
        both = [(one, one) for one in missed[:1]] + [(one, one & False) for one in invented[:1]]
        both += [(one, one) for one in missed[1:PER_FRAME]]
        for shown, truth in both[:PER_FRAME]:
            depth = distance_transform_edt(shown)
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            if truth.any() == bool(mask[y, x]):
                continue  # half of it is there: a click there would do the opposite
            yield Error(image, mask, foreground, truth, (int(y), int(x)))


def objects_without(objects: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """Objects away from the edge of which the other mask covers less than half, in random order."""
    numbers, areas = label_objects(objects)
    shared = np.bincount(numbers[other], minlength=len(areas) + 1)[1:]
    found = []
    for k in np.random.default_rng(SEED).permutation(len(areas)):
        one = numbers == k + 1
        inner = one[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX].sum() == areas[k]
        if inner and areas[k] >= MIN_PX and shared[k] < areas[k] / 2:
            found.append(one)
    return found


def around(error: Error) -> tuple[slice, slice]:
    """Section of the frame in which an error is corrected."""
    return tuple(slice(max(0, k - AROUND_PX), k + AROUND_PX) for k in error.place)


def section(error: Error, mask: np.ndarray) -> np.ndarray:
    """Skyrmions near an error, without other objects, which are right as they are."""
    others = (error.mask == SKYRMION) & (_click(error) == error.mask) & ~error.truth
    return ((mask == SKYRMION) & ~others)[around(error)]


def reached(error: Error, mask: np.ndarray) -> float:
    """IoU of the corrected object."""
    return iou(section(error, mask), error.truth[around(error)])


def disc(error: Error) -> float:
    """IoU of a disc of median size at the place of the click."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    d2 = (rows - error.place[0]) ** 2 + (columns - error.place[1]) ** 2
    drawn = d2 <= typical_area(error.mask, SKYRMION) / np.pi
    return iou(drawn, error.truth)


def after_scribbles(error: Error) -> float:
    """IoU after a click and up to `MOST_SCRIBBLES` scribbles."""
    mask, truth = _click(error), error.truth[around(error)]
    best = reached(error, mask)
    corner = np.array([part.start for part in around(error)])
    for _ in range(MOST_SCRIBBLES):
        numbers, areas = label_objects(section(error, mask) ^ truth)
        if not len(areas):
            break
        region = numbers == 1 + int(areas.argmax())
        value = SKYRMION if truth[region].mean() > 0.5 else BACKGROUND
        mask = scribble(mask, error.foreground, line_of(region) + corner, value)
        best = max(best, reached(error, mask))
    return best


class Stroke(NamedTuple):
    """Ends (y, x) of a straight stroke in a section, width of the brush in px, and its eraser."""

    start: np.ndarray
    end: np.ndarray
    size: int
    erases: bool


def strokes_to(error: Error, wanted: float, sizes: tuple[int, ...]) -> list[Stroke]:
    """Strokes of the brush or eraser until an IoU is reached, or until none corrects any more."""
    painted, truth = section(error, error.mask), error.truth[around(error)]
    strokes: list[Stroke] = []
    while iou(painted, truth) < wanted and len(strokes) < MOST_STROKES:
        after, stroke = best_stroke(painted, truth, sizes)
        if strokes and (after ^ truth).sum() >= (painted ^ truth).sum():
            break  # only the first one may paint too much, because others can erase it
        strokes.append(stroke)
        painted = after
    return strokes


def line_of(region: np.ndarray) -> np.ndarray:
    """Pixels (n, 2) along the longer axis of a region, its deepest pixel in each row or column."""
    pixels = np.argwhere(region)
    axis = int(np.ptp(pixels[:, 1]) >= np.ptp(pixels[:, 0]))
    depth = distance_transform_edt(region)[tuple(pixels.T)]
    order = np.lexsort((-depth, pixels[:, axis]))
    return pixels[order][np.unique(pixels[order, axis], return_index=True)[1]]


def best_stroke(
    painted: np.ndarray, truth: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, Stroke]:
    """Mask after the straight stroke of the brush or eraser that leaves the fewest wrong pixels.

    Strokes end on wrong pixels or beside them, and change something.
    """
    ends = np.argwhere(distance_transform_edt(painted == truth) <= max(sizes) / 2 + 1)
    ends = ends[:: max(1, len(ends) // MOST_ENDS)]
    rows, columns = np.mgrid[: truth.shape[0], : truth.shape[1]]
    best, found = truth.size + 1, (painted, Stroke(ends[0], ends[0], sizes[0], False))
    for k, one in enumerate(ends):
        for other in ends[k:]:
            step = other - one
            along = ((rows - one[0]) * step[0] + (columns - one[1]) * step[1]) / max(step @ step, 1)
            along = np.clip(along, 0, 1)
            d2 = (rows - one[0] - along * step[0]) ** 2 + (columns - one[1] - along * step[1]) ** 2
            for size in sizes:
                drawn = d2 <= (size / 2) ** 2
                for after, erases in ((painted | drawn, False), (painted & ~drawn, True)):
                    wrong = int((after ^ truth).sum())
                    if wrong < best and not np.array_equal(after, painted):
                        best, found = wrong, (after, Stroke(one, other, size, erases))
    return found


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def _click(error: Error) -> np.ndarray:
    return click(error.mask, error.foreground, error.place, SKYRMION)


if __name__ == "__main__":
    print(json.dumps(main()))
