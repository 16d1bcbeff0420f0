"""Scale and polarity of a recording, found by how well the masks explain its frames.

A network knows objects of the sizes and the polarity of its training frames. Frames of another
microscope are segmented at several scales and in both polarities, and the masks are compared by
their evidence in the frames themselves: two levels of brightness, inside and around each object,
against one level, minus the cost of the outline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.images import standardise
from spinscope.inference.rules import Upscale, most_probable

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor

SCALES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
"""Ratios between network and image pixels that are tried. Smaller objects than those of the
training frames are left to the model's own rule, `Upscale`."""

COST = 0.3
"""Cost of an outline, nats per pixel side. A free contour costs about 1.1 nats (ln 3) per step;
that of a domain is smooth. Specks of white noise do not pay for it."""

CLEAR = 3.0
"""Another scale or polarity must have this many times the evidence of the frames as they are."""

_ALIKE = 0.5
"""Least ratio of the evidence of bright and dark objects in noise, which shows both alike."""

_SURER = 0.02
"""Difference of the mean probability of objects, above which a network is surer of one polarity or
scale. With `bundled:moke-unet-simulated`, the difference between dark and bright objects is at
least 0.021 in the published frames, and at most 0.004 in magnified noise; that between scale 1 and
1/2 is at least 0.025."""

SPECK = 200.0
"""Evidence in nats that no speck of noise has. The strongest of 40 empty frames has 150; in real
frames of which dark and bright objects have alike evidence, the skyrmions cover more than specks or
the strongest has 295 and more."""

_SPARSE = 0.02  # fraction of a frame that specks of noise do not cover

_SIDE = 2048  # px: only the middle of larger frames is tried
_BLOCK = 4  # px: side of the blocks whose differences show noise that neighbours share
_WALL, _AROUND = 1.5, 5.0  # px from an object: its blurred wall, and the least reach around it
_MIXED, _NEXT = 1.0, 2.0  # the same in pixels of a coarser grid, at least


_Choice = tuple[float, bool]
"""Ratio between network and image pixels, and whether bright skyrmions are looked for."""


@dataclass(frozen=True)
class Conditions:
    """Scale and polarity of a recording.

    Attributes
    ----------
    scale : float or None
        Ratio between network and image pixels; None where the frames have the scale of the
        training frames and the model's rule may magnify them, 1 where it would magnify noise.
    inverted : bool
        Whether the objects are bright where those of the training frames are dark.
    evidence : mapping
        ``(scale, inverted)`` → evidence in nats of each choice.
    noise : bool
        Whether a frame shows nothing but noise, see `only_noise`.
    """

    scale: float | None
    inverted: bool
    evidence: Mapping[tuple[float, bool], float]
    noise: bool = False


def find_conditions(
    predictor: Predictor,
    frames: Iterable[np.ndarray],
    *,
    scales: tuple[float, ...] = SCALES,
    polarities: tuple[bool, ...] = (False, True),
) -> Conditions:
    """Find the scale and the polarity at which the masks of a network explain the frames best.

    The frames are taken as they are, unless another choice has `CLEAR` times their evidence in
    sum, and more also in the sum of its logarithms. In the latter the objects of the frames as they
    are count only if they do not disappear with those of the other choice: one large edge, such as
    that of a device, must not outweigh every skyrmion, and specks on a wall not the bubble. Film
    between skyrmions looks like objects of the other polarity, with as much evidence, but the
    network is less sure of them. At the scale of the frames as they are, the preferred polarity
    therefore counts, unless the network is surer of the other, and the sum of the logarithms is
    larger as well. Last, a coarser scale is taken if the network is as sure of its objects there
    (`coarsest`), because at too fine a scale it takes noise for objects.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Model.
    frames : iterable of (H, W) arrays
        Frames of one recording, without bars and lettering.
    scales : tuple of float
        Ratios between network and image pixels that are tried, the preferred one first.
    polarities : tuple of bool
        Whether bright skyrmions (True) are tried, the preferred one first.
    """
    frames = [_middle(frame) for frame in frames]
    choices = [(scale, inverted) for inverted in polarities for scale in scales]
    looks = [_look(predictor, frame, choices) for frame in frames]
    total = {one: sum(float(look.nats[one].sum()) for look in looks) for one in choices}
    explained = {
        one: sum(float(np.log1p(look.nats[one]).sum()) for look in looks) for one in choices
    }
    sure = {one: _mean_probability(look.sure[one] for look in looks) for one in choices}
    first, chosen = choices[0], _explaining(looks, choices, total, explained)
    for other in [one for one in choices if one[0] == first[0] and one != first]:
        alike = CLEAR * total[other] >= total[first] and explained[other] > explained[first]
        surer = sure[other] - sure[first]
        if chosen == other and surer < -_SURER:
            chosen = first
        elif chosen[1] == other[1] or (chosen == first and alike and surer > _SURER):
            choices.sort(key=lambda one: one[1] != other[1])
            chosen = _explaining(looks, choices, total, explained)
    scale, inverted = chosen
    scale = coarsest(
        scale,
        {one: np.concatenate([look.nats[one, inverted] for look in looks]) for one in scales},
        {one: sure[one, inverted] for one in scales},
    )
    kept = None if scale == 1 and not _magnifies_noise(predictor, frames, inverted) else scale
    fitting = predictor.under(kept, inverted)
    noise = any(only_noise(fitting, frame, fitting.classes(frame)) for frame in frames)
    return Conditions(kept, inverted, total, noise)


