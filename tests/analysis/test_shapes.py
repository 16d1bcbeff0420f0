"""Shapes of objects, compared with scikit-image, drawn shapes and frames in bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import label, regionprops

from spinscope.analysis import label_objects, measure, measure_numbered
from spinscope.analysis.objects import object_runs
from spinscope.errors import SpinscopeError


def blobs(seed: int, shape=(90, 110), level: float = 0.0, blur: float = 2.0) -> np.ndarray:
    """Smooth random regions, with holes and long arms."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, blur) > level


def assert_as_skimage(mask: np.ndarray, image: np.ndarray) -> None:
    table, numbers = measure_numbered(mask, image)
    np.testing.assert_array_equal(numbers, label(mask, connectivity=2))
    regions = regionprops(numbers, intensity_image=image)
    assert all(len(column) == len(regions) for column in table.values())
    for i, region in enumerate(regions):
        row = {name: column[i] for name, column in table.items()}
        assert row["area_px"] == region.area
        assert row["holes"] == 1 - region.euler_number
        assert tuple(row[name] for name in ("y0_px", "x0_px", "y1_px", "x1_px")) == region.bbox
        np.testing.assert_allclose(
            [row["y_px"], row["x_px"], row["diameter_px"], row["intensity"]],
            [*region.centroid, region.equivalent_diameter_area, region.intensity_mean],
            rtol=1e-12,
            atol=1e-12,
        )
        major, minor = region.axis_major_length, region.axis_minor_length
        np.testing.assert_allclose([row["major_px"], row["minor_px"]], [major, minor], atol=1e-5)
        np.testing.assert_allclose(1 - row["convex_deficit"], region.solidity, rtol=1e-12)
        np.testing.assert_allclose(row["eccentricity"], region.eccentricity, atol=1e-5)
        if major > minor + 1e-6:
            turn = row["orientation_deg"] - np.degrees(region.orientation)
            assert abs((turn + 90) % 180 - 90) < 1e-4


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))), st.integers(0, 9))
def test_random_masks_are_measured_as_by_scikit_image(mask, seed):
    assert_as_skimage(mask, np.random.default_rng(seed).random(mask.shape))


@pytest.mark.parametrize("level", [-0.02, 0.0, 0.03, 0.08])
def test_blobs_with_holes_and_arms(level):
    for seed in range(4):
        mask = blobs(seed, level=level)
        image = np.random.default_rng(seed).integers(0, 65535, mask.shape).astype(np.uint16)
        assert_as_skimage(mask, image)


@pytest.mark.parametrize(
    "where",
    [
        np.s_[3, 4],
        np.s_[2, :],
        np.s_[:, 5],
        np.s_[:, :],
        np.s_[::2, ::2],
        np.s_[0, 0],
        np.s_[1:5, 1:9],
    ],
)
def test_points_lines_and_the_full_frame(where):
    mask = np.zeros((8, 12), dtype=bool)
    mask[where] = True
    assert_as_skimage(mask, np.arange(96.0).reshape(8, 12))


def test_long_concave_borders():
    y, x = np.mgrid[:120, :120]
    spiral = np.cos(np.arctan2(y - 60, x - 60) + np.hypot(y - 60, x - 60) / 4) > 0.3
    bowl = (y > 0.01 * (x - 50) ** 2) & (y < 0.01 * (x - 50) ** 2 + 3)
    for mask in (spiral, bowl, bowl.T, np.tri(120, dtype=bool), np.eye(120, dtype=bool)):
        assert_as_skimage(mask, np.ones(mask.shape))


def test_an_empty_mask_has_the_columns_and_no_row():
    full = measure(np.ones((3, 3), dtype=bool), np.ones((3, 3)))
    for image in (None, np.zeros((5, 7))):
        empty = measure(np.zeros((5, 7), dtype=bool), image)
        assert list(empty) == list(full)
        assert {name: column.dtype for name, column in empty.items()} == {
            name: column.dtype for name, column in full.items()
        }
        assert all(len(column) == 0 for column in empty.values())


