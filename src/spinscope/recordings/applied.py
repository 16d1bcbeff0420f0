"""What was done to the sample while a recording was made: field, current, temperature, pulses.

Each quantity is a column with one value per frame, in the unit that its name ends with:
`field_mt`, `in_plane_field_mt`, `current_ma`, `temperature_k`, `pulse_ns`, `pulse_mt`, `time_s`.
They come from a table beside the recording (`NAME.csv` beside `NAME.tif` or `NAME.ome.tif`,
`applied.csv` in a folder of images), else from the labels that ImageJ stores with the frames of a
stack, from the names of the images of a folder, or from the name of the file:
`bubble_12.5mT_300K.tif`; times also from the planes of OME-XML.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.files import digest, sha256
from spinscope.recordings.base import RecordingError

if TYPE_CHECKING:
    from spinscope.recordings.base import Recording

SIDECAR = "applied.csv"
"""Table in a folder of images."""

_MAX_BYTES = 2**26
_MU_0 = 4e-7 * math.pi
_TESLA = {"t": 1e3, "mt": 1.0, "ut": 1e-3, "µt": 1e-3, "oe": 0.1, "koe": 100.0, "g": 0.1,
          "kg": 100.0, "a/m": _MU_0 * 1e3, "ka/m": _MU_0 * 1e6}  # fmt: skip
_SECOND = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
_UNITS: dict[str, dict[str, float]] = {
    "field_mt": _TESLA,
    "in_plane_field_mt": _TESLA,
    "pulse_mt": _TESLA,
    "current_ma": {"a": 1e3, "ma": 1.0, "ua": 1e-3, "µa": 1e-3},
    "temperature_k": {"k": 1.0, "mk": 1e-3, "c": 1.0, "°c": 1.0, "degc": 1.0},
    "pulse_ns": {unit: factor * 1e9 for unit, factor in _SECOND.items()},
    "time_s": _SECOND,
}
"""Column → factor of each unit that is converted to its own."""

_NAMES = {
    "field": "field", "b": "field", "h": "field", "bz": "field", "hz": "field", "mu0h": "field",
    "appliedfield": "field", "magneticfield": "field",
    "inplanefield": "in_plane_field", "bx": "in_plane_field", "hx": "in_plane_field",
    "current": "current", "i": "current",
    "temperature": "temperature", "temp": "temperature", "t": "temperature",
    "pulse": "pulse", "pulselength": "pulse", "pulsewidth": "pulse", "pulsefield": "pulse",
    "time": "time",
}  # fmt: skip
"""Name of a quantity in a header, without spaces and underscores → its name here."""

_OTHER = {"v", "mv", "w", "mw", "deg", "pa", "bar", "hz", "khz", "mhz", "ghz", "a", "k", "t"}
"""Units of further columns that are kept as they are."""

_INDEX, _NAME = "frame", ("name", "file", "filename", "image")
_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"
_TOKEN = re.compile(
    rf"(?:(?<=[_=\s])|^)([HhBb]x=?|)({_NUMBER})(mT|T|Oe|kOe|G|K|mA|uA|A|ns|us)(?![A-Za-z0-9])"
)
_OF_TOKEN = {"K": "temperature", "mA": "current", "uA": "current", "A": "current", "ns": "pulse",
             "us": "pulse"}  # fmt: skip


def with_applied(recording: Recording) -> Recording:
    """Fill in `applied` of a recording; a table beside it becomes part of its fingerprint.

    Parameters
    ----------
    recording : Recording
        Recording that was just opened.

    Raises
    ------
    RecordingError
        For a table with another number of rows than frames, a quantity without or with an unknown
        unit, or a value that is no number.
    """
    if recording.n is None or not recording.path.exists():
        return recording
    table = recording.path / SIDECAR
    if not recording.path.is_dir():
        table = recording.path.with_suffix(".csv")
        if not table.is_file():  # film.csv beside film.ome.tif
            table = recording.path.with_name(f"{recording.name}.csv")
    found = {}
    if table.is_file() and table != recording.path:
        found = read_applied(table, [recording.names(k) for k in range(recording.n)])
        if found:
            recording.fingerprint = digest([recording.fingerprint, sha256(table)])
    times = np.array(recording.times)
    stored = {"time_s": times} if len(times) == recording.n else {}
    recording.applied = stored | of_labels(recording) | found
    return recording


def read_applied(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the applied quantities of a table, one value per frame.

    Rows are assigned by a column `frame`, numbers from 0, or `name`, the names of the frames with
    or without a suffix; without both they must be as many as the frames. Columns that hold no
    applied quantity are left out. Commas, semicolons or tabs separate the columns.

    Parameters
    ----------
    path : Path
        CSV file whose header gives names and units: `field_mt`, `field (mT)`, `B_T`, `H (Oe)`,
        `temperature (°C)`.
    names : sequence of str
        Names of the frames.

    Returns
    -------
    dict of (n,) float64 arrays
        Column → values, NaN where unknown; empty for a table without applied quantities.

    Raises
    ------
    RecordingError
        See `with_applied`.
    """
    header, rows = _read(path)
    columns: dict[str, tuple[int, float, float]] = {}
    for position, title in enumerate(header):
        if known := _column(path, title):
            column, factor, offset = known
            if column in columns:
                raise RecordingError(f"{path}: two columns hold {column}; must be one")
            columns[column] = position, factor, offset
    if not columns:
        return {}
    places = _places(path, header, rows, names)
    found = {column: np.full(len(names), np.nan) for column in columns}
    for place, (number, row) in zip(places, enumerate(rows, 2), strict=True):
        for column, (position, factor, offset) in columns.items():
            text = row[position].strip() if position < len(row) else ""
            found[column][place] = factor * _value(path, number, column, text) + offset
    return found


