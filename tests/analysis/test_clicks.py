"""Clicks and scribbles recover drawn objects that a mask misses, invents or joins."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from spinscope.analysis.clicks import DEFAULT_AREA, click, scribble, typical_area
from spinscope.classes import DEFECT, SKYRMION
from spinscope.errors import SpinscopeError

SHAPE = (96, 120)


def disc(y: float, x: float, radius: float, shape=SHAPE) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture
def film() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask of two discs and no third, the probability of all three, and the third."""
    known, faint = disc(30, 30, 6) | disc(30, 80, 6), disc(60, 60, 6)
    probability = gaussian_filter(0.95 * known + 0.3 * faint, 1.0)
    probability += np.random.default_rng(0).normal(0, 0.01, SHAPE)
    return known.astype(np.uint8), np.clip(probability, 0, 1), faint


@pytest.mark.parametrize("at", [(60, 60), (59, 62), (61, 58)])
def test_a_click_adds_a_faint_object_with_its_boundary(film, at):
    mask, probability, faint = film
    corrected = click(mask, probability, at, SKYRMION)
    added = corrected != mask
    assert iou(added, faint) > 0.75
    assert (corrected[added] == SKYRMION).all()
    assert not (mask[60] == SKYRMION).any()  # the given mask is unchanged


def test_a_click_on_an_object_removes_it_and_nothing_else(film):
    mask, probability, _ = film
    corrected = click(mask, probability, (33, 32), DEFECT)
    assert not corrected[disc(30, 30, 6)].any()
    np.testing.assert_array_equal(corrected[:, 60:], mask[:, 60:])


def test_an_added_object_stops_at_its_neighbours_and_at_twice_the_usual_area():
    mask = disc(48, 40, 8).astype(np.uint8)
    probability = np.where(disc(48, 40, 30), 0.9, 0.0)  # a smear around the object
    added = click(mask, probability, (48, 58), SKYRMION, area=50) != mask
    assert 0 < added.sum() <= 100
    assert not added[mask > 0].any()


def test_a_click_where_the_map_shows_nothing_adds_a_disc_of_the_usual_area():
    mask = disc(20, 20, 5).astype(np.uint8)
    added = click(mask, np.zeros(SHAPE), (70, 70), SKYRMION) != mask
    assert added.sum() == pytest.approx(typical_area(mask, SKYRMION), rel=0.1)
    assert typical_area(np.zeros(SHAPE, np.uint8), SKYRMION) == DEFAULT_AREA


def test_a_background_scribble_parts_two_joined_objects():
    left, right = disc(48, 50, 8), disc(48, 64, 8)
    joined = left | right | disc(48, 57, 5)
    probability = gaussian_filter(0.95 * (left | right) + 0.0, 1.0)
    stroke = np.array([(y, 57) for y in range(38, 59)])
    corrected = scribble(joined.astype(np.uint8), probability, stroke, 0)
    assert not corrected[:, 57].any()
    left[:, 57] = right[:, 57] = False
    assert iou(corrected[:, :57] > 0, left[:, :57]) > 0.85
    assert iou(corrected[:, 58:] > 0, right[:, 58:]) > 0.85


def test_a_background_scribble_takes_off_an_arm():
    body, arm = disc(48, 40, 9), np.zeros(SHAPE, bool)
    arm[46:50, 48:75] = True
    probability = gaussian_filter(np.where(body, 0.95, np.where(arm, 0.55, 0.02)), 0.7)
    stroke = np.array([(48, x) for x in range(51, 74)])
    corrected = scribble((body | arm).astype(np.uint8), probability, stroke, 0)
    assert iou(corrected > 0, body) > 0.85


def test_a_scribble_extends_the_object_that_it_crosses():
    whole = disc(48, 50, 10)
    probability = gaussian_filter(np.where(whole, 0.8, 0.05), 0.7)
    mask = (whole & (np.arange(SHAPE[1]) < 48)).astype(np.uint8)
    stroke = np.array([(48, x) for x in range(45, 58)])
    corrected = scribble(mask, probability, stroke, SKYRMION)
    assert iou(corrected == SKYRMION, whole) > 0.9


def test_a_scribble_of_another_class_leaves_objects_that_it_does_not_cross():
    mask = disc(48, 40, 6).astype(np.uint8)
    probability = gaussian_filter(np.where(disc(48, 40, 6) | disc(48, 54, 6), 0.9, 0.02), 0.7)
    stroke = np.array([(y, 54) for y in range(45, 52)])
    corrected = scribble(mask, probability, stroke, DEFECT)
    np.testing.assert_array_equal(corrected == SKYRMION, mask == SKYRMION)
    assert iou(corrected == DEFECT, disc(48, 54, 6)) > 0.8


def test_a_click_in_a_whole_frame_takes_a_fraction_of_its_time():
    shape = (512, 672)
    mask = disc(100, 100, 6, shape).astype(np.uint8)
    probability = gaussian_filter(0.3 * disc(300, 400, 6, shape), 1.0)
    click(mask, probability, (300, 400), SKYRMION)
    start = time.perf_counter()
    click(mask, probability, (300, 400), SKYRMION)
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((8, 8), (8, 9), (0, 0), 1), "must have the shape of the mask"),
        (((8, 8), (8, 8), (8, 0), 1), r"pixel \(y=8, x=0\) must lie in the mask"),
        (((8, 8), (8, 8), (0, 0), 0), "must be a class of objects"),
    ],
)
def test_wrong_input_is_named(arguments, says):
    mask, foreground, at, value = arguments
    with pytest.raises(SpinscopeError, match=says):
        click(np.zeros(mask, np.uint8), np.zeros(foreground), at, value)


def test_a_scribble_without_pixels_is_refused():
    with pytest.raises(SpinscopeError, match="at least one pixel"):
        scribble(np.zeros((8, 8), np.uint8), np.zeros((8, 8)), np.zeros((0, 2)), 1)