def test_a_drawn_ellipse_is_recovered():
    y, x = np.mgrid[:200, :200]
    angle = np.deg2rad(25)
    along = (y - 90.3) * np.cos(angle) + (x - 105.6) * np.sin(angle)
    across = (x - 105.6) * np.cos(angle) - (y - 90.3) * np.sin(angle)
    table = measure((along / 50) ** 2 + (across / 20) ** 2 < 1)
    assert table["y_px"][0] == pytest.approx(90.3, abs=0.05)
    assert table["x_px"][0] == pytest.approx(105.6, abs=0.05)
    assert table["major_px"][0] == pytest.approx(100, rel=0.005)
    assert table["minor_px"][0] == pytest.approx(40, rel=0.005)
    assert table["orientation_deg"][0] == pytest.approx(25, abs=0.3)
    assert table["diameter_px"][0] == pytest.approx(2 * np.sqrt(1000), rel=0.005)
    assert table["convex_deficit"][0] < 0.03
    assert not table["touches_border"][0]


def test_contrast_is_that_of_a_disc_on_a_slope_beside_others():
    y, x = np.mgrid[:80, :120]
    image = 0.3 + 0.002 * y - 0.001 * x
    mask = np.zeros(image.shape, dtype=bool)
    for cy, cx, r, depth in ((30, 30, 8, -0.1), (30, 50, 8, 0.2), (60, 90, 12, -0.15)):
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= r**2
        image[disc] += depth
        mask |= disc
    np.testing.assert_allclose(measure(mask, image)["contrast"], [-0.1, 0.2, -0.15], atol=0.004)


def test_no_background_is_no_contrast():
    table = measure(np.ones((6, 6), dtype=bool), np.ones((6, 6)))
    assert table["intensity"][0] == 1
    assert np.isnan(table["contrast"][0])
    assert np.isnan(measure(np.eye(6, dtype=bool))["intensity"][0])


def test_nan_pixels_affect_only_their_object():
    mask = np.zeros((30, 60), dtype=bool)
    mask[10:20, 10:20] = mask[10:20, 40:50] = True
    image = np.where(mask, 0.25, 0.5).astype(np.float32)
    image[15, 15] = image[2, 45] = image[12, 36] = np.nan
    table = measure(mask, image)
    assert np.isnan(table["contrast"][0])
    assert table["contrast"][1] == pytest.approx(-0.25)


def test_small_objects_are_left_out():
    mask = np.zeros((8, 20), dtype=bool)
    mask[1, 1] = mask[1:4, 5:8] = mask[6, 12] = mask[2:6, 15:19] = True
    table, numbers = measure_numbered(mask, min_px=4)
    assert table["area_px"].tolist() == [9, 16]
    np.testing.assert_array_equal(numbers, label_objects(mask, min_px=4)[0])


@pytest.mark.parametrize("seed", range(3))
def test_shapes_do_not_depend_on_the_bands(seed, monkeypatch):
    mask = blobs(seed, shape=(150, 60), level=0.01)
    image = np.random.default_rng(seed).random(mask.shape)
    whole, numbers = measure_numbered(mask, image, min_px=3)
    assert len(whole["y_px"]) > 10
    for rows in (1, 7, 40):
        for module in ("objects", "shapes"):
            monkeypatch.setattr(f"spinscope.analysis.{module}.BAND_PX", rows * 61)
        banded, painted = measure_numbered(mask, image, min_px=3)
        np.testing.assert_array_equal(painted, numbers)
        np.testing.assert_array_equal(label_objects(mask, 3)[0], numbers)
        for name in whole:
            np.testing.assert_allclose(banded[name], whole[name], rtol=1e-10, err_msg=name)


def test_memory_is_bounded_by_a_band(monkeypatch):
    monkeypatch.setattr("spinscope.analysis.objects.BAND_PX", 10_000)
    mask = np.zeros((1000, 99), dtype=bool)
    mask[::4, ::3] = True
    batches = list(object_runs(mask))
    assert len(batches) == 10
    assert sum(map(len, batches)) == 250 * 33


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: measure(np.zeros((4, 4), dtype=np.uint8)), "of type bool"),
        (lambda: measure(np.zeros(4, dtype=bool)), r"must be \(H, W\)"),
        (lambda: measure(np.zeros((4, 4), dtype=bool), np.zeros((4, 5))), "must be as the mask"),
        (lambda: measure(np.zeros((4, 4), dtype=bool), min_px=0), "at least 1"),
    ],
)
def test_bad_input_is_named(call, rule):
    with pytest.raises(SpinscopeError, match=rule):
        call()


@pytest.mark.moke
def test_real_labels_are_measured_as_by_scikit_image(moke):
    from spinscope.datasets import open_dataset

    frames = open_dataset(moke)
    for i in range(0, len(frames), 12):
        assert_as_skimage(frames.label(i) == 1, frames.image(i).astype(np.float64))
