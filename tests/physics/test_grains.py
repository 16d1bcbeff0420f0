"""Grains: number, periodicity, and material constants."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.grains import exchange_factors, grain_ms, voronoi_grains

CELL, SIZE = 3e-9, 60e-9


def tessellations(n: int, shape=(120, 160), **changes) -> list[np.ndarray]:
    values = {"cell": CELL, "size": SIZE, "kinds": 256} | changes
    return [voronoi_grains(shape, rng=np.random.default_rng(seed), **values) for seed in range(n)]


def test_grains_have_the_mean_size():
    """N grains of 256 kinds, N Poisson distributed: 256 (1 - exp(-N / 256)) kinds on average."""
    expected = 120 * 160 * (CELL / SIZE) ** 2
    kinds = [len(np.unique(grain)) for grain in tessellations(60)]
    assert np.mean(kinds) == pytest.approx(256 * (1 - np.exp(-expected / 256)), rel=0.05)


def test_grains_continue_across_the_border():
    """The first and last column have as many boundaries as any other two neighbours."""
    grains = np.array(tessellations(80))
    for axis in (1, 2):
        other = grains != np.roll(grains, 1, axis)
        apart = other.mean(tuple({0, 1, 2} - {axis}))
        assert apart[0] == pytest.approx(apart[1:].mean(), rel=0.15)


def test_grains_depend_on_the_seed():
    first, other = tessellations(2)
    assert first.dtype == np.uint8
    assert first.shape == (120, 160)
    assert np.array_equal(first, tessellations(1)[0])
    assert not np.array_equal(first, other)


def test_grains_larger_than_the_film_leave_one():
    assert all(len(np.unique(grain)) == 1 for grain in tessellations(3, size=1.0))


@pytest.mark.parametrize(
    ("changes", "named"), [({"size": 0.0}, r"size \(=0.0 m\)"), ({"kinds": 257}, r"\(=257\)")]
)
def test_impossible_grains_are_errors(changes, named):
    with pytest.raises(SpinscopeError, match=named):
        tessellations(1, **changes)


def test_ms_of_grains_is_drawn_in_whole_per_cents_within_the_limits():
    values = grain_ms(2.8e5, 0.25, (1.5e5, 3e5), 4000, np.random.default_rng(0))
    per_cent = 100 * (values / 2.8e5 - 1)
    assert per_cent == pytest.approx(per_cent.round(), abs=1e-9)
    assert set(per_cent.round()) == set(range(-25, 8))
    wide = grain_ms(2.2e5, 0.25, (1.5e5, 3e5), 4000, np.random.default_rng(0))
    assert wide.mean() == pytest.approx(2.2e5, rel=0.01)
    with pytest.raises(SpinscopeError, match="no Ms within 25%"):
        grain_ms(1e5, 0.25, (1.5e5, 3e5), 4, np.random.default_rng(0))


def test_exchange_is_weak_only_between_grains():
    grain = np.zeros((4, 6), np.uint8)
    grain[1:3, 2:5] = 7
    along_x, along_y = exchange_factors(grain, 0.9)
    weak_x, weak_y = np.zeros((2, *grain.shape), bool)
    weak_x[1:3, [1, 4]] = True  # entered at column 2, left after column 4
    weak_y[[0, 2], 2:5] = True
    assert np.array_equal(along_x, np.where(weak_x, np.float32(0.9), 1))
    assert np.array_equal(along_y, np.where(weak_y, np.float32(0.9), 1))
    grain[:, 0] = 3  # meets the last column across the border
    assert np.all(exchange_factors(grain, 0.9)[0][:, -1] == np.float32(0.9))
