"""The store of runs and models: MLflow on an SQLite file of the project, or on a server.

Every call goes through one `MlflowClient` with an explicit address. MLflow's global state (its
tracking URI, active run and autologging) is never used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Tracking, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, digest, make_private

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
HOME = "spinscope.home"
"""Tag of the experiment `Default` with the folder of an SQLite store."""
_LOCK_SECONDS = 120
_BUSY_SECONDS = 20
"""Longest wait for a database that another process has locked; MLflow's own is the same."""

# Columns in which MLflow stores absolute locations. MLflow offers no call that changes them, so
# that they are updated in SQL, in one transaction with the record of the folder.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class StoreDown(SpinscopeError):
    """The store does not answer at present; the same call may succeed later."""


@dataclass(frozen=True)
class Store:
    """An open tracking store, and the experiment to which new runs belong."""

    uri: str
    client: MlflowClient
    experiment_id: str
    lock_folder: Path
    moved_alias: str = "warn"

    @property
    def remote(self) -> bool:
        """Whether the store is a server."""
        return _is_server(self.uri)

    @contextlib.contextmanager
    def locked(self, action: str) -> Iterator[None]:
        """Exclude other processes of this machine from an action on this store."""
        with _lock(self.lock_folder / f".{action}.lock"):
            yield


def open_store(tracking: Tracking) -> Store:
    """Open a tracking store and create what is missing.

    A store that was moved or copied together with its artifacts finds them in the new place.

    Parameters
    ----------
    tracking : Tracking
        A relative SQLite file or artifact folder lies below the project's root. A server chooses
        the location of its artifacts itself.

    Raises
    ------
    StoreDown
        If the store does not answer.
    SpinscopeError
        If the store cannot be read.
    """
    artifacts = None if _is_server(tracking.uri) else str(_absolute(tracking.artifacts))
    opened = _opened(store_uri(tracking), artifacts, tracking.moved_alias)
    with reachable(opened.uri):
        experiment = _experiment(opened.client, tracking.experiment, artifacts)
    return replace(opened, experiment_id=experiment)


def open_source(tracking: Tracking, source: str) -> Store:
    """Open an existing store to read it; no experiment is created.

    Parameters
    ----------
    tracking : Tracking
        Other settings than the address.
    source : str
        Address of a store, an SQLite file, or a folder that contains `mlflow.db`.

    Raises
    ------
    SpinscopeError
        If the store does not exist, or cannot be reached or read.
    """
    if "://" not in source:
        path = Path(source).expanduser().resolve()
        source = f"{_SQLITE}{path / 'mlflow.db' if path.is_dir() else path}"
    uri = store_uri(tracking.model_copy(update={"uri": source}))
    database = Path(uri.removeprefix(_SQLITE))
    if uri.startswith(_SQLITE) and not database.is_file():
        raise SpinscopeError(f"source: {database} must be the SQLite file of a store")
    return _opened(uri, str(database.parent / "artifacts"), tracking.moved_alias)


def open_server(tracking: Tracking) -> str:
    """Address of the server of the settings, which answers.

    Raises
    ------
    SpinscopeError
        If the store is not a server, or does not answer.
    """
    uri = store_uri(tracking)
    if not _is_server(uri):
        raise SpinscopeError(
            f"tracking.uri (={public(uri)!r}) must be http(s)://; only a server has users"
        )
    _check_reachable(uri)
    _configure_mlflow()
    return uri


def _opened(uri: str, artifacts: str | None, moved_alias: str) -> Store:
    """Store at an address, with the experiment `Default`."""
    if _is_server(uri):
        _check_reachable(uri)
    _configure_mlflow()
    lock_folder = Path(tempfile.gettempdir()) / f"spinscope-{digest(f'{Path.home()} {uri}')}"
    with reachable(uri):
        if uri.startswith(("postgresql", "mysql")):
            _check_database(uri)
        if uri.startswith(_SQLITE):
            database = Path(uri.removeprefix(_SQLITE))
            lock_folder = database.parent
            _prepare_database(database, artifacts)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return Store(uri, client, "0", lock_folder, moved_alias)


