"""A model applied to micrographs: class probabilities, with test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.images import moments, standardise
from spinscope.inference.engine import Engine, KerasEngine, Name, Precision, open_engine
from spinscope.inference.geometry import Geometry
from spinscope.inference.tiling import Tiling, tiled
from spinscope.inference.upscale import Upscale

Transform = tuple[int, bool]
"""Quarter turns, then whether mirrored left to right."""

TRANSFORMS: dict[int, tuple[Transform, ...]] = {
    1: ((0, False),),
    2: ((0, False), (2, True)),
    3: ((0, False), (0, True), (2, True)),
    8: tuple((turns, mirror) for turns in range(4) for mirror in (False, True)),
}
"""Views averaged: none; the image and the one mirrored top to bottom; the image and its two mirror
images; the dihedral group."""

KEPT: dict[str, tuple[Transform, ...]] = {
    "square": TRANSFORMS[8],
    "axis": TRANSFORMS[2],
    "none": TRANSFORMS[1],
}
"""Symmetry of a model → views that it was trained to know."""


def transform(array: np.ndarray, view: Transform) -> np.ndarray:
    """Turn (H, W, ...) by quarter turns, then mirror it left to right."""
    turns, mirror = view
    turned = np.rot90(array, turns)
    return turned[:, ::-1] if mirror else turned


def undo(array: np.ndarray, view: Transform) -> np.ndarray:
    """Inverse of `transform`.

    >>> a = np.arange(6).reshape(2, 3)
    >>> all((undo(transform(a, v), v) == a).all() for v in TRANSFORMS[8])
    True
    """
    turns, mirror = view
    return np.rot90(array[:, ::-1] if mirror else array, -turns)


def most_probable(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class of the highest probability, the first of equals, and that probability.

    probabilities : (H, W, C).   Returns ((H, W) uint8, (H, W) float32).
    As `argmax` and `max`, whose reduction over a short last axis is several times slower.

    >>> most_probable(np.array([[[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]], dtype=np.float32))[0]
    array([[1, 0]], dtype=uint8)
    """
    highest = probabilities[..., 0]
    classes = np.zeros(highest.shape, dtype=np.uint8)
    for index in range(1, probabilities.shape[-1]):
        candidate = probabilities[..., index]
        classes = np.where(candidate > highest, np.uint8(index), classes)
        highest = np.maximum(highest, candidate)
    return classes, highest


DOUBT = 0.6
"""A pixel whose highest class probability is below this is in doubt."""


def doubtful(highest: np.ndarray) -> float:
    """Share of pixels whose class is in doubt, from their highest probabilities (H, W).

    Networks that were trained with smoothed labels are never certain: the mean of 1 - the highest
    probability would hardly tell an easy frame from a hard one.
    """
    return float(np.count_nonzero(highest < DOUBT) / highest.size)


def drop_doubtful(mask: np.ndarray, highest: np.ndarray, peak: float) -> None:
    """Make background of the skyrmions of a mask (H, W) that are nowhere as certain as `min_peak_probability`.

    >>> mask = np.array([[1, 1, 0, 1]], dtype=np.uint8)
    >>> drop_doubtful(mask, np.array([[0.6, 0.9, 0.9, 0.6]]), 0.75)
    >>> mask.tolist()
    [[1, 1, 0, 0]]
    """
    from scipy import ndimage

    skyrmion = mask == SKYRMION
    numbers, count = ndimage.label(skyrmion, np.ones((3, 3)))
    kept = np.zeros(count + 1, dtype=bool)
    kept[numbers[skyrmion & (highest >= peak)]] = True
    mask[skyrmion & ~kept[numbers]] = 0


