"""Results of studies that come with the code, in ``docs/results/NAME.json``.

They are shown where nothing has been measured yet: the report of a study, rounded, without what no
page shows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance
from spinscope.studies import PARTS

DIGITS = 4
"""Significant digits of the numbers that are shipped."""


def store_results(name: str, reports: Path, into: Path, params: Params) -> Path:
    """Write the rounded report of a study as ``into/NAME.json``.

    Parameters
    ----------
    name : str
        Name of the study.
    reports : Path
        Folder of its report, ``NAME.json``.
    into : Path
        Folder to write to.
    params : Params
        Settings of the study's family.

    Raises
    ------
    SpinscopeError
        If the study is unknown or has no report.
    """
    studies = [key for key, part in PARTS.items() if part.page]
    if name not in studies:
        raise SpinscopeError(f"study {name!r} must be one of {', '.join(studies)}")
    path = reports / f"{name}.json"
    if not path.is_file():
        raise SpinscopeError(f"{path} does not exist: run `spinscope study {name}` first")
    measured = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    content = {
        "measured": measured.date().isoformat(),
        "spinscope_version": provenance()["spinscope_version"],
        **rounded(PARTS[name].load().shipped(params, json.loads(path.read_text()))),
    }
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    target = into / path.name
    with atomic_file(target) as partial:
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return target


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Value with all its numbers rounded to significant digits; numbers that are not finite: None.

    >>> rounded({"mcc": [0.123456, 12345678.0, float("nan")], "n": 123456})
    {'mcc': [0.1235, 12350000, None], 'n': 123456}
    """
    if isinstance(value, Mapping):
        return {key: rounded(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one, digits) for one in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    near = float(f"{value:.{digits}g}")
    return int(near) if near == int(near) else near
