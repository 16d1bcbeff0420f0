"""Lorentz images: phases in closed form, and contrast as in theory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics import lorentz
from spinscope.physics.lorentz import (
    Microscope,
    electrostatic_phase,
    image,
    interaction_constant,
    lorentz_image,
    magnetic_phase,
    transfer_function,
)
from spinscope.physics.lorentz_noise import grey

MS, THICKNESS, PIXEL, TILT = 2.2e5, 27.5e-9, 3e-9, np.radians(20)
COHERENT = Microscope(convergence=0, defocus_spread=0)
# rad a metre that a film turns the wave by, magnetised across the beam
SLOPE = constants.e * constants.mu_0 * MS * THICKNESS / constants.hbar


def helix(n=64, periods=4, along="x"):
    """Bloch helix (H, W, 3), its wave vector q, and q x."""
    q = 2 * np.pi * periods / (n * PIXEL)
    turn = np.broadcast_to(q * PIXEL * np.arange(n), (n, n))
    if along == "x":
        return np.stack([0 * turn, np.sin(turn), np.cos(turn)], axis=-1), q, turn
    turn = turn.T
    return np.stack([np.sin(turn), 0 * turn, np.cos(turn)], axis=-1), q, turn


def skyrmion(kind="neel", n=96, radius=10.0, wall=4.0, centre=None):
    """Skyrmion with its core down in a film along +z, (n, n, 3)."""
    cy, cx = centre or (n / 2, n / 2)
    y, x = np.mgrid[:n, :n]
    dy, dx = y - cy, x - cx
    r = np.maximum(np.hypot(dy, dx), 1e-9)
    s = np.sinh(radius / wall) / np.sinh(np.minimum(r / wall, 50))
    across, m_z = 2 * s / (1 + s**2), 1 - 2 * s**2 / (1 + s**2)
    if kind == "bloch":
        dy, dx = dx, -dy
    return np.stack([across * dx / r, across * dy / r, m_z], axis=-1)


def phase(m, **tilted):
    return magnetic_phase(m, MS, THICKNESS, PIXEL, **tilted)


def seen(m, microscope=None, **tilted):
    return lorentz_image(m, MS, THICKNESS, PIXEL, microscope or Microscope(), **tilted)


def test_phase_of_a_helix_in_closed_form():
    m, q, turn = helix()
    np.testing.assert_allclose(phase(m), -SLOPE / q * np.cos(turn), atol=1e-5 * SLOPE / q)
    m, q, turn = helix(along="y")
    np.testing.assert_allclose(phase(m), SLOPE / q * np.cos(turn), atol=1e-5 * SLOPE / q)


def test_phase_of_a_helix_tilted_about_its_wave_vector():
    # The beam then also sees the component along the normal, on a path that is longer by 1/cos.
    m, q, turn = helix()
    expected = -SLOPE / q * (np.cos(turn) - np.tan(TILT) * np.sin(turn))
    np.testing.assert_allclose(phase(m, tilt=TILT), expected, atol=2e-5 * SLOPE / q)


def test_phase_of_a_helix_tilted_across_its_wave_vector():
    # A slanted beam averages the helix over the way t tan(tilt) that it goes along it.
    m, q, turn = helix(periods=8)
    tilt = np.radians(60)
    average = np.sinc(q * THICKNESS * np.tan(tilt) / 2 / np.pi)
    assert average < 0.75
    expected = -SLOPE / q * np.cos(turn) * average
    np.testing.assert_allclose(phase(m, tilt=tilt, axis=np.pi / 2), expected, atol=2e-5 * SLOPE / q)


def test_rotating_film_and_tilt_axis_rotates_the_phase():
    m = skyrmion("bloch", centre=(40, 55)) + 0.3 * skyrmion("neel", centre=(60, 30))
    turned = np.rot90(m, -1).copy()  # a quarter from +x towards +y, for y runs down
    turned[..., 0], turned[..., 1] = -np.rot90(m[..., 1], -1), np.rot90(m[..., 0], -1)
    expected = np.rot90(phase(m, tilt=TILT, axis=0.4), -1)
    got = phase(turned, tilt=TILT, axis=0.4 + np.pi / 2)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_uniform_film_has_no_phase_at_any_tilt():
    m = np.broadcast_to(np.array([0.6, 0, 0.8], dtype=np.float32), (32, 48, 3))
    assert np.abs(phase(m, tilt=TILT, axis=0.3)).max() < 1e-6
    np.testing.assert_allclose(seen(m, tilt=TILT), 1, atol=1e-5)


def test_without_tilt_a_bloch_skyrmion_has_contrast_and_a_neel_skyrmion_has_none():
    assert seen(skyrmion("bloch")).std() > 0.01
    assert seen(skyrmion("neel")).std() < 1e-3 * seen(skyrmion("bloch")).std()
    assert seen(skyrmion("neel"), tilt=TILT).std() > 0.01


@pytest.mark.parametrize("turned", [{"tilt": -TILT}, {"tilt": TILT, "axis": np.pi}])
def test_tilt_the_other_way_flips_the_contrast(turned):
    m = skyrmion()
    one, other = seen(m, tilt=TILT), seen(m, **turned)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < -0.95


def test_neel_skyrmion_is_dark_on_the_left_and_bright_on_the_right():
    intensity = seen(skyrmion(), tilt=TILT)
    y, x = np.unravel_index([intensity.argmin(), intensity.argmax()], intensity.shape)
    assert np.abs(y - 48).max() <= 4
    assert 48 - 20 < x[0] < 48 - 5
    assert 48 + 5 < x[1] < 48 + 20
    over = seen(skyrmion(), replace(Microscope(), defocus=2e-3), tilt=TILT)
    assert over.argmax() % 96 < 48 < over.argmin() % 96


def test_films_in_a_batch_are_the_same_as_alone():
    m = np.stack([skyrmion(kind, centre=(40, 40)) for kind in ("bloch", "neel")] * 2)
    m = m.reshape(2, 2, 96, 96, 3)
    batch = seen(m, tilt=TILT, axis=0.2, workers=2)
    assert batch.shape == (2, 2, 96, 96)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[1, 0], seen(m[1, 0], tilt=TILT, axis=0.2))
    phases = phase(m, tilt=TILT, axis=0.2, workers=1)
    np.testing.assert_array_equal(image(phases, PIXEL, Microscope(), workers=2), batch)


def test_map_of_the_saturation_magnetisation_weighs_the_film():
    m, _, _ = helix()
    grain = np.ones((64, 64))
    grain[:, 20:40] = 0.8
    np.testing.assert_allclose(
        magnetic_phase(m, MS * grain, THICKNESS, PIXEL, tilt=TILT),
        phase(m * grain[..., None], tilt=TILT),
        atol=1e-5,
    )


@pytest.mark.parametrize("shape", [(32, 48), (33, 47)])
def test_phase_is_that_of_the_whole_spectrum_for_even_and_odd_grids(shape):
    rng = np.random.default_rng(0)
    m = ndimage.gaussian_filter(rng.normal(size=(*shape, 3)), (2, 2, 0), mode="wrap")
    ky = 2 * np.pi * np.fft.fftfreq(shape[0], PIXEL)[:, None]
    kx = 2 * np.pi * np.fft.fftfreq(shape[1], PIXEL)[None, :]
    spectrum = np.fft.fft2(m, axes=(0, 1))
    k2 = np.where(kx**2 + ky**2 > 0, kx**2 + ky**2, np.inf)
    whole = np.fft.ifft2(-1j * SLOPE * (kx * spectrum[..., 1] - ky * spectrum[..., 0]) / k2)
    np.testing.assert_allclose(phase(m), whole.real, atol=2e-3 * whole.real.std())


def test_weak_phase_curves_the_intensity():
    n, depth = 64, 0.05
    x = 2 * np.pi * 3 * np.arange(n) / n
    weak = np.broadcast_to(depth * np.cos(x), (n, n))
    k = 3 / (n * PIXEL)
    for defocus in (-1e-5, 1e-5):
        intensity = image(weak, PIXEL, replace(COHERENT, defocus=defocus))
        laplacian = -((2 * np.pi * k) ** 2) * weak
        expected = -lorentz.wavelength(200e3) * defocus / (2 * np.pi) * laplacian
        np.testing.assert_allclose(intensity - 1, expected, atol=0.01 * np.abs(expected).max())


def test_transfer_of_a_weak_phase_far_from_focus():
    n, depth = 64, 0.01
    x = 2 * np.pi * 3 * np.arange(n) / n
    k = 3 / (n * PIXEL)
    microscope = Microscope()
    lam = lorentz.wavelength(200e3)
    chi = np.pi * lam * k**2 * (microscope.defocus + microscope.cs * lam**2 * k**2 / 2)
    damping = np.exp(-((np.pi * microscope.convergence * microscope.defocus * k) ** 2))
    intensity = image(np.broadcast_to(depth * np.cos(x), (n, n)), PIXEL, microscope)
    expected = 2 * depth * np.sin(chi) * damping * np.cos(x)
    np.testing.assert_allclose(intensity[5] - 1, expected, atol=0.02 * np.abs(expected).max())


def test_coherent_wave_keeps_its_electrons():
    strong = 2 * phase(skyrmion("bloch"))
    assert image(strong, PIXEL, COHERENT).std() > 0.1
    assert image(strong, PIXEL, COHERENT).mean() == pytest.approx(1, abs=1e-5)
    rng = np.random.default_rng(0)
    amplitude = 1 - 0.3 * rng.random((96, 96))
    absorbed = image(strong, PIXEL, COHERENT, amplitude=amplitude)
    assert absorbed.mean() == pytest.approx(np.square(amplitude).mean(), rel=1e-5)
    half = image(strong, PIXEL, COHERENT, amplitude=0.5)
    np.testing.assert_allclose(half, image(strong, PIXEL, COHERENT) / 4, rtol=1e-5)


def test_a_phase_is_invisible_in_focus():
    intensity = image(phase(skyrmion("bloch")), PIXEL, replace(COHERENT, defocus=0, cs=0))
    np.testing.assert_allclose(intensity, 1, atol=1e-5)


def test_astigmatism_is_a_defocus_that_depends_on_the_angle():
    def transfer(defocus, astigmatism=0.0, angle=0.0):
        optics = Microscope(defocus=defocus, astigmatism=astigmatism, astigmatism_angle=angle)
        return transfer_function((64, 64), PIXEL, optics)

    along = transfer(-2e-4, 5e-5)
    np.testing.assert_allclose(along[0], transfer(-1.5e-4)[0], atol=1e-5)
    np.testing.assert_allclose(along[:, 0], transfer(-2.5e-4)[:, 0], atol=1e-5)
    slanted = transfer(-2e-4, 5e-5, np.pi / 4)
    inside = slice(0, 32)
    diagonal = np.diagonal(slanted)[inside]
    np.testing.assert_allclose(diagonal, np.diagonal(transfer(-1.5e-4))[inside], atol=1e-5)
    # Across it k_y is -k_x: the columns run backwards.
    across = np.array([slanted[-i, i] for i in range(1, 32)])
    expected = np.array([transfer(-2.5e-4)[-i, i] for i in range(1, 32)])
    np.testing.assert_allclose(across, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 20), (15, 21), (16, 21)])
def test_transfer_fills_the_whole_plane(shape):
    optics = Microscope(defocus_spread=0, convergence=0, astigmatism=5e-4, astigmatism_angle=0.4)
    kx = np.fft.fftfreq(shape[1], PIXEL)[None, :]
    ky = np.fft.fftfreq(shape[0], PIXEL)[:, None]
    k2, lam = kx**2 + ky**2, lorentz.wavelength(200e3)
    defocus = optics.defocus + optics.astigmatism * np.cos(2 * (np.arctan2(ky, kx) - 0.4))
    expected = np.exp(-1j * np.pi * lam * k2 * (defocus + optics.cs * lam**2 * k2 / 2))
    got = transfer_function(shape, PIXEL, optics)
    # The highest wave of an even grid has no sign.
    signed = (np.abs(kx) * PIXEL < 0.499) & (np.abs(ky) * PIXEL < 0.499)
    np.testing.assert_allclose(got[signed], expected[signed], atol=1e-5)


def test_envelopes_damp_what_the_source_blurs():
    k = np.abs(np.fft.fftfreq(64, PIXEL))
    source = np.abs(transfer_function((64, 64), PIXEL, Microscope(defocus_spread=0, cs=0))[0])
    np.testing.assert_allclose(source, np.exp(-((np.pi * 1e-5 * 2e-3 * k) ** 2)), atol=1e-6)
    lam = lorentz.wavelength(200e3)
    spread = np.abs(
        transfer_function((64, 64), PIXEL, Microscope(convergence=0, defocus_spread=5e-6))[0]
    )
    expected = np.exp(-((np.pi * lam * 5e-6 * k**2) ** 2) / 2)
    np.testing.assert_allclose(spread, expected, atol=1e-6)


def test_envelope_of_the_defocus_spread_is_the_mean_of_many_images():
    weak = 0.1 * phase(skyrmion("bloch"))
    steps = 6e-5 * np.linspace(-4, 4, 41) / 2
    weights = np.exp(-((steps / 3e-5) ** 2) / 2)
    intensities = [image(weak, PIXEL, replace(COHERENT, defocus=2e-4 + d)) for d in steps]
    mean = np.tensordot(weights / weights.sum(), intensities, axes=1)
    damped = image(weak, PIXEL, replace(COHERENT, defocus=2e-4, defocus_spread=3e-5))
    np.testing.assert_allclose(damped - 1, mean - 1, atol=0.03 * (mean - 1).std())


def test_electrostatic_phase_increases_with_the_tilt():
    assert interaction_constant(200e3) == pytest.approx(7.29e6, rel=1e-3)
    assert interaction_constant(300e3) == pytest.approx(6.53e6, rel=1e-3)
    assert electrostatic_phase(20.0, 30e-9, 200e3) == pytest.approx(7.288e6 * 20 * 30e-9, rel=1e-3)
    flat = electrostatic_phase(20.0, np.full((4, 4), 30e-9), 200e3)
    tilted = electrostatic_phase(20.0, np.full((4, 4), 30e-9), 200e3, tilt=np.radians(60))
    np.testing.assert_allclose(tilted, 2 * flat)


def test_the_electrostatic_phase_of_a_uniform_film_is_invisible():
    magnetic = phase(skyrmion("bloch"))
    both = magnetic + electrostatic_phase(20.0, THICKNESS, 200e3)
    np.testing.assert_allclose(
        image(both, PIXEL, Microscope()), image(magnetic, PIXEL, Microscope()), atol=1e-5
    )


FILM = np.zeros((8, 8, 3))
BROKEN = FILM.copy()
BROKEN[2, 3, 2] = np.nan


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: Microscope(voltage=None), "voltage (=None) must be a positive number of volts"),
        (lambda: Microscope(voltage=0), "voltage (=0) must be"),
        (lambda: Microscope(voltage=-2e5), "voltage (=-200000.0) must be"),
        (lambda: Microscope(voltage=np.nan), "voltage (=nan) must be"),
        (lambda: Microscope(defocus=np.inf), "defocus (=inf) must be a finite number"),
        (lambda: Microscope(cs=None), "cs (=None) must be a finite number"),
        (lambda: Microscope(convergence=-1e-5), "convergence (=-1e-05) must not be negative"),
        (lambda: phase(FILM, tilt=np.pi / 2), "90 degrees) must be less than 90 degrees"),
        (lambda: phase(FILM, tilt=-2), "tilt (=-2 rad"),
        (lambda: phase(FILM, tilt=np.nan), "tilt (=nan) must be a finite number"),
        (lambda: phase(FILM[..., :2]), "m of shape (8, 8, 2) must be (..., H, W, 3)"),
        (lambda: phase(FILM[0]), "m of shape (8, 3) must be (..., H, W, 3)"),
        (lambda: phase(BROKEN), "m must be finite"),
        (lambda: seen(BROKEN), "m must be finite"),
        (lambda: magnetic_phase(FILM, MS, THICKNESS, 0), "pixel_size (=0) must be a positive"),
        (lambda: magnetic_phase(FILM, MS, -1e-9, 1), "thickness (=-1e-09) must be a positive"),
        (lambda: magnetic_phase(FILM, np.ones(5), 1, 1), "ms of shape (5,) must be a number"),
        (lambda: magnetic_phase(FILM, -MS, 1, 1), "ms must be finite and not negative"),
        (lambda: image(BROKEN[..., 2], 1e-9, Microscope()), "phase must be finite"),
        (lambda: image(FILM[0, 0], 1e-9, Microscope()), "phase of shape (3,) must be"),
        (lambda: image(FILM[..., 0], -1, Microscope()), "pixel_size (=-1) must be a positive"),
        (lambda: electrostatic_phase(20, 1e-8, 0), "voltage (=0) must be"),
    ],
)
def test_values_out_of_range_are_errors(call, rule):
    with pytest.raises(SpinscopeError) as error:
        call()
    assert rule in str(error.value)


@pytest.fixture(scope="module")
def published() -> tuple[np.ndarray, np.ndarray]:
    """Image and label of a published simulated film, in a folder beside the real Kerr images."""
    import tifffile

    folder = Path(os.environ.get("SPINSCOPE_MOKE", "/nowhere")).parent / "ltem"
    if not (folder / "Skyrm12_00_LTEM.tif").is_file():
        pytest.skip("no published Lorentz micrograph beside the folder that SPINSCOPE_MOKE names")
    intensity = tifffile.imread(folder / "Skyrm12_00_LTEM.tif").squeeze()
    label = tifffile.imread(folder / "Skyrm12_00_LABEL_th0.98.tif").squeeze()
    return intensity.astype(np.float64), label > 0


@pytest.mark.moke
def test_published_image_is_that_of_its_label(published):
    intensity, label = published
    spots, n = ndimage.label(np.tile(label, (3, 3)))
    centres = np.array(ndimage.center_of_mass(spots > 0, spots, range(1, n + 1))) - 256
    radii = np.sqrt(ndimage.sum(spots > 0, spots, range(1, n + 1)) / np.pi)
    whole = np.all((centres >= -0.5) & (centres < 255.5), axis=1)
    m_z, wall = np.ones((256, 256)), 6.0
    m_y, m_x = np.zeros((2, 256, 256))
    at = np.arange(256)
    for (cy, cx), radius in zip(centres[whole], radii[whole], strict=True):
        dy = ((at - cy + 128) % 256 - 128)[:, None]
        dx = ((at - cx + 128) % 256 - 128)[None, :]
        r = np.maximum(np.hypot(dy, dx), 1e-9)
        # A Neel wall around the core, with m_z = 0.98 at the radius of the label.
        s = np.sinh(radius / wall) * np.sqrt(0.01 / 0.99) / np.sinh(np.minimum(r / wall, 50))
        m_z -= 2 * s**2 / (1 + s**2)
        m_y += 2 * s / (1 + s**2) * dy / r
        m_x += 2 * s / (1 + s**2) * dx / r
    m = np.stack([m_x, m_y, m_z], axis=-1)
    ours = ndimage.gaussian_filter(grey(seen(m, tilt=TILT)), 5, mode="reflect")
    assert np.corrcoef(ours.ravel(), intensity.ravel())[0, 1] > 0.99
    # As grey levels, not only up to a scale.
    assert np.abs(ours - intensity).mean() < 0.02
    flipped = ndimage.gaussian_filter(grey(seen(m, tilt=-TILT)), 5, mode="reflect")
    assert np.corrcoef(flipped.ravel(), intensity.ravel())[0, 1] < -0.8
