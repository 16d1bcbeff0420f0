"""Table I of the Kerr study: published and measured effects of single changes of the network.

References
----------
Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from spinscope.errors import SpinscopeError
from spinscope.studies.report import Row, Verdict

DEFAULT = "three-class"

PUBLISHED: dict[str, tuple[float, float]] = {
    "two-class": (0.752, 0.064),
    "three-class": (0.896, 0.002),
    "augmentation": (0.898, 0.003),
    "augmentation with inversion": (0.884, 0.012),
    "PReLU": (0.869, 0.014),
    "tanh": (0.891, 0.006),
    "mish": (0.875, 0.033),
    "label smoothing 30 %": (0.884, 0.005),
    "label smoothing 40 %": (0.896, 0.002),
    "dropout 10 %": (0.900, 0.006),
    "dropout 15 %": (0.892, 0.004),
}
"""Factor → published mean and standard deviation of the MCC over seeds."""

PUBLISHED_SEEDS = 5

EXCLUSIVE: dict[str, str] = {
    "augmentation": "augmentation",
    "augmentation with inversion": "augmentation",
    "PReLU": "activation",
    "tanh": "activation",
    "mish": "activation",
    "label smoothing 30 %": "label smoothing",
    "label smoothing 40 %": "label smoothing",
    "dropout 10 %": "dropout",
    "dropout 15 %": "dropout",
    "two-class": "classes",
}
"""Factor → property of the network that it sets; factors of one property exclude each other."""

LEVEL = 0.05
"""Significance level of a difference."""

WIDE = 0.05
"""Difference of MCC that a confidence interval must exclude for the verdict "no difference"."""

FEW = 3
"""Smallest number of seeds for a verdict."""


def table(scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Table of the factors: MCC over the seeds and difference from the default.

    Parameters
    ----------
    scores : mapping
        Factor → MCC per seed, in the order of `seeds`.
    seeds : sequence of int
        Seeds, the same for all factors.

    Returns
    -------
    list of dict
        One row per factor: factor, seeds, mcc, mean, sd, difference, p, p_holm, stands,
        published, verdict, why. `difference` and `p` are those of `paired`, null for the default;
        `p_holm` is corrected for all factors (`holm`), and `stands` is true below `LEVEL`.

    Raises
    ------
    SpinscopeError
        If the default or the score of a seed is missing.
    """
    if DEFAULT not in scores:
        raise SpinscopeError(f"scores must hold those of the default, {DEFAULT!r}")
    if bad := [factor for factor, mcc in scores.items() if len(mcc) != len(seeds)]:
        raise SpinscopeError(f"{bad[0]}: {len(scores[bad[0]])} scores for {len(seeds)} seeds")
    rows = []
    for factor, mcc in scores.items():
        difference = None if factor == DEFAULT else paired(mcc, scores[DEFAULT])
        rows.append(
            {
                "factor": factor,
                "seeds": list(seeds),
                "mcc": [float(value) for value in mcc],
                **mean_sd(mcc),
                "difference": difference,
                "p": difference and difference["p"],
                "p_holm": None,
                "published": _published(factor),
            }
        )
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    for row in rows:
        row["stands"] = row["p_holm"] is not None and row["p_holm"] < LEVEL
        row["verdict"], row["why"] = verdict(row)
    return rows


def _published(factor: str) -> dict[str, float] | None:
    """Published mean and standard deviation of a factor."""
    return (
        dict(zip(("mean", "sd"), PUBLISHED[factor], strict=True)) if factor in PUBLISHED else None
    )


