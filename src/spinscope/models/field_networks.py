"""Networks that infer the effective field of a periodic lattice of spins.

`published_network` is the fully convolutional encoder and decoder of Lee et al.; it has no path
around its bottleneck, so it reproduces only configurations that resemble its training lattices.
`local_network` uses that the effective field of near neighbours is a linear function of 3×3 spins:
one convolution gives it exactly. What spins with noise or missing components need comes from a
small U-Net, which corrects the spins before the convolution and is switched off where the spins
are aligned with their field.

References
----------
Lee et al., Sci. Rep. 11, 22937 (2021).
"""

from __future__ import annotations

import numpy as np

from spinscope.models.backend import keras, layers, ops
from spinscope.models.linear_field import FIELD, LOCAL, PUBLISHED, patches

_WIDTHS = (24, 32, 48)
"""Filters of the correction on blocks of 2, 4 and 8 sites."""
_CLEAN, _NOISY = 0.02, 0.1
"""Mean squared misalignment at which the correction of the spins begins and is complete."""

_FLOOR = 1e-7
"""Mean squared error in J² below which an error no longer counts."""


def field_network(architecture: str, seed: int = 0) -> keras.Model:
    """Build a network: spins (N, H, W, 3) → effective field (N, H, W, 3).

    Parameters
    ----------
    architecture : {"published", "local"}
    seed : int, default 0
        Equal seeds give equal initial weights.
    """
    return published_network(seed) if architecture == PUBLISHED else local_network(seed)


def published_network(seed: int = 0) -> keras.Model:
    """Encoder of four convolutions with max pooling and decoder of four with up-sampling.

    H and W must be multiples of 16.

    Parameters
    ----------
    seed : int, default 0
    """
    convolution = _convolution(seed)
    spins = x = keras.Input((None, None, 3), name="spins")
    for filters in (8, 16, 32, 64):
        x = convolution(x, filters, use_bias=False)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D(3, strides=2)(_wrapped(x))
    for filters in (32, 16, 8):
        x = convolution(layers.UpSampling2D(2)(x), filters, use_bias=False)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = convolution(layers.UpSampling2D(2)(x), 3)  # signed components: no rectifier
    return keras.Model(spins, convolution(x, 3), name=PUBLISHED)


def local_network(seed: int = 0) -> keras.Model:
    """Linear 3×3 convolution of spins that a U-Net has corrected where they are not aligned.

    H and W must be multiples of 8.

    Parameters
    ----------
    seed : int, default 0
    """
    convolution = _convolution(seed)
    spins = keras.Input((None, None, 3), name="spins")
    local = layers.Conv2D(3, 3, name=FIELD, kernel_initializer=_initial(seed, FIELD))
    local.trainable = False  # set by `fit_field`
    gate = _gate(spins, local(_wrapped(spins)))

    # The correction is computed on blocks of 2×2 sites.
    x, skips = convolution(spins, _WIDTHS[0], size=4, strides=2, activation="relu"), []
    for filters in _WIDTHS[1:]:
        skips.append(x)
        x = convolution(layers.AveragePooling2D(2)(x), filters, activation="relu")
    x = convolution(x, _WIDTHS[2], activation="relu")
    for filters, skip in zip(_WIDTHS[1::-1], reversed(skips), strict=True):
        x = layers.UpSampling2D(2)(convolution(x, filters, size=1))
        x = convolution(layers.Add()([x, skip]), filters, activation="relu")
    unfold = layers.Conv2DTranspose(
        3, 2, strides=2, use_bias=False, kernel_initializer=_initial(seed, "sites")
    )
    return keras.Model(spins, local(_wrapped(spins + unfold(gate * x))), name=LOCAL)


def _gate(spins, field):
    """Weight of the correction of blocks of 2×2 sites, (N, H / 2, W / 2, 1).

    It is 0 for unit vectors along their field, else up to 1: it grows with the squared sine of the
    angle between spin and field plus the squared deficit of the length, a mean over 6×6 sites.
    """
    square = ops.sum(ops.square(spins), axis=-1, keepdims=True)
    along = ops.sum(spins * field, axis=-1, keepdims=True)
    length = ops.sum(ops.square(field), axis=-1, keepdims=True)
    misaligned = ops.square(1.0 - square) + square - ops.square(along) / (length + 1e-6)
    blocks = layers.AveragePooling2D(2)(misaligned)
    mean = layers.AveragePooling2D(3, strides=1)(_wrapped(blocks))
    return ops.clip((mean - _CLEAN) / (_NOISY - _CLEAN), 0.0, 1.0)


def _initial(seed: int, name: str):
    """Initialiser of the weights of one layer."""
    state = np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0]
    return keras.initializers.HeNormal(seed=int(state))


def _convolution(seed: int):
    """Function that applies a convolution with periodic borders and weights of its own."""
    number = iter(range(100))

    def convolution(x, filters, *, size=3, **options):
        initial = _initial(seed, str(next(number)))
        layer = layers.Conv2D(filters, size, kernel_initializer=initial, **options)
        return layer(_wrapped(x, (size - 1) // 2) if size > 1 else x)

    return convolution


def _wrapped(x, margin: int = 1):
    """Tensor with `margin` more sites on each side, continued periodically."""
    x = ops.concatenate([x[:, -margin:], x, x[:, :margin]], axis=1)
    return ops.concatenate([x[:, :, -margin:], x, x[:, :, :margin]], axis=2)


def fit_field(network: keras.Model, spins: np.ndarray, field: np.ndarray) -> None:
    """Set the linear convolution of `local_network` by least squares.

    Parameters
    ----------
    network : keras.Model
    spins, field : (N, H, W, 3) array
        Lattices and their effective fields in units of J. The spins must not be aligned with their
        fields everywhere, or other convolutions give the same fields.
    """
    rows = patches(spins.astype(np.float64)).reshape(-1, 28)
    field = field.reshape(-1, 3).astype(np.float64)
    weights = np.linalg.solve(rows.T @ rows, rows.T @ field)
    network.get_layer(FIELD).set_weights([weights[:27].reshape(3, 3, 3, 3), weights[27]])


def log_error(field, inferred):
    """Logarithm of the mean squared error of each lattice, (N,).

    Lattices with noise or missing components, whose fields are uncertain, and clean ones, whose
    fields are exact, have the same weight at every stage of a training.

    Parameters
    ----------
    field, inferred : (N, H, W, 3) tensors
        In units of J.
    """
    return ops.log(ops.mean(ops.square(field - inferred), axis=(1, 2, 3)) + _FLOOR)


class EnergyError(keras.metrics.Metric):
    """Mean relative error of the energy of lattices whose spins are aligned with their field."""

    def __init__(self, name: str = "energy_error", **options):
        super().__init__(name=name, **options)
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self, field, inferred, sample_weight=None):
        """Add the lattices of a batch."""
        length = ops.sqrt(ops.sum(ops.square(field), axis=-1))
        along = ops.sum(field * inferred, axis=-1) / ops.maximum(length, 1e-6)
        ratio = ops.sum(along, axis=(1, 2)) / ops.maximum(ops.sum(length, axis=(1, 2)), 1e-6)
        self.total.assign_add(ops.sum(ops.abs(ratio - 1)))
        self.count.assign_add(ops.cast(ops.size(ratio), "float32"))

    def result(self):
        """Mean over the lattices."""
        return self.total / ops.maximum(self.count, 1.0)
