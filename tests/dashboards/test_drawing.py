"""Colour images and tables of distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from tests.conftest import discs

from spinscope.classes import SKYRMION


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:
    """(image, label) of dark discs."""
    return discs(np.random.default_rng(5))


def test_every_difference_has_its_colour(load, frame):
    images = load("images")
    image, label = frame
    found = np.roll(label, 3, axis=1)
    drawn = images.differences(image, label, found).astype(int)
    red_over_blue = drawn[..., 0] - drawn[..., 2]
    truth, claimed = label == SKYRMION, found == SKYRMION
    assert (red_over_blue[claimed & ~truth] > 100).all()  # only predicted: orange
    assert (red_over_blue[truth & ~claimed] < -100).all()  # only labelled: blue
    rest = ~(truth ^ claimed)
    assert (red_over_blue[rest] == 0).all()
    both = truth & claimed
    assert (drawn[both] > images.grey(image)[both]).mean() > 0.9  # both: lightened


def test_opacity_runs_from_the_frame_to_the_class(load, frame):
    images = load("images")
    image, label = frame
    assert (images.tinted(image, label, 0.0) == images.grey(image)).all()
    solid = images.tinted(image, label, 1.0)
    assert (solid[label > 0] == images.class_map(label)[label > 0]).all()
    assert (solid[label == 0] == images.grey(image)[label == 0]).all()


@pytest.mark.parametrize("zoom", [1, 2, 4, 8])
def test_a_zoomed_window_reaches_the_corners(load, zoom):
    crop = load("images").crop
    array = np.arange(64 * 48).reshape(64, 48)
    assert crop(array, zoom, 0, 0).shape == (64 // zoom, 48 // zoom)
    assert crop(array, zoom, 0, 0)[0, 0] == array[0, 0]
    assert crop(array, zoom, 1, 1)[-1, -1] == array[-1, -1]
    assert crop(array, zoom, 1, 0)[0, -1] == array[0, -1]


def test_enlarged_pixels_stay_sharp(load):
    small = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    large = load("images").enlarged(small, 7)
    assert large.shape == (6, 9, 3)
    assert (large[::3, ::3] == small).all()


@pytest.mark.parametrize(
    ("pixel_size", "length"), [(15.625e-9, 200e-9), (4e-9, 50e-9), (1.1e-7, 2e-6)]
)
def test_a_scale_bar_has_its_length(load, pixel_size, length):
    images = load("images")
    assert images.scale_bar(64 * pixel_size) == pytest.approx(length)
    drawn = images.with_scale_bar(np.zeros((64, 64, 3), np.uint8), pixel_size)
    assert drawn.shape == (640, 640, 3)
    white = (drawn == 255).all(axis=-1).sum(axis=1)
    assert white.max() == pytest.approx(10 * length / pixel_size, abs=1)


def test_the_area_between_the_curves_is_the_wasserstein_distance(load):
    cumulative = load("charts").cumulative
    rng = np.random.default_rng(2)
    values = {"label": rng.normal(12, 2, 150), "A": rng.normal(13, 3, 90)}
    table = cumulative(values)
    grid = np.unique(table["value"])

    def fraction(name):
        one = table[table["name"] == name]
        last = np.searchsorted(one["value"], grid, side="right") - 1
        return np.where(last >= 0, one["fraction"].to_numpy()[last], 0)

    area = (np.abs(fraction("label") - fraction("A"))[:-1] * np.diff(grid)).sum()
    assert area == pytest.approx(wasserstein_distance(*values.values()))


def test_many_values_make_few_corners_from_0_to_1(load):
    cumulative = load("charts").cumulative
    table = cumulative({"A": np.linspace(1, 2, 10_000), "none": np.array([])}, points=50)
    assert len(table) == 50
    assert table["fraction"].iloc[[0, -1]].tolist() == [0, 1]
    assert table["value"].iloc[[0, -1]].tolist() == [1, 2]


def test_fractions_of_a_histogram_add_up_to_those_within(load):
    histogram = load("charts").histogram
    table = histogram({"A": np.array([0.5, 1.5, 1.6, 9.0])}, np.array([0.0, 1, 2]))
    assert table["fraction"].tolist() == [0.25, 0.5, 0]
