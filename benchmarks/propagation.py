"""Precision of the corrections that are proposed in the frames after a corrected one.

`bundled:moke-unet` segments simulated recordings of 256 x 336 pixels with added noise, in which
skyrmions fluctuate. Rows with the end `_moving` are those of the same recordings whose frame moves
by 4 px in y and x from one to the next. Their labels are exact. In the first frame of each, all
missed skyrmions are added as in the label, and all objects that are less than half in the label are
removed, as by a reviewer who makes no mistake. `propagate` proposes these corrections in the seven
frames that follow.

`propagation.added` is the fraction of added objects that are right: at least half of their pixels
are in skyrmions of the label, and they share pixels with one that the model misses.
`propagation.removed` is the fraction of removed objects that are right: less than half of their
pixels are in objects of the label. `right` and `proposed` are numbers of objects, `copied_right`
and `copied` those of corrections at the same places as in the first frame, without tracks, and
`errors` those of the model in all frames that follow, whether or not the first frame has them.
`propagation.iou` is the mean IoU of right added objects with the label, `copied` that of copies.
The peer is 1: no mistake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from _rows import row
from spinscope.analysis import label_objects
from spinscope.analysis.propagation import propagate
from spinscope.classes import BACKGROUND, SKYRMION
from spinscope.config import bundled_models, load_params
from spinscope.corpora.kerr import kerr_frames
from spinscope.inference.predict import Predictor

SHAPE, RECORDINGS, FRAMES, SEED = (256, 336), 12, 8, 11
MIN_PX = 20
MOVED_PX = 4
"""Motion of the frame in y and x from one frame to the next, where it moves."""
NOISE = 24
"""Standard deviation of the added noise, in grey levels of 255."""


class Frame(NamedTuple):
    """Mask of the model, its probability of any object, and the label."""

    mask: np.ndarray
    foreground: np.ndarray
    label: np.ndarray

    @property
    def missed(self) -> list[np.ndarray]:
        """Skyrmions of which the model finds less than half."""
        return objects_without(self.label == SKYRMION, self.mask == SKYRMION)

    @property
    def invented(self) -> list[np.ndarray]:
        """Skyrmions of the model that are less than half in the label."""
        return objects_without(self.mask == SKYRMION, self.label != BACKGROUND)


class Tally:
    """Right and wrong proposals."""

    def __init__(self):
        self.added: list[bool] = []
        self.removed: list[bool] = []
        self.iou: list[float] = []

    def count(self, frame: Frame, proposed: np.ndarray) -> None:
        """Judge the objects that a proposal adds to the mask of the model or removes from it."""
        missed = frame.missed
        for one in objects((proposed == SKYRMION) & (frame.mask != SKYRMION)):
            best = max((iou(one, other) for other in missed), default=0.0)
            self.added.append(bool(best > 0 and (frame.label[one] == SKYRMION).mean() >= 0.5))
            if self.added[-1]:
                self.iou.append(best)
        for one in objects((proposed != SKYRMION) & (frame.mask == SKYRMION)):
            self.removed.append(bool((frame.label[one] != BACKGROUND).mean() < 0.5))


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    return measured(0, "") | measured(MOVED_PX, "_moving")


def measured(moved_px: int, end: str) -> dict[str, dict]:
    """Rows of recordings whose frame moves by `moved_px`, with `end` after their names."""
    tracked, copied = Tally(), Tally()
    errors = {"added": 0, "removed": 0}
    for first, *following in recordings(moved_px):
        corrected = first.mask.copy()
        for one in first.missed:
            corrected[one & (corrected == BACKGROUND)] = SKYRMION
        for one in first.invented:
            corrected[one] = BACKGROUND
        pairs = ((frame.mask, frame.foreground) for frame in following)
        for frame, proposed in zip(
            following, propagate(first.mask, corrected, pairs), strict=False
        ):
            tracked.count(frame, proposed)
        for frame in following:
            copied.count(frame, np.where(corrected != first.mask, corrected, frame.mask))
            errors["added"] += len(frame.missed)
            errors["removed"] += len(frame.invented)
    rows = {}
    for kind in ("added", "removed"):
        ours, peer = getattr(tracked, kind), getattr(copied, kind)
        counts = {"right": sum(ours), "proposed": len(ours), "errors": errors[kind]}
        counts |= {"copied_right": sum(peer), "copied": len(peer)}
        rows[f"propagation.{kind}{end}"] = row(mean(ours), "", 1.0, **counts)
    return rows | {
        f"propagation.iou{end}": row(
            mean(tracked.iou), "IoU", 1.0, copied=round(mean(copied.iou), 3)
        )
    }


def recordings(moved_px: int) -> Iterator[list[Frame]]:
    """Frames of each recording, segmented."""
    settings = load_params("laptop").kerr.model_copy(
        update={
            "height": SHAPE[0] + FRAMES * moved_px,
            "width": SHAPE[1] + FRAMES * moved_px,
            "frames_per_source": FRAMES,
            "workers": 1,
        }
    )
    predictor = Predictor.load(bundled_models() / "moke-unet", "auto")
    rng = np.random.default_rng(SEED)
    frames = kerr_frames(RECORDINGS * FRAMES, SEED, settings)
    for _, recording in groupby(frames, lambda frame: frame[0]["source"]):
        found = []
        for k, (_, image, label) in enumerate(recording):
            y, x = k * moved_px, k * moved_px
            image, label = (one[y : y + SHAPE[0], x : x + SHAPE[1]] for one in (image, label))
            image = np.clip(image + rng.normal(0, NOISE, SHAPE), 0, 255)
            foreground = 1 - predictor.probabilities(image)[..., BACKGROUND]
            found.append(Frame(predictor.classes(image), foreground, label))
        yield found


def objects(pixels: np.ndarray) -> list[np.ndarray]:
    """Connected objects of at least `MIN_PX` pixels."""
    numbers, areas = label_objects(pixels)
    return [numbers == k + 1 for k, area in enumerate(areas) if area >= MIN_PX]


def objects_without(pixels: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """Objects of which the other mask covers less than half."""
    return [one for one in objects(pixels) if other[one].mean() < 0.5]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def mean(values: list) -> float:
    """Mean, 0 without values."""
    return float(np.mean(values)) if values else 0.0


if __name__ == "__main__":
    print(json.dumps(main()))
