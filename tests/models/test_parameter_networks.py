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


def test_the_scaled_network_is_told_the_scale():
    network, rng = scaled_network(64), np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, w.shape) if w.ndim == 2 else w for w in network.get_weights()]
    network.set_weights(weights)  # the first weights of the modulation are zero
    view = rng.normal(size=(1, 64, 64, 1))
    small, large = (
        np.asarray(network(np.concatenate([view, np.full_like(view, scale)], -1)))
        for scale in (-1, 1)
    )
    assert abs(small[0, 0] - large[0, 0]) > 0.01


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
