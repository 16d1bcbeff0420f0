"""Loss and score of a segmentation, in keras.ops."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from spinscope.classes import SKYRMION


def segmentation_loss(
    classes: int, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
):
    r"""Weighted cross entropy of smoothed labels, averaged over pixels.

    .. math:: L = -\langle w_y \sum_c q_c \log p_c \rangle,
              \quad q_c = (1 - s)\,\delta_{cy} + s / C

    Returns f(label (N, H, W) integer, probabilities (N, H, W, C)) -> (N, H, W) loss a pixel.
    Raises ValueError unless there is one weight a class.
    """
    if class_weights is not None and len(class_weights) != classes:
        raise ValueError(f"class_weights (={class_weights}) must hold {classes} numbers")

    def loss(label, probabilities):
        one_hot = ops.one_hot(ops.cast(label, "int32"), classes, dtype=probabilities.dtype)
        smoothed = one_hot * (1 - label_smoothing) + label_smoothing / classes
        # Half precision cannot hold 1e-7; the smallest probability is a ten-millionth.
        entropy = -ops.sum(smoothed * ops.log(ops.maximum(probabilities, 1e-7)), axis=-1)
        if class_weights is not None:
            weights = ops.convert_to_tensor(class_weights, dtype=probabilities.dtype)
            entropy = entropy * ops.sum(one_hot * weights, axis=-1)
        return entropy

    return loss


class SkyrmionMCC(keras.metrics.Metric):
    """Matthews correlation of skyrmion against the rest, pooled over all pixels seen.

    A value is 0 where either side holds one class only.
    """

    def __init__(self, name: str = "mcc", **options):
        super().__init__(name=name, **options)
        self.counts = self.add_weight(shape=(2, 2), initializer="zeros", name="counts")

    def update_state(self, label, probabilities, sample_weight=None):
        """Add the pixels of a batch."""
        truth = ops.cast(ops.equal(ops.cast(label, "int32"), SKYRMION), "float32")
        found = ops.cast(ops.equal(ops.argmax(probabilities, axis=-1), SKYRMION), "float32")
        both = ops.sum(truth * found)
        missed, extra = ops.sum(truth) - both, ops.sum(found) - both
        neither = ops.sum(ops.ones_like(truth)) - both - missed - extra
        self.counts.assign_add(ops.stack([ops.stack([neither, extra]), ops.stack([missed, both])]))

    def result(self):
        """Pooled correlation, in [-1, 1]."""
        pixels = ops.maximum(ops.sum(self.counts), 1.0)
        (tn, fp), (fn, tp) = (ops.unstack(row) for row in ops.unstack(self.counts / pixels))
        spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return ops.where(
            spread > 0, (tp * tn - fp * fn) / ops.sqrt(ops.maximum(spread, 1e-30)), 0.0
        )
