"""Storage of studies: Optuna's relational one in ``OUT/optuna.db`` (SQLite) or on PostgreSQL.

A PostgreSQL database holds the studies of many output folders, so that the name of a study there
ends with the digest of its folder. Its lock is an advisory one, which ends with the connection.

SQLite rolls back what a killed process was writing, and the kernel releases its locks. Optuna's
journal file can be left with half a line and with a stale lock file.

A trial is taken under a file lock, since Optuna may hand a waiting trial to two processes at once
on SQLite (optuna/optuna#4002). It names the process that took it. A trial whose process is dead is
resumed at once, under its own number, by the next process on the same machine. Optuna's heartbeat
would wait for a grace period, count the trial as failed, and needs `optimize`.

Optuna's public calls cannot do this: `Study.ask` starts any waiting trial, and a trial that was
marked as failed gets a new number, on which its folder and the draws of a search depend. `take`
therefore makes the `Trial` itself, with three calls of the storage (`get_study_id_from_name`,
`get_trial_id_from_study_id_trial_number`, `set_trial_state_values`).
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, digest
from spinscope.processes import dead, this_process
from spinscope.tuning.plan import Choice, Config, Plan, Space, Span, key

DATABASE = "optuna.db"
RESULT = "trial.json"

OWNER, CONFIG, CURVE, COST, ERROR = "owner", "config", "curve", "cost", "error"
"""Names of the attributes of a trial besides Optuna's own."""

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_LOCK_WAIT_S = 60


def study(plan: Plan) -> optuna.Study:
    """Study of a plan, created if missing.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    """
    return _opened_of(plan)[0]


def _opened_of(plan: Plan) -> tuple[optuna.Study, RDBStorage, int]:
    return _opened(plan.out.resolve(), plan.name, plan.directions, plan.database)


