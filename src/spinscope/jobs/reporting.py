"""Report of measured recordings: one page, vector figures, and the tables behind them."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spinscope import pages
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance
from spinscope.jobs import report_figures as drawn
from spinscope.jobs.numbers import FIGURES as NUMBERS
from spinscope.jobs.numbers import numbers_of
from spinscope.live.results import SUMMARY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from spinscope.config import Measure

PAGE = "report.html"
DRAWINGS = "figures"
"""Folder of the SVG and PDF files beside the page."""

_PANELS = 6
_FOLD = 12
_VELOCITY = re.compile(r"(?:.*velocity|left|right)")
_NOT_DRAWN = ("_sd", "_sd_statistical", "_sd_boundary")

Draw = Callable[["Axes"], None]


class Section(NamedTuple):
    """Part of a report."""

    title: str
    text: str
    draw: Callable[[pd.DataFrame], list[Draw]]


def report(source: Path, settings: Measure | None = None) -> Path:
    """Measure a recording and write its report.

    `report.html` is one file that needs no network: the figures with unit, standard deviations and
    number of frames, the drawings, the tables, and the lineage. `figures/NAME.svg` and `.pdf` are
    the drawings, `NAME.csv` the tables. Sections without data are left out.

    Parameters
    ----------
    source : Path
        Clean recording of `clean_recordings` or results folder of `segment`, which is measured by
        `numbers_of`; or a folder with `numbers.json`, which is reported as it is.
    settings : Measure, optional
        Section `measure` of the settings.

    Returns
    -------
    Path
        The page, in the folder of `numbers.json`.

    Raises
    ------
    SpinscopeError
        For a source that is none of these, a file of it that cannot be read, and a recording of
        which nothing can be measured.
    """
    source = Path(source)
    folder = source.with_name(f"{source.stem}.numbers") if source.is_file() else source
    if source.is_file() or (source / SUMMARY).exists():
        numbers_of(source, settings, out=folder)
    numbers = _numbers(folder)
    sections = []
    for name, section in SECTIONS.items():
        table = _table(folder / f"{name}.csv")
        if table is not None and not table.empty:
            sections.append(_section(folder, name, section, table))
    figures = figure_rows(numbers)
    lineage = numbers.get("lineage", {})
    if not sections and not figures:
        notes = "; ".join(numbers.get("notes", [])) or "every table is empty"
        raise SpinscopeError(f"{source} has nothing to report: {notes}")
    text = pages.render(
        "report.html",
        title=f"Report: {Path(str(lineage.get('source') or folder.resolve())).stem}",
        figures=figures,
        boundary=any(row[3] for row in figures),
        sections=sections,
        lineage=list(_flat({"frames": numbers.get("n_frames")} | lineage)),
        notes=numbers.get("notes", []),
        version=provenance()["spinscope_version"],
        number=_number,
        fold=_FOLD,
    )
    target = folder / PAGE
    with atomic_file(target) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return target


def figure_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of figures: quantity, value ± sd, unit, boundary sd, number of frames.

    Parameters
    ----------
    numbers : mapping
        Content of `numbers.json`.
    """
    rows = []
    for name, one in numbers.get("figures", {}).items():
        value, sd, boundary = (one.get(key) for key in ("value", "sd_statistical", "sd_boundary"))
        if not _known(value):
            continue
        region, _, quantity = name.rpartition(".")
        words = quantity.replace("_", " ") + (f", {region}" if region else "")
        frames = one.get("n_frames")
        rows.append(
            [
                words,
                with_error(value, sd),
                drawn.unit_of(one.get("unit")),
                with_error(boundary, None) if _known(boundary) else "",
                str(frames) if frames is not None else "",
            ]
        )
    return rows


