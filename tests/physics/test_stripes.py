"""Stripe domains: limits of their energy, and the period of relaxed films."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import zeta

from spinscope.errors import SpinscopeError
from spinscope.physics.film import MU_0, Material
from spinscope.physics.stripes import (
    relaxed_period,
    sharp_period,
    stripe_energy,
    stripe_period,
    wall_width,
)

FILM = Material(1.5e6, 31e-12, 1e-3, 1.6e6, dmi_kind="bulk", cell=4e-9, thickness=4e-9)
"""Film of the corpus of domains."""
HARD = Material(1e5, 1e-11, 0.0, 1e6, thickness=50e-6)
"""Thick film with narrow walls."""


@pytest.mark.parametrize(
    ("kind", "dmi", "ratio"),
    [
        ("bulk", 0.2e-3, 0.93),
        ("bulk", 1e-3, 0.92),
        ("bulk", -1e-3, 0.92),
        ("interfacial", 1e-3, 0.9),
        ("interfacial", -1.6e-3, 0.91),
    ],
)
def test_relaxed_stripes_have_the_analytical_period(kind, dmi, ratio):
    """Walls cost less on cells of 0.4 of their width than in a continuum: the period is shorter."""
    material = replace(FILM, dmi=dmi, dmi_kind=kind)
    found = relaxed_period(material) / stripe_period(material)
    assert 0.85 < found < 1
    assert found == pytest.approx(ratio, abs=0.02)


@pytest.mark.slow
def test_finer_cells_approach_the_analytical_period():
    """Half the cell, less than half of the difference."""
    period = stripe_period(FILM)
    coarse, fine = (1 - relaxed_period(film) / period for film in (FILM, replace(FILM, cell=2e-9)))
    assert 0 < fine < coarse / 2


def test_sharp_walls_of_a_thick_film_have_kittels_period():
    r"""Charges of the surfaces alone: :math:`P^2 = 8\pi^3 \sigma t / (7\zeta(3)\mu_0 M_s^2)`."""
    wall_energy = 4 * np.sqrt(HARD.a_ex * HARD.ku)
    squared = 8 * np.pi**3 * wall_energy * HARD.thickness / (7 * zeta(3) * MU_0 * HARD.ms**2)
    for period in (stripe_period, sharp_period):
        assert period(HARD) == pytest.approx(np.sqrt(squared), rel=5e-3)


def test_sharp_walls_have_the_energy_of_kooy_and_enz():
    """The stray field of a square wave of charges, whatever the walls cost."""
    period, wall = 200e-9, 1e-11
    energy, angle = stripe_energy(period, wall, FILM)
    n = np.arange(1, 20001, 2)
    kt = 2 * np.pi * n * FILM.thickness / period
    stray = MU_0 * FILM.ms**2 / 2 * np.sum(8 / (np.pi * n) ** 2 * (1 - np.exp(-kt)) / kt)
    walls = 2 / period * (2 * FILM.a_ex / wall + 2 * FILM.ku * wall - np.pi * FILM.dmi)
    assert energy - walls == pytest.approx(stray - MU_0 * FILM.ms**2 / 2, rel=1e-3)
    assert angle == pytest.approx(np.pi / 2)


def test_interfacial_dmi_turns_the_walls():
    """Bloch walls without DMI, of the energy of bulk films; Neel walls with much of it."""
    period, wall = 400e-9, wall_width(FILM)
    films = [replace(FILM, dmi=dmi, dmi_kind="interfacial") for dmi in (0, 0.5e-3, 1e-3, 2e-3)]
    angles = [stripe_energy(period, wall, film)[1] for film in films]
    assert angles[0] == pytest.approx(np.pi / 2)
    assert angles[0] > angles[1] > angles[2] > angles[3] == 0
    bulk = stripe_energy(period, wall, replace(FILM, dmi=0))[0]
    assert stripe_energy(period, wall, films[0])[0] == pytest.approx(bulk)
    for film in films:
        assert stripe_period(film) >= stripe_period(replace(film, dmi_kind="bulk"))


def test_sharp_walls_are_wrong_in_a_thin_film():
    """The stray field between domains ends at the width of a wall, not at the thickness."""
    assert wall_width(FILM) > 3 * FILM.thickness
    assert sharp_period(FILM) < stripe_period(FILM) / 5
    with pytest.raises(SpinscopeError, match="walls have no energy"):
        sharp_period(replace(FILM, dmi=4e-3))


def test_weak_magnetisation_makes_no_stripes_that_fit_a_film():
    assert stripe_period(Material(3e5, 1e-11, 0.0, 4e5, thickness=4e-9)) == np.inf


def test_a_film_magnetised_in_its_plane_is_refused():
    with pytest.raises(SpinscopeError, match=r"ku \(=1e\+06\) must exceed mu_0 ms²/2"):
        stripe_period(replace(FILM, ku=1e6))
