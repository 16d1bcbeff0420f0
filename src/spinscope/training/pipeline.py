"""Input pipeline: augmented crops of frames as batches, in an order that can be resumed.

Every random number of crop `i` is a pure function of (seed, i). Keras' preprocessing layers hide
the state of their generators, so a resumed training could not repeat their draws. NumPy draws the
transforms here and samples a crop in one interpolation, along one axis after the other. This is
possible because rotations are by quarter turns, and takes a third of the time of a general affine
map. With `augmentation.restandardise` the crop gets detector effects (`detector`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spinscope.config import Augmentation, Training
from spinscope.datasets import Dataset
from spinscope.images import standardise, to_scheme
from spinscope.training.detector import (
    NORMALS,
    detector,
    gaussian_blur,
    normal_numbers,
    random_detector,
)


@dataclass(frozen=True)
class Frames:
    """Standardised frames in memory.

    Half precision resolves a grey level to a thousandth of the frame's standard deviation, far
    below the noise, with half the memory.

    Parameters
    ----------
    images : list of (H, W, 1) float16 arrays
    labels : list of (H, W, 1) uint8 arrays
    weights : (N,) array
        Probability of drawing each frame.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_frames(dataset: Dataset, scheme: int, *, balance: float = 0.0) -> Frames:
    """Read and standardise all frames of a dataset.

    Parameters
    ----------
    dataset : Dataset
    scheme : int
        Number of classes, 2, 3 or 5.
    balance : float, default 0
        A frame of a source with n frames has the weight n**(-balance): 0 draws frames with equal
        probability, 1 sources.
    """
    images, labels = [], []
    for _, image, label in dataset:
        images.append(standardise(image).astype(np.float16)[..., None])
        labels.append(to_scheme(label, scheme)[..., None])
    sources = np.array([record.source for record in dataset.records])
    sizes = (sources[:, None] == sources[None, :]).sum(axis=1)
    weights = sizes ** -float(balance)
    return Frames(images, labels, weights / weights.sum())


def random_affine(
    rng: np.random.Generator, shape: tuple[int, int], crop: int, augmentation: Augmentation
) -> np.ndarray:
    """Draw the map from a pixel of the crop to a pixel of the frame.

    Parameters
    ----------
    rng : numpy Generator
    shape : (int, int)
        Height and width of the frame.
    crop : int
        Side of the crop in px.
    augmentation : Augmentation
        `symmetry`: rotations and mirrorings; `scale`: largest change of the scale; `shift`:
        whether the place in the frame is random, else the middle.

    Returns
    -------
    (6,) float32 array
        (a0, a1, a2, b0, b1, b2) of x' = a0 x + a1 y + a2, y' = b0 x + b1 y + b2.
    """
    stretch = (1 + augmentation.scale) ** rng.uniform(-1, 1)
    quarter, mirror, (u, v) = rng.integers(4), 1 - 2 * rng.integers(2), rng.random(2)
    if augmentation.symmetry == "none":
        quarter, mirror = 0, 1
    elif augmentation.symmetry == "axis":  # a half turn and a mirror: top to bottom
        quarter = 0 if mirror == 1 else 2
    if not augmentation.shift:
        u = v = 0.5
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
    a0, a1, b0, b1 = cos * mirror / stretch, -sin / stretch, sin * mirror / stretch, cos / stretch
    half = (crop - 1) / 2
    margin = half / stretch
    height, width = shape
    # The crop lies within the frame if the frame is large enough.
    x = _between(u, margin, width - 1 - margin)
    y = _between(v, margin, height - 1 - margin)
    return np.array([a0, a1, x - (a0 + a1) * half, b0, b1, y - (b0 + b1) * half], dtype=np.float32)


def _between(u: float, low: float, high: float) -> float:
    return (low + high) / 2 if high <= low else low + u * (high - low)


