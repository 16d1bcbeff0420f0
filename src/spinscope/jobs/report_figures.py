"""Figures of a report: loops, wall velocities, stripes, events, swept quantities, phase diagrams.

Colours can be told apart with every kind of colour vision, and lines and markers differ too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Palette of Okabe and Ito."""

_MARKERS = "osD^vP*"
_PANEL_INCHES = (3.4, 2.6)
_COLUMNS = 3
_STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "spinscope",
    "pdf.fonttype": 42,
}
_UNITS = {
    "mt": "mT", "ma": "mA", "k": "K", "s": "s", "ns": "ns", "nm": "nm", "um": "µm", "px": "px",
    "deg": "deg", "frames": "frames", "nm2": "nm²", "um2": "µm²", "px2": "px²",
}  # fmt: skip
_UNIT = re.compile(
    r"_(?P<unit>(?:(?:n|u|p)?[mx]2?|mt|ma|k|s|ns|deg|frames|px2?)"
    r"(?:_per_(?:s|frame|um2|nm2|px2|mm2))?|per_(?:um2|nm2|px2|mm2|s|frame))$"
)

_SUFFIXES = (
    "mean_sd_boundary", "mean_sd", "sd_statistical", "sd_boundary", "sd", "mean", "q05", "q50",
    "q95", "step",
)  # fmt: skip

APPLIED = ("field_mt", "in_plane_field_mt", "temperature_k", "current_ma", "pulse_mt", "pulse_ns",
           "time_s", "frame")  # fmt: skip
"""Columns that may be an abscissa, the first that varies is chosen."""


def label_of(column: str) -> str:
    """Words and unit of a column: ``velocity_um_per_s_sd`` is "velocity sd (µm/s)".

    Parameters
    ----------
    column : str
        Name of a column.
    """
    spread = next((end for end in _SUFFIXES if column.endswith(f"_{end}")), "")
    column = column.removesuffix(f"_{spread}")
    found = _UNIT.search(column)
    words = column[: found.start() if found else None].replace("_", " ")
    if spread:
        words = f"{words} {spread.replace('_', ' ')}"
    if not found:
        return words
    unit = found["unit"]
    over, _, per = unit.removeprefix("per_").partition("_per_")
    if unit.startswith("per_"):
        text = f"1/{_UNITS.get(over, over)}"
    else:
        text = _UNITS.get(over, over) + (f"/{_UNITS.get(per, per)}" if per else "")
    return f"{words} ({text})"


def unit_of(unit: object) -> str:
    """Unit as text; empty for a number without unit, which tables call 1 or leave empty."""
    text = "" if unit is None or unit != unit else str(unit)
    return "" if text in ("1", "1.0") else text


def panels(draw: Sequence[Callable[[Axes], None]]) -> Figure:
    """Figure of one panel per function.

    Parameters
    ----------
    draw : sequence of callable
        Each draws to its axes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(len(draw), _COLUMNS)
    rows = -(-len(draw) // columns)
    width, height = _PANEL_INCHES
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        for k, one in enumerate(draw):
            one(figure.add_subplot(rows, columns, k + 1))
    return figure


def rendered(figure: Figure, kind: str) -> bytes:
    """Figure as the bytes of an SVG or PDF file, the same for the same figure.

    Parameters
    ----------
    figure : Figure
        The figure.
    kind : {"svg", "pdf"}
        Kind of file.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    without = {"Date": None} if kind == "svg" else {"CreationDate": None}
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format=kind, metadata=without)
    return buffer.getvalue()


def swept(table: pd.DataFrame, names: Sequence[str] = APPLIED) -> str | None:
    """First column of `names` that takes several values; None without one."""
    known = [name for name in names if name in table and table[name].notna().any()]
    return next((name for name in known if varies(table, name)), None)


def varies(table: pd.DataFrame, name: str) -> bool:
    """Whether a column of numbers has two different values."""
    return bool(table[name].max() > table[name].min())


def curve(axis: Axes, table: pd.DataFrame, x: str, y: str, *, by: str | None = None) -> None:
    """Draw a quantity with its error bars against another one.

    The bars combine ``Y_sd`` or ``Y_sd_statistical`` with ``Y_sd_boundary``.

    Parameters
    ----------
    axis : Axes
        Axes to draw to.
    table : DataFrame
        One row per point.
    x, y : str
        Columns.
    by : str, optional
        Column whose values are drawn as curves of their own.
    """
    groups = [(None, table)] if by is None else list(table.groupby(by, sort=True))
    for k, (name, part) in enumerate(groups):
        points(axis, part[x], part, y, k, label=None if name is None else str(name))
    axis.set(xlabel=label_of(x), ylabel=label_of(y))
    if by is not None:
        axis.legend(frameon=False, title=label_of(by))


def points(
    axis: Axes,
    x: pd.Series,
    table: pd.DataFrame,
    y: str,
    number: int = 0,
    *,
    label: str | None = None,
) -> None:
    """Draw the points of a curve with their error bars.

    Parameters
    ----------
    axis : Axes
        Axes to draw to.
    x : Series
        Abscissa of each row.
    table : DataFrame
        Table with the column `y` and its standard deviations.
    y : str
        Column.
    number : int, default 0
        Number of the curve, which decides colour and marker.
    label : str, optional
        Text of the legend.
    """
    axis.errorbar(
        x, table[y], error_of(table, y), fmt=_MARKERS[number % len(_MARKERS)], capsize=2,
        color=COLOURS[number % len(COLOURS)], label=label,
    )  # fmt: skip


def error_of(table: pd.DataFrame, name: str) -> np.ndarray | None:
    """Standard deviation of a column, statistical and of the boundary; None if unknown."""
    before = "" if name == "mean" else f"{name}_"
    parts = [
        table[f"{before}{end}"].to_numpy(float)
        for end in ("sd", "sd_statistical", "sd_boundary")
        if f"{before}{end}" in table
    ]
    if not parts:
        return None
    return np.sqrt(sum(np.nan_to_num(part) ** 2 for part in parts))


def diagram(axis: Axes, table: pd.DataFrame, x: str, y: str, value: str) -> None:
    """Draw a quantity over two swept ones, as a map where they form a grid, else as points.

    Parameters
    ----------
    axis : Axes
        Axes to draw to.
    table : DataFrame
        One row per pair.
    x, y, value : str
        Columns.
    """
    grid = table.pivot_table(index=y, columns=x, values=value, dropna=False)
    if grid.size <= 4 * len(table) and min(grid.shape) > 1:
        image = axis.pcolormesh(
            grid.columns.to_numpy(float), grid.index.to_numpy(float), grid.to_numpy(float),
            cmap="cividis", shading="nearest", rasterized=grid.size > 4096,
        )  # fmt: skip
    else:
        image = axis.scatter(table[x], table[y], c=table[value], cmap="cividis")
    axis.figure.colorbar(image, ax=axis, label=label_of(value))
    axis.set(xlabel=label_of(x), ylabel=label_of(y))
