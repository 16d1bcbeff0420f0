"""Trials, done by one process or by several: taken, evaluated, kept on disk, told to the storage.

The result of a trial lies on disk before Optuna is told: one that is interrupted counts once.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.processes import end_with_parent
from spinscope.tuning import storage
from spinscope.tuning.plan import Config, Plan
from spinscope.tuning.storage import CONFIG, COST, CURVE, ERROR, OWNER, RESULT

if TYPE_CHECKING:
    import optuna

PEERS = 3
"""Completed trials that a trial is held against before it may be pruned, at least."""
WARM_UP = 2
"""Epochs before a trial may be pruned."""

_ROUNDS = 3
_POLL_S = 0.2


class Pruned(Exception):
    """A trial is given up: it does not look as if it got to the Pareto front."""


class Watch:
    """What a trial tells as it goes on; it says when to give up."""

    def __init__(self, plan: Plan, study: optuna.Study, trial: optuna.Trial):
        self._plan, self._study, self._trial = plan, study, trial
        self.number = trial.number

    def cost(self, cost: float) -> None:
        """The value to minimise, where it is known before the other, as a frame's time is."""
        self._trial.set_user_attr(COST, cost)

    def epoch(self, epoch: int, score: float) -> None:
        """Note the score of an epoch, counted from 0; raises `Pruned` where it is not enough.

        Optuna prunes no study of two aims, so this does, by its median rule with an eye on the
        cost: a trial is given up where its best score so far is below the median of the scores
        that the completed trials which cost no more had at this epoch. There must be `PEERS` of
        those, `startup` completed trials in all, and `WARM_UP` epochs before. A trial that is
        cheaper than the others is never given up for being worse: it may be on the front.
        """
        known = self._study.get_trials(deepcopy=False)
        own = next(trial for trial in known if trial.number == self.number).user_attrs
        before = own.get(CURVE, [])[:epoch]
        # A process that was killed between its backup and this note left one out.
        before += [before[-1] if before else float(score)] * (epoch - len(before))
        curve = [*before, float(score)]
        self._trial.set_user_attr(CURVE, curve)
        if self._plan.space is None:
            return
        complete = [trial.user_attrs for trial in known if trial.state.name == "COMPLETE"]
        others = [(attributes.get(COST), attributes.get(CURVE, [])) for attributes in complete]
        if len(complete) >= self._plan.startup and hopeless(curve, own.get(COST), others):
            raise Pruned


def hopeless(
    curve: Sequence[float],
    cost: float | None,
    others: Sequence[tuple[float | None, Sequence[float]]],
) -> bool:
    """Whether the median rule gives a trial up, see `Watch.epoch`.

    curve : scores of its epochs so far.   others : (cost, curve) of the completed trials.

    >>> others = [(10, [0.5, 0.7, 0.8]), (20, [0.4, 0.6, 0.7]), (30, [0.1, 0.2, 0.3])]
    >>> hopeless([0.3, 0.4, 0.5], 40, others), hopeless([0.3, 0.4, 0.5], 25, others)
    (True, False)
    """
    epoch = len(curve) - 1
    peers = [
        scores[epoch]
        for other, scores in others
        if len(scores) > epoch and (cost is None or other is None or other <= cost)
    ]
    enough = len(peers) >= PEERS and epoch >= WARM_UP
    return enough and max(curve) < statistics.median(peers)


Objective = Callable[[Config, Path, Watch], Mapping[str, Any]]
"""(config, folder of the trial, watch) → {"values": [...], …} that JSON can hold.

It is called again with the same config and folder where it was interrupted. Other processes get it
pickled.
"""


def run(
    objective: Objective, plan: Plan, workers: int, on_result: Callable[[dict], None] | None
) -> list[dict]:
    """Work until no trial is missing, handing each result on as it comes; returns all results."""
    if workers < 1:
        raise SpinscopeError(f"workers (={workers}) must be at least 1")
    told: set[int] = set()

    def tell() -> None:
        for row in storage.results(plan, told) if on_result else ():
            on_result(row)
            told.add(row["number"])

    storage.enqueue(plan)
    tell()
    if workers == 1:
        for _ in work(objective, plan):
            tell()
    else:
        for _ in range(_ROUNDS):
            if left := storage.missing(plan):
                _in_processes(objective, plan, min(workers, left), tell)
        if left := storage.missing(plan):
            raise SpinscopeError(
                f"study {plan.name}: {left} trials are missing, for the workers died {_ROUNDS} "
                "times; run it again to go on"
            )
    tell()
    return storage.results(plan)


def work(objective: Objective, plan: Plan) -> Iterator[int]:
    """Do the trials that nobody does until none is missing, and yield the number of each done.

    While the last ones are under way in other processes it waits, to take them up should those die.
    """
    while True:
        trial = storage.take(plan)
        if trial is not None:
            _finish(objective, plan, trial)
            yield trial.number
        elif storage.missing(plan):
            time.sleep(_POLL_S)
        else:
            return


def _finish(objective: Objective, plan: Plan, trial: optuna.Trial) -> None:
    """Evaluate a trial unless its result lies on disk, and tell the storage."""
    from optuna.trial import TrialState

    study, config = storage.study(plan), trial.user_attrs[CONFIG]
    folder = plan.folder(config, trial.number)
    if not _kept(folder / RESULT, config):
        try:
            result = dict(objective(config, folder, Watch(plan, study, trial)))
        except Pruned:
            result = {"values": None}
        except Exception as error:
            trial.set_user_attr(ERROR, str(error))
            study.tell(trial, state=TrialState.FAIL)
            raise
        except BaseException:  # stopped by a person: whoever comes next takes it up
            trial.set_user_attr(OWNER, "")
            raise
        write_json(folder / RESULT, {"config": config, **result})
    values = json.loads((folder / RESULT).read_text())["values"]
    if values is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, values)


def _kept(path: Path, config: Config) -> bool:
    """Whether a file is the result of this config, and not of a storage that was here before."""
    return path.is_file() and json.loads(path.read_text())["config"] == config


def _in_processes(objective: Objective, plan: Plan, workers: int, tell: Callable[[], None]) -> None:
    """`work` in processes; raises the first sentence that one of them ended with."""
    context = get_context("spawn")
    errors = context.SimpleQueue()
    started = [
        context.Process(target=_worker, args=(objective, plan, errors), daemon=True)
        for _ in range(workers)
    ]
    try:
        for process in started:
            process.start()
        while alive := [process for process in started if process.is_alive()]:
            alive[0].join(5 * _POLL_S)
            tell()
    finally:
        for process in started:
            if process.is_alive():
                process.terminate()
            if process.pid is not None:
                process.join()
    if not errors.empty():
        raise SpinscopeError(errors.get())


def _worker(objective: Objective, plan: Plan, errors) -> None:
    """A process beside others: one thread for the network, and no life after its parent's."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    end_with_parent()
    try:
        for _ in work(objective, plan):
            pass
    except Exception as error:
        errors.put(str(error) or type(error).__name__)
        raise SystemExit(1) from None
