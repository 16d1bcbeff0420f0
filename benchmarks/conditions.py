"""Scale and polarity found in frames of another microscope, beside those of the training frames.

Simulated by other code than the training frames, each frame goes the way of `spinscope segment`:
bars and lettering are left out, scale and polarity are found, objects of at least 4 px count.

- `conditions.found`: 512 x 672 px, one rough elliptical bubble with a long axis of 20 to 400 px,
  dark or bright, with a contrast of 0.3, 1 and 3 times the noise of a pixel, under uneven light.
- `conditions.raw`: frames of 1024 x 1344 px and 16 bit with an information bar, and one dark
  bubble with a long axis of 130 to 670 px.
- `conditions.growing`: recordings of 16 frames of 512 x 672 px, in which a dark bubble grows from
  20 to 400 px at these contrasts; `one_scale` without choosing the scale of each frame.
- `conditions.empty`: 512 x 672 px without any skyrmion: white or smooth noise, uneven light, bands,
  specks of dust and bars.

A bubble is found where the mask holds one object, and both of its axes are within 3 % of the truth;
an empty frame where the mask holds none. The peer is all of them; `closely` is the fraction with
both axes within 1 %, `as_it_is` that with the scale and the polarity of the training frames,
`by_axis` that of each contrast and axis, and `objects` the mean number of objects. `limit` is the
fraction that an ideal measurement of the axes would find (`possible`).
`conditions.seconds` is the time for one frame, and the peer that of segmenting it at the scale of
the training frames. `conditions.frame_seconds` is the time for a frame of a growing bubble at
several scales: the mean over six sizes, each the median of repeats that alternate with the peer,
the single pass; `by_axis` is the ratio for each size.
`python benchmarks/conditions.py FOLDER` also measures the frames of a dataset, one of each source:
the mean MCC as they are, inverted, with noise of their own standard deviation, with an information
bar, and at other scales; the peer is the frame as it is under the conditions of the training
frames. What a bar covers is not scored. `objects` is the number of objects found over those
of the labels. For published frames, which the default model was trained on, give
`--model models/moke-unet-simulated`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable

import numpy as np
from scipy import ndimage, stats

from _rows import row, seconds_of
from spinscope.analysis import measure
from spinscope.classes import SKYRMION
from spinscope.config import bundled_models
from spinscope.corpora.annotations import SIDES, annotate
from spinscope.datasets import open_dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.inference.conditions import find_conditions
from spinscope.inference.geometry import Geometry
from spinscope.inference.predict import Predictor
from spinscope.inference.pyramid import fitted
from spinscope.inference.sample import sample_region, segment_sample

SHAPE, RAW_SHAPE, NOISE, BLUR, SEEDS = (512, 672), (1024, 1344), 0.05, 1.5, 2
AXES_PX, CONTRASTS = (20, 40, 80, 160, 280, 400), (0.3, 1.0, 3.0)
RAW_AXES_PX, RAW_CONTRASTS = (130, 260, 400, 530, 670), (0.5, 1.0, 2.0)
TOLERANCE, CLOSELY = 0.03, 0.01
MIN_PX, EMPTY_FRAMES, GROWING_FRAMES, REPEATS = 4, 40, 16, 7
SCALES = (0.5, 2.0)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", help="dataset of real frames")
    parser.add_argument("--model", default=str(bundled_models() / "moke-unet"))
    given = parser.parse_args()
    predictor = Predictor.load(given.model, "auto")
    bubbles = itertools.product(AXES_PX, CONTRASTS, (False, True), range(SEEDS))
    raw = itertools.product(RAW_AXES_PX, RAW_CONTRASTS, range(SEEDS))
    image = bubble(160, 1.0)[0]
    seconds = seconds_of(lambda: find_conditions(predictor, [image]))
    single = seconds_of(lambda: predictor.classes(image))
    rows = {
        "conditions.found": found(
            predictor, {(c, a, b, s): bubble(a, c, bright=b, seed=s) for a, c, b, s in bubbles}
        ),
        "conditions.raw": found(predictor, {(c, a, s): raw_bubble(a, c, s) for a, c, s in raw}),
        "conditions.growing": growing(predictor),
        "conditions.empty": empty(predictor),
        "conditions.seconds": row(seconds, "s", single, seconds / single),
        "conditions.frame_seconds": frame_seconds(predictor),
    }
    return rows | (real(predictor, given.folder) if given.folder else {})


def mask_of(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Skyrmions (H, W) of an image, with scale and polarity found."""
    region = sample_region(image)
    conditions = find_conditions(predictor, [region.sample(image)])
    return segment_sample(fitted(predictor, conditions), image, region=region).mask == SKYRMION


