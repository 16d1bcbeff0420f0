"""Which differences stand, what the master model takes, and what is said of the published table."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from scipy import stats

from spinscope.errors import SpinscopeError
from spinscope.studies.kerr import figures
from spinscope.studies.kerr.ablation_table import (
    DEFAULT,
    EXCLUSIVE,
    PUBLISHED,
    chosen,
    findings,
    holm,
    lines,
    mean_sd,
    paired,
    published_sign,
    table,
)

SEEDS = [0, 1, 2, 3, 4]


@pytest.fixture
def scores() -> dict[str, list[float]]:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 0.02, 5)
    means = {**dict.fromkeys(PUBLISHED, 0.85), "two-class": 0.70, "mish": 0.87, "PReLU": 0.82}
    means |= {"augmentation": 0.90, "tanh": 0.86}
    return {f: list(m + shared + rng.normal(0, 0.003, 5)) for f, m in means.items()}


def test_the_paired_test_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 9):
        a, b = rng.normal(0.9, 0.02, (2, n))
        ours, theirs = paired(a, b), stats.ttest_rel(a, b)
        assert ours["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
        interval = theirs.confidence_interval(0.95)
        assert (ours["low"], ours["high"]) == pytest.approx((interval.low, interval.high))


def test_a_difference_by_hand():
    ours = paired([0.9, 0.8, 0.7], [0.8, 0.7, 0.5])  # 0.1, 0.1, 0.2
    assert ours["mean"] == pytest.approx(0.4 / 3)
    assert ours["sd"] == pytest.approx(math.sqrt(1 / 300))
    t = (0.4 / 3) / (math.sqrt(1 / 300) / math.sqrt(3))  # = 4: 2 degrees of freedom
    assert t == pytest.approx(4)
    assert ours["p"] == pytest.approx(1 - 4 / math.sqrt(18))  # closed form of t with 2


def test_without_spread_or_seeds():
    assert paired([0.5, 0.6], [0.5, 0.6])["p"] == 1
    assert paired([0.75, 0.5], [0.5, 0.25])["p"] == 0
    assert paired([0.9], [0.8])["p"] is None
    assert paired([0.9], [0.8])["mean"] == pytest.approx(0.1)
    assert mean_sd([0.9]) == {"mean": 0.9, "sd": None}
    assert mean_sd([0.5, 0.7])["sd"] == pytest.approx(0.2 / math.sqrt(2))


def test_holm_by_hand_and_never_below_bonferroni_of_the_rest():
    assert holm([0.01, 0.02, 0.03, 0.2]) == pytest.approx([0.04, 0.06, 0.06, 0.2])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    p = np.random.default_rng(1).uniform(0, 1, 9)
    corrected = np.array(holm(list(p)))
    assert (corrected >= p).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    assert corrected.min() == pytest.approx(min(1, 9 * p.min()))


def test_the_table_says_what_stands(scores):
    rows = {row["factor"]: row for row in table(scores, SEEDS)}
    assert list(rows) == list(PUBLISHED)
    assert {f for f, row in rows.items() if row["stands"]} == {
        "two-class", "mish", "PReLU", "augmentation", "tanh",
    }  # fmt: skip
    default = rows[DEFAULT]
    assert default["p"] is None and default["difference"] is None
    assert default["verdict"] == "not comparable"
    assert rows["two-class"]["published"] == {"mean": 0.752, "sd": 0.064}
    assert rows["two-class"]["verdict"] == "reproduced"
    assert rows["augmentation"]["verdict"] == "not reproduced"  # theirs does not stand
    assert "published: no significant difference; here: better" in rows["augmentation"]["why"]
    ps = [row["p"] for f, row in rows.items() if f != DEFAULT]
    assert [row["p_holm"] for f, row in rows.items() if f != DEFAULT] == holm(ps)


def test_what_the_published_table_says():
    signs = {factor: published_sign(factor) for factor in PUBLISHED if factor != DEFAULT}
    # Welch by hand for PReLU: 0.027 / sqrt((0.014² + 0.002²) / 5) = 4.27, about 4.2 degrees.
    expected = {"two-class": -1, "PReLU": -1, "label smoothing 30 %": -1}
    assert signs == {**dict.fromkeys(signs, 0), **expected}


def test_one_seed_is_no_verdict(scores):
    rows = table({factor: mcc[:1] for factor, mcc in scores.items()}, [0])
    assert {row["verdict"] for row in rows} == {"not comparable"}
    assert not any(row["stands"] for row in rows)
    assert chosen(rows)[0] == []


def test_the_master_takes_the_best_of_each_that_stands(scores):
    factors, rule = chosen(table(scores, SEEDS))
    assert factors == ["augmentation", "mish"]  # tanh stands too, but sets the same as mish
    assert "0.05" in rule


def test_the_master_takes_what_is_above_its_error_where_nothing_stands():
    base = [0.80, 0.82, 0.84]
    scores = {
        DEFAULT: base,
        "dropout 10 %": [0.82, 0.83, 0.88],  # 0.02, 0.01, 0.04: mean 0.0233, error 0.0088
        "dropout 15 %": [0.81, 0.83, 0.86],  # mean 0.0133, error 0.0033
        "mish": [0.90, 0.76, 0.85],  # mean 0.0167, error 0.046
        "two-class": [0.70, 0.71, 0.72],
    }
    rows = table(scores, [0, 1, 2])
    assert not any(row["stands"] and row["difference"]["mean"] > 0 for row in rows)
    factors, rule = chosen(rows)
    assert factors == ["dropout 10 %"]
    assert rule == "better by a standard error"


def test_every_factor_is_known():
    assert set(EXCLUSIVE) == set(PUBLISHED) - {DEFAULT}


def test_bad_scores_are_said():
    with pytest.raises(SpinscopeError, match="default"):
        table({"mish": [0.5]}, [0])
    with pytest.raises(SpinscopeError, match="mish: 1 scores for 2 seeds"):
        table({DEFAULT: [0.5, 0.6], "mish": [0.5]}, [0, 1])


@pytest.fixture
def report(scores) -> dict:
    parts = {p: {"mean": 0.9, "sd": 0.01, "mcc": [0.89, 0.91]} for p in ("train", "test")}
    master = {"factors": ["mish"], "rule": "r", "benchmark": parts, "master": parts}
    return {"rows": table(scores, SEEDS), "master": master}


def test_rows_lines_and_figures(report):
    found = findings(report)
    assert [row.n for row in found] == [5] * len(PUBLISHED)
    assert found[0].published == 0.752
    text = "\n".join(lines(report))
    assert "0.752 (0.064)" in text
    assert "master model: mish (r)" in text
    assert "validation" not in text
    for figure in (figures.table_figure, figures.generalisation_figure):
        figure(report).savefig(io.BytesIO(), format="png", dpi=30)
    axes = figures.table_figure(report).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(PUBLISHED)


def test_the_figure_of_the_front_joins_its_trials():
    trial = {"state": "complete", "epochs": 3, "params": {}}
    trials = [
        {**trial, "number": 0, "mcc": 0.9, "frame_ms": 30.0},
        {**trial, "number": 1, "mcc": 0.8, "frame_ms": 10.0},
        {**trial, "number": 2, "mcc": 0.5, "frame_ms": 40.0, "state": "pruned"},
    ]
    axes = figures.pareto_figure({"trials": trials, "front": [0, 1]}).axes[0]
    line = axes.get_lines()[0]
    assert line.get_xdata().tolist() == [10.0, 30.0]
    assert line.get_ydata().tolist() == [0.8, 0.9]


def test_few_seeds_that_allow_the_published_difference_do_not_refute_it():
    default = [0.80, 0.81, 0.82]
    scores = {"three-class": default, "PReLU": [0.79, 0.76, 0.80]}
    row = table(scores, [0, 1, 2])[1]
    assert row["difference"]["low"] < 0.869 - 0.896 < row["difference"]["high"]
    assert row["verdict"] == "not comparable" and "too few seeds" in row["why"]
    far = table({"three-class": default, "two-class": [0.79, 0.80, 0.82]}, [0, 1, 2])[1]
    assert far["verdict"] == "not reproduced"  # theirs, -0.144, is beyond the interval


def test_a_wide_interval_says_nothing_of_no_difference():
    scores = {"three-class": [0.88, 0.89, 0.885], "tanh": [0.88, 0.60, 0.89]}
    _, wide = table(scores, [0, 1, 2])
    assert wide["verdict"] == "not comparable" and "too few seeds" in wide["why"]
    _, narrow = table(scores | {"tanh": [0.881, 0.889, 0.886]}, [0, 1, 2])
    assert narrow["verdict"] == "reproduced"
