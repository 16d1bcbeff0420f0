"""Objects of a mask, compared with drawn ones."""

from __future__ import annotations

import numpy as np

from spinscope.analysis import equivalent_diameter, label_objects


def test_discs_drawn_are_discs_found():
    y, x = np.mgrid[:80, :80]
    mask = np.zeros((80, 80), dtype=bool)
    for cy, cx, r in ((15, 15, 6), (15, 60, 9), (60, 30, 12)):
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r**2
    numbers, areas = label_objects(mask)
    np.testing.assert_allclose(np.sort(equivalent_diameter(areas)), [12, 18, 24], rtol=0.05)
    assert (numbers > 0).sum() == areas.sum() == mask.sum()


def test_corners_touch():
    assert len(label_objects(np.eye(5, dtype=bool))[1]) == 1


def test_small_objects_are_left_out_and_numbers_have_no_gap():
    mask = np.zeros((8, 20), dtype=bool)
    mask[1, 1] = mask[1:4, 5:8] = mask[6, 12] = mask[2:6, 15:19] = True
    numbers, areas = label_objects(mask, min_px=4)
    assert areas.tolist() == [9, 16]
    assert np.unique(numbers).tolist() == [0, 1, 2]
    assert (numbers == 2).sum() == 16


def test_an_empty_mask_has_no_object():
    numbers, areas = label_objects(np.zeros((4, 4), dtype=bool), min_px=3)
    assert len(areas) == 0
    assert not numbers.any()
