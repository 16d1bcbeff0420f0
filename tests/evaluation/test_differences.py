"""Objects of two masks are paired as they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.conftest import discs

from spinscope.evaluation.differences import BOTH, ONLY_A, ONLY_B, object_differences
from spinscope.evaluation.objects import match_objects


def _square(mask: np.ndarray, y: int, x: int, side: int) -> None:
    mask[y : y + side, x : x + side] = True


def test_a_pair_one_missed_and_one_made_up():
    a, b = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    _square(a, 10, 10, 10)
    _square(b, 10, 10, 8)  # shrunk: 64 of 100 pixels
    _square(a, 40, 5, 4)
    _square(b, 30, 60, 6)
    rows = object_differences(a, b)
    assert rows["found"].tolist() == [BOTH, ONLY_A, ONLY_B]
    np.testing.assert_allclose(rows["y_px"], [14.5, 41.5, 32.5])
    np.testing.assert_allclose(rows["x_px"], [14.5, 6.5, 62.5])
    np.testing.assert_allclose(rows["iou"], [0.64, 0, 0])
    width = np.sqrt(4 / np.pi)
    np.testing.assert_allclose(rows["a_px"], [10 * width, 4 * width, np.nan])
    np.testing.assert_allclose(rows["b_px"], [8 * width, np.nan, 6 * width])
    np.testing.assert_allclose(rows["change_px"], [-2 * width, np.nan, np.nan])


def test_an_object_that_one_model_splits_is_paired_with_the_larger_half():
    a, b = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    a[5:15, 5:35] = True
    b[5:15, 5:25] = True
    b[5:15, 27:35] = True
    rows = object_differences(a, b)
    assert rows["found"].tolist() == [BOTH, ONLY_B]
    np.testing.assert_allclose(rows["iou"], [20 / 30, 8 / 30])


@pytest.mark.parametrize("seed", range(8))
def test_as_many_pairs_as_match_objects_counts(seed):
    rng = np.random.default_rng(seed)
    _, label = discs(rng, size=160, n=45, radius=6)
    a = label == 1
    b = ndimage.shift(ndimage.binary_erosion(a), rng.integers(-3, 4, 2), order=0)
    rows = object_differences(a, b, min_px=5)
    match = match_objects(a, b, min_px=5)
    assert (rows["found"] == BOTH).sum() == match.matched
    assert (rows["found"] != ONLY_B).sum() == len(match.true_px)
    assert (rows["found"] != ONLY_A).sum() == len(match.predicted_px)
    np.testing.assert_allclose(np.sort(rows["a_px"])[: len(match.true_px)], np.sort(match.true_px))
    swapped = object_differences(b, a, min_px=5)
    assert (swapped["found"] == BOTH).sum() == match.matched
    both = rows["found"] == BOTH
    np.testing.assert_allclose(
        np.sort(swapped["change_px"][swapped["found"] == BOTH]), np.sort(-rows["change_px"][both])
    )


def test_empty_masks_have_no_rows():
    nothing, one = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    _square(one, 2, 2, 3)
    assert all(len(column) == 0 for column in object_differences(nothing, nothing).values())
    assert object_differences(one, nothing)["found"].tolist() == [ONLY_A]
    assert object_differences(nothing, one)["found"].tolist() == [ONLY_B]


@pytest.mark.parametrize(
    ("change", "says"),
    [({"iou": 0.4}, r"0\.4.*\[0\.5, 1\]"), ({"b": np.zeros((3, 3), bool)}, "differ in shape")],
)
def test_masks_that_do_not_fit_are_refused(change, says):
    mask = np.zeros((9, 9), bool)
    with pytest.raises(ValueError, match=says):
        object_differences(**({"a": mask, "b": mask} | change))
