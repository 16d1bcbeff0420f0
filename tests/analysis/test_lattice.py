"""Order of perfect lattices, of random positions, and of too few objects."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.analysis import lattice_order, lattice_summary, pair_correlation
from spinscope.errors import SpinscopeError


def triangular(rows: int = 12, columns: int = 12, a: float = 20.0, turn: float = 0.0):
    j, i = np.divmod(np.arange(rows * columns), columns)
    y, x = j * a * np.sqrt(3) / 2, i * a + (j % 2) * a / 2
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([y * cos + x * sin, x * cos - y * sin], axis=-1) + 15


def square(n: int = 12, a: float = 20.0) -> np.ndarray:
    return np.stack(np.divmod(np.arange(n * n), n), axis=-1) * a + 15.0


def test_a_triangular_lattice_is_perfect():
    table = lattice_order(triangular())
    inner = table["interior"]
    assert inner.sum() == 100  # all but the outermost rows
    np.testing.assert_allclose(table["psi6"][inner], 1, atol=1e-6)
    assert (table["psi4"][inner] < 1e-4).all()
    assert (table["neighbours"][inner] == 6).all()
    assert (table["delaunay_neighbours"][inner] == 6).all()
    np.testing.assert_allclose(table["cell_area_px"][inner], 400 * np.sqrt(3) / 2)
    np.testing.assert_allclose(table["nearest_px"], 20)
    assert not table["lattice_defect"].any()
    for name in ("psi6", "psi6_deg", "psi4", "neighbours", "cell_area_px"):
        assert np.isnan(table[name][~inner]).all()
    summary = lattice_summary(table)
    assert summary["lattice_px"] == pytest.approx(20)
    assert summary["psi6_mean"] == pytest.approx(1, abs=1e-6)
    assert summary["psi6_global"] == pytest.approx(1, abs=1e-6)
    numbers = [summary[key] for key in ("objects", "interior_objects", "lattice_defects")]
    assert numbers == [144, 100, 0]


def test_the_direction_of_the_lattice_is_found():
    table = lattice_order(triangular(turn=np.deg2rad(10)))  # from x towards y
    np.testing.assert_allclose(table["psi6_deg"][table["interior"]], 10, atol=1e-4)


def test_a_square_lattice_has_four_neighbours_with_noise_or_without():
    perfect = lattice_order(square())
    inner = perfect["interior"]
    np.testing.assert_allclose(perfect["psi4"][inner], 1, atol=1e-6)
    assert (perfect["neighbours"][inner] == 4).all()
    assert (perfect["psi6"][inner] < 1e-5).all()
    noise = np.random.default_rng(0).normal(scale=0.3, size=(144, 2))
    noisy = lattice_summary(lattice_order(square() + noise))
    assert noisy["psi4_mean"] > 0.95
    assert noisy["psi6_mean"] < 0.3


def test_a_vacancy_gives_defects():
    positions = np.delete(triangular(), 66, axis=0)
    table = lattice_order(positions)
    around = np.hypot(*(positions - triangular()[66]).T) < 21
    np.testing.assert_array_equal(table["lattice_defect"], around)
    assert (table["neighbours"][around] == 5).all()
    # with noise three bonds cross the vacancy: fives and sevens, of no charge together
    noise = np.random.default_rng(2).normal(scale=0.4, size=positions.shape)
    table = lattice_order(positions + noise)
    found = table["neighbours"][table["lattice_defect"]]
    assert {5, 7} <= set(found)
    assert (found - 6).sum() == 0
    assert lattice_summary(table)["lattice_defects"] == len(found)


def test_two_crystals_have_local_order_and_no_global():
    a, b = triangular(20, 20), triangular(20, 20, turn=np.deg2rad(30))
    b = b - b.min(axis=0) + [0, a[:, 1].max() + 30]
    summary = lattice_summary(lattice_order(np.concatenate([a, b])))
    assert summary["psi6_mean"] > 0.9
    assert summary["psi6_global"] < 0.15


def test_cells_are_those_of_freud():
    import freud

    positions = np.random.default_rng(1).random((300, 2)) * 100
    table = lattice_order(positions)
    points = np.pad(positions - 50, ((0, 0), (0, 1)))[:, [1, 0, 2]]
    voronoi = freud.locality.Voronoi()
    voronoi.compute((freud.box.Box.square(400), points))
    inner = table["interior"]
    assert 200 < inner.sum() < 290
    np.testing.assert_allclose(table["cell_area_px"][inner], voronoi.volumes[inner], rtol=1e-4)
    np.testing.assert_array_equal(table["neighbours"][inner], voronoi.nlist.neighbor_counts[inner])
    hexatic = freud.order.Hexatic(k=6)
    hexatic.compute((freud.box.Box.square(400), points), neighbors=voronoi.nlist)
    psi6 = table["psi6"] * np.exp(6j * np.deg2rad(table["psi6_deg"]))
    np.testing.assert_allclose(psi6[inner], hexatic.particle_order[inner], atol=1e-3)


@pytest.mark.parametrize(
    "positions",
    [
        np.zeros((0, 2)),
        np.array([[1.0, 2.0]]),
        np.array([[1.0, 2.0], [4.0, 6.0], [9.0, 1.0]]),
        np.stack([np.arange(7.0), np.arange(7.0)], axis=-1),
        np.ones((5, 2)),
    ],
    ids=["none", "one", "three", "on a line", "at one place"],
)
def test_there_is_no_order_without_a_lattice(positions):
    table = lattice_order(positions)
    assert all(len(column) == len(positions) for column in table.values())
    assert not table["interior"].any()
    assert not table["lattice_defect"].any()
    assert np.isnan(table["psi6"]).all()
    summary = lattice_summary(table)
    assert np.isnan(summary["psi6_mean"])
    assert np.isnan(summary["lattice_px"])
    if len(positions) == 3:
        assert table["nearest_px"][0] == pytest.approx(5)


def test_objects_at_one_place_are_one_site():
    positions = np.concatenate([triangular(), triangular()[40:42]])
    table = lattice_order(positions)
    assert table["nearest_px"][144] == 0
    np.testing.assert_allclose(table["psi6"][[40, 144]], 1, atol=1e-6)


def test_independent_objects_have_no_correlation():
    rng = np.random.default_rng(3)
    shape = (200, 320)
    found = [
        pair_correlation(rng.random((300, 2)) * shape - 0.5, shape, r_max=100, width=10)
        for _ in range(40)
    ]
    g = np.mean([one["g"] for one in found], axis=0)
    assert len(g) == 10
    np.testing.assert_allclose(g, 1, atol=0.03)
    assert g[-3:].mean() == pytest.approx(1, abs=0.01)  # half the frame away


def test_a_patterned_film_has_its_own_edges():
    shape = (240, 300)
    film = np.zeros(shape, dtype=bool)
    film[20:130, 20:150] = film[100:220, 190:280] = True
    rng = np.random.default_rng(3)
    found = []
    for _ in range(40):
        positions = rng.random((1200, 2)) * shape - 0.5
        found.append(pair_correlation(positions, shape, r_max=60, width=6, sample_mask=film)["g"])
    np.testing.assert_allclose(np.mean(found, axis=0), 1, atol=0.03)
    whole = np.ones(shape, dtype=bool)
    a = pair_correlation(positions, shape)
    b = pair_correlation(positions, shape, sample_mask=whole)
    np.testing.assert_allclose(a["g"], b["g"], rtol=0.02)


def test_objects_at_the_edge_of_a_device_are_no_defects():
    left = triangular(10, 10)
    right = left + np.array([0, 320.0])
    film = np.zeros((200, 600), dtype=bool)
    for block in (left, right):
        (y0, x0), (y1, x1) = block.min(axis=0).astype(int) - 8, block.max(axis=0).astype(int) + 8
        film[y0:y1, x0:x1] = True
    positions = np.concatenate([left, right])
    assert lattice_order(positions)["lattice_defect"].any()
    table = lattice_order(positions, sample_mask=film)
    assert not table["lattice_defect"].any()
    assert table["interior"].sum() == 2 * 64


def test_shells_of_a_triangular_lattice():
    points = triangular(24, 24, a=20)
    found = pair_correlation(points[(points < 300).all(axis=1)], (300, 300), width=2, r_max=64)
    r, g = found["r_px"], found["g"]
    for shell in (20, 20 * np.sqrt(3), 40, 20 * np.sqrt(7), 60):
        assert g[np.abs(r - shell) <= 2].max() > 2
    assert (g[r < 18] == 0).all()
    assert (g[(r > 23) & (r < 33)] == 0).all()


def test_no_correlation_of_three_objects():
    found = pair_correlation(np.array([[1.0, 2], [5, 5], [9, 1]]), (20, 20))
    assert all(len(column) == 0 for column in found.values())


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: lattice_order(np.zeros((4, 3))), r"must be \(n, 2\)"),
        (lambda: lattice_order(np.array([[np.nan, 1.0]])), "finite"),
        (lambda: pair_correlation(np.full((5, 2), 30.0), (20, 40)), "must lie in the frame"),
        (lambda: pair_correlation(np.ones((5, 2)), (20, 40), r_max=15), "half the shorter side"),
        (lambda: pair_correlation(np.ones((5, 2)), (20, 40), width=0), "0 < width"),
        (
            lambda: pair_correlation(
                np.ones((5, 2)), (20, 40), sample_mask=np.ones((20, 41), dtype=bool)
            ),
            "must be as the frame",
        ),
    ],
)
def test_bad_input_is_named(call, rule):
    with pytest.raises(SpinscopeError, match=rule):
        call()
