"""Kill -9, I/O errors and a full disk at the n-th file operation."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.faults.base import (
    ERROR,
    FILE_CALLS,
    FULL,
    KILL,
    WRITES,
    Operations,
    Trials,
    chosen,
    scenario,
)
from tests.faults.operations import (
    NAME,
    corpus,
    promoted,
    registered,
    review,
    tracking_at,
)

from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.reviews.folder import Reviews
from spinscope.tracking import MOVED, history, open_store, version, versions
from spinscope.tracking.registry import current, intact


def _each(
    operation: str,
    fault: str,
    calls: tuple[str, ...],
    folder: Path,
    rng: random.Random,
    n: int,
    fresh: Callable[[Path], Path],
    lost: Callable[[Path, bool], str | None],
) -> Trials:
    """Hit an operation at its n-th call, each time in a fresh folder.

    `fresh` makes the folder of a trial; `lost` (folder, whether the operation succeeded) says what
    was lost, if anything.
    """
    operations = Operations.shared()
    count = operations.count(operation, fresh(folder / "counted"), calls)
    for k in chosen(count, n, rng):
        place = fresh(folder / f"trial-{k}")
        status = operations.run(operation, place, fault.format(k), calls)
        problem = None
        if status not in (0, 3, -9):
            problem = f"no sentence, but exit status {status}"
        try:
            problem = problem or lost(place, status == 0)
        except (SpinscopeError, OSError, sqlite3.Error) as error:
            problem = f"{type(error).__name__}: {error}"
        yield problem and f"call {k} of {count}: {problem}"
        shutil.rmtree(place, ignore_errors=True)


def _store(folder: Path) -> Callable[[Path], Path]:
    """Function that copies a store with three versions, of which the first is promoted."""
    template = folder / "template"
    store = open_store(tracking_at(template))
    registered(store, folder, 3)

    def fresh(place: Path) -> Path:
        place.mkdir()
        shutil.copy(template / "mlflow.db", place)
        (place / "artifacts").symlink_to(template / "artifacts")
        return place

    return fresh


def _sound(place: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    return None if answer == "ok" else f"the database: {answer}"


def _promotion(place: Path, succeeded: bool) -> str | None:
    """What an interrupted promotion of version 2 lost, and whether the next one works."""
    if problem := _sound(place):
        return problem
    store = open_store(tracking_at(place))
    lab, steps = current(store, NAME), history(store, NAME)
    if lab is None or lab.version not in (1, 2):
        return f"the lab has {lab}"
    if succeeded and lab.version != 2:
        return "a promotion that succeeded is lost"
    expected = [1, 2] if lab.version == 2 else [1]
    if [step.to_version for step in steps] != expected or steps[-1].action == MOVED:
        return f"the history says {[(step.action, step.to_version) for step in steps]}"
    promoted(store, 3)
    if [step.to_version for step in history(store, NAME)] != [*expected, 3]:
        return "the next promotion is not in the history"
    return None


@scenario("kill -9 at every file operation of a promotion")
def promotion_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill at each call; alias and history agree, and the next promotion works."""
    return _each("promote2", KILL, FILE_CALLS, folder, rng, n, _store(folder), _promotion)


@scenario("I/O error at every write of a promotion")
def promotion_io_error(folder: Path, rng: random.Random, n: int) -> Trials:
    """One error EIO; alias and history agree, and the next promotion works."""
    return _each("promote2", ERROR, WRITES, folder, rng, n, _store(folder), _promotion)


@scenario("disk full from every write of a promotion on")
def promotion_disk_full(folder: Path, rng: random.Random, n: int) -> Trials:
    """ENOSPC from the n-th write on; alias and history agree, and the next promotion works."""
    return _each("promote2", FULL, WRITES, folder, rng, n, _store(folder), _promotion)


def _registration(place: Path, succeeded: bool) -> str | None:
    """What an interrupted registration of version 4 lost, and whether the next one works."""
    if problem := _sound(place):
        return problem
    store = open_store(tracking_at(place))
    numbers = sorted(versions(store, NAME)["version"])
    if numbers not in ([1, 2, 3], [1, 2, 3, 4]) or (succeeded and len(numbers) == 3):
        return f"the versions are {numbers}"
    for number in numbers:
        if problem := intact(store, version(store, NAME, number)):
            return problem
    return None


@scenario("kill -9 of a registration", n=20)
def registration_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill at n calls; every version that exists is complete."""
    fresh = _store(folder)

    def separate(place: Path) -> Path:
        """Artifacts of its own, since a registration adds some."""
        fresh(place)
        (place / "artifacts").unlink()
        shutil.copytree(folder / "template/artifacts", place / "artifacts", symlinks=True)
        return place

    return _each("register", KILL, FILE_CALLS, folder, rng, n, separate, _registration)


def _reviews(place: Path) -> Path:
    place.mkdir()
    review(place, 0)
    return place


def _save(place: Path, succeeded: bool) -> str | None:
    """What an interrupted save lost, and whether the next one works."""
    reviews = Reviews.open(place / "reviews")
    found = reviews.history("7")
    if [one.who for one in found] not in (["reviewer 0"], ["reviewer 0", "reviewer 1"]):
        return f"the versions are of {[one.who for one in found]}"
    if succeeded and len(found) == 1:
        return "a save that succeeded is lost"
    for one in found:
        reviews.label(one), reviews.image(one), reviews.shown(one)
    review(place, 1)
    if len(Reviews.open(place / "reviews").history("7")) != len(found) + 1:
        return "the next save is lost"
    return None


@scenario("kill -9 at every file operation of a review's save")
def save_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill at each call; earlier versions are whole, and the next save works."""
    return _each("review", KILL, FILE_CALLS, folder, rng, n, _reviews, _save)


@scenario("I/O error at every write of a review's save")
def save_io_error(folder: Path, rng: random.Random, n: int) -> Trials:
    """One error EIO; earlier versions are whole, and the next save works."""
    return _each("review", ERROR, WRITES, folder, rng, n, _reviews, _save)


@scenario("disk full from every write of a review's save on")
def save_disk_full(folder: Path, rng: random.Random, n: int) -> Trials:
    """ENOSPC from the n-th write on; earlier versions are whole, and the next save works."""
    return _each("review", FULL, WRITES, folder, rng, n, _reviews, _save)


@scenario("kill -9 of a corpus writer", n=40)
def corpus_killed(folder: Path, rng: random.Random, n: int) -> Trials:
    """Kill at n calls; the resumed corpus is the uninterrupted one, byte for byte."""
    corpus(folder / "whole")
    whole = sha256_folder(folder / "whole")

    def fresh(place: Path) -> Path:
        place.mkdir()
        return place

    def lost(place: Path, succeeded: bool) -> str | None:
        corpus(place)
        return None if sha256_folder(place) == whole else "the corpus differs, or files were left"

    return _each("corpus", KILL, FILE_CALLS, folder, rng, n, fresh, lost)