def with_error(value: float, sd: float | None) -> str:
    """Value with its standard deviation, which is written with two digits: ``12.03 ± 0.15``.

    Parameters
    ----------
    value : float
        The value.
    sd : float, optional
        Its standard deviation; without one, the value has four digits.
    """
    if not _known(sd) or sd <= 0:
        return f"{value:.4g}"
    exponent = math.floor(math.log10(sd))
    largest = max(exponent, math.floor(math.log10(abs(value))) if value else exponent)
    if largest >= 5 or largest < -4:
        scale = 10.0**largest
        digits = max(0, 1 + largest - exponent)
        return f"({value / scale:.{digits}f} ± {sd / scale:.{digits}f})e{largest}"
    digits = max(0, 1 - exponent)
    return f"{value:.{digits}f} ± {sd:.{digits}f}"


def _known(value: float | None) -> bool:
    """Whether a number is given and finite."""
    return value is not None and math.isfinite(value)


def _numbers(folder: Path) -> dict[str, Any]:
    """Content of `numbers.json`."""
    path = folder / NUMBERS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpinscopeError(
            f"{folder} must be a clean recording (.tif), a results folder of segment, or a folder "
            f"with {NUMBERS}"
        ) from None
    except ValueError as error:
        raise SpinscopeError(f"{path} is not valid JSON: {error}") from None


