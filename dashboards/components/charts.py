"""Charts that several pages share: curves with bands, and distributions drawn in steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import altair as alt
import numpy as np
import pandas as pd

DISTRIBUTION = ["name", "value", "fraction"]


def histogram(values: Mapping[str, np.ndarray], edges: np.ndarray) -> pd.DataFrame:
    """Fraction of the values of each name in every bin; values beyond the edges are left out.

    Parameters
    ----------
    values : mapping of str to (n,) array
        Values of each name.
    edges : (bins + 1,) array
        Edges of the bins.

    Returns
    -------
    DataFrame
        Columns name, value (left edge of the bin) and fraction; the last row of a name is 0.
    """
    rows = []
    for name, numbers in values.items():
        fractions = np.histogram(numbers, edges)[0] / max(len(numbers), 1)
        rows += [(name, *corner) for corner in zip(edges, [*fractions, 0.0], strict=True)]
    return pd.DataFrame(rows, columns=DISTRIBUTION)


def cumulative(values: Mapping[str, np.ndarray], points: int = 400) -> pd.DataFrame:
    """Fraction of the values of each name that are at most as large as a value.

    With all corners, the area between two curves is the Wasserstein distance of their values.

    Parameters
    ----------
    values : mapping of str to (n,) array
        Values of each name.
    points : int, default 400
        Largest number of corners per name.

    Returns
    -------
    DataFrame
        Columns name, value and fraction, from 0 to 1.
    """
    rows = []
    for name, numbers in values.items():
        n, ordered = len(numbers), np.sort(numbers)
        for count in np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int)):
            if n:
                rows.append((name, ordered[max(count - 1, 0)], count / n))
    return pd.DataFrame(rows, columns=DISTRIBUTION)


def colour(colours: Mapping[str, str], field: str = "name") -> alt.Color:
    """Colour encoding of a column, without a legend."""
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def percent(title: str) -> alt.Y:
    """Vertical axis of fractions, in percent."""
    return alt.Y("fraction:Q", title=title, stack=None, axis=alt.Axis(format="%"))


def steps(
    table: pd.DataFrame,
    colours: Mapping[str, str],
    x: alt.X,
    y: alt.Y,
    *,
    filled: Collection[str] = (),
    height: int = 300,
) -> alt.LayerChart:
    """Distributions as step lines.

    Parameters
    ----------
    table : DataFrame
        Column name, and the columns that `x` and `y` encode.
    colours : mapping of str to str
        Name → CSS colour.
    x, y : Altair channels
        Axes.
    filled : collection of str, default none
        Names whose area is filled.
    height : int, default 300
        Height in px.
    """
    base = alt.Chart(table).encode(x, y, colour(colours))
    area = base.transform_filter(alt.FieldOneOfPredicate("name", list(filled)))
    area = area.mark_area(interpolate="step-after", opacity=0.35)
    lines = base.mark_line(interpolate="step-after", strokeWidth=2, clip=True)
    return (area + lines if filled else alt.layer(lines)).properties(height=height)


def curves(
    table: pd.DataFrame,
    colours: Mapping[str, str],
    x: alt.X,
    y: alt.Y,
    *,
    dashed: str | None = None,
    points: bool = True,
    clip: bool = False,
    height: int = 260,
) -> alt.LayerChart:
    """Lines with one colour per name, and bands around them.

    Parameters
    ----------
    table : DataFrame
        Columns name, x and y; low and high where lines have bands; style where some are dashed.
    colours : mapping of str to str
        Name → CSS colour.
    x, y : Altair channels
        Axes of the columns x and y.
    dashed : str, optional
        Value of the column style of the dashed lines, which have no bands.
    points : bool, default True
        Whether the points of a line are marked.
    clip : bool, default False
        Whether lines end at the axes, whose scales are then fixed.
    height : int, default 260
        Height in px.
    """
    base = alt.Chart(table).encode(x, colour(colours))
    tooltip = ["name", alt.Tooltip("x:Q", format=".3~f"), alt.Tooltip("y:Q", format=".3~f")]
    marks = alt.OverlayMarkDef(size=24) if points else False
    lines = base.mark_line(strokeWidth=2, point=marks, clip=clip)
    bands = base.mark_area(opacity=0.18, clip=clip)
    if dashed is not None:
        dash = alt.condition(alt.datum.style == dashed, alt.value([4, 4]), alt.value([1, 0]))
        lines = lines.encode(detail="style:N", strokeDash=dash)
        tooltip.insert(1, "style")
        bands = bands.transform_filter(alt.datum.style != dashed)
    lines = lines.encode(y, tooltip=tooltip)
    if "low" in table:
        bottom = y.copy()
        bottom.shorthand = "low:Q"
        lines = bands.encode(bottom, alt.Y2("high:Q")) + lines
    return alt.layer(lines).properties(height=height)


def diamonds(table: pd.DataFrame, colours: Mapping[str, str] | None = None) -> alt.Chart:
    """Single values as diamonds, to lay over `curves`; black without `colours`.

    Parameters
    ----------
    table : DataFrame
        Columns x and y; name with `colours`.
    colours : mapping of str to str, optional
        Name → CSS colour.
    """
    chart = alt.Chart(table).mark_point(
        shape="diamond", filled=True, size=80, opacity=1, color="black"
    )
    tooltip = [alt.Tooltip("x:Q", format=".3~f"), alt.Tooltip("y:Q", format=".3~f")]
    chart = chart.encode(alt.X("x:Q"), alt.Y("y:Q"), tooltip=tooltip)
    return chart.encode(colour(colours)) if colours else chart
