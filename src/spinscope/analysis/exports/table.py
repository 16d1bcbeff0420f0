"""Objects as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.shapes import measure
from spinscope.analysis.tables import arrow_table, csv_writer
from spinscope.analysis.units import with_units


def write_table(target: Path, frames: Frames) -> None:
    """Write CSV with one row per object: frame, time, class, number and quantities of `measure`.

    Lengths and areas are in px, nm and µm. Columns that need an unknown pixel size or interval
    are empty. Masks that were reviewed have the name of the reviewer.
    """
    writer, interval = None, frames.interval
    try:
        for index, image, mask in frames:
            for class_, name in frames.object_classes:
                quantities = measure(mask == class_, image, min_px=frames.min_px)
                who = {"reviewer": frames.reviewers(index)} if frames.reviewers else {}
                rows = len(quantities["area_px"])
                table = arrow_table(
                    {
                        "frame": np.full(rows, index),
                        "name": np.full(rows, frames.names(index)),
                        "time_s": np.full(rows, index * interval if interval else np.nan),
                        **{key: np.full(rows, value) for key, value in who.items()},
                        "class": np.full(rows, name),
                        "object": np.arange(1, rows + 1),
                        **with_units(quantities, frames.pixel_size),
                    }
                )
                writer = writer or csv_writer(target, table.schema)
                writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
