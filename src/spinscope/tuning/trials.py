"""Trials of a study, run by one process or by several.

The result of a trial is on disk before Optuna is told, so that an interrupted trial counts once.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from spinscope.errors import SpinscopeError
from spinscope.files import kept, write_json
from spinscope.processes import end_with_parent
from spinscope.tuning import storage
from spinscope.tuning.plan import Config, Plan
from spinscope.tuning.storage import CONFIG, COST, CURVE, ERROR, OWNER, RESULT

PEERS = 3
"""Smallest number of complete trials that a trial is compared with before it may be pruned."""
WARM_UP = 2
"""Epochs before a trial may be pruned."""

_ROUNDS = 3
_POLL_S = 0.2


class Pruned(Exception):
    """A trial is ended early, since it is unlikely to reach the Pareto front."""


class Watch:
    """Records the progress of a trial and prunes it."""

    def __init__(self, plan: Plan, study: optuna.Study, trial: optuna.Trial):
        self._plan, self._study, self._trial = plan, study, trial
        self.number = trial.number

    def cost(self, cost: float) -> None:
        """Record the value to minimise, if it is known before the other, as a frame's time is.

        Parameters
        ----------
        cost : float
            The value to minimise.
        """
        self._trial.set_user_attr(COST, cost)

    def epoch(self, epoch: int, score: float) -> None:
        """Record the score of an epoch.

        Optuna does not prune studies of two aims, so this applies its median rule with regard to
        the cost. A trial is pruned if its best score is below the median score, at this epoch, of
        the complete trials that cost no more. `PEERS` of those, `startup` complete trials and
        `WARM_UP` epochs are required. A trial cheaper than all others is never pruned, since it
        may be on the front.

        Parameters
        ----------
        epoch : int
            Epoch, counted from 0.
        score : float
            Its score.

        Raises
        ------
        Pruned
            If the trial should end.
        """
        known = self._study.get_trials(deepcopy=False)
        own = next(trial for trial in known if trial.number == self.number).user_attrs
        curve = extended(own.get(CURVE, []), epoch, score)
        self._trial.set_user_attr(CURVE, curve)
        if self._plan.space is None:
            return
        complete = [trial.user_attrs for trial in known if trial.state == TrialState.COMPLETE]
        others = [(attributes.get(COST), attributes.get(CURVE, [])) for attributes in complete]
        if len(complete) >= self._plan.startup and hopeless(curve, own.get(COST), others):
            raise Pruned


def hopeless(
    curve: Sequence[float],
    cost: float | None,
    others: Sequence[tuple[float | None, Sequence[float]]],
) -> bool:
    """Whether the median rule of `Watch.epoch` prunes a trial.

    Parameters
    ----------
    curve : sequence of float
        Scores of its epochs so far.
    cost : float, optional
        Its cost.
    others : sequence of (cost, curve)
        Complete trials.

    Examples
    --------
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


class Curve:
    """Records the scores of a trial in its folder, on a machine without the storage of the study.

    Parameters
    ----------
    folder : Path
        Folder of the trial.
    """

    def __init__(self, folder: Path):
        self._file = folder / "curve.json"

    def epoch(self, epoch: int, score: float) -> None:
        """Record the score of an epoch, as `Watch.epoch` does; the trial is never pruned.

        Parameters
        ----------
        epoch : int
            Epoch, counted from 0.
        score : float
            Its score.
        """
        write_json(self._file, extended(self.read(), epoch, score))

    def read(self) -> list[float]:
        """Scores so far."""
        return json.loads(self._file.read_text()) if self._file.is_file() else []


def extended(curve: Sequence[float], epoch: int, score: float) -> list[float]:
    """Curve with the score of an epoch; a process that was killed may have omitted one.

    Parameters
    ----------
    curve : sequence of float
        Scores of earlier epochs.
    epoch : int
        Epoch, counted from 0.
    score : float
        Its score.

    Examples
    --------
    >>> extended([0.5], 2, 0.7)
    [0.5, 0.5, 0.7]
    """
    before = list(curve[:epoch])
    before += [before[-1] if before else float(score)] * (epoch - len(before))
    return [*before, float(score)]


Objective = Callable[[Config, Path, Watch | Curve], Mapping[str, Any]]
"""(config, folder of the trial, watch) → {"values": [...], …} that JSON can hold.

An interrupted trial is repeated with the same config and folder. Other processes receive the
objective pickled.
"""


