"""Scale and polarity found in frames of another microscope, beside those of the training frames.

Simulated frames of 512 x 672 pixels: one rough elliptical bubble with a long axis of 20 to 400 px,
dark or bright, with a contrast of 0.3, 1 and 3 times the noise of a pixel, under uneven light. A
bubble counts as found where the mask holds one object, and both axes are within 3 % of the truth.
The value is the fraction of bubbles found with the conditions that `find_conditions` returns, the
peer all of them; `as_it_is` is the fraction found without them, and `by_axis` that of each contrast
and axis. `conditions.seconds` is the time for one frame, and the peer that of segmenting it.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
from scipy import ndimage

from _rows import row, seconds_of
from spinscope.analysis import measure
from spinscope.classes import SKYRMION
from spinscope.config import bundled_models
from spinscope.inference.conditions import find_conditions
from spinscope.inference.predict import Predictor

SHAPE, NOISE, SEEDS = (512, 672), 0.05, 2
AXES_PX, CONTRASTS = (20, 40, 80, 160, 280, 400), (0.3, 1.0, 3.0)
TOLERANCE, MIN_PX = 0.03, 4


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    predictor = Predictor.load(bundled_models() / "moke-unet-simulated", "auto")
    hits = {}
    for axis, contrast, bright, seed in itertools.product(
        AXES_PX, CONTRASTS, (False, True), range(SEEDS)
    ):
        image, truth = bubble(axis, contrast, bright=bright, seed=seed)
        found = find_conditions(predictor, [image])
        under = predictor.under(found.scale, found.inverted)
        hits[axis, contrast, bright, seed] = [
            axes_found(one.classes(image) == SKYRMION, truth) for one in (under, predictor)
        ]
    by_axis = {
        f"{contrast:g}": {str(axis): share(hits, axis, contrast) for axis in AXES_PX}
        for contrast in CONTRASTS
    }
    found, plain = np.mean(list(hits.values()), axis=0)
    image, _ = bubble(160, 1.0)
    seconds = seconds_of(lambda: find_conditions(predictor, [image]))
    single = seconds_of(lambda: predictor.classes(image))
    return {
        "conditions.found": row(
            found, "of the bubbles", 1.0, as_it_is=float(plain), by_axis=by_axis
        ),
        "conditions.seconds": row(seconds, "s", single, seconds / single),
    }


def share(hits: dict[tuple, list[bool]], axis: float, contrast: float) -> float:
    """Fraction of the bubbles of an axis and a contrast that were found."""
    return float(np.mean([hit[0] for key, hit in hits.items() if key[:2] == (axis, contrast)]))


def bubble(
    axis: float, contrast: float, *, bright: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W) of one bubble with a long axis in px, and its mask."""
    rng = np.random.default_rng([seed, int(axis), int(10 * contrast)])
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array(SHAPE)[:, None, None] / 2
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    along, across = along / (axis / 2), across / (axis / 2 * rng.uniform(0.75, 1))
    angle = np.arctan2(across, along)
    rough = sum(
        rng.normal(0, 0.02 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 9)
    )
    mask = np.hypot(along, across) < 1 + rough
    light = rng.uniform(-1, 1) * x / SHAPE[1] + rng.uniform(-1, 1) * y / SHAPE[0]
    wall = ndimage.gaussian_filter(mask.astype(float), 1.5)
    image = 0.5 + NOISE * (light + (1 if bright else -1) * contrast * wall)
    return (image + rng.normal(0, NOISE, SHAPE)).astype(np.float32), mask


def axes_found(mask: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a mask holds one object with the axes of the true one."""
    objects, true = (measure(one, min_px=MIN_PX) for one in (mask, truth))
    return len(objects["major_px"]) == 1 and all(
        abs(objects[key][0] / true[key][0] - 1) < TOLERANCE for key in ("major_px", "minor_px")
    )


if __name__ == "__main__":
    print(json.dumps(main()))
