"""Coercive field, remanence and bias of simulated loops are recovered within their errors."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.analysis.loops import hysteresis_loop
from spinscope.errors import SpinscopeError
from spinscope.physics.reversal import branch, hysteresis, sweep_fields


def test_the_error_bars_hold_the_truth():
    """Of 40 loops of other steps, widths and noise, 90 % intervals hold 85 % at least."""
    rng, inside = np.random.default_rng(4), []
    for _ in range(40):
        field = sweep_fields(int(rng.integers(40, 100)), 0.05)
        known = {
            "coercive": rng.uniform(0.005, 0.02),
            "width": rng.uniform(3e-4, 4e-3),
            "bias": rng.uniform(-4e-3, 4e-3),
        }
        m = hysteresis(field, (48, 48), rng, **known).mean(axis=(1, 2))
        loop = hysteresis_loop(field, 0.3 + 0.02 * (m + rng.normal(0, 0.05, m.size)))
        remanence = np.mean([abs(branch(0, direction, **known)) for direction in (-1, 1)])
        truth = (known["coercive"], known["bias"], remanence)
        found = (loop.coercive, loop.bias, loop.remanence)
        inside.append([abs(f.value - t) < 1.645 * f.se for f, t in zip(found, truth, strict=True)])
    assert (np.mean(inside, axis=0) >= 0.85).all()


def tanh_loop(n: int = 120, **known: float) -> tuple[np.ndarray, np.ndarray]:
    field = sweep_fields(n, 0.05)
    direction = np.append(np.sign(np.diff(field)), 1)
    known = {"coercive": 0.01, "width": 1.5e-3} | known
    return field, np.where(direction > 0, branch(field, 1, **known), branch(field, -1, **known))


def test_sign_offset_and_unit_of_the_signal_do_not_matter():
    field, m = tanh_loop(bias=0.002)
    plain, other = hysteresis_loop(field, m), hysteresis_loop(1e3 * field, 7 - 3 * m)
    assert plain.coercive.value == pytest.approx(0.01, rel=0.01)
    assert plain.bias.value == pytest.approx(0.002, rel=0.02)
    assert other.coercive.value == pytest.approx(1e3 * plain.coercive.value)
    assert plain.branches == 2 and plain.remanence.value > 0.99


def test_a_slope_of_the_background_is_subtracted():
    field, m = tanh_loop()
    tilted = m + 8 * field
    loop = hysteresis_loop(field, tilted, background=True)
    np.testing.assert_allclose(loop.m, hysteresis_loop(field, m).m, atol=0.01)
    assert np.abs(hysteresis_loop(field, tilted).m - loop.m).max() > 0.1


def test_frames_without_a_value_are_left_out():
    field, m = tanh_loop()
    m[[5, 40]], field[70] = np.nan, np.nan
    loop = hysteresis_loop(field, m)
    assert np.isnan(loop.m[[5, 40, 70]]).all() and np.isfinite(loop.m).sum() == len(m) - 3
    assert loop.coercive.value == pytest.approx(0.01, rel=0.02)


def test_more_cycles_give_a_smaller_error():
    rng = np.random.default_rng(2)
    field, m = tanh_loop()
    once = hysteresis_loop(field, m + rng.normal(0, 0.05, m.size))
    field, m = np.tile(field, 6), np.tile(m, 6)
    often = hysteresis_loop(field, m + rng.normal(0, 0.05, m.size))
    assert often.branches == 12 and often.coercive.se < 0.6 * once.coercive.se


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h, m: (h[:60], m[:60]), "has no ascending branch over at least 60%"),
        (lambda h, m: (h, np.random.default_rng(0).normal(0, 1, m.size)), "shows no hysteresis"),
        (lambda h, m: (h[::30], m[::30]), "needs at least 8 frames"),
        (lambda h, m: (h, m[1:]), "must be of one length"),
        (lambda h, m: (0 * h, m), "at different fields"),
        (lambda h, m: (h, tanh_loop(coercive=-0.01)[1]), "before the descending one"),
    ],
)
def test_what_is_no_loop_is_one_sentence(change, words):
    with pytest.raises(SpinscopeError, match=words):
        hysteresis_loop(*change(*tanh_loop()))
