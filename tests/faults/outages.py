"""PostgreSQL, MLflow or S3 that fails while a training or a registration is at work."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.faults.base import ROOT, Trials, scenario
from tests.faults.operations import add_version, lattice_settings, registered, tracking_at
from tests.servers import HOST, free_port, mlflow_server, postgres, s3_store

from spinscope import jobs
from spinscope.config import Tracking, load_params
from spinscope.corpora.lattice import make_lattice_corpus
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.tracking import open_store, runs, version, versions
from spinscope.tracking.registry import intact

SEEDS, EPOCHS = 2, 4


def _tracking(folder: Path, uri: str) -> Tracking:
    """Settings of a store with an experiment of its own."""
    return tracking_at(folder, uri).model_copy(update={"experiment": folder.name})


def _train(folder: Path, uri: str, at: Mapping[tuple[int, int], Callable[[], None]]) -> Path:
    """Train two seeds on a server; functions are called after (seed, epoch)."""
    data = folder / "data"
    if not data.exists():
        make_lattice_corpus(data, 0, lattice_settings(12).model_copy(update={"size": 32}))
    given = [
        f"data.path={data}", f"training.seeds={SEEDS}", f"training.epochs={EPOCHS}", "seed=0",
        "training.steps_per_epoch=2", "training.batch=2", "training.pretrained=null",
        f"tracking.uri={uri}", f"tracking.artifacts={folder}/artifacts",
        f"tracking.experiment={folder.name}",
    ]  # fmt: skip
    params = load_params("demo", given, family="field-fcn")
    out = folder / "out"

    def on_epoch(seed: int, epoch: int, logs: dict) -> None:
        at.get((seed, epoch), lambda: None)()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpinscopeWarning)
        jobs.train_networks(params, out, on_epoch=on_epoch)
    return out


def _missing(folder: Path, uri: str, out: Path) -> str | None:
    """What the store does not hold, or holds twice, of a training."""
    record = jobs.read_training(out)
    store = open_store(_tracking(folder, uri))
    table = runs.runs(store)
    if len(table) != 1 + SEEDS or set(table["status"]) != {"FINISHED"}:
        return f"the runs are {table[['name', 'status']].values.tolist()}"
    for seed in record["seeds"]:
        history = jobs.training._history(out, seed["seed"])
        for name, values in history.items():
            points = store.client.get_metric_history(seed["run_id"], name)
            points = sorted(points, key=lambda point: point.timestamp)
            if [(p.step, p.value) for p in points] != list(enumerate(values)):
                return f"seed {seed['seed']}: {name} holds {len(points)} of {len(values)} epochs"
    return None


def _outage(
    name: str,
    folder: Path,
    uri: str,
    stop: Callable[[], None],
    start: Callable[[], None],
    seconds: float,
) -> str | None:
    """Train with an outage from the "start" on, or in the "middle"; returns what was lost."""
    begin, end = {"start": (None, (1, 1)), "middle": ((0, 1), (1, 2))}[name]

    def back() -> None:
        time.sleep(seconds)
        start()

    open_store(_tracking(folder / name, uri))
    if begin is None:
        stop()
    try:
        out = _train(folder / name, uri, {begin: stop, end: back})
        problem = _missing(folder / name, uri, out)
    except SpinscopeError as error:
        problem = str(error)
    return problem and f"{name}: {problem}"


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Try a store again at once, and not after half a minute."""
    before, runs._PAUSE_SECONDS = runs._PAUSE_SECONDS, 0.0
    try:
        yield
    finally:
        runs._PAUSE_SECONDS = before


@scenario("PostgreSQL down for a minute, at the start and in the middle of a training", n=60)
def postgres_down(folder: Path, rng: random.Random, n: int) -> Trials:
    """The training goes on; all metrics arrive in order, once. `n` is the outage in seconds."""
    with postgres() as server, _impatient():
        for name in ("start", "middle"):
            yield _outage(
                name,
                folder,
                server.database(),
                lambda: server.stop(signal.SIGQUIT),
                lambda: server.start(fsync="off"),
                n,
            )


