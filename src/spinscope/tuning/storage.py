"""The storage of studies: Optuna's relational one in `OUT/optuna.db` (SQLite).

What a killed process was about to write there is rolled back, and its locks are the kernel's, which
end with it; Optuna's journal file can be left with half a line, and its lock file with nobody to
remove it.

A trial is taken under a file lock of ours, for Optuna itself may hand a waiting trial to two
processes at once on SQLite (optuna/optuna#4002). It bears the name of the process that took it, so
that one whose owner is dead is taken up at once, under its own number, by whoever comes next;
Optuna's heartbeat would wait for a grace period and count the trial as failed, and it needs
`optimize`. A trial is taken over on the machine that began it.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.processes import dead, this_process
from spinscope.tuning.plan import Config, Plan, Space, Span, Whole, key

if TYPE_CHECKING:
    import optuna

DATABASE = "optuna.db"
RESULT = "trial.json"

OWNER, CONFIG, CURVE, COST, ERROR = "owner", "config", "curve", "cost", "error"
"""What a trial bears beside Optuna's own: names of its attributes."""

_DONE = ("COMPLETE", "PRUNED")
_LOCK_WAIT_S = 60


def study(plan: Plan) -> optuna.Study:
    """The study of a plan in the storage, which is made where there is none."""
    return _study(plan.out.resolve(), plan.name, plan.directions)


@functools.lru_cache(maxsize=8)
def _study(out: Path, name: str, directions: tuple[str, ...]) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = out / DATABASE
    if not database.is_file():
        # Built aside and renamed: a killed process leaves no storage with half of its tables.
        with atomic_file(database) as partial:
            _storage(partial)
    return optuna.create_study(
        storage=_storage(database), study_name=name, directions=directions, load_if_exists=True
    )


def _storage(database: Path):
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    def settle(connection, _) -> None:
        # A commit need not wait for the disk: it is a process that may be killed, not the machine.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    options = {"connect_args": {"timeout": _LOCK_WAIT_S}}
    storage = RDBStorage(f"sqlite:///{database}", engine_kwargs=options)
    event.listen(storage.engine, "connect", settle)
    storage.engine.dispose()  # the connection that made the tables
    return storage


def enqueue(plan: Plan) -> None:
    """Make storage and study, and a waiting trial of each config that has none.

    Raises SpinscopeError where a config is given twice.
    """
    from optuna.trial import TrialState, create_trial

    configs = plan.configs or ()
    names = [key(config) for config in configs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(f"study {plan.name}: {twice[0]} must be given once")
    with locked(plan):
        known = trials(plan)
        kept = {key(t.user_attrs[CONFIG]) for t in known if t.state.name != "FAIL"} & set(names)
        for config, name in zip(configs, names, strict=True):
            if name not in kept:
                attributes = {CONFIG: config}
                waiting = create_trial(state=TrialState.WAITING, user_attrs=attributes)
                study(plan).add_trial(waiting)


def take(plan: Plan) -> optuna.Trial | None:
    """A trial that waits, that a dead process left, or that a search still draws; else None."""
    import optuna

    with locked(plan):
        one, known = study(plan), trials(plan)
        wanted = _wanted(plan, known)
        running = [trial for trial in wanted if trial.state.name == "RUNNING"]
        # Trials are taken under the lock: one without an owner was left by a process that died. A
        # process does one after the other: one of its own was left by an error on the way.
        left = next((trial for trial in running if _left(trial.user_attrs.get(OWNER, ""))), None)
        if left is not None:
            one.sampler = _sampler(plan, left.number)
            trial = optuna.Trial(one, left._trial_id)
        elif waiting := [trial for trial in wanted if trial.state.name == "WAITING"]:
            trial = _begin(one, waiting[0])
        elif plan.configs is None and missing(plan, known) > len(running):
            one.sampler = _sampler(plan, len(known))
            trial = one.ask()
        else:
            return None
        if plan.space is not None:
            trial.set_user_attr(CONFIG, _drawn(trial, plan.space))
        trial.set_user_attr(OWNER, this_process())
    return trial


def _left(owner: str) -> bool:
    return dead(owner) or owner == this_process()


def _begin(one: optuna.Study, waiting: optuna.trial.FrozenTrial) -> optuna.Trial:
    """A waiting trial of this plan; `ask` would take any that waits in the study."""
    import optuna
    from optuna.trial import TrialState

    one._storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING)
    return optuna.Trial(one, waiting._trial_id)


def _drawn(trial: optuna.Trial, space: Space) -> Config:
    """A config of the space; what the trial has drawn before stays."""
    config: Config = {}
    for name, of in space.items():
        if isinstance(of, Span):
            config[name] = trial.suggest_float(name, of.low, of.high, log=of.log)
        elif isinstance(of, Whole):
            config[name] = trial.suggest_int(name, of.low, of.high)
        else:
            config[name] = trial.suggest_categorical(name, of.of)
    return config


def _sampler(plan: Plan, number: int):
    """What draws the config of trial `number`, the same for the same trials before it."""
    from optuna.samplers import TPESampler

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    return TPESampler(seed=seed, n_startup_trials=max(plan.startup, 1))


def trials(plan: Plan) -> list[optuna.trial.FrozenTrial]:
    """Every trial of the study, as it stands now."""
    return study(plan).get_trials(deepcopy=False)


def missing(plan: Plan, known: Sequence[optuna.trial.FrozenTrial] | None = None) -> int:
    """Trials of the plan that are not finished; failed ones are not waited for in this call."""
    known = trials(plan) if known is None else known
    if plan.configs is None:
        return plan.trials - sum(trial.state.name in _DONE for trial in known)
    return sum(trial.state.name in ("WAITING", "RUNNING") for trial in _wanted(plan, known))


def results(plan: Plan, but: Collection[int] = ()) -> list[dict]:
    """A row for every finished trial of a plan, in order of number, `but` those numbers.

    The keys are those of its result file, `number`, `state`, `curve`, `cost`, `epochs` and
    `folder`, relative to `out`.
    """
    rows = []
    for trial in _wanted(plan, trials(plan)):
        if trial.state.name not in _DONE or trial.number in but:
            continue
        attributes = trial.user_attrs
        folder = plan.folder(attributes[CONFIG], trial.number)
        if not (folder / RESULT).is_file():
            raise SpinscopeError(
                f"{folder / RESULT} is missing, which {plan.out / DATABASE} says was written; "
                "restore it, or remove that storage to start the study again"
            )
        rows.append(
            {
                "curve": attributes.get(CURVE, []),
                "cost": attributes.get(COST),
                "epochs": len(attributes.get(CURVE, [])),
                **json.loads((folder / RESULT).read_text()),
                "number": trial.number,
                "state": trial.state.name.lower(),
                "folder": folder.relative_to(plan.out).as_posix(),
            }
        )
    return sorted(rows, key=lambda row: row["number"])


def _wanted(plan: Plan, known: Sequence) -> list[optuna.trial.FrozenTrial]:
    """The trials of a plan: the study may hold those of configs that are not asked for now."""
    if plan.configs is None:
        return list(known)
    names = {key(config) for config in plan.configs}
    return [trial for trial in known if key(trial.user_attrs[CONFIG]) in names]


@contextlib.contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """Alone among the processes of the storage; the kernel frees the lock of one that dies."""
    from filelock import FileLock

    plan.out.mkdir(parents=True, exist_ok=True)
    with FileLock(plan.out / f".{DATABASE}.lock"):
        yield