@functools.lru_cache(maxsize=8)
def _opened(
    out: Path, name: str, directions: tuple[str, ...], address: str | None
) -> tuple[optuna.Study, RDBStorage, int]:
    """Study, its storage and its number in the storage."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if address is not None:
        storage, name = _server(address), f"{name}@{digest(str(out))}"
    else:
        database = out / DATABASE
        if not database.is_file():
            # Built aside and renamed: a killed process leaves no storage with half of its tables.
            with atomic_file(database) as partial:
                _storage(partial)
        storage = _storage(database)
    found = optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    return found, storage, storage.get_study_id_from_name(name)


@functools.cache
def _server(address: str) -> RDBStorage:
    """Storage on a PostgreSQL server."""
    import sqlalchemy

    # psycopg2 reads the password from $PGPASSWORD or ~/.pgpass.
    options = {"pool_pre_ping": True}
    try:
        engine = sqlalchemy.create_engine(address, **options)
        with engine.connect() as connection, _advisory(connection, "spinscope tables"):
            return RDBStorage(address, engine_kwargs=options)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        text = " ".join(str(getattr(error, "orig", error)).split())
        raise SpinscopeError(
            f"tuning.storage (={address!r}) cannot be used: {text}; it needs the packages of the "
            "extra `server`, a running PostgreSQL and $PGPASSWORD"
        ) from error


@contextlib.contextmanager
def _advisory(connection, name: str) -> Iterator[None]:
    """Exclude other connections that ask for the same name; a dead one releases it."""
    import sqlalchemy

    number = int(digest(name), 16) - 2**63
    connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": number})
    try:
        yield
    finally:
        connection.execute(
            sqlalchemy.text("SELECT pg_advisory_unlock(:number)"), {"number": number}
        )


def _storage(database: Path) -> RDBStorage:
    """Storage in a SQLite file."""
    from sqlalchemy import event

    def settle(connection, _) -> None:
        # A commit need not wait for the disk: processes may be killed, the machine is not.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    options = {"connect_args": {"timeout": _LOCK_WAIT_S}}
    storage = RDBStorage(f"sqlite:///{database}", engine_kwargs=options)
    event.listen(storage.engine, "connect", settle)
    storage.engine.dispose()  # the connection that made the tables
    return storage


def enqueue(plan: Plan) -> None:
    """Create the study, and a waiting trial for each config that has none.

    Parameters
    ----------
    plan : Plan
        Plan of the study.

    Raises
    ------
    SpinscopeError
        If a config is given twice.
    """
    configs = {key(config): config for config in plan.configs or ()}
    if len(configs) < len(plan.configs or ()):
        names = [key(config) for config in plan.configs]
        twice = min(name for name in names if names.count(name) > 1)
        raise SpinscopeError(f"study {plan.name}: {twice} must be given once")
    with locked(plan):
        for trial in trials(plan):
            if trial.state != TrialState.FAIL:
                configs.pop(key(trial.user_attrs.get(CONFIG, {})), None)
        for config in configs.values():
            waiting = optuna.create_trial(state=TrialState.WAITING, user_attrs={CONFIG: config})
            study(plan).add_trial(waiting)


def take(plan: Plan) -> Trial | None:
    """A trial left by a dead process, a waiting one, or a new one of a search; else None.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    """
    with locked(plan):
        one, storage, study_id = _opened_of(plan)
        wanted = _wanted(plan)
        running = [trial for trial in wanted if trial.state == TrialState.RUNNING]
        # Trials are taken under the lock, so that one without an owner was left by a dead process.
        # A process runs one trial at a time, so that its own was left by an error.
        left = [trial for trial in running if _left(trial.user_attrs.get(OWNER, ""))]
        waiting = [trial for trial in wanted if trial.state == TrialState.WAITING]
        if left or waiting:
            number = (left or waiting)[0].number
            one.sampler = _sampler(plan, number)
            id_ = storage.get_trial_id_from_study_id_trial_number(study_id, number)
            if not left:
                storage.set_trial_state_values(id_, state=TrialState.RUNNING)
            trial = Trial(one, id_)
        elif plan.configs is None and missing(plan) > len(running):
            one.sampler = _sampler(plan, len(wanted))
            trial = one.ask()
        else:
            return None
        if plan.space is not None:
            trial.set_user_attr(CONFIG, _drawn(trial, plan.space))
        trial.set_user_attr(OWNER, this_process())
    return trial


def _left(owner: str) -> bool:
    """Whether the owner of a running trial no longer works on it."""
    return dead(owner) or owner == this_process()


def _drawn(trial: Trial, space: Space) -> Config:
    """Config of a trial; values that it has drawn before stay."""
    config: Config = {}
    for name, values in space.items():
        if isinstance(values, Choice):
            config[name] = trial.suggest_categorical(name, values.choices)
        elif isinstance(values, Span):
            config[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        else:
            config[name] = trial.suggest_int(name, values.low, values.high)
    return config


def _sampler(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    """Sampler of trial `number`, which draws the same after the same trials."""
    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(plan.startup, 1))


def trials(plan: Plan) -> list[FrozenTrial]:
    """Every trial of the study.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    """
    return study(plan).get_trials(deepcopy=False)


def missing(plan: Plan) -> int:
    """Number of unfinished trials of the plan; failed ones are left to the next call.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    """
    done = [trial.state for trial in _wanted(plan)]
    if plan.configs is None:
        return plan.trials - sum(state in _DONE for state in done)
    return sum(state in (TrialState.WAITING, TrialState.RUNNING) for state in done)


def results(plan: Plan, without: Collection[int] = ()) -> list[dict]:
    """Rows of the finished trials of a plan, except the numbers in `without`, in their order.

    The keys are those of the result file, `number`, `state`, `curve`, `cost`, `epochs` and
    `folder`, relative to `out`.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    without : collection of int
        Numbers of trials to leave out.
    """
    rows = []
    for trial in sorted(_wanted(plan), key=lambda trial: trial.number):
        if trial.state not in _DONE or trial.number in without:
            continue
        attributes = trial.user_attrs
        folder, curve = plan.folder(attributes[CONFIG], trial.number), attributes.get(CURVE, [])
        if not (folder / RESULT).is_file():
            where = plan.database or plan.out / DATABASE
            raise SpinscopeError(
                f"{folder / RESULT} is missing, which {where} says was written; "
                "restore it, or remove that storage to start the study again"
            )
        single = {"curve": curve, "cost": attributes.get(COST), "epochs": len(curve)}
        about = {"number": trial.number, "state": trial.state.name.lower()}
        about["folder"] = folder.relative_to(plan.out).as_posix()
        rows.append(single | json.loads((folder / RESULT).read_text())["value"] | about)
    return rows


def _wanted(plan: Plan) -> Sequence[FrozenTrial]:
    """Trials of a plan; the study may also hold configs of other plans."""
    if plan.configs is None:
        return trials(plan)
    names = {key(config) for config in plan.configs}
    return [trial for trial in trials(plan) if key(trial.user_attrs[CONFIG]) in names]


@contextlib.contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """Exclude other processes from the storage; the kernel releases the lock of a dead one.

    Parameters
    ----------
    plan : Plan
        Plan of the study.
    """
    from filelock import FileLock

    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.database is not None:
        _, storage, study_id = _opened_of(plan)
        with (
            storage.engine.connect() as connection,
            _advisory(connection, f"study {study_id}"),
        ):
            yield
        return
    with FileLock(plan.out / f".{DATABASE}.lock"):
        yield
