"""Scores against scikit-image-free closed forms and limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinscope.evaluation.metrics import confusion, scores


def test_confusion_counts_pixels():
    matrix = confusion(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), 3)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_mcc_is_the_correlation_of_the_two_masks():
    rng = np.random.default_rng(0)
    label = rng.random(5000) < 0.3
    found = np.where(rng.random(5000) < 0.1, ~label, label)
    expected = np.corrcoef(label, found)[0, 1]
    assert scores(confusion(label, found, 2))["mcc"] == pytest.approx(expected, abs=1e-12)


def test_known_scores():
    found = scores(np.array([[90, 10, 0], [5, 45, 0], [0, 0, 50]]))
    assert found["accuracy"] == pytest.approx(185 / 200)
    assert found["f1"] == pytest.approx(90 / 105)
    assert found["jaccard"] == pytest.approx(45 / 60)


@pytest.mark.parametrize(
    ("matrix", "mcc"), [([[9, 0], [0, 0]], 1.0), ([[8, 1], [0, 0]], 0.0), ([[8, 0], [1, 0]], 0.0)]
)
def test_one_class_only(matrix, mcc):
    assert scores(np.array(matrix))["mcc"] == mcc


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_bounds_hold_for_any_counts(counts):
    found = scores(np.array(counts).reshape(2, 2) + np.array([[1, 0], [0, 0]]))
    assert -1 - 1e-12 <= found["mcc"] <= 1 + 1e-12
    assert 0 <= found["jaccard"] <= found["f1"] <= 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(np.zeros((2, 2)), np.zeros((2, 3)), 2)
