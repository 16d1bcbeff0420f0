"""Reliability of probabilities, and their calibration on other sources."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from spinscope.evaluation.calibration import calibrate, calibration, calibration_error
from spinscope.evaluation.figures import png, reliability_diagram
from spinscope.evaluation.levels import BINS, level_counts


def counts(seed: int, slope: float, offset: float, pixels: int = 400_000) -> np.ndarray:
    """Counts of labels whose true probability follows from the stated one by a known law."""
    rng = np.random.default_rng(seed)
    stated = rng.beta(0.4, 0.8, (pixels // 500, 500))
    return level_counts(stated, rng.random(stated.shape) < expit(slope * logit(stated) + offset))


def test_the_law_between_stated_and_true_probability_is_recovered():
    levels = (np.arange(BINS) + 0.5) / BINS
    expected = expit(1.8 * logit(levels) + 0.5)
    np.testing.assert_allclose(calibrate(counts(0, 1.8, 0.5)), expected, atol=0.04)
    assert calibration_error(counts(1, 1, 0)) < 0.01
    assert calibration_error(counts(2, 1.8, 0.5)) > 0.05


def test_each_source_is_calibrated_on_the_others():
    alike = calibration({source: counts(source, 1.8, 0.5) for source in range(4)})
    assert alike["ece_calibrated"] < 0.015 < 0.05 < alike["ece"]
    for row in alike["reliability"]:
        assert row["labelled"] == pytest.approx(row["calibrated"], abs=0.01)
    assert sum(row["pixels"] for row in alike["reliability"]) == 4 * 400_000
    # Two sources of opposite laws: what fits the one is wrong for the other.
    opposite = calibration({0: counts(0, 1, 1.0), 1: counts(1, 1, -1.0)})
    assert opposite["ece_calibrated"] > 1.5 * opposite["ece"] > 0.1
    json.dumps(alike, allow_nan=False)
    assert png(reliability_diagram({"calibration": alike})).startswith(b"\x89PNG")


def test_one_source_cannot_be_calibrated_on_others():
    found = calibration({3: counts(0, 1.8, 0.5)})
    assert found["ece_calibrated"] is None and found["reliability"][0]["calibrated"] is None
    assert png(reliability_diagram({"calibration": found})).startswith(b"\x89PNG")
    empty = np.zeros((2, BINS))
    empty[0, 3] = 50  # no labelled pixel at all
    assert calibration({0: empty, 1: empty})["ece_calibrated"] == 0
