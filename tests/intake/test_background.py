"""Each step against its truth: light, stripes, hot pixels, mapping."""

from __future__ import annotations

import numpy as np
import pytest
from tests.intake.conftest import raw

from spinscope.errors import SpinscopeError
from spinscope.intake.background import (
    Repair,
    check_reference,
    divisor,
    hot_pixels,
    light_change,
    span_of_contrast,
    stripes,
    to_intensity,
)

SHAPE = (192, 256)
Y, X = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
LIGHT = 0.03 * X - 0.02 * Y**2 + 0.01 * X * Y
LIGHT -= LIGHT.mean()


@pytest.mark.parametrize(
    "domains",
    [np.where(X < 0.1, -1, 1), np.where(np.hypot(X, Y) < 0.6, -1, 1), np.zeros(SHAPE)],
    ids=["half", "bubble", "none"],
)
def test_light_is_found_and_domains_are_not(domains):
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE)
    ratio = (1 + LIGHT) * (1 + 0.02 * domains) + noise
    found = light_change(ratio.astype(np.float32))
    assert np.sqrt(np.mean((found - LIGHT) ** 2)) < 0.1 * LIGHT.std()
    assert abs(found.mean()) < 1e-6


def test_light_of_order_zero_stays():
    assert not light_change(1 + LIGHT, 0).any()


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_stripes_are_found_and_domains_are_not(axis):
    rng = np.random.default_rng(1)
    domains = 0.05 * np.where(np.hypot(X, Y) < 0.6, -1, 1)
    offsets = rng.normal(0, 0.02, (SHAPE[0], 1) if axis == "rows" else (1, SHAPE[1]))
    frame = domains + offsets + rng.normal(0, 0.02, SHAPE)
    found = stripes(frame, axis)
    assert found.shape == offsets.shape
    assert (offsets - found).std() < 0.3 * offsets.std()
    assert np.abs(stripes(domains, axis)).max() < 1e-6
    assert np.abs(stripes(np.where((X if axis == "columns" else Y) < 0.2, 0, 1.0), axis)).max() == 0


def test_stripes_need_more_rows_than_their_window():
    with pytest.raises(SpinscopeError, match="20 rows are too few"):
        stripes(np.zeros((20, 64)), "rows")


def test_hot_dead_and_blinking_pixels_are_found_and_replaced():
    rng = np.random.default_rng(2)
    scene = raw(1, (96, 128), hot=0, noise=0).frames[0].astype(float)
    frames = scene + rng.normal(0, 40, (16, 96, 128))
    bad = np.zeros((96, 128), dtype=bool)
    bad[[5, 40, 41], [7, 60, 60]] = True  # two of them side by side
    frames[:, bad] += 2500
    frames[:, 70, 20] -= 4000
    frames[:, 80, 90] += rng.choice([0, 600], 16)
    bad[70, 20] = bad[80, 90] = True
    found = hot_pixels(frames)
    assert np.array_equal(found & bad, bad)
    assert np.count_nonzero(found & ~bad) <= 2
    mended = Repair(found)(frames[0])
    assert np.abs(mended - scene)[bad].max() < 600
    assert np.array_equal(mended[~found], frames[0].astype(np.float32)[~found])


def test_dust_is_not_hot():
    series = raw(8, (128, 160), hot=0, noise=0.005, drift=0, light=0)
    assert hot_pixels(series.frames.astype(float)).sum() <= 3


def test_a_pixel_amid_hot_ones_gets_the_median_of_them():
    mask = np.ones((3, 3), dtype=bool)
    frame = np.arange(9.0).reshape(3, 3)
    assert np.all(np.isfinite(Repair(mask)(frame)))


def test_a_reference_of_another_size_or_exposure_is_refused():
    frame = np.full((32, 40), 1000.0)
    check_reference(frame * 1.1, frame)
    with pytest.raises(SpinscopeError, match=r"flat\.tif is 40x30 pixels, the recording 40x32"):
        check_reference(frame[:30], frame, name="flat.tif")
    with pytest.raises(SpinscopeError, match="mean intensity of 2000, the recording 1000"):
        check_reference(2 * frame, frame)


def test_dark_pixels_of_the_reference_give_no_huge_contrast():
    reference = np.full((8, 8), 1000.0)
    reference[0, 0] = 0
    assert divisor(reference, "divide").min() == pytest.approx(20)
    assert divisor(reference, "subtract") == pytest.approx(reference.mean())


def test_no_change_is_mid_grey():
    levels, clipped = to_intensity(np.array([[-0.1, 0.0, 0.05, 0.1]]), 0.1)
    assert levels.tolist() == [[0, 32768, 49151, 65535]]
    assert clipped == 0
    assert to_intensity(np.array([[0.2, 0.0]]), 0.1)[1] == 0.5


def test_the_span_is_a_round_number_beyond_the_contrast():
    frames = np.random.default_rng(3).normal(0, 0.01, (2, 64, 64))
    assert span_of_contrast(frames) == 0.05
    assert span_of_contrast(np.zeros((1, 8, 8))) == 0.1
