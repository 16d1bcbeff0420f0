"""Probes of a segmentation: what it makes of frames whose answer is known beforehand.

A network is a function `predict`: image (H, W) float32 in [0, 1] -> class indices (H, W).
Source: Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024), Figs. 3 and 7, Supplement A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spinscope.analysis import label_objects
from spinscope.classes import DEFECT, SKYRMION
from spinscope.corpora.kerr import DIAMETER, PERIOD, draw_defects
from spinscope.datasets import Dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.report import spread
from spinscope.images import to_scheme
from spinscope.physics import domains
from spinscope.physics.kerr import KerrOptics, kerr_image, kerr_label

Predict = Callable[[np.ndarray], np.ndarray]
Frame = tuple[np.ndarray, np.ndarray]

GREYS = 256
PUBLISHED_GREY = 88
"""Below this grey level the published two-class network calls every pixel a skyrmion."""

OPTICS = KerrOptics(level=0.5, contrast=0.15, blur=1.3, noise=0.06, gradient=0.005)
"""The frame from which a curve of limits departs: signal-to-noise 2.5, as real frames have it."""

SNR = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 4.0, 6.0)
CONTRAST = (0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.04, 0.08, 0.15, 0.3)
GRADIENT = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32)
NOISE = (0.02, 0.04, 0.06, 0.09, 0.13, 0.18)
ADDED_NOISE = (0.0, 0.03, 0.06, 0.1, 0.15)
ENOUGH = 0.8
"""MCC below which a quantity is beyond the limit of a network."""

SPECKLE = 0.25
"""A speckle has at most this part of the median area of the labelled objects of its frame."""

_DIAMETER = (8.0, 16.0)  # px, of the skyrmions on the frames of the limits
_SPACING = (1.1, 2.6)  # of their lattices, in stripe periods


def uniform_grey(predict: Predict, shape: tuple[int, int]) -> list[float]:
    """Share of the pixels of a uniform frame called skyrmion, at each grey level 0 ... 255.

    A network that is given standardised frames (`data.standardise`: zero mean, unit SD) is given
    zeros at every level: the curve is flat, and says only what such a network makes of nothing.
    The published network reads grey levels as they are, which is why its curve has a step.
    """
    frames = (np.full(shape, grey / 255, dtype=np.float32) for grey in range(GREYS))
    return [_share(predict(frame)) for frame in frames]


def patch_grey(predict: Predict, shape: tuple[int, int], seed: int) -> list[float]:
    """Share called skyrmion of a square patch of uniform grey, at each grey level 0 ... 255.

    The patch is a quarter of the frame's shorter side wide, larger than a skyrmion and a twentieth
    of the frame; around it lies film of grey 128 with the noise of `OPTICS`, the same at every
    level. Mean and SD of the frame follow the film, so that the level survives standardising:
    the patch lies (g - 128) / 15 SD off it as long as it does not dominate. A frame of two
    uniform halves would not do: whatever their levels, they become -1 and +1.
    """
    rng = np.random.default_rng(seed)
    film = 128 / 255 + OPTICS.noise * rng.standard_normal(shape)
    film = np.clip(film, 0, 1).astype(np.float32)
    edge = min(shape) // 4
    where = tuple(slice((n - edge) // 2, (n - edge) // 2 + edge) for n in shape)
    shares = []
    for grey in range(GREYS):
        film[where] = grey / 255
        shares.append(_share(predict(film)[where]))
    return shares


def grey_limit(shares: Sequence[float]) -> float | None:
    """Grey level below which more than half of the pixels are called skyrmion, interpolated.

    The highest such level; None where no level below 255 parts dark from bright.

    >>> grey_limit([1.0] * 88 + [0.0] * 168)
    87.5
    """
    values = np.asarray(shares, dtype=float)
    falls = np.flatnonzero((values[:-1] >= 0.5) & (values[1:] < 0.5))
    if not len(falls):
        return None
    k = int(falls[-1])
    return k + float((values[k] - 0.5) / (values[k] - values[k + 1]))


def inverted(predict: Predict, frames: Dataset, classes: int) -> dict[str, Any]:
    """MCC on labelled frames as they are and with their grey levels mirrored, 1 - image.

    Returns {mcc, mcc_inverted} pooled over all pixels, `per_image` {as_is, inverted} {mean, sd}
    and n_images.
    """
    total = {"as_is": 0, "inverted": 0}
    each: dict[str, list[float]] = {"as_is": [], "inverted": []}
    for _, image, label in frames:
        truth = to_scheme(label, classes)
        for key, shown in (("as_is", image), ("inverted", 1 - image)):
            matrix = confusion(truth, predict(shown), classes)
            total[key] = total[key] + matrix
            each[key].append(scores(matrix)["mcc"])
    return {
        "mcc": scores(total["as_is"])["mcc"],
        "mcc_inverted": scores(total["inverted"])["mcc"],
        "per_image": {
            key: {"mean": float(np.mean(values)), "sd": spread(values)}
            for key, values in each.items()
        },
        "n_images": len(frames),
    }


def empty_frames(n: int, shape: tuple[int, int], noise: float, seed: int) -> Iterable[Frame]:
    """(image, label) of film without a skyrmion but with dust, at a noise SD; `noise` alone varies.

    The dust holds the contrast of a frame: on noise alone standardising would undo its level.
    """
    m = np.ones(shape, dtype=np.float32)
    for stream in np.random.SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(stream)
        defects = draw_defects(rng, shape)
        optics = replace(OPTICS, noise=noise)
        image = kerr_image(m, optics, rng, defects=defects)
        yield image, kerr_label(m, defects=defects, drift=optics.drift)


def made_up_on(predict: Predict, frames: Iterable[Frame], min_px: int) -> dict[str, float]:
    """Skyrmions a frame that are seen on frames without one.

    Returns `film`, on bare film, and `defects`, those that touch a defect.
    """
    film = defects = n = 0
    for image, label in frames:
        numbers, areas = label_objects(predict(image) == SKYRMION, min_px)
        touching = np.unique(numbers[label == DEFECT])
        on = int(np.count_nonzero(touching))
        film, defects, n = film + len(areas) - on, defects + on, n + 1
    return {"film": film / n, "defects": defects / n}


def speckles(
    predict: Predict, frames: Dataset, classes: int, noise: float, seed: int
) -> dict[str, Any]:
    """Objects made up on labelled frames to which Gaussian noise of the SD `noise` was added.

    Returns `speckles` and `made_up` a frame: objects that share no pixel with a labelled skyrmion,
    the former those of at most `SPECKLE` of the median labelled area; both count from one pixel.
    Also `objects_true` and `objects_predicted` of all frames, `mcc` pooled and n_images.
    """
    total = np.zeros((classes, classes), dtype=np.int64)
    small = made_up = labelled = found = 0
    streams = np.random.SeedSequence(seed).spawn(len(frames))
    for (_, image, label), stream in zip(frames, streams, strict=True):
        if noise:
            rng = np.random.default_rng(stream)
            image = np.clip(image + noise * rng.standard_normal(image.shape), 0, 1)
            image = image.astype(np.float32)
        truth = to_scheme(label, classes)
        predicted = predict(image)
        total += confusion(truth, predicted, classes)
        areas = label_objects(truth == SKYRMION)[1]
        numbers, sizes = label_objects(predicted == SKYRMION)
        alone = np.ones(len(sizes), dtype=bool)
        shared = np.unique(numbers[truth == SKYRMION])
        alone[shared[shared > 0] - 1] = False
        limit = SPECKLE * float(np.median(areas)) if len(areas) else np.inf
        made_up += int(np.count_nonzero(alone))
        small += int(np.count_nonzero(alone & (sizes <= limit)))
        labelled, found = labelled + len(areas), found + len(sizes)
    return {
        "speckles": small / len(frames),
        "made_up": made_up / len(frames),
        "objects_true": labelled,
        "objects_predicted": found,
        "mcc": scores(total)["mcc"],
        "n_images": len(frames),
    }


@dataclass(frozen=True)
class Film:
    """A simulated pattern of skyrmions; `noise` names its random stream."""

    m: np.ndarray
    noise: np.random.SeedSequence

    def frame(self, optics: KerrOptics) -> Frame:
        """(image, label) as a camera of 8 bits sees it; the noise is the same at any `optics`."""
        image = kerr_image(self.m, optics, np.random.default_rng(self.noise))
        rounded = (np.round(255 * image) / 255).astype(np.float32)
        return rounded, kerr_label(self.m)


def films(n: int, shape: tuple[int, int], seed: int) -> list[Film]:
    """Lattices of skyrmions of 8 to 16 px, dense to sparse, without defects or an edge."""
    made = []
    for stream in np.random.SeedSequence(seed).spawn(n):
        pattern, noise = stream.spawn(2)
        rng = np.random.default_rng(pattern)
        diameter = float(rng.uniform(*_DIAMETER))
        scale = diameter / DIAMETER
        seeded = domains.seeded_film(
            shape,
            spacing=float(rng.uniform(*_SPACING)) * PERIOD * scale,
            radius=diameter / 2,
            jitter=float(rng.uniform(0.05, 0.2)),
            rng=rng,
        )
        phi = domains.domain_pattern(
            shape,
            field=float(rng.uniform(0.11, 0.14)),
            rng=rng,
            scale=scale,
            initial=np.float32(0.6) * seeded,
            noise=0.02,
        )
        made.append(Film(domains.coverage(phi), noise))
    return made


def curves() -> dict[str, dict[float, KerrOptics]]:
    """Optics at every point of the curves of limits.

    snr : contrast over noise SD; the contrast stays.   contrast : of the skyrmions in units of the
    full range, signal-to-noise stays, so that it is the gradient and the camera's 8 bits that
    hide them.   gradient : SD of the uneven illumination in the same units; the rest stays, and
    what leaves [0, 1] is clipped as by the camera.
    """
    ratio = OPTICS.noise / OPTICS.contrast
    return {
        "snr": {x: replace(OPTICS, noise=OPTICS.contrast / x) for x in SNR},
        "contrast": {x: replace(OPTICS, contrast=x, noise=ratio * x) for x in CONTRAST},
        "gradient": {x: replace(OPTICS, gradient=x) for x in GRADIENT},
    }


def measure(predict: Predict, frames: Iterable[Frame]) -> dict[str, float]:
    """MCC of a point of a curve: {mcc} pooled over all pixels, {sd} over the frames."""
    total, each = np.zeros((2, 2), dtype=np.int64), []
    for image, label in frames:
        found = (predict(image) == SKYRMION).astype(np.uint8)
        matrix = confusion((label == SKYRMION).astype(np.uint8), found, 2)
        total += matrix
        each.append(scores(matrix)["mcc"])
    return {"mcc": scores(total)["mcc"], "sd": spread(each)}


def limit(curve: Mapping[float, float], enough: float = ENOUGH) -> float | None:
    """Where the MCC of a curve falls below `enough`, interpolated between its points.

    curve : quantity -> MCC. The crossing next to the best point on either side, the nearer one
    where there are two; None where the curve never falls below it or never reaches it.

    >>> round(limit({1.0: 0.6, 2.0: 0.9, 3.0: 0.95}), 3)
    1.667
    """
    x = np.array(sorted(curve))
    y = np.array([curve[at] for at in x])
    best = int(np.argmax(y))
    if y[best] < enough:
        return None
    found = []
    for side in (range(best, 0, -1), range(best, len(x) - 1)):
        step = -1 if side.step < 0 else 1
        for k in side:
            if y[k + step] < enough:
                part = (y[k] - enough) / (y[k] - y[k + step])
                found.append(float(x[k] + part * (x[k + step] - x[k])))
                break
    return min(found, key=lambda at: abs(at - x[best])) if found else None


def _share(classes: np.ndarray) -> float:
    return float(np.mean(classes == SKYRMION))
