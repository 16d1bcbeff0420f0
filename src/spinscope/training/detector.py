"""What a detector gives of a frame: background, noise, blur and gamma on grey levels in [0, 1].

The frame's darkest and brightest pixel are 0 and 1. The order is that of the published training
set: noise, shot noise, salt and pepper, blur, gamma; a part of the views is blurred before the
noise, as optics do. The view is standardised again, as a frame is when the network is used.
Source: McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from spinscope.config import Augmentation

NORMALS = 2**22
"""Normal numbers that the noise is cut from, each view at a place of its own: to draw them anew
would take half the pipeline's time. Two views share a place once in millions."""

NUMBERS = 14
"""How many numbers tell a view."""


def detector_view(
    rng: np.random.Generator, augmentation: Augmentation, levels: tuple[float, float]
) -> np.ndarray:
    """Numbers of a detector's view of a frame whose pixels span `levels`.

    darkest and brightest pixel (swapped in half of the views with `invert`); standard deviation of
    the noise, and of shot noise at full brightness; how many standard deviations a normal number
    must be from zero to be salt or pepper; whether noise is clipped; blur radius and whether it
    comes after the noise; gamma; height, place (y, x) and width of the background's spot in units
    of the crop; place of the noise. All but the first two in units of the grey levels' range.
    """
    low, high = levels if levels[1] > levels[0] else (levels[0], levels[0] + 1)
    if augmentation.invert and rng.random() < 0.5:
        low, high = high, low
    noisy = rng.random() < augmentation.noise_probability
    # Squared: most pictures have little noise, and there the outline can be told to the pixel.
    noise = augmentation.noise * rng.random() ** 2 * noisy / abs(high - low)
    poisson = augmentation.poisson * rng.random() * noisy
    salt = special.erfcinv(augmentation.salt * rng.random() * noisy) * np.sqrt(2)
    clip = rng.random() < augmentation.clip
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    after, gamma = rng.random() < 0.5, rng.uniform(*augmentation.gamma)
    spot = [augmentation.background * rng.uniform(-1, 1), *rng.random(2), rng.uniform(0.2, 0.7)]
    drawn = [low, high, noise, poisson, salt, clip, radius, after, gamma, *spot]
    return np.array([*drawn, rng.integers(NORMALS)], np.float32)


def detector(augmentation: Augmentation, crop: int, seed: int) -> Callable:
    """Function of TensorFlow: (view (C, C, 1), numbers of `detector_view`) → view (C, C, 1).

    The normal numbers are those of `seed`.
    """
    import tensorflow as tf

    table = np.random.default_rng(seed).standard_normal(NORMALS + 2 * crop**2, np.float32)
    normals = tf.constant(table)
    places = tf.linspace(0.0, 1.0, crop)
    blur = gaussian_blur(augmentation.blur_px[1])

    def normal(place):
        return tf.reshape(tf.slice(normals, [place], [crop * crop]), (crop, crop, 1))

    def with_spot(image, height, y, x, width):
        """Keeps within [0, 1]; the contrast shrinks."""
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
        dice = normal(place)
        darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
        return tf.where(dice > salt, brightest, tf.where(dice < -salt, darkest, image))

    def with_gamma(image, gamma):
        darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
        image = (image - darkest) / tf.maximum(brightest - darkest, 1e-6)
        # Several times faster than the power.
        return tf.exp(gamma * tf.math.log(tf.maximum(image, 1e-4)))

    def seen(image, drawn):
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
                salt < 6, lambda: with_salt(image, salt, place + crop * crop), lambda: image
            )
        image = tf.cond(after, lambda: blur(image, radius), lambda: image)
        if augmentation.gamma != (1, 1):
            image = with_gamma(image, gamma)
        centred = image - tf.reduce_mean(image)
        spread = tf.sqrt(tf.reduce_mean(centred**2))
        return tf.clip_by_value(centred / tf.maximum(spread, 1e-6), -6.0, 6.0)

    return seen


def gaussian_blur(largest: float, *, mirrored: bool = True) -> Callable:
    """Function of TensorFlow: (view (C, C, 1), radius) → blurred view; radius at most `largest`.

    Beyond its borders a view is its mirror image, or zero.
    """
    import tensorflow as tf

    reach = max(3, int(np.ceil(2.5 * largest)))
    taps = tf.range(-float(reach), reach + 1.0)
    padding = "VALID" if mirrored else "SAME"

    def blur(image, radius):
        kernel = tf.exp(-0.5 * (taps / radius) ** 2)
        kernel /= tf.reduce_sum(kernel)
        if mirrored:
            image = tf.pad(image, [(reach, reach), (reach, reach), (0, 0)], "SYMMETRIC")
        rows = tf.nn.conv2d(image[None], kernel[:, None, None, None], 1, padding)
        return tf.nn.conv2d(rows, kernel[None, :, None, None], 1, padding)[0]

    return blur
