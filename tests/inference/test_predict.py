"""Prediction: any size, test-time augmentation, one transform undone by its inverse."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.config import Model
from spinscope.errors import SpinscopeError
from spinscope.inference.predict import TRANSFORMS, Predictor, transform, undo
from spinscope.models.unet import size_multiple, unet

CONFIG = Model(width=4, depth=2, stem=2, refine=2)


@pytest.fixture(scope="module")
def predictor():
    info = {"classes": ["background", "skyrmion", "defect"], "size_multiple": size_multiple(CONFIG)}
    return Predictor.of(unet(CONFIG, 3, seed=1), info)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (8, 9), (101, 64)])
@pytest.mark.parametrize("tta", [1, 3, 8])
def test_any_size(predictor, shape, tta):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = predictor.probabilities(image, tta)
    assert found.shape == (*shape, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    assert predictor.classes(image, tta).dtype == np.uint8


def test_eight_views_make_the_prediction_follow_the_image(predictor):
    """Averaged over the dihedral group, turning the image turns the mask with it."""
    image = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    plain = predictor.probabilities(image, 8)
    for view in TRANSFORMS[8]:
        turned = predictor.probabilities(np.ascontiguousarray(transform(image, view)), 8)
        np.testing.assert_allclose(undo(turned, view), plain, atol=1e-5)
    once = predictor.probabilities(image, 1)
    assert np.abs(once - plain).max() > 1e-4


def test_brightness_and_contrast_do_not_matter(predictor):
    image = np.random.default_rng(2).random((32, 32), dtype=np.float32)
    np.testing.assert_allclose(
        predictor.probabilities(0.3 * image + 0.5), predictor.probabilities(image), atol=1e-3
    )


def test_views_are_distinct():
    marked = np.arange(9).reshape(3, 3)
    assert len({transform(marked, view).tobytes() for view in TRANSFORMS[8]}) == 8
    assert set(TRANSFORMS[3]) <= set(TRANSFORMS[8])


def test_another_number_of_views_is_refused(predictor):
    with pytest.raises(SpinscopeError, match=r"tta \(=2\)"):
        predictor.probabilities(np.zeros((32, 32), dtype=np.float32), 2)
