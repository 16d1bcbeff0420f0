"""Drift: drawn frames of known conditions are measured, and each change is named by its cause."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.drift.frames import SHAPE, draw

from spinscope.drift import Reference, judge, make_reference, measure_frame, sentence
from spinscope.errors import SpinscopeError


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Training set of sources whose conditions vary by some ten per cent."""
    rng = np.random.default_rng(1)
    sources = []
    for _ in range(32):
        vary = lambda value: value * rng.lognormal(0, 0.12)  # noqa: E731
        frame = draw(rng, diameter=vary(14), blur=vary(1.2), noise=vary(0.04), depth=vary(0.25),
                     slope=vary(0.02))  # fmt: skip
        sources.append(measure_frame(*frame))
    return make_reference(sources)


def test_a_drawn_frame_is_measured():
    frame = draw(np.random.default_rng(1), diameter=20, blur=1.5, noise=0.05, depth=0.3, slope=0.1)
    values = measure_frame(*frame)
    assert values["noise"] == pytest.approx(5, rel=0.05)
    assert values["gradient"] == pytest.approx(10, rel=0.1)
    assert values["contrast"] == pytest.approx(30, rel=0.15)
    assert values["diameter_px"] == pytest.approx(20, rel=0.03)
    assert values["edge_px"] == pytest.approx(1.683 * 1.5, rel=0.25)  # 20 to 80 % of a Gaussian
    assert values["contrast_0"] < -0.5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, "in range"),
        ({"noise": 0.1}, "out of range: noise"),
        ({"blur": 3.5}, "out of range: blur"),
        ({"depth": 0.08}, "out of range: contrast"),
        ({"slope": 0.15}, "out of range: gradient"),
        ({"zoom": 2.0}, "out of range: scale"),
        ({"diameter": 21.0}, "out of range: object size"),
    ],
)
def test_a_change_is_named_by_its_cause(reference, change, named):
    for seed in (7, 8):
        frame = draw(np.random.default_rng(seed), **change)
        assert sentence(judge(measure_frame(*frame), reference)) == named


def test_an_inverted_frame_is_named(reference):
    image, mask = draw(np.random.default_rng(9))
    assert sentence(judge(measure_frame(1 - image, mask), reference)) == "out of range: polarity"


def test_a_training_set_of_both_polarities_has_no_limit_of_polarity():
    rng = np.random.default_rng(3)
    frames = [draw(rng) for _ in range(12)]
    values = [
        measure_frame(image if k % 2 else 1 - image, mask) for k, (image, mask) in enumerate(frames)
    ]
    reference = make_reference(values)
    assert all(sentence(judge(one, reference)) == "in range" for one in values)


def test_limits_hold_for_sources_like_the_training_set(reference):
    rng, out = np.random.default_rng(11), 0
    for _ in range(40):
        vary = lambda value: value * rng.lognormal(0, 0.12)  # noqa: E731
        frame = draw(rng, diameter=vary(14), blur=vary(1.2), noise=vary(0.04), depth=vary(0.25),
                     slope=vary(0.02))  # fmt: skip
        out += sentence(judge(measure_frame(*frame), reference)) != "in range"
    assert out <= 6  # one of twenty is expected; more than 6 have a probability of 1 %


def test_a_frame_without_objects_is_judged_by_its_pixels(reference):
    rng = np.random.default_rng(5)
    image = (0.5 + rng.normal(0, 0.15, SHAPE)).clip(0, 1).astype(np.float32)
    judged = judge(measure_frame(image, np.zeros(SHAPE, dtype=bool)), reference)
    assert sentence(judged) == "out of range: noise"
    assert [one.name for one in judged if one.value is None] == [
        "contrast", "blur", "scale", "polarity", "object size",
    ]  # fmt: skip


def test_a_reference_survives_json(reference):
    again = Reference.from_json(json.loads(json.dumps(reference.to_json())))
    assert again.to_json() == reference.to_json()
    limits = [(one.low, one.high) for one in judge(measure_frame(*draw(np.random.default_rng(2))),
                                                   again)]  # fmt: skip
    assert all(low is not None or high is not None for low, high in limits)


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.pop("centre"),
        lambda value: value["ranges"].update(colour=value["ranges"]["noise"]),
        lambda value: value["ranges"]["noise"].update(median=float("nan")),
        lambda value: value["ranges"].update(noise=3),
        lambda value: value["ranges"]["noise"].update(high=[0, 2]),
        lambda value: value["ranges"]["blur"].update(high=[1e200, 2]),
        lambda value: value["ranges"]["blur"].update(median=1e6),
        lambda value: value.update(sources="many"),
    ],
)
def test_a_damaged_reference_is_refused(reference, damage):
    value = json.loads(json.dumps(reference.to_json()))
    damage(value)
    with pytest.raises(SpinscopeError, match=r"imaging\.json must hold"):
        Reference.from_json(value)


def test_too_few_sources_have_no_limits():
    frame = measure_frame(*draw(np.random.default_rng(0)))
    with pytest.raises(SpinscopeError, match="4 sources are too few"):
        make_reference([frame] * 4)
