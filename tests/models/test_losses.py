"""Loss and score against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spinscope.evaluation.metrics import confusion, scores
from spinscope.models.losses import SkyrmionMCC, segmentation_loss


def test_cross_entropy_closed_form():
    label = np.array([[[0, 1]]])
    probabilities = np.array([[[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]]], dtype=np.float32)
    found = np.asarray(segmentation_loss(3)(label, probabilities))
    np.testing.assert_allclose(found, [[[-math.log(0.7), -math.log(0.6)]]], rtol=1e-5)


def test_smoothing_moves_the_minimum_to_the_smoothed_label():
    label = np.array([[[1]]])
    smoothed = np.array([[[[0.2 / 3, 1 - 0.4 / 3, 0.2 / 3]]]], dtype=np.float32)
    sure = np.array([[[[0.001, 0.998, 0.001]]]], dtype=np.float32)
    loss = segmentation_loss(3, label_smoothing=0.2)
    assert np.asarray(loss(label, smoothed)) < np.asarray(loss(label, sure))


def test_class_weights_scale_the_true_class():
    label = np.array([[[0, 1, 2]]])
    even = np.full((1, 1, 3, 3), 1 / 3, dtype=np.float32)
    found = np.asarray(segmentation_loss(3, class_weights=(1, 2, 5))(label, even))
    np.testing.assert_allclose(found, math.log(3) * np.array([[[1, 2, 5]]]), rtol=1e-5)


def test_weights_must_match_the_classes():
    with pytest.raises(ValueError, match="3 numbers"):
        segmentation_loss(3, class_weights=(1, 2))


def test_mcc_metric_pools_batches_like_the_report():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (4, 16, 16))
    probabilities = rng.random((4, 16, 16, 3)) + 0.5 * np.eye(3)[label]
    metric = SkyrmionMCC()
    for part in range(4):
        metric.update_state(label[part : part + 1], probabilities[part : part + 1])
    expected = scores(confusion(label, probabilities.argmax(-1), 3))["mcc"]
    assert 0.2 < expected < 0.98
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


def test_mcc_metric_of_one_class_is_zero():
    metric = SkyrmionMCC()
    metric.update_state(np.zeros((1, 8, 8)), np.eye(3)[np.zeros((1, 8, 8), dtype=int)])
    assert float(metric.result()) == 0
