"""Loss and metric of a segmentation, in keras.ops."""

from __future__ import annotations

from collections.abc import Sequence

from spinscope.classes import SKYRMION
from spinscope.models.backend import keras, ops


def segmentation_loss(
    classes: int, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
):
    r"""Build the weighted cross entropy of smoothed labels.

    .. math:: L = -\langle w_y \sum_c q_c \log p_c \rangle,
              \quad q_c = (1 - s)\,\delta_{cy} + s / C

    Parameters
    ----------
    classes : int
        Number of classes C.
    label_smoothing : float, default 0
        Fraction s of the probability that is spread over all classes.
    class_weights : sequence of float, optional
        One weight w per class; by default all are 1.

    Returns
    -------
    callable
        (label (N, H, W) integer, probabilities (N, H, W, C)) → loss per pixel (N, H, W).

    Raises
    ------
    ValueError
        If there is not one weight per class.
    """
    if class_weights is not None and len(class_weights) != classes:
        raise ValueError(f"class_weights (={class_weights}) must hold {classes} numbers")

    def loss(label, probabilities):
        one_hot = ops.one_hot(ops.cast(label, "int32"), classes, dtype=probabilities.dtype)
        smoothed = one_hot * (1 - label_smoothing) + label_smoothing / classes
        # Probabilities below 1e-7 underflow in half precision.
        entropy = -ops.sum(smoothed * ops.log(ops.maximum(probabilities, 1e-7)), axis=-1)
        if class_weights is not None:
            weights = ops.convert_to_tensor(class_weights, dtype=probabilities.dtype)
            entropy = entropy * ops.sum(one_hot * weights, axis=-1)
        return entropy

    return loss


class SkyrmionMCC(keras.metrics.Metric):
    """Matthews correlation of skyrmion against the rest, pooled over all pixels of an epoch.

    It is 0 if the labels or the predictions contain one class only.
    """

    def __init__(self, name: str = "mcc", **options):
        super().__init__(name=name, **options)
        self.counts = self.add_weight(shape=(2, 2), initializer="zeros", name="counts")

    def update_state(self, label, probabilities, sample_weight=None):
        """Add the pixels of a batch."""
        truth = ops.cast(ops.equal(ops.cast(label, "int32"), SKYRMION), "float32")
        predicted = ops.cast(ops.equal(ops.argmax(probabilities, axis=-1), SKYRMION), "float32")
        both = ops.sum(truth * predicted)
        missed, extra = ops.sum(truth) - both, ops.sum(predicted) - both
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