def _table(path: Path) -> pd.DataFrame | None:
    """Table of a section; None where there is none."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        return None
    except pd.errors.EmptyDataError:
        return None
    except ValueError as error:
        raise SpinscopeError(f"{path} is not a readable table: {error}") from None


def _section(folder: Path, name: str, section: Section, table: pd.DataFrame) -> dict[str, Any]:
    """Values of a section for the page; its drawing is written as SVG and PDF."""
    value: dict[str, Any] = {
        "name": name,
        "title": section.title,
        "text": section.text,
        "image": None,
        "header": [drawn.label_of(column) for column in table],
        "rows": _rows(table),
    }
    if panels := section.draw(table):
        figure = drawn.panels(panels)
        for kind in ("svg", "pdf"):
            content = drawn.rendered(figure, kind)
            target = folder / DRAWINGS / f"{name}.{kind}"
            target.parent.mkdir(exist_ok=True)
            with atomic_file(target) as unfinished:
                unfinished.write_bytes(content)
            if kind == "svg":
                value["image"] = f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"
    return value


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    """Rows of a table with text and numbers."""
    return [
        [one if isinstance(one, str) else float(one) for one in row]
        for row in table.itertuples(index=False)
    ]


def _number(value: float) -> str:
    """Number of a table; empty where unknown."""
    return f"{value:.5g}" if math.isfinite(value) else ""


def _flat(values: Mapping[str, Any], before: str = "") -> Any:
    """Pairs of name and text of nested values."""
    for key, value in values.items():
        name = f"{before}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}, ")
        elif value is not None:
            yield [name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)]


def _quantities(table: pd.DataFrame) -> list[str]:
    """Columns to draw: those with an uncertainty, else all numbers that vary."""
    numeric = [
        name
        for name in table.select_dtypes("number")
        if not name.endswith(_NOT_DRAWN) and name not in drawn.APPLIED and name != "frames"
    ]
    sure = [name for name in numeric if drawn.error_of(table, name) is not None]
    return (sure or [name for name in numeric if drawn.varies(table, name)])[:_PANELS]


def _group(table: pd.DataFrame, x: str) -> str | None:
    """Column of words, or a second applied quantity, that parts a table into few curves."""
    words = [
        name for name in table.select_dtypes(exclude="number") if 1 < table[name].nunique() < 7
    ]
    second = [
        name
        for name in drawn.APPLIED
        if name in table and name not in (x, "time_s", "frame") and 1 < table[name].nunique() < 7
    ]
    return next(iter([*words, *second]), None)


def _draw_loop(table: pd.DataFrame) -> list[Draw]:
    """Loop of the frame and of each region, normalised, in the order of the frames."""
    if "field_mt" not in table or "m" not in table:
        return []

    def loops(axis: Axes) -> None:
        for k, (region, part) in enumerate(table.groupby("region", sort=False)):
            axis.plot(
                part["field_mt"], part["m"], "o-", color=drawn.COLOURS[k % len(drawn.COLOURS)],
                markersize=2.5, label=region,
            )  # fmt: skip
        axis.axhline(0, color="0.7", linewidth=0.6)
        axis.axvline(0, color="0.7", linewidth=0.6)
        axis.set(xlabel=drawn.label_of("field_mt"), ylabel="signal, normalised")
        if k:
            axis.legend(frameon=False)

    return [loops]


def _draw_ellipses(table: pd.DataFrame) -> list[Draw]:
    """Axes of the ellipse over the frames."""
    x = "time_s" if "time_s" in table and table["time_s"].notna().all() else "frame"

    def axes(axis: Axes) -> None:
        for k, name in enumerate(("major_px", "minor_px")):
            drawn.points(axis, table[x], table, name, k, label=f"{name[:5]} axis")
        axis.set(xlabel=drawn.label_of(x), ylabel="axis of the ellipse (px)", ylim=(0, None))
        axis.legend(frameon=False)

    return [axes]


def _draw_stripes(table: pd.DataFrame) -> list[Draw]:
    """Mean width with its errors, and the range of 90 % of the widths."""
    x = drawn.swept(table)
    names = [name for name in table if name.startswith("width_") and name.endswith("_mean")]
    if x is None or not names:
        return []
    name = names[0]
    low, high = (name.replace("_mean", f"_{end}") for end in ("q05", "q95"))

    def widths(axis: Axes) -> None:
        rows = table.sort_values(x)
        drawn.points(axis, rows[x], rows, name, label="mean")
        if low in table and high in table:
            axis.fill_between(
                rows[x], rows[low], rows[high], color=drawn.COLOURS[4], alpha=0.3, linewidth=0,
                label="90 % of the widths",
            )  # fmt: skip
        axis.set(xlabel=drawn.label_of(x), ylabel=drawn.label_of(name), ylim=(0, None))
        axis.legend(frameon=False)

    period = name.replace("width_", "period_").replace("_mean", "")
    if period not in table:
        return [widths]
    return [widths, partial(drawn.curve, table=table, x=x, y=period)]


def _draw_walls(table: pd.DataFrame) -> list[Draw]:
    """Velocities against the field, and against |H|^(-1/4) on a logarithmic axis."""
    names = [name for name in table if f"{name}_sd" in table and _VELOCITY.match(name)]
    x = drawn.swept(table)
    if not names or x is None:
        return []
    by = _group(table, x)

    def velocities(axis: Axes) -> None:
        if len(names) == 1 or by is not None:
            drawn.curve(axis, table, x, names[0], by=by)
            return
        for k, name in enumerate(names):
            drawn.points(axis, table[x], table, name, k, label=drawn.label_of(name))
        axis.set(xlabel=drawn.label_of(x), ylabel=drawn.label_of(names[0]))
        axis.legend(frameon=False)

    draw: list[Draw] = [velocities]
    moving = table[(table[x] != 0) & (table[names[0]] > 0)]

    def creep(axis: Axes) -> None:
        root = np.abs(moving[x]) ** -0.25
        drawn.points(axis, root, moving, names[0])
        if root.nunique() > 2:
            slope, level = np.polyfit(root, np.log(moving[names[0]]), 1)
            line = np.linspace(root.min(), root.max(), 50)
            axis.plot(line, np.exp(level + slope * line), color=drawn.COLOURS[1])
        axis.set_yscale("log")
        for side in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            side("{x:g}")
        axis.set(xlabel="|field|$^{-1/4}$ (mT$^{-1/4}$)", ylabel=drawn.label_of(names[0]))

    return [*draw, creep] if x == "field_mt" and len(moving) > 1 else draw


def _draw_against(table: pd.DataFrame) -> list[Draw]:
    """Each quantity against the one that was swept."""
    draw: list[Draw] = []
    for (swept, quantity), part in table.groupby(["swept", "quantity"], sort=False):
        if not drawn.varies(part, "value"):
            continue
        unit = part["unit"].iloc[0]

        def panel(
            axis: Axes, part: pd.DataFrame = part, x: str = swept, y: str = quantity,
            unit: Any = unit,
        ) -> None:  # fmt: skip
            for k, (name, branch) in enumerate(_branches(part)):
                drawn.points(axis, branch["value"], branch, "mean", k, label=name)
            if k:
                axis.legend(frameon=False)
            words = y.replace("_", " ")
            text = drawn.unit_of(unit)
            axis.set(xlabel=drawn.label_of(x), ylabel=f"{words} ({text})" if text else words)

        draw.append(panel)
    return draw


def _branches(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows of a rising and of a falling quantity apart, where there are both."""
    rising, falling = (table["direction"] == sign for sign in (1, -1))
    if not (rising.any() and falling.any()):
        return [("", table)]
    # The first value has no direction; it belongs to the branch that begins there.
    start = table["value"][table["direction"] == 0].to_numpy()
    begins_high = len(start) > 0 and start[0] > table["value"].mean()
    rows = {"rising": ~falling, "falling": falling}
    if begins_high:
        rows = {"rising": rising, "falling": ~rising}
    return [(name, table[chosen]) for name, chosen in rows.items()]


