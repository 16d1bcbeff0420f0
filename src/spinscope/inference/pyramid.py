"""Objects of very different size in one recording: each frame at several scales.

The scale that explains a frame best is found by the evidence of its objects and by how sure the
network is of them, as that of the recording (`conditions.find_conditions`). Objects that only
another scale shows are added. Coarse scales cost little; a fine one is computed only for frames in
which it may show more. The boundary of an object from a coarse scale is placed by the frame itself
(`edges.half_contrast_edges`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spinscope.classes import BACKGROUND, SKYRMION
from spinscope.inference.conditions import (
    SCALES,
    SPECK,
    Conditions,
    Objects,
    coarsest,
    find_conditions,
    noise_sd,
    objects_of,
)
from spinscope.inference.edges import Edges, half_contrast_edges
from spinscope.inference.geometry import Geometry
from spinscope.inference.predict import Band, Predictor
from spinscope.inference.rules import most_probable
from spinscope.inference.views import mean_of

_BETTER = 1.1
"""Another scale must have this many times the evidence of the recording's own in a frame."""
_REACH = 3
"""Network pixels around an added object that are taken from its scale."""
_MOST_PIXELS = 2**22
"""Larger frames are segmented at the scale of the recording alone: memory."""
_CHEAP = 1 / 4
"""Scales up to this one are computed in every frame; together they take a tenth of the time of
scale 1."""
_SMALL_PX = 12.0
"""Mean diameter, in pixels of the network, below which a finer scale may show more."""
_LARGE_PX = 24.0
"""Mean diameter above which a coarser one may."""
_DARK = 7.0
"""Darkness in standard errors from which a square of a frame is no noise; white noise reaches 5."""
_SQUARES = (2, 4, 8, 16)
"""Sides of these squares, in pairs of pixels of the frame."""


class _Added(NamedTuple):
    """Pixels that are taken from another scale."""

    scale: float
    number: int
    """Label of the object at that scale."""
    window: tuple[slice, slice]
    inside: np.ndarray
    """(h, w) bool array: which pixels of the window."""


@dataclass
class _Level:
    """A frame at one scale.

    Attributes
    ----------
    views : iterator of (h, w, C) arrays
        Class probabilities of the augmented views after the first one.
    first : (h, w, C) array
        Those of the first view.
    objects : Objects
        Objects of the mask of the first view.
    nats : (n,) array
        Their evidence, 0 for objects that the frame does not support.
    sure : float
        Mean probability of the pixels whose most probable class is skyrmion.
    """

    views: Iterator[np.ndarray]
    first: np.ndarray
    objects: Objects
    nats: np.ndarray
    sure: float


def fitted(predictor: Predictor, conditions: Conditions) -> Predictor:
    """Return a network for recordings of these conditions.

    Where the scale is below that of the training frames, each frame is segmented at several.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Network.
    conditions : Conditions
        Result of `find_conditions`.
    """
    scale = conditions.scale
    fitting = predictor.under(scale, conditions.inverted)
    if scale is not None and scale < 1:
        fitting = Pyramid.of(fitting, scale, tuple(tried for tried, _ in conditions.evidence))
    return replace(fitting, doubted=conditions.noise)


def adapted(
    predictor: Predictor,
    frames: Iterable[np.ndarray],
    *,
    scale: float | str | None = "auto",
    polarity: str = "auto",
) -> tuple[Predictor, Conditions]:
    """Return a network for the scale and the polarity of a recording.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Network.
    frames : iterable of (H, W) arrays
        Frames of the recording, without bars and lettering.
    scale : float, "auto" or None
        Ratio between network and image pixels; "auto": found in the frames; None: 1, or the
        model's rule.
    polarity : {"dark", "bright", "auto"}
        Skyrmions on the film; "auto": found in the frames.

    Returns
    -------
    predictor : Predictor or Ensemble
    conditions : Conditions
    """
    conditions = find_conditions(
        predictor.with_level(None),
        frames,
        scales=SCALES if scale == "auto" else (scale or 1.0,),
        polarities=(False, True) if polarity == "auto" else (polarity == "bright",),
    )
    if scale == "auto":
        return fitted(predictor, conditions), conditions
    conditions = replace(conditions, scale=scale)
    fitting = at_scale(predictor.under(scale, conditions.inverted), scale)
    return replace(fitting, doubted=conditions.noise), conditions


