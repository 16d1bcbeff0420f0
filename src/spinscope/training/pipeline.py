"""Random views of frames as batches, drawn so that a training can stop and go on.

Every random number of view `i` is a pure function of (seed, i). Keras' preprocessing layers keep
the state of their generators to themselves, so a resumed training could not repeat their draws;
here NumPy draws the views and samples them in a single interpolation, along one axis after the
other, which a turn by quarters allows and which takes a third of a general affine map's time.

With `augmentation.restandardise` a view is what a detector gives of the frame: grey levels between
its darkest and its brightest pixel, 0 and 1, with background, noise, blur and gamma; standardised
again, as it is when the network is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from spinscope.config import Augmentation, Training
from spinscope.data import Dataset, standardise, to_scheme

NORMALS = 2**22
"""Normal numbers that a detector's noise is cut from, each view at a place of its own: to draw them
anew would take half the pipeline's time. Two views share a place once in millions."""


@dataclass(frozen=True)
class Frames:
    """Standardised frames held in memory: images (H, W, 1) float16, labels (H, W, 1) uint8.

    Half precision keeps a grey level to a thousandth of the frame's standard deviation, far
    below the noise, at half the memory. `weights` are the chances of a frame to be drawn.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_frames(
    dataset: Dataset, scheme: int, *, balance: float = 0.0, progress=lambda items, **_: items
) -> Frames:
    """Read all frames of a dataset; a frame of a source with n frames weighs n**(-balance)."""
    images, labels = [], []
    for _, image, label in progress(dataset, total=len(dataset), desc="read frames"):
        images.append(standardise(image).astype(np.float16)[..., None])
        labels.append(to_scheme(label, scheme)[..., None])
    sources = np.array([record.source for record in dataset.records])
    sizes = (sources[:, None] == sources[None, :]).sum(axis=1)
    weights = sizes ** -float(balance)
    return Frames(images, labels, weights / weights.sum())


def affine_view(
    rng: np.random.Generator, shape: tuple[int, int], crop: int, augmentation: Augmentation
) -> np.ndarray:
    """Six numbers of the map from a pixel of the crop to a pixel of the frame.

    (x', y') = (a0 x + a1 y + a2, b0 x + b1 y + b2), in the order
    (a0, a1, a2, b0, b1, b2): one of the views of `symmetry`, a
    scale within 1 ± `scale` (as a ratio) and a place in the frame.
    """
    stretch = (1 + augmentation.scale) ** rng.uniform(-1, 1)
    quarter, mirror, (u, v) = rng.integers(4), 1 - 2 * rng.integers(2), rng.random(2)
    if augmentation.symmetry == "none":
        quarter, mirror = 0, 1
    elif augmentation.symmetry == "axis":  # turned by half and mirrored: top to bottom
        quarter = 0 if mirror == 1 else 2
    if not augmentation.shift:
        u = v = 0.5
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
    a0, a1, b0, b1 = cos * mirror / stretch, -sin / stretch, sin * mirror / stretch, cos / stretch
    half = (crop - 1) / 2
    reach = half / stretch
    height, width = shape
    # The centre keeps the crop within the frame where the frame is large enough.
    x = _between(u, reach, width - 1 - reach)
    y = _between(v, reach, height - 1 - reach)
    return np.array([a0, a1, x - (a0 + a1) * half, b0, b1, y - (b0 + b1) * half], dtype=np.float32)


def _between(u: float, low: float, high: float) -> float:
    return (low + high) / 2 if high <= low else low + u * (high - low)


def sample(
    frame: np.ndarray, affine: np.ndarray, crop: int, *, nearest: bool, border: str = "mirror"
) -> np.ndarray:
    """(crop, crop) view of a frame (H, W) through the map of `affine_view`.

    Bilinear, or the nearest pixel for labels; outside the frame it is mirrored at its edges, or
    goes on with the other side (`border` "wrap").
    """
    beyond = _wrapped if border == "wrap" else _mirrored
    a0, a1, a2, b0, b1, b2 = affine
    turned = abs(a1) > abs(a0)
    steps = np.arange(crop, dtype=np.float32)
    rows, columns = (b0 if turned else b1) * steps + b2, (a1 if turned else a0) * steps + a2
    height, width = frame.shape
    if nearest:
        i, j = beyond(np.rint(rows), height), beyond(np.rint(columns), width)
        view = frame[i].take(j, axis=1)
    else:
        low = np.floor(rows)
        weight = (rows - low)[:, None]
        upper, lower = (frame[beyond(low + k, height)].astype(np.float32) for k in (0, 1))
        lines = upper + weight * (lower - upper)
        low = np.floor(columns)
        weight = columns - low
        left, right = (lines.take(beyond(low + k, width), axis=1) for k in (0, 1))
        view = left + weight * (right - left)
    return np.ascontiguousarray(view.T if turned else view)


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices into `size` pixels that are mirrored at both ends: c b a | a b c | c b a."""
    index = index.astype(np.int64) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _wrapped(index: np.ndarray, size: int) -> np.ndarray:
    return index.astype(np.int64) % size


