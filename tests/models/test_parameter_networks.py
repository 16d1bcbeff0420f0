"""Networks that estimate a magnetic parameter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spinscope.models.parameter_networks import (
    RelativeError,
    log_likelihood,
    parameter_network,
    published_network,
    scaled_network,
)
from spinscope.models.scaled_input import SIDE, canvas, canvas_pixel, canvases


def stripes(side, period, pixels):
    x = (np.arange(pixels) + 0.5) * side / pixels
    return np.broadcast_to(np.sin(2 * np.pi * x / period), (pixels, pixels)).astype(np.float32)


def test_the_published_network_has_the_weights_of_its_table():
    network = published_network(128)
    filters, weights = (1, 16, 32, 64, 64, 128, 128), 0
    for before, after in itertools.pairwise(filters):
        weights += 9 * before * after + 2 * after  # convolution, scale and offset
    weights += 2 * 2 * 128 + 1  # 128 px are pooled six times
    assert sum(np.prod(w.shape) for w in network.trainable_variables) == weights
    assert network.output_shape == (None, 1)


@pytest.mark.parametrize("architecture", ["published", "scaled"])
def test_equal_seeds_give_equal_weights(architecture):
    first, same, other = (parameter_network(architecture, 64, seed) for seed in (3, 3, 4))
    for a, b in zip(first.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(first.get_weights(), other.get_weights(), strict=True)
    )


def test_the_same_stripes_at_two_imaging_scales_have_one_width_on_the_canvas():
    pixel, period = canvas_pixel(1e-6), 160e-9
    peaks = []
    for side in (500e-9, 1000e-9):
        image = canvas(stripes(side, period, 64), side / 64, pixel)
        inside = image[..., 1] > 0
        assert inside.sum() == round(side / pixel) ** 2
        line = image[0, inside[0], 0]
        spectrum = np.abs(np.fft.rfft(line, 4096))
        peaks.append(4096 / spectrum.argmax() * pixel)
    np.testing.assert_allclose(peaks, period, rtol=0.03)


def test_the_canvas_ignores_brightness_and_contrast_and_marks_the_image():
    image = stripes(496e-9, 120e-9, 62)
    a = canvas(image, 8e-9, 8e-9)
    b = canvas(0.3 + 0.05 * image, 8e-9, 8e-9)
    assert a.shape == (SIDE, SIDE, 2)
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(a[:62, :62, 0].std(), 1, rtol=1e-3)
    assert a[:62, :62, 1].all() and a[..., 1].sum() == 62**2 and not a[62:, :, 0].any()


def test_the_scaled_network_ignores_what_lies_outside_the_image():
    network = scaled_network(0)
    inputs = canvas(stripes(512e-9, 120e-9, 64), 8e-9, 8e-9)[None]
    changed = inputs.copy()
    changed[:, 80:, 80:, 0] = 5  # outside, and beyond the reach of the first convolution
    np.testing.assert_allclose(network(inputs), network(changed), atol=1e-5)


def test_the_likelihood_is_that_of_a_normal_distribution():
    from scipy import stats

    value = np.array([[0.2], [0.9]], np.float32)
    output = np.array([[0.1, -1.0], [0.5, 0.5]], np.float32)
    expected = -stats.norm(output[:, 0], np.exp(output[:, 1])).logpdf(value[:, 0])
    found = np.asarray(log_likelihood(value, output)) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_error_is_the_root_mean_square_over_all_batches():
    metric = RelativeError()
    metric.update_state(np.array([[0.0], [1.0]]), np.array([[0.3, 9.0], [1.0, 9.0]]))
    metric.update_state(np.array([[0.5]]), np.array([[0.1, 9.0]]))
    assert float(metric.result()) == pytest.approx(np.sqrt((0.09 + 0.16) / 3), rel=1e-5)


@pytest.mark.parametrize(
    ("side", "parts"), [(500e-9, 1), (600e-9, 4), (750e-9, 1), (800e-9, 4), (1000e-9, 1)]
)
def test_an_image_is_cut_into_parts_whose_sides_the_training_had(side, parts):
    pixel = canvas_pixel(2e-6)
    image = np.random.default_rng(0).random((64, 64))
    found = canvases(image, side / 64, pixel)
    assert len(found) == parts
    unit = 250e-9 / pixel
    for part in found:
        inside = part[..., 1].sum() ** 0.5
        assert abs(inside - unit * round(inside / unit)) < 1
    np.testing.assert_array_equal(found[0], canvas(image, side / 64, pixel))
