"""Checks of what a results folder contains, before any of it is used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd


def _file_name(name: str) -> str:
    """Refuse a name that leads to another folder, or that no file can have."""
    try:
        plain = "/" not in name and "\\" not in name and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        plain = False
    if not plain or name in ("", ".", ".."):
        raise ValueError("it must be the name of a file, without a folder")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]


class _Stored(BaseModel):
    """Part of a stored file; keys that are not named are kept unchecked."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Recording(_Stored):
    path: str
    name: FileName
    fingerprint: str
    watched: bool
    shape_px: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    white_level: float = Field(gt=0)
    pixel_size_nm: float | None = Field(gt=0)
    interval_s: float | None = Field(gt=0)


class _Model(_Stored):
    ref: str
    sha256: str


class _Settings(_Stored):
    min_px: int = Field(1, ge=1)
    models: list[_Model] = []


class _Statistics(_Stored):
    __pydantic_extra__: dict[str, float | None]
    objects: int = Field(ge=0)
    objects_per_frame: float
    diameter_px_mean: float | None


class _Timing(_Stored):
    frames: int = Field(0, ge=0)
    frames_per_s: float | None = None
    ms_per_frame: dict[str, float] = {}


class _Part(_Stored):
    model_config = ConfigDict(strict=True, extra="forbid")

    kind: str
    reason: str
    y0: int = Field(ge=0)
    x0: int = Field(ge=0)
    y1: int
    x1: int


class _Unreadable(_Stored):
    frame: int = Field(ge=0)
    name: FileName
    error: str


class Summary(_Stored):
    """Content of `summary.json`."""

    n_frames: int = Field(ge=1)
    recording: _Recording
    settings: _Settings
    classes: Annotated[list[str], Field(min_length=1, max_length=256)]
    statistics: _Statistics
    timing: _Timing
    error: str | None = None
    previous: str | None = None
    left_out: list[_Part] = []
    warnings: list[str] = []
    unreadable: list[_Unreadable] = []
    applied: list[str] = []


def parse_json(path: Path, **options: Any) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises
    ------
    SpinscopeError
        If it cannot be read or contains anything else.
    """
    try:
        content = json.loads(path.read_text(), **options)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise SpinscopeError(f"{path} is not a readable JSON file: {text}") from error
    if not isinstance(content, dict):
        raise SpinscopeError(f"{path} (={content!r:.80}) must be a JSON object")
    return content


def check_table(path: Path, table: pd.DataFrame, n_frames: int) -> None:
    """Refuse columns of another kind, and frames that the recording does not have.

    Raises
    ------
    SpinscopeError
        With file, column, value and rule.
    """
    for column in table:
        values = table[column]
        if column == "name":
            try:
                names = list(values)
            except UnicodeDecodeError as error:
                raise SpinscopeError(f"{path}: column name must contain text: {error}") from error
            for name in names:
                try:
                    _file_name(name if isinstance(name, str) else "")
                except ValueError as error:
                    raise SpinscopeError(
                        f"{path}: name (={name!r}) is not valid: {error}"
                    ) from error
        elif column == "reviewer":
            if not all(isinstance(value, str) for value in values.dropna()):
                raise SpinscopeError(f"{path}: column reviewer must contain text")
        elif values.dtype.kind not in "biuf":
            raise SpinscopeError(f"{path}: column {column} ({values.dtype}) must contain numbers")
        elif column in ("frame", "object", "track") and values.dtype.kind not in "iu":
            raise SpinscopeError(f"{path}: column {column} ({values.dtype}) must contain integers")
        if column == "frame":
            outside = values[(values < 0) | (values >= n_frames)]
            if len(outside):
                raise SpinscopeError(
                    f"{path}: frame (={outside.iloc[0]}) must be from 0 to {n_frames - 1}"
                )
        elif column in ("y_px", "x_px", "diameter_px", "area_px"):
            wrong = values[~(values.abs() <= 2**31)]
            if column in ("diameter_px", "area_px"):
                wrong = values[~((values > 0) & (values <= 2**31))]
            if len(wrong):
                raise SpinscopeError(
                    f"{path}: {column} (={wrong.iloc[0]}) must be the finite size or position of "
                    "an object"
                )
