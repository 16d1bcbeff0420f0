"""Estimates of a magnetic parameter by a loaded network."""

from __future__ import annotations

import io

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.inference.parameters import (
    FILMS,
    ParameterPredictor,
    network_input,
    outputs,
    spread,
)

INFO = {
    "parameter": "dmi",
    "limits": [1e-4, 1e-3],
    "architecture": "scaled",
    "pixels": 64,
    "scales": [2.5e-7, 1e-6],
    "calibration": {"sd": 1.2, "interval": 2.0},
}


def constant(mean, log_sd):
    """Engine whose outputs are given, in turn."""
    calls = []

    def engine(batch):
        calls.append(batch.shape)
        return np.array([[m, log_sd] for m in np.resize(mean, len(batch))], np.float32)

    engine.calls = calls
    return engine


def test_outputs_become_values_in_si_units_with_calibrated_spread():
    predictor = ParameterPredictor(constant([0.5], np.log(0.1)), INFO)
    found = predictor(np.zeros((64, 64)), 1e-6 / 64)
    assert found.mean == pytest.approx(5.5e-4)
    assert found.sd == pytest.approx(1.2 * 0.1 * 9e-4)
    assert (found.high - found.low) / 2 == pytest.approx(2.0 * 0.1 * 9e-4)
    assert predictor.unit == "J/m²"


def test_a_network_without_spread_has_that_of_its_calibration():
    sd, reach = spread(np.array([[0.3], [0.4]]), {"sd": 0.05, "interval": 0.09})
    np.testing.assert_allclose(sd, 0.05)
    np.testing.assert_allclose(reach, 0.09)


@pytest.mark.parametrize(
    ("shape", "tiles"), [((64, 64), 1), ((100, 64), 2), ((128, 128), 4), ((64, 200), 4)]
)
def test_a_larger_image_is_cut_into_tiles_whose_estimates_are_averaged(shape, tiles):
    engine = constant(np.arange(tiles) / 10, np.log(0.1))
    found = ParameterPredictor(engine, INFO)(np.random.default_rng(0).random(shape), 1e-6 / 64)
    assert engine.calls == [(16 * tiles, 64, 64, 2)]
    assert found.mean == pytest.approx(1e-4 + np.mean(np.arange(tiles) / 10) * 9e-4, rel=1e-6)
    assert found.sd == pytest.approx(0.12 * 9e-4, rel=1e-5)


def test_tiles_cover_every_pixel_of_the_image():
    image = np.arange(100 * 150, dtype=np.float32).reshape(100, 150)
    tiles = ParameterPredictor(constant([0], 0), INFO)._tiles(image, 1e-6 / 64)
    assert {tile.shape for tile in tiles} == {(64, 64)}
    assert np.unique(np.concatenate([tile.ravel() for tile in tiles])).size == image.size


def test_an_image_that_is_not_square_is_cut_into_squares():
    predictor = ParameterPredictor(constant([0], 0), INFO)
    tiles = predictor._tiles(np.zeros((30, 50), np.float32), 1e-6 / 64)
    assert [tile.shape for tile in tiles] == [(30, 30)] * 2


def test_the_published_network_sees_grey_levels_at_its_number_of_pixels():
    info = {**INFO, "architecture": "published", "pixels": 32}
    inputs = network_input(np.full((64, 64), 0.75, np.float32), 1e-8, info)
    assert inputs.shape == (32, 32, 1)
    np.testing.assert_allclose(inputs, 0.5, rtol=1e-6)


@pytest.mark.parametrize("pixels", [64, 96])
def test_the_own_network_sees_standard_levels_and_the_scale(pixels):
    image = np.random.default_rng(0).random((pixels, pixels))
    a = network_input(image, 5e-7 / pixels, INFO)
    b = network_input(0.3 + 0.05 * image, 5e-7 / pixels, INFO)
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose([a[..., 0].mean(), a[..., 0].std()], [0, 1], atol=1e-3)
    np.testing.assert_allclose(a[..., 1], 0, atol=1e-6)  # half the largest scale
    assert network_input(image, 2.5e-7 / pixels, INFO)[0, 0, 1] == pytest.approx(-1)


def test_an_estimate_does_not_depend_on_orientation_and_polarity():
    weights = np.random.default_rng(1).random((64, 64, 2))

    def network(inputs):
        return np.stack([(inputs * weights).sum((1, 2, 3)), inputs[:, 0, 0, 0]], 1)

    image = np.random.default_rng(0).random((64, 64))
    found = [
        outputs(network, network_input(one, 1e-8, INFO)[None], INFO)
        for one in (image, 1 - image, np.rot90(image), image[::-1], image.T)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-4)


def test_training_films_are_found_by_their_values(tmp_path):
    buffer = io.BytesIO()
    images = np.arange(3)[:, None, None] * np.ones((1, 8, 8))
    np.savez(
        buffer,
        images=images.astype(np.uint8),
        values=np.array([3e-4, 9e-4, 5e-4]),
        pixel_size=1.6e-8,
    )
    (tmp_path / FILMS).write_bytes(buffer.getvalue())
    films = ParameterPredictor(constant([0], 0), INFO, tmp_path).films
    assert films.nearest(5.5e-4, 2).tolist() == [2, 0]
    assert films.pixel_size == pytest.approx(1.6e-8)


def test_a_model_without_training_films_says_so(tmp_path):
    with pytest.raises(SpinscopeError, match=r"no training films \(films\.npz\)"):
        _ = ParameterPredictor(constant([0], 0), INFO, tmp_path).films
