"""Objects of very different size in one recording: each frame at several scales.

The scale that explains a frame best is found by the evidence of its objects, as that of the
recording (`conditions.find_conditions`). Objects that only another scale shows are added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spinscope.classes import SKYRMION
from spinscope.inference.conditions import SPECK, Conditions, labelled_evidence, noise_sd
from spinscope.inference.predict import Band, Predictor
from spinscope.inference.views import mean_of

_BETTER = 1.1
"""Another scale must have this many times the evidence of the recording's own in a frame."""
_REACH = 3
"""Network pixels around an added object that are taken from its scale."""
_MOST_PIXELS = 2**22
"""Larger frames are segmented at the scale of the recording alone: memory."""


class _Added(NamedTuple):
    """Pixels that are taken from another scale."""

    member: int
    window: tuple[slice, slice]
    inside: np.ndarray
    """(h, w) bool array: which pixels of the window."""


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


@dataclass(frozen=True)
class Pyramid(Predictor):
    """One network at several scales, see `Pyramid.of`; the first is that of the recording."""

    members: tuple[Predictor, ...] = ()
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
        scales = (scale, *sorted(set(scales) - {scale}))
        members = tuple(predictor.under(one, predictor.inverted) for one in scales)
        first = members[0]
        return cls(
            first.engine,
            first.info,
            first.tiling,
            first.geometry,
            predictor.level,
            predictor.level_sd,
            predictor.inverted,
            predictor.doubted,
            members,
            scales,
        )

    def under(self, scale: float | None, inverted: bool) -> Predictor:
        """Return the network at one scale, or, for None, at the same ones."""
        if scale is not None:
            return self.members[0].under(scale, inverted).with_level(self.level, self.level_sd)
        members = tuple(member.under(None, inverted) for member in self.members)
        return replace(self, inverted=inverted, members=members)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities of each augmented view, each object at its scale.

        Frames of more than 2048×2048 pixels have the scale of the recording.
        """
        if image.size > _MOST_PIXELS:
            yield from self.members[0].views(image, tta)
            return
        members = [member.views(image, tta) for member in self.members]
        first = [next(views) for views in members]
        best, added = self._plan(image, first)
        used = sorted({best, *(one.member for one in added)})
        later = zip(*(members[k] for k in used), strict=True)
        for found in chain(
            [dict(enumerate(first))], (dict(zip(used, each, strict=True)) for each in later)
        ):
            whole = found[best]
            for one in added:
                whole[one.window][one.inside] = found[one.member][one.window][one.inside]
            yield whole

    def bands(self, image: np.ndarray, tta: int = 1) -> Iterator[Band]:
        """Yield the class probabilities of an image as a single band."""
        yield slice(0, image.shape[0]), mean_of(self.views(image, tta))

    def _plan(self, image: np.ndarray, probabilities: list[np.ndarray]) -> tuple[int, list[_Added]]:
        """Scale of most objects of an image, and the objects that come from another one."""
        standard = self._standard(image)
        sd = noise_sd(standard)
        masks = [self._decide(found, image.shape)[0] == SKYRMION for found in probabilities]
        found = [labelled_evidence(standard, mask, sd) for mask in masks]
        nats = np.array([np.maximum(np.nan_to_num(each), 0).sum() for _, each in found])
        nats[0] = _BETTER * nats[0]
        best = int(np.argmax(nats))
        candidates = [
            (value, k, number)
            for k, (_, values) in enumerate(found)
            if k != best
            for number, value in enumerate(values)
            if value > SPECK
        ]
        taken, added = masks[best].copy(), []
        for _, k, number in sorted(candidates, reverse=True):
            one = _around(k, found[k][0], number, _REACH / self.scales[k])
            if not (taken[one.window] & (found[k][0][one.window] == number)).any():
                taken[one.window] |= one.inside
                added.append(one)
        return best, added


def _around(member: int, labels: np.ndarray, number: int, reach: float) -> _Added:
    """Pixels of an object and of its surroundings, without those of other objects."""
    y, x = np.nonzero(labels == number)
    margin = math.ceil(reach)
    window = tuple(
        slice(max(0, int(side.min()) - margin), min(n, int(side.max()) + margin + 1))
        for side, n in zip((y, x), labels.shape, strict=True)
    )
    inner = labels[window]
    near = ndimage.distance_transform_edt(inner != number) <= reach
    return _Added(member, window, near & ((inner == 0) | (inner == number)))
