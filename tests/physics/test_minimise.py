"""Relaxed films: torque, energy, charge, and independence of the films beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinscope.physics.effective_field import Grid, arrays, field_and_energy
from spinscope.physics.film import MU_0, Material
from spinscope.physics.minimise import Start, prolong, relax, smoother
from spinscope.physics.stripes import stripes
from spinscope.physics.topology import state

# Of the same size in nanometres.
FINE = Grid(64, 64, 3 * 1e-9, 27.5 * 1e-9, 2)
COARSE = Grid(32, 32, 6 * 1e-9, 27.5 * 1e-9, 2)
TOLERANCE = 2e-3
MATERIAL = {"a_ex": 1.5e-11, "dmi": 1.15e-3, "b_ext": 0.4}
MS = 2.2e5


def random_start(grid: Grid, seed: int) -> Start:
    m = np.random.default_rng(seed).standard_normal((3, *grid.shape), dtype=np.float32)
    one = np.ones(1)
    values = arrays(
        grid, MS * np.ones((1, *grid.shape)), 1.5e-11 * one, 1.15e-3 * one, 0 * one, 0.4 * one
    )
    return Start(m / np.sqrt((m * m).sum(0)), {key: value[0] for key, value in values.items()})


def relaxed(grid, films, kind="interfacial", tolerance=TOLERANCE, **options):
    return dict(relax(grid, kind, films, tolerance=tolerance, **options))


@pytest.fixture(scope="module")
def starts(reversed_disc) -> list[Start]:
    """More films than threads, quick and slow ones."""
    return [
        random_start(COARSE, 0),
        reversed_disc(COARSE, at=(0.1, 0.9)),
        random_start(COARSE, 1),
        reversed_disc(COARSE, radius=40e-9),
        random_start(COARSE, 2),
    ]


@pytest.fixture(scope="module")
def results(starts):
    return relaxed(COARSE, starts)


def test_the_torque_of_every_film_is_below_the_tolerance(results, evaluate):
    assert sorted(results) == [0, 1, 2, 3, 4]
    for result in results.values():
        assert result.converged
        assert result.torque <= TOLERANCE
        assert result.evaluations > 0
        m = result.m[None].astype(np.float64)
        assert np.linalg.norm(m, axis=1) == pytest.approx(1, abs=1e-6)
        h, energy = evaluate(m, COARSE, **MATERIAL)
        torque = np.linalg.norm(np.cross(m, h, axis=1), axis=1).max() / MS
        assert torque == pytest.approx(result.torque, rel=0.05)
        assert energy[0] == pytest.approx(result.energy, rel=1e-6)


def test_no_film_has_more_energy_than_at_its_start(starts, results, evaluate):
    for index, result in results.items():
        _, before = evaluate(starts[index].m[None], COARSE, **MATERIAL)
        assert result.energy < before[0]


def test_a_relaxed_film_is_a_minimum(results, evaluate):
    """Any small rotation of the spins raises the energy, except a shift of the film."""
    rng = np.random.default_rng(0)
    for result in results.values():
        m = result.m + 0.05 * rng.standard_normal(result.m.shape)
        m /= np.linalg.norm(m, axis=0)
        _, energy = evaluate(m[None], COARSE, **MATERIAL)
        assert energy[0] > result.energy


def test_relaxed_films_have_an_integer_charge(results):
    for result in results.values():
        charge = state(np.moveaxis(result.m, 0, -1)).charge
        assert charge == pytest.approx(round(charge), abs=1e-5)


def test_a_film_does_not_depend_on_the_films_beside_it(starts, results):
    """Other neighbours and another order give the same bits."""
    alone = relaxed(COARSE, [starts[2]])[0]
    turned = relaxed(COARSE, [starts[1], starts[2]])
    for other in (alone, turned[1]):
        assert np.array_equal(other.m, results[2].m)
        assert (other.energy, other.torque) == (results[2].energy, results[2].torque)
    assert np.array_equal(turned[0].m, results[1].m)


def test_a_film_that_cannot_be_relaxed_does_not_affect_the_others(starts, results):
    broken = replace(starts[0], m=np.full_like(starts[0].m, np.nan))
    got = relaxed(COARSE, [broken, starts[1], starts[3]])
    assert not got[0].converged
    assert np.array_equal(got[1].m, results[1].m)
    assert np.array_equal(got[2].m, results[3].m)


def test_a_film_ends_at_the_limit_of_its_evaluations(starts):
    got = relaxed(COARSE, [starts[0]], tolerance=1e-9, evaluations=20)[0]
    assert not got.converged
    assert 1e-9 < got.torque < np.inf
    assert got.evaluations == 2 * 20  # of two stages


def test_the_start_of_a_film_is_not_changed(starts):
    before = starts[0].m.copy()
    relaxed(COARSE, [starts[0]], evaluations=20)
    assert np.array_equal(starts[0].m, before)


def test_films_that_are_no_longer_wanted_end_at_once():
    """The threads stop within a step; the films still to come are not drawn."""
    drawn = []

    def endless():
        for seed in range(10**6):
            drawn.append(seed)
            yield random_start(COARSE, seed)

    films = relax(COARSE, "interfacial", endless(), tolerance=TOLERANCE)
    next(films)
    films.close()
    assert len(drawn) < 100


def test_no_films_are_no_results():
    assert relaxed(COARSE, []) == {}


@pytest.mark.parametrize(
    ("kind", "grid", "radial", "around"), [("interfacial", FINE, 1, 0), ("bulk", COARSE, 0, -1)]
)
def test_the_dmi_makes_neel_or_bloch_skyrmions(reversed_disc, kind, grid, radial, around):
    """Magnetisation of the wall along the gradient of m_z, and across it."""
    result = relaxed(grid, [reversed_disc(grid)], kind, coarse=grid == FINE)[0]
    assert result.converged
    m = np.moveaxis(result.m, 0, -1).astype(np.float64)
    found = state(m)
    assert (found.kind, found.objects) == ("skyrmions", 1)
    assert found.charge == pytest.approx(-1, abs=1e-5)
    assert 10e-9 < grid.cell * np.sqrt((m[..., 2] < 0).sum() / np.pi) < 40e-9
    gx, gy = (np.roll(m[..., 2], -1, axis) - np.roll(m[..., 2], 1, axis) for axis in (1, 0))
    wall = np.hypot(gx, gy) > 0.1
    size = (np.hypot(gx, gy) * np.hypot(m[..., 0], m[..., 1]))[wall]
    along = (m[..., 0] * gx + m[..., 1] * gy)[wall] / size
    across = (m[..., 0] * gy - m[..., 1] * gx)[wall] / size
    assert along == pytest.approx(np.full(wall.sum(), radial), abs=0.15)
    assert across == pytest.approx(np.full(wall.sum(), around), abs=0.15)


def test_waves_that_fit_both_grids_survive_refinement():
    """The error of bilinear interpolation is at most (k cell)² / 8, without a shift."""

    def wave(grid):
        y, x = (2 * np.pi * (np.arange(n) + 0.5) / n for n in grid.shape)
        polar, azimuth = 0.3 + np.sin(x)[None] * np.cos(y)[:, None], y[:, None] + 0 * x
        sin = np.sin(polar)
        return np.stack([sin * np.cos(azimuth), sin * np.sin(azimuth), np.cos(polar)])

    fine = prolong(wave(COARSE).astype(np.float32))
    assert fine.shape == (3, 64, 64)
    assert np.abs(fine - wave(FINE)).max() < (2 * np.pi / 32) ** 2 / 4
    assert np.linalg.norm(fine, axis=0) == pytest.approx(1, abs=1e-6)


def test_opposite_spins_do_not_make_a_spin_without_length():
    m = np.zeros((3, 2, 2), np.float32)
    m[0] = [[1, 1], [-1, -1]]
    assert np.isfinite(prolong(m)).all()


def test_the_smoother_divides_each_wave_by_its_stiffness(starts):
    """1 + l² k² with the exchange length l and k² of the lattice."""
    y, x = np.mgrid[:32, :32]
    wave = np.cos(2 * np.pi * (3 * x + 2 * y) / 32)
    smooth = smoother(COARSE, starts[0].arrays)(np.float32([wave, 2 * wave, 0 * wave]))
    squared = sum((2 * np.sin(np.pi * n / 32) / COARSE.cell) ** 2 for n in (3, 2))
    stiffness = 1 + 2 * 1.5e-11 / (MU_0 * MS**2) * squared
    assert smooth[0] == pytest.approx(wave / stiffness, abs=1e-5)
    assert smooth[1] == pytest.approx(2 * wave / stiffness, abs=1e-5)


WALLS = Material(1e4, 1e-11, 0.0, 2e5, cell=2e-9, thickness=2e-9)
"""Film with hardly any stray field, in which only the external field moves walls."""
LINE = Grid(16, 64, WALLS.cell, WALLS.thickness)
FRICTION = 1e3


def stripes_in_a_field(pressure: float, m=None, friction: float | None = FRICTION) -> Start:
    """A domain up and one down, on whose walls the field exerts a pressure in units of FRICTION."""
    one = np.ones(1)
    values = arrays(
        LINE,
        WALLS.ms * np.ones((1, *LINE.shape)),
        WALLS.a_ex * one,
        0 * one,
        WALLS.ku * one,
        pressure * FRICTION / (2 * WALLS.ms) * one,
        friction=None if friction is None else friction * one,
    )
    if m is None:
        m = stripes(WALLS, LINE.shape, 1)
        m[1] = np.abs(m[1])  # two walls that turn alike would not annihilate
    return Start(m, {key: value[0] for key, value in values.items()})


def test_friction_holds_a_wall_up_to_its_pressure():
    """A field exerts the pressure 2 Ms B: below the friction no spin moves, above it all do."""
    free = relaxed(LINE, [stripes_in_a_field(0, friction=None)], "bulk")[0].m
    starts = [stripes_in_a_field(pressure, free) for pressure in (0.9, 1.1)]
    found = relaxed(LINE, starts, "bulk")
    below, above = found[0], found[1]
    assert below.m == pytest.approx(free, abs=1e-6)
    assert below.torque == 0
    assert above.m[2].min() > 0.99
    alone = relaxed(LINE, [stripes_in_a_field(0.9, free, friction=None)], "bulk")[0]
    assert alone.m[2].min() > 0.99


def test_the_torque_that_is_left_is_that_of_the_friction():
    """A wall that is too wide contracts until the friction holds it."""
    wide = stripes(replace(WALLS, ku=5e4), LINE.shape, 1)
    start = stripes_in_a_field(0, wide)
    held = relaxed(LINE, [start], "bulk")[0]
    films = {key: np.asarray(value)[None] for key, value in start.arrays.items()}
    limit = FRICTION / (2 * MU_0 * WALLS.ms)
    torques = []
    for m in (wide, held.m):
        h, _ = field_and_energy(LINE, "bulk", m[None], films)
        torques.append(np.linalg.norm(np.cross(m, h[0], axis=0), axis=0).max())
    assert torques[0] > 10 * limit
    assert 0.5 * limit < torques[1] < limit + 1.1 * TOLERANCE * WALLS.ms
