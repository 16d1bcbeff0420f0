"""The U-Net of the Kerr study, in Keras 3."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from spinscope.config import Model


def unet(config: Model, classes: int, *, seed: int = 0) -> keras.Model:
    """Fully convolutional U-Net that gives each pixel of an image its class probabilities.

    Two 3x3 'same' convolutions a block with dropout between them, 2x2 max pooling, channels that
    double with depth, 2x2 up-convolutions, skip connections, a 1x1 softmax head. With
    ``config.stem`` s > 1 the first layer is a strided sxs convolution and the last an sxs
    up-convolution, so that the blocks work on an s times coarser grid; ``config.refine`` > 0 then
    adds a 3x3 convolution of so many channels on the full grid, which sees the image again and
    sets the outlines to the pixel.

    Input (N, H, W, 1) float32, standardised images; H and W multiples of `size_multiple(config)`.
    Output (N, H, W, classes) float32, summing to one over the last axis.
    The same `seed` gives the same initial weights and dropout masks.
    Source: Ronneberger et al., MICCAI 2015; Labrie-Boulay et al., Phys. Rev. Applied 21, 014014
    (2024), whose network has ``stem=1``.
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


def size_multiple(config: Model) -> int:
    """Height and width that the network reads must be multiples of this many pixels."""
    return config.size_multiple


def _activate(x, name: str):
    if name == "prelu":
        return layers.PReLU(shared_axes=[1, 2])(x)
    return layers.Activation(name)(x)