def sample(
    frame: np.ndarray, affine: np.ndarray, crop: int, *, nearest: bool, border: str = "mirror"
) -> np.ndarray:
    """Sample a crop of a frame.

    Parameters
    ----------
    frame : (H, W) array
    affine : (6,) array
        Map of `random_affine`.
    crop : int
        Side of the crop in px.
    nearest : bool
        Take the nearest pixel, for labels; otherwise interpolate bilinearly.
    border : {"mirror", "wrap"}, default "mirror"
        Continuation of the frame beyond its borders.

    Returns
    -------
    (crop, crop) array
    """
    beyond = _wrapped if border == "wrap" else _mirrored
    a0, a1, a2, b0, b1, b2 = affine
    rotated = abs(a1) > abs(a0)
    steps = np.arange(crop, dtype=np.float32)
    rows, columns = (b0 if rotated else b1) * steps + b2, (a1 if rotated else a0) * steps + a2
    height, width = frame.shape
    if nearest:
        i, j = beyond(np.rint(rows), height), beyond(np.rint(columns), width)
        values = frame[i].take(j, axis=1)
    else:
        (upper, lower), down, shown = _neighbours(rows, height, beyond)
        (left, right), across, beside = _neighbours(columns, width, beyond)
        # Only what the crop shows is converted to single precision.
        seen = frame[shown, beside].astype(np.float32)
        above = seen[upper]
        lines = above + down[:, None] * (seen[lower] - above)
        before = lines.take(left, axis=1)
        values = before + across * (lines.take(right, axis=1) - before)
    return np.ascontiguousarray(values.T if rotated else values)


def _neighbours(
    places: np.ndarray, size: int, beyond: Callable[[np.ndarray, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, slice]:
    """Pixels (2, n) before and after places along an axis, weights of the latter, and their span.

    Pixels are counted from the first one of the span.
    """
    low = np.floor(places)
    pixels = np.stack([beyond(low + k, size) for k in (0, 1)])
    span = slice(int(pixels.min()), int(pixels.max()) + 1)
    return pixels - span.start, places - low, span


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices into `size` pixels mirrored at both ends: c b a | a b c | c b a."""
    index = index.astype(np.int64) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _wrapped(index: np.ndarray, size: int) -> np.ndarray:
    return index.astype(np.int64) % size


def random_photometry(rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Draw the photometric changes of one crop.

    Returns
    -------
    (7,) float32 array
        Gain, offset, gradients along y and x, noise, blur radius in px, and place of the noise in
        the table of normal numbers. Intensities in units of the frame's standard deviation.
    """
    gain = 1 + augmentation.contrast * rng.uniform(-1, 1)
    if augmentation.invert and rng.random() < 0.5:
        gain = -gain
    offset = augmentation.brightness * rng.uniform(-1, 1)
    gradient = augmentation.gradient * rng.uniform(-1, 1, 2)
    noise = augmentation.noise * rng.random() * (rng.random() < augmentation.noise_probability)
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    return np.array([gain, offset, *gradient, noise, radius, rng.integers(NORMALS)], np.float32)


def training_batches(
    frames: Frames,
    training: Training,
    augmentation: Augmentation,
    *,
    seed: int,
    start: int = 0,
):
    """Endless batches of augmented crops.

    Parameters
    ----------
    frames : Frames
    training : Training
        Batch size and side of a crop.
    augmentation : Augmentation
    seed : int
    start : int, default 0
        Batches to skip, for a training that is resumed; they cost nothing.

    Returns
    -------
    tf.data.Dataset
        (images (N, C, C, 1) float32, labels (N, C, C) uint8).
    """
    import tensorflow as tf

    crop, cumulative = training.crop, np.cumsum(frames.weights)
    border, levels, effects = augmentation.border, [], None
    if augmentation.restandardise:
        levels = [(float(image.min()), float(image.max())) for image in frames.images]
        effects = detector(augmentation, crop, seed)

    def draw(index):
        rng = np.random.default_rng([seed, int(index)])
        frame = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(frames) - 1)
        image, label = frames.images[frame][..., 0], frames.labels[frame][..., 0]
        affine = random_affine(rng, image.shape, crop, augmentation)
        return (
            sample(image, affine, crop, nearest=False, border=border)[..., None],
            sample(label, affine, crop, nearest=True, border=border),
            random_detector(rng, augmentation, levels[frame])
            if effects
            else random_photometry(rng, augmentation),
        )

    ramp = tf.linspace(-0.5, 0.5, crop)
    blur = gaussian_blur(augmentation.blur_px[1], crop, mirrored=False)
    normal = normal_numbers(crop, seed)

    def photometry(image, drawn):
        gain, offset, down, across, noise, radius, place = tf.unstack(drawn, 7)
        image = tf.cond(radius > 0, lambda: blur(image, radius), lambda: image)
        image = image * gain + (offset + down * ramp[:, None, None] + across * ramp[:, None])
        return tf.cond(
            noise > 0,
            lambda: image + noise * normal(tf.cast(place, tf.int32)),
            lambda: image,
        )

    change = effects or photometry

    def augmented(index):
        image, label, drawn = tf.numpy_function(
            draw, [index], [tf.float32, tf.uint8, tf.float32], stateful=False
        )
        image.set_shape((crop, crop, 1))
        label.set_shape((crop, crop))
        return tf.ensure_shape(change(image, drawn), (crop, crop, 1)), label

    return _batched(augmented, training.batch, start)


def validation_batches(frames: Frames, multiple: int):
    """Batches of one whole frame each, mirrored at their borders to fit the network.

    Parameters
    ----------
    frames : Frames
    multiple : int
        Height and width are padded to a multiple of this many pixels; the added pixels carry the
        label of the pixels they mirror.

    Returns
    -------
    tf.data.Dataset
        (images (1, H, W, 1) float32, labels (1, H, W) uint8), which can be iterated repeatedly.
    """

    def padded(index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = frames.images[index], frames.labels[index]
        pad = [(0, -side % multiple) for side in image.shape[:2]] + [(0, 0)]
        image = np.pad(image, pad, mode="symmetric").astype(np.float32)
        return image, np.pad(label, pad, mode="symmetric")[..., 0]

    return held_batches(padded, len(frames))


def drawn_batches(
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]], batch: int, *, start: int = 0
):
    """Endless batches of examples drawn by their number, for a training that can be resumed.

    Parameters
    ----------
    draw : callable
        Number of an example → (input, target), arrays of one shape and type for all numbers. It
        must be a pure function of the number.
    batch : int
        Examples per batch.
    start : int, default 0
        Batches to skip; they cost nothing.

    Returns
    -------
    tf.data.Dataset
    """
    import tensorflow as tf

    arrays = draw(0)
    types = [array.dtype for array in arrays]

    def example(number):
        drawn = tf.numpy_function(lambda n: draw(int(n)), [number], types, stateful=False)
        return tuple(tf.ensure_shape(a, b.shape) for a, b in zip(drawn, arrays, strict=True))

    return _batched(example, batch, start)


