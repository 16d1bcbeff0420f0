"""The U-Net: shapes, the published parts, determinism."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tests.conftest import section

from spinscope.models.unet import unet

SMALL = {"width": 4, "depth": 2, "stem": 1, "refine": 0}


@pytest.mark.parametrize("activation", ["relu", "prelu", "tanh", "mish"])
@pytest.mark.parametrize("stem", [1, 2])
def test_any_size_gives_probabilities(activation, stem):
    config = section("model", **{**SMALL, "stem": stem, "refine": 4, "activation": activation})
    model = unet(config, 3)
    multiple = config.size_multiple
    for height, width in ((multiple, 3 * multiple), (4 * multiple, 2 * multiple)):
        image = np.random.default_rng(0).normal(size=(2, height, width, 1)).astype(np.float32)
        found = np.asarray(model(image))
        assert found.shape == (2, height, width, 3)
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_published_network_has_its_parts():
    """Two 3x3 convolutions a block, dropout between them, channels that double, 1x1 head."""
    model = unet(section("model", **SMALL), 3)
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]
    assert [layer.filters for layer in convolutions] == [4, 4, 8, 8, 16, 16, 8, 8, 4, 4, 3]
    assert {layer.kernel_size for layer in convolutions[:-1]} == {(3, 3)}
    assert convolutions[-1].kernel_size == (1, 1)
    assert (kinds.count("MaxPooling2D"), kinds.count("Conv2DTranspose")) == (2, 2)
    first = kinds.index("Dropout")
    assert kinds[first - 2 : first + 2] == ["Conv2D", "Activation", "Dropout", "Conv2D"]


def test_parameters_of_the_published_width():
    assert (
        unet(section("model", **{**SMALL, "width": 16, "depth": 4}), 3).count_params() == 1_940_851
    )


def test_seed_decides_the_weights():
    one, same, other = (
        unet(section("model", **SMALL), 3, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_layers_of_one_network_differ():
    """Every layer has a seed of its own: equal shapes do not start with equal kernels."""
    kernels = [
        w for w in unet(section("model", **SMALL), 3).get_weights() if w.shape == (3, 3, 8, 8)
    ]
    assert len(kernels) >= 2
    assert not np.array_equal(kernels[0], kernels[1])


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"classes \(=1\)"):
        unet(section("model", **SMALL), 1)
