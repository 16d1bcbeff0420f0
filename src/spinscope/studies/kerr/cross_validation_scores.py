"""Pooled scores of a leave-one-batch-out cross-validation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from spinscope.evaluation.report import spread

MCC, BATCH_MCC, COUNT_ERROR = 0.90, 0.85, 0.03
"""Limits of a network that is good enough for the lab: pooled MCC, MCC of each batch, and
|predicted over labelled objects - 1|."""

Report = Mapping[str, Any]


def batch_rows(reports: Mapping[int, Report]) -> list[dict[str, Any]]:
    """One row per batch (frames, sources, MCC, objects) from its report of `evaluate`.

    Parameters
    ----------
    reports : mapping
        Batch → its report.
    """
    return [
        {
            "batch": batch,
            "n_images": report["n_images"],
            "sources": len({row["source"] for row in report["per_image"]}),
            "mcc": report["mcc"],
            **{f"objects_{key}": report["objects"][key] for key in ("true", "predicted")},
        }
        for batch, report in sorted(reports.items())
    ]


def source_rows(per_image: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per source (frames, mean MCC, objects) from the rows of its images.

    Parameters
    ----------
    per_image : sequence of dict
        Rows of the images.
    """
    table = pd.DataFrame(list(per_image)).groupby("source", as_index=False)
    columns = {key: (key, "sum") for key in ("objects_true", "objects_predicted")}
    return table.agg(n_images=("mcc", "size"), mcc=("mcc", "mean"), **columns).to_dict("records")


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation and the values, one per seed.

    Parameters
    ----------
    values : sequence of float
        Values.
    """
    return {"mean": statistics.fmean(values), "sd": spread(values), "values": list(values)}


def summary(
    whole: Mapping[int, Report], by_batch: Mapping[int, Mapping[int, Report]]
) -> dict[str, Any]:
    """Scores of a cross-validation over its seeds.

    Parameters
    ----------
    whole : mapping
        Seed → report of all frames.
    by_batch : mapping
        Seed → batch → report.

    Returns
    -------
    dict
        Pooled `mcc` and `count_error` (predicted / labelled objects - 1) as {mean, sd, values},
        `source_mcc` (mean over sources of their mean MCC), `batches` and `sources` (means over the
        seeds), and `good_enough` by criterion.
    """
    seeds = sorted(whole)
    reports = [whole[seed] for seed in seeds]
    sources = [source_rows(report["per_image"]) for report in reports]
    batches = _mean_rows([batch_rows(by_batch[seed]) for seed in seeds])
    objects = [report["objects"] for report in reports]
    mcc = over_seeds([report["mcc"] for report in reports])
    count = over_seeds([found["predicted"] / max(found["true"], 1) - 1 for found in objects])
    return {
        "seeds": seeds,
        "n_images": reports[0]["n_images"],
        "mcc": mcc,
        "count_error": count,
        "source_mcc": over_seeds([statistics.fmean(r["mcc"] for r in rows) for rows in sources]),
        "batches": batches,
        "sources": _mean_rows(sources),
        "good_enough": {
            "pooled": mcc["mean"] >= MCC,
            "each batch": min(row["mcc"] for row in batches) >= BATCH_MCC,
            "count": abs(count["mean"]) <= COUNT_ERROR,
        },
    }


def _mean_rows(tables: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Tables averaged row by row; equal integers remain integers."""

    def mean(values: list) -> Any:
        return values[0] if len(set(values)) == 1 else statistics.fmean(values)

    return [
        {key: mean([row[key] for row in rows]) for key in rows[0]}
        for rows in zip(*tables, strict=True)
    ]
