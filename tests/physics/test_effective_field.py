"""Effective field against its energy, closed forms, and NeuralMag's terms."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.effective_field import (
    Grid,
    arrays,
    demagnetising_tensor,
    field_and_energy,
    require_jax,
)
from spinscope.physics.film import MU_0

GRID = Grid(32, 48, 3e-9, 27.5e-9, 2)  # not square: x and y cannot be confused
VOLUME = GRID.cell**2 * GRID.thickness
MS, A_EX, DMI, KU, B_EXT = 2.2e5, 1.5e-11, 1.15e-3, 4e4, 0.4
MAGNETS = 1.0  # A/m, so little that the demagnetising energy does not count


def random_film(seed: int = 0, n: int = 1) -> np.ndarray:
    """Random directions of all spins, (n, 3, H, W)."""
    m = np.random.default_rng(seed).standard_normal((n, 3, *GRID.shape))
    return m / np.linalg.norm(m, axis=1, keepdims=True)


def texture(waves: int) -> np.ndarray:
    """Waves of all components along both axes, `waves` periods over the film, (1, 3, H, W)."""
    y, x = np.meshgrid(*(2 * np.pi * waves * np.arange(n) / n for n in GRID.shape), indexing="ij")
    polar, azimuth = 1.5 + 0.8 * np.sin(x + 1) * np.cos(y), np.sin(y) + 0.7 * np.cos(x + y)
    return spherical(polar, azimuth)


def spherical(polar, azimuth) -> np.ndarray:
    """Unit vectors (1, 3, H, W) from their angles."""
    sin = np.sin(polar)
    return np.stack([sin * np.cos(azimuth), sin * np.sin(azimuth), np.cos(polar)])[None]


def helix(waves: int, kind: str, hand: int = 1) -> np.ndarray:
    """Spin spiral along x that rotates in the plane of x and z (cycloid) or of y and z (Bloch)."""
    turn = hand * 2 * np.pi * waves * np.arange(GRID.width) / GRID.width
    turn = np.broadcast_to(turn, GRID.shape)
    return spherical(turn, np.full(GRID.shape, 0.0 if kind == "cycloid" else np.pi / 2))


class Peer:
    """Single terms of a film in NeuralMag; the first axis is x."""

    def __init__(self):
        import neuralmag as nm

        mesh = nm.Mesh(
            (GRID.width, GRID.height),
            (GRID.cell, GRID.cell, GRID.thickness),
            pbc=(GRID.images, GRID.images),
        )
        self.state = state = nm.State(mesh)
        state.m = nm.VectorCellFunction(state).fill((0.0, 0.0, 1.0))
        state.material.Ms = nm.CellFunction(state).fill(MS, expand=True)
        state.material.A, state.material.Ku, state.material.Db = A_EX, KU, DMI
        state.material.Di = -DMI  # of the other sign than mumax3's
        state.material.Di_axis = state.material.Ku_axis = [0.0, 0.0, 1.0]
        h_ext = nm.VectorCellFunction(state).fill((0, 0, B_EXT / MU_0))
        terms = {
            "exchange": nm.ExchangeField(),
            "interfacial": nm.InterfaceDMIField(),
            "bulk": nm.BulkDMIField(),
            "anisotropy": nm.UniaxialAnisotropyField(),
            "external": nm.ExternalField(h_ext),
            "demag": nm.DemagField(),
        }
        for name, term in terms.items():
            term.register(state, name)

    def __call__(self, term: str, m: np.ndarray, ms=MS) -> tuple[np.ndarray, float]:
        """(h (3, H, W), energy) of m (1, 3, H, W) with Ms of the film or of each cell."""
        ms = self.state.tensor(np.broadcast_to(ms, GRID.shape).T)
        m, names = self.state.tensor(m[0].transpose(2, 1, 0)), ["m", "material__Ms"]
        if term == "external":  # a constant, no function of m
            h = np.asarray(self.state.h_external.tensor)
        else:
            h = np.asarray(self.state.resolve(f"h_{term}", names)(m, ms))
        return h.transpose(2, 1, 0), float(self.state.resolve(f"E_{term}", names)(m, ms))


@pytest.fixture(scope="module")
def grains() -> np.ndarray:
    """Ms in four quarters of the film, A/m."""
    ms = np.full(GRID.shape, MS, np.float32)
    ms[:16, :24], ms[16:, 24:] = 1.7e5, 2.8e5
    return ms


@pytest.fixture(scope="module")
def peer() -> Peer:
    require_jax()
    return Peer()


def without_demag(evaluate, m, ms, kind="interfacial", **terms):
    """Field and energy of other terms than the demagnetising field."""
    h, energy = evaluate(m, GRID, kind, ms=ms, **terms)
    h_demag, energy_demag = evaluate(m, GRID, kind, ms=ms)
    return h[0] - h_demag[0], float(energy[0]) - float(energy_demag[0])


def test_the_demagnetising_field_is_neuralmags(peer, grains, evaluate):
    m = random_film()
    ours, energy = evaluate(m, GRID, ms=grains)
    theirs, their_energy = peer("demag", m, grains)
    assert np.abs(ours[0] - theirs).max() < 1e-5 * np.abs(theirs).max()
    assert energy[0] == pytest.approx(their_energy, rel=1e-5)


@pytest.mark.parametrize(
    ("term", "value"), [("external", {"b_ext": B_EXT}), ("anisotropy", {"ku": KU})]
)
def test_terms_of_single_cells_are_neuralmags(peer, grains, evaluate, term, value):
    # NeuralMag takes these terms by the corners of its cells: in a uniform m they are alike.
    m = np.broadcast_to(spherical(0.9, 0.4)[..., None, None], (1, 3, *GRID.shape))
    _, energy = without_demag(evaluate, m, grains, **value)
    assert energy == pytest.approx(peer(term, m, grains)[1], rel=1e-4)
    h, _ = without_demag(evaluate, m, MS, **value)
    theirs, _ = peer(term, m)
    assert np.abs(h - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("term", ["exchange", "interfacial", "bulk"])
def test_terms_of_neighbours_become_neuralmags_in_long_waves(peer, evaluate, term):
    """Both are of second order in the cell: twice the wavelength, a quarter of the difference."""
    values = {"a_ex": A_EX} if term == "exchange" else {"dmi": DMI}
    kind = "bulk" if term == "bulk" else "interfacial"
    field, energy = [], []
    for waves in (1, 2):
        m = texture(waves)
        h, e = without_demag(evaluate, m, MS, kind, **values)
        theirs, their_energy = peer(term, m)
        field.append(np.abs(h - theirs).max() / np.abs(theirs).max())
        energy.append(abs(e / their_energy - 1))
    assert field[0] < 0.1
    assert energy[0] < 0.03
    assert 3.4 < field[1] / field[0] < 4.2
    assert 3.9 < energy[1] / energy[0] < 4.2


@pytest.mark.parametrize("kind", ["interfacial", "bulk"])
def test_the_field_is_the_gradient_of_the_energy(kind):
    """It is - dE/dm / (mu_0 Ms V), also with grains, weak links and an anisotropy of each cell."""
    rng = np.random.default_rng(1)
    two = np.ones(2)
    films = arrays(
        GRID,
        rng.uniform(1.5e5, 3e5, (2, *GRID.shape)),
        A_EX * two,
        DMI * np.array([1, -0.5]),
        KU * rng.uniform(0.5, 1.5, (2, *GRID.shape)),
        B_EXT * two,
        rng.uniform(0.5, 1, (2, 2, *GRID.shape)),
    )
    m = random_film(2, n=2)
    h, _ = field_and_energy(GRID, kind, m, films)
    moment = MU_0 * films["ms"][:, None].astype(np.float64) * VOLUME
    for seed in range(3):
        # The energy is of second order in m: its slope along any direction is a central difference.
        along = rng.standard_normal(m.shape)
        along[:, :, : 8 * (seed + 1)] = 0  # of fewer and fewer cells
        rise = np.subtract(
            *(field_and_energy(GRID, kind, m + s * along, films)[1] for s in (1, -1))
        )
        expected = -2 * (moment * h * along).sum((1, 2, 3))
        scale = 2 * np.abs(moment * h * along).sum((1, 2, 3))
        assert np.abs(rise - expected).max() < 1e-6 * scale.max()


def test_a_uniform_film_has_its_closed_form(evaluate):
    up = np.broadcast_to([[[0.0]], [[0.0]], [[1.0]]], (1, 3, *GRID.shape))
    h, energy = evaluate(up, GRID, a_ex=A_EX, dmi=DMI, ku=KU, b_ext=B_EXT)
    n_zz = float(demagnetising_tensor(GRID)[3, 0, 0])
    along = B_EXT / MU_0 + 2 * KU / (MU_0 * MS) + n_zz * MS
    assert np.abs(h[0, :2]).max() < 1e-6 * along
    assert h[0, 2] == pytest.approx(np.full(GRID.shape, along), rel=1e-5)
    density = -MS * B_EXT - KU - 0.5 * MU_0 * n_zz * MS**2
    assert energy[0] == pytest.approx(density * VOLUME * up[0, 0].size, rel=1e-5)


def test_the_anisotropy_of_each_cell_acts_there(evaluate):
    """Field 2 Ku m_z / (mu_0 Ms) and energy -Ku V of each cell."""
    up = np.broadcast_to([[[0.0]], [[0.0]], [[1.0]]], (1, 3, *GRID.shape))
    ku = KU * np.random.default_rng(0).uniform(0.5, 1.5, (1, *GRID.shape))
    h, energy = evaluate(up, GRID, ku=ku)
    h_without, energy_without = evaluate(up, GRID)
    assert (h - h_without)[0, 2] == pytest.approx(2 * ku[0] / (MU_0 * MS), rel=1e-4)
    assert energy[0] - energy_without[0] == pytest.approx(-ku.sum() * VOLUME, rel=1e-4)


def test_a_uniform_film_has_no_exchange_field(evaluate):
    tilted = np.broadcast_to(spherical(0.7, 2.0)[..., None, None], (1, 3, *GRID.shape))
    alone, _ = evaluate(tilted, GRID)
    with_exchange, _ = evaluate(tilted, GRID, a_ex=A_EX, dmi=DMI)
    assert np.array_equal(alone, with_exchange)


def test_a_wide_film_is_demagnetised_along_its_normal():
    """The tensor tends to diag(0, 0, -1); its trace is -1 for every film."""
    narrow, wide = Grid(16, 16, 3e-9, 27.5e-9, 1), Grid(16, 16, 12e-9, 27.5e-9, 2)
    for grid in (narrow, wide):
        xx, xy, yy, zz = demagnetising_tensor(grid)[:, 0, 0]
        assert xx + yy + zz == pytest.approx(-1, abs=1e-5)
        assert xx == pytest.approx(yy, abs=1e-5)
        assert xy == pytest.approx(0, abs=1e-4)
    assert -0.9 < demagnetising_tensor(narrow)[3, 0, 0] < -0.7
    assert demagnetising_tensor(wide)[3, 0, 0] == pytest.approx(-1, abs=0.03)


@pytest.mark.parametrize(("kind", "right", "wrong"), [
    ("interfacial", "cycloid", "Bloch"), ("bulk", "Bloch", "cycloid"),
])  # fmt: skip
def test_a_helix_has_its_closed_form(evaluate, kind, right, wrong):
    """Density A k² - D k on the lattice, minimal at k = D / 2A for the chirality of the DMI."""
    a, k = GRID.cell, 2 * np.pi * np.arange(1, 6) / (GRID.width * GRID.cell)
    dmi = 2 * A_EX * k[2]
    # Cycloid m = (sin kx, 0, cos kx): w_D = D (m_z dm_x - m_x dm_z) = D k, and the Bloch helix
    # (0, sin kx, cos kx) likewise: what D > 0 favours turns the other way.
    films = np.concatenate([helix(waves, right, -1) for waves in range(1, 6)])
    _, energy = evaluate(films, GRID, kind, ms=MAGNETS, a_ex=A_EX, dmi=dmi)
    density = energy / (VOLUME * films[0, 0].size)
    lattice = A_EX * 2 * (1 - np.cos(k * a)) / a**2 - dmi * np.sin(k * a) / a
    assert density == pytest.approx(lattice, rel=1e-4)
    assert density[:3] == pytest.approx(A_EX * k[:3] ** 2 - dmi * k[:3], rel=0.05)
    assert density.argmin() == 2
    for other in (helix(3, wrong, 1), helix(3, wrong, -1)):
        _, other_energy = evaluate(other, GRID, kind, ms=MAGNETS, dmi=dmi)
        assert abs(other_energy[0]) < 1e-5 * abs(energy[2])
    _, favoured = evaluate(films[2:3], GRID, kind, ms=MAGNETS, dmi=dmi)
    _, other_hand = evaluate(helix(3, right, 1), GRID, kind, ms=MAGNETS, dmi=dmi)
    assert other_hand[0] == pytest.approx(-favoured[0], rel=1e-4)


@pytest.mark.parametrize(("axis", "next_cell"), [(0, (5, 8)), (1, (6, 7))])
def test_a_link_joins_a_cell_with_the_next_along_its_axis(evaluate, axis, next_cell):
    m = random_film(3)
    factors = np.ones((1, 2, *GRID.shape))
    factors[0, axis, 5, 7] = 0.0
    _, whole = evaluate(m, GRID, a_ex=A_EX, ms=MAGNETS)
    _, cut = evaluate(m, GRID, a_ex=A_EX, ms=MAGNETS, exchange=factors)
    difference = ((m[0, :, 5, 7] - m[0, :, *next_cell]) ** 2).sum()
    expected = A_EX / GRID.cell**2 * difference * VOLUME
    assert whole[0] - cut[0] == pytest.approx(expected, rel=0.02)


def test_a_film_without_periodic_images_is_refused():
    with pytest.raises(SpinscopeError, match=r"images \(=0\) must be at least 1"):
        Grid(16, 16, 3e-9, 27.5e-9, 0)


def test_a_missing_extra_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "neuralmag", None)
    with pytest.raises(SpinscopeError, match=r"spinscope\[sim\]"):
        require_jax()


def test_only_warnings_of_neuralmag_are_logged(caplog):
    with caplog.at_level(logging.INFO):
        demagnetising_tensor(Grid(4, 4, 3e-9, 27.5e-9, 1))
        assert not caplog.records
        logging.getLogger("NeuralMag").info("heard")
    assert [record.message for record in caplog.records] == ["heard"]
