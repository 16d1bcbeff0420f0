"""Random views of frames as batches, drawn so that a training can stop and go on.

Every random number of view `i` is a pure function of (seed, i). Keras' preprocessing layers keep
the state of their generators to themselves, so a resumed training could not repeat their draws;
here NumPy draws the views and samples them in a single interpolation, along one axis after the
other, which a turn by quarters allows and which takes a third of a general affine map's time.
With `augmentation.restandardise` a view is what a detector gives of the frame (`detector`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spinscope.config import Augmentation, Training
from spinscope.datasets import Dataset
from spinscope.images import standardise, to_scheme
from spinscope.training.detector import detector, detector_view, gaussian_blur


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
    noise = augmentation.noise * rng.random() * (rng.random() < augmentation.noise_probability)
    radius = rng.uniform(*augmentation.blur_px) * (rng.random() < augmentation.blur)
    return np.array([gain, offset, *gradient, noise, radius, rng.integers(2**22)], np.float32)


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
    border, levels, seen = augmentation.border, [], None
    if augmentation.restandardise:
        levels = [(float(image.min()), float(image.max())) for image in frames.images]
        seen = detector(augmentation, crop, seed)

    def draw(index):
        rng = np.random.default_rng([seed, int(index)])
        frame = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(frames) - 1)
        image, label = frames.images[frame][..., 0], frames.labels[frame][..., 0]
        affine = affine_view(rng, image.shape, crop, augmentation)
        return (
            sample(image, affine, crop, nearest=False, border=border)[..., None],
            sample(label, affine, crop, nearest=True, border=border),
            detector_view(rng, augmentation, levels[frame])
            if seen
            else photometric_view(rng, augmentation),
        )

    ramp = tf.linspace(-0.5, 0.5, crop)
    blur = gaussian_blur(augmentation.blur_px[1], mirrored=False)

    def view(index):
        image, label, photometric = tf.numpy_function(
            draw, [index], [tf.float32, tf.uint8, tf.float32], stateful=False
        )
        image.set_shape((crop, crop, 1))
        label.set_shape((crop, crop))
        if seen:
            image = seen(image, photometric)
            return tf.ensure_shape(image, (crop, crop, 1)), tf.ensure_shape(label, (crop, crop))
        gain, offset, down, across, noise, radius, noise_seed = tf.unstack(photometric, 7)
        image = tf.cond(radius > 0, lambda: blur(image, radius), lambda: image)
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

    held = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return held.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)
