"""The whole life of a model on a real MLflow server, given by its address alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from tests.servers import mlflow_server
from tests.tracking.conftest import (
    MEASURES,
    THRESHOLD,
    frames,
    report,
    threshold,
    threshold_folder,
)

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.families.moke_unet import FAMILY
from spinscope.tracking import history, lineage, open_store, parent_run, resolve, seed_run
from spinscope.tracking.promotion import promote
from spinscope.tracking.registry import register, stored_predictions
from spinscope.tracking.runs import log_curves, log_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def server(fresh_store: Path, tmp_path_factory) -> Iterator[str]:
    """Address of an MLflow server that keeps its artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    database = folder / "mlflow.db"
    database.write_bytes((fresh_store / "mlflow.db").read_bytes())
    artifacts = str(folder / "artifacts")
    with mlflow_server(folder, f"sqlite:///{database}", artifacts) as address:
        yield address


@pytest.fixture
def remote(server: str, params, tmp_path: Path, monkeypatch) -> Tracking:
    # After `params` are read: what is fetched lands in build/ of this root.
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    return Tracking(uri=server, artifacts="unused", experiment=tmp_path.name, moved_alias="warn")


@pytest.fixture
def cable(server: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Proxy of the server: its address, and a function that closes it."""
    port = int(server.rpartition(":")[2])
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [listener]

    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while block := source.recv(1 << 16):
                target.sendall(block)
        except OSError:
            pass
        finally:
            for end in (source, target):
                end.close()

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            ends.extend((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    def cut() -> None:
        for end in ends:
            with closing(end):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", cut
    cut()


def test_runs_registry_and_promotion_on_a_server(remote, params, tmp_path):
    store = open_store(remote)
    assert store.remote
    tags = lineage(params, "md5:0123", seed=1)
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        log_curves(run, {"loss": [1.0, 0.5]})
        log_report(run, report(0.9))
    folder = threshold_folder(tmp_path / "model")
    v = register(
        store,
        THRESHOLD,
        run.run_id,
        folder,
        "moke-unet",
        seed=1,
        reports={1: report(0.9), 2: report(0.92)},
        lineage=tags,
        validated=True,
        examples=frames(),
    )
    step = promote(
        store, THRESHOLD, "moke-unet", reason="first", params=params, override="a test", **MEASURES
    )
    fetched = resolve(remote, step.ref)
    assert fetched.is_relative_to(tmp_path / "build/models")
    assert (fetched / "card.md").read_bytes() == (folder / "card.md").read_bytes()
    before = (fetched / "card.md").stat().st_ino
    assert (resolve(remote, v.ref) / "card.md").stat().st_ino == before  # fetched once
    image, mask = stored_predictions(store, v)[0]
    assert (mask == threshold(folder, [image])[0]).all()
    assert history(store, "moke-unet") == [step]
    assert not (tmp_path / "unused").exists()
    with pytest.raises(SpinscopeError, match="'moke-unet' has no version 7; there are: 1"):
        resolve(remote, "models:/moke-unet/7")


def test_a_server_that_dies_loses_no_training(remote, cable, params, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address, cut = cable
    store = open_store(remote.model_copy(update={"uri": address}))
    tags = lineage(params, "md5:0123", seed=1)
    with (
        pytest.raises(SpinscopeError, match=f"tracking store {address} failed"),
        parent_run(store, params, tags) as parent,
        seed_run(parent, tags) as run,
    ):
        folder = threshold_folder(tmp_path / "finished")
        cut()
        log_curves(run, {"loss": [1.0, 0.5]})
    assert threshold(folder, frames(1))[0].any()
    # The server saw neither end nor failure; this process goes on, as a later one would.
    store = open_store(remote)
    assert store.client.get_run(run.run_id).info.status == "RUNNING"
    store.client.set_tag(run.run_id, "process", f"{socket.gethostname()} 0 0.00")
    store.client.set_tag(parent.run_id, "process", f"{socket.gethostname()} 0 0.00")
    with parent_run(store, params, tags) as again, seed_run(again, tags) as resumed:
        assert (again.run_id, resumed.run_id) == (parent.run_id, run.run_id)
        log_curves(resumed, {"loss": [1.0, 0.5]})
    assert len(store.client.get_metric_history(run.run_id, "loss")) == 2


def test_mlflow_alone_loads_a_version_from_a_server(remote, params, tmp_path, monkeypatch):
    from tests.tracking.conftest import mask_of, small_network

    from spinscope.inference.predict import Predictor

    store = open_store(remote)
    folder = small_network(tmp_path / "network")
    with parent_run(store, params, lineage(params, "md5:1")) as run:
        pass
    register(
        store,
        FAMILY,
        run.run_id,
        folder,
        "served-unet",
        seed=1,
        reports={1: report(0.9)},
        lineage={},
        validated=True,
        examples=frames(),
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    model = mlflow.pyfunc.load_model("models:/served-unet/1")
    image = frames(1)[0]
    (answer,) = model.predict(pd.DataFrame({"image": [image]}))
    assert np.mean(mask_of(answer) == Predictor.load(folder).classes(image)) > 0.98
