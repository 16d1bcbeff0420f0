"""Leave-one-batch-out: every frame scored by networks that never saw its batch, pooled."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spinscope.evaluation.report import spread

MCC, BATCH_MCC, COUNT_ERROR = 0.90, 0.85, 0.03
"""What a network that is good enough for the lab reaches: pooled, in each batch, and in |predicted
over labelled objects - 1|."""


def batch_rows(reports: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a batch: its frames, sources, MCC and objects.

    reports : batch → report of `evaluate` on it.
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
    """A row a source: its frames, mean MCC and objects."""
    rows = []
    for source in sorted({row["source"] for row in per_image}):
        own = [row for row in per_image if row["source"] == source]
        rows.append(
            {
                "source": source,
                "n_images": len(own),
                "mcc": statistics.fmean(row["mcc"] for row in own),
                **{
                    key: sum(row[key] for row in own)
                    for key in ("objects_true", "objects_predicted")
                },
            }
        )
    return rows


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation and the values, one a seed."""
    return {"mean": statistics.fmean(values), "sd": spread(values), "values": list(values)}


def summary(
    whole: Mapping[int, Mapping[str, Any]], parts: Mapping[int, Mapping[int, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Figures of a cross-validation over its seeds.

    whole : seed → report over all frames.   parts : seed → batch → report.
    Returns pooled `mcc` and `count_error` (predicted / labelled objects - 1) {mean, sd, values},
    `source_mcc` (mean over sources of their mean MCC), `batches` and `sources` (means over the
    seeds) and whether the figures are `good_enough`.
    """
    seeds = sorted(whole)
    sources = {seed: source_rows(whole[seed]["per_image"]) for seed in seeds}
    batches = _mean_rows([batch_rows(parts[seed]) for seed in seeds])
    mcc = over_seeds([whole[seed]["mcc"] for seed in seeds])
    count = over_seeds(
        [
            whole[seed]["objects"]["predicted"] / max(whole[seed]["objects"]["true"], 1) - 1
            for seed in seeds
        ]
    )
    return {
        "seeds": seeds,
        "n_images": whole[seeds[0]]["n_images"],
        "mcc": mcc,
        "count_error": count,
        "source_mcc": over_seeds(
            [statistics.fmean(row["mcc"] for row in sources[seed]) for seed in seeds]
        ),
        "batches": batches,
        "sources": _mean_rows([sources[seed] for seed in seeds]),
        "good_enough": {
            "pooled": mcc["mean"] >= MCC,
            "each batch": min(row["mcc"] for row in batches) >= BATCH_MCC,
            "count": abs(count["mean"]) <= COUNT_ERROR,
        },
    }


def _mean_rows(tables: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One table of means, row by row; whole numbers that are equal stay whole."""
    return [
        {
            key: rows[0][key]
            if all(row[key] == rows[0][key] for row in rows)
            else statistics.fmean(row[key] for row in rows)
            for key in rows[0]
        }
        for rows in zip(*tables, strict=True)
    ]
