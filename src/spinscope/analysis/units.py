"""Lengths and areas of a table in nanometres and micrometres beside pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from spinscope.errors import SpinscopeError

Table = TypeVar("Table", bound=Mapping)

_PIXELS = re.compile(
    r"(?!(?:[yx][01])_px)(?P<quantity>\w+)_px(?P<square>2?)"
    r"(?P<suffix>(?:_mean)?(?:_se|_sd_(?:views|objects|frames|boundary))?)"
)


def with_units(table: Table, pixel_size: float | None) -> Table:
    """Add a column in nm and one in µm after each column in px.

    A column `<quantity>_px` gives `<quantity>_nm` and `<quantity>_um`; areas, and columns in
    `_px2`, are squared: `area_px` gives `area_nm2` and `area_um2`. Suffixes are kept:
    `diameter_px_sd_views` gives `diameter_nm_sd_views`. The pixel indices of a bounding box
    (`y0_px`, `x0_px`, `y1_px`, `x1_px`) are not lengths and get none.

    Parameters
    ----------
    table : dict or DataFrame
        Columns, or single values.
    pixel_size : float or None
        Pixel size in m; the new columns hold NaN where it is unknown.

    Returns
    -------
    dict or DataFrame
        New table of the same kind.

    Raises
    ------
    SpinscopeError
        For a pixel size not above zero.

    Examples
    --------
    >>> with_units({"area_px": np.array([4.0])}, 1e-7)["area_um2"].round(6).tolist()
    [0.04]
    """
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise SpinscopeError(f"pixel_size (={pixel_size}) must be above 0 m, or None")
    size = np.nan if pixel_size is None else pixel_size
    columns = {}
    for name in table:
        columns[name] = table[name]
        match = _PIXELS.fullmatch(name)
        if match is None:
            continue
        power = 2 if match["square"] or match["quantity"].endswith("area") else 1
        for unit, metres in (("nm", 1e-9), ("um", 1e-6)):
            suffix = f"{unit}{2 if power == 2 else ''}{match['suffix']}"
            columns[f"{match['quantity']}_{suffix}"] = table[name] * (size / metres) ** power
    return columns if isinstance(table, dict) else type(table)(columns)
