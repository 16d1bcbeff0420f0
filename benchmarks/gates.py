"""Right and wrong decisions of the comparison with the lab, on candidates of known quality.

The true quality of a network is its mean MCC over all sources. On one source its MCC differs by the
difficulty of the source, which all networks share, and by a part of its own. A candidate is the
best of five seeds on the validation frames. Two rules decide on the same thousand candidates:

- spread: the mean over the seeds may be below the lab's by one pooled standard deviation over the
  seeds, as in releases before the intervals;
- interval: the lower confidence limit of the paired gain of the served network over the best that
  the lab has had must be above -0.005 (`spinscope.tracking.promotion.not_worse`).

A promotion is wrong if the served network is worse than the lab's by more than the margin; a
refusal is wrong if it is not. `drift` is the change of the lab's true quality where each promoted
candidate replaces the lab's model and the candidates get no better.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spinscope.evaluation.intervals import Quantity, optimism
from spinscope.tracking.promotion import not_worse

CANDIDATES, SEEDS, FRAMES = 1000, 5, 3
MARGIN, CONFIDENCE = 0.005, 0.95
START = 0.92
RECIPES_SD = 0.01
"""Spread of the true quality of recipes."""
SEED_SD, UNSTABLE, LOST = 0.003, 0.2, 0.1
"""Spread over seeds; fraction of recipes whose seeds fail by a third, and their mean loss."""
DIFFICULTY_SD, OWN_SD, FRAME_SD = 0.05, 0.008, 0.004
"""Spread over sources that networks share, that is a network's own, and over frames of a source."""


@dataclass(frozen=True)
class Candidate:
    """Networks of one training: true qualities and MCC on the validation sources of each seed."""

    true: np.ndarray
    measured: np.ndarray

    @property
    def served(self) -> int:
        """Seed that is registered: the best on the validation frames."""
        return int(self.measured.mean(axis=1).argmax())


def draw(rng: np.random.Generator, recipe: float, difficulty: np.ndarray) -> Candidate:
    """Draw a training of a recipe, scored on sources of this difficulty."""
    true = recipe + rng.normal(0, SEED_SD, SEEDS)
    if rng.random() < UNSTABLE:
        true -= (rng.random(SEEDS) < 1 / 3) * rng.exponential(LOST, SEEDS)
    own = math.hypot(OWN_SD, FRAME_SD / math.sqrt(FRAMES))
    measured = true[:, None] + difficulty + rng.normal(0, own, (SEEDS, len(difficulty)))
    return Candidate(true, measured)


def report(values: np.ndarray) -> dict:
    """Report with one row per source."""
    rows = [
        {"name": str(source), "source": source, "mcc": float(value), "seen_in_training": False}
        for source, value in enumerate(values)
    ]
    return {"n_images": FRAMES * len(rows), "per_image": rows}


def by_spread(candidate: Candidate, lab: list[Candidate]) -> tuple[bool, str]:
    """Decision by the pooled spread of the seeds, against the current version."""
    means = [one.measured.mean(axis=1) for one in (candidate, lab[-1])]
    loss = math.sqrt(sum(mean.var(ddof=1) for mean in means) / 2)
    return bool(means[0].mean() >= means[1].mean() - loss), ""


def by_interval(candidate: Candidate, lab: list[Candidate]) -> tuple[bool, str]:
    """Decision by the interval of the paired gain, against the best version so far."""
    best = max(lab, key=lambda one: one.measured[one.served].mean())
    quantity = Quantity("mcc", "MCC", margin=MARGIN)
    gains = [_optimism(one) for one in (candidate, best)]
    gate = not_worse(
        quantity,
        report(candidate.measured[candidate.served]),
        report(best.measured[best.served]),
        CONFIDENCE,
        name="MCC",
        optimism=gains[0] - gains[1],
    )
    return gate.passed, gate.rule


def _optimism(candidate: Candidate) -> float:
    return optimism([dict(enumerate(values)) for values in candidate.measured]) or 0.0


Rule = Callable[[Candidate, list[Candidate]], tuple[bool, str]]


def outcome(rule: Rule, sources: int) -> dict[str, float]:
    """Rates of wrong decisions of a rule, each on new sources against a lab of quality START."""
    rng, counts = np.random.default_rng(sources), Counter()
    for _ in range(CANDIDATES):
        difficulty = rng.normal(0, DIFFICULTY_SD, sources)
        lab = draw(rng, START, difficulty)
        candidate = draw(rng, rng.normal(START, RECIPES_SD), difficulty)
        fit = candidate.true[candidate.served] >= lab.true[lab.served] - MARGIN
        passed, why = rule(candidate, [lab])
        counts["fit" if fit else "worse"] += 1
        counts["wrong promotion"] += passed and not fit
        counts["wrong refusal"] += fit and not passed
        counts["too wide"] += fit and "too wide" in why
    return {
        "wrong_promotions": counts["wrong promotion"] / counts["worse"],
        "wrong_refusals": counts["wrong refusal"] / counts["fit"],
        "too_wide_to_tell": counts["too wide"] / counts["fit"],
    }


def drift(rule: Rule, sources: int) -> float:
    """Change of the lab's true quality after CANDIDATES of recipes that are no better."""
    rng = np.random.default_rng(sources)
    difficulty = rng.normal(0, DIFFICULTY_SD, sources)
    lab = [draw(rng, START, difficulty)]
    for _ in range(CANDIDATES):
        candidate = draw(rng, START - abs(rng.normal(0, RECIPES_SD)), difficulty)
        if rule(candidate, lab)[0]:
            lab.append(candidate)
    return float(lab[-1].true[lab[-1].served] - lab[0].true[lab[0].served])


def main() -> None:
    """Print the outcome of both rules for 6, 12 and 37 sources; the spread rule is the peer."""
    result = {}
    for sources in (6, 12, 37):
        peer, ours = (
            outcome(rule, sources) | {"drift": drift(rule, sources)}
            for rule in (by_spread, by_interval)
        )
        for key, value in ours.items():
            result[f"gates.{key}_{sources}"] = {
                "value": round(value, 4),
                "unit": "MCC" if key == "drift" else "fraction",
                "peer": round(peer[key], 4),
                "ratio": value / peer[key] if peer[key] else None,
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