def store_uri(tracking: Tracking) -> str:
    """Address of a store, with the path of an SQLite file made absolute.

    Raises
    ------
    SpinscopeError
        If the address is no SQLite file, database or server.
    """
    uri = tracking.uri.rstrip("/")
    if not re.match(r"(sqlite|postgresql|mysql|mssql|https?)(\+\w+)?://", uri):
        raise SpinscopeError(
            f"tracking.uri (={public(tracking.uri)!r}) must be sqlite:///FILE, a database URL or "
            "http(s)://"
        )
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{_absolute(uri.removeprefix(_SQLITE))}"
    return uri


def is_local(tracking: Tracking) -> bool:
    """Whether the store is an SQLite file."""
    return store_uri(tracking).startswith(_SQLITE)


def local_files(tracking: Tracking) -> tuple[Path, Path]:
    """SQLite file and artifact folder of a store, which need not exist.

    Raises
    ------
    SpinscopeError
        If the store is a server or another database.
    """
    uri = store_uri(tracking)
    if not uri.startswith(_SQLITE):
        raise SpinscopeError(
            f"tracking.uri (={public(uri)!r}) must be sqlite:///FILE here; the files of a server "
            "are on its own machine"
        )
    return Path(uri.removeprefix(_SQLITE)), _absolute(tracking.artifacts)


@contextlib.contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, its HTTP client and the database into one sentence with the `uri`.

    Raises
    ------
    StoreDown
        If the store does not answer at present; a database that is locked is named as locked.
    SpinscopeError
        For any other of these errors.
    """
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except SpinscopeError:
        raise
    except (
        MlflowException,
        RequestException,
        sqlalchemy.exc.SQLAlchemyError,
        OSError,
        ImportError,  # a missing driver
        ValueError,  # a port that is no number
    ) as error:
        text = " ".join(str(error).replace(uri, public(uri)).split())
        if isinstance(error, ImportError) and not _is_server(uri):
            text += "; a database server needs its driver: pip install spinscope[server]"
        kind = StoreDown if _passes(error) else SpinscopeError
        raise kind(
            _locked(uri, text)
            or _forbidden(uri, error)
            or f"tracking store {public(uri)} failed: {text[:300]}"
        ) from error
    except sqlite3.Error as error:
        if locked := _locked(uri, str(error)):
            raise StoreDown(locked) from error
        raise SpinscopeError(
            f"tracking store {public(uri)} is not a readable MLflow database: {error}"
        ) from error


def _passes(error: Exception) -> bool:
    """Whether an error of the store is one that the same call may not meet again later."""
    import sqlalchemy.exc
    from requests.exceptions import RequestException

    kinds = (RequestException, OSError, sqlalchemy.exc.OperationalError,
             sqlalchemy.exc.TimeoutError)  # fmt: skip
    # MLflow hides an exhausted connection pool behind an error of the request.
    hidden = (error, error.__cause__)
    codes = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")
    return any(isinstance(one, kinds) for one in hidden) or (
        getattr(error, "error_code", None) in codes
    )


def _locked(uri: str, error: str) -> str | None:
    """Sentence for a database that another process has locked; None for other errors."""
    if "database is locked" not in error:
        return None
    return (
        f"tracking store {public(uri)} is locked: another process has been writing to it for "
        f"more than {_BUSY_SECONDS} seconds; repeat the command when that process has finished"
    )


def _forbidden(uri: str, error: Exception) -> str | None:
    """Sentence for a login or a request that a server refuses; None for other errors."""
    code = getattr(error, "error_code", "")
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED") or status == 401:
        return (
            f"tracking store {public(uri)} refuses the login; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if code == "PERMISSION_DENIED" or status == 403:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
        return (
            f"tracking store {public(uri)} does not permit this to user {user!r}; another role "
            "may do it (`spinscope registry grant`)"
        )
    return None


def pages(search: Callable, *arguments: Any, **options: Any) -> list:
    """All results of a search method of `MlflowClient`, which returns them in pages."""
    results, token = [], None
    while True:
        page = search(*arguments, page_token=token, **options)
        results += page
        if not (token := page.token):
            return results


def public(uri: str) -> str:
    """Address without user, password and query, which may contain one.

    >>> public("https://kerr:secret@lab.example/mlflow?token=secret")
    'https://lab.example/mlflow'
    """
    if uri.startswith(_SQLITE):
        return uri
    scheme, mark, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    return scheme + mark + rest.rpartition("@")[2].partition("?")[0]


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _absolute(path: str) -> Path:
    return (project_root() / path).resolve()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=_LOCK_SECONDS)
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise SpinscopeError(
            f"{path} has been held by another process for {_LOCK_SECONDS} seconds"
        ) from None
    except OSError as error:
        raise SpinscopeError(f"{path} must be writable: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _configure_mlflow() -> None:
    """Switch off telemetry and messages, and give up on a dead server after seconds."""
    # Before the import of mlflow, which starts the telemetry client and reads some of these.
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # errors are raised
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # no pip


def _check_reachable(uri: str) -> None:
    import httpx

    try:
        answer = httpx.get(f"{uri}/health", timeout=5)
    except httpx.InvalidURL:  # its text repeats what may be a part of the password
        raise SpinscopeError(
            f"tracking.uri (={public(uri)!r}) must be http(s)://HOST or http(s)://HOST:PORT"
        ) from None
    except httpx.HTTPError as error:
        raise StoreDown(
            f"tracking store {public(uri)} does not answer ({error}); start it, or set tracking.uri"
        ) from error
    if answer.status_code >= 500:
        raise StoreDown(
            f"tracking store {public(uri)} answers with HTTP {answer.status_code}; "
            "it must be a running MLflow server"
        )


def _check_database(uri: str) -> None:
    """Connect once to a database server; MLflow itself would try for minutes."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": 5})
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _prepare_database(database: Path, artifacts: str) -> None:
    """Create the tables of a new database; update the locations in one that was moved.

    Only the owner can read a database, new or not.
    """
    home = str(database.parent)
    if database.is_file():
        make_private(database)
    if database.is_file() and _recorded_home(database) == home:
        return
    with _lock(database.parent / ".mlflow.lock"):
        if not database.is_file():
            # In another file that is renamed at the end: an interruption leaves nothing behind.
            with atomic_file(database, 0o600) as partial:
                _create_tables(partial, artifacts)
                record_home(partial, None, home)
        elif (recorded := _recorded_home(database)) != home:
            if recorded is None:
                _create_tables(database, artifacts)
            record_home(database, recorded, home)