def mean_sd(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation, which is None for a single value.

    Parameters
    ----------
    values : sequence of float
        Values.
    """
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd}


def paired(mcc: Sequence[float], default: Sequence[float]) -> dict[str, float | None]:
    r"""Difference from the default, paired by seed, with Student's test.

    .. math:: t = \frac{\bar d}{s_d / \sqrt n}, \quad n - 1 \text{ degrees of freedom}

    A seed determines the first weights and the order of the frames of both networks, so pairs
    share part of their randomness. The test assumes normal differences.

    Parameters
    ----------
    mcc, default : sequence of float
        MCC per seed.

    Returns
    -------
    dict
        mean, sd, low and high (95 % confidence interval), p (two-sided). All but the mean are
        None for a single seed. Without spread, p is 1 for no difference and else 0.
    """
    d = np.asarray(mcc, dtype=float) - np.asarray(default, dtype=float)
    mean, sd = mean_sd(d).values()
    if sd is None:
        return {"mean": mean, "sd": None, "low": None, "high": None, "p": None}
    if sd <= 1e-12:
        return {"mean": mean, "sd": sd, "low": mean, "high": mean, "p": float(abs(mean) <= 1e-12)}
    test = stats.ttest_1samp(d, 0)
    low, high = map(float, test.confidence_interval(0.95))
    return {"mean": mean, "sd": sd, "low": low, "high": high, "p": float(test.pvalue)}


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities with Holm's correction for multiple tests.

    The k-th smallest of m is multiplied by m - k + 1; none is below a smaller one.

    Parameters
    ----------
    p : sequence of float
        Probabilities.

    References
    ----------
    Holm, Scand. J. Statist. 6, 65 (1979).

    Examples
    --------
    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        least = max(least, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = least
    return corrected


def published_sign(factor: str) -> int:
    """Sign of the published difference from the published default.

    Parameters
    ----------
    factor : str
        Factor of Table I.

    Returns
    -------
    int
        1, -1, or 0 where Welch's test of the two means, with `PUBLISHED_SEEDS` seeds each, is not
        significant at `LEVEL`.
    """
    mean, sd = PUBLISHED[factor]
    default, spread = PUBLISHED[DEFAULT]
    n = PUBLISHED_SEEDS
    p = stats.ttest_ind_from_stats(mean, sd, n, default, spread, n, equal_var=False).pvalue
    return int(np.sign(mean - default)) if p < LEVEL else 0


def verdict(row: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Verdict on a row, and its reason.

    The signs of the differences are compared: the published one by `published_sign`, ours where
    it is significant. The MCCs themselves are not compared, for frames, network and length of
    training differ. Seeds are too few for a verdict where only the published difference is
    significant but lies within our confidence interval, and where neither is but our interval
    exceeds `WIDE`.

    Parameters
    ----------
    row : mapping
        Row of `table`.

    Returns
    -------
    (str, str)
        Verdict of `report.Row`, and the reason.
    """
    if row["difference"] is None:
        return "not comparable", "the default; trained on other frames, with a smaller network"
    if row["published"] is None:
        return "no published value", "the paper did not change this"
    if len(row["seeds"]) < FEW:
        return "not comparable", f"{len(row['seeds'])} seeds are too few for a verdict"
    words = {1: "better", -1: "worse", 0: "no significant difference"}
    theirs, mean = published_sign(row["factor"]), row["difference"]["mean"]
    ours = int(np.sign(mean)) if row["stands"] else 0
    why = (
        f"published: {words[theirs]}; here: {words[ours]} "
        f"({mean:+.4f}, p = {row['p']:.3g}, {row['p_holm']:.3g} after Holm)"
    )
    published = PUBLISHED[row["factor"]][0] - PUBLISHED[DEFAULT][0]
    if theirs and not ours and row["difference"]["low"] <= published <= row["difference"]["high"]:
        return "not comparable", f"{why}; too few seeds to tell, for {published:+.3f} is possible"
    largest = max(-row["difference"]["low"], row["difference"]["high"])
    if not theirs and not ours and largest > WIDE:
        why += f"; too few seeds to tell, for a difference of {largest:.2f} is possible"
        return "not comparable", why
    return ("reproduced" if ours == theirs else "not reproduced"), why


def chosen(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """Factors of the master model, and the rule that chose them.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `table`.

    Returns
    -------
    (list of str, str)
        Factors with a positive significant difference; without any, those whose mean difference
        exceeds its standard error. Of factors that exclude each other, the best.
    """
    better = [row for row in rows if row["difference"] and row["difference"]["mean"] > 0]
    kept, rule = [row for row in better if row["stands"]], f"better, p < {LEVEL:g} after Holm"
    if not kept:
        kept, rule = [row for row in better if _above_error(row)], "better by a standard error"
    best: dict[str, Mapping[str, Any]] = {}
    for row in kept:
        what = EXCLUSIVE.get(row["factor"], row["factor"])
        if what not in best or row["difference"]["mean"] > best[what]["difference"]["mean"]:
            best[what] = row
    return [row["factor"] for row in best.values()], rule


def _above_error(row: Mapping[str, Any]) -> bool:
    """Whether the mean difference exceeds its standard error."""
    difference, n = row["difference"], len(row["seeds"])
    return difference["sd"] is not None and difference["mean"] > difference["sd"] / math.sqrt(n)


def findings(report: Mapping[str, Any]) -> list[Row]:
    """Rows of the table for the page of the study.

    Parameters
    ----------
    report : mapping
        Report of the ablations.
    """
    return [
        Row(
            f"MCC, {row['factor']}",
            row["published"] and row["published"]["mean"],
            row["mean"],
            row["sd"],
            len(row["seeds"]),
            row["verdict"],
            row["why"],
        )
        for row in report["rows"]
    ]


def lines(report: Mapping[str, Any]) -> list[str]:
    """One line per factor: measured, published, difference and p; then the master model.

    Parameters
    ----------
    report : mapping
        Report of the ablations.
    """
    text = [f"{'factor':<28}{'MCC (SD)':>16}{'published':>16}{'difference':>12}{'p (Holm)':>10}"]
    for row in report["rows"]:
        difference, holm_ = row["difference"], row["p_holm"]
        cells = (
            _with_sd(row),
            _with_sd(row["published"], 3) if row["published"] else "–",
            f"{difference['mean']:+.4f}" if difference else "–",
            "–" if holm_ is None else f"{holm_:.3f}",
        )
        text.append(
            f"{row['factor']:<28}{cells[0]:>16}{cells[1]:>16}{cells[2]:>12}{cells[3]:>10}"
            + (" *" if row["stands"] else "")
        )
    master = report["master"]
    factors = ", ".join(master["factors"]) or "none, the default network"
    text.append(f"master model: {factors} ({master['rule']})")
    for split in ("train", "validation", "test"):
        if master["benchmark"].get(split):
            ours = (f"{name} {_with_sd(master[name][split])}" for name in ("benchmark", "master"))
            text.append(f"{split}: {', '.join(ours)}")
    return text


def _with_sd(value: Mapping[str, float | None], digits: int = 4) -> str:
    """Mean with its SD in brackets."""
    mean = f"{value['mean']:.{digits}f}"
    return mean if value["sd"] is None else f"{mean} ({value['sd']:.{digits}f})"