def found(predictor: Predictor, bubbles: dict[tuple, tuple[np.ndarray, np.ndarray]]) -> dict:
    """Fraction of the bubbles that are found, of all and of each (contrast, axis)."""
    errors, plain = {}, []
    for key, (image, truth) in bubbles.items():
        errors[key] = axes_error(mask_of(predictor, image), truth)
        plain.append(axes_found(predictor.classes(image) == SKYRMION, truth))
    hits = {key: error < TOLERANCE for key, error in errors.items()}
    by_axis: dict[str, dict[str, float]] = {}
    for contrast, axis in sorted({key[:2] for key in hits}):
        share = np.mean([hit for key, hit in hits.items() if key[:2] == (contrast, axis)])
        by_axis.setdefault(f"{contrast:g}", {})[str(axis)] = float(share)
    value = float(np.mean(list(hits.values())))
    closely = float(np.mean([error < CLOSELY for error in errors.values()]))
    return row(
        value,
        "of the bubbles",
        1.0,
        closely=closely,
        as_it_is=float(np.mean(plain)),
        limit=float(np.mean([possible(key[1], key[0]) for key in hits])),
        by_axis=by_axis,
    )


def possible(axis: float, contrast: float) -> float:
    r"""Probability that ideal measurements of both axes of a disc lie within the tolerance.

    An ideal measurement has no bias and normal errors, whose variance is the Cramér–Rao bound if
    everything but the axes is known. A boundary of blur :math:`\sigma` and contrast c in units of
    the noise contains the information :math:`c^2 / (2 \sqrt\pi \sigma)` on its place per pixel of
    length. If the half axes grow by one pixel, a point of the boundary at an angle moves by
    :math:`\cos^2` and :math:`\sin^2` of the angle.
    """
    per_px = contrast**2 / (2 * np.sqrt(np.pi) * BLUR)
    information = per_px * np.pi * axis / 2 * np.array([[0.75, 0.25], [0.25, 0.75]])
    within = TOLERANCE * axis / 2 * np.ones(2)
    errors = stats.multivariate_normal(cov=np.linalg.inv(information))
    return float(errors.cdf(within, lower_limit=-within))


def growing(predictor: Predictor) -> dict:
    """Fraction of the frames in which a growing bubble is found."""
    hits, single, limit = [], [], []
    for contrast in CONTRASTS:
        axes = np.geomspace(AXES_PX[0], AXES_PX[-1], GROWING_FRAMES)
        limit += [possible(axis, contrast) for axis in axes]
        frames = [bubble(axis, contrast) for axis in axes]
        conditions = find_conditions(predictor, [frames[0][0], frames[-1][0]])
        one = predictor.under(conditions.scale, conditions.inverted)
        for fitting, found in ((fitted(predictor, conditions), hits), (one, single)):
            masks = (fitting.classes(image) == SKYRMION for image, _ in frames)
            found += [axes_found(m, truth) for m, (_, truth) in zip(masks, frames, strict=True)]
    return row(
        float(np.mean(hits)),
        "of the frames",
        1.0,
        one_scale=float(np.mean(single)),
        limit=float(np.mean(limit)),
    )


