"""Objects as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import GROUND, Frame, checked, number, written
from spinscope.analysis.shapes import measure
from spinscope.analysis.units import with_units


def write_table(
    target: Path | str,
    frames: Iterable[Frame],
    *,
    classes: Sequence[str],
    pixel_size: float | None = None,
    interval: float | None = None,
    names: Callable[[int], str] = number,
    min_px: int = 1,
) -> int:
    """Write CSV: a row an object, its frame, time, class and number, and all that `measure` tells.

    Every length and area stands in px, nm and µm (`_px`, `_nm`, `_um`, `_px`/`_nm2`/`_um2` for
    areas); without a pixel size, or for `time_s` without an interval, the columns hold nan.
    """
    import pyarrow as pa
    from pyarrow import csv

    count, writer = 0, None
    with written(target) as partial:
        try:
            for index, image, mask in checked(frames, classes):
                for class_, name in enumerate(classes):
                    if name in GROUND:
                        continue
                    quantities = measure(mask == class_, image, min_px=min_px)
                    rows = len(quantities["area_px"])
                    columns = {
                        "frame": np.full(rows, index),
                        "name": pa.array([names(index)] * rows, pa.string()),
                        "time_s": np.full(rows, index * interval if interval else np.nan),
                        "class": pa.array([name] * rows, pa.string()),
                        "object": np.arange(1, rows + 1),
                        **with_units(quantities, pixel_size),
                    }
                    part = pa.table(columns)
                    writer = writer or csv.CSVWriter(partial, part.schema)
                    writer.write_table(part)
                count += 1
        finally:
            if writer is not None:
                writer.close()
    return count