def at_scale(predictor: Predictor, scale: float | None) -> Predictor:
    """Return a network for recordings of one scale, the boundary placed by the frame if below 1.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Network with this scale.
    scale : float or None
        Ratio between network and image pixels; None and 1 leave the network as it is.
    """
    return predictor if scale is None or scale >= 1 else Pyramid.of(predictor, scale, ())


@dataclass(frozen=True)
class Pyramid(Predictor):
    """One network at several scales, see `Pyramid.of`; the first is that of the recording."""

    network: Predictor | None = None
    scales: tuple[float, ...] = ()

    @classmethod
    def of(cls, predictor: Predictor, scale: float, scales: tuple[float, ...]) -> Pyramid:
        """Apply a network at several scales.

        Parameters
        ----------
        predictor : Predictor or Ensemble
            Network with the polarity of the recording.
        scale : float
            Scale that explains most of the recording, ratio between network and image pixels.
        scales : tuple of float
            Scales that are tried in each frame.
        """
        return cls(
            predictor.engine,
            predictor.info,
            predictor.tiling,
            Geometry(scale=scale),
            predictor.level,
            predictor.level_sd,
            predictor.inverted,
            predictor.doubted,
            predictor,
            (scale, *sorted(set(scales) - {scale})),
        )

    def under(self, scale: float | None, inverted: bool) -> Predictor:
        """Return the network at one scale, or, for None, at the same ones."""
        if scale is not None:
            return self.network.under(scale, inverted).with_level(self.level, self.level_sd)
        return replace(self, inverted=inverted)

    def transforms(self, tta: int = 1):
        """Return the augmented views of the network."""
        return self.network.transforms(tta)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities of each augmented view, each object at its scale.

        Frames of more than 2048×2048 pixels have the scale of the recording.
        """
        if image.size > _MOST_PIXELS:
            yield from self.network.under(self.scales[0], self.inverted).views(image, tta)
            return
        scaled = _Scaled(self._standard(image))
        levels = self._levels(scaled, tta)
        best = self._best(levels)
        added = self._added(levels, best, image.shape)
        used = {best, *(one.scale for one in added)}
        edges = list(_edges(scaled, levels, best, added))
        later = zip(*(levels[scale].views for scale in used), strict=True)
        for found in chain(
            [{scale: levels[scale].first for scale in used}],
            (dict(zip(used, each, strict=True)) for each in later),
        ):
            whole, *others = (
                Geometry(scale=scale).undo(found[scale], image.shape)
                for scale in (best, *sorted(used - {best}))
            )
            for scale, other in zip(sorted(used - {best}), others, strict=True):
                for one in added:
                    if one.scale == scale:
                        whole[one.window][one.inside] = other[one.window][one.inside]
            for one in edges:
                whole[one.band] = 0
                whole[one.band, SKYRMION] = one.contrast[one.band]
                whole[one.band, BACKGROUND] = 1 - one.contrast[one.band]
            yield whole

    def bands(self, image: np.ndarray, tta: int = 1) -> Iterator[Band]:
        """Yield the class probabilities of an image as a single band."""
        yield slice(0, image.shape[0]), mean_of(self.views(image, tta))

    def _levels(self, scaled: _Scaled, tta: int) -> dict[float, _Level]:
        """A standardised frame at the scales that it needs."""
        sd = noise_sd(scaled(1.0))
        cheap = {scale for scale in self.scales if scale <= _CHEAP} | {self.scales[0]}
        levels = {scale: self._level(scaled(scale), scale, sd, tta) for scale in sorted(cheap)}
        fine = set(self.scales) - cheap
        while fine and (scale := _wanted(levels, fine, scaled, sd)) is not None:
            levels[scale] = self._level(scaled(scale), scale, sd, tta)
            fine.remove(scale)
        return levels

    def _level(self, seen: np.ndarray, scale: float, sd: float, tta: int) -> _Level:
        """A standardised frame that is seen at a scale."""
        views = self.network.grid_views(seen, tta)
        first = next(views)
        mask = self._decide(first, first.shape[:2])[0] == SKYRMION
        objects = objects_of(seen, mask, sd, 1 / scale)
        nats = np.maximum(np.nan_to_num(objects.nats), 0)
        probable = mask if self.level is None else most_probable(first)[0] == SKYRMION
        sure = float(first[probable, SKYRMION].mean()) if probable.any() else 0.0
        return _Level(views, first, objects, nats, sure)

    def _best(self, levels: dict[float, _Level]) -> float:
        """Scale with the most evidence, or a coarser one, see `coarsest`."""
        own = self.scales[0]
        nats = {scale: level.nats for scale, level in levels.items()}
        sure = {scale: level.sure for scale, level in levels.items()}
        most = max(
            sorted(nats, key=lambda scale: (scale != own, scale)),
            key=lambda scale: nats[scale].sum() * (_BETTER if scale == own else 1),
        )
        return coarsest(most, nats, sure)

    def _added(
        self, levels: dict[float, _Level], best: float, shape: tuple[int, int]
    ) -> list[_Added]:
        """Objects that come from other scales than the best one."""
        candidates = [
            (value, scale, number)
            for scale, level in levels.items()
            if scale != best
            for number, value in enumerate(level.objects.nats)
            if value > SPECK
        ]
        taken, added = None, []
        for _, scale, number in sorted(candidates, reverse=True):
            if taken is None:
                taken = _enlarged(levels[best].objects.labels > 0, best, shape)
            one, itself = _around(scale, levels[scale].objects.labels, number, shape)
            if not (taken[one.window] & itself).any():
                taken[one.window] |= one.inside
                added.append(one)
        return added


def _edges(
    scaled: _Scaled, levels: dict[float, _Level], best: float, added: list[_Added]
) -> Iterator[Edges]:
    """Boundaries in the frame of the objects that come from coarse scales."""
    for scale in {best, *(one.scale for one in added)} - {1.0}:
        labels = levels[scale].objects.labels
        numbers = [one.number for one in added if one.scale == scale]
        mask = labels > 0 if scale == best else np.isin(labels, numbers)
        found = half_contrast_edges(scaled, mask, scale, scaled(1.0).shape)
        if found is not None:
            yield found


class _Scaled:
    """A standardised frame at every scale; halves are made of each other."""

    def __init__(self, standard: np.ndarray):
        self._made = {1.0: standard}

    def __call__(self, scale: float) -> np.ndarray:
        """Frame (h, w) at a scale, smoothed as much as by `Geometry.apply`."""
        if scale not in self._made:
            coarse = scale < 1 and math.log2(scale).is_integer()
            self._made[scale] = (
                _halved(self(2 * scale), _half_sd(scale))
                if coarse
                else Geometry(scale=scale).apply(self(1.0))
            )
        return self._made[scale]


def _halved(image: np.ndarray, sd: float) -> np.ndarray:
    """Image at half its scale, smoothed before by a standard deviation in px."""
    return Geometry(scale=0.5).resized(ndimage.gaussian_filter(image, sd, mode="reflect"))


def _half_sd(scale: float) -> float:
    """Smoothing in px of the frame at twice a scale, before it is halved."""

    def variance(at: float) -> float:
        """Of `Geometry.apply`, in px² of the frame: the filter, and the mean of two pixels."""
        return ((1 / at - 1) / 2) ** 2 + (0.25 if at < 1 else 0)

    finer = 2 * scale
    return math.sqrt(max(variance(scale) - variance(finer), 0) * finer**2 - 0.25)


def _wanted(
    levels: dict[float, _Level], fine: set[float], scaled: _Scaled, sd: float
) -> float | None:
    """Scale among `fine` that may show more than the best of the known ones; None for none."""
    best = max(levels, key=lambda scale: levels[scale].nats.sum())
    objects, finer = levels[best].objects, {scale for scale in fine if scale > best}
    coarser = fine - finer
    if levels[best].nats.any():
        area = objects.size * ~(objects.nats <= 0)
        diameter = float(np.average(2 * np.sqrt(objects.size / np.pi), weights=area))
        if diameter < _SMALL_PX and finer:
            return _serving(finer, diameter / best)
        if diameter > _LARGE_PX and coarser:
            return max(coarser)
    side = _darkest(scaled(1 / 2), objects, best, sd) if finer else None
    return None if side is None else _serving(finer, side)


def _serving(scales: set[float], size: float) -> float:
    """Coarsest scale at which objects of a size in px are not small, or the finest one."""
    return min((scale for scale in scales if scale * size >= _SMALL_PX), default=max(scales))


def _darkest(half: np.ndarray, objects: Objects, scale: float, sd: float) -> int | None:
    """Side in px of the darkest square that objects do not explain, None where all is noise.

    Parameters
    ----------
    half : (h, w) array
        Frame at half its scale.
    objects : Objects
        Objects at `scale`, whose walls are left out.
    scale : float
        Ratio between the pixels of the objects and those of the frame.
    sd : float
        Noise of a pixel of the frame.
    """
    labels, grid = objects.labels, Geometry(scale=2 * scale)
    wall = ndimage.grey_dilation(labels, 3) != ndimage.grey_erosion(labels, 3)
    weight = 1 - grid.nearest(wall, half.shape).astype(np.float32)
    image = (half + grid.nearest(objects.step[labels], half.shape)) * weight
    darkness = {}
    for side in _SQUARES:
        (near, n), (far, m) = (
            [ndimage.uniform_filter(one, pixels, mode="reflect") for one in (image, weight)]
            for pixels in (side, 3 * side)
        )
        known = (n > 0.5) & (m > 0.5)
        step = np.where(known, far / np.maximum(m, 0.5) - near / np.maximum(n, 0.5), 0)
        darkness[2 * side] = float(step.max()) * 2 * side / sd
    darkest = max(darkness, key=darkness.__getitem__)
    return darkest if darkness[darkest] > _DARK else None


def _enlarged(mask: np.ndarray, scale: float, shape: tuple[int, int]) -> np.ndarray:
    """Mask (H, W) on the grid of the frame of one at a scale."""
    return Geometry(scale=scale).nearest(mask, shape)


def _around(
    scale: float, labels: np.ndarray, number: int, shape: tuple[int, int]
) -> tuple[_Added, np.ndarray]:
    """An object with its surroundings but without other objects, and alone, in its window."""
    found = labels == number
    y, x = np.nonzero(found)
    low = tuple(
        slice(max(0, int(side.min()) - _REACH), min(n, int(side.max()) + _REACH + 1))
        for side, n in zip((y, x), labels.shape, strict=True)
    )
    near = np.zeros(labels.shape, bool)
    inner = labels[low]
    near[low] = ndimage.distance_transform_edt(inner != number) <= _REACH
    near[low] &= (inner == 0) | (inner == number)
    window = tuple(
        slice(max(0, math.floor(side.start / scale) - 1), min(n, math.ceil(side.stop / scale) + 1))
        for side, n in zip(low, shape, strict=True)
    )
    inside, itself = (_enlarged(one, scale, shape)[window] for one in (near, found))
    return _Added(scale, number, window, inside), itself
