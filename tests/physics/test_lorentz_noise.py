"""Noise of Lorentz images: each kind has its given strength."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics import lorentz_noise as noise

FLAT = np.full((128, 160), 0.5, dtype=np.float32)


def rng():
    return np.random.default_rng(0)


def test_without_noise_the_image_is_unchanged():
    image = rng().random((16, 16), dtype=np.float32)
    before = image.copy()
    np.testing.assert_array_equal(noise.add(image, rng()), before)
    noise.add(image, rng(), gaussian=0.1, salt=0.1, blur=1, gamma=0.5, background=0.1)
    np.testing.assert_array_equal(image, before)


def test_gaussian_noise_is_white_and_has_its_standard_deviation():
    noisy = noise.add(FLAT, rng(), gaussian=0.08) - 0.5
    assert noisy.std() == pytest.approx(0.08, rel=0.02)
    assert abs(np.mean(noisy[:, 1:] * noisy[:, :-1])) < 0.02 * noisy.var()


@pytest.mark.parametrize("level", [0.2, 0.7])
def test_shot_noise_counts_electrons(level):
    noisy = noise.add(np.full_like(FLAT, level), rng(), poisson=400)
    assert noisy.mean() == pytest.approx(level, rel=0.01)
    assert noisy.var() == pytest.approx(level / 400, rel=0.05)
    np.testing.assert_allclose(noisy * 400, np.rint(noisy * 400), atol=1e-3)


def test_salt_and_pepper_take_half_each():
    noisy = noise.add(FLAT, rng(), salt=0.04)
    assert np.mean(noisy == 0) == pytest.approx(0.02, abs=0.003)
    assert np.mean(noisy == 1) == pytest.approx(0.02, abs=0.003)
    assert np.all((noisy == 0.5) | (noisy == 0) | (noisy == 1))


def test_blur_is_mirrored_at_the_borders_and_comes_after_the_noise():
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (32, 64))
    blurred = noise.add(ramp, rng(), blur=3)
    slope = np.diff(blurred[16])
    assert slope[0] < 0.35 * slope[32]  # continued by the last pixel, it would be above a half
    assert slope[32] == pytest.approx(1 / 63, rel=1e-3)
    # White noise that a Gaussian of sigma blurs keeps 1 / (4 pi sigma^2) of its variance.
    noisy = noise.add(FLAT, rng(), gaussian=0.1, blur=2)
    assert noisy.var() == pytest.approx(0.01 / (16 * np.pi), rel=0.15)


def test_gamma_is_the_exponent_of_the_contrast():
    image = rng().random((16, 16), dtype=np.float32)
    np.testing.assert_allclose(noise.add(image, rng(), gamma=0.7), image**0.7, rtol=1e-5)


def test_background_is_smooth_and_of_zero_mean():
    uneven = noise.add(FLAT, rng(), background=0.05)
    assert uneven.mean() == pytest.approx(0.5, abs=1e-4)
    assert uneven.std() == pytest.approx(0.05, rel=1e-3)
    assert np.abs(np.diff(uneven, n=3)).max() < 1e-5


def test_result_stays_in_range_and_follows_the_generator():
    image = rng().random((64, 64), dtype=np.float32)
    settings = {"gaussian": 0.5, "poisson": 50, "salt": 0.02, "blur": 0.6, "gamma": 1.4}
    one, same, other = (
        noise.add(image, np.random.default_rng(s), background=0.1, **settings) for s in (1, 1, 2)
    )
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_grey_runs_from_0_to_1_in_every_image():
    images = np.array([[[0.9, 1.0], [1.1, 1.0]], [[1, 3], [2, 2]], [[1, 1], [1, 1 + 1e-7]]])
    expected = [[[0, 0.5], [1, 0.5]], [[0, 1], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]
    np.testing.assert_allclose(noise.grey(images), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "parameters", "rule"),
    [
        (FLAT * 3, {}, "image must be in [0, 1]; it runs from 1.5 to 1.5"),
        (FLAT * np.nan, {}, "image must be in [0, 1]"),
        (FLAT[0], {}, "image of shape (160,) must be (H, W)"),
        (FLAT, {"gaussian": -0.1}, "gaussian (=-0.1) must be finite and not negative"),
        (FLAT, {"blur": np.inf}, "blur (=inf) must be"),
        (FLAT, {"salt": 1.5}, "salt (=1.5) must be between 0 and 1"),
        (FLAT, {"gamma": 0}, "gamma (=0) must be positive"),
    ],
)
def test_a_parameter_out_of_range_is_an_error(image, parameters, rule):
    with pytest.raises(SpinscopeError) as error:
        noise.add(image, rng(), **parameters)
    assert rule in str(error.value)
