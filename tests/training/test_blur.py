"""Blur and noise of the augmentation against SciPy and their statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from spinscope.training.detector import NORMALS, gaussian_blur, normal_numbers

SIDE = 40


@pytest.mark.parametrize(("mirrored", "mode"), [(True, "reflect"), (False, "constant")])
@pytest.mark.parametrize("radius", [0.3, 0.8, 1.2])
def test_the_blur_is_that_of_scipy(mirrored, mode, radius):
    image = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    found = gaussian_blur(1.2, SIDE, mirrored=mirrored)(image[..., None], np.float32(radius))
    true = ndimage.gaussian_filter(image, radius, mode=mode, radius=3)
    np.testing.assert_allclose(np.asarray(found)[..., 0], true, atol=2e-6)


def test_noise_is_normal_and_differs_from_place_to_place():
    normal = normal_numbers(SIDE, seed=3)
    noise = np.stack([np.asarray(normal(place)) for place in (0, 5 * SIDE**2, NORMALS)])
    assert noise.shape == (3, SIDE, SIDE, 1)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * noise.size))
    assert np.abs(np.corrcoef(noise.reshape(3, -1)) - np.eye(3)).max() < 4 / SIDE
    assert np.array_equal(normal(7), normal_numbers(SIDE, seed=3)(7))
