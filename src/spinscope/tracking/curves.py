"""Curves of runs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spinscope.tracking.runs import KIND
from spinscope.tracking.store import Store, reachable

if TYPE_CHECKING:
    import pandas as pd


def experiments(store: Store) -> list[str]:
    """Names of the experiments that are not deleted, without MLflow's own `Default`.

    The experiment of the newest finished training comes first; those without one come last, by
    name.
    """
    with reachable(store.uri):
        names = {one.experiment_id: one.name for one in store.client.search_experiments()}
        newest = {
            experiment: store.client.search_runs(
                [experiment],
                f"attributes.status = 'FINISHED' and tags.`{KIND}` = 'experiment'",
                max_results=1,
            )
            for experiment in names
        }
    when = {names[key]: -runs[0].info.end_time for key, runs in newest.items() if runs}
    return sorted(set(names.values()) - {"Default"}, key=lambda name: (when.get(name, 0), name))


def curves(store: Store, run_ids: Sequence[str]) -> pd.DataFrame:
    """Curves of runs over the epochs.

    Metrics with a dot in their name or with a single value hold for the whole run and are left
    out.

    Parameters
    ----------
    store : Store
    run_ids : sequence of str

    Returns
    -------
    DataFrame
        Columns run_id, metric, epoch (from 1) and value.
    """
    import pandas as pd

    rows = []
    with reachable(store.uri):
        for run_id in run_ids:
            for metric in sorted(store.client.get_run(run_id).data.metrics):
                points = [] if "." in metric else store.client.get_metric_history(run_id, metric)
                if len(points) > 1:
                    # The last value of a step that was logged twice.
                    last = sorted({point.step: point.value for point in points}.items())
                    rows += [(run_id, metric, step + 1, value) for step, value in last]
    return pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "value"])
