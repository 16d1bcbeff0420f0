"""Prediction of any size, with test-time augmentation and rotated images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import section

from spinscope.errors import SpinscopeError
from spinscope.inference.geometry import Geometry
from spinscope.inference.predict import Predictor
from spinscope.inference.tiling import Tiling
from spinscope.inference.views import VIEWS, VIEWS_OF_SYMMETRY, transform, undo
from spinscope.models.unet import unet

CONFIG = section("model", width=4, depth=2, stem=2, refine=2)


@pytest.fixture(scope="module")
def predictor():
    info = {"classes": ["background", "skyrmion", "defect"], "size_multiple": CONFIG.size_multiple}
    return Predictor.of(unet(CONFIG, 3, seed=1), info)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (8, 9), (101, 64)])
@pytest.mark.parametrize("tta", [1, 2, 3, 8])
def test_any_size(predictor, shape, tta):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = predictor.probabilities(image, tta)
    assert found.shape == (*shape, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    assert predictor.classes(image, tta).dtype == np.uint8


def test_eight_views_make_the_prediction_follow_the_image(predictor):
    """Averaged over the dihedral group, the prediction rotates with the image."""
    image = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    plain = predictor.probabilities(image, 8)
    for view in VIEWS[8]:
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
    assert len({transform(marked, view).tobytes() for view in VIEWS[8]}) == 8
    assert set(VIEWS[3]) <= set(VIEWS[8])


def test_another_number_of_views_is_refused(predictor):
    with pytest.raises(SpinscopeError, match=r"tta \(=5\)"):
        predictor.probabilities(np.zeros((32, 32), dtype=np.float32), 5)


def with_info(predictor: Predictor, **info) -> Predictor:
    return replace(predictor, info={**predictor.info, **info})


@pytest.mark.parametrize(
    ("symmetry", "counts"), [("square", (1, 2, 3, 8)), ("axis", (1, 2, 2, 2)), ("none", (1,) * 4)]
)
def test_views_follow_the_models_symmetry(predictor, symmetry, counts):
    one = with_info(predictor, symmetry=symmetry)
    assert tuple(len(one.transforms(tta)) for tta in (1, 2, 3, 8)) == counts
    assert one.transforms(8) == VIEWS_OF_SYMMETRY[symmetry]
    image = np.random.default_rng(3).random((32, 32), dtype=np.float32)
    assert len(list(one.views(image, 8))) == counts[-1]


def test_the_views_of_a_tilt_axis_mirror_top_to_bottom(predictor):
    marked = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(transform(marked, VIEWS_OF_SYMMETRY["axis"][1]), marked[::-1])
    one = with_info(predictor, symmetry="axis")
    image = np.random.default_rng(4).random((32, 48), dtype=np.float32)
    both = one.probabilities(image, 8)
    np.testing.assert_allclose(one.probabilities(image[::-1], 8)[::-1], both, atol=1e-5)
    np.testing.assert_array_equal(both, one.probabilities(image, 2))


def test_the_axis_of_a_recording_is_rotated_to_the_models(predictor):
    """The prediction of a rotated image is the rotated prediction."""
    trained = with_info(predictor, symmetry="axis", axis_deg=10.0)
    image = np.random.default_rng(5).random((40, 32), dtype=np.float32)
    plain = trained.probabilities(image)
    # np.rot90 turns the columns' direction to that of the rows, reversed: +x becomes -y.
    turned = trained.with_geometry(10 - 90)
    np.testing.assert_allclose(
        np.rot90(turned.probabilities(np.rot90(image)), -1), plain, atol=1e-5
    )
    same = trained.with_geometry(10.0)
    np.testing.assert_array_equal(same.probabilities(image), plain)


def test_a_rotated_image_in_tiles_equals_the_whole_image(predictor):
    image = np.random.default_rng(6).random((200, 150), dtype=np.float32)
    trained = with_info(predictor, symmetry="axis", axis_deg=0.0)
    whole = trained.with_geometry(30.0, 0.8)
    tiled = replace(whole, tiling=Tiling(128, 32))
    ((rows, band),) = tiled.bands(image)
    assert rows == slice(0, 200)
    np.testing.assert_allclose(band.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(band, whole.probabilities(image), atol=0.03)
    mask, doubt = tiled.segment(image)
    assert mask.shape == image.shape
    assert 0 <= doubt <= 1


def test_without_axis_and_scale_there_is_no_geometry(predictor):
    assert predictor.with_geometry().geometry is None


def test_a_model_without_a_tilt_axis_refuses_one(predictor):
    with pytest.raises(SpinscopeError, match=r"axis_deg \(=45\) must be left out"):
        with_info(predictor, family="moke-unet").with_geometry(45.0)
    assert predictor.with_geometry(scale=2.0).geometry == Geometry(0.0, 2.0)
