"""Views of frames: label and image move together, draws are a function of seed and number."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import section

from spinscope.datasets import open_dataset
from spinscope.images import standardise
from spinscope.training.pipeline import (
    Frames,
    load_frames,
    random_affine,
    sample,
    training_batches,
    validation_batches,
)

STILL = section(
    "augmentation",
    symmetry="none",
    scale=0,
    shift=False,
    noise=0,
    contrast=0,
    brightness=0,
    gradient=0,
    blur=0,
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


def test_without_augmentation_a_crop_is_the_middle_of_the_frame():
    rng = np.random.default_rng(0)
    image, label = rng.normal(size=(64, 64)), rng.integers(0, 3, (64, 64)).astype(np.uint8)
    batches = training_batches(
        frames_of(image, label), section("training", batch=1, crop=32), STILL, seed=0
    )
    ((found, found_label),) = take(batches, 1)
    np.testing.assert_allclose(found[0, ..., 0], image[16:48, 16:48], atol=2e-3)
    np.testing.assert_array_equal(found_label[0], label[16:48, 16:48])


def test_image_and_label_move_together():
    image, label = spots()
    batches = training_batches(
        frames_of(image, label), section("training", batch=8, crop=48), MOVING, seed=1
    )
    for found, found_label in take(batches, 4):
        inside = found[..., 0] > 0.5
        # Bilinear image and nearest label may part by half a pixel along the outline only.
        assert np.mean(inside != (found_label == 1)) < 0.02
        assert (found_label == 1).any()


def test_crops_show_all_eight_transforms_of_the_dihedral_group():
    seen = {
        tuple(np.sign(random_affine(np.random.default_rng(k), (64, 64), 32, MOVING)[[0, 1, 3, 4]]))
        for k in range(200)
    }
    assert len(seen) == 8


@pytest.mark.parametrize("shape", [(64, 64), (48, 200), (24, 24)])
def test_crops_stay_in_the_frame(shape):
    crop = 32
    for k in range(100):
        a0, a1, a2, b0, b1, b2, *_ = random_affine(np.random.default_rng(k), shape, crop, MOVING)
        corners = [(x, y) for x in (0, crop - 1) for y in (0, crop - 1)]
        xs = [a0 * x + a1 * y + a2 for x, y in corners]
        ys = [b0 * x + b1 * y + b2 for x, y in corners]
        assert max(xs) - min(xs) <= (crop - 1) * 1.2 + 1e-3
        if min(shape) > crop * 1.2:
            assert min(xs) >= -1e-2
            assert max(xs) <= shape[1] - 1 + 1e-2
            assert min(ys) >= -1e-2
            assert max(ys) <= shape[0] - 1 + 1e-2


def test_batches_that_start_later_are_the_same(moke_folder):
    frames = load_frames(open_dataset(moke_folder), 3)
    settings = section("training", batch=2, crop=32), section("augmentation")
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
        [
            image
            for image, _ in take(
                training_batches(frames, section("training", crop=64), noisy, seed=0), 40
            )
        ]
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
            frames_of(image - 0.5, label), section("training", crop=64), augmentation, seed=0
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
        affine = random_affine(np.random.default_rng(k), shape, 48, MOVING)
        a0, a1, a2, b0, b1, b2 = affine[:6].astype(float)
        places = [b0 * x + b1 * y + b2, a0 * x + a1 * y + a2]
        expected = ndimage.map_coordinates(frame, places, order=1, mode="reflect")
        np.testing.assert_allclose(sample(frame, affine, 48, nearest=False), expected, atol=2e-4)
        nearest = ndimage.map_coordinates(marks, places, order=0, mode="reflect")
        assert np.mean(sample(marks, affine, 48, nearest=True) != nearest) < 0.02


LEVELS = STILL.model_copy(update={"restandardise": True, "border": "wrap"})


def periodic(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A standardised periodic picture, brighter to the right of each spot, and its label."""
    x = np.arange(size) * 2 * np.pi / size
    image = np.cos(2 * x)[:, None] * np.sin(3 * x)[None, :] + 0.3 * np.cos(x)[:, None]
    return standardise(image), (image > 0.5).astype(np.uint8)


def detected(n: int = 24, seed: int = 0, crop: int = 64, **changes) -> np.ndarray:
    """Views (n, crop, crop) of `periodic` with these settings of the detector."""
    augmentation = LEVELS.model_copy(update=changes)
    batches = training_batches(
        frames_of(*periodic()), section("training", batch=1, crop=crop), augmentation, seed=seed
    )
    return np.concatenate([image[..., 0] for image, _ in take(batches, n)])


