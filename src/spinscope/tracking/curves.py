"""What the runs of a store hold, read back as tables for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spinscope.tracking.store import Store, reachable

if TYPE_CHECKING:
    import pandas as pd


def experiments(store: Store) -> list[str]:
    """Names of the experiments that are not deleted, without MLflow's own `Default`, sorted."""
    with reachable(store.uri):
        found = store.client.search_experiments()
    return sorted(experiment.name for experiment in found if experiment.name != "Default")


def curves(store: Store, run_ids: Sequence[str]) -> pd.DataFrame:
    """Per-epoch curves of runs: columns run_id, metric, epoch (from 1) and value.

    A number that holds for the whole run has a dot in its name, or one value only: it is no curve.
    """
    import pandas as pd

    rows = []
    with reachable(store.uri):
        for run_id in run_ids:
            for metric in sorted(store.client.get_run(run_id).data.metrics):
                if "." in metric:
                    continue
                points = store.client.get_metric_history(run_id, metric)
                if len(points) > 1:
                    # A step that was logged twice counts once, as it was logged last.
                    for step, value in sorted({p.step: p.value for p in points}.items()):
                        rows.append((run_id, metric, step + 1, value))
    return pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "value"])