@scenario("PostgreSQL without a free connection for a minute, likewise", n=60)
def connections_exhausted(folder: Path, rng: random.Random, n: int) -> Trials:
    """Other clients hold every connection; `n` is the outage in seconds."""
    import psycopg2

    held = []

    def exhaust() -> None:
        url = server.url("postgres")
        held.append(psycopg2.connect(url))
        with held[0].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND usename = 'spinscope'"
            )
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                held.append(psycopg2.connect(url))

    def release() -> None:
        while held:
            held.pop().close()

    with postgres() as server, _impatient():
        server.stop()
        server.start(fsync="off", max_connections=10)
        for name in ("start", "middle"):
            yield _outage(name, folder, server.database(), exhaust, release, n)


@scenario("MLflow server down for a minute, at the start and in the middle of a training", n=60)
def mlflow_down(folder: Path, rng: random.Random, n: int) -> Trials:
    """The training goes on; all metrics arrive in order, once. `n` is the outage in seconds."""
    port, running = free_port(), contextlib.ExitStack()
    uri = f"http://{HOST}:{port}"
    (folder / "mlflow").mkdir()
    database = f"sqlite:///{folder}/mlflow/mlflow.db"
    open_store(tracking_at(folder / "mlflow"))

    def start() -> None:
        artifacts = str(folder / "mlflow/artifacts")
        running.enter_context(mlflow_server(folder, database, artifacts, port=port))

    with running, _impatient():
        start()
        for name in ("start", "middle"):
            yield _outage(name, folder, uri, running.close, start, n)


class Cable:
    """A proxy of a server on the loopback interface that breaks after a number of bytes."""

    def __init__(self, port: int):
        self.left: float = float("inf")
        self._far = port
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self._far))
            except OSError:
                return
            for pair in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(1 << 14):
                if counted:
                    self.carried += len(block)
                    self.left -= len(block)
                if self.left < 0:
                    break
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@scenario("S3 store that fails half-way through the artifacts of a registration", n=4)
def s3_breaks(folder: Path, rng: random.Random, n: int) -> Trials:
    """Break at a drawn byte; no version appears, and the repeated registration is complete."""
    with (
        s3_store(folder / "s3") as bucket,
        contextlib.ExitStack() as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        shutil.copy(ROOT / "params.yaml", folder)
        patch.setenv("SPINSCOPE_ROOT", str(folder))  # downloads go to its build/models
        cable = Cable(int(bucket.endpoint.rpartition(":")[2]))
        stack.callback(cable.close)
        endpoint = f"http://{HOST}:{cable.port}"
        environment = bucket.environment | {
            "MLFLOW_S3_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL": endpoint,
            "AWS_MAX_ATTEMPTS": "1",
        }  # fmt: skip
        open_store(tracking_at(folder))
        uri = stack.enter_context(
            mlflow_server(folder, f"sqlite:///{folder}/mlflow.db", bucket.url, environment)
        )
        store = open_store(_tracking(folder, uri))
        cable.carried = 0
        registered(store, folder, 1)
        whole, known = cable.carried, 1
        (run, *_) = store.client.search_runs([store.experiment_id])
        for k in range(n):
            cable.left = rng.uniform(0.05, 0.95) * whole
            problem = None
            with contextlib.suppress(SpinscopeError):
                add_version(store, run.info.run_id, folder / "model-0")
                problem = "the registration succeeds without its store"
            if len(versions(store, "moke-unet")) != known:
                problem = problem or "an incomplete version appears"
            cable.left = float("inf")
            number = add_version(store, run.info.run_id, folder / "model-0")
            known += 1
            problem = problem or intact(store, version(store, "moke-unet", number))
            yield problem and f"break {k}: {problem}"