def _create_tables(database: Path, artifacts: str) -> None:
    # Public ways: MlflowClient would give the experiment `Default` a folder in the current one,
    # and `mlflow db upgrade` creates no experiment.
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"{_SQLITE}{database}", artifacts).engine.dispose()


def _recorded_home(database: Path) -> str | None:
    """Folder that this database was last opened in; None if it is not recorded."""
    with contextlib.closing(connect(database)) as connection:
        try:
            row = connection.execute(
                "SELECT value FROM experiment_tags WHERE experiment_id = 0 AND key = ?", (HOME,)
            ).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            row = None
    return row[0] if row else None


def connect(database: Path) -> sqlite3.Connection:
    """Connection to an SQLite file, which waits for other processes."""
    return sqlite3.connect(database, timeout=_BUSY_SECONDS)


def locations(database: Path) -> set[str]:
    """Every absolute location of artifacts in a database; references to logged models are none."""
    found: set[str] = set()
    with contextlib.closing(connect(database)) as connection:
        for table, column in _LOCATIONS:
            rows = connection.execute(f"SELECT DISTINCT {column} FROM {table}")
            found |= {place for (place,) in rows if place and not place.startswith("models:")}
    return found


def record_home(database: Path, old: str | None, new: str, home: str | None = None) -> None:
    """Record the folder of a database, and replace `old` by `new` in every location below it.

    Parameters
    ----------
    database : Path
        SQLite file of a store.
    old : str or None
        Folder in the locations; None replaces none.
    new : str
        Folder that takes its place.
    home : str, optional
        Folder of the database, by default `new`.
    """
    with contextlib.closing(connect(database)) as connection, connection:
        for table, column in _LOCATIONS if old else ():
            for before, after in ((old, new), (f"file://{old}", f"file://{new}")):
                connection.execute(
                    f"UPDATE {table} SET {column} = :after || substr({column}, :tail) "
                    f"WHERE {column} = :before OR substr({column}, 1, :tail) = :before || '/'",
                    {"before": before, "after": after, "tail": len(before) + 1},
                )
        connection.execute(
            "INSERT OR REPLACE INTO experiment_tags (experiment_id, key, value) VALUES (0, ?, ?)",
            (HOME, home or new),
        )


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException as error:  # another process created it
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise error
    if experiment.lifecycle_stage != "active":
        raise SpinscopeError(
            f"experiment {name!r} was deleted; restore it in MLflow or set tracking.experiment"
        )
    return experiment.experiment_id
