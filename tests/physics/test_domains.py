"""Domain patterns against the physics of their free energy."""

import numpy as np
import pytest
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics import domains


def random_film(shape=(64, 64), seed=0, spread=0.3):
    return np.random.default_rng(seed).normal(0, spread, shape)


@pytest.mark.parametrize("field", [0.0, 0.12])
@pytest.mark.parametrize("alpha", [3.0, 4.0])
def test_energy_never_rises_during_relaxation(field, alpha):
    phi, energies = random_film(), []
    for _ in range(30):
        phi = domains.relax(phi, alpha=alpha, field=field, steps=2)
        energies.append(domains.free_energy(phi, alpha=alpha, field=field))
    assert np.all(np.diff(energies) < 1e-6)
    assert energies[-1] < energies[0] - 0.01


def test_energy_of_a_wave_is_the_sum_of_its_terms():
    """The local and the linear energy of a wave A cos(kx) have closed forms."""
    amplitude, waves, n = 0.5, 6, 64
    k = 2 * np.pi * waves / n
    phi = amplitude * np.cos(k * np.arange(n))[None, :] * np.ones((8, 1))
    quartic = 3.5 * 3 * amplitude**4 / 32
    expected = quartic - domains.growth_rate(k) * amplitude**2 / 4
    assert domains.free_energy(phi) == pytest.approx(expected, rel=1e-6)


def test_the_torque_of_a_relaxed_film_vanishes():
    """The energy does not change to first order in any displacement."""
    phi = domains.relax(random_film(), field=0.1, steps=3000).astype(np.float64)
    push = random_film(seed=1, spread=1e-3)
    up, down = (domains.free_energy(phi + sign * push, field=0.1) for sign in (1, -1))
    demagnetised = random_film(spread=0.01)
    slope = domains.free_energy(demagnetised + push) - domains.free_energy(demagnetised - push)
    assert abs(up - down) < 0.01 * abs(slope)


def test_uniform_film_stays_uniform():
    """It relaxes to the root of alpha (phi - phi³) - 9.05 gamma phi + h = 0."""
    phi = domains.relax(np.full((32, 48), 0.9), field=0.5, steps=500)
    assert np.ptp(phi) < 1e-4
    m = float(phi.mean())
    assert 3.5 * (m - m**3) - domains.KERNEL * 0.35 * m + 0.5 == pytest.approx(0, abs=1e-3)


def test_field_shrinks_the_reversed_phase():
    fractions = [
        np.mean(
            domains.domain_pattern((96, 96), field=h, rng=np.random.default_rng(3), steps=80) < 0
        )
        for h in (0.0, 0.05, 0.1, 0.15, 0.25)
    ]
    assert np.all(np.diff(fractions) < 0)
    assert fractions[0] == pytest.approx(0.5, abs=0.05)
    assert fractions[-1] < 0.01


@pytest.mark.parametrize("gamma", [0.32, 0.38])
def test_stripes_have_the_period_of_the_fastest_wave(gamma):
    phi = domains.relax(random_film((128, 128), spread=1e-5), gamma=gamma, steps=40)
    power = np.abs(np.fft.fft2(phi)).ravel() ** 2
    k = 2 * np.pi * np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128))).ravel()
    # Divided by k, the number of waves on a circle, the sum over waves is one over k.
    weights = power[1:] / k[1:]
    fastest = np.sum(weights * k[1:]) / np.sum(weights)
    assert np.abs(phi).max() < 0.1
    assert fastest == pytest.approx(np.pi * gamma / 2.0, abs=0.015)


def test_scale_sets_the_size_of_the_domains_in_pixels():
    """Twice the pixels per unit of length: a quarter of the skyrmions, four times their area."""
    counts = []
    for scale in (1.0, 2.0):
        rng = np.random.default_rng(5)
        phi = domains.domain_pattern((192, 192), field=0.1, rng=rng, scale=scale, steps=150)
        counts.append(ndimage.label(phi < 0)[1])
    assert counts[0] / counts[1] == pytest.approx(4, rel=0.25)


def test_seeded_skyrmions_survive_at_their_places():
    rng = np.random.default_rng(2)
    film = domains.seeded_film((128, 160), spacing=32, radius=4, jitter=0.05, rng=rng)
    phi = domains.domain_pattern(
        (128, 160), field=0.14, rng=rng, initial=0.6 * film, noise=0.0, steps=60
    )
    found, count = ndimage.label(phi < 0)
    seeds, expected = ndimage.label(film[8:-8, 8:-8] < 0)
    assert expected > 10
    centres = np.rint(ndimage.center_of_mass(seeds > 0, seeds, range(1, expected + 1))).astype(int)
    whole = centres[(centres > 4).all(axis=1) & (centres < (107, 139)).all(axis=1)] + 8
    assert np.all(phi[whole[:, 0], whole[:, 1]] < 0)
    assert len(np.unique(found[whole[:, 0], whole[:, 1]])) == len(whole)
    assert count >= len(whole)


def test_resample_keeps_the_pattern():
    rng = np.random.default_rng(0)
    coarse = domains.domain_pattern((40, 56), rng=rng)
    fine = domains.resample(coarse, (120, 168))
    assert np.allclose(fine[::3, ::3], coarse, atol=0.02)
    assert np.allclose(domains.resample(fine, (40, 56)), coarse, atol=0.02)


def test_coverage_measures_the_area_of_a_disc():
    y, x = np.mgrid[:64, :64]
    for radius in (6.3, 11.8):
        m = domains.coverage((np.hypot(y - 31.7, x - 30.2) - radius).astype(np.float32))
        assert np.sum((1 - m) / 2) == pytest.approx(np.pi * radius**2, rel=0.01)


def test_scale_and_shape_must_hold_a_domain():
    rng = np.random.default_rng(0)
    with pytest.raises(SpinscopeError, match=r"scale \(=0.1\)"):
        domains.domain_pattern((64, 64), scale=0.1, rng=rng)
    with pytest.raises(SpinscopeError, match="at least 8 pixels"):
        domains.domain_pattern((4, 64), rng=rng)
