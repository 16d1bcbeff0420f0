"""A model applied to micrographs: class probabilities, with test-time augmentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.data import standardise
from spinscope.errors import SpinscopeError

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


@dataclass(frozen=True)
class Predictor:
    """A loaded network and what is known of it."""

    model: Any
    info: dict[str, Any]
    _call: Any = field(repr=False)

    @classmethod
    def load(cls, folder: Path | str) -> Predictor:
        """Read a model folder, its checksums verified.

        Raises SpinscopeError for a damaged or missing folder.
        """
        from spinscope.models.store import load_model

        model, info = load_model(folder)
        return cls.of(model, info)

    @classmethod
    def of(cls, model, info: dict[str, Any]) -> Predictor:
        """Wrap a Keras model; `info` must hold `classes` and `size_multiple`."""
        import tensorflow as tf

        spec = tf.TensorSpec((None, None, None, 1), tf.float32)
        call = tf.function(lambda x: model(x, training=False), input_signature=[spec])
        return cls(model, info, call)

    def probabilities(self, image: np.ndarray, tta: int = 1) -> np.ndarray:
        """Class probabilities of an image, averaged over the views of `tta`.

        image : (H, W) in [0, 1], any H and W.   tta : 1, 3 or 8 views.
        Returns (H, W, C) float32.
        Raises SpinscopeError for another `tta`.
        """
        if tta not in TRANSFORMS:
            raise SpinscopeError(f"tta (={tta}) must be 1, 3 or 8")
        image = standardise(image)
        total = np.zeros((*image.shape, len(self.info["classes"])), dtype=np.float32)
        for view in TRANSFORMS[tta]:
            total += undo(self._apply(transform(image, view)), view)
        return total / np.float32(len(TRANSFORMS[tta]))

    def classes(self, image: np.ndarray, tta: int = 1) -> np.ndarray:
        """Most probable class of each pixel, (H, W) uint8."""
        return self.probabilities(image, tta).argmax(axis=-1).astype(np.uint8)

    def _apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape
        pad = [(0, -side % self.info["size_multiple"]) for side in image.shape]
        padded = np.pad(image, pad, mode="symmetric")[None, ..., None]
        return self._call(np.ascontiguousarray(padded)).numpy()[0, :height, :width]
