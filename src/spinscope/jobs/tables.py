"""Numbers and curves of a training for `dvc metrics` and `dvc plots`, without times and paths."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spinscope.families.base import Family
from spinscope.files import atomic_file, write_json

METRICS, CURVES, FRAMES = "metrics.json", "curves.csv", "frames.csv"


def write_curves(
    folder: Path, family: Family, histories: Mapping[int, Mapping[str, Sequence[float]]]
) -> Path:
    """Write the curves of a training, one row per epoch, to `folder/curves.csv`.

    Columns are `epoch`, counted from 1, and mean, lowest and highest value over the seeds of the
    validation metric and of the loss. A seed that ended early counts up to its last epoch.

    Parameters
    ----------
    folder : Path
    family : Family
    histories : mapping
        Seed → values per epoch by name, as in history.json.
    """
    names = ("loss", f"val_{family.metric.name}")
    rows = []
    for epoch in range(max((len(history["loss"]) for history in histories.values()), default=0)):
        row: dict[str, Any] = {"epoch": epoch + 1}
        for name in names:
            curves = [history.get(name, ()) for history in histories.values()]
            if values := [curve[epoch] for curve in curves if epoch < len(curve)]:
                summary = {"mean": statistics.fmean(values), "low": min(values)}
                summary["high"] = max(values)
                row |= {f"{name}_{key}": f"{value:.6g}" for key, value in summary.items()}
        rows.append(row)
    columns = [f"{name}_{key}" for name in names for key in ("mean", "low", "high")]
    return _write(folder / CURVES, ["epoch", *columns], rows)


def write_metrics(
    folder: Path, family: Family, report: Mapping[str, Any], names: Iterable[str]
) -> Path:
    """Write the scores over the seeds to `folder/metrics.json`: the same for the same networks.

    Parameters
    ----------
    folder : Path
    family : Family
    report : mapping
        Report of `evaluate_training`.
    names : iterable of str
        Scores of the report: "validation", "tta".
    """
    kept = (family.metric.name, *family.summarised)
    scores = {
        name: {
            key: float(f"{value:.6g}")
            for key, value in report[name].items()
            if key.rpartition(".")[0] in kept
        }
        for name in names
    }
    best = next(row for row in report["seeds"] if row["seed"] == report["best_seed"])
    path = folder / METRICS
    counts = {"n_images": report["n_images"], "seen_in_training": best["seen_in_training"]}
    write_json(path, {**scores, "best_seed": report["best_seed"], **counts})
    return path


def write_frames(folder: Path, family: Family, report: Mapping[str, Any]) -> Path:
    """Write the scores of the best network, one row per frame, to `folder/frames.csv`.

    Parameters
    ----------
    folder : Path
    family : Family
    report : mapping
        Report of `score_model` for the best network.
    """
    rows = report["per_image"]
    objects = ("objects_true", "objects_predicted", "objects_matched")
    numbers = [
        key
        for key in (family.metric.name, *objects, "true", "predicted", "low", "high")
        if all(key in row for row in rows)
    ]
    columns = ["name", "source", *numbers]
    found = [
        {key: f"{row[key]:.6g}" if isinstance(row[key], float) else row[key] for key in columns}
        for row in rows
    ]
    return _write(folder / FRAMES, columns, found)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Path:
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
