"""Matching of objects: drawn truth, found, moved, missed and made up."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.evaluation.objects import match_objects, size_distance, size_histogram


def square(*places, side=10, size=64):
    mask = np.zeros((size, size), dtype=bool)
    for y, x in places:
        mask[y : y + side, x : x + side] = True
    return mask


def test_found_missed_and_made_up():
    label, found = square((2, 2), (2, 30), (30, 2)), square((2, 3), (2, 30), (45, 45))
    match = match_objects(label, found)
    assert (len(match.true_px), len(match.predicted_px), match.matched) == (3, 3, 2)
    assert match.precision == match.recall == pytest.approx(2 / 3)


@pytest.mark.parametrize(("shift", "matched"), [(3, 1), (4, 0)])
def test_half_of_the_union_decides(shift, matched):
    # A square of side 10 moved by d has an IoU of (10 - d) / (10 + d): 7/13 and 6/14.
    assert match_objects(square((20, 20)), square((20, 20 + shift))).matched == matched


def test_one_found_object_serves_one_label():
    """Two labels that one prediction covers at exactly one half each are one match."""
    label = np.zeros((8, 24), dtype=bool)
    label[2:6, 2:6] = label[2:6, 7:11] = True
    found = np.zeros_like(label)
    found[2:6, 2:11] = True
    assert match_objects(label, found).matched <= 1


def test_empty_masks_make_no_figures_up():
    match = match_objects(square(), square())
    assert (match.precision, match.recall, match.matched) == (None, None, 0)
    assert size_distance(match.true_px, match.predicted_px) is None


def test_size_distance_of_a_shift_is_the_shift():
    sizes = np.array([4.0, 7.0, 9.0])
    assert size_distance(sizes, sizes + 1.5) == pytest.approx(1.5)


def test_every_image_counts_alike_in_the_histogram():
    many, one = np.full(1000, 5.0), np.array([15.0])
    histogram = size_histogram(["a", "b"], [many, one], [many, one], bins=4)
    assert sorted(share for share in histogram["true"] if share) == [0.5, 0.5]
    assert sum(histogram["predicted"]) == pytest.approx(1)
    assert histogram["edges_px"][-1] > 15


def test_the_objects_of_every_image_are_counted_on_common_bins():
    none, some = np.zeros(0), np.array([1.0, 6.0, 6.5])
    histogram = size_histogram(["a", "b"], [some, none], [none, np.array([8.0])], bins=4)
    np.testing.assert_allclose(histogram["edges_px"], [0, 2, 4, 6, 8], atol=1e-3)
    assert histogram["per_image"] == [
        {"name": "a", "true": [1, 0, 1, 1], "predicted": [0, 0, 0, 0]},
        {"name": "b", "true": [0, 0, 0, 0], "predicted": [0, 0, 0, 1]},
    ]
    np.testing.assert_allclose(histogram["true"], [1 / 3, 0, 1 / 3, 1 / 3])


def test_iou_below_one_half_is_refused():
    with pytest.raises(ValueError, match=r"iou \(=0.4\)"):
        match_objects(square(), square(), iou=0.4)