def of_labels(recording: Recording) -> dict[str, np.ndarray]:
    """Applied quantities in the labels of the frames, else in the name of the recording.

    A number with its unit counts after an underscore, a blank or an equals sign, or at the start;
    `Hx` or `Bx` before it makes it an in-plane field.

    Parameters
    ----------
    recording : Recording
        Recording; a quantity must be in the label of every frame.

    Returns
    -------
    dict of (n,) float64 arrays
        Column → values.
    """
    labels = recording.labels
    found = [of_text(label) for label in labels] if len(labels) == recording.n else []
    shared = set.intersection(*(set(one) for one in found)) if found else set()
    values = {column: np.array([one[column] for one in found]) for column in sorted(shared)}
    whole = of_text(recording.name)
    return {column: np.full(recording.n, value) for column, value in whole.items()} | values


def typed(columns: Mapping[str, str], n: int) -> dict[str, np.ndarray]:
    """Applied quantities that were typed: a constant, a linear sweep, or one value per frame.

    Parameters
    ----------
    columns : mapping
        Column → text: `12.5`; `30:-30:30`, linear between values that are evenly spread over the
        frames; or `0,5,10`, one value per frame.
    n : int
        Number of frames.

    Returns
    -------
    dict of (n,) float64 arrays
        Column → values.

    Raises
    ------
    RecordingError
        For an unknown column, a text that is none of these, or another number of values.

    Examples
    --------
    >>> typed({"field_mt": "30:-30:30", "temperature_k": "300"}, 5)["field_mt"].tolist()
    [30.0, 0.0, -30.0, 0.0, 30.0]
    """
    found = {}
    for column, text in columns.items():
        if column not in _UNITS:
            raise RecordingError(
                f"applied quantity (={column!r:.80}) must be one of {', '.join(_UNITS)}"
            )
        ends = ":" in text
        try:
            values = [float(part) for part in re.split("[:,]", text)]
        except ValueError:
            values = []
        if not values or not np.isfinite(values).all() or (ends and "," in text):
            raise RecordingError(
                f"{column} (={text!r:.80}) must be a number, FIRST:LAST of a linear sweep, or one "
                "number per frame with commas between"
            )
        if len(values) > 1 and not ends and len(values) != n:
            raise RecordingError(f"{column} has {len(values)} values; must be {n}, one per frame")
        corners = np.linspace(0, n - 1, len(values)) if ends else np.arange(len(values))
        found[column] = np.interp(np.arange(n), corners, values)
    return found


