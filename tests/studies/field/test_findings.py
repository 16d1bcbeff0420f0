"""Verdicts of the findings on effective fields."""

from __future__ import annotations

import copy

import pytest

from spinscope.studies.field.findings import denoising_steps, findings, iterations_until_near


def state(mz: float, charge: int = -10) -> dict:
    return {"mz": mz, "charge": charge, "energy": -2.05}


def mean(value: float) -> dict:
    return {"mean": value, "sd": 0.1, "n": 3}


NETWORK = {
    "accuracy": {"energy_error": 4e-4, "mse": 2e-6, "r2": {"x": 0.9999, "y": 0.9999, "z": 0.9999}},
    "denoise": [{"alpha": 0.5, "before": mean(22.0), "angles": [22.0, 3.0, *[4.0] * 9]}],
    "repair": [
        {"kind": "rows", "before": mean(90.0), "after": mean(10.0)},
        {"kind": "square", "before": None, "after": mean(5.0)},
    ],
    "complete": {"angle": mean(0.5), "charge_right": 1.0},
    "generate": {"energy": [0.0, -1.9, -2.03, -2.035], "last": mean(-2.035), "seconds": 0.005},
    "respond": [{"external": 0.07, "greedy": state(0.3), "thermal": state(0.68)}],
}
REFERENCES = {
    "gradient": {"angle": mean(3.0), "charge_right": 0.9},
    "anneal": [{"sweeps": 1000, "energy": mean(-2.04), "seconds": 0.5}],
    "respond": [{"external": 0.07, **state(0.7)}],
}


def test_a_network_that_does_all_reproduces_all():
    rows = findings({"own": [NETWORK, NETWORK]}, REFERENCES)
    assert {row.verdict for row in rows if "seconds" not in row.name} == {"reproduced"}
    energy = rows[0]
    assert (energy.published, energy.measured, energy.sd) == (0.05, pytest.approx(0.04), 0)
    speedup = next(row for row in rows if "seconds" in row.name)
    assert speedup.measured == pytest.approx(0.5 / (2 * 0.005))
    assert speedup.verdict == "no published value"


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("accuracy", "energy_error"), 6e-4, "Error of the energy from the inferred field"),
        (("accuracy", "mse"), 2e-5, "Mean squared error of a component"),
        (("accuracy", "r2", "y"), 0.998, "R² of F_y"),
        (("denoise", 0, "angles"), [22.0, *[12.0] * 10], "Noise α = 0.5"),
        (("repair", 0, "after"), mean(30.0), "Repair"),
        (("complete", "angle"), mean(4.0), "All components from m_z"),
        (("generate", "last"), mean(-2.01), "Generation"),
        (("respond", 0, "thermal"), state(0.5), "Response to B = 0.07 J"),
    ],
)
def test_each_finding_can_fail(path, value, name):
    network = copy.deepcopy(NETWORK)
    place = network
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    failed = [
        row.name
        for row in findings({"own": [network]}, REFERENCES)
        if row.verdict == "not reproduced"
    ]
    assert len(failed) == 1
    assert failed[0].startswith(name)


def test_iterations_until_the_energy_is_near():
    assert iterations_until_near([0.0, -2.0, -2.025], REFERENCES) == 2
    assert iterations_until_near([0.0, -2.0], REFERENCES) is None


def test_noise_is_removed_by_the_better_number_of_iterations():
    once = [{"angles": [22.0, 3.0, *[4.0] * 9]}]
    ten = [{"angles": [22.0, 3.0, *[2.0] * 9]}]
    assert denoising_steps([once]) == 1
    assert denoising_steps([ten]) == 10
    assert denoising_steps([once, ten, ten]) == 10
