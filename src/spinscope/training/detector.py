"""Detector effects as augmentation: background, noise, blur and gamma on grey levels in [0, 1].

The darkest and brightest pixel of a frame are 0 and 1. The effects are applied in the order of the
published training set: noise, shot noise, salt and pepper, blur, gamma; some crops are blurred
before the noise, as by the optics. The result is standardised, as a frame is for inference.

Source: McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from spinscope.config import Augmentation

NORMALS = 2**22
"""Length of a table of normal numbers from which the noise of a crop is cut at a random place.

Drawing new numbers would take half of the pipeline's time. Two crops share a place once in
millions."""

NUMBERS = 14
"""Number of random numbers per crop."""


def random_detector(
    rng: np.random.Generator, augmentation: Augmentation, levels: tuple[float, float]
) -> np.ndarray:
    """Draw the detector effects of one crop.

    Parameters
    ----------
    rng : numpy Generator
    augmentation : Augmentation
    levels : (float, float)
        Darkest and brightest pixel of the frame.

    Returns
    -------
    (14,) float32 array
        Darkest and brightest pixel (swapped in half of the crops with `invert`); standard
        deviation of the noise, and of the shot noise at full brightness; threshold of salt and
        pepper, in standard deviations of a normal number; whether noise is clipped; blur radius in
        px and whether the blur follows the noise; gamma; height, place (y, x) and width of the
        background's spot, lengths in units of the crop; place in the table of normal numbers. All
        but the first two in units of the grey levels' range.
    """
    low, high = levels if levels[1] > levels[0] else (levels[0], levels[0] + 1)
    if augmentation.invert and rng.random() < 0.5:
        low, high = high, low
    noisy = rng.random() < augmentation.noise_probability
    # Squared: most crops have little noise, so that the outline is visible to the pixel.
    noise = augmentation.noise * rng.random() ** 2 * noisy / abs(high - low)
    poisson = augmentation.poisson * rng.random() * noisy
    salt = special.erfcinv(augmentation.salt * rng.random() * noisy) * np.sqrt(2)
    clip = rng.random() < augmentation.clip
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    after, gamma = rng.random() < 0.5, rng.uniform(*augmentation.gamma)
    spot = [augmentation.background * rng.uniform(-1, 1), *rng.random(2), rng.uniform(0.2, 0.7)]
    drawn = [low, high, noise, poisson, salt, clip, radius, after, gamma, *spot]
    return np.array([*drawn, rng.integers(NORMALS)], np.float32)


def detector(augmentation: Augmentation, size: int, seed: int) -> Callable:
    """Build the TensorFlow function that applies detector effects.

    Parameters
    ----------
    augmentation : Augmentation
    size : int
        Side of a crop in px.
    seed : int
        Seed of the noise.

    Returns
    -------
    callable
        (crop (C, C, 1), numbers of `random_detector`) → crop (C, C, 1).
    """
    import tensorflow as tf

    normal = normal_numbers(size, seed)
    places = tf.linspace(0.0, 1.0, size)
    blur = gaussian_blur(augmentation.blur_px[1], size)

    def with_spot(image, height, y, x, width):
        """Add the spot and rescale to [0, 1], which lowers the contrast."""
        down, across = (tf.exp(-0.5 * ((places - at) / width) ** 2) for at in (y, x))
        image += height * down[:, None, None] * across[:, None] - tf.minimum(height, 0.0)
        return image / (1 + tf.abs(height))

    def with_noise(image, noise, poisson, clip, place):
        spread = noise
        if augmentation.poisson:
            spread = tf.sqrt(noise**2 + poisson**2 * tf.maximum(image, 0.0))
        image += spread * normal(place)
        return tf.cond(clip > 0, lambda: tf.clip_by_value(image, 0.0, 1.0), lambda: image)

    def with_salt(image, salt, place):
        number = normal(place)
        darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
        return tf.where(number > salt, brightest, tf.where(number < -salt, darkest, image))

    def with_gamma(image, gamma):
        darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
        image = (image - darkest) / tf.maximum(brightest - darkest, 1e-6)
        # Several times faster than the power.
        return tf.exp(gamma * tf.math.log(tf.maximum(image, 1e-4)))

    def apply(image, drawn):
        low, high, noise, poisson, salt, clip, radius, after, gamma, *spot, place = tf.unstack(
            drawn, NUMBERS
        )
        place = tf.cast(place, tf.int32)
        image = (image - low) / (high - low)
        if augmentation.background:
            image = with_spot(image, *spot)
            noise, poisson = (amount / (1 + tf.abs(spot[0])) for amount in (noise, poisson))
        before, after = (radius > 0) & (after == 0), (radius > 0) & (after > 0)
        image = tf.cond(before, lambda: blur(image, radius), lambda: image)
        image = tf.cond(
            noise + poisson > 0,
            lambda: with_noise(image, noise, poisson, clip, place),
            lambda: image,
        )
        if augmentation.salt:
            image = tf.cond(
                salt < 6, lambda: with_salt(image, salt, place + size * size), lambda: image
            )
        image = tf.cond(after, lambda: blur(image, radius), lambda: image)
        if augmentation.gamma != (1, 1):
            image = with_gamma(image, gamma)
        centred = image - tf.reduce_mean(image)
        spread = tf.sqrt(tf.reduce_mean(centred**2))
        return tf.clip_by_value(centred / tf.maximum(spread, 1e-6), -6.0, 6.0)

    return apply


def normal_numbers(size: int, seed: int) -> Callable:
    """Build the TensorFlow function that cuts the noise of a crop from a table of normal numbers.

    Parameters
    ----------
    size : int
        Side of a crop in px.
    seed : int
        Seed of the table.

    Returns
    -------
    callable
        place, at most `NORMALS` + size² → normal numbers (size, size, 1).
    """
    import tensorflow as tf

    table = np.random.default_rng(seed).standard_normal(NORMALS + 2 * size**2, np.float32)
    normals = tf.constant(table)

    def normal(place):
        return tf.reshape(tf.slice(normals, [place], [size * size]), (size, size, 1))

    return normal


def gaussian_blur(largest: float, size: int, *, mirrored: bool = True) -> Callable:
    """Build the TensorFlow function that blurs a crop.

    Parameters
    ----------
    largest : float
        Largest radius in px.
    size : int
        Side of a crop in px.
    mirrored : bool, default True
        Mirror the crop at its borders; otherwise it is continued by zero.

    Returns
    -------
    callable
        (crop (C, C, 1), radius in px) → blurred crop.
    """
    import tensorflow as tf

    half = max(3, int(np.ceil(2.5 * largest)))
    taps = tf.range(half + 1.0)
    mode = "SYMMETRIC" if mirrored else "CONSTANT"

    def along(axis, image, kernel):
        """Sum of shifted copies: a convolution of one channel takes ten times as long."""
        margin = [(half, half) if k == axis else (0, 0) for k in range(3)]
        wide = tf.pad(image, margin, mode)

        def shifted(by):
            start = [half + by if k == axis else 0 for k in range(3)]
            return tf.slice(wide, start, (size, size, 1))

        total = kernel[0] * image
        for k in range(1, half + 1):
            total += kernel[k] * (shifted(k) + shifted(-k))
        return total

    def blur(image, radius):
        kernel = tf.exp(-0.5 * (taps / radius) ** 2)
        kernel /= 2 * tf.reduce_sum(kernel) - kernel[0]
        return along(1, along(0, image, kernel), kernel)

    return blur
