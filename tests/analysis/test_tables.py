"""Tables as files: one dialect of CSV, rounded numbers, version and date."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import spinscope
from spinscope.analysis.tables import arrow_table, rounded, write_csv, write_parquet


def test_csv_has_one_dialect(tmp_path):
    columns = {
        "name": ["0007", 'a "b", c'],
        "touches_border": np.array([True, False]),
        "diameter_nm": np.array([3362.9999999999995, np.nan]),
        "object": np.array([1, 2]),
    }
    write_csv(tmp_path / "a.csv", columns)
    assert (tmp_path / "a.csv").read_text() == (
        '"name","touches_border","diameter_nm","object"\n'
        '"0007",true,3363,1\n'
        '"a ""b"", c",false,,2\n'
    )
    table = pd.read_csv(tmp_path / "a.csv", dtype={"name": str})
    assert table["touches_border"].dtype == bool
    assert table["name"].tolist() == columns["name"]


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_numbers_have_ten_digits(scale):
    values = np.random.default_rng(0).normal(0, scale, 500)
    values[0] = 0
    text = [float(f"{value:.10g}") for value in values]
    assert rounded(values).tolist() == text
    assert rounded(values.tolist()) == text
    assert rounded({"a": [1.0000000000000002, "x", 7, True, None]}) == {
        "a": [1.0, "x", 7, True, None]
    }


def test_parquet_names_its_maker_and_date(tmp_path):
    write_parquet(tmp_path / "a.parquet", pd.DataFrame({"x_px": [1.5, np.nan]}))
    maker = json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"spinscope"])
    assert maker["spinscope_version"] == spinscope.__version__
    assert pd.Timestamp(maker["created_utc"]) <= pd.Timestamp.now("UTC")
    assert pd.read_parquet(tmp_path / "a.parquet")["x_px"].isna().tolist() == [False, True]


def test_an_empty_table_keeps_its_types():
    columns = {"name": np.full(0, "x"), "x_px": np.zeros(0), "interior": np.zeros(0, dtype=bool)}
    assert [str(kind) for kind in arrow_table(columns).schema.types] == ["string", "double", "bool"]
