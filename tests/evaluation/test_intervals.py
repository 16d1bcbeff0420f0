"""Intervals over sources keep their confidence, and paired differences see small changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spinscope.evaluation.intervals import Quantity, interval, optimism, paired, ratio


def rows(values, **columns):
    return [
        {"name": str(k), "source": k, "mcc": value, **{key: c[k] for key, c in columns.items()}}
        for k, value in enumerate(values)
    ]


@pytest.mark.parametrize("n", [2, 3, 4, 6, 12])
def test_the_true_mean_lies_above_the_lower_limit_as_often_as_said(n):
    rng = np.random.default_rng(n)
    missed = [interval(rng.normal(0.9, 0.05, n), 0.95, seed=k).low > 0.9 for k in range(400)]
    assert 0.01 < np.mean(missed) < 0.08


def test_skewed_scores_as_well():
    """MCC has a long tail of bad sources."""
    rng = np.random.default_rng(3)
    draws = 1 - rng.exponential(0.05, (400, 10))
    missed = [interval(values, 0.95).low > 0.95 for values in draws]
    t = stats.t.ppf(0.95, 9) / np.sqrt(10)
    student = [values.mean() - t * values.std(ddof=1) > 0.95 for values in draws]
    assert np.mean(missed) < 0.12 < np.mean(student)


def test_one_odd_source_of_six_does_not_make_the_interval_useless():
    """The published validation batch has one device of few skyrmions with an MCC of 0.2."""
    found = interval([0.9, 0.92, 0.88, 0.91, 0.93, 0.2], 0.95)
    assert 0.3 < found.low < 0.55


def test_limits_stay_in_the_range_and_one_source_has_none():
    found = interval([0.99, 0.4], 0.95, lowest=0, highest=1)
    assert (found.low, found.high) == (0, 1)
    assert interval([0.9], 0.95).low is None
    with pytest.raises(ValueError, match="at least one source"):
        interval([], 0.95)


def test_the_number_of_sources_that_would_do():
    rng = np.random.default_rng(0)
    few = interval(rng.normal(0, 0.02, 10), 0.95)
    needed = few.needed(0.002)
    many = interval(rng.normal(0, 0.02, needed), 0.95)
    assert 0.0012 < many.value - many.low < 0.004
    assert few.needed(-0.1) is None


def test_pairs_see_what_single_scores_do_not():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0.5, 0.99, 12)
    gain = paired(Quantity("mcc", "MCC"), rows(hard + 0.01), rows(hard), 0.95)
    assert gain.low == pytest.approx(0.01)
    alone = interval(hard, 0.95)
    assert alone.value - alone.low > 0.03
    worse = paired(Quantity("mae", "MAE", maximise=False, of=lambda c: float(c["mcc"].mean())),
                   rows(hard + 0.01), rows(hard), 0.95)  # fmt: skip
    assert worse.high == pytest.approx(-0.01)


def test_quantities_are_pooled_within_a_source():
    quantity = Quantity("recall", "recall", of=ratio("matched", "true"))
    several = [{"source": 1, "matched": 1, "true": 1}, {"source": 1, "matched": 0, "true": 3},
               {"source": 2, "matched": 0, "true": 0}]  # fmt: skip
    assert quantity.per_source(several) == {1: 0.25}


def test_optimism_is_the_gain_of_choosing_on_the_same_frames():
    """Ten seeds of equal quality: the best looks better by what the choice adds."""
    rng = np.random.default_rng(5)
    found, real = [], []
    for _ in range(40):
        table = rng.normal(0.9, 0.02, (10, 8))
        found.append(optimism([dict(enumerate(seed)) for seed in table]))
        real.append(table.mean(axis=1).max() - 0.9)
    assert np.mean(found) == pytest.approx(np.mean(real), rel=0.3)
    assert optimism([{1: 0.9, 2: 0.8}]) is None
    same = [dict.fromkeys(range(8), 0.9)] * 3
    assert optimism(same) == pytest.approx(0)
