"""The U-Net, in Keras 3."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spinscope.config import Model
from spinscope.models.backend import keras, layers


def unet(config: Model, classes: int, *, seed: int = 0) -> keras.Model:
    """Build a fully convolutional U-Net that computes the class probabilities of every pixel.

    Each block has two 3x3 'same' convolutions with dropout between them. Blocks are joined by 2x2
    max pooling, channels that double with depth, 2x2 up-convolutions and skip connections; the
    head is a 1x1 softmax. With ``config.stem`` s > 1 the first layer is a strided s x s
    convolution and the last an s x s up-convolution, so that the blocks work on an s times coarser
    grid. ``config.refine`` > 0 then adds a 3x3 convolution with this number of channels on the
    full grid, with the image as a further input, which makes outlines accurate to the pixel.

    Parameters
    ----------
    config : Model
        Width, depth, stem, refine, activation and dropout.
    classes : int
        Number of classes, at least 2.
    seed : int, default 0
        Seed of the initial weights and the dropout masks.

    Returns
    -------
    keras.Model
        (N, H, W, 1) float32 standardised images → (N, H, W, classes) float32 probabilities. H and
        W must be multiples of ``config.size_multiple``.

    References
    ----------
    Ronneberger et al., MICCAI 2015. Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024),
    whose network has ``stem=1``.
    """
    if classes < 2:
        raise ValueError(f"classes (={classes}) must be at least 2")
    seeds = iter(np.random.SeedSequence(seed).generate_state(16 * (config.depth + 2)).tolist())

    def convolution(x, channels, size, kind=layers.Conv2D, activation=True, **options):
        x = kind(
            channels,
            size,
            padding="same",
            kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)),
            **options,
        )(x)
        return _activate(x, config.activation) if activation else x

    def block(x, channels):
        x = convolution(x, channels, 3)
        x = layers.Dropout(config.dropout, seed=next(seeds))(x)
        return convolution(x, channels, 3)

    up = layers.Conv2DTranspose
    channels = [config.width * 2**level for level in range(config.depth + 1)]
    image = x = keras.Input((None, None, 1), name="image")
    if config.stem > 1:
        x = convolution(x, config.width, config.stem, strides=config.stem)
    skips = []
    for width in channels[:-1]:
        x = block(x, width)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = block(x, channels[-1])
    for width, skip in zip(reversed(channels[:-1]), reversed(skips), strict=True):
        x = convolution(x, width, 2, kind=up, activation=False, strides=2)
        x = block(layers.Concatenate()([skip, x]), width)
    if config.stem > 1:
        width = config.refine or config.width
        x = convolution(x, width, config.stem, kind=up, strides=config.stem)
        if config.refine:
            x = convolution(layers.Concatenate()([image, x]), width, 3)
    x = convolution(x, classes, 1, activation=False)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="unet")


def _activate(x, name: str):
    if name == "prelu":
        return layers.PReLU(shared_axes=[1, 2])(x)
    return layers.Activation(name)(x)


def reference_network(image: np.ndarray) -> Callable[[], object]:
    """Function that applies the published U-Net with random weights to an image, by Keras.

    Its time is the unit in which the time of a frame is compared between machines.

    Parameters
    ----------
    image : (H, W) array
        H and W must be multiples of 16.
    """
    config = Model(width=16, depth=4, stem=1, refine=0, activation="relu", dropout=0.05,
                   upscale=None, min_peak_probability=None)  # fmt: skip
    network, batch = unet(config, 3), np.asarray(image, np.float32)[None, ..., None]
    return lambda: network.predict_on_batch(batch)
