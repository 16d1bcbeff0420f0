"""Simulated reversal: the figures that were put in are those of the frames."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics import reversal

SHAPE = (96, 128)
LOOP = {"coercive": 10e-3, "width": 1.5e-3, "bias": 2e-3}


def test_a_loop_has_its_coercive_field_bias_and_remanence():
    fields = reversal.sweep_fields(124, 30e-3)
    m = reversal.hysteresis(fields, SHAPE, np.random.default_rng(0), **LOOP)
    assert m.shape == (124, *SHAPE)
    assert m.dtype == np.float32
    mean, lowest = m.mean(axis=(1, 2)), fields.argmin()
    down = float(np.interp(0, -mean[: lowest + 1], fields[: lowest + 1]))
    up = float(np.interp(0, mean[lowest:], fields[lowest:]))
    assert (up - down) / 2 == pytest.approx(LOOP["coercive"], abs=1e-4)
    assert (up + down) / 2 == pytest.approx(LOOP["bias"], abs=1e-4)
    for direction, part in ((-1, slice(0, lowest + 1)), (1, slice(lowest, None))):
        expected = reversal.branch(fields[part], direction, **LOOP)
        np.testing.assert_allclose(mean[part], expected, atol=2e-3)


@pytest.mark.parametrize("alpha", [1.5, 2.4])
def test_a_bubble_grows_by_the_creep_law(alpha):
    steps = np.linspace(-5e-3, -10e-3, 5)
    fields = np.concatenate([[0.0], np.repeat(steps, 6)])
    v0 = 1.5e-6 * np.exp(alpha * 10e-3**-0.25)
    m = reversal.expanding_bubble(
        fields, (192, 192), interval=1.0, pixel_size=1e-6, start=10e-6, v0=v0, alpha=alpha
    )
    radius = np.sqrt((1 - m).sum(axis=(1, 2)) / 2 / np.pi) * 1e-6
    velocity = np.diff(radius).reshape(5, 6).mean(axis=1)
    slope, at_zero = np.polyfit(np.abs(steps) ** -0.25, np.log(velocity), 1)
    assert -slope == pytest.approx(alpha, rel=0.02)
    assert at_zero == pytest.approx(np.log(v0), rel=0.02)


def test_walls_are_slowest_where_the_in_plane_field_cancels_that_of_the_dmi():
    sideways = np.linspace(-0.15, 0.15, 13)
    start, frames = 20e-6, 6
    restarts = range(0, frames * len(sideways), frames)
    m = reversal.expanding_bubble(
        np.full(frames * len(sideways), -7e-3),
        (128, 160),
        interval=1.0,
        pixel_size=1e-6,
        start=start,
        v0=8e-3,
        alpha=2.4,
        in_plane=np.repeat(sideways, frames),
        dmi_field=50e-3,
        saturation=0.4,
        restarts=restarts,
    )
    last = m[frames - 1 :: frames]
    rows = (1 - last[:, 63:65].mean(axis=1)) / 2
    left, right = rows[:, :80].sum(axis=1), rows[:, 80:].sum(axis=1)
    for extent, expected in ((right, -50e-3), (left, 50e-3)):
        quartic = np.polynomial.Polynomial.fit(sideways, extent, 4)
        fine = np.linspace(-0.12, 0.12, 2001)
        assert fine[quartic(fine).argmin()] == pytest.approx(expected, abs=5e-3)
    np.testing.assert_array_equal(m[0], m[frames])  # every bubble starts alike


def test_stripes_have_their_period_and_narrow_with_the_field():
    fields = np.array([40e-3, 0.0, 10e-3])
    m = reversal.stripe_domains(
        fields, SHAPE, np.random.default_rng(3), period=16.0, saturation=30e-3
    )
    assert (m[0] == 1).all()
    for image, width in zip(m[1:], (8.0, 16 / 3), strict=True):
        inside = (1 - image) / 2
        area = inside.sum()
        edges = np.hypot(*np.gradient(ndimage.gaussian_filter(inside, 1.0))).sum()  # wall length
        assert 2 * area / edges == pytest.approx(width, rel=0.04)


def test_bubbles_switch_in_the_frames_and_at_the_places_of_their_events():
    fields = reversal.sweep_fields(84, 15e-3)
    m, events = reversal.switching_bubbles(
        fields, SHAPE, np.random.default_rng(1), count=12, radius=5.0,
        nucleation=(-6e-3, 2e-3), annihilation=(8e-3, 2e-3),
    )  # fmt: skip
    counts = [ndimage.label(image < 0)[1] for image in m]
    assert max(counts) == 12
    assert counts[0] == counts[-1] == 0
    steps = np.zeros(len(fields), int)
    for one in events:
        assert isinstance(one["frame"], int)
        steps[one["frame"]] += 1 if one["event"] == "nucleation" else -1
        there = m[:, round(one["y_px"]), round(one["x_px"])]
        before, after = there[one["frame"] - 1], there[one["frame"]]
        assert (before, after) == ((1, -1) if one["event"] == "nucleation" else (-1, 1))
        low, high = sorted(fields[one["frame"] - 1 : one["frame"] + 1])
        assert low <= one["field"] <= high
    np.testing.assert_array_equal(np.cumsum(steps), counts)


def test_the_same_seed_gives_the_same_frames():
    fields = reversal.sweep_fields(12, 30e-3)
    one, other, third = (
        reversal.hysteresis(fields, SHAPE, np.random.default_rng(seed), **LOOP)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()


def test_bad_input_is_an_error():
    rng = np.random.default_rng(0)
    with pytest.raises(SpinscopeError, match=r"n \(=10\) must be at least 12"):
        reversal.sweep_fields(10, 1e-2)
    with pytest.raises(SpinscopeError, match=r"width \(=0\) must be above 0"):
        reversal.hysteresis([0.0], SHAPE, rng, coercive=1e-2, width=0)
    with pytest.raises(SpinscopeError, match="must stay below saturation"):
        reversal.creep_velocity(1e-3, v0=1, alpha=1, in_plane=0.3, dmi_field=0.1, saturation=0.4)
