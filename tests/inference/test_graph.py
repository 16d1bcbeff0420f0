"""Graphs of U-Nets, built without Keras, compute what Keras computes."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from tests.conftest import section

from spinscope.config import bundled_models
from spinscope.inference.engine import KerasEngine, OpenVinoEngine, open_engine
from spinscope.inference.graph import network_graph
from spinscope.models.store import NETWORK, load_model, save_model
from spinscope.models.unet import unet

INFO = {"classes": ["background", "skyrmion", "defect"], "size_multiple": 4}
U_NETS = sorted(path.parent.name for path in bundled_models().glob("*unet*/model.keras"))


def _frames(side):
    """Noise and a smooth image, (2, side, side, 1)."""
    noise = np.random.default_rng(0).normal(size=(side, side))
    smooth = np.add.outer(np.sin(np.arange(side) / 9), np.cos(np.arange(side) / 7))
    return np.stack([noise, smooth]).astype(np.float32)[..., None]


@pytest.mark.parametrize("activation", ["relu", "prelu", "tanh", "mish"])
@pytest.mark.parametrize(("stem", "refine"), [(1, 0), (2, 3), (4, 0)])
def test_every_u_net_of_the_settings(activation, stem, refine, tmp_path):
    """Also after weights have changed, and with layers that were numbered before."""
    config = section("model", width=4, depth=2, stem=stem, refine=refine, activation=activation)
    network = unet(config, 3, seed=1)
    rng = np.random.default_rng(2)
    network.set_weights(
        [w + 0.1 * rng.normal(size=w.shape).astype(w.dtype) for w in network.get_weights()]
    )
    folder = save_model(tmp_path / "model", network, INFO, "# small\n")
    graph = network_graph(folder / NETWORK)
    found = OpenVinoEngine(graph, "f32")(_frames(48))
    np.testing.assert_allclose(found, KerasEngine(network)(_frames(48)), atol=1e-5)


@pytest.mark.parametrize("name", U_NETS)
def test_the_bundled_models_give_the_masks_of_keras(name):
    folder = bundled_models() / name
    engine, _ = open_engine(folder, "openvino", "f32")
    frames = _frames(128)
    expected = KerasEngine(load_model(folder)[0])(frames)
    found = engine(frames)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(-1) == expected.argmax(-1)).mean() >= 0.9999


def test_the_graph_takes_any_size(tmp_path):
    network = unet(section("model", width=2, depth=2, stem=2, refine=2), 3)
    folder = save_model(tmp_path / "model", network, INFO, "# small\n")
    engine = OpenVinoEngine(network_graph(folder / NETWORK), "f32")
    for shape in ((1, 16, 40, 1), (3, 8, 8, 1)):
        assert engine(np.zeros(shape, np.float32)).shape == (*shape[:3], 3)


def _other_networks():
    """Networks that only Keras computes, by what is different."""
    from spinscope.models.backend import keras, layers

    def network(*made):
        image = x = keras.Input((None, None, 1))
        for layer in made:
            x = layer(x)
        return keras.Model(image, layers.Softmax()(layers.Conv2D(3, 1)(x)))

    twice = layers.Conv2D(1, 3, padding="same")
    return {
        "layer": network(layers.LayerNormalization()),
        "layer that is used twice": network(twice, twice),
        "overlapping up-convolution": network(
            layers.Conv2DTranspose(2, 3, strides=2, padding="same")
        ),
        "dilation": network(layers.Conv2D(2, 3, dilation_rate=2, padding="same")),
        "activation": network(layers.Activation("softplus")),
        "pooling": network(layers.MaxPooling2D(2, padding="same")),
    }


def test_other_networks_are_left_to_keras(tmp_path):
    for what, network in _other_networks().items():
        folder = save_model(tmp_path / what, network, INFO, "# other\n")
        assert network_graph(folder / NETWORK) is None, what


def test_a_network_without_its_weights_is_left_to_keras(tmp_path):
    """Keras then reports what is wrong."""
    network = unet(section("model", width=2, depth=1, stem=1, refine=0), 3)
    folder = save_model(tmp_path / "model", network, INFO, "# small\n")
    with zipfile.ZipFile(folder / NETWORK) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Conv2D":
            layer["config"]["use_bias"] = True
            layer["class_name"] = "Conv2DTranspose"
    with zipfile.ZipFile(folder / NETWORK, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    assert network_graph(folder / NETWORK) is None
