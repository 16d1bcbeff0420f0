"""Pictures and distributions say what they claim."""

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
    pictures = load("_pictures")
    image, label = frame
    found = np.roll(label, 3, axis=1)
    drawn = pictures.differences(image, label, found).astype(int)
    red_over_blue = drawn[..., 0] - drawn[..., 2]
    truth, claimed = label == SKYRMION, found == SKYRMION
    assert (red_over_blue[claimed & ~truth] > 100).all()  # made up: orange
    assert (red_over_blue[truth & ~claimed] < -100).all()  # missed: blue
    rest = ~(truth ^ claimed)
    assert (red_over_blue[rest] == 0).all()
    both = truth & claimed
    assert (drawn[both] > pictures.frame(image)[both]).mean() > 0.9  # found: lightened


def test_opacity_runs_from_the_frame_to_the_class(load, frame):
    pictures = load("_pictures")
    image, label = frame
    assert (pictures.tinted(image, label, 0.0) == pictures.frame(image)).all()
    solid = pictures.tinted(image, label, 1.0)
    assert (solid[label > 0] == pictures.class_map(label)[label > 0]).all()
    assert (solid[label == 0] == pictures.frame(image)[label == 0]).all()


@pytest.mark.parametrize("zoom", [1, 2, 4, 8])
def test_zoom_cuts_the_corners(load, zoom):
    cut = load("_pictures").cut
    array = np.arange(64 * 48).reshape(64, 48)
    assert cut(array, zoom, 0, 0).shape == (64 // zoom, 48 // zoom)
    assert cut(array, zoom, 0, 0)[0, 0] == array[0, 0]
    assert cut(array, zoom, 1, 1)[-1, -1] == array[-1, -1]
    assert cut(array, zoom, 1, 0)[0, -1] == array[0, -1]


def test_enlarged_pixels_stay_sharp(load):
    small = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    large = load("_pictures").enlarged(small, 7)
    assert large.shape == (6, 9, 3)
    assert (large[::3, ::3] == small).all()


def test_the_area_between_the_curves_is_the_wasserstein_distance(load):
    cumulative = load("_distributions").cumulative
    rng = np.random.default_rng(2)
    values = {"label": rng.normal(12, 2, 150), "A": rng.normal(13, 3, 90)}
    table = cumulative(values)
    grid = np.unique(table["value"])

    def share(name):
        one = table[table["who"] == name]
        last = np.searchsorted(one["value"], grid, side="right") - 1
        return np.where(last >= 0, one["share"].to_numpy()[last], 0)

    area = (np.abs(share("label") - share("A"))[:-1] * np.diff(grid)).sum()
    assert area == pytest.approx(wasserstein_distance(*values.values()))


def test_many_values_make_few_corners_that_begin_at_none_and_end_at_all(load):
    cumulative = load("_distributions").cumulative
    table = cumulative({"A": np.linspace(1, 2, 10_000), "none": np.array([])}, points=50)
    assert len(table) == 50
    assert table["share"].iloc[[0, -1]].tolist() == [0, 1]
    assert table["value"].iloc[[0, -1]].tolist() == [1, 2]


def test_shares_of_a_histogram_add_up_to_what_lies_within(load):
    histogram = load("_distributions").histogram
    table = histogram({"A": np.array([0.5, 1.5, 1.6, 9.0])}, np.array([0.0, 1, 2]))
    assert table["share"].tolist() == [0.25, 0.5, 0]
