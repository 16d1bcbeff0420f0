"""Columns in nm and um."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spinscope.analysis import measure, with_units
from spinscope.errors import SpinscopeError


def test_all_lengths_and_areas_are_converted():
    table = {
        "area_px": np.array([9]),
        "diameter_px_sd_views": np.array([0.5]),
        "area_px_sd_views": np.array([2.0]),
        "msd_px2": np.array([3.0]),
        "y0_px": np.array([1]),
    }
    columns = with_units(table, 80e-9)
    assert columns["area_nm2"] == pytest.approx(9 * 6400)
    assert columns["area_um2"] == pytest.approx(9 * 0.0064)
    assert columns["area_nm2_sd_views"] == pytest.approx(2 * 6400)
    assert columns["diameter_nm_sd_views"] == pytest.approx(40)
    assert columns["msd_um2"] == pytest.approx(3 * 0.0064)
    assert not [name for name in columns if name.startswith(("y0_nm", "y0_um"))]
    assert list(table) == [
        "area_px",
        "diameter_px_sd_views",
        "area_px_sd_views",
        "msd_px2",
        "y0_px",
    ]


def test_an_unknown_pixel_size_leaves_the_columns_without_a_value():
    measured = measure(np.eye(3, dtype=bool))
    unknown, known = with_units(measured, None), with_units(measured, 1e-7)
    assert list(unknown) == list(known)
    assert np.isnan(unknown["major_nm"]).all()
    assert np.isnan(unknown["area_um2"]).all()
    assert unknown["major_px"] == known["major_px"]


def test_a_frame_stays_a_frame():
    frame = with_units(pd.DataFrame({"x_px": [1.0, 2.0]}, index=[4, 7]), 1e-6)
    assert frame["x_um"].tolist() == [1.0, 2.0]
    assert frame.index.tolist() == [4, 7]


@pytest.mark.parametrize("size", [0, -1e-9, float("nan"), float("inf")])
def test_a_pixel_has_a_size(size):
    with pytest.raises(SpinscopeError, match="pixel_size"):
        with_units({}, size)
