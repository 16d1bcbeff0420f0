"""Rotated and mirrored films have the same energy."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, Material, rotated
from spinscope.physics.topology import topological_charge

EVERY = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


def neel_film(n: int = 32, kind: str = "interfacial") -> Film:
    """Skyrmion off the centre of a film with an uneven Ms, with its spins outwards."""
    y, x = np.mgrid[:n, :n] - np.array([10.0, 18.0])[:, None, None]
    r = np.hypot(x, y)
    theta = 2 * np.arctan2(4.0, r)
    outwards = np.stack([x, y], -1) / np.maximum(r, 1e-9)[..., None]
    m = np.concatenate([np.sin(theta)[..., None] * outwards, np.cos(theta)[..., None]], -1)
    material = Material(2e5, 1.5e-11, 1.2e-3, b_ext=0.3, dmi_kind=kind)
    ms = np.where(np.arange(n) < 12, 1.8e5, 2.2e5).astype(np.float32) * np.ones((n, 1), np.float32)
    return Film(m.astype(np.float32), material, ms)


def energy(film: Film) -> float:
    effective_field = pytest.importorskip("spinscope.physics.effective_field")
    pytest.importorskip("neuralmag")
    material, one = film.material, np.ones(1)
    grid = effective_field.Grid(*film.shape, material.cell, material.thickness)
    values = effective_field.arrays(
        grid, film.ms[None], material.a_ex * one, material.dmi * one, material.ku * one,
        material.b_ext * one,
    )  # fmt: skip
    m = np.moveaxis(film.m, -1, 0)[None]
    return float(effective_field.field_and_energy(grid, material.dmi_kind, m, values)[1][0])


def test_rotated_and_mirrored_films_have_the_same_energy():
    film = neel_film()
    wanted = energy(film)
    for quarters, mirrored in EVERY:
        assert energy(rotated(film, quarters, mirrored)) == pytest.approx(wanted, rel=1e-6)
    wrong = Film(film.m[:, ::-1].copy(), film.material, film.ms[:, ::-1])  # without its spins
    assert abs(energy(wrong) / wanted - 1) > 1e-3


def test_spins_still_point_outwards():
    for quarters, mirrored in EVERY:
        m = rotated(neel_film(), quarters, mirrored).m
        dy, dx = np.gradient(m[..., 2])
        radial = (m[..., 0] * dx + m[..., 1] * dy).sum()
        across = (m[..., 1] * dx - m[..., 0] * dy).sum()
        assert radial > 0
        assert abs(across) < 1e-3 * radial


def test_rotations_undo_each_other_and_keep_the_charge():
    film = neel_film()
    np.testing.assert_array_equal(rotated(rotated(film, 3), 1).m, film.m)
    np.testing.assert_array_equal(rotated(rotated(film, 0, True), 0, True).m, film.m)
    np.testing.assert_array_equal(rotated(film, 1).ms, np.rot90(film.ms))
    charge = topological_charge(film.m)
    for quarters, mirrored in EVERY:
        assert topological_charge(rotated(film, quarters, mirrored).m) == pytest.approx(charge)


def test_bulk_dmi_allows_rotations_but_no_mirror():
    film = neel_film(kind="bulk")
    assert energy(rotated(film, 1)) == pytest.approx(energy(film), rel=1e-6)
    with pytest.raises(SpinscopeError, match="dmi_kind"):
        rotated(film, 0, True)
