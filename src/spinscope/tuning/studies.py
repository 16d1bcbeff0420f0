"""Two kinds of study: a list of configs, each tried once, and a search with two aims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spinscope.tuning.plan import Config, Plan, Space, key
from spinscope.tuning.trials import Elsewhere, Objective, run


def one_at_a_time(
    objective: Objective,
    configs: Sequence[Config],
    out: Path,
    name: str,
    *,
    workers: int = 1,
    on_result: Callable[[dict], None] | None = None,
    database: str | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[dict]:
    """Try every config exactly once.

    A repeated call runs only what is missing, after a kill or for more configs.

    Parameters
    ----------
    objective : callable
        Evaluates a config (`trials.Objective`).
    configs : sequence of dict
        Distinct configs.
    out : Path
        Folder of the storage ``optuna.db`` and of the trials.
    name : str
        Name of the study; it must change with everything that decides a result besides its config.
    workers : int
        Processes side by side; one alone is the calling process.
    on_result : callable, optional
        Called in this process with each result as it ends, those of earlier calls first.
    database : str, optional
        Address of a PostgreSQL database that holds the study in place of ``optuna.db``.
    elsewhere : callable, optional
        Evaluates configs on other machines, in place of `workers` (`trials.Elsewhere`).

    Returns
    -------
    list of dict
        In the order of the configs: config, number, folder below `out`, curve, and what the
        objective returned.

    Raises
    ------
    SpinscopeError
        If the objective fails, after the other workers have ended. The next call repeats that
        trial.
    """
    plan = Plan(Path(out), name, configs=tuple(configs), database=database)
    found = {key(row["config"]): row for row in run(objective, plan, workers, on_result, elsewhere)}
    return [found[key(config)] for config in configs]


def free_search(
    objective: Objective,
    space: Space,
    trials: int,
    out: Path,
    name: str,
    *,
    seed: int,
    startup: int,
    workers: int = 1,
    on_result: Callable[[dict], None] | None = None,
    database: str | None = None,
) -> list[dict]:
    """Search a space for two aims: the first value is maximised, the second minimised.

    Configs are drawn by a tree-structured Parzen estimator of several aims, seeded by `seed` and
    the number of the trial. With one worker, a killed search continues as it would have.

    Parameters
    ----------
    objective : callable
        Evaluates a config (`trials.Objective`).
    space : mapping
        Name → distribution.
    trials : int
        Number of trials.
    out : Path
        Folder of the storage ``optuna.db`` and of the trials.
    name : str
        Name of the study.
    seed : int
        Seed.
    startup : int
        Trials that are drawn at random and completed before any is pruned (`Watch.epoch`).
    workers, on_result, database
        As in `one_at_a_time`.

    Returns
    -------
    list of dict
        One row per trial in order, as in `one_at_a_time`, with `state` (complete or pruned),
        `epochs` and `cost`.

    References
    ----------
    Ozaki et al., Proc. GECCO, 533 (2020).
    """
    plan = Plan(
        Path(out),
        name,
        directions=("maximize", "minimize"),
        space=dict(space),
        trials=trials,
        startup=startup,
        seed=seed,
        database=database,
    )
    return run(objective, plan, workers, on_result)


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the rows (maximised, minimised) that no other row dominates.

    A row is dominated by one that is at least as good in both values and better in one.

    Parameters
    ----------
    values : sequence of (float, float)
        Rows: the value to maximise, then the one to minimise.

    Examples
    --------
    >>> pareto_front([(0.9, 30), (0.8, 20), (0.8, 25), (0.7, 40)])
    [0, 1]
    """

    def beats(a: Sequence[float], b: Sequence[float]) -> bool:
        return a[0] >= b[0] and a[1] <= b[1] and tuple(a) != tuple(b)

    return [k for k, row in enumerate(values) if not any(beats(other, row) for other in values)]