def _explaining(
    looks: Sequence[_Look],
    choices: Sequence[_Choice],
    total: Mapping[_Choice, float],
    explained: Mapping[_Choice, float],
) -> _Choice:
    """Choice that explains the frames best; the first one unless another is clearly better."""
    first = choices[0]
    unexplained = dict.fromkeys(choices, 0.0)
    for look in looks:
        seen = -look.standard if first[1] else look.standard
        for one in choices[1:]:
            kept = look.nats[first]
            if look.nats[one].sum() > CLEAR * kept.sum():
                rest = without_objects(seen, look.masks[one])
                left = evidence(rest, look.masks[first], look.noise)
                kept = kept[left > kept / 2]
            unexplained[one] += float(np.log1p(kept).sum())
    better = [
        one
        for one in choices[1:]
        if total[one] > CLEAR * total[first] and explained[one] > unexplained[one]
    ]
    return max(better, key=total.__getitem__, default=first)


def coarsest(scale: float, nats: Mapping[float, np.ndarray], sure: Mapping[float, float]) -> float:
    """Coarsest scale at which a network is as sure of its objects as at a finer one.

    The coarser scale must show a third of the evidence. It must also show half as many objects with
    more evidence than `SPECK`; otherwise the small objects beside a large one would be lost.

    Parameters
    ----------
    scale : float
        Ratio between network and image pixels.
    nats : mapping
        Scale → evidence (n,) of its objects.
    sure : mapping
        Scale → mean probability of its skyrmions.

    Examples
    --------
    >>> nats = {1.0: np.array([900.0]), 0.5: np.array([880.0]), 0.25: np.array([860.0])}
    >>> coarsest(1.0, nats, {1.0: 0.82, 0.5: 0.84, 0.25: 0.76})
    0.5
    """
    total = {one: float(values.sum()) for one, values in nats.items()}
    objects = {one: np.count_nonzero(values > SPECK) for one, values in nats.items()}
    first, surest = scale, sure[scale]
    for one in sorted((one for one in nats if one < first), reverse=True):
        remain = CLEAR * total[one] > total[first] and 2 * objects[one] >= objects[first]
        if not remain or sure[one] < surest - _SURER:
            break
        scale, surest = one, max(surest, sure[one])
    return scale


class _Look(NamedTuple):
    """One frame under every choice of scale and polarity.

    Attributes
    ----------
    standard : (H, W) array
        Standardised frame.
    noise : float
        Noise of a pixel.
    masks : mapping
        Choice → skyrmions (H, W).
    nats : mapping
        Choice → evidence (n,) of each object.
    sure : mapping
        Choice → sum of the probability over the skyrmions, and their pixels.
    """

    standard: np.ndarray
    noise: float
    masks: Mapping[_Choice, np.ndarray]
    nats: Mapping[_Choice, np.ndarray]
    sure: Mapping[_Choice, np.ndarray]


def _look(predictor: Predictor, frame: np.ndarray, choices: Sequence[_Choice]) -> _Look:
    """Segment a frame at every scale and in every polarity."""
    standard = standardise(frame)
    noise = noise_sd(standard)
    found = {one: _sure(predictor.under(*one), frame) for one in choices}
    masks = {one: mask for one, (mask, _) in found.items()}
    nats = {one: _supported(standard, mask, one[1], noise) for one, mask in masks.items()}
    return _Look(standard, noise, masks, nats, {one: sure for one, (_, sure) in found.items()})


