"""Networks that estimate a magnetic parameter from a domain image.

`published_network` is the one of Watanabe et al.: it sees pixels only, so that a pattern at another
imaging scale looks like one of another parameter. `scaled_network` is told the pixel size: its
images are resampled to one pixel size (`scaled_input`), so that a domain has the same width in
pixels at every imaging scale, and averages over the field of view. It returns a mean and the
logarithm of a standard deviation. Values are relative: 0 and 1 are the ends of the range of the
training films.

References
----------
Watanabe, Nakatani, Awano and Tanabe, arXiv:2408.12181 (2024).
"""

from __future__ import annotations

import numpy as np

from spinscope.models.backend import keras, layers, ops
from spinscope.models.scaled_input import SIDE

PUBLISHED, SCALED = "published", "scaled"
_FILTERS = (16, 32, 64, 64, 128, 128)
_WIDTHS = (24, 24, 48, 64)
_LOG_SD = (-5.0, 1.0)
"""Range of the logarithm of the standard deviation."""


def parameter_network(architecture: str, pixels: int, seed: int = 0) -> keras.Model:
    """Build a network.

    Parameters
    ----------
    architecture : {"published", "scaled"}
    pixels : int
        Side of an image in px, for the published network.
    seed : int, default 0
        Equal seeds give equal initial weights.
    """
    return published_network(pixels, seed) if architecture == PUBLISHED else scaled_network(seed)


def published_network(pixels: int = 128, seed: int = 0) -> keras.Model:
    """Six convolutions with batch normalisation, ReLU and max pooling, and one dense output.

    Parameters
    ----------
    pixels : int, default 128
        Side of the image in px; below 64 the last poolings are left out.
    seed : int, default 0

    Returns
    -------
    keras.Model
        (N, pixels, pixels, 1) → (N, 1).
    """
    seeds = _seeds(seed)
    image = x = keras.Input((pixels, pixels, 1), name="image")
    for filters in _FILTERS:
        x = layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=_initial(seeds)
        )(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        if x.shape[1] > 1:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(1, kernel_initializer=_initial(seeds))(layers.Flatten()(x))
    return keras.Model(image, x, name=PUBLISHED)


def scaled_network(seed: int = 0) -> keras.Model:
    """Convolutions on the canvas, then mean and spread of the features over the image.

    Parameters
    ----------
    seed : int, default 0

    Returns
    -------
    keras.Model
        (N, 256, 256, 2) of `scaled_input.canvas` → (N, 2): mean, logarithm of the SD.
    """
    seeds = _seeds(seed)
    canvas = keras.Input((SIDE, SIDE, 2), name="canvas")
    x, inside = canvas, canvas[..., 1:]
    for number, filters in enumerate(_WIDTHS):
        size, stride = (8, 4) if number == 0 else (3, 1)
        x = layers.Conv2D(
            filters, size, stride, padding="same", kernel_initializer=_initial(seeds)
        )(x)
        inside = layers.AveragePooling2D(2 if number else stride)(inside)
        if number:
            x = layers.AveragePooling2D(2)(x)
        x = layers.ReLU()(x) * inside
    x = layers.Conv2D(_WIDTHS[-1], 3, padding="same", kernel_initializer=_initial(seeds))(x)
    x = layers.ReLU()(x) * inside
    area = ops.sum(inside, axis=(1, 2)) + 1e-3
    mean = ops.sum(x, axis=(1, 2)) / area
    square = ops.sum(x * x, axis=(1, 2)) / area
    spread = ops.sqrt(ops.relu(square - mean * mean) + 1e-4)
    x = layers.Concatenate()([mean, spread, ops.log(area)])
    x = layers.Dense(64, activation="relu", kernel_initializer=_initial(seeds))(x)
    value = layers.Dense(1, kernel_initializer=_initial(seeds), name="value")(x)
    log_sd = layers.Dense(1, kernel_initializer="zeros", name="log_sd")(x)
    return keras.Model(
        canvas, layers.Concatenate()([value + 0.5, ops.clip(log_sd - 1, *_LOG_SD)]), name=SCALED
    )


def log_likelihood(value, output):
    """Negative logarithm of the likelihood of a value under the estimated distribution, (N,).

    Parameters
    ----------
    value : (N, 1) tensor
    output : (N, 2) tensor
        Mean and logarithm of the standard deviation.
    """
    mean, log_sd = output[:, :1], output[:, 1:]
    return ops.mean(log_sd + 0.5 * ops.square((value - mean) * ops.exp(-log_sd)), axis=-1)


class RelativeError(keras.metrics.Metric):
    """Root mean squared error of the mean, relative to the range of the training films."""

    def __init__(self, name: str = "rmse", **options):
        super().__init__(name=name, **options)
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self, value, output, sample_weight=None):
        """Add the images of a batch."""
        error = ops.square(value - output[:, :1])
        self.total.assign_add(ops.sum(error))
        self.count.assign_add(ops.cast(ops.size(error), "float32"))

    def result(self):
        """Root of the mean over the images."""
        return ops.sqrt(self.total / ops.maximum(self.count, 1.0))


def _seeds(seed: int):
    return iter(np.random.SeedSequence(seed).generate_state(16).tolist())


def _initial(seeds) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=next(seeds))