def empty(predictor: Predictor) -> dict:
    """Fraction of the empty frames in which nothing is found."""
    counts, plain = np.array(
        [
            [count(mask_of(predictor, image)), count(predictor.classes(image) == SKYRMION)]
            for image in (empty_frame(seed) for seed in range(EMPTY_FRAMES))
        ]
    ).T
    return row(
        float(np.mean(counts == 0)),
        "of the frames",
        1.0,
        as_it_is=float(np.mean(plain == 0)),
        objects=float(np.mean(counts)),
        objects_as_it_is=float(np.mean(plain)),
    )


def frame_seconds(predictor: Predictor) -> dict:
    """Time for frames of a growing bubble at several scales, beside that of a single pass."""
    frames = {axis: bubble(axis, 1.0)[0] for axis in AXES_PX}
    conditions = find_conditions(predictor, [frames[AXES_PX[0]], frames[AXES_PX[-1]]])
    several = fitted(predictor, conditions)
    times = {}
    for axis, image in frames.items():
        pairs = [
            [seconds_of(lambda one=one, i=image: one.classes(i)) for one in (several, predictor)]
            for _ in range(REPEATS + 1)
        ]
        times[axis] = np.median(pairs[1:], axis=0)
    mean, single = np.mean(list(times.values()), axis=0)
    by_axis = {str(axis): float(f"{a / b:.3g}") for axis, (a, b) in times.items()}
    return row(mean, "s", single, mean / single, by_axis=by_axis)


def real(predictor: Predictor, folder: str) -> dict[str, dict]:
    """Agreement with the labels of one frame of each source, as it is and changed."""
    dataset = open_dataset(folder)
    firsts = {record.source: k for k, record in reversed(list(enumerate(dataset.records)))}
    frames = [
        (dataset.image(index), dataset.label(index) == SKYRMION)
        for index in sorted(firsts.values())
    ]
    plain = [predictor.classes(image) == SKYRMION for image, _ in frames]
    labelled = sum(count(label) for _, label in frames)
    rows = {}
    for name, change in CHANGES.items():
        values, reference, objects = [], [], 0
        for number, (image, label) in enumerate(frames):
            seen, back, kept = change(image, np.random.default_rng(number))
            mask = mask_of(predictor, seen)
            objects += count(mask)
            mask = back.undo(mask[..., None].astype(np.float32), image.shape)[..., 0] > 0.5
            values.append(agreement(mask[kept], label[kept]))
            reference.append(agreement(plain[number][kept], label[kept]))
        value, peer = float(np.mean(values)), float(np.mean(reference))
        rows[f"conditions.real_{name}"] = row(
            value, "MCC", peer, worst=min(values), objects=objects / labelled
        )
    return rows


Changed = tuple[np.ndarray, Geometry, np.ndarray]
"""Changed frame, its geometry, and the pixels (H, W) of the frame that it shows."""


def inverted(image: np.ndarray, rng: np.random.Generator) -> Changed:
    """Frame with bright skyrmions."""
    return 1 - image, Geometry(), np.ones(image.shape, bool)


def noisy(image: np.ndarray, rng: np.random.Generator) -> Changed:
    """Frame with white noise of its own standard deviation."""
    noise = rng.normal(0, image.std(), image.shape)
    return (image + noise).astype(np.float32), Geometry(), np.ones(image.shape, bool)


def barred(image: np.ndarray, rng: np.random.Generator) -> Changed:
    """Frame whose lowest rows are an information bar."""
    levels = np.clip(image * 255, 0, 255).astype(np.uint8)
    drawn = annotate(levels, rng, side="bottom", bright_ink=bool(rng.integers(2)), size=16)
    return drawn.image, Geometry(), ~drawn.drawn


def scaled(scale: float) -> Callable[[np.ndarray, np.random.Generator], Changed]:
    """Change to another number of pixels."""

    def change(image: np.ndarray, rng: np.random.Generator) -> Changed:
        geometry = Geometry(scale=scale)
        return geometry.apply(image), geometry, np.ones(image.shape, bool)

    return change