def _batched(example: Callable, batch: int, start: int):
    """Batches of examples number start * batch, start * batch + 1, ..."""
    import tensorflow as tf

    return (
        tf.data.Dataset.counter(start * batch)
        .map(example, num_parallel_calls=2, deterministic=True)
        .batch(batch, drop_remainder=True)
        .prefetch(2)
    )


def held_batches(example: Callable[[int], tuple[np.ndarray, np.ndarray]], count: int):
    """Batches of one example each, which can be iterated repeatedly.

    Parameters
    ----------
    example : callable
        Index from 0 → (input, target); all axes but the last of an input may vary in length.
    count : int
        Number of examples.

    Returns
    -------
    tf.data.Dataset
    """
    import tensorflow as tf

    (image, target), rest = example(0), (None,)
    signature = (
        tf.TensorSpec((1, *rest * (image.ndim - 1), image.shape[-1]), image.dtype),
        tf.TensorSpec((1, *rest * target.ndim), target.dtype),
    )

    def batches():
        for index in range(count):
            image, target = example(index)
            yield image[None], target[None]

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)


def whole_batches(inputs: np.ndarray, targets: np.ndarray, batch: int = 32):
    """Batches of examples of one shape, which can be iterated repeatedly.

    Parameters
    ----------
    inputs, targets : (N, ...) arrays
    batch : int, default 32
        Examples per batch.

    Returns
    -------
    tf.data.Dataset
    """
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(batch).prefetch(1)
