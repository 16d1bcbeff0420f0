"""Scale and polarity of simulated frames are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from tests.conftest import discs

from spinscope.config import bundled_models
from spinscope.datasets import open_dataset
from spinscope.inference.conditions import CLEAR, coarsest, evidence, find_conditions, noise_sd
from spinscope.inference.geometry import Geometry
from spinscope.inference.predict import Predictor
from spinscope.inference.sample import segment_sample

NOISE = 0.05


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(bundled_models() / "moke-unet-simulated", "auto", "f32")


@pytest.fixture(scope="module")
def small() -> Predictor:
    """The network whose rule magnifies frames of small skyrmions."""
    return Predictor.load(bundled_models() / "moke-unet", "auto", "f32")


def bubble(diameter: float, *, seed: int = 0, size: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """Image of a dark bubble with a contrast of one standard deviation of the noise, and mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    mask = np.hypot((y - size / 2) / 0.9, x - size / 2) < diameter / 2
    wall = ndimage.gaussian_filter(mask.astype(float), 1.5)
    return 0.5 - NOISE * wall + rng.normal(0, NOISE, mask.shape), mask


def overlap(found: np.ndarray, mask: np.ndarray) -> float:
    return np.count_nonzero(found & mask) / np.count_nonzero(found | mask)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bubble_is_found_at_the_scale_that_shows_it(predictor, sign):
    image, mask = bubble(200)
    image = 0.5 + sign * (image - 0.5)
    assert overlap(predictor.classes(image) == 1, mask) < 0.3
    found = find_conditions(predictor, [image])
    assert found.scale in (1 / 4, 1 / 8)
    assert found.inverted == (sign < 0)
    assert overlap(predictor.under(found.scale, found.inverted).classes(image) == 1, mask) > 0.9


def test_objects_larger_than_in_training_are_segmented_at_a_coarser_scale(small):
    """At its own scale the network has most of the evidence, but a boundary that is off."""
    image, _ = bubble(100)
    found = find_conditions(small, [image])
    own, coarser = (found.evidence[scale, False] for scale in (1.0, 0.5))
    assert own < coarser < CLEAR * own
    assert found.scale == 0.5


def test_skyrmions_of_the_usual_size_are_taken_as_they_are(predictor):
    image, _ = discs(np.random.default_rng(1), size=128, n=12, radius=6)
    found = find_conditions(predictor, [image])
    assert (found.scale, found.inverted) == (None, False)
    inverted = find_conditions(predictor, [1 - image])
    assert (inverted.scale, inverted.inverted) == (None, True)
    same = predictor.under(None, True).classes(1 - image)
    assert np.mean(same == predictor.classes(image)) > 0.999


def test_noise_has_no_evidence(predictor):
    noise = np.random.default_rng(2).normal(0.5, NOISE, (256, 256))
    found = find_conditions(predictor, [noise])
    assert (found.scale, found.inverted) == (None, False)
    assert set(found.evidence.values()) == {0.0}


def test_smooth_noise_is_not_magnified_but_small_skyrmions_are(small):
    """The model's rule would show hundreds of objects in such noise, of either polarity."""
    rng = np.random.default_rng(7)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, (512, 672)), 1.2)
    found = find_conditions(small, [0.5 + NOISE * noise / noise.std()])
    assert (found.scale, found.inverted) == (1.0, False)
    y, x = np.mgrid[:192, :192]
    lattice = ndimage.gaussian_filter(
        np.float32(np.hypot((y + 6) % 12 - 6, (x + 6) % 12 - 6) < 2), 0.7
    )
    frame = 0.5 - 0.3 * lattice + rng.normal(0, 0.02, lattice.shape)
    assert (small.under(1.0, False).classes(frame) != small.classes(frame)).any()
    assert find_conditions(small, [frame]).scale is None


