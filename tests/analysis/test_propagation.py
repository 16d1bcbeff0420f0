"""Corrections follow drawn objects through a drifting recording, and end where nothing is left."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from spinscope.analysis.propagation import propagate
from spinscope.errors import SpinscopeError

SHAPE, DRIFT = (120, 140), np.array([1.5, 2.0])
GRID = [(y, x) for y in (25, 60, 95) for x in (25, 60, 95)]


def discs(centres, radius: float = 6.0) -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    found = np.zeros(SHAPE, bool)
    for y, x in centres:
        found |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return found


def frame(k: int, *, faint: float, seen=GRID[1:]) -> tuple[np.ndarray, np.ndarray]:
    """Mask of the objects that are seen, and the probability of all nine."""
    shift = k * DRIFT
    found = discs(np.array(seen) + shift)
    missed = discs(np.array(GRID[:1]) + shift)
    return found.astype(np.uint8), gaussian_filter(0.95 * found + faint * missed, 1.0)


def test_an_added_object_follows_the_drift_as_long_as_the_map_supports_it():
    before, _ = frame(0, faint=0.4)
    after = before | discs(GRID[:1]).astype(np.uint8)
    neighbours = [frame(k, faint=0.4 if k < 4 else 0.02) for k in range(1, 6)]
    proposed = list(propagate(before, after, neighbours))
    assert len(proposed) == 3
    for k, (mask, (shown, _)) in enumerate(zip(proposed, neighbours, strict=False), start=1):
        added = (mask != shown) & (mask == 1)
        truth = discs(np.array(GRID[:1]) + k * DRIFT)
        assert (added & truth).sum() / (added | truth).sum() > 0.75
        assert (mask[shown == 1] == 1).all()


def test_a_removed_object_is_removed_along_its_track_only():
    before, _ = frame(0, faint=0.0, seen=GRID)
    after = before * ~discs(GRID[4:5]) * np.uint8(1)
    neighbours = [frame(k, faint=0.0, seen=GRID) for k in range(1, 4)]
    proposed = list(propagate(before, after, neighbours))
    assert len(proposed) == 3
    for k, mask in enumerate(proposed, start=1):
        rest = discs(np.array([g for g in GRID if g != GRID[4]]) + k * DRIFT)
        np.testing.assert_array_equal(mask == 1, rest)


def test_a_larger_object_near_a_removed_one_is_kept():
    before = discs(GRID[:4]) | discs(GRID[4:5], radius=3)
    after = discs(GRID[:4]).astype(np.uint8)
    following = frame(0, faint=0.0, seen=GRID[:5])  # an object of 113 px near that of 29 px
    assert list(propagate(before.astype(np.uint8), after, [following])) == []
    same = before.astype(np.uint8), before.astype(float)
    (proposed,) = propagate(before.astype(np.uint8), after, [same])
    np.testing.assert_array_equal(proposed, after)


def test_an_object_that_the_model_finds_in_between_stays_as_it_is():
    before, _ = frame(0, faint=0.4)
    after = before | discs(GRID[:1]).astype(np.uint8)
    found = frame(1, faint=0.4, seen=GRID)
    proposed = list(propagate(before, after, [found, frame(2, faint=0.4)]))
    np.testing.assert_array_equal(proposed[0], found[0])
    assert proposed[1].sum() > frame(2, faint=0.4)[0].sum()


def test_an_object_of_which_the_model_finds_a_fragment_is_completed():
    def shown(k):
        mask, foreground = frame(k, faint=0.4)
        mask[discs(np.array(GRID[:1]) + k * DRIFT, radius=2)] = 1
        return mask, foreground

    before, _ = shown(0)
    after = before | discs(GRID[:1]).astype(np.uint8)
    proposed = list(propagate(before, after, [shown(2), shown(4)]))
    for k, mask in zip((2, 4), proposed, strict=True):
        found = (mask == 1) & discs(np.array(GRID[:1]) + k * DRIFT, radius=9)
        truth = discs(np.array(GRID[:1]) + k * DRIFT)
        assert (found & truth).sum() / (found | truth).sum() > 0.75


def test_another_object_near_a_removed_one_is_kept():
    before, _ = frame(0, faint=0.0, seen=GRID)
    after = before * ~discs(GRID[4:5]) * np.uint8(1)
    beside = [*GRID[:4], (GRID[4][0] + 3, GRID[4][1] + 3), *GRID[5:]]
    assert list(propagate(before, after, [frame(0, faint=0.0, seen=beside)])) == []


def test_an_unchanged_mask_and_an_empty_neighbour_give_no_proposal():
    mask, foreground = frame(0, faint=0.4)
    assert list(propagate(mask, mask, [(mask, foreground)])) == []
    empty = np.zeros(SHAPE, np.uint8)
    assert list(propagate(mask, empty, [(empty, np.zeros(SHAPE))])) == []


def test_masks_of_different_shapes_are_refused():
    mask, _ = frame(0, faint=0.0)
    with pytest.raises(SpinscopeError, match="one shape"):
        next(propagate(mask, mask[:50], []))
