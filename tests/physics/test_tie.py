"""Transport of intensity: phase and induction are recovered from images of a film."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import constants

from spinscope.errors import SpinscopeError
from spinscope.physics import tie
from spinscope.physics.lorentz import Microscope, image, magnetic_phase

MS, THICKNESS, PIXEL, VOLTAGE = 2.2e5, 27.5e-9, 3e-9, 200e3
COHERENT = Microscope(convergence=0, defocus_spread=0)


def film(n=128):
    """Two Bloch skyrmions of opposite chirality, (n, n, 3)."""
    y, x = np.mgrid[:n, :n]
    m = np.zeros((n, n, 3))
    m[..., 2] = 1
    for cy, cx, hand in ((44, 40, 1), (84, 88, -1)):
        r = np.maximum(np.hypot(y - cy, x - cx), 1e-9)
        s = np.sinh(2.5) / np.sinh(np.minimum(r / 4, 50))
        m[..., 0] -= hand * 2 * s / (1 + s**2) * (y - cy) / r
        m[..., 1] += hand * 2 * s / (1 + s**2) * (x - cx) / r
        m[..., 2] -= 2 * s**2 / (1 + s**2)
    return m


def phase():
    return magnetic_phase(film(), MS, THICKNESS, PIXEL).astype(np.float64)


def intensities(values, defocus, amplitude=1.0, microscope=COHERENT):
    """Images at underfocus, in focus and at overfocus."""
    return [
        image(values, PIXEL, replace(microscope, defocus=d), amplitude=amplitude)
        for d in (-defocus, 0, defocus)
    ]


def error(got, true):
    """Relative root mean square difference."""
    true = true - true.mean()
    return np.sqrt(np.mean((got - true) ** 2) / np.mean(true**2))


@pytest.mark.parametrize("microscope", [COHERENT, Microscope()])
def test_through_focal_series_gives_the_phase(microscope):
    true = phase()
    under, focus, over = intensities(true, 1e-4, microscope=microscope)
    got = tie.through_focal_phase(under, focus, over, 1e-4, PIXEL, VOLTAGE)
    assert error(got, true) < 0.05


def test_through_focal_series_gives_the_phase_of_a_sample_that_absorbs():
    true = phase()
    x = 2 * np.pi * np.arange(128) / 128
    amplitude = 0.8 + 0.15 * np.cos(x)[:, None] * np.sin(x)
    under, focus, over = intensities(true, 5e-5, amplitude)
    got = tie.through_focal_phase(under, focus, over, 5e-5, PIXEL, VOLTAGE)
    assert error(got, true) < 0.05
    uniform = tie.through_focal_phase(under, np.ones_like(focus), over, 5e-5, PIXEL, VOLTAGE)
    assert error(uniform, true) > 0.2


@pytest.mark.parametrize("defocus", [-5e-5, 5e-5])
def test_single_image_gives_the_phase(defocus):
    true = phase()
    intensity = 730 * image(true, PIXEL, replace(Microscope(), defocus=defocus))
    got = tie.single_image_phase(intensity, defocus, PIXEL, VOLTAGE)
    assert error(got, true) < 0.05


def test_finest_wave_that_is_recovered_within_5_percent():
    period = 16 * PIXEL
    x = 2 * np.pi * np.arange(64) / 16
    true = np.broadcast_to(0.01 * np.cos(x), (64, 64))
    farthest = tie.largest_defocus(period, VOLTAGE)
    optics = replace(COHERENT, cs=0)
    for factor, kept in ((1, 0.95), (0.5, 0.987), (2, 0.81)):
        intensity = image(true, PIXEL, replace(optics, defocus=-factor * farthest))
        got = tie.single_image_phase(intensity, -factor * farthest, PIXEL, VOLTAGE)
        assert np.sum(got * true) / np.sum(true**2) == pytest.approx(kept, abs=0.004)


def test_a_batch_of_series_is_computed_at_once():
    true = phase()
    under, focus, over = intensities(np.stack([true, -true]), 1e-4)
    both = tie.through_focal_phase(under, focus, over, 1e-4, PIXEL, VOLTAGE)
    one = tie.through_focal_phase(under[1], focus[1], over[1], 1e-4, PIXEL, VOLTAGE)
    np.testing.assert_allclose(both[1], one, atol=1e-12)
    single = tie.single_image_phase(over, 1e-4, PIXEL, VOLTAGE)
    np.testing.assert_allclose(
        single[1], tie.single_image_phase(over[1], 1e-4, PIXEL, VOLTAGE), atol=1e-12
    )


def test_regularisation_damps_waves_longer_than_its_length():
    x = 2 * np.pi * np.arange(64) / 64
    true = np.broadcast_to(0.05 * np.cos(2 * x), (64, 64))
    intensity = image(true, PIXEL, replace(COHERENT, defocus=1e-5))
    k = 2 / (64 * PIXEL)
    free = tie.single_image_phase(intensity, 1e-5, PIXEL, VOLTAGE)
    damped = tie.single_image_phase(intensity, 1e-5, PIXEL, VOLTAGE, regularisation=k)
    np.testing.assert_allclose(damped, free / 4, atol=1e-5)


def test_regularisation_reduces_the_noise():
    true = phase()
    rng = np.random.default_rng(0)
    under, focus, over = (p + rng.normal(0, 0.1, p.shape) for p in intensities(true, 1e-4))
    free, damped = (
        tie.through_focal_phase(under, focus, over, 1e-4, PIXEL, VOLTAGE, regularisation=k)
        for k in (0.0, 2e6)
    )
    assert error(damped, true) < 0.7 * error(free, true)


def test_mirrored_images_give_a_phase_that_is_not_periodic():
    n = 64
    x = np.pi * (np.arange(n) + 0.5) / n
    true = 0.5 * np.cos(3 * x)[None, :] * np.cos(x)[:, None] + 0.3 * np.cos(x)[None, :]
    whole = np.pad(true, ((0, n), (0, n)), mode="symmetric")
    under, focus, over = (p[:n, :n] for p in intensities(whole, 1e-4))

    def through(mirrored):
        return tie.through_focal_phase(under, focus, over, 1e-4, PIXEL, VOLTAGE, mirrored=mirrored)

    assert error(through(True), true) < 0.05
    assert error(through(False), true) > 0.1
    single = tie.single_image_phase(over, 1e-4, PIXEL, VOLTAGE, mirrored=True)
    assert error(single, true) < 0.05


def test_induction_is_that_of_the_film():
    # The field of a skyrmion of Bloch walls closes in itself: B = mu_0 M in the plane.
    m = film()
    by, bx = tie.integrated_induction(phase(), PIXEL)
    unit = constants.mu_0 * MS * THICKNESS
    assert error(by, unit * m[..., 1]) < 0.02
    assert error(bx, unit * m[..., 0]) < 0.02
    inner = slice(4, -4)
    differences = tie.integrated_induction(phase(), PIXEL, periodic=False)
    for coarse, fine in zip(differences, (by, bx), strict=True):
        assert error(coarse[inner, inner], fine[inner, inner]) < 0.05


def test_images_give_the_induction_of_the_film():
    m = film()
    under, focus, over = intensities(phase(), 5e-5, microscope=Microscope())
    got = tie.through_focal_phase(under, focus, over, 5e-5, PIXEL, VOLTAGE)
    by, bx = tie.integrated_induction(got, PIXEL)
    unit = constants.mu_0 * MS * THICKNESS
    assert error(by, unit * m[..., 1]) < 0.05
    assert error(bx, unit * m[..., 0]) < 0.05


FLAT = np.ones((8, 8))
HOLE = FLAT.copy()
HOLE[1, 1] = 0


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: tie.through_focal_phase(FLAT, FLAT, FLAT, 0, 1, 1), "defocus (=0) must be"),
        (lambda: tie.through_focal_phase(FLAT, FLAT, FLAT, -1, 1, 1), "defocus (=-1) must be"),
        (lambda: tie.through_focal_phase(FLAT, HOLE, FLAT, 1, 1, 1), "in focus (least 0) must"),
        (lambda: tie.through_focal_phase(FLAT, FLAT, FLAT[1:], 1, 1, 1), "must be alike"),
        (lambda: tie.through_focal_phase(FLAT, FLAT, FLAT, 1, 0, 1), "pixel_size (=0) must be"),
        (lambda: tie.single_image_phase(FLAT, 0, 1, 1), "defocus (=0) must be a number"),
        (lambda: tie.single_image_phase(FLAT, 1, 1, 0), "voltage (=0) must be a positive"),
        (lambda: tie.single_image_phase(FLAT, 1, 1, None), "voltage (=None) must be"),
        (lambda: tie.single_image_phase(FLAT * 0, 1, 1, 1), "mean intensity (=0) must be"),
        (lambda: tie.single_image_phase(FLAT * np.nan, 1, 1, 1), "image must be finite"),
        (lambda: tie.single_image_phase(FLAT[0], 1, 1, 1), "image of shape (8,) must be"),
        (
            lambda: tie.single_image_phase(FLAT, 1, 1, 1, regularisation=-1),
            "regularisation (=-1) must be finite and not negative",
        ),
        (lambda: tie.integrated_induction(FLAT, 0), "pixel_size (=0) must be a positive"),
        (lambda: tie.largest_defocus(0, 2e5), "period (=0) must be a positive"),
    ],
)
def test_values_out_of_range_are_errors(call, rule):
    with pytest.raises(SpinscopeError) as error:
        call()
    assert rule in str(error.value)
