"""The two kinds of study: a list of configs, each tried once, and a search for two aims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spinscope.tuning.plan import Config, Plan, Space, key
from spinscope.tuning.trials import Objective, run


def one_at_a_time(
    objective: Objective,
    configs: Sequence[Config],
    out: Path,
    name: str,
    *,
    workers: int = 1,
    on_result: Callable[[dict], None] | None = None,
) -> list[dict]:
    """Try every config exactly once, and return their results in order.

    A call that repeats one that was killed, or is given more configs, does what is missing.
    out : holds the storage, `optuna.db`, and a folder a trial.
    name : the study's, which must change with all that decides a result beside its config.
    workers : processes side by side; one alone is this process.
    on_result : called here with each result as it comes, those of earlier calls first.
    A result is {"config", "number", "folder" below `out`, "curve", **what the objective gave}.
    Raises SpinscopeError where an objective did, after the other workers have ended; the next call
    tries it again.
    """
    plan = Plan(Path(out), name, configs=tuple(configs))
    found = {key(row["config"]): row for row in run(objective, plan, workers, on_result)}
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
) -> list[dict]:
    """Search a space for two values at once, the first to maximise and the second to minimise.

    A tree-structured Parzen estimator of several aims draws the configs, seeded by `seed` and the
    trial's number: with one worker, a search that was killed goes on as it would have.
    startup : trials that are drawn at random, and completed before any is pruned (`Watch.epoch`).
    Returns a row a trial, in order, as `one_at_a_time` does, with "state" ("complete" or
    "pruned"), "epochs" that were done, "curve" and "cost".
    Source: Ozaki et al., Proc. GECCO, 533 (2020).
    """
    plan = Plan(
        Path(out),
        name,
        directions=("maximize", "minimize"),
        space=dict(space),
        trials=trials,
        startup=startup,
        seed=seed,
    )
    return run(objective, plan, workers, on_result)


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the rows (maximised, minimised) that no other row is better than.

    A row is left out where another is at least as good in both and better in one.

    >>> pareto_front([(0.9, 30), (0.8, 20), (0.8, 25), (0.7, 40)])
    [0, 1]
    """

    def beats(a: Sequence[float], b: Sequence[float]) -> bool:
        return a[0] >= b[0] and a[1] <= b[1] and tuple(a) != tuple(b)

    return [k for k, row in enumerate(values) if not any(beats(other, row) for other in values)]
