"""Views of frames: label and image move together, draws are a function of seed and number."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.config import Augmentation, Training
from spinscope.data import open_dataset, standardise
from spinscope.training.pipeline import (
    Frames,
    affine_view,
    load_frames,
    sample,
    training_batches,
    validation_batches,
)

STILL = Augmentation(
    symmetry="none", scale=0, shift=False, noise=0, contrast=0, brightness=0, gradient=0, blur=0
)
MOVING = STILL.model_copy(update={"symmetry": "square", "scale": 0.2, "shift": True})


def frames_of(image: np.ndarray, label: np.ndarray, n: int = 1) -> Frames:
    held = image.astype(np.float16)[..., None], label[..., None]
    return Frames([held[0]] * n, [held[1]] * n, np.full(n, 1 / n))


def take(batches, n: int):
    return [(image.numpy(), label.numpy()) for image, label in batches.take(n)]


def spots(size: int = 64):
    label = np.zeros((size, size), dtype=np.uint8)
    label[20:30, 12:40] = 1
    return label.astype(np.float32), label


def test_without_augmentation_a_view_is_the_middle_of_the_frame():
    rng = np.random.default_rng(0)
    image, label = rng.normal(size=(64, 64)), rng.integers(0, 3, (64, 64)).astype(np.uint8)
    batches = training_batches(frames_of(image, label), Training(batch=1, crop=32), STILL, seed=0)
    ((found, found_label),) = take(batches, 1)
    np.testing.assert_allclose(found[0, ..., 0], image[16:48, 16:48], atol=2e-3)
    np.testing.assert_array_equal(found_label[0], label[16:48, 16:48])


def test_image_and_label_move_together():
    image, label = spots()
    batches = training_batches(frames_of(image, label), Training(batch=8, crop=48), MOVING, seed=1)
    for found, found_label in take(batches, 4):
        inside = found[..., 0] > 0.5
        # Bilinear image and nearest label may part by half a pixel along the outline only.
        assert np.mean(inside != (found_label == 1)) < 0.02
        assert (found_label == 1).any()


def test_views_are_all_eight_of_the_dihedral_group():
    seen = {
        tuple(np.sign(affine_view(np.random.default_rng(k), (64, 64), 32, MOVING)[[0, 1, 3, 4]]))
        for k in range(200)
    }
    assert len(seen) == 8


@pytest.mark.parametrize("shape", [(64, 64), (48, 200), (24, 24)])
def test_views_stay_in_the_frame(shape):
    crop = 32
    for k in range(100):
        a0, a1, a2, b0, b1, b2, *_ = affine_view(np.random.default_rng(k), shape, crop, MOVING)
        corners = [(x, y) for x in (0, crop - 1) for y in (0, crop - 1)]
        xs = [a0 * x + a1 * y + a2 for x, y in corners]
        ys = [b0 * x + b1 * y + b2 for x, y in corners]
        assert max(xs) - min(xs) <= (crop - 1) * 1.2 + 1e-3
        if min(shape) > crop * 1.2:
            assert min(xs) >= -1e-2
            assert max(xs) <= shape[1] - 1 + 1e-2
            assert min(ys) >= -1e-2
            assert max(ys) <= shape[0] - 1 + 1e-2


def test_a_stream_that_starts_later_goes_on_the_same(moke_folder):
    frames = load_frames(open_dataset(moke_folder), 3)
    settings = Training(batch=2, crop=32), Augmentation()
    whole = take(training_batches(frames, *settings, seed=4), 6)
    later = take(training_batches(frames, *settings, seed=4, start=4), 2)
    for (image, label), (image_later, label_later) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(image, image_later)
        np.testing.assert_array_equal(label, label_later)
    other = take(training_batches(frames, *settings, seed=5), 1)
    assert (other[0][0] != whole[0][0]).any()


def test_noise_has_the_strength_asked_for():
    frames = frames_of(np.zeros((64, 64)), np.zeros((64, 64), dtype=np.uint8))
    noisy = STILL.model_copy(update={"noise": 0.4})
    images = np.concatenate(
        [image for image, _ in take(training_batches(frames, Training(crop=64), noisy, seed=0), 40)]
    )
    spread = images.std(axis=(1, 2, 3))
    assert np.mean(spread == 0) == pytest.approx(0.5, abs=0.12)
    assert spread.max() == pytest.approx(0.4, abs=0.02)
    assert len(np.unique(images.reshape(len(images), -1)[spread > 0], axis=0)) == (spread > 0).sum()


def test_inversion_only_where_asked():
    image, label = spots()
    inverted = STILL.model_copy(update={"invert": True})
    for augmentation, signs in ((STILL, {1.0}), (inverted, {1.0, -1.0})):
        batches = training_batches(
            frames_of(image - 0.5, label), Training(crop=64), augmentation, seed=0
        )
        found = {np.sign(view[25, 20, 0]) for images, _ in take(batches, 3) for view in images}
        assert found == signs


def test_balance_draws_sources_alike(moke_folder):
    dataset = open_dataset(moke_folder)
    uneven = dataset.select(sources=[0, 1])
    one_less = type(uneven)(
        uneven.path, uneven.records[:3], uneven.store, uneven.rows[:3]
    )  # two frames of source 0, one of source 1
    np.testing.assert_allclose(load_frames(one_less, 3, balance=1).weights, [0.25, 0.25, 0.5])
    np.testing.assert_allclose(load_frames(one_less, 3, balance=0).weights, [1 / 3] * 3)


def test_validation_frames_are_whole_and_padded(moke_folder):
    frames = load_frames(open_dataset(moke_folder).select(sources=[0]), 3)
    batches = take(validation_batches(frames, 48), -1)
    assert len(batches) == 2
    image, label = batches[0]
    assert image.shape == (1, 96, 96, 1)
    np.testing.assert_array_equal(label[0, 64:], label[0, 63:31:-1])


def test_half_precision_keeps_the_frame(moke_folder):
    dataset = open_dataset(moke_folder)
    held = load_frames(dataset, 3).images[0][..., 0].astype(np.float32)
    assert np.abs(held - standardise(dataset.image(0))).max() < 2e-3


@pytest.mark.parametrize("shape", [(64, 90), (40, 40)])
def test_samples_are_those_of_a_general_affine_map(shape):
    """SciPy's interpolation at the same places, mirrored at the same edges."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    frame = rng.normal(size=shape).astype(np.float32)
    marks = rng.integers(0, 3, shape).astype(np.uint8)
    y, x = np.mgrid[:48, :48]
    for k in range(20):
        affine = affine_view(np.random.default_rng(k), shape, 48, MOVING)
        a0, a1, a2, b0, b1, b2 = affine[:6].astype(float)
        places = [b0 * x + b1 * y + b2, a0 * x + a1 * y + a2]
        expected = ndimage.map_coordinates(frame, places, order=1, mode="reflect")
        np.testing.assert_allclose(sample(frame, affine, 48, nearest=False), expected, atol=2e-4)
        nearest = ndimage.map_coordinates(marks, places, order=0, mode="reflect")
        assert np.mean(sample(marks, affine, 48, nearest=True) != nearest) < 0.02
