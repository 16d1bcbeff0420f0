"""Networks that estimate a magnetic parameter from a domain image.

`published_network` is the one of Watanabe et al.: it sees pixels only, so that a pattern at another
imaging scale looks like one of another parameter. `scaled_network` is told the imaging scale, which
shifts and stretches the features of every convolution (Perez et al.), and averages the features
over the field of view. It returns a mean and the logarithm of a standard deviation. Values are
relative: 0 and 1 are the ends of the range of the training films.

References
----------
Watanabe, Nakatani, Awano and Tanabe, arXiv:2408.12181 (2024).
Perez, Strub, de Vries, Dumoulin and Courville, AAAI (2018), arXiv:1709.07871.
"""

from __future__ import annotations

import numpy as np

from spinscope.models.backend import keras, layers, ops

PUBLISHED, SCALED = "published", "scaled"
_FILTERS = (16, 32, 64, 64, 128, 128)
_WIDTHS = (16, 32, 64, 96)
_LOG_SD = (-5.0, 1.0)
"""Range of the logarithm of the standard deviation."""


def parameter_network(architecture: str, pixels: int, seed: int = 0) -> keras.Model:
    """Build a network.

    Parameters
    ----------
    architecture : {"published", "scaled"}
    pixels : int
        Side of an image in px.
    seed : int, default 0
        Equal seeds give equal initial weights.
    """
    return (published_network if architecture == PUBLISHED else scaled_network)(pixels, seed)


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


def scaled_network(pixels: int = 64, seed: int = 0) -> keras.Model:
    """Convolutions modulated by the imaging scale, then mean and spread of the features.

    Parameters
    ----------
    pixels : int, default 64
        Side of the image in px, at least 8.
    seed : int, default 0

    Returns
    -------
    keras.Model
        (N, pixels, pixels, 2), an image of mean 0 and standard deviation 1 and, in every pixel, the
        logarithm of the imaging scale → (N, 2): mean, logarithm of the SD.
    """
    seeds = _seeds(seed)
    view = keras.Input((pixels, pixels, 2), name="view")
    x, scale = view[..., :1], ops.mean(view[..., 1], axis=(1, 2))[:, None]
    told = layers.Dense(32, activation="gelu", kernel_initializer=_initial(seeds))(
        layers.Concatenate()([scale, scale * scale])
    )
    for number, filters in enumerate(_WIDTHS):
        if number:
            x = layers.MaxPooling2D(2)(x)
        x = layers.Conv2D(
            filters,
            3 if number else 5,
            padding="same",
            use_bias=False,
            kernel_initializer=_initial(seeds),
        )(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        factors = layers.Dense(2 * filters, kernel_initializer="zeros")(told)[:, None, None]
        x = layers.ReLU()(x * (1 + factors[..., :filters]) + factors[..., filters:])
    mean = ops.mean(x, axis=(1, 2))
    spread = ops.sqrt(ops.relu(ops.mean(x * x, axis=(1, 2)) - mean * mean) + 1e-4)
    x = layers.Concatenate()([mean, spread, told])
    x = layers.Dense(64, activation="relu", kernel_initializer=_initial(seeds))(x)
    value = layers.Dense(1, kernel_initializer=_initial(seeds), name="value")(x)
    log_sd = layers.Dense(1, kernel_initializer="zeros", name="log_sd")(x)
    return keras.Model(
        view, layers.Concatenate()([value + 0.5, ops.clip(log_sd - 1, *_LOG_SD)]), name=SCALED
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