def test_specks_of_noise_are_dropped_but_skyrmions_are_kept(small):
    """A recording may begin in noise: each of its frames is checked, and only noise is emptied."""
    rng = np.random.default_rng(7)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (256, 336)), 1.2)
    empty = 0.5 + NOISE * smooth / smooth.std()
    few = empty.copy()
    for y, x in ((60, 70), (180, 100), (120, 250)):
        disc = np.hypot(*np.ogrid[-y : 256 - y, -x : 336 - x]) < 8
        few -= 0.25 * ndimage.gaussian_filter(disc.astype(float), 1.0)
    fitting = small.under(1.0, False)
    assert (fitting.classes(empty) == 1).any()
    assert find_conditions(small, [empty]).noise and find_conditions(small, [few, empty]).noise
    assert not find_conditions(small, [few]).noise
    checked = replace(fitting, doubted=True)
    assert not (segment_sample(checked, empty).mask == 1).any()
    np.testing.assert_array_equal(segment_sample(checked, few).mask, fitting.classes(few))


def test_evidence_grows_with_contrast_and_ignores_what_the_border_cuts():
    image, mask = bubble(100, size=200)
    standard = image / NOISE
    (one,) = evidence(standard, mask, 1.0)
    (twice,) = evidence(2 * standard, mask, 1.0)
    cost = -evidence(np.zeros_like(standard), mask, 1.0)[0]
    assert twice + cost == pytest.approx(4 * (one + cost))
    assert evidence(standard[100:], mask[100:], 1.0).size == 0


def test_noise_that_neighbours_share_counts_as_white_noise_of_the_same_power():
    white = np.random.default_rng(3).normal(0, 1, (256, 256))
    shared = ndimage.gaussian_filter(white, 0.5)
    steps = np.diff(shared, axis=0).std() / np.sqrt(2)
    assert steps < 0.75
    assert 0.8 < noise_sd(shared) < 1.1


def test_a_dense_lattice_is_not_taken_for_noise(predictor):
    y, x = np.mgrid[:192, :192]
    lattice = np.hypot((y + 4) % 8 - 4, (x + 4) % 8 - 4) < 2.5
    image = 0.5 - 0.2 * lattice + np.random.default_rng(5).normal(0, NOISE, lattice.shape)
    found = find_conditions(predictor, [1 - image])
    assert found.inverted and found.scale is None


@pytest.mark.parametrize("source", [14, 134, 136, 141])
def test_published_frames_are_taken_as_they_are_and_their_negatives_as_bright(
    predictor, moke, source
):
    """Film between skyrmions, edges and lettering have as much evidence as the skyrmions."""
    dataset = open_dataset(moke)
    index = [record.source for record in dataset.records].index(source)
    image = dataset.image(index)
    expected = predictor.classes(image)
    for seen, bright in ((image, False), (1 - image, True)):
        found = find_conditions(predictor, [seen])
        assert (found.scale, found.inverted) == (None, bright)
        again = predictor.under(found.scale, found.inverted).classes(seen)
        assert np.mean(again == expected) > 0.999


@pytest.mark.parametrize("source", [22, 26])
def test_published_frames_of_twice_the_pixels_are_segmented_at_half_their_scale(
    predictor, moke, source
):
    """Evidence hardly differs there, but the network is less sure where it shows noise."""
    dataset = open_dataset(moke)
    index = [record.source for record in dataset.records].index(source)
    seen = Geometry(scale=2.0).apply(dataset.image(index))
    found = find_conditions(predictor, [seen], polarities=(False,))
    assert found.evidence[1.0, False] < 2 * found.evidence[0.5, False]
    assert found.scale == 0.5


def test_small_objects_beside_a_large_one_hold_the_scale():
    sure = {1.0: 0.80, 0.5: 0.85, 0.25: 0.85}
    one, few = np.full(1, 9000.0), np.full(10, 300.0)
    assert coarsest(1.0, {1.0: np.concatenate([one, few]), 0.5: one}, sure) == 1.0
    assert coarsest(1.0, {1.0: one, 0.5: one}, sure) == 0.5
    assert coarsest(1.0, {1.0: one, 0.5: 0.5 * one, 0.25: 0.25 * one}, sure) == 0.5
    assert coarsest(0.25, {1.0: one, 0.5: one, 0.25: one}, sure) == 0.25