@dataclass(frozen=True)
class Predictor:
    """A loaded network and what is known of it."""

    engine: Engine
    info: dict[str, Any]
    tiling: Tiling = field(default_factory=Tiling)
    geometry: Geometry | None = None
    """How frames are laid before the network; None: as they are."""

    @classmethod
    def load(
        cls,
        folder: Path | str,
        engine: Name = "keras",
        precision: Precision = "auto",
        *,
        streams: int = 1,
        tiling: Tiling | None = None,
        axis_deg: float | None = None,
        scale: float | None = None,
    ) -> Predictor:
        """Read a model folder, its checksums verified.

        engine, precision : Keras is the reference; "auto" is the fastest (`open_engine`).
        streams : frames that OpenVINO computes at once, for callers with as many threads.
        axis_deg : tilt axis of the recording, from the columns' direction towards the rows'; frames
        are turned until it lies as the model was trained.
        scale : magnification at which the model sees the frames.
        Raises SpinscopeError for a damaged or missing folder, or for an axis of a model that has
        none.
        """
        network, info = open_engine(folder, engine, precision, streams)
        return cls(network, info, tiling or Tiling(), geometry(info, axis_deg, scale))

    @classmethod
    def of(cls, model, info: dict[str, Any]) -> Predictor:
        """Wrap a Keras model; `info` must hold `classes` and `size_multiple`."""
        return cls(KerasEngine(model), info)

    def transforms(self, tta: int = 1) -> tuple[Transform, ...]:
        """Views that `tta` averages: those that the model's symmetry allows.

        Raises SpinscopeError for a number that is none of `TRANSFORMS`.
        """
        if tta not in TRANSFORMS:
            raise SpinscopeError(f"tta (={tta}) must be 1, 2, 3 or 8")
        kept = KEPT[self.info.get("symmetry", "square")]
        return tuple(view for view in TRANSFORMS[tta] if view in kept)

    def probabilities(self, image: np.ndarray, tta: int = 1) -> np.ndarray:
        """Class probabilities of an image, averaged over the views of `tta`.

        image : (H, W) of any type and size; brightness and contrast do not matter.
        tta : 1, 2, 3 or 8 views, of which those are averaged that the model's symmetry allows.
        Returns (H, W, C) float32.
        Raises SpinscopeError for another `tta`.
        """
        bands = [band for _, band in self.bands(image, tta)]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    def classes(self, image: np.ndarray, tta: int = 1, out: np.ndarray | None = None) -> np.ndarray:
        """Most probable class of each pixel, (H, W) uint8, written to `out` where it is given."""
        out = np.empty(image.shape, dtype=np.uint8) if out is None else out
        for rows, band in self.bands(image, tta):
            out[rows] = self.decide(band, image.shape)[0]
            del band  # before the next is made
        return out

    def decide(
        self, probabilities: np.ndarray, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class and probability of each pixel, `most_probable`, without the objects in doubt.

        probabilities : (h, W, C) of a frame of `shape`, or of a band of it.
        An object that is nowhere as certain as the `min_peak_probability` of the model's info is background; one
        that a band may cut is left.
        """
        mask, highest = most_probable(probabilities)
        peak = self.info.get("min_peak_probability")
        if peak and mask.shape == shape[:2]:
            drop_doubtful(mask, highest, peak)
        return mask, highest

    def segment(self, image: np.ndarray, tta: int = 1) -> tuple[np.ndarray, float]:
        """Most probable class of each pixel, (H, W) uint8, and the share of doubtful pixels."""
        mask, doubt = np.empty(image.shape, dtype=np.uint8), 0.0
        for rows, band in self.bands(image, tta):
            mask[rows], highest = self.decide(band, image.shape)
            doubt += doubtful(highest) * highest.size / mask.size
            del band  # before the next is made
        return mask, doubt

    def bands(
        self, image: np.ndarray, tta: int = 1, multiple: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Class probabilities in bands of rows; a frame that fits the tiling is one band.

        multiple : grid on which tiles start, of several networks that share their tiles; by
        default that of this one.
        Yields (rows, (h, W, C) float32); the memory it takes does not grow with the height.
        """
        if self.tiling.fits(image.shape):
            yield slice(0, image.shape[0]), mean_of(list(self.views(image, tta)))
            return
        statistics = moments(image)
        if self.geometry is not None:  # the turned frame, whole
            turned = self.geometry.apply(standardise(image, statistics))
            bands = self._tiled(turned.shape, lambda *window: turned[window], tta, multiple)
            probabilities = np.concatenate([band for _, band in bands])
            yield slice(0, image.shape[0]), self.geometry.undo(probabilities, image.shape)
            return
        yield from self._tiled(
            image.shape, lambda *window: standardise(image[window], statistics), tta, multiple
        )

    def _tiled(
        self,
        shape: tuple[int, int],
        part: Callable[[slice, slice], np.ndarray],
        tta: int,
        multiple: int | None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Bands of a frame whose standardised windows `part` gives."""

        def window(rows: slice, columns: slice) -> np.ndarray:
            standard = part(rows, columns)
            return mean_of([self._view(standard, view) for view in self.transforms(tta)])

        multiple, classes = multiple or self.info["size_multiple"], len(self.info["classes"])
        yield from tiled(window, shape, self.tiling, multiple, classes, self.engine.streams)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Class probabilities (H, W, C) of each view, turned back; the frame in one piece.

        A frame whose objects are too narrow for the model, as it says itself (`Upscale`), is
        magnified, unless a scale was asked for.
        """
        standard, laid, views = standardise(image), self.geometry, self.transforms(tta)
        rule = Upscale.of(self.info) if laid is None else None
        if rule is not None:
            first = self._view(standard, views[0])
            if not rule.wanted(most_probable(first)[0] == SKYRMION):
                yield first
                yield from (self._view(standard, view) for view in views[1:])
                return
            laid = Geometry(0.0, rule.scale)
        if laid is not None:
            standard = laid.apply(standard)
        for view in views:
            found = self._whole(standard, view)
            yield found if laid is None else laid.undo(found, image.shape)

    def _whole(self, standard: np.ndarray, view: Transform) -> np.ndarray:
        """Probabilities of a view; of a frame that was magnified beyond a tile, in tiles."""
        if self.tiling.fits(standard.shape):
            return self._view(standard, view)
        multiple, classes = self.info["size_multiple"], len(self.info["classes"])
        bands = tiled(
            lambda rows, columns: self._view(standard[rows, columns], view),
            standard.shape,
            self.tiling,
            multiple,
            classes,
            self.engine.streams,
        )
        return np.concatenate([band for _, band in bands])

    def _view(self, standard: np.ndarray, view: Transform) -> np.ndarray:
        turned = transform(standard, view)
        height, width = turned.shape
        pad = [(0, -side % self.info["size_multiple"]) for side in turned.shape]
        if any(after for _, after in pad):
            turned = np.pad(turned, pad, mode="symmetric")
        found = self.engine(np.ascontiguousarray(turned)[None, ..., None])
        return undo(found[0, :height, :width], view)


def geometry(info: dict[str, Any], axis_deg: float | None, scale: float | None) -> Geometry | None:
    """How frames with this tilt axis, to be magnified by `scale`, are laid before a model.

    The model was trained with its axis at `axis_deg` of its `info`.
    Raises SpinscopeError for an axis where the model says of none.
    """
    if axis_deg is None and scale is None:
        return None
    turn = 0.0
    if axis_deg is not None:
        if "axis_deg" not in info:
            raise SpinscopeError(
                f"axis_deg (={axis_deg:g}) must be left out: the model "
                f"({info.get('family', 'of no family')}) knows no tilt axis"
            )
        turn = axis_deg - info["axis_deg"]
    return Geometry(turn, 1.0 if scale is None else scale)


def rules(info: dict[str, Any]) -> dict[str, Any]:
    """How a model says itself that it is applied, `upscale` and `min_peak_probability`, where it says it.

    They are not among its weights: a digest of the network does not name them.
    """
    return {name: info[name] for name in ("upscale", "min_peak_probability") if info.get(name)}


def mean_of(views: list[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape; a single one as it is."""
    if len(views) == 1:
        return views[0]
    total = views[0] + views[1]
    for view in views[2:]:
        total += view
    return total / np.float32(len(views))
