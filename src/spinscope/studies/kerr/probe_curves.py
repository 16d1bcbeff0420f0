"""Probes of a segmentation on frames with a known answer.

A network is a function ``predict``: image (H, W) float32 in [0, 1] → class indices (H, W).

References
----------
Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024), Figs. 3 and 7, Supplement A.
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
"""Grey level below which the published two-class network calls every pixel a skyrmion."""

OPTICS = KerrOptics(level=0.5, contrast=0.15, blur=1.3, noise=0.06, gradient=0.005)
"""Optics from which each curve of limits varies one quantity; signal-to-noise ratio 2.5."""

SNR = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 4.0, 6.0)
CONTRAST = (0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.04, 0.08, 0.15, 0.3)
GRADIENT = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32)
NOISE = (0.02, 0.04, 0.06, 0.09, 0.13, 0.18)
ADDED_NOISE = (0.0, 0.03, 0.06, 0.1, 0.15)
ENOUGH = 0.8
"""Smallest MCC within the limit of a network."""

SPECKLE = 0.25
"""Largest area of a speckle, as a fraction of the median labelled area in its frame."""

_DIAMETER = (8.0, 16.0)  # skyrmion diameter in px
_SPACING = (1.1, 2.6)  # lattice spacing in stripe periods


def uniform_grey(predict: Predict, shape: tuple[int, int]) -> list[float]:
    """Fraction of a uniform frame called skyrmion, at each grey level 0 ... 255.

    A network that standardises its frames (zero mean, unit SD) reads zeros at every level, so its
    curve is flat. The published network reads raw grey levels, so its curve has a step.

    Parameters
    ----------
    predict : callable
        Network.
    shape : (int, int)
        Rows and columns of the frame.

    Returns
    -------
    list of float
        Fraction of pixels per grey level.
    """
    frames = (np.full(shape, grey / 255, dtype=np.float32) for grey in range(GREYS))
    return [_skyrmion_fraction(predict(frame)) for frame in frames]


def patch_grey(predict: Predict, shape: tuple[int, int], seed: int) -> list[float]:
    """Fraction of a uniform square patch called skyrmion, at each grey level 0 ... 255.

    The patch is a quarter of the frame's shorter side wide: larger than a skyrmion, and a twentieth
    of the frame. It is surrounded by film of grey 128 with the noise of `OPTICS`, the same at every
    level. The film determines mean and SD of the frame, so the level survives standardising: the
    patch differs from the film by (g - 128) / 15 SD. Two uniform halves would always become -1
    and +1.

    Parameters
    ----------
    predict : callable
        Network.
    shape : (int, int)
        Rows and columns of the frame.
    seed : int
        Seed of the noise.

    Returns
    -------
    list of float
        Fraction of the patch's pixels per grey level.
    """
    rng = np.random.default_rng(seed)
    film = 128 / 255 + OPTICS.noise * rng.standard_normal(shape)
    film = np.clip(film, 0, 1).astype(np.float32)
    edge = min(shape) // 4
    where = tuple(slice((n - edge) // 2, (n - edge) // 2 + edge) for n in shape)
    fractions = []
    for grey in range(GREYS):
        film[where] = grey / 255
        fractions.append(_skyrmion_fraction(predict(film)[where]))
    return fractions


def grey_limit(fractions: Sequence[float]) -> float | None:
    """Highest grey level below which more than half of the pixels are called skyrmion.

    Parameters
    ----------
    fractions : sequence of float
        Fraction called skyrmion per grey level.

    Returns
    -------
    float or None
        Interpolated grey level; None where no level below 255 separates dark from bright.

    Examples
    --------
    >>> grey_limit([1.0] * 88 + [0.0] * 168)
    87.5
    """
    values = np.asarray(fractions, dtype=float)
    falls = np.flatnonzero((values[:-1] >= 0.5) & (values[1:] < 0.5))
    if not len(falls):
        return None
    k = int(falls[-1])
    return k + float((values[k] - 0.5) / (values[k] - values[k + 1]))


def inverted(predict: Predict, frames: Dataset, classes: int) -> dict[str, Any]:
    """MCC on labelled frames and on their negatives, 1 - image.

    Parameters
    ----------
    predict : callable
        Network.
    frames : Dataset
        Labelled frames.
    classes : int
        Number of classes of the network.

    Returns
    -------
    dict
        `mcc` and `mcc_inverted` pooled over all pixels, `per_image` {as_is, inverted} of {mean,
        sd}, and `n_images`.
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
    """Film without a skyrmion but with dust, whose contrast keeps the noise level standardised.

    Parameters
    ----------
    n : int
        Number of frames.
    shape : (int, int)
        Rows and columns.
    noise : float
        SD of the noise as a fraction of the full range.
    seed : int
        Seed of dust and noise.

    Yields
    ------
    (image, label) : arrays (H, W)
        The same at every `noise` but for its level.
    """
    m = np.ones(shape, dtype=np.float32)
    for child in np.random.SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(child)
        defects = draw_defects(rng, shape)
        optics = replace(OPTICS, noise=noise)
        image = kerr_image(m, optics, rng, defects=defects)
        yield image, kerr_label(m, defects=defects, drift=optics.drift)


