"""Labels are compared with images of discs whose places are known."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.datasets import agreement
from spinscope.datasets.agreement import (
    MIN_FIT,
    coarse,
    exchanged_labels,
    label_contrast,
    opposite_contrast,
)


def discs(seed: int, size: int = 96, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Dark discs in noise of half their contrast, and their label."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    label = np.zeros((size, size), dtype=np.uint8)
    for cy, cx in rng.uniform(0, size, (n, 2)):
        label[(y - cy) ** 2 + (x - cx) ** 2 <= 25] = 1
    image = 0.6 - 0.2 * label + rng.normal(0, 0.1, label.shape)
    return image.astype(np.float32), label


def fit(image: np.ndarray, label: np.ndarray) -> float:
    return float(np.linalg.norm(label_contrast(image, label)))


def test_dark_and_bright_skyrmions_have_opposite_contrast():
    image, label = discs(1)
    dark = label_contrast(image, label)
    assert dark[0] < -0.5
    np.testing.assert_allclose(label_contrast(1 - image, label), -dark, atol=1e-6)
    np.testing.assert_allclose(label_contrast(3 * image - 1, label), dark, atol=1e-6)


def test_a_lorentz_image_has_contrast_across_its_tilt_axis():
    y, x = np.mgrid[:96, :96]
    label = ((y - 40) ** 2 + (x - 50) ** 2 <= 100).astype(np.uint8)
    noise = np.random.default_rng(1).normal(0, 0.1, (96, 96))
    lobes = np.exp(-((y - 40) ** 2 + (x - 50) ** 2) / 200)
    for axis, position in ((1, x - 50), (2, y - 40)):
        contrast = label_contrast(0.5 + 0.05 * position * lobes + noise, label)
        assert contrast[axis] > 0.6
        assert np.abs(np.delete(contrast, axis)).max() < 0.2
    assert fit(noise, label) < MIN_FIT


def test_the_label_of_another_frame_does_not_fit():
    assert max(fit(discs(k, 256, 60)[0], discs(k + 1, 256, 60)[1]) for k in range(8)) < MIN_FIT
    assert min(fit(*discs(k, 256, 60)) for k in range(8)) > 3 * MIN_FIT


def test_a_gradient_and_a_device_outside_do_not_count():
    image, label = discs(1)
    tilted = image + np.linspace(0, 0.8, 96, dtype=np.float32)
    assert label_contrast(tilted, label)[0] < -0.4
    image[:, :20], label[:, :20] = 5, 3
    assert label_contrast(image, label)[0] < -0.5


@pytest.mark.parametrize("label", [0, 1, 3])
def test_without_a_skyrmion_or_a_background_there_is_no_contrast(label):
    image = discs(1)[0]
    assert np.isnan(label_contrast(image, np.full((96, 96), label, np.uint8))).all()


def test_without_any_contrast_in_the_image_there_is_none():
    assert np.isnan(label_contrast(np.full((96, 96), 0.5, np.float32), discs(1)[1])).all()


def test_of_a_large_frame_the_window_with_most_skyrmions_counts(monkeypatch):
    monkeypatch.setattr(agreement, "_WINDOW", 96)
    image, label = discs(1)
    small = label_contrast(image, label)
    wide_image, wide_label = np.full((96, 288), 0.5, np.float32), np.zeros((96, 288), np.uint8)
    wide_image[:, 96:192], wide_label[:, 96:192] = image, label
    np.testing.assert_array_equal(label_contrast(wide_image, wide_label), small)


def test_one_inverted_frame_of_many_is_found():
    contrast = np.array([[-0.5, 0.02 * k, 0] for k in range(12)])
    contrast[5] *= -1
    contrast[7] = np.nan
    assert np.flatnonzero(opposite_contrast(contrast, range(12))).tolist() == [5]
    lorentz = contrast[:, [1, 0, 2]]
    assert np.flatnonzero(opposite_contrast(lorentz, range(12))).tolist() == [5]


def test_a_source_counts_once_for_the_usual_contrast():
    contrast = np.array([[-0.5, 0, 0]] * 12 + [[0.5, 0, 0]] * 10)
    many = [*range(12), *[99] * 10]  # one bright video of ten frames
    assert np.flatnonzero(opposite_contrast(contrast, many)).tolist() == list(range(12, 22))


def test_where_sources_differ_no_sign_is_usual():
    contrast = np.array([[-0.5, 0, 0]] * 8 + [[0.5, 0, 0]] * 3)
    assert not opposite_contrast(contrast, range(11)).any()
    assert not opposite_contrast(np.full((3, 3), np.nan), range(3)).any()


def exchanged(frames, sources=None) -> dict[int, int]:
    contrast = np.array([label_contrast(*frame) for frame in frames])
    small = [coarse(*frame) for frame in frames]
    return exchanged_labels(small, contrast, sources or [0] * len(frames))


def test_exchanged_labels_are_found_also_in_a_cycle():
    frames = [discs(k) for k in range(6)]
    assert exchanged(frames) == {}
    images, labels = zip(*frames, strict=True)
    swapped = list(zip(images, [labels[k] for k in (0, 4, 2, 3, 1, 5)], strict=True))
    assert exchanged(swapped) == {1: 4, 4: 1}
    shifted = list(zip(images, [labels[k] for k in (0, 2, 3, 4, 1, 5)], strict=True))
    assert exchanged(shifted) == {1: 4, 2: 1, 3: 2, 4: 3}
    inverted = [(1 - image, label) for image, label in frames[:2]] + frames[2:]
    assert exchanged(inverted) == {}


def test_labels_of_nearly_pinned_skyrmions_are_told_apart():
    first, label = discs(1)
    moved = np.roll(label, 1, axis=1)
    second = 0.6 - 0.2 * moved + np.random.default_rng(9).normal(0, 0.1, label.shape)
    others = [discs(k) for k in (2, 3)]
    assert exchanged([(first, label), (second, moved), *others]) == {}
    assert exchanged([(first, moved), (second, label), *others]) == {0: 1, 1: 0}


def test_equal_labels_and_frames_of_another_size_are_not_exchanged():
    image, label = discs(1)
    assert exchanged([(image, label), (image + 0.01, label), discs(2), discs(3, 80)]) == {}
