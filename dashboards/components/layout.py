"""Layout of a page: heading, messages, legends, tables and reports read from disk."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import streamlit as st

from spinscope import families
from spinscope.config import Params, load_params
from spinscope.config import shipped_results as shipped
from spinscope.errors import SpinscopeError
from spinscope.extras import explained

REMEMBERED = (
    *("data", "data path", "batches", "sources", "model", "model path", "views", "frame"),
    *("recording", "recording path", "reviewer", "review model", "review model path", "model b"),
)
"""Keys of the widgets whose values are kept when another page is opened."""

PALETTE = ("#2a6f97", "#e07a1f", "#5a8f3c", "#8e5ea2", "#b5483a", "#3aa6a0", "#7a5c3e")
"""Colours of models and seeds, in order."""

RED = "#c62828"
"""Colour of promotions around the gates."""

GREY = "#7d8590"
"""Colour of labels and reference data."""


def colours(names: Iterable[str]) -> dict[str, str]:
    """Name → CSS colour of models or seeds."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


def remember_choices() -> None:
    """Keep the values of `REMEMBERED`; Streamlit drops those of widgets that are not shown."""
    for key in REMEMBERED:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


@contextlib.contextmanager
def page(title: str, about: str) -> Iterator[Params]:
    """Show the heading of a page, yield its settings, and show errors as one sentence."""
    st.title(title)
    st.caption(about)
    with errors_shown():
        yield load_params()


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """Show bad input and errors of the file system as one sentence on the page."""
    try:
        with explained():
            yield
    except (SpinscopeError, OSError) as error:
        st.error(str(error), icon=":material/error:")


def stop(text: str) -> NoReturn:
    """Show a message, and end the page."""
    st.info(text, icon=":material/info:")
    st.stop()


def missing(what: str, command: str) -> NoReturn:
    """Show a message with the command that creates a missing item, and end the page."""
    stop(f"{what} Run `{command}` in a terminal, then reload this page.")


def untrained(what: str) -> NoReturn:
    """Show a message with the command that trains a model, and end the page."""
    missing(f"{what} The families are {', '.join(families.names())}.", "spinscope train FAMILY")


def legend(colours: Mapping[str, str]) -> None:
    """Show names with swatches of their CSS colours, in one line."""
    swatches = (
        '<span style="display:inline-block;width:.8em;height:.8em;border-radius:.2em;'
        f'background:{colour};margin:0 .35em 0 0"></span>'
        f'<span style="margin-right:1.2em">{html.escape(name)}</span>'
        for name, colour in colours.items()
    )
    st.html(f'<div style="font-size:.875rem;opacity:.8">{"".join(swatches)}</div>')


def metrics(values: Mapping[str, Any], widths: list[int] | None = None) -> None:
    """Show name → value, or (value, help), as metrics side by side."""
    columns = st.columns(widths or len(values))
    for column, (name, value) in zip(columns, values.items(), strict=True):
        text, about = value if isinstance(value, tuple) else (value, None)
        column.metric(name, text, help=about)


def table(
    data: pd.DataFrame,
    formats: Mapping[str, str] | None = None,
    *,
    precision: int = 3,
    rows: int | None = None,
    index: bool = False,
    **options: Any,
) -> Any:
    """Show a table over the full width; empty cells are dashes.

    Parameters
    ----------
    data : DataFrame
        Table to show.
    formats : mapping of str to str, optional
        Column → format string; other numbers have `precision` decimals.
    precision : int, default 3
        Decimals of the numbers without a format.
    rows : int, optional
        Rows that are visible without scrolling; by default Streamlit decides.
    index : bool, default False
        Whether the index is shown.
    **options
        Passed on to `st.dataframe`.

    Returns
    -------
    Result of `st.dataframe`.
    """
    if rows is not None:
        options["height"] = table_height(data, rows)
    styled = data.style.format(formats, precision=precision, na_rep="–")
    return st.dataframe(styled, hide_index=not index, width="stretch", **options)


def table_height(data: pd.DataFrame, rows: int) -> int:
    """Height in px of a table of which at most `rows` rows are visible."""
    return 35 * (min(len(data), rows) + 1) + 3


def read_report(path: Path, keys: Collection[str], command: str) -> dict[str, Any] | None:
    """Read a JSON report, None where it does not exist.

    Parameters
    ----------
    path : Path
        File of the report.
    keys : collection of str
        Keys that it must hold.
    command : str
        Command that writes it.

    Raises
    ------
    SpinscopeError
        If the file is not such a report.
    """
    if not path.is_file():
        return None
    report = _read_json(str(path), path.stat().st_mtime_ns)
    if not isinstance(report, dict) or not set(keys) <= report.keys():
        raise SpinscopeError(f"{path} must be a report of `{command}`")
    return report


def shipped_results(name: str, command: str) -> dict[str, Any] | None:
    """Results of a study that come with the code, with their origin on the page; None without them.

    Parameters
    ----------
    name : str
        Name of the study.
    command : str
        Command that measures models of the project instead.
    """
    path = shipped(name)
    if not path.is_file():
        return None
    results = _read_json(str(path), path.stat().st_mtime_ns)
    st.info(
        f"These results come with the code; they were measured on {results['measured']} with "
        f"version {results['spinscope_version']}. `{command}` measures models of your own.",
        icon=":material/inventory:",
    )
    return results


@st.cache_data(max_entries=6, show_spinner=False)
def _read_json(path: str, changed: int) -> Any:
    """Content of a JSON file, read again when it has changed; None where it is damaged."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError:
        return None
