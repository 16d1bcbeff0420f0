"""Copies of an image are found in every orientation, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.datasets.copies import Copy, find_copies, fingerprint


def noisy(seed: int, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.8, shape).astype(np.float32)


def copies(one: np.ndarray, other: np.ndarray) -> list[Copy]:
    images = [one, noisy(98), other, noisy(99)]
    prints = np.array([fingerprint(image) for image in images])
    return list(find_copies(prints, ["train", "train", "validation", None], images.__getitem__))


ORIENTATIONS = {
    "": lambda a: a,
    "rotated": lambda a: np.rot90(a, 2),
    "rotated ": np.rot90,
    "rotated  ": lambda a: np.rot90(a, -1),
    "mirrored": np.fliplr,
    "mirrored ": np.flipud,
    "mirrored and rotated": np.transpose,
    "mirrored and rotated ": lambda a: np.rot90(a, 2).T,
}
LEVELS = {
    "same": lambda a: a,
    "one level brighter": lambda a: a + 1 / 255,
    "one pixel changed": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 77, 0.5, a),
    "half the contrast": lambda a: a / 2 + 0.1,
    "noise": lambda a: a + np.random.default_rng(5).normal(0, 0.03, a.shape),
}


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_copy_is_found_in_every_orientation_with_other_grey_levels(orientation, levels):
    copy = LEVELS[levels](ORIENTATIONS[orientation](noisy(1)))
    assert copies(noisy(1), copy) == [Copy(0, 2, orientation.strip())]


def test_an_inverted_copy_is_found():
    assert copies(noisy(1), 1 - noisy(1)) == [Copy(0, 2, "inverted")]
    assert copies(noisy(1), 1 - np.fliplr(noisy(1))) == [Copy(0, 2, "mirrored, inverted")]


def test_other_images_are_no_copies():
    assert copies(noisy(1), noisy(2)) == []
    assert copies(noisy(1), np.full((48, 64), 0.4, np.float32)) == []  # nothing to compare
    assert copies(noisy(1), noisy(1)[8:, 8:]) == []  # cropped


def test_two_frames_of_one_scene_differ_by_their_noise():
    y, x = np.mgrid[:96, :128]
    scene = np.sin(x / 9) + np.cos(y / 7)
    one, other = (scene + np.random.default_rng(k).normal(0, 0.5, scene.shape) for k in (1, 2))
    prints = [fingerprint(image).ravel() for image in (one, other)]
    assert prints[0] @ prints[1] > 0.95  # alike on the coarse grid
    assert copies(one, other) == []


def test_images_of_one_group_are_not_compared():
    prints = np.array([fingerprint(noisy(1))] * 4)
    groups = ["train", "train", None, None]
    assert list(find_copies(prints, groups, lambda index: noisy(1))) == []


def test_a_fingerprint_turns_with_its_image():
    image = noisy(3, (70, 101))
    assert fingerprint(image).shape == (32, 32)
    for turn in (np.rot90, np.fliplr, np.transpose):
        overlap = np.vdot(fingerprint(turn(image)), turn(fingerprint(image)))
        assert overlap > 0.97  # the cells of odd sizes differ by a pixel
    even = noisy(3, (64, 96))
    np.testing.assert_allclose(fingerprint(np.rot90(even)), np.rot90(fingerprint(even)), atol=1e-6)


def test_small_and_constant_images_have_no_fingerprint():
    assert not fingerprint(noisy(1, (20, 64))).any()
    assert not fingerprint(np.full((64, 64), 0.3, np.float32)).any()