CHANGES = {
    "as_it_is": lambda image, rng: (image, Geometry(), np.ones(image.shape, bool)),
    "inverted": inverted,
    "noisy": noisy,
    "barred": barred,
    **{f"scaled_{scale:g}": scaled(scale) for scale in SCALES},
}


def agreement(mask: np.ndarray, label: np.ndarray) -> float:
    """MCC of two masks."""
    return scores(confusion(label, mask, 2))["mcc"]


def count(mask: np.ndarray) -> int:
    """Objects of a mask."""
    return len(measure(mask, min_px=MIN_PX)["major_px"])


def bubble(
    axis: float,
    contrast: float,
    *,
    bright: bool = False,
    seed: int = 0,
    shape: tuple[int, int] = SHAPE,
) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W) of one bubble with a long axis in px, and its mask."""
    rng = np.random.default_rng([seed, int(axis), int(10 * contrast)])
    y, x = np.mgrid[: shape[0], : shape[1]] - np.array(shape)[:, None, None] / 2
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    along, across = along / (axis / 2), across / (axis / 2 * rng.uniform(0.75, 1))
    angle = np.arctan2(across, along)
    rough = sum(
        rng.normal(0, 0.02 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 9)
    )
    mask = np.hypot(along, across) < 1 + rough
    light = rng.uniform(-1, 1) * x / shape[1] + rng.uniform(-1, 1) * y / shape[0]
    wall = ndimage.gaussian_filter(mask.astype(float), BLUR)
    image = 0.5 + NOISE * (light + (1 if bright else -1) * contrast * wall)
    return (image + rng.normal(0, NOISE, shape)).astype(np.float32), mask


def raw_bubble(axis: float, contrast: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """16-bit frame (H, W) of one dark bubble with an information bar below, and its mask."""
    image, mask = bubble(axis, contrast, seed=seed, shape=RAW_SHAPE)
    levels = np.clip(image * 40000, 0, 65535).astype(np.uint16)
    rng = np.random.default_rng(seed)
    drawn = annotate(levels, rng, side="bottom", bright_ink=bool(seed % 2), size=20)
    return drawn.image, mask & ~drawn.drawn


def empty_frame(seed: int) -> np.ndarray:
    """16-bit frame (H, W) without skyrmions."""
    rng = np.random.default_rng([7, seed])
    noise = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), rng.choice([0, 0, 0.6, 1.2]))
    y, x = (np.linspace(-1, 1, side) for side in SHAPE)
    light = rng.normal() * y[:, None] + rng.normal() * x + rng.normal() * np.outer(y, x)
    bands = rng.normal(0, 1, (SHAPE[0], 1)) * rng.choice([0, 0.5])
    image = 0.5 + NOISE * (noise / noise.std() + rng.choice([0, 1, 4]) * light + bands)
    for _ in range(rng.integers(0, 4)):  # dust that moved between two frames
        cy, cx = rng.integers(20, SHAPE[0] - 20), rng.integers(20, SHAPE[1] - 20)
        image[cy : cy + 4, cx : cx + 5] += 0.4
        image[cy : cy + 4, cx + 5 : cx + 9] -= 0.4
    levels = np.clip(image * 40000, 0, 65535).astype(np.uint16)
    if seed % 2:
        return annotate(levels, rng, side=str(rng.choice(SIDES)), size=16).image
    return levels


def axes_found(mask: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a mask holds one object with the axes of the true one."""
    return axes_error(mask, truth) < TOLERANCE


def axes_error(mask: np.ndarray, truth: np.ndarray) -> float:
    """Larger relative error of both axes; infinite where the mask does not hold one object."""
    objects, true = (measure(one, min_px=MIN_PX) for one in (mask, truth))
    if len(objects["major_px"]) != 1:
        return float("inf")
    return max(abs(objects[key][0] / true[key][0] - 1) for key in ("major_px", "minor_px"))


if __name__ == "__main__":
    print(json.dumps(main()))
