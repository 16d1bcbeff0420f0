"""Tables as files: one dialect of CSV, and Parquet that names its maker.

CSV is UTF-8 with commas and decimal points: text in double quotes, `true` and `false`, an empty
cell where a value is unknown. Numbers are rounded to ten significant digits, in both formats.
Parquet files have the version of spinscope and the date in their metadata, key `spinscope`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.files import provenance

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

DIGITS = 10
"""Significant digits of the numbers in tables."""

_POWERS = np.array([float(f"1e{k}") for k in range(23)])  # those that are exact


def rounded(values: Any) -> Any:
    """Round floating-point numbers to `DIGITS` significant digits.

    Parameters
    ----------
    values : array, float, mapping or sequence
        Numbers, also nested; anything else is returned as it is.

    Returns
    -------
    same kind as `values`

    Examples
    --------
    >>> rounded({"diameter_nm": 3362.9999999999995, "objects": 3})
    {'diameter_nm': 3363.0, 'objects': 3}
    """
    if isinstance(values, np.ndarray):
        return _rounded_array(values) if values.dtype.kind == "f" else values
    if isinstance(values, Mapping):
        return {key: rounded(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [rounded(value) for value in values]
    return float(f"{values:.{DIGITS}g}") if isinstance(values, float) else values


def _rounded_array(values: np.ndarray) -> np.ndarray:
    """Array of floats, rounded."""
    values = values.astype(np.float64)
    known = np.isfinite(values) & (values != 0)
    power = np.zeros(values.shape, dtype=np.int64)
    power[known] = DIGITS - 1 - np.floor(np.log10(np.abs(values[known]))).astype(np.int64)
    up, down = known & (power >= 0) & (power <= 22), known & (power < 0) & (power >= -22)
    scale = _POWERS[power[up]]
    values[up] = np.round(values[up] * scale) / scale
    scale = _POWERS[-power[down]]
    values[down] = np.round(values[down] / scale) * scale
    rest = known & ~up & ~down
    values[rest] = [float(f"{value:.{DIGITS}g}") for value in values[rest]]
    return values


def arrow_table(columns: Mapping[str, Any]) -> pa.Table:
    """Table of columns, rounded; unknown numbers are null.

    Parameters
    ----------
    columns : mapping
        Name → array or list; a DataFrame will do.
    """
    import pyarrow as pa

    arrays = {
        name: pa.array(rounded(np.asarray(columns[name])), from_pandas=True)
        if not isinstance(columns[name], list)
        else pa.array(columns[name])
        for name in columns
    }
    maker = json.dumps(provenance())
    return pa.table(arrays).replace_schema_metadata({"spinscope": maker})


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(arrow_table(columns), path)


def csv_writer(path: Path, schema: pa.Schema) -> csv.CSVWriter:
    """Open a CSV file to which tables of one schema are written."""
    from pyarrow import csv

    return csv.CSVWriter(path, schema)


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as a CSV file."""
    table = arrow_table(columns)
    with csv_writer(path, table.schema) as writer:
        writer.write_table(table)
