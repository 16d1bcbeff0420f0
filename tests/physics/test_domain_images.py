"""Views of films: what is conserved, and the transfer function of a force microscope."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.domain_images import (
    degraded,
    kerr_image,
    mfm_image,
    stray_field_gradient,
    view,
)

CELL, N = 4e-9, 128


def film(rng=0):
    return np.random.default_rng(rng).uniform(-1, 1, (N, N)).astype(np.float32)


def stripes(period, n=N):
    """Sinusoidal stripes with a period in cells, (n, n)."""
    wave = np.cos(2 * np.pi * (np.arange(n) + 0.5) / period)
    return np.broadcast_to(wave, (n, n)).astype(np.float32)


@pytest.mark.parametrize("pixels", [7, 32, 50, 64, 100, 128])
def test_mean_of_a_view_is_the_mean_of_its_part(pixels):
    m_z, origin, cells = film(), (100, 120), 100  # across both borders
    rows, columns = ((start + np.arange(cells)) % N for start in origin)
    part = m_z[np.ix_(rows, columns)]
    got = view(m_z, CELL, cells * CELL, origin, pixels)
    assert got.shape == (pixels, pixels)
    if pixels <= cells:
        assert got.mean() == pytest.approx(part.mean(), abs=1e-5)
    else:
        assert got.mean() == pytest.approx(part.mean(), abs=5e-3)


def test_view_at_the_cell_size_is_the_film():
    m_z = film()
    np.testing.assert_allclose(view(m_z, CELL, N * CELL, pixels=N), m_z, atol=1e-6)
    part = view(m_z, CELL, 64 * CELL, (70, 90), 64)
    np.testing.assert_allclose(part, np.roll(m_z, (-70, -90), (0, 1))[:64, :64], atol=1e-6)


def test_view_at_a_multiple_of_the_cell_size_is_the_mean_of_blocks():
    m_z = film()
    blocks = m_z.reshape(N // 4, 4, N // 4, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(view(m_z, CELL, N * CELL, pixels=N // 4), blocks, atol=1e-5)


@pytest.mark.parametrize("cells", [20.0, 63.0, 64.0, 65.3, 97.6, 128.0])
def test_stripe_has_its_phase_and_amplitude_at_every_scale(cells):
    period, pixels, first = 32, 64, 37
    got = view(stripes(period), CELL, cells * CELL, (5, first), pixels)
    places = first + (np.arange(pixels) + 0.5) * cells / pixels  # cells
    averaged = np.sinc(cells / pixels / period) if cells > pixels else 1.0
    want = averaged * np.cos(2 * np.pi * places / period)
    assert np.abs(got - want).max() < 0.02
    assert np.ptp(got, axis=0).max() < 1e-5


def test_view_larger_than_the_film_is_refused():
    with pytest.raises(SpinscopeError, match=r"1024 nm.*at most.*512 nm"):
        view(film(), CELL, 2 * N * CELL)


def test_kerr_image_is_linear_in_the_magnetisation():
    assert kerr_image(np.array([[-1, -0.5, 0, 1]])).tolist() == [[0, 0.25, 0.5, 1]]


@pytest.mark.parametrize("height", [10e-9, 40e-9])
@pytest.mark.parametrize("thickness", [1e-9, 20e-9])
@pytest.mark.parametrize("period", [8, 32])
def test_force_gradient_of_a_stripe_follows_the_transfer_function(period, thickness, height):
    k = 2 * np.pi / (period * CELL)
    want = k / 2 * np.exp(-k * height) * (1 - np.exp(-k * thickness))
    got = stray_field_gradient(stripes(period), CELL, thickness, height)
    np.testing.assert_allclose(got, want * stripes(period), rtol=1e-4, atol=1e-4 * want)


def test_force_gradient_is_the_derivative_of_the_field_of_charged_sheets():
    """Compare with the field of point poles at the cells, summed directly."""
    n, cell, thickness, height = 16, 4e-9, 4e-9, 12e-9
    m_z = np.random.default_rng(1).choice([-1.0, 1.0], (n, n))
    m_z -= m_z.mean()
    got = stray_field_gradient(m_z, cell, thickness, height)
    images = np.arange(-40, 41) * n

    def gradient(z, at):
        """Derivative along z of H_z / Ms of a sheet with poles m_z, at the centre of a cell."""
        place = (np.arange(n)[:, None] + images).ravel()
        dy, dx = ((place - c) * cell for c in at)
        charge = np.repeat(np.repeat(m_z, len(images), 0), len(images), 1) * cell**2
        r2 = dy[:, None] ** 2 + dx**2 + z**2
        return float((charge * (r2 - 3 * z**2) / r2**2.5).sum()) / (4 * np.pi)

    for at in ((3, 5), (10, 2)):
        want = -(gradient(height, at) - gradient(height + thickness, at))
        assert got[at] == pytest.approx(want, rel=0.03)


def test_mfm_image_of_a_fine_pattern_is_blurred_and_of_a_uniform_film_grey():
    up = mfm_image(np.ones((N, N)), CELL, 4e-9, 20e-9)
    assert np.allclose(up, 0.5)
    image = mfm_image(np.sign(stripes(32)), CELL, 4e-9, 40e-9)
    assert (image.min(), image.max()) == pytest.approx((0, 1), abs=1e-4)
    harmonics = np.abs(np.fft.rfft(image[0] - 0.5))
    k = 2 * np.pi / (32 * CELL)
    factor = np.exp(-2 * k * 40e-9) * np.expm1(-3 * k * 4e-9) / np.expm1(-k * 4e-9)
    square = np.abs(np.fft.rfft(np.sign(stripes(32))[0]))
    ratio = harmonics[12] / harmonics[4] / (square[12] / square[4])
    assert ratio == pytest.approx(3 * factor, rel=1e-3)


def test_degraded_image_has_the_given_noise_contrast_and_blur():
    rng = np.random.default_rng(3)
    image = kerr_image(np.sign(stripes(32)))
    assert np.array_equal(degraded(image, rng), image)
    noisy = degraded(image, rng, noise=0.2, contrast=0.4)
    assert (noisy - degraded(image, rng, contrast=0.4)).std() == pytest.approx(0.08, rel=0.03)
    assert np.ptp(degraded(image, rng, contrast=0.4)) == pytest.approx(0.4)
    wave = kerr_image(stripes(32))
    blurred = degraded(wave, rng, blur_px=3)
    middle = slice(32, 96)
    want = np.exp(-((2 * np.pi / 32 * 3) ** 2) / 2)
    assert np.ptp(blurred[middle, middle]) / np.ptp(wave) == pytest.approx(want, rel=0.01)
    slope = degraded(np.full((64, 64), 0.5), rng, background=0.3)
    assert 0 < np.ptp(slope) <= 0.3 * np.sqrt(2)