def photometric_view(rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Seven numbers: gain, offset, gradients along y and x, noise, blur radius, noise seed.

    In units of the frame's standard deviation.
    """
    gain = 1 + augmentation.contrast * rng.uniform(-1, 1)
    if augmentation.invert and rng.random() < 0.5:
        gain = -gain
    offset = augmentation.brightness * rng.uniform(-1, 1)
    gradient = augmentation.gradient * rng.uniform(-1, 1, 2)
    noise = augmentation.noise * rng.random() * (rng.random() < augmentation.noise_chance)
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    return np.array([gain, offset, *gradient, noise, radius, rng.integers(2**22)], np.float32)


def detector_view(
    rng: np.random.Generator, augmentation: Augmentation, levels: tuple[float, float]
) -> np.ndarray:
    """Fourteen numbers of a detector's view of a frame whose pixels span `levels`.

    darkest and brightest pixel (swapped in half of the views with `invert`); standard deviation of
    the noise, and of shot noise at full brightness; how many standard deviations a normal number
    must be from zero to be salt or pepper; whether noise is clipped; blur radius and whether it
    comes after the noise; gamma; height, place (y, x) and width of the background's spot in units
    of the crop; a number for the noise. All but the first two in units of the grey levels' range.
    """
    low, high = levels
    if augmentation.invert and rng.random() < 0.5:
        low, high = high, low
    noisy = rng.random() < augmentation.noise_chance
    noise = augmentation.noise * rng.random() * noisy / max(abs(high - low), 1e-6)
    poisson = augmentation.poisson * rng.random() * noisy
    salt = special.erfcinv(augmentation.salt * rng.random() * noisy) * np.sqrt(2)
    clip = rng.random() < augmentation.clip
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    after, gamma = rng.random() < 0.5, rng.uniform(*augmentation.gamma)
    spot = [augmentation.background * rng.uniform(-1, 1), *rng.random(2), rng.uniform(0.2, 0.7)]
    drawn = [low, high, noise, poisson, salt, clip, radius, after, gamma, *spot]
    return np.array([*drawn, rng.integers(NORMALS)], np.float32)


def training_batches(
    frames: Frames,
    training: Training,
    augmentation: Augmentation,
    *,
    seed: int,
    start: int = 0,
):
    """Endless tf.data.Dataset of (images (N, C, C, 1) float32, labels (N, C, C) uint8).

    `start` is the number of batches to leave out, for a training that goes on; they cost nothing.
    """
    import tensorflow as tf

    crop, cumulative = training.crop, np.cumsum(frames.weights)
    detector, border = augmentation.restandardise, augmentation.border
    levels, normals = [], None
    if detector:
        levels = [(float(image.min()), float(image.max())) for image in frames.images]
        table = np.random.default_rng(seed).standard_normal(NORMALS + 2 * crop**2, np.float32)
        normals = tf.constant(table)

    def draw(index):
        rng = np.random.default_rng([seed, int(index)])
        frame = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(frames) - 1)
        image, label = frames.images[frame][..., 0], frames.labels[frame][..., 0]
        affine = affine_view(rng, image.shape, crop, augmentation)
        return (
            sample(image, affine, crop, nearest=False, border=border)[..., None],
            sample(label, affine, crop, nearest=True, border=border),
            detector_view(rng, augmentation, levels[frame])
            if detector
            else photometric_view(rng, augmentation),
        )

    ramp = tf.linspace(-0.5, 0.5, crop)
    reach = max(3, int(np.ceil(2.5 * augmentation.blur_px[1])))
    taps = tf.range(-float(reach), reach + 1.0)

    def kernel_of(radius):
        kernel = tf.exp(-0.5 * (taps / radius) ** 2)
        return kernel / tf.reduce_sum(kernel)

    def blurred(image, radius):
        kernel = kernel_of(radius)
        rows = tf.nn.conv2d(image[None], kernel[:, None, None, None], 1, "SAME")
        return tf.nn.conv2d(rows, kernel[None, :, None, None], 1, "SAME")[0]

    def blurred_mirrored(image, radius):
        kernel = kernel_of(radius)
        padded = tf.pad(image, [(reach, reach), (reach, reach), (0, 0)], "SYMMETRIC")[None]
        rows = tf.nn.conv2d(padded, kernel[:, None, None, None], 1, "VALID")
        return tf.nn.conv2d(rows, kernel[None, :, None, None], 1, "VALID")[0]

    def detected(image, drawn):
        low, high, noise, poisson, salt, clip, radius, after, gamma, *spot, place = tf.unstack(
            drawn, 14
        )
        place = tf.cast(place, tf.int32)
        height, y, x, width = spot
        image = (image - low) / (high - low)
        if augmentation.background:
            # Grey levels stay within [0, 1]; the noise shrinks with the contrast.
            whole = 1 + tf.abs(height)
            down, across = (tf.exp(-0.5 * ((ramp + 0.5 - at) / width) ** 2) for at in (y, x))
            spot = (height / whole) * down[:, None, None]
            image = image / whole + (spot * across[:, None] - tf.minimum(height, 0.0) / whole)
            noise, poisson = noise / whole, poisson / whole

        def blur_if(when, image):
            return tf.cond(when, lambda: blurred_mirrored(image, radius), lambda: image)

        def drawn_at(place):
            return tf.reshape(tf.slice(normals, [place], [crop * crop]), (crop, crop, 1))

        def noisy(image):
            spread = noise
            if augmentation.poisson:
                spread = tf.sqrt(noise**2 + poisson**2 * tf.maximum(image, 0.0))
            image += spread * drawn_at(place)
            return tf.cond(clip > 0, lambda: tf.clip_by_value(image, 0.0, 1.0), lambda: image)

        def salted(image):
            dice = drawn_at(place + crop * crop)
            darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
            return tf.where(dice > salt, brightest, tf.where(dice < -salt, darkest, image))

        def bent(image):
            darkest, brightest = tf.reduce_min(image), tf.reduce_max(image)
            image = (image - darkest) / tf.maximum(brightest - darkest, 1e-6)
            return tf.exp(
                gamma * tf.math.log(tf.maximum(image, 1e-4))
            )  # several times faster than **

        image = blur_if((radius > 0) & (after == 0), image)
        image = tf.cond(noise + poisson > 0, lambda: noisy(image), lambda: image)
        if augmentation.salt:
            image = tf.cond(salt < 6, lambda: salted(image), lambda: image)
        image = blur_if((radius > 0) & (after > 0), image)
        if augmentation.gamma != (1, 1):
            image = bent(image)
        centred = image - tf.reduce_mean(image)
        spread = tf.sqrt(tf.reduce_mean(centred**2))
        return tf.clip_by_value(centred / tf.maximum(spread, 1e-6), -6.0, 6.0)

    def view(index):
        image, label, photometric = tf.numpy_function(
            draw, [index], [tf.float32, tf.uint8, tf.float32], stateful=False
        )
        image.set_shape((crop, crop, 1))
        label.set_shape((crop, crop))
        if detector:
            image = detected(image, photometric)
            return tf.ensure_shape(image, (crop, crop, 1)), tf.ensure_shape(label, (crop, crop))
        gain, offset, down, across, noise, radius, noise_seed = tf.unstack(photometric, 7)
        image = tf.cond(radius > 0, lambda: blurred(image, radius), lambda: image)
        image = image * gain + (offset + down * ramp[:, None, None] + across * ramp[:, None])
        noise_seed = tf.stack([tf.cast(noise_seed, tf.int32), seed % 2**31])
        image = tf.cond(
            noise > 0,
            lambda: image + noise * tf.random.stateless_normal(tf.shape(image), noise_seed),
            lambda: image,
        )
        return tf.ensure_shape(image, (crop, crop, 1)), tf.ensure_shape(label, (crop, crop))

    return (
        tf.data.Dataset.counter(start * training.batch)
        .map(view, num_parallel_calls=2, deterministic=True)
        .batch(training.batch, drop_remainder=True)
        .prefetch(2)
    )


def validation_batches(frames: Frames, multiple: int):
    """Finite tf.data.Dataset of whole frames, a batch each, mirrored up to `multiple` pixels.

    The added pixels carry the label of the pixels they mirror.
    """
    import tensorflow as tf

    def whole():
        for image, label in zip(frames.images, frames.labels, strict=True):
            pad = [(0, -side % multiple) for side in image.shape[:2]] + [(0, 0)]
            padded = np.pad(label, pad, mode="symmetric")[None, ..., 0]
            yield np.pad(image, pad, mode="symmetric")[None].astype(np.float32), padded

    batches = tf.data.Dataset.from_generator(
        whole,
        output_signature=(
            tf.TensorSpec((1, None, None, 1), tf.float32),
            tf.TensorSpec((1, None, None), tf.uint8),
        ),
    )
    return batches.apply(tf.data.experimental.assert_cardinality(len(frames))).prefetch(1)
