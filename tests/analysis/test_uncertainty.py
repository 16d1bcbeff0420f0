"""Errors of measurements from views of a frame."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.analysis import label_objects, measure, measure_views
from spinscope.analysis.uncertainty import best_overlap, detection_sd
from spinscope.errors import SpinscopeError


def discs(places, shape=(60, 120)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=bool)
    for cy, cx, r in places:
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r**2
    return mask


def test_the_scatter_of_drawn_discs_is_found():
    rng = np.random.default_rng(0)
    mask = discs([(20, 30, 8), (35, 90, 12)])
    moves = np.round(rng.normal(scale=2, size=(12, 2))).astype(int)
    radii = rng.choice([11, 12, 13], 12)
    views = [
        discs([(20 + dy, 30 + dx, 8), (35, 90, r)])
        for (dy, dx), r in zip(moves, radii, strict=True)
    ]
    table, frame = measure_views(mask, views)
    np.testing.assert_allclose(table["y_px_sd_views"], [moves[:, 0].std(ddof=1), 0], atol=1e-12)
    np.testing.assert_allclose(table["x_px_sd_views"], [moves[:, 1].std(ddof=1), 0], atol=1e-12)
    areas = [measure(discs([(35, 90, r)]))["area_px"][0] for r in radii]
    np.testing.assert_allclose(table["area_px_sd_views"], [0, np.std(areas, ddof=1)], atol=1e-12)
    assert table["fraction_of_views"].tolist() == [1, 1]
    total = [view.mean() for view in views]
    assert frame["area_fraction_sd_views"] == pytest.approx(np.std(total, ddof=1))
    assert frame["objects"] == 2
    assert frame["objects_sd_views"] == 0


def test_an_object_found_in_few_views():
    mask = discs([(20, 30, 8), (35, 90, 12)])
    one, both = discs([(20, 30, 8)]), mask
    table, frame = measure_views(mask, [one, one, both, one])
    assert table["fraction_of_views"].tolist() == [1, 0.25]
    assert table["area_px_sd_views"][0] == 0
    assert np.isnan(table["area_px_sd_views"][1])
    assert frame["objects_sd_views"] == pytest.approx(0.5)
    assert np.isnan(table["contrast_sd_views"]).all()  # there is no image


def test_contrast_scatters_with_the_mask():
    mask = discs([(30, 60, 10)])
    image = np.where(mask, 0.2, 0.6)
    table, _ = measure_views(mask, [discs([(30, 60, r)]) for r in (9, 11)], image)
    assert table["contrast_sd_views"][0] > 0.005


def test_objects_that_merge_in_a_view_scatter():
    apart, merged = discs([(30, 40, 9), (30, 60, 9)]), discs([(30, 40, 9), (30, 60, 9)])
    merged[28:33, 40:60] = True
    table, _ = measure_views(apart, [apart, merged])
    areas = measure(apart)["area_px"]
    whole = measure(merged)["area_px"][0]
    np.testing.assert_allclose(table["area_px_sd_views"], (whole - areas) / np.sqrt(2))


def test_directions_scatter_over_the_end_of_their_range():
    y, x = np.mgrid[:60, :60] - 30

    def bar(degrees):
        a = np.deg2rad(degrees)
        along, across = y * np.cos(a) + x * np.sin(a), x * np.cos(a) - y * np.sin(a)
        return (np.abs(along) < 22) & (np.abs(across) < 4)

    views = [bar(degrees) for degrees in (84, 88, 92, -84)]
    found = np.array([measure(view)["orientation_deg"][0] for view in views])
    assert found.min() < -80
    table, _ = measure_views(bar(90), views)
    assert table["orientation_deg_sd_views"][0] == pytest.approx(np.std(found % 180, ddof=1))


def test_objects_match_by_their_overlap():
    rng = np.random.default_rng(2)
    a, b = (label_objects(rng.random((40, 50)) < 0.35) for _ in range(2))
    (numbers, areas), (others, _) = a, b
    partner = best_overlap(numbers, others, len(areas))
    for i in range(len(areas)):
        shared = np.bincount(others[numbers == i + 1])[1:]
        if shared.any():
            assert shared[partner[i]] == shared.max()
            assert partner[i] == shared.argmax()
        else:
            assert partner[i] == -1


@pytest.mark.parametrize("mask", [discs([]), discs([(20, 30, 8)])], ids=["empty", "one"])
def test_no_views_are_no_errors(mask):
    table, frame = measure_views(mask, [])
    assert all(len(column) == len(table["area_px"]) for column in table.values())
    assert np.isnan(table["diameter_px_sd_views"]).all()
    assert np.isnan(table["fraction_of_views"]).all()
    assert np.isnan(frame["objects_sd_views"])


def test_empty_views():
    table, frame = measure_views(discs([(20, 30, 8)]), [discs([])] * 3)
    assert table["fraction_of_views"].tolist() == [0]
    assert frame["objects_sd_views"] == 0
    assert np.isnan(frame["diameter_px_mean_sd_views"])


def test_views_of_another_frame_are_refused():
    with pytest.raises(SpinscopeError, match="must be as the mask"):
        measure_views(np.zeros((4, 4), dtype=bool), [np.zeros((5, 4), dtype=bool)])


def test_objects_of_low_probability_make_their_number_uncertain():
    """Of 25 discs, four have a probability that hardly reaches the level."""
    y, x = np.mgrid[:150, :150]
    depth, shallow = np.full((150, 150), -np.inf), 0
    for number, (a, b) in enumerate((a, b) for a in range(15, 150, 30) for b in range(15, 150, 30)):
        peak = 0.8 if number % 6 == 1 else 6.0
        shallow += number % 6 == 1
        depth = np.maximum(depth, peak * (1 - np.hypot(y - a, x - b) / 8))
    assert shallow == 4
    mask = depth > 0
    for level_sd in (1.0, 0.3):
        table = measure(mask, rim=mask & (depth < level_sd))
        assert len(table["diameter_px"]) == 25
        assert detection_sd(table, level_sd) == pytest.approx(np.hypot(0.75 * 4, 0.25))
    sure = measure(mask, rim=mask & (depth < 0.1))
    assert detection_sd(sure) == pytest.approx(0.25)
