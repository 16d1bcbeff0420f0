"""Table I of the Kerr study beside ours: which changes of the network help, and which only seem to.

Source: Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
"""Factor → mean and standard deviation of the MCC over seeds, one factor changed at a time."""

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
"""Factor → what it sets; of those that set the same a network can have one."""

LEVEL = 0.05
"""Probability below which a difference stands."""

WIDE = 0.05
"""Difference of MCC that an interval must rule out before "no difference" is said of it."""

FEW = 3
"""Seeds below which a difference is not judged."""


def table(scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row a factor: its MCC over the seeds, and whether it differs from the default's.

    scores : factor → MCC a seed, in the order of `seeds`; the same seeds for all.
    Returns {factor, seeds, mcc, mean, sd, difference, p, p_holm, stands, published, verdict, why}.
    `difference` and `p` are those of `paired`, null for the default; `p_holm` holds for all the
    factors together (`holm`), and a difference stands where it is below `LEVEL`.
    Raises SpinscopeError without the default, or where a seed is missing.
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
                "published": None,
            }
        )
        if factor in PUBLISHED:
            rows[-1]["published"] = dict(zip(("mean", "sd"), PUBLISHED[factor], strict=True))
    tested = [row for row in rows if row["p"] is not None]
    for row in rows:
        row["p_holm"] = None
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    for row in rows:
        row["stands"] = row["p_holm"] is not None and row["p_holm"] < LEVEL
        row["verdict"], row["why"] = verdict(row)
    return rows


def mean_sd(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation; that of a single value is unknown."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd}


def paired(mcc: Sequence[float], default: Sequence[float]) -> dict[str, float | None]:
    r"""Difference from the default, seed by seed, and Student's paired test of it.

    .. math:: t = \frac{\bar d}{s_d / \sqrt n}, \quad n - 1 \text{ degrees of freedom}

    A seed sets the first weights and the order of the frames of both networks, so that pairs share
    part of their chance; the test takes the differences as normal, which a handful of seeds cannot
    show. Returns {mean, sd, low, high (95 % interval), p (two-sided)}; all but the mean are null
    for a single seed. Without any spread p is 1 for no difference and else 0.
    """
    from scipy import stats

    d = np.asarray(mcc, dtype=float) - np.asarray(default, dtype=float)
    mean, n = float(d.mean()), len(d)
    if n < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None, "p": None}
    sd = float(d.std(ddof=1))
    error = sd / math.sqrt(n)
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    if error <= 1e-12:
        p = 1.0 if abs(mean) <= 1e-12 else 0.0
    else:
        p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return {"mean": mean, "sd": sd, "low": mean - reach, "high": mean + reach, "p": p}


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities after Holm's correction for having tested them all.

    The k-th smallest of m is multiplied by m - k + 1, and none is below one before it.
    Source: Holm, Scand. J. Statist. 6, 65 (1979).

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        least = max(least, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = least
    return corrected


def published_sign(factor: str) -> int:
    """1, -1 or 0: what the published means say of a factor against the published default.

    0 where Welch's test of the two means, standard deviations and `PUBLISHED_SEEDS` seeds each
    gives a probability of `LEVEL` or more.
    """
    from scipy import stats

    mean, sd = PUBLISHED[factor]
    default, spread = PUBLISHED[DEFAULT]
    n = PUBLISHED_SEEDS
    p = stats.ttest_ind_from_stats(mean, sd, n, default, spread, n, equal_var=False).pvalue
    return int(np.sign(mean - default)) if p < LEVEL else 0


def verdict(row: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Whether a row says of its factor what the published one says, and why.

    Better, worse or no difference that stands: by `published_sign`, and by `stands` here. The
    MCCs themselves are not compared, for frames, network and length of training are others. Where
    theirs stands and ours does not, but our interval holds theirs, the seeds are too few to tell;
    so they are where neither stands but our interval goes beyond `WIDE`.
    """
    if row["difference"] is None:
        return "not comparable", "the default; trained on other frames, with a smaller network"
    if row["published"] is None:
        return "not comparable", "no value was published"
    if len(row["seeds"]) < FEW:
        return "not comparable", f"{len(row['seeds'])} seeds say nothing of a difference"
    words = {1: "better", -1: "worse", 0: "no difference that stands"}
    theirs, mean = published_sign(row["factor"]), row["difference"]["mean"]
    ours = int(np.sign(mean)) if row["stands"] else 0
    why = (
        f"published: {words[theirs]}; here: {words[ours]} "
        f"({mean:+.4f}, p = {row['p']:.3g}, {row['p_holm']:.3g} after Holm)"
    )
    published = PUBLISHED[row["factor"]][0] - PUBLISHED[DEFAULT][0]
    if theirs and not ours and row["difference"]["low"] <= published <= row["difference"]["high"]:
        return "not comparable", f"{why}; too few seeds to tell, for {published:+.3f} is possible"
    reach = max(-row["difference"]["low"], row["difference"]["high"])
    if not theirs and not ours and reach > WIDE:
        return (
            "not comparable",
            f"{why}; too few seeds to tell, for a difference of {reach:.2f} is possible",
        )
    return ("reproduced" if ours == theirs else "not reproduced"), why


def chosen(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """Factors of the master model, and the rule that chose them.

    All whose mean difference from the default is positive and stands after Holm's correction. Where
    none does, those whose mean difference is above its own standard error. Of factors that set the
    same (`EXCLUSIVE`) the one with the largest mean difference.
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
    difference, n = row["difference"], len(row["seeds"])
    return difference["sd"] is not None and difference["mean"] > difference["sd"] / math.sqrt(n)


def findings(report: Mapping[str, Any]) -> list[Row]:
    """The rows of the table for a study's page."""
    return [
        Row(
            name=f"MCC, {row['factor']}",
            published=row["published"] and row["published"]["mean"],
            measured=row["mean"],
            sd=row["sd"],
            n=len(row["seeds"]),
            verdict=row["verdict"],
            why=row["why"],
        )
        for row in report["rows"]
    ]


def lines(report: Mapping[str, Any]) -> list[str]:
    """A line a factor: ours, the published one, the difference from the default and its p."""
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
    factors = ", ".join(master["factors"]) or "nothing: the default stays"
    text.append(f"master model: {factors} ({master['rule']})")
    for part in ("train", "validation", "test"):
        if master["benchmark"].get(part):
            ours = (f"{name} {_with_sd(master[name][part])}" for name in ("benchmark", "master"))
            text.append(f"{part}: {', '.join(ours)}")
    return text


def _with_sd(value: Mapping[str, float | None], digits: int = 4) -> str:
    mean = f"{value['mean']:.{digits}f}"
    return mean if value["sd"] is None else f"{mean} ({value['sd']:.{digits}f})"