def of_text(text: str) -> dict[str, float]:
    """Applied quantities in a label or a file name.

    Examples
    --------
    >>> of_text("bubble_-12.5mT_300K_0007")
    {'field_mt': -12.5, 'temperature_k': 300.0}
    >>> of_text("film-3 Hx=20mT"), of_text("mask_12mTorr")
    ({'in_plane_field_mt': 20.0}, {})
    """
    found: dict[str, float] = {}
    for prefix, number, unit in re.findall(_TOKEN, text):
        quantity = _OF_TOKEN.get(unit, "in_plane_field" if prefix else "field")
        column = _column_of(quantity, unit.lower())
        if column is not None:
            found.setdefault(column, float(number.replace(",", ".")) * _UNITS[column][unit.lower()])
    return found


def _column_of(quantity: str, unit: str) -> str | None:
    """Column of a quantity whose unit is known."""
    return next(
        (
            column
            for column, units in _UNITS.items()
            if column.rpartition("_")[0] == quantity and unit in units
        ),
        None,
    )


def _column(path: Path, title: str) -> tuple[str, float, float] | None:
    """Column, factor and offset of a header cell; None where it holds no applied quantity."""
    title = title.strip()
    bracket = re.fullmatch(r"(.+?)\s*[(\[]\s*([^)\]]*?)\s*[)\]]", title)
    name, _, unit = bracket.expand(r"\1|\2").partition("|") if bracket else title.rpartition("_")
    plain = re.sub(r"[\s_-]+", "", name).lower()
    quantity, unit = _NAMES.get(plain), unit.lower().replace("μ", "µ")
    if quantity and (column := _column_of(quantity, unit)):
        offset = 273.15 if column == "temperature_k" and unit.endswith("c") else 0.0
        return column, _UNITS[column][unit], offset
    whole = re.sub(r"[\s_-]+", "", title).lower()
    if (quantity and len(plain) > 1 and bracket) or (whole in _NAMES and len(whole) > 1):
        known = [f"{name}_{u}" for name, u in _examples(quantity or _NAMES[whole])]
        raise RecordingError(
            f"{path}: column {title!r} must give its unit, such as {' or '.join(known)}"
        )
    plain_unit = not bracket and unit in _OTHER and re.fullmatch(r"[a-z][a-z0-9_]*", title)
    return (title, 1.0, 0.0) if plain_unit else None


def _examples(quantity: str) -> list[tuple[str, str]]:
    """Name and unit of the columns of a quantity."""
    return [
        (quantity, column.rpartition("_")[2])
        for column in _UNITS
        if column.rpartition("_")[0] == quantity
    ]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table; commas are decimal where semicolons or tabs separate columns."""
    if path.stat().st_size > _MAX_BYTES:
        raise RecordingError(f"{path} has over {_MAX_BYTES} bytes; no table of frames is so large")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return [], []
    separator = max(";\t,", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise RecordingError(f"{path} is no table: {error}") from error
    if separator != ",":
        rows[1:] = [[re.sub(r"(\d),(\d)", r"\1.\2", cell) for cell in row] for row in rows[1:]]
    return rows[0], rows[1:]


def _places(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], names: Sequence[str]
) -> list[int]:
    """Number of the frame of each row."""
    titles = [title.strip().lower() for title in header]
    if _INDEX in titles:
        position = titles.index(_INDEX)
        known = {str(k): k for k in range(len(names))}
        rule = f"a frame from 0 to {len(names) - 1}"
    elif named := [title for title in titles if title in _NAME]:
        position, rule = titles.index(named[0]), "the name of a frame"
        known = {name: k for k, name in enumerate(names)}
    else:
        if len(rows) != len(names):
            raise RecordingError(
                f"{path} has {len(rows)} rows; the recording has {len(names)} frames, and the "
                "table must have one row per frame or a column 'frame'"
            )
        return list(range(len(rows)))
    places, taken = [], set()
    for number, row in enumerate(rows, 2):
        text = row[position].strip() if position < len(row) else ""
        place = known.get(text, known.get(Path(text).stem))
        if place is None or place in taken:
            again = "" if place is None else " that has no other row"
            raise RecordingError(
                f"{path}: row {number}, {header[position]} (={text!r:.80}) must be {rule}{again}"
            )
        places.append(place)
        taken.add(place)
    return places


def _value(path: Path, row: int, column: str, text: str) -> float:
    """Number of a cell, NaN for an empty one."""
    if text.lower() in ("", "nan", "-"):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise RecordingError(f"{path}: row {row}, {column} (={text!r:.80}) must be a number")
    return value
