"""Speed of input pipeline and training step, alone and together, and memory of a training.

Profile `laptop` on simulated frames of 512 x 672 pixels. Peers, in the same run: a pipeline of
Keras' augmentation layers, the step of the published network (without stem), and for the memory the
limit of 6 GB.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time

from _rows import row

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STEPS, ROUNDS, FRAMES = 8, 5, 24
AHEAD, PAUSE = 4, 2.0  # batches that the pipeline prefetches; seconds to make them
MEMORY_LIMIT_GB = 6.0


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    from spinscope.config import load_params
    from spinscope.families.moke_unet import FAMILY
    from spinscope.training.fit import compiled
    from spinscope.training.pipeline import training_batches

    params = load_params("laptop", family="moke-unet")
    frames = simulated_frames(params)
    batches = iter(training_batches(frames, params.training, params.augmentation, seed=0))
    held = next(batches)
    model, published = (
        compiled(FAMILY, _with_stem(params, stem), 0) for stem in (params.model.stem, 1)
    )
    for network in (model, published):
        network.train_on_batch(*held)

    def steps(network, source) -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            network.train_on_batch(*source())
        return (time.perf_counter() - started) / STEPS

    # Alternately, so that a drift of the machine's speed affects both. The pipeline is idle while
    # the step is timed alone; prefetched batches are used up before both are timed.
    alone, both = [], []
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        alone.append(steps(model, lambda: held))
        for _ in range(AHEAD):
            next(batches)
        both.append(steps(model, lambda: next(batches)))
    overhead = statistics.median(b / a - 1 for a, b in zip(alone, both, strict=True))
    step = statistics.median(alone)
    peer_step = statistics.median(steps(published, lambda: held) for _ in range(2))
    ours = images_per_s(batches, params.training.batch)
    keras_layers = images_per_s(iter(keras_batches(frames, params)), params.training.batch)
    memory = peak_memory_gb()
    images = params.training.batch
    return {
        "pipeline.images_per_s": row(ours, "1/s", keras_layers),
        "train.step_ms": row(1e3 * step, "ms", 1e3 * peer_step),
        "train.step_images_per_s": row(images / step, "1/s", images / peer_step),
        "train.images_per_s": row(
            images / statistics.median(both), "1/s", images / statistics.median(alone)
        ),
        "train.pipeline_overhead": row(overhead, "1", 0.05),
        "train.memory_gb": row(memory, "GB", MEMORY_LIMIT_GB),
    }


def simulated_frames(params):
    """Frames of the simulated corpus, prepared for training."""
    import numpy as np

    from spinscope.corpora.kerr import kerr_frames
    from spinscope.images import standardise, to_scheme
    from spinscope.training.pipeline import Frames

    made = list(kerr_frames(FRAMES, 0, params.kerr))
    images = [standardise(image / np.float32(255)).astype(np.float16) for _, image, _ in made]
    labels = [to_scheme(label, params.data.scheme) for *_, label in made]
    return Frames(
        [image[..., None] for image in images],
        [label[..., None] for label in labels],
        np.full(FRAMES, 1 / FRAMES),
    )


def images_per_s(batches, images: int, count: int = 40) -> float:
    """Images per second of a pipeline alone."""
    next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * images / (time.perf_counter() - started)


def keras_batches(frames, params):
    """Batches of the same augmentations by Keras' layers."""
    import keras
    import numpy as np
    import tensorflow as tf

    crop = params.training.crop
    layers = [
        keras.layers.RandomCrop(crop, crop),
        keras.layers.RandomZoom((-0.17, 0.2)),
        keras.layers.RandomFlip(),
        keras.layers.RandomRotation(0.5),
        keras.layers.RandomContrast(0.3, value_range=(-6, 6)),
        keras.layers.RandomBrightness(0.05, value_range=(-6, 6)),
        keras.layers.RandomGaussianBlur(factor=0.3, kernel_size=7, value_range=(-6, 6)),
    ]
    images = np.stack(frames.images).astype(np.float32)
    labels = np.stack(frames.labels)

    def augmented(image, label):
        pair = {"images": image, "segmentation_masks": label}
        for layer in layers:
            pair = layer(pair, training=True)
        noise = 0.2 * tf.random.normal(tf.shape(pair["images"]))
        return pair["images"] + noise, pair["segmentation_masks"]

    return (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .repeat()
        .map(augmented, num_parallel_calls=2)
        .batch(params.training.batch)
        .prefetch(2)
    )


def peak_memory_gb() -> float:
    """Peak resident memory of one epoch of the profile `laptop`, in a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_train_and_measure)


def _train_and_measure() -> float:
    """Train for one epoch; returns the peak memory of the process in GB."""
    from spinscope.config import load_params
    from spinscope.corpora.kerr import make_kerr_corpus
    from spinscope.datasets import open_dataset, split_by_batch
    from spinscope.families.moke_unet import FAMILY
    from spinscope.training.fit import fit

    params = load_params(
        "laptop", ["training.epochs=1", "training.steps_per_epoch=10"], family="moke-unet"
    )
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_kerr_corpus(f"{folder}/corpus", 109, 0, params.kerr)
        splits = split_by_batch(open_dataset(corpus), (0, 1, 3, 4), (2,))
        fit(FAMILY, splits, params, seed=0, folder=f"{folder}/fit")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _with_stem(params, stem: int):
    """Settings with another stem; 1 is the published network."""
    refine = params.model.refine if stem > 1 else 0
    model = params.model.model_copy(update={"stem": stem, "refine": refine})
    return params.model_copy(update={"model": model})


if __name__ == "__main__":
    print(json.dumps(main()))
