"""Validation of a corpus of domain films: every film that breaks a rule is named, with the rule."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.corpora.domains import FEWEST, films_of
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import damaged_files, read_header
from spinscope.datasets.splits import Splits
from spinscope.datasets.validate import (
    BETWEEN,
    NO_COPY,
    ONE_SPLIT,
    Rule,
    Validation,
    checked,
    read_rule,
    with_splits,
)
from spinscope.errors import SpinscopeError
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

MIN_CORRELATION = 0.8
"""Lowest correlation of m_z between neighbouring cells; relaxed films have 0.97 or more."""

_ROUNDED = 2e-4  # largest difference of a recorded fraction

RULES = (
    *(read_rule(f"image {rule}", "image") for rule in ("intact", "present", "readable")),
    Rule(
        "square", "ExpectColumnValuesToBeInSet", "rectangle", {"value_set": [False]}, "image",
        "it has {height}×{width} cells; the sides must be equal, as its views are rotated",
    ),
    Rule(
        "contains its views", BETWEEN, "surplus_nm", {"min_value": 0}, "image",
        "it is {side_nm:g} nm wide, its largest view {largest_nm:g} nm",
    ),
    Rule(
        "relaxed", "ExpectColumnValuesToBeNull", "unrelaxed", {}, "image", "{unrelaxed}",
    ),
    Rule(
        "not saturated", BETWEEN, "minority", {"min_value": FEWEST}, "image",
        f"one kind of domain covers {{minority:.2%}} of it, at least {FEWEST:.0%} is required",
    ),
    Rule(
        "domains resolved", BETWEEN, "correlation", {"min_value": MIN_CORRELATION}, "image",
        "neighbouring cells have a correlation of {correlation:.2f}, at least "
        f"{MIN_CORRELATION} is required: it is no relaxed film, or its walls are narrower than a "
        "cell",
    ),
    Rule(
        "domains as recorded", BETWEEN, "up_change", {"max_value": _ROUNDED}, "image",
        "the fraction {up:.4f} of it that is magnetised up differs from that of manifest.csv by "
        "{up_change:.2g}",
    ),
    Rule(
        "constants in range", "ExpectColumnValuesToBeNull", "out_of_range", {}, "label",
        "{out_of_range}",
    ),
    NO_COPY,
    ONE_SPLIT,
)  # fmt: skip
"""Rules that a corpus of domain films must satisfy before a model is trained on it."""

_COLUMNS = {
    **dict.fromkeys(("name", "image", "label"), "str"),
    **{"source": "int64", "batch": "Int64", "use": "str"},
    **dict.fromkeys(("height", "width"), "Int64"),
    "rectangle": "boolean",
    **dict.fromkeys(
        (
            "side_nm",
            "largest_nm",
            "surplus_nm",
            "value",
            "up",
            "up_change",
            "minority",
            "correlation",
            "torque",
        ),
        "float64",
    ),
    **dict.fromkeys(("unrelaxed", "out_of_range", "cells_sha256", "rule", "error"), "str"),
}
_CONSTANTS = ("ms", "a_ex", "dmi", "ku", "ku_spread")


def validate_domains(
    dataset: Dataset,
    splits: Splits | None = None,
    out: Path | str | None = None,
    *,
    progress: Progress = no_progress,
) -> Validation:
    """Read every film of a corpus once and check it against `RULES`.

    A bad film is a failure of the result, not an error. A copy in another split is found after any
    shift, rotation, reflection or reversal. All views of a film have its source, so that a source
    in one split has all its views there.

    Parameters
    ----------
    dataset : Dataset
        Views of `corpora.domains.open_domains`.
    splits : Splits, optional
        Splits between which films and sources must differ.
    out : Path, optional
        Folder for the report: index.html, manifest.csv, validation.json and Data Docs.
    progress : callable
        Wraps the films.
    """
    table = with_splits(dataset, manifest(dataset, progress=progress), splits)
    return checked(dataset, table.assign(twin=_twins(table)), RULES, out)


def manifest(dataset: Dataset, *, progress: Progress = no_progress) -> pd.DataFrame:
    """Describe every film of a corpus, in the order of the dataset.

    Parameters
    ----------
    dataset : Dataset
    progress : callable
        Wraps the films.

    Returns
    -------
    DataFrame
        One row per film:

        - ``name``: film; ``image``, ``label``: the shard that contains it, and the manifest;
        - ``source``, ``batch``, ``use``: as in the manifest of the corpus;
        - ``height``, ``width``: cells; ``rectangle``: whether they differ;
        - ``side_nm``: its shorter side; ``largest_nm``: side of the largest view;
          ``surplus_nm``: their difference;
        - ``value``: constant to be estimated, in SI units;
        - ``up``: fraction with m_z > 0; ``up_change``: its difference from the recorded one;
          ``minority``: smaller fraction of up and down;
        - ``correlation``: of m_z between neighbouring cells, along the axis where it is smaller;
        - ``torque``: as recorded; ``unrelaxed``: why it is too large;
        - ``out_of_range``: constants outside the ranges of the corpus;
        - ``cells_sha256``: hash of the magnitudes of m_z in ascending order, the same for shifted,
          rotated, mirrored and reversed copies;
        - ``rule``, ``error``: rule that kept the film from being read, and why.
    """
    import pandas as pd

    damage, header = damaged_files(dataset.path), read_header(dataset.path)
    films = films_of(dataset)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda index: _row(dataset, index, damage, header), films)
        rows = list(progress(read, total=len(films), desc="manifest"))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _row(
    dataset: Dataset, index: int, damage: dict[str, str], header: dict[str, Any]
) -> dict[str, Any]:
    """Row of the film of a view, up to a rule of reading that it breaks."""
    record, store, place = dataset.records[index], dataset.store, dataset.rows[index]
    recorded, (file, label) = store.row(place), dataset.names(index)
    row = {"name": recorded["name"], "image": file, "label": label}
    row |= {"source": record.source, "batch": record.batch, "use": record.use}
    if file in damage:
        broken = "present" if "missing" in damage[file] else "intact"
        return {**row, "rule": f"image {broken}", "error": f"{file} {damage[file]}"}
    try:
        levels = store.levels(place)
    except SpinscopeError as error:
        return {**row, "rule": "image readable", "error": f"{file}: {error}"}
    height, width = levels.shape
    side_nm = min(height, width) * store.cell * 1e9
    up, torque = float((levels > 127).mean()), float(recorded["torque"])
    return {
        **row,
        "height": height,
        "width": width,
        "rectangle": height != width,
        "side_nm": side_nm,
        "largest_nm": round(1e9 * max(store.scales), 6),
        "surplus_nm": round(side_nm - 1e9 * max(store.scales), 6),
        "value": float(recorded[store.parameter]),
        "up": up,
        "up_change": abs(up - float(recorded["up"])),
        "minority": min(up, 1 - up),
        "correlation": _correlation(levels),
        "torque": torque,
        "unrelaxed": _unrelaxed(torque, header["tolerance"]),
        "out_of_range": _out_of_range(recorded, header),
        "cells_sha256": _cells_sha256(levels),
    }


def _correlation(levels: np.ndarray) -> float:
    """Correlation between neighbouring cells, along the axis where it is smaller; 0 if uniform."""
    m_z = levels.astype(np.float64) - levels.mean()
    variance = np.mean(m_z**2)
    if not variance:
        return 0.0
    return float(min(np.mean(m_z * np.roll(m_z, 1, axis)) for axis in (0, 1)) / variance)


def _unrelaxed(torque: float, tolerance: float) -> str | None:
    """Why a film is not relaxed; None if it is."""
    if torque <= tolerance:
        return None
    return f"its torque is {torque:.3g} Ms, at most {tolerance:g} Ms is allowed"


def _out_of_range(row: dict[str, str], header: dict[str, Any]) -> str | None:
    """Constants of a film outside the ranges of its corpus; None if there are none."""
    wrong = []
    for name in _CONSTANTS:
        value, (low, high) = float(row[name]), header[name]
        margin = 1e-5 * max(abs(low), abs(high))  # the manifest has six digits
        if not low - margin <= value <= high + margin:
            wrong.append(f"{name} (={value:g}) must be from {low:g} to {high:g}")
    return "; ".join(wrong) or None


def _cells_sha256(levels: np.ndarray) -> str:
    """Hash of the magnitudes of m_z of all cells in ascending order."""
    magnitudes = np.sort(np.abs(2 * levels.astype(np.int16) - 255), axis=None)
    return hashlib.sha256(magnitudes.astype("<i2").tobytes()).hexdigest()


def _twins(table: pd.DataFrame) -> list[str | None]:
    """Films of another split of which each film is a copy."""
    copies: dict[int, str] = {}
    for _, same in table[table["splits"].notna()].groupby("cells_sha256"):
        for index, split in same["splits"].items():
            others = same[same["splits"] != split]
            found = [f"film {row.name} of {row.splits}" for row in others.itertuples(index=False)]
            if found:
                copies[index] = f"{', '.join(found)}, perhaps shifted, rotated or mirrored"
    return [copies.get(index) for index in table.index]