def _draw_events(table: pd.DataFrame) -> list[Draw]:
    """Number of events of each kind up to a frame, and their fields."""
    kind = "event"
    draw: list[Draw] = []
    colours = dict(zip(sorted(table[kind].unique()), drawn.COLOURS, strict=False))

    def counts(axis: Axes) -> None:
        for name, part in table.groupby(kind):
            frames = np.sort(part["frame"])
            axis.step(
                frames, np.arange(1, len(frames) + 1), where="post", label=name,
                color=colours.get(name),
            )  # fmt: skip
        axis.set(xlabel="frame", ylabel="events so far")
        axis.legend(frameon=False)

    if len(table) > 1:
        draw.append(counts)
    x = drawn.swept(table, [name for name in drawn.APPLIED if name not in ("time_s", "frame")])

    def fields(axis: Axes) -> None:
        names = list(colours)
        axis.hist(
            [table.loc[table[kind] == name, x] for name in names], bins=15, label=names,
            color=[colours[name] for name in names], histtype="stepfilled", alpha=0.7,
        )  # fmt: skip
        axis.set(xlabel=drawn.label_of(x), ylabel="events")
        axis.legend(frameon=False)

    if x is not None:
        draw.append(fields)
    return draw


def _draw_diagram(table: pd.DataFrame) -> list[Draw]:
    """Each quantity over two swept ones."""
    axes = [name for name in drawn.APPLIED if name in table and drawn.varies(table, name)][:2]
    if len(axes) < 2:
        return []
    return [
        partial(drawn.diagram, table=table, x=axes[0], y=axes[1], value=name)
        for name in _quantities(table)
    ]


SECTIONS = {
    "loop": Section(
        "Hysteresis loop",
        "Mean contrast of the frame and of each region against the applied field.",
        _draw_loop,
    ),
    "walls": Section(
        "Domain walls",
        "Velocity of the walls. In the creep regime its logarithm is linear in |H|^(-1/4).",
        _draw_walls,
    ),
    "ellipses": Section("Ellipses", "Ellipse of the bubble in each frame.", _draw_ellipses),
    "stripes": Section(
        "Stripe domains", "Width of the stripes across their walls, and period.", _draw_stripes
    ),
    "events": Section(
        "Nucleation and annihilation", "Domains that appear and vanish.", _draw_events
    ),
    "against": Section(
        "Objects against the applied quantity",
        "Number, size and order of the objects, averaged over the frames of each value.",
        _draw_against,
    ),
    "diagram": Section("Phase diagram", "Quantities over two that were swept.", _draw_diagram),
}
"""Name of a table → its section."""