def test_detector_crops_are_standardised_and_the_frame_without_noise():
    frame, _ = periodic()
    np.testing.assert_allclose(detected(2), [frame, frame], atol=2e-3)
    noisy = detected(noise=3.0, salt=0.03, poisson=0.1, clip=0.5, blur=0.5, gamma=(0.3, 1.8),
                     background=0.5)  # fmt: skip
    assert np.isfinite(noisy).all()
    np.testing.assert_allclose(noisy.mean(axis=(1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(noisy.std(axis=(1, 2)), 1, atol=0.02)
    assert np.abs(noisy).max() <= 6


def noise_of(views: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise of each view, in units of the frame's own."""
    frame, _ = periodic()
    share = np.einsum("nyx,yx->n", views, frame) / frame.size  # what of a view is the frame
    return np.sqrt(np.maximum(1 - share**2, 0)) / share


def test_detector_noise_has_the_strength_asked_for():
    strengths = noise_of(detected(60, noise=3.0, noise_probability=0.8))
    assert np.mean(strengths < 0.01) == pytest.approx(0.24, abs=0.13)
    assert strengths.max() == pytest.approx(2.9, abs=0.35)
    # Drawn as a square: half of the noisy views have less than a quarter of the most.
    assert np.median(strengths[strengths > 0.05]) == pytest.approx(0.9, abs=0.4)


def test_the_noise_of_a_crop_is_its_own_and_reproducible():
    views = detected(12, noise=3.0, noise_probability=1.0, seed=3)
    frame, _ = periodic()
    shares = np.einsum("nyx,yx->n", views, frame) / frame.size
    residuals = views - shares[:, None, None] * frame
    correlation = np.corrcoef(residuals.reshape(12, -1)) - np.eye(12)
    assert np.abs(correlation).max() < 0.1
    np.testing.assert_array_equal(views, detected(12, noise=3.0, noise_probability=1.0, seed=3))


def test_salt_and_pepper_are_extremes_of_the_grey_levels():
    frame, _ = periodic()
    views = detected(40, salt=0.2, noise_probability=1.0)
    changed = []
    for view in views:
        gain, offset = np.polyfit(frame.ravel(), view.ravel(), 1)
        darkest, brightest = frame.min() * gain + offset, frame.max() * gain + offset
        salted = np.abs(view - (gain * frame + offset)) > 0.3
        values = view[salted]
        assert ((values <= darkest + 0.3) | (values >= brightest - 0.3)).all()
        changed.append(salted.mean())
    assert max(changed) == pytest.approx(0.2, abs=0.05)


def test_clipped_crops_keep_to_the_frames_grey_levels():
    free = detected(20, noise=3.0, noise_probability=1.0)
    clipped = detected(20, noise=3.0, noise_probability=1.0, clip=1.0)
    at_ends = []
    for view, other in zip(clipped, free, strict=True):
        at_ends.append(np.mean((view == view.min()) | (view == view.max())))
        assert np.mean((other == other.min()) | (other == other.max())) < 0.001
    assert np.mean(at_ends) > 0.05


def test_blur_takes_noise_or_leaves_it_and_mirrors_at_the_borders():
    views = detected(40, noise=1.0, noise_probability=1.0, blur=1.0, blur_px=(2.0, 2.0))
    rough = np.abs(np.diff(views, axis=2)).mean(axis=(1, 2))
    smooth = rough < 0.5 * np.median(np.sort(rough)[-10:])
    assert 8 < smooth.sum() < 32  # after the noise as often as before
    edge, inner = (
        np.abs(np.diff(part, axis=2)).mean() for part in (views[:, :, :2], views[:, :, 30:32])
    )
    assert edge < inner


def test_gamma_bends_the_grey_levels():
    frame, _ = periodic()
    grey = (frame - frame.min()) / np.ptp(frame)
    (view,) = detected(1, gamma=(1.8, 1.8))
    np.testing.assert_allclose(view, standardise(grey**1.8), atol=1e-2)


def test_a_background_is_smooth_and_keeps_the_image():
    frame, _ = periodic()
    views = detected(30, background=0.5)
    residuals = np.array([v - np.polyval(np.polyfit(frame.ravel(), v.ravel(), 1), frame)
                          for v in views])  # fmt: skip
    assert np.abs(residuals).max() > 0.3
    assert np.abs(np.diff(residuals, axis=1)).max() < 0.15


def test_inverted_grey_levels_only_where_asked():
    frame, _ = periodic()
    signs = {np.sign((view * frame).mean()) for view in detected(20, invert=True)}
    assert signs == {1.0, -1.0}
    assert {np.sign((view * frame).mean()) for view in detected(20)} == {1.0}


def test_crops_with_a_tilt_axis_are_mirrored_top_to_bottom_only():
    axis = MOVING.model_copy(update={"symmetry": "axis"})
    maps = [random_affine(np.random.default_rng(k), (64, 64), 32, axis) for k in range(100)]
    assert {tuple(np.sign(m[[0, 1, 3, 4]])) for m in maps} == {(1, 0, 0, 1), (1, 0, 0, -1)}
    frame, _ = periodic()
    still = axis.model_copy(update={"scale": 0.0, "shift": False})
    for k in range(8):
        affine = random_affine(np.random.default_rng(k), (64, 64), 64, still)
        view = sample(frame, affine, 64, nearest=False)
        assert np.allclose(view, frame, atol=1e-5) or np.allclose(view, frame[::-1], atol=1e-5)


def test_a_periodic_frame_is_continued_beyond_its_borders():
    from scipy import ndimage

    frame, _ = periodic()
    affine = np.array([1.0, 0, -20.3, 0, 1.0, 30.6], np.float32)
    y, x = np.mgrid[:64, :64]
    expected = ndimage.map_coordinates(frame, [y + 30.6, x - 20.3], order=1, mode="grid-wrap")
    found = sample(frame, affine, 64, nearest=False, border="wrap")
    np.testing.assert_allclose(found, expected, atol=1e-4)