Elsewhere = Callable[[Callable[[Config], Any], Sequence[Config]], Any]
"""(function, configs) → calls the function with each config, on other machines, and waits."""


def run(
    objective: Objective,
    plan: Plan,
    workers: int,
    on_result: Callable[[dict], None] | None,
    elsewhere: Elsewhere | None = None,
) -> list[dict]:
    """Run the missing trials of a plan, pass each result on as it ends, and return all results.

    Parameters
    ----------
    objective : callable
        Evaluates a config (`Objective`).
    plan : Plan
        Plan of the study.
    workers : int
        Units that run at a time.
    on_result : callable, optional
        Called with each result as it ends.
    elsewhere : callable, optional
        Evaluates the configs of a plan on other machines (`Elsewhere`), which write their results
        to the folders of the trials; this process alone uses the storage.
    """
    if workers < 1:
        raise SpinscopeError(f"workers (={workers}) must be at least 1")
    passed_on: set[int] = set()

    def pass_on() -> None:
        for row in storage.results(plan, passed_on) if on_result else ():
            on_result(row)
            passed_on.add(row["number"])

    storage.enqueue(plan)
    pass_on()
    if elsewhere is not None:
        missing = [c for c in plan.configs or () if not (plan.folder(c, 0) / RESULT).is_file()]
        elsewhere(functools.partial(evaluated, objective, replace(plan, database=None)), missing)
    if workers == 1 or elsewhere is not None:
        for _ in work(objective, plan):
            pass_on()
    else:
        for _ in range(_ROUNDS):
            if left := storage.missing(plan):
                _in_processes(objective, plan, min(workers, left), pass_on)
        if left := storage.missing(plan):
            raise SpinscopeError(
                f"study {plan.name}: {left} trials are missing, for the workers died {_ROUNDS} "
                "times; run it again to go on"
            )
    pass_on()
    return storage.results(plan)


def evaluated(objective: Objective, plan: Plan, config: Config) -> None:
    """Evaluate a config of a plan without its storage; the result is kept in its folder.

    Parameters
    ----------
    objective : callable
        Evaluates a config (`Objective`).
    plan : Plan
        Plan of the study.
    config : dict
        Config of the plan.
    """

    def evaluate(folder: Path) -> dict[str, Any]:
        curve = Curve(folder)
        found = objective(config, folder, curve)
        scores = curve.read()
        return {**found, "curve": scores, "epochs": len(scores)}

    _result(plan, config, 0, evaluate)


def _result(
    plan: Plan, config: Config, number: int, evaluate: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Result of a trial, evaluated in its folder unless it is on disk."""
    folder = plan.folder(config, number)
    return kept(folder / RESULT, config, lambda: {"config": config, **evaluate(folder)})


def work(objective: Objective, plan: Plan) -> Iterator[int]:
    """Run trials until none is missing, and yield the number of each.

    While the last ones run in other processes it waits, to resume them should those die.

    Parameters
    ----------
    objective : callable
        Evaluates a config (`Objective`).
    plan : Plan
        Plan of the study.
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
    """Evaluate a trial unless its result is on disk, and report it to the storage."""
    study, config = storage.study(plan), trial.user_attrs[CONFIG]

    def evaluate(folder: Path) -> Mapping[str, Any]:
        try:
            return objective(config, folder, Watch(plan, study, trial))
        except Pruned:
            return {"values": None}
        except Exception as error:
            trial.set_user_attr(ERROR, str(error))
            study.tell(trial, state=TrialState.FAIL)
            raise
        except BaseException:  # stopped by a person: the next call resumes it
            trial.set_user_attr(OWNER, "")
            raise

    values = _result(plan, config, trial.number, evaluate)["values"]
    if values is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, values)


def _in_processes(
    objective: Objective, plan: Plan, workers: int, pass_on: Callable[[], None]
) -> None:
    """Run `work` in processes; raises the first error of any, after the others have ended."""
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
            pass_on()
    finally:
        for process in started:
            if process.pid is not None:
                process.terminate()
                process.join()
    if not errors.empty():
        raise SpinscopeError(errors.get())


def _worker(objective: Objective, plan: Plan, errors) -> None:
    """Run trials in a process with one thread, which exits when its parent exits."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    end_with_parent()
    try:
        for _ in work(objective, plan):
            pass
    except Exception as error:
        errors.put(str(error) or type(error).__name__)
        raise SystemExit(1) from None
