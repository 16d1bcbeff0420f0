"""Topological charge and state of constructed films."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.physics.topology import periodic_objects, state, topological_charge

SIZE = 64


def film(*places: tuple[float, float], radius: float = 7, winding: int = 1, helicity: float = 0.0):
    """Film (H, W, 3) along +z with discs of m_z < 0 at (y, x), whose walls wind."""
    y, x = np.mgrid[:SIZE, :SIZE]
    m = np.zeros((SIZE, SIZE, 3))
    m[..., 2] = 1
    for cy, cx in places:
        dy, dx = ((a - c + SIZE / 2) % SIZE - SIZE / 2 for a, c in ((y, cy), (x, cx)))
        r, azimuth = np.hypot(dy, dx), winding * np.arctan2(dy, dx) + helicity
        polar = 2 * np.arctan2(np.sinh(radius / 2), np.sinh(r / 2))
        here = r < 2 * radius
        sin = np.sin(polar)
        wall = np.stack([sin * np.cos(azimuth), sin * np.sin(azimuth), np.cos(polar)], -1)
        m[here] = wall[here]
    return m


def bars(*columns: slice, rows: slice = slice(None)):
    """Film with m_z < 0 in columns, whose walls do not wind."""
    m = np.zeros((SIZE, SIZE, 3))
    m[..., 2] = 1
    for column in columns:
        m[rows, column, 2] = -1
    m[..., 0] = 0.3
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


@pytest.mark.parametrize("helicity", [0, np.pi / 2, np.pi, -np.pi / 2, 0.7])
def test_a_skyrmion_has_charge_minus_one_whatever_its_chirality(helicity):
    m = film((31.5, 31.5), helicity=helicity)
    assert topological_charge(m) == pytest.approx(-1, abs=1e-6)
    assert topological_charge(-m) == pytest.approx(1, abs=1e-6)  # core and background reversed
    assert topological_charge(m[:, ::-1]) == pytest.approx(1, abs=1e-6)  # mirrored grid alone


def test_an_antiskyrmion_has_the_other_sign():
    assert topological_charge(film((31.5, 31.5), winding=-1)) == pytest.approx(1, abs=1e-6)
    assert topological_charge(film((31.5, 31.5), winding=2)) == pytest.approx(-2, abs=1e-6)


def test_charges_add_up_and_do_not_depend_on_the_border():
    m = film((15, 15), (47, 45))
    assert topological_charge(m) == pytest.approx(-2, abs=1e-6)
    assert topological_charge(np.roll(m, (20, -17), (0, 1))) == pytest.approx(-2, abs=1e-6)


def test_the_charge_is_an_integer_of_any_film():
    m = np.random.default_rng(0).standard_normal((SIZE, SIZE, 3))
    charge = topological_charge(m / np.linalg.norm(m, axis=-1, keepdims=True))
    assert charge == pytest.approx(round(charge), abs=1e-6)


def test_a_uniform_film_and_a_helix_have_no_charge():
    turn = 2 * np.pi * 3 * np.arange(SIZE) / SIZE
    helix = np.broadcast_to(np.stack([np.sin(turn), 0 * turn, np.cos(turn)], -1), (SIZE, SIZE, 3))
    assert topological_charge(helix) == pytest.approx(0, abs=1e-9)
    assert topological_charge(bars()) == pytest.approx(0, abs=1e-9)


STATES = {
    "uniform": (bars(), "uniform", 0),
    "reversed": (-bars(), "uniform", 1),
    "skyrmions": (film((15, 15), (47, 45)), "skyrmions", 2),
    "across the border": (np.roll(film((31.5, 31.5)), (32, 32), (0, 1)), "skyrmions", 1),
    "opposite charges": (np.where(np.arange(SIZE)[:, None, None] < 32, film((15, 15), (47, 45)),
                                  film((15, 15), (47, 45), winding=-1)), "other", 2),
    "bubbles without charge": (bars(slice(20, 30), rows=slice(20, 30)), "other", 1),
    "stripes": (bars(slice(5, 15), slice(35, 45)), "stripes", 2),
    "short stripe": (bars(slice(5, 13), rows=slice(10, 40)), "stripes", 1),
    "mixed": (np.where(np.arange(SIZE)[:, None] < 32, film((31.5, 15)),
                       bars(slice(45, 55))), "mixed", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_the_state_of_a_film(name):
    m, kind, objects = STATES[name]
    found = state(m)
    assert (found.kind, found.objects) == (kind, objects)
    assert found.charge == pytest.approx(topological_charge(m))


def test_the_state_is_invariant_under_shifts():
    for m, kind, objects in STATES.values():
        for shift in ((0, 11), (29, 50)):
            moved = state(np.roll(m, shift, (0, 1)))
            assert (moved.kind, moved.objects) == (kind, objects)


def test_objects_join_across_both_borders():
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = mask[-1, 0] = mask[0, -1] = mask[-1, -1] = mask[4, 4] = True
    labels, count = periodic_objects(mask)
    assert count == 2
    assert len({labels[0, 0], labels[-1, 0], labels[0, -1], labels[-1, -1]}) == 1
    assert labels[4, 4] not in (0, labels[0, 0])
    assert not labels[~mask].any()
    assert periodic_objects(np.zeros((5, 5), bool))[1] == 0
    # a snake that goes around twice before it meets itself
    snake = np.zeros((8, 8), bool)
    snake[1, :], snake[4, :], snake[1:5, 0] = True, True, True
    assert periodic_objects(snake)[1] == 1
