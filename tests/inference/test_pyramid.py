"""Bubbles of different size in one recording are found, each at its scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from spinscope.config import bundled_models
from spinscope.inference.conditions import SCALES, Conditions
from spinscope.inference.predict import Ensemble, Predictor
from spinscope.inference.pyramid import Pyramid, fitted

NOISE = 0.05


@pytest.fixture(scope="module")
def network() -> Predictor:
    return Predictor.load(bundled_models() / "moke-unet", "auto", "f32")


def bubbles(*places: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Image of dark discs (y, x, diameter) and their mask, noise a third of their contrast."""
    y, x = np.mgrid[:320, :384]
    mask = np.any([np.hypot(y - cy, x - cx) < d / 2 for cy, cx, d in places], axis=0)
    wall = ndimage.gaussian_filter(mask.astype(float), 1.5)
    noise = np.random.default_rng(3).normal(0, NOISE, mask.shape)
    return (0.5 - 3 * NOISE * wall + noise).astype(np.float32), mask


def areas(mask: np.ndarray) -> list[int]:
    """Areas of the objects, the largest first."""
    return sorted(np.bincount(ndimage.label(mask)[0].ravel())[1:], reverse=True)


def test_a_large_and_a_small_bubble_of_one_frame_are_both_found(network):
    image, truth = bubbles((150, 130, 180), (90, 310, 30))
    pyramid = Pyramid.of(network, 1 / 8, SCALES)
    found = areas(pyramid.classes(image) == 1)
    np.testing.assert_allclose(found, areas(truth), rtol=0.06)
    one_scale = areas(network.under(1 / 8, False).classes(image) == 1)
    assert len(one_scale) == 1


@pytest.mark.parametrize("diameter, within", [(30, 0.06), (200, 0.005)])
def test_each_frame_has_its_scale(network, diameter, within):
    """The boundary of the large bubble, from a coarse scale, is placed by the frame."""
    image, truth = bubbles((160, 190, diameter))
    pyramid = Pyramid.of(network, 1 / 8, SCALES)
    np.testing.assert_allclose(areas(pyramid.classes(image) == 1), areas(truth), rtol=within)


def test_a_fine_scale_is_computed_only_where_it_may_show_more(network):
    """A frame of one large bubble needs no fine scale; a small one beside it does."""
    large, small = (150, 130, 180), (90, 310, 14)
    for places, finest in (((large,), 96), ((large, small), 320), ((small,), 320)):
        rows = []

        def engine(batch, rows=rows):
            rows.append(batch.shape[1])
            return network.engine(batch)

        engine.streams = 1
        pyramid = Pyramid.of(replace(network, engine=engine), 1 / 8, SCALES)
        pyramid.classes(bubbles(*places)[0])
        assert max(rows) == finest


def test_nothing_is_added_to_a_frame_of_noise(network):
    noise = np.random.default_rng(5).normal(0.5, NOISE, (320, 384))
    pyramid = Pyramid.of(network, 1 / 8, SCALES)
    assert not (pyramid.classes(noise) == 1).any()


def test_bright_bubbles_views_and_ensembles(network):
    image, truth = bubbles((150, 130, 180), (90, 310, 30))
    conditions = Conditions(1 / 8, True, {(scale, True): 0.0 for scale in SCALES})
    for model in (network, Ensemble.of([network, network])):
        pyramid = fitted(model, conditions)
        found = pyramid.segment_views(1 - image, tta=2)
        assert len(found.views) == len(pyramid.transforms(2)) * (1 + (model is not network))
        for mask in (found.mask, *found.views):
            np.testing.assert_allclose(areas(mask == 1), areas(truth), rtol=0.08)
        assert not isinstance(pyramid.under(1 / 2, True), Pyramid)


def test_a_very_large_frame_has_the_scale_of_the_recording(network):
    image = np.random.default_rng(1).normal(0.5, NOISE, (2000, 2400)).astype(np.float32)
    image[800:1000, 700:900] -= 4 * NOISE
    image[300:324, 300:324] -= 4 * NOISE
    pyramid = Pyramid.of(network, 1 / 8, SCALES)
    expected = network.under(1 / 8, False).classes(image)
    assert len(areas(expected == 1)) == 1
    np.testing.assert_array_equal(pyramid.classes(image), expected)


def test_the_scale_of_the_training_frames_has_no_pyramid(network):
    assert not isinstance(fitted(network, Conditions(None, False, {})), Pyramid)
