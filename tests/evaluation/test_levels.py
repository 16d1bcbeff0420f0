"""Agreement with the labels at every level of the probability."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from tests.conftest import section

from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation import evaluate
from spinscope.evaluation.levels import BINS, best_level, level_counts, matrix_at_level, mz_levels
from spinscope.evaluation.metrics import confusion, scores
from spinscope.images import to_scheme
from spinscope.inference.level import expit, logit

CLASSES = ("background", "skyrmion", "defect")


def test_counts_give_the_confusion_matrix_of_every_level():
    rng = np.random.default_rng(0)
    # Probabilities in the middle of their bins: rounding decides nothing.
    probability = (rng.integers(0, BINS, (40, 50)) + 0.5) / BINS
    truth = rng.random((40, 50)) < probability**2
    counts = level_counts(probability, truth)
    mcc = {}
    for k in range(1, BINS):
        mask = (probability >= k / BINS).astype(np.uint8)
        expected = confusion(truth.astype(np.uint8), mask, 2)
        np.testing.assert_array_equal(matrix_at_level(counts, k / BINS), expected)
        mcc[k / BINS] = scores(expected)["mcc"]
    level, score = best_level(counts)
    assert score == pytest.approx(max(mcc.values())) == pytest.approx(mcc[level])


def test_finding_and_delineating_are_told_apart(moke_folder):
    """Every object is found; in each source the boundary lies elsewhere."""
    dataset = open_dataset(moke_folder).select(sources=[0, 1, 2])
    shifts = {0: -1, 1: 0, 2: 1}  # px inwards
    answers = []
    for record, _, label in dataset:
        truth = to_scheme(label, 3) == 1
        inside = distance_transform_edt(truth) - distance_transform_edt(~truth)
        p = 1 / (1 + np.exp(-(inside - 0.5 - shifts[record.source])))
        answers.append(((p >= 0.5).astype(np.uint8), p))
    given = iter(answers)
    report = evaluate(lambda _: next(given), dataset, CLASSES, section("evaluation"))
    assert report["mcc"] < 0.95 < report["mcc_best_level"] == pytest.approx(1, abs=0.02)
    rows = report["levels"]["per_source"]
    assert [row["source"] for row in rows] == [0, 1, 2]
    assert rows[0]["level"] > rows[1]["level"] > rows[2]["level"]
    assert all(row["mcc"] <= row["mcc_best_level"] for row in rows)
    assert rows[1]["mcc"] == pytest.approx(1)
    assert report["mcc"] - 0.02 < report["levels"]["mcc"] < report["mcc_best_level"]
    json.dumps(report, allow_nan=False)
    only = iter(mask for mask, _ in answers)
    plain = evaluate(lambda _: next(only), dataset, CLASSES, section("evaluation"))
    assert plain["mcc"] == report["mcc"] and "levels" not in plain


def film(radius: float, size: int = 192) -> np.ndarray:
    """m_z of a skyrmion with a wall of 10 px, (size, size)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.tanh((np.hypot(y, x) - radius) / 10)


def test_the_level_of_a_magnetisation_is_recovered():
    """The logit falls linearly with m_z up to a largest probability, as in a smoothed network."""
    shifts, frames = (-0.3, 0.0, 0.3), []
    for k, shift in enumerate(shifts):
        m_z = film(40 + 5 * k)
        logits = np.minimum(10 * (0.8 - m_z) + shift, 4.0)
        frames.append((1 / (1 + np.exp(-logits)), m_z))
    rows = {row["m_z"]: row for row in mz_levels(frames)}
    for m_z in (0.5, 0.8, 0.9, 0.95):
        assert logit(rows[m_z]["level"]) == pytest.approx(10 * (0.8 - m_z), abs=0.1)
        assert rows[m_z]["sd_logits"] == pytest.approx(np.std(shifts), abs=0.05)
        assert rows[m_z]["iou"] > 0.9 and 0 < rows[m_z]["area_sd"] < 0.1
        assert rows[m_z]["diameter"] == pytest.approx(1, abs=0.02)
    # The probability is the same everywhere at m_z below 0.4: 0 has no level.
    assert rows[0.0]["iou"] < 0.9 and rows[0.0]["level"] == pytest.approx(expit(4), abs=1e-3)
    levels = [row["level"] for row in rows.values()]
    assert levels == sorted(levels, reverse=True)


def test_levels_of_a_magnetisation_need_films():
    with pytest.raises(SpinscopeError, match="at least one film"):
        mz_levels([])
    with pytest.raises(SpinscopeError, match=r"no region and rest at m_z <= 0.5"):
        mz_levels([(np.full((8, 8), 0.5), np.full((8, 8), 0.9))], [0.5])
    with pytest.raises(SpinscopeError, match="must be of one shape"):
        mz_levels([(np.full((8, 8), 0.5), np.full((8, 9), 0.9))])
