"""Report of measured recordings: one page, vector figures, and the tables behind them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spinscope import pages
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance
from spinscope.jobs import report_figures as drawn

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NUMBERS = "numbers.json"
PAGE = "report.html"
FIGURES = "figures"
"""Folder of the SVG and PDF files beside the page."""

_PANELS = 6
_FOLD = 12
_NOT_DRAWN = ("_sd", "_sd_boundary", "_se", "_n", "_low", "_high")

Draw = Callable[["Axes"], None]


class Section(NamedTuple):
    """Part of a report."""

    title: str
    text: str
    draw: Callable[[pd.DataFrame], list[Draw]]


def report(folder: Path) -> Path:
    """Write the report of a folder that `numbers` has measured.

    `report.html` is one file that needs no network: the figures with unit, standard deviation and
    number of frames, the drawings, the tables, and the lineage. `figures/NAME.svg` and `.pdf` are
    the drawings. The tables are those of the folder, `NAME.csv`. Sections without data are left
    out.

    Parameters
    ----------
    folder : Path
        Folder with `numbers.json` and the tables of `jobs.numbers`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SpinscopeError
        For a folder without `numbers.json`, or a file of it that cannot be read.
    """
    numbers = _numbers(folder)
    sections = []
    for name, section in SECTIONS.items():
        table = _table(folder / f"{name}.csv")
        if table is None or table.empty:
            continue
        sections.append(_section(folder, name, section, table))
    figures = figure_rows(numbers)
    if not sections and not figures:
        raise SpinscopeError(f"{folder} has nothing to report: every table is empty")
    text = pages.render(
        "report.html",
        title=f"Report: {numbers.get('recording') or folder.resolve().name}",
        figures=figures,
        boundary=any(row[3] for row in figures),
        sections=sections,
        lineage=list(_flat(numbers.get("lineage", {}))),
        warnings=[str(one) for one in numbers.get("warnings", [])],
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
        value, sd, boundary = (one.get(key) for key in ("value", "sd", "sd_boundary"))
        if value is None or not math.isfinite(value):
            continue
        words = drawn.label_of(name).partition(" (")[0]
        frames = one.get("n_frames")
        rows.append(
            [
                words,
                with_error(value, sd),
                one.get("unit") or "",
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
            f"{folder} has no {NUMBERS}; measure it first: spinscope numbers {folder}"
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
            target = folder / FIGURES / f"{name}.{kind}"
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


def _quantities(table: pd.DataFrame, without: tuple[str, ...] = ()) -> list[str]:
    """Columns to draw: those with an uncertainty, else all numbers that vary."""
    numeric = [
        name
        for name in table.select_dtypes("number")
        if not name.endswith(_NOT_DRAWN)
        and name not in without
        and name not in drawn.APPLIED
        and not name.startswith("n_")
    ]
    sure = [name for name in numeric if f"{name}_sd" in table and table[name].notna().any()]
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
    """Intensity of the frame and of each region against the field, in the order of frames."""
    x = drawn.swept(table) or "frame"
    names = [name for name in table.select_dtypes("number") if name.startswith(("intensity", "m_"))]
    names = [name for name in names if not name.endswith(_NOT_DRAWN)] or _quantities(table)
    if x not in table or not names:
        return []
    by = _group(table, x)

    def loops(axis: Axes) -> None:
        if by is not None and len(names) == 1:
            drawn.curve(axis, table, x, names[0], by=by, line="-")
            return
        for k, name in enumerate(names):
            axis.plot(
                table[x], table[name], "o-", color=drawn.COLOURS[k % len(drawn.COLOURS)],
                markersize=2.5, label=drawn.label_of(name),
            )  # fmt: skip
        axis.axhline(0, color="0.7", linewidth=0.6)
        axis.axvline(0, color="0.7", linewidth=0.6)
        axis.set(xlabel=drawn.label_of(x), ylabel=drawn.label_of(names[0]))
        if len(names) > 1:
            axis.legend(frameon=False)

    return [loops]


def _draw_walls(table: pd.DataFrame) -> list[Draw]:
    """Velocity against the field, and against H^(-1/4) on a logarithmic axis."""
    velocities = [name for name in table if "velocity" in name and not name.endswith(_NOT_DRAWN)]
    x = drawn.swept(table)
    if not velocities or x is None:
        return _draw_swept(table)
    by = _group(table, x)
    draw: list[Draw] = [
        partial(drawn.curve, table=table, x=x, y=name, by=by) for name in velocities[:3]
    ]
    if x == "field_mt":
        moving = table[(table[x] != 0) & (table[velocities[0]] > 0)]

        def creep(axis: Axes) -> None:
            name = velocities[0]
            root = np.abs(moving[x]) ** -0.25
            error = drawn.error_of(moving, name)
            axis.errorbar(root, moving[name], error, fmt="o", capsize=2, color=drawn.COLOURS[0])
            if root.nunique() > 2:
                slope, level = np.polyfit(root, np.log(moving[name]), 1)
                line = np.linspace(root.min(), root.max(), 50)
                axis.plot(line, np.exp(level + slope * line), color=drawn.COLOURS[1])
            axis.set_yscale("log")
            for side in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                side("{x:g}")
            axis.set(xlabel="|field|$^{-1/4}$ (mT$^{-1/4}$)", ylabel=drawn.label_of(name))

        if len(moving) > 1:
            draw.append(creep)
    return draw


def _draw_swept(table: pd.DataFrame) -> list[Draw]:
    """Each quantity against the one that was swept."""
    x = drawn.swept(table)
    if x is None:
        return []
    by = _group(table, x)
    return [
        partial(drawn.curve, table=table, x=x, y=name, by=by)
        for name in _quantities(table, (x, by or ""))
    ]


def _draw_events(table: pd.DataFrame) -> list[Draw]:
    """Number of events of each kind up to a frame, and their fields."""
    kind = next((name for name in ("event", "kind") if name in table), None)
    if kind is None:
        return _draw_swept(table)
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

    if "frame" in table:
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
    "stripes": Section("Stripe domains", "Width of the stripes.", _draw_swept),
    "events": Section(
        "Nucleation and annihilation", "Domains that appear and vanish.", _draw_events
    ),
    "against": Section(
        "Objects against the applied quantity",
        "Number, size and order of the objects, averaged over the frames of each value.",
        _draw_swept,
    ),
    "diagram": Section("Phase diagram", "Quantities over two that were swept.", _draw_diagram),
}
"""Name of a table → its section."""
