"""Findings of Lee et al. beside measurements of ours: one row per number or figure and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spinscope.studies.field.measures import DENOISING, ITERATIONS
from spinscope.studies.report import Row, judged, noted
from spinscope.studies.statistics import mean_sd, over_seeds

SOURCE = "Lee et al., Sci. Rep. 11, 22937 (2021)"

ENERGY = 0.05
"""Published error of the energy from the inferred field, % (99.95 % of the true energy)."""
R2, MSE = 0.999, 1e-5
"""Limits of this project: R² of every component, and mean squared error in J²."""

HALVED = 0.5
"""Ratio of the angles after and before, up to which noise counts as removed."""
REPAIRED = 22.5
"""Angle in degrees, a quarter of that of random spins, up to which a defect counts as repaired."""
NEAR = 1.0
"""Distance from the annealed energy in %, up to which a texture counts as generated."""
CLOSE = 0.1
"""Difference of M_z up to which the response counts as that of Monte Carlo."""

Seeds = Sequence[Mapping[str, Any]]
"""Measurements of the networks of one training."""


def findings(trainings: Mapping[str, Seeds], references: Mapping[str, Any]) -> list[Row]:
    """Rows of the report.

    Parameters
    ----------
    trainings : mapping
        Name → measurements of each seed, see `study.measured`.
    references : mapping
        Measurements without a network, see `study.references`.
    """
    rows = []
    for name, seeds in trainings.items():
        rows += _accuracy(name, seeds)
        rows += _noise(name, seeds)
        rows += _defects(name, seeds)
        rows += _completion(name, seeds, references)
        rows += _generation(name, seeds, references)
        rows += _response(name, seeds, references)
    return rows


def annealed(references: Mapping[str, Any]) -> Mapping[str, Any]:
    """Monte Carlo annealing with the schedule of the corpus."""
    return references["anneal"][0]


def distance(energy: float, references: Mapping[str, Any]) -> float:
    """Distance from the annealed energy, %."""
    lowest = annealed(references)["energy"]["mean"]
    return 100 * (energy - lowest) / abs(lowest)


def iterations_until_near(energies: Sequence[float], references: Mapping[str, Any]) -> int | None:
    """Iterations until the energy is within `NEAR` of the annealed one; None if it never is."""
    near = (k for k, value in enumerate(energies) if distance(value, references) <= NEAR)
    return next(near, None)


def _accuracy(name: str, seeds: Seeds) -> list[Row]:
    """Energy, R² and mean squared error on the test lattices."""
    energy = over_seeds(seeds, "accuracy", "energy_error", factor=100)
    rows = [
        judged(
            f"Error of the energy from the inferred field, %, {name}",
            ENERGY,
            energy,
            energy["mean"] <= ENERGY,
            "published as 99.95 % of the true energy; mean over the lattices",
        )
    ]
    for axis in "xyz":
        r2 = over_seeds(seeds, "accuracy", "r2", axis)
        why = f"published as a figure; reproduced where R² is at least {R2}"
        rows.append(judged(f"R² of F_{axis}, {name}", "figure", r2, r2["mean"] >= R2, why))
    mse = over_seeds(seeds, "accuracy", "mse")
    why = f"reproduced where it is at most {MSE:g} J²; test lattices, which no training used"
    title = f"Mean squared error of a component, J², {name}"
    return [*rows, judged(title, None, mse, mse["mean"] <= MSE, why)]


def denoising_steps(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> int:
    """Iterations of the noise removal of a training: one or all, whichever is better.

    Parameters
    ----------
    seeds : sequence
        Rows of `measures.denoise` of each seed.
    """

    def mean(steps: int) -> float:
        return mean_sd([row["angles"][steps] for rows in seeds for row in rows])["mean"]

    return min((1, len(seeds[0][0]["angles"]) - 1), key=mean)


def _noise(name: str, seeds: Seeds) -> list[Row]:
    """Angle after noise removal."""
    rows, steps = [], denoising_steps([one["denoise"] for one in seeds])
    many = "one iteration" if steps == 1 else f"{steps} iterations"
    for place, row in enumerate(seeds[0]["denoise"]):
        before = row["before"]["mean"]
        after = over_seeds(seeds, "denoise", place, "angles", steps)
        rows.append(
            judged(
                f"Noise α = {row['alpha']:g}: mean angle after {many}, °, {name} "
                f"(before: {before:.1f})",
                "removed",
                after,
                after["mean"] <= HALVED * before,
                "reproduced where the angle to the lattice without noise is at least halved; one "
                f"or {DENOISING} iterations, whichever is better for all noise",
            )
        )
    return rows


def _defects(name: str, seeds: Seeds) -> list[Row]:
    """Angle at repaired sites."""
    rows = []
    for place, row in enumerate(seeds[0]["repair"]):
        after = over_seeds(seeds, "repair", place, "after", "mean")
        what = "rows of noise" if row["kind"] == "rows" else "erased square"
        title = f"Repair, {what}: mean angle to the true spins there, °, {name}"
        why = f"reproduced up to {REPAIRED}°, a quarter of the angle between random spins"
        rows.append(judged(title, "repaired", after, after["mean"] <= REPAIRED, why))
    return rows


def _completion(name: str, seeds: Seeds, references: Mapping[str, Any]) -> list[Row]:
    """All components from m_z alone."""
    base = references["gradient"]
    angle = over_seeds(seeds, "complete", "angle", "mean")
    right = over_seeds(seeds, "complete", "charge_right", factor=100)
    return [
        judged(
            f"All components from m_z: mean angle, °, {name} "
            f"(gradient of m_z: {base['angle']['mean']:.2f})",
            "completed",
            angle,
            angle["mean"] < base["angle"]["mean"],
            "reproduced where it is smaller than that of the direction along the gradient of m_z",
        ),
        judged(
            f"All components from m_z: topological charge right, % of the lattices, {name} "
            f"(gradient of m_z: {100 * base['charge_right']:.0f})",
            None,
            right,
            right["mean"] >= 95,
            "reproduced where it is at least 95 %",
        ),
    ]


def _generation(name: str, seeds: Seeds, references: Mapping[str, Any]) -> list[Row]:
    """Textures from random spins."""
    above = mean_sd([distance(one["generate"]["last"]["mean"], references) for one in seeds])
    lowest = annealed(references)["energy"]["mean"]
    return [
        judged(
            f"Generation: energy above the annealed one after {ITERATIONS} iterations, %, {name}",
            "near",
            above,
            above["mean"] <= NEAR,
            f"reproduced where it is at most {NEAR:g} %; annealed by Monte Carlo: {lowest:.4f} J "
            "per site",
        ),
        _speedup(name, seeds, references),
    ]


def _speedup(name: str, seeds: Seeds, references: Mapping[str, Any]) -> Row:
    """Seconds of the annealing over those until the energy is near the annealed one."""
    title = f"Generation: seconds of the annealing over those until {NEAR:g} % above, {name}"
    near = [iterations_until_near(one["generate"]["energy"], references) for one in seeds]
    if None in near:
        return noted(title, "never near", "the energy does not fall that far", len(seeds))
    times = [
        annealed(references)["seconds"] / (steps * one["generate"]["seconds"])
        for steps, one in zip(near, seeds, strict=True)
    ]
    mean, sd, n = mean_sd(times).values()
    why = (
        "depends on machine and load; one core of Monte Carlo; a Monte Carlo quench is faster than "
        "both, see Generation"
    )
    return noted(title, mean, why, n, sd)


def _response(name: str, seeds: Seeds, references: Mapping[str, Any]) -> list[Row]:
    """M_z in external fields."""
    rows = []
    for place, theirs in enumerate(references["respond"]):
        mz = over_seeds(seeds, "respond", place, "thermal", "mz")
        charge = over_seeds(seeds, "respond", place, "thermal", "charge")
        rows.append(
            judged(
                f"Response to B = {theirs['external']:g} J: M_z, {name} "
                f"(charge {round(charge['mean'])}; Monte Carlo: {theirs['mz']:.2f}, charge "
                f"{theirs['charge']})",
                "figure",
                mz,
                abs(mz["mean"] - theirs["mz"]) <= CLOSE,
                f"reproduced within {CLOSE} of Monte Carlo from the same labyrinth",
            )
        )
    return rows