def made_up_on(predict: Predict, frames: Iterable[Frame], min_px: int) -> dict[str, float]:
    """False skyrmions per frame on frames without a skyrmion.

    Parameters
    ----------
    predict : callable
        Network.
    frames : iterable of (image, label)
        Frames without a skyrmion.
    min_px : int
        Smallest area of an object in px.

    Returns
    -------
    dict
        `film`: on bare film; `defects`: those that touch a defect.
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
    """False objects on labelled frames with added Gaussian noise.

    Parameters
    ----------
    predict : callable
        Network.
    frames : Dataset
        Labelled frames.
    classes : int
        Number of classes of the network.
    noise : float
        SD of the added noise as a fraction of the full range.
    seed : int
        Seed of the noise.

    Returns
    -------
    dict
        `made_up`: objects per frame that share no pixel with a labelled skyrmion; `speckles`:
        those of at most `SPECKLE` of the median labelled area; `objects_true` and
        `objects_predicted` of all frames; `mcc` pooled; `n_images`. Objects count from one pixel.
    """
    total = np.zeros((classes, classes), dtype=np.int64)
    small = made_up = labelled = found = 0
    children = np.random.SeedSequence(seed).spawn(len(frames))
    for (_, image, label), child in zip(frames, children, strict=True):
        if noise:
            rng = np.random.default_rng(child)
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
    """Simulated pattern of skyrmions `m` (H, W) with the seed of its noise."""

    m: np.ndarray
    noise: np.random.SeedSequence

    def frame(self, optics: KerrOptics) -> Frame:
        """Image and label of an 8-bit camera; the noise pattern is the same at any `optics`."""
        image = kerr_image(self.m, optics, np.random.default_rng(self.noise))
        rounded = (np.round(255 * image) / 255).astype(np.float32)
        return rounded, kerr_label(self.m)


def films(n: int, shape: tuple[int, int], seed: int) -> list[Film]:
    """Simulate lattices of skyrmions of 8 to 16 px, dense to sparse, without defects or edge.

    Parameters
    ----------
    n : int
        Number of films.
    shape : (int, int)
        Rows and columns.
    seed : int
        Seed of patterns and noise.

    Returns
    -------
    list of Film
        Films with independent patterns and noise.
    """
    made = []
    for child in np.random.SeedSequence(seed).spawn(n):
        pattern, noise = child.spawn(2)
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

    Returns
    -------
    dict
        ``snr``: contrast over noise SD at constant contrast. ``contrast``: contrast of the
        skyrmions as a fraction of the full range at constant signal-to-noise ratio, so that
        gradient and the camera's 8 bits hide them. ``gradient``: SD of the uneven illumination
        as a fraction of the full range; the camera clips at 0 and 1.
    """
    ratio = OPTICS.noise / OPTICS.contrast
    return {
        "snr": {x: replace(OPTICS, noise=OPTICS.contrast / x) for x in SNR},
        "contrast": {x: replace(OPTICS, contrast=x, noise=ratio * x) for x in CONTRAST},
        "gradient": {x: replace(OPTICS, gradient=x) for x in GRADIENT},
    }


def limit_rows(
    predict: Predict, n: int, shape: tuple[int, int], seed: int
) -> dict[str, list[dict[str, float]]]:
    """Score a network at every point of the curves of limits, on the same films.

    Parameters
    ----------
    predict : callable
        Network.
    n : int
        Number of films.
    shape : (int, int)
        Rows and columns.
    seed : int
        Seed of the films.

    Returns
    -------
    dict
        Curve → rows {x, mcc, sd}.
    """
    made = films(n, shape, seed)
    return {
        curve: [
            {"x": x, **measure(predict, (film.frame(optics) for film in made))}
            for x, optics in points.items()
        ]
        for curve, points in curves().items()
    }


def measure(predict: Predict, frames: Iterable[Frame]) -> dict[str, float]:
    """MCC at one point of a curve: `mcc` pooled over all pixels, `sd` over the frames.

    Parameters
    ----------
    predict : callable
        Network.
    frames : iterable of (image, label)
        Frames.
    """
    total, each = np.zeros((2, 2), dtype=np.int64), []
    for image, label in frames:
        found = (predict(image) == SKYRMION).astype(np.uint8)
        matrix = confusion((label == SKYRMION).astype(np.uint8), found, 2)
        total += matrix
        each.append(scores(matrix)["mcc"])
    return {"mcc": scores(total)["mcc"], "sd": spread(each)}


def limit(curve: Mapping[float, float], enough: float = ENOUGH) -> float | None:
    """Quantity at which the MCC of a curve falls below `enough`, interpolated between points.

    Parameters
    ----------
    curve : mapping
        Quantity → MCC.
    enough : float
        Smallest sufficient MCC.

    Returns
    -------
    float or None
        Crossing next to the best point, the nearer one where there is one on either side; None
        where the curve never crosses `enough`.

    Examples
    --------
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
                fraction = (y[k] - enough) / (y[k] - y[k + step])
                found.append(float(x[k] + fraction * (x[k + step] - x[k])))
                break
    return min(found, key=lambda at: abs(at - x[best])) if found else None


def _skyrmion_fraction(classes: np.ndarray) -> float:
    """Fraction of pixels of class skyrmion."""
    return float(np.mean(classes == SKYRMION))
