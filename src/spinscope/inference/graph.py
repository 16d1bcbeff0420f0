"""The OpenVINO graph of a U-Net, built from its model folder without Keras and TensorFlow.

The file `model.keras` holds the layers as JSON and their weights as HDF5. The layers that
`spinscope.models.unet` uses have an operation of OpenVINO each; other networks are converted by
Keras.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.models.checked import CONFIG, WEIGHTS, check_network

if TYPE_CHECKING:
    import openvino as ov

_SAME = {"same": "same_upper", "valid": "valid"}
_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "mish": "mish"}
_IDENTITY = {"Dropout", "SpatialDropout2D"}
_GROUPS = {"Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "PReLU": "p_re_lu"}
"""Class of layers → group of their weights, the first of several."""
_IMAGE = (0, 3, 1, 2)
"""Order of the axes that OpenVINO computes in: (N, channels, H, W)."""
_ROWS = (0, 2, 3, 1)
"""Order of the axes of Keras: (N, H, W, channels)."""


class UnknownLayer(Exception):
    """The network has a layer, or an option of one, that only Keras computes."""


def network_graph(path: Path) -> ov.Model | None:
    """Build the graph of a network.

    Parameters
    ----------
    path : Path
        File `model.keras`.

    Returns
    -------
    openvino.Model or None
        Images (N, H, W, channels) → probabilities (N, H, W, classes), float32; None for a network
        with other layers than the U-Net has.

    Raises
    ------
    SpinscopeError
        As `spinscope.models.checked.check_network` does.
    """
    check_network(path)
    import h5py

    with zipfile.ZipFile(path) as archive:
        network = json.loads(archive.read(CONFIG))
        weights = io.BytesIO(archive.read(WEIGHTS))
    try:
        with h5py.File(weights, "r") as file:
            return _graph(network["config"], file)
    # Keras reports what a network lacks, and arrays of a wrong shape, in its own words.
    except (UnknownLayer, LookupError, TypeError, ValueError, RuntimeError):
        return None


def _graph(network: dict[str, Any], weights) -> ov.Model:
    """Graph of a description and its weights."""
    from spinscope.inference.backend import op
    from spinscope.inference.backend import openvino as ov

    tensors: dict[str, Any] = {}
    image, counts = None, Counter[str]()
    for layer in network["layers"]:
        kind, config, name = layer["class_name"], layer["config"], layer["name"]
        _known(layer["module"] == "keras.layers", layer["module"])
        if kind == "InputLayer":
            _known(image is None, "a second input")
            shape = [-1 if side is None else side for side in config["batch_shape"]]
            image = op.parameter(shape, np.float32, name=name)
            tensors[name] = op.transpose(image, np.array(_IMAGE))
            continue
        policy = config["dtype"]
        if isinstance(policy, dict):
            policy = policy["config"]["name"]
        _known(policy == "float32", policy)
        inputs = [tensors[one] for one in _inputs(layer)]
        number = f"_{counts[kind]}" if counts[kind] else ""
        arrays = weights[f"layers/{_GROUPS[kind]}{number}/vars"] if kind in _GROUPS else None
        counts[kind] += 1
        tensors[name] = _operation(kind, config, inputs, arrays)
    output = op.transpose(tensors[_single(network["output_layers"])], np.array(_ROWS))
    return ov.Model([output], [image], network["name"])


def _operation(kind: str, config: dict[str, Any], inputs: list[Any], weights: Any) -> Any:
    """Node of a layer."""
    from spinscope.inference.backend import op

    _known(config.get("data_format", "channels_last") == "channels_last", "channels_first")
    if kind == "Concatenate":
        _known(config["axis"] in (-1, 3), "axis")
        return op.concat(inputs, 1)
    _known(len(inputs) == 1, f"{kind} of several tensors")
    x = inputs[0]
    if kind in _IDENTITY:
        return x
    if kind == "Activation":
        return _activated(x, config["activation"])
    if kind == "PReLU":
        _known(config["shared_axes"] == [1, 2], "shared_axes")
        return op.prelu(x, weights["0"][()].reshape(-1))
    if kind == "Softmax":
        _known(config["axis"] in (-1, 3), "axis")
        return op.softmax(x, 1)
    if kind == "MaxPooling2D":
        sides, strides = config["pool_size"], config["strides"]
        _known(config["padding"] == "valid", "padding")
        none = [0, 0]
        return op.max_pool(x, strides, [1, 1], none, none, sides, "floor", "valid").output(0)
    _known(kind in _GROUPS and config["dilation_rate"] == [1, 1], kind)
    kernel = np.ascontiguousarray(weights["0"][()].transpose(3, 2, 0, 1))
    strides = config["strides"]
    if kind == "Conv2D":
        _known(config["groups"] == 1, "groups")
        padding = _SAME[config["padding"]]
        x = op.convolution(x, kernel, strides, [0, 0], [0, 0], [1, 1], padding)
    else:
        # Where the blocks that pixels become do not overlap, both paddings are none.
        _known(config["kernel_size"] == strides and config["output_padding"] is None, "strides")
        x = op.convolution_backprop_data(x, kernel, strides, None, [0, 0], [0, 0], [1, 1])
    if config["use_bias"]:
        x = op.add(x, weights["1"][()].reshape(1, -1, 1, 1))
    return _activated(x, config["activation"])


def _activated(x: Any, name: str) -> Any:
    """Node of an activation."""
    from spinscope.inference.backend import op

    return x if name == "linear" else getattr(op, _ACTIVATIONS[name])(x)


def _inputs(layer: dict[str, Any]) -> list[str]:
    """Names of the layers that a layer is applied to."""
    (node,) = layer["inbound_nodes"]  # a layer that is applied twice is unknown
    (first,) = node["args"]
    return [
        _single(one["config"]["keras_history"])
        for one in (first if isinstance(first, list) else [first])
    ]


def _single(history: list[Any]) -> str:
    """Name of a layer whose only output is meant."""
    name, node, tensor = history
    _known(node == tensor == 0, "a further output")
    return name


def _known(known: bool, what: str) -> None:
    """Raise `UnknownLayer` unless the condition holds."""
    if not known:
        raise UnknownLayer(what)
