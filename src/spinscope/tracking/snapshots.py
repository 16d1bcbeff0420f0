"""Copies of the database of a store that do not depend on the place of its artifacts."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from spinscope.files import atomic_file
from spinscope.tracking.store import connect, locations, record_home

DATABASE = "mlflow.db"
_PLACE = "/spinscope-backup"
"""Stands for the folder of the store in the locations of a copy."""


def snapshot(database: Path, artifacts: Path, target: Path) -> list[str]:
    """Copy the database of a store as it is at one moment, while other processes write to it.

    Parameters
    ----------
    database : Path
        SQLite file of the store.
    artifacts : Path
        Its artifact folder.
    target : Path
        Copy, which only its owner can read.

    Returns
    -------
    list of str
        Locations of artifacts outside `artifacts`, which stay as they are.
    """
    target.touch(mode=0o600)
    with (
        contextlib.closing(connect(database)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    detach(target, artifacts)
    return sorted(place for place in locations(target) if not place.startswith(_PLACE))


def detach(database: Path, artifacts: Path) -> None:
    """Replace the artifact folder in the locations of a database by one that does not exist.

    Parameters
    ----------
    database : Path
        SQLite file that no other process uses.
    artifacts : Path
        Its artifact folder.
    """
    record_home(database, str(artifacts), f"{_PLACE}/artifacts", _PLACE)


def restore_database(source: Path, database: Path, artifacts: Path) -> None:
    """Copy a snapshot to its place, with the locations of its artifacts there.

    Parameters
    ----------
    source : Path
        File of `snapshot`.
    database : Path
        SQLite file of the store.
    artifacts : Path
        Its artifact folder.
    """
    with atomic_file(database, 0o600) as partial:
        shutil.copyfile(source, partial)
        record_home(partial, f"{_PLACE}/artifacts", str(artifacts), str(database.parent))
