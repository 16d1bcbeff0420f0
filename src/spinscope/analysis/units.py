"""Lengths and areas of a table in nanometres and micrometres beside pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from spinscope.errors import SpinscopeError

Table = TypeVar("Table", bound=Mapping)

_PIXELS = re.compile(r"(?P<what>\w+)_px(?P<square>2?)(?P<of>_sd|_se|_mean)?")


def with_units(table: Table, pixel_size: float | None) -> Table:
    """The table with a column in nm and one in um after each in pixels.

    table : dict of arrays or DataFrame. A column `<quantity>_px` gives `<quantity>_nm` and
    `<quantity>_um`; a quantity named area, or in `_px2`, is squared: `area_px` gives `area_nm2`
    and `area_um2`. What follows the unit stays: `diameter_px_sd` gives `diameter_nm_sd`.
    pixel_size : metres; None is unknown, and the columns hold NaN.
    Returns a new table of the same kind. Raises SpinscopeError for a pixel size not above zero.

    >>> with_units({"area_px": np.array([4.0])}, 1e-7)["area_um2"].round(6).tolist()
    [0.04]
    """
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise SpinscopeError(f"pixel_size (={pixel_size}) must be above 0 m, or None")
    size = np.nan if pixel_size is None else pixel_size
    columns = {}
    for name in table:
        columns[name] = table[name]
        found = _PIXELS.fullmatch(name)
        if found is None:
            continue
        power = 2 if found["square"] or found["what"].endswith("area") else 1
        for unit, metres in (("nm", 1e-9), ("um", 1e-6)):
            of = f"{unit}{2 if power == 2 else ''}{found['of'] or ''}"
            columns[f"{found['what']}_{of}"] = table[name] * (size / metres) ** power
    return columns if isinstance(table, dict) else type(table)(columns)
