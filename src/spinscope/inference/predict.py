"""A model applied to micrographs: class probabilities, with test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.data.micrograph import moments, standardise
from spinscope.errors import SpinscopeError
from spinscope.inference.engine import Engine, KerasEngine, Name, Precision, open_engine
from spinscope.inference.tiling import Tiling, tiled

Transform = tuple[int, bool]
"""Quarter turns, then whether mirrored left to right."""

TRANSFORMS: dict[int, tuple[Transform, ...]] = {
    1: ((0, False),),
    3: ((0, False), (0, True), (2, True)),
    8: tuple((turns, mirror) for turns in range(4) for mirror in (False, True)),
}
"""Views averaged: none; the image and its two mirror images; the dihedral group."""


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


@dataclass(frozen=True)
class Predictor:
    """A loaded network and what is known of it."""

    engine: Engine
    info: dict[str, Any]
    tiling: Tiling = field(default_factory=Tiling)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        engine: Name = "keras",
        precision: Precision = "auto",
        *,
        streams: int = 1,
        tiling: Tiling | None = None,
    ) -> Predictor:
        """Read a model folder, its checksums verified.

        engine, precision : Keras is the reference; "auto" is the fastest (`open_engine`).
        streams : frames that OpenVINO computes at once, for callers with as many threads.
        Raises SpinscopeError for a damaged or missing folder.
        """
        return cls(*open_engine(folder, engine, precision, streams), tiling or Tiling())

    @classmethod
    def of(cls, model, info: dict[str, Any]) -> Predictor:
        """Wrap a Keras model; `info` must hold `classes` and `size_multiple`."""
        return cls(KerasEngine(model), info)

    def probabilities(self, image: np.ndarray, tta: int = 1) -> np.ndarray:
        """Class probabilities of an image, averaged over the views of `tta`.

        image : (H, W) of any type and size; brightness and contrast do not matter.
        tta : 1, 3 or 8 views.
        Returns (H, W, C) float32.
        Raises SpinscopeError for another `tta`.
        """
        bands = [band for _, band in self.bands(image, tta)]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    def classes(self, image: np.ndarray, tta: int = 1, out: np.ndarray | None = None) -> np.ndarray:
        """Most probable class of each pixel, (H, W) uint8, written to `out` where it is given."""
        out = np.empty(image.shape, dtype=np.uint8) if out is None else out
        for rows, band in self.bands(image, tta):
            out[rows] = most_probable(band)[0]
            del band  # before the next is made
        return out

    def segment(self, image: np.ndarray, tta: int = 1) -> tuple[np.ndarray, float]:
        """Most probable class of each pixel, (H, W) uint8, and the share of doubtful pixels."""
        mask, doubt = np.empty(image.shape, dtype=np.uint8), 0.0
        for rows, band in self.bands(image, tta):
            mask[rows], highest = most_probable(band)
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

        def window(rows: slice, columns: slice) -> np.ndarray:
            part = standardise(image[rows, columns], statistics)
            return mean_of([self._view(part, view) for view in _views(tta)])

        multiple, classes = multiple or self.info["size_multiple"], len(self.info["classes"])
        workers = self.engine.streams
        yield from tiled(window, image.shape, self.tiling, multiple, classes, workers)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Class probabilities (H, W, C) of each view, turned back; the frame in one piece."""
        standard = standardise(image)
        yield from map(partial(self._view, standard), _views(tta))

    def _view(self, standard: np.ndarray, view: Transform) -> np.ndarray:
        turned = transform(standard, view)
        height, width = turned.shape
        pad = [(0, -side % self.info["size_multiple"]) for side in turned.shape]
        if any(after for _, after in pad):
            turned = np.pad(turned, pad, mode="symmetric")
        found = self.engine(np.ascontiguousarray(turned)[None, ..., None])
        return undo(found[0, :height, :width], view)


def _views(tta: int) -> tuple[Transform, ...]:
    if tta not in TRANSFORMS:
        raise SpinscopeError(f"tta (={tta}) must be 1, 3 or 8")
    return TRANSFORMS[tta]


def mean_of(views: list[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape; a single one as it is."""
    if len(views) == 1:
        return views[0]
    total = views[0] + views[1]
    for view in views[2:]:
        total += view
    return total / np.float32(len(views))
