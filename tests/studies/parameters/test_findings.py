"""Verdicts of the findings on magnetic parameters."""

from __future__ import annotations

import copy

import pytest

from spinscope.studies.parameters.findings import findings
from spinscope.studies.parameters.measures import CONDITIONS

TESTED = (0.5, 0.75, 1.5, 2.0)


def scored(r2: float = 0.99, rmse: float = 1e-5, coverage: float = 0.9) -> dict:
    return {"r2": r2, "rmse": rmse, "bias": 0.0, "coverage": coverage, "half_width": 1e-5, "n": 9}


def network(parameter: str, architecture: str, *scales: float) -> dict:
    """Network that works at all scales, two seeds."""
    seed = {
        "scores": {f"{scale:g}": scored() for scale in TESTED},
        "trained": scored(),
        "unseen": scored(0.95),
        "all": scored(),
        "groups": {"held back": scored(), "another seed": scored()},
        "conditions": {name: {"all": scored()} for name in CONDITIONS},
    }
    labels = {f"{scale:g}": f"{scale:g} µm" for scale in (*TESTED, 0.6, 0.8)}
    return {"parameter": parameter, "architecture": architecture, "scales": list(scales),
            "labels": labels, "given": False, "seeds": [seed, copy.deepcopy(seed)]}  # fmt: skip


def networks() -> dict[str, dict]:
    """Networks with which every finding is reproduced."""
    found = {
        "dmi-0.5": network("dmi", "published", 0.5),
        "dmi-1.5": network("dmi", "published", 1.5),
        "dmi-2.0": network("dmi", "published", 2.0),
        "dmi-several": network("dmi", "published", 0.5, 1.5, 2.0),
        "dmi-own": network("dmi", "scaled", 0.5, 1.5, 2.0),
        "ms-several": network("ms", "published", 0.5, 1.5, 2.0),
        "ms-added": network("ms", "published", 0.5, 0.75, 1.5, 2.0),
        "ms-neighbours": network("ms", "published", 0.5, 0.6, 0.8, 1.5, 2.0),
        "ms-own": network("ms", "scaled", 0.5, 1.5, 2.0),
    }
    for seed in found["dmi-0.5"]["seeds"]:
        seed["scores"]["2"]["r2"] = 0.1
    for seed in found["ms-several"]["seeds"]:
        seed["unseen"]["rmse"] = seed["scores"]["0.75"]["rmse"] = 3e-5
    for name in ("dmi-own", "ms-own"):
        for seed in found[name]["seeds"]:
            seed["unseen"]["rmse"] = 0.9e-5
    return found


BASELINES = {name: {"pooled": {"unseen": scored(rmse=2e-5)}} for name in ("dmi", "ms")}
MARKED = {"odd": {"n": 100, "marked": 97}, "views": {"n": 200, "marked": 4}}
REFINED = {"dmi": [{"true": 5e-4, "before": 5.4e-4, "after": 5.1e-4}] * 3}


def rows(found: dict[str, dict], **given):
    given = {"marked": {"dmi": MARKED}, "refined": REFINED} | given
    return findings(found, BASELINES, **given)


def test_networks_that_do_as_published_reproduce_all():
    made = rows(networks())
    assert {row.verdict for row in made if "of the network" not in row.name} == {"reproduced"}
    assert len({row.name for row in made}) == len(made)
    fails = next(row for row in made if row.published == "fails")
    assert (fails.measured, fails.sd, fails.n) == (pytest.approx(0.1), 0, 2)
    mended = next(row for row in made if row.published == "mended")
    assert "neighbours 0.6 µm and 0.8 µm added" in mended.name
    errors = {row.name: row.measured for row in made if "Closed loop" in row.name}
    assert list(errors.values()) == pytest.approx([0.04, 0.01])  # mJ/m²


@pytest.mark.parametrize(
    ("name", "path", "value", "row"),
    [
        ("dmi-0.5", ("scores", "0.5", "r2"), 0.94, "Fig. 2: D, trained and tested at 0.5 µm"),
        ("dmi-0.5", ("scores", "2", "r2"), 0.6, "Fig. 2: D, trained at 0.5 µm, tested at 2 µm"),
        ("dmi-1.5", ("scores", "2", "r2"), 0.89, "Fig. 2: D, trained at 1.5 µm, tested at 2 µm"),
        ("dmi-several", ("trained", "r2"), 0.94, "Fig. 3: D, several scales, tested at trained"),
        ("dmi-several", ("unseen", "r2"), 0.89, "Fig. 3: D, several scales, tested at unseen"),
        ("dmi-several", ("trained", "rmse"), 4e-6, "Fig. 3: D, several scales: RMSE at unseen"),
        ("ms-several", ("unseen", "rmse"), 1.9e-5, "Fig. 4: Ms, several scales: RMSE at unseen"),
        ("ms-several", ("scores", "0.75", "rmse"), 1.9e-5, "Fig. 5: Ms at 0.75 µm, left out"),
        ("ms-added", ("scores", "0.75", "r2"), 0.9, "Fig. 5: Ms at 0.75 µm, added"),
        ("ms-neighbours", ("scores", "0.75", "rmse"), 2e-5, "Fig. 5: Ms at 0.75 µm, neighbours"),
        ("ms-own", ("unseen", "r2"), 0.8, "Own network: Ms, unseen scales: R²"),
        ("dmi-own", ("unseen", "coverage"), 0.8, "Coverage of the 90 % intervals, D, unseen"),
        ("ms-own", ("conditions", "noise 60 %", "all", "coverage"), 0.97, "Coverage"),
        ("ms-own", ("groups", "another seed", "coverage"), 0.8, "Coverage"),
    ],
)  # fmt: skip
def test_each_finding_can_fail(name, path, value, row):
    found = networks()
    for seed in found[name]["seeds"]:
        place = seed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    failed = [one.name for one in rows(found) if one.verdict == "not reproduced"]
    assert len(failed) == 1
    assert failed[0].startswith(row)


@pytest.mark.parametrize(
    ("given", "row"),
    [
        ({"marked": {"ms": {**MARKED, "odd": {"n": 100, "marked": 94}}}}, "Ms: images without a"),
        ({"marked": {"dmi": {**MARKED, "views": {"n": 99, "marked": 6}}}}, "D: unseen test views"),
        ({"refined": {"ms": [{"true": 4e5, "before": 4.1e5, "after": 3.8e5}]}}, "Closed loop: Ms"),
    ],
)
def test_marks_and_refined_estimates_can_fail(given, row):
    (failed,) = [one for one in rows(networks(), **given) if one.verdict == "not reproduced"]
    assert failed.name.startswith(row)


def test_our_network_must_be_better_than_both_others():
    found = networks()
    for seed in found["dmi-own"]["seeds"]:
        seed["unseen"]["rmse"] = 1.5e-5
    (failed,) = [one for one in rows(found) if one.verdict == "not reproduced"]
    assert failed.name.endswith("RMSE over that of the published network")