def _sure(fitting: Predictor, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skyrmions (H, W) of a frame; sum of their probability over their pixels, and the pixels."""
    classes, probability = fitting.mask_and_probability(frame)
    mask = classes == SKYRMION
    return mask, np.array([probability[mask].sum(), mask.sum()])


def _mean_probability(sums: Iterable[np.ndarray]) -> float:
    """Mean probability of the skyrmions of several frames, from `_sure`; 0 without any."""
    probability, pixels = np.sum(list(sums), axis=0)
    return float(probability / max(pixels, 1))


def only_noise(predictor: Predictor, image: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the skyrmions of a mask are specks of noise: few, weak, and as many if inverted.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Model, with the scale and the polarity of the mask.
    image : (H, W) array
        Image of any type.
    mask : (H, W) uint8 array
        Class indices.
    """
    found = mask == SKYRMION
    if not 0 < found.mean() < _SPARSE:
        return False
    standard, inverted = standardise(image), predictor.inverted
    sd = noise_sd(standard)
    nats = _supported(standard, found, inverted, sd)
    if nats.max(initial=0) > SPECK:
        return False
    other = predictor.under(None, not inverted).classes(image) == SKYRMION
    return bool(_supported(standard, other, not inverted, sd).sum() >= _ALIKE * nats.sum())


def _magnifies_noise(predictor: Predictor, frames: list[np.ndarray], inverted: bool) -> bool:
    """Whether the model's rule magnifies frames in which it is then as sure of both polarities."""
    if (rule := Upscale.of(predictor.info)) is None:
        return False
    plain = predictor.under(1.0, inverted)
    probable = [most_probable(plain.probabilities(frame))[0] == SKYRMION for frame in frames]
    magnified = [frame for frame, mask in zip(frames, probable, strict=True) if rule.applies(mask)]
    if not magnified:
        return False
    sure = {}
    for sign in (inverted, not inverted):
        fitting = predictor.under(rule.scale, sign)
        sure[sign] = _mean_probability(_sure(fitting, frame)[1] for frame in magnified)
    return sure[not inverted] > sure[inverted] - _SURER


def _supported(standard: np.ndarray, mask: np.ndarray, inverted: bool, sd: float) -> np.ndarray:
    """Evidence (n,) of each object of a mask, 0 where the image does not support it."""
    return np.maximum(evidence(-standard if inverted else standard, mask, sd), 0)


def _middle(image: np.ndarray) -> np.ndarray:
    """Middle of an image, at most `_SIDE` px along each side."""
    return image[tuple(slice(max(0, n - _SIDE) // 2, (n + _SIDE) // 2) for n in image.shape)]


def evidence(standard: np.ndarray, mask: np.ndarray, sd: float) -> np.ndarray:
    r"""Evidence of each object of a mask in its image, in nats.

    .. math:: E = \frac{n m}{n + m} \frac{\Delta |\Delta|}{2\sigma^2} - c P - \ln N,

    with n pixels in the object and m around it, their difference of brightness :math:`\Delta`, the
    noise :math:`\sigma` of a pixel, P pixel sides of outline, and N pixels of the image: the
    logarithm of the likelihood ratio of two levels and one, and the cost of outline and place.
    Objects that the border cuts are left out, since their size is unknown.

    Parameters
    ----------
    standard : (H, W) array
        Image with dark objects.
    mask : (H, W) bool array
        Objects.
    sd : float
        Noise of a pixel.

    Returns
    -------
    (n,) float array
        One value per object, negative where the image does not support it.

    Examples
    --------
    >>> y, x = np.mgrid[:64, :64]
    >>> disc = np.hypot(y - 32, x - 32) < 8
    >>> image = np.random.default_rng(0).normal(0, 1, disc.shape) - disc
    >>> bool(evidence(image, disc, 1.0)[0] > 30 > 0 > evidence(-image, disc, 1.0)[0])
    True
    """
    objects = objects_of(standard, mask, sd)
    return objects.nats[np.isfinite(objects.nats)]


class Objects(NamedTuple):
    """Objects of a mask.

    Attributes
    ----------
    labels : (H, W) int array
        Number of the object of each pixel, from 1.
    nats : (n + 1,) float array
        `evidence` by number; NaN for the background and for objects that the border cuts.
    size, step : (n + 1,) arrays
        Pixels of each object, and by how much it is darker than its surroundings; 0 for the
        background.
    """

    labels: np.ndarray
    nats: np.ndarray
    size: np.ndarray
    step: np.ndarray


def objects_of(standard: np.ndarray, mask: np.ndarray, sd: float, pixel: float = 1.0) -> Objects:
    """Objects of a mask and the `evidence` of each.

    Parameters
    ----------
    standard, mask : (H, W) arrays
        As for `evidence`.
    sd : float
        Noise of a pixel of the frame.
    pixel : float
        Side of a pixel of `standard`, in pixels of the frame.

    Returns
    -------
    Objects
    """
    labels, size, around, step = _steps(standard, mask, pixel)
    both = size * around / np.maximum(size + around, 1)
    explained = both * pixel**2 * step * np.abs(step) / (2 * sd**2)
    outline = pixel * _sides(labels, len(size) - 1)
    nats = explained - COST * outline - np.log(mask.size * pixel**2)
    nats[0] = np.nan
    nats[np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])] = np.nan
    size[0] = 0
    return Objects(labels, nats, size, step)


def without_objects(standard: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Image (H, W) whose objects have the mean brightness of their surroundings."""
    labels, _, _, step = _steps(standard, mask)
    return standard + step[labels]


def _steps(
    standard: np.ndarray, mask: np.ndarray, pixel: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels (H, W) of objects; by label, their pixels, those around, and how much darker it is."""
    from scipy import ndimage

    labels, n = ndimage.label(mask, np.ones((3, 3)))
    size = np.bincount(labels.ravel(), minlength=n + 1)
    if not n:
        return labels, size, np.zeros(1), np.zeros(1)
    reach = np.maximum(max(_AROUND / pixel, _NEXT), np.sqrt(size) / 2)
    window = _window(mask, int(np.ceil(reach[1:].max())))
    inner, seen = labels[window], standard[window]
    away, (y, x) = ndimage.distance_transform_edt(inner == 0, return_indices=True)
    near = inner[y, x]
    ring = (away > max(_WALL / pixel, _MIXED)) & (away <= reach[near])
    around = np.bincount(near[ring], minlength=n + 1)
    inside = np.bincount(inner.ravel(), seen.ravel(), n + 1) / np.maximum(size, 1)
    outside = np.bincount(near[ring], seen[ring], n + 1) / np.maximum(around, 1)
    step = np.where(around > 0, outside - inside, 0)
    step[0] = 0
    return labels, size, around, step


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle that holds a mask, and of a margin around it."""
    sides = []
    for axis, n in zip((1, 0), mask.shape, strict=True):
        places = np.flatnonzero(mask.any(axis=axis))
        sides.append(slice(max(0, places[0] - margin), min(n, places[-1] + margin + 1)))
    return sides[0], sides[1]


def noise_sd(image: np.ndarray, *, shared: bool = True) -> float:
    """Noise of a pixel of an (H, W) image, from differences of neighbours and of blocks.

    The median ignores edges. Where neighbours share their noise, as in magnified images, it is the
    noise that white noise of the same power would have. It is at most doubled for this, since
    blocks also differ by small objects. With `shared=False` it is the noise of neighbours alone,
    which dense small objects do not raise. A constant image has the smallest value.

    Examples
    --------
    >>> bool(abs(noise_sd(np.random.default_rng(0).normal(0, 2, (256, 256))) - 2) < 0.1)
    True
    """
    if not shared:
        return max(_step_sd(image), 1e-3)
    height, width = (side - side % _BLOCK for side in image.shape)
    blocks = image[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    white, shared = _step_sd(image), _BLOCK * _step_sd(blocks.mean(axis=(1, 3)))
    return max(white, min(shared, 2 * white), 1e-3)


def _step_sd(image: np.ndarray) -> float:
    """Standard deviation of a pixel, from the median difference of neighbours."""
    steps = np.concatenate([np.diff(image, axis=axis).ravel() for axis in (0, 1)])
    return float(np.median(np.abs(steps))) / (0.6745 * np.sqrt(2)) if steps.size else 0.0


def _sides(labels: np.ndarray, n: int) -> np.ndarray:
    """Pixel sides between each of n labels and the background."""
    sides = np.zeros(n + 1)
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = first != second
        for side in (first, second):
            sides += np.bincount(side[border], minlength=n + 1)
    return sides
