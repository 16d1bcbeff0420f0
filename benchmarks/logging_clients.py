"""Many clients that log epochs at once: lost metrics and latency.

`python benchmarks/logging_clients.py --clients 200 --seconds 60` starts PostgreSQL and an MLflow
server on it, with the pool of connections that `docs/server/server.env` sets; ``--default-pool``
leaves it as it is, and ``--sqlite`` takes an SQLite file instead. Every client logs an epoch of
seven metrics, waits a second and logs the next one. Half of the clients call this package, which
keeps an epoch that the store refuses and logs the curve again at the end; the others call MLflow's
plain client, the peer. A metric is lost if the store does not return it at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from _rows import row
from spinscope.config import Tracking, project_root

NAMES = ("loss", "mcc", "accuracy", "val_loss", "val_mcc", "val_accuracy", "learning_rate")
PAUSE_S = 1.0


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio, lost, lost_peer}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=8, help="number of clients")
    parser.add_argument("--seconds", type=float, default=10, help="duration of the logging")
    parser.add_argument("--sqlite", action="store_true", help="an SQLite file in place of a server")
    parser.add_argument("--default-pool", action="store_true", help="MLflow's pool of connections")
    given = parser.parse_args()
    pool = {} if given.default_pool else _pool()
    with tempfile.TemporaryDirectory() as folder, _address(Path(folder), given.sqlite, pool) as uri:
        found = _measured(uri, Path(folder), given.clients, given.seconds)
    return _rows(found, "sqlite" if given.sqlite else "server")


@contextlib.contextmanager
def _address(folder: Path, sqlite: bool, environment: dict[str, str]) -> Iterator[str]:
    """Address of a new store."""
    if sqlite:
        yield f"sqlite:///{folder}/mlruns/mlflow.db"
        return
    file = project_root() / "tests/servers.py"
    spec = importlib.util.spec_from_file_location("servers", file)
    servers = importlib.util.module_from_spec(spec)
    sys.modules["servers"] = servers
    spec.loader.exec_module(servers)
    with servers.postgres() as database:
        artifacts = str(folder / "artifacts")
        with servers.mlflow_server(folder, database.database(), artifacts, environment) as address:
            yield address


def _pool() -> dict[str, str]:
    """Settings of the pool of connections that the server of a group has."""
    lines = (project_root() / "docs/server/server.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("MLFLOW_SQLALCHEMYSTORE_"))


def _measured(uri: str, folder: Path, clients: int, seconds: float) -> dict[bool, dict]:
    """Latencies in s, and metrics sent and found, of our clients (True) and of plain ones."""
    from mlflow.entities import Metric

    from spinscope.tracking import Run, open_store
    from spinscope.tracking.runs import EpochLog, log_curves

    artifacts = str(folder / "mlruns/artifacts")
    store = open_store(
        Tracking(uri=uri, artifacts=artifacts, experiment="clients", moved_alias="warn")
    )
    found = {ours: {"latencies": [], "runs": {}, "errors": 0} for ours in (True, False)}
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        ours = number % 2 == 0
        one = found[ours]
        run = store.client.create_run(store.experiment_id).info.run_id
        log, curve, epoch = EpochLog(Run(store, run)), [], 0
        while time.monotonic() < end:
            value, start = 1 / (epoch + 1), time.monotonic()
            try:
                if ours:
                    log(epoch, dict.fromkeys(NAMES, value))
                else:
                    now = time.time_ns() // 1_000_000
                    rows = [Metric(name, value, now, epoch) for name in NAMES]
                    store.client.log_batch(run, metrics=rows)
            except Exception:
                one["errors"] += 1
            one["latencies"].append(time.monotonic() - start)
            curve.append(value)
            epoch += 1
            time.sleep(PAUSE_S)
        one["runs"][run] = epoch
        if ours:
            log_curves(Run(store, run), dict.fromkeys(NAMES, curve))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found.values():
        one["sent"] = len(NAMES) * sum(one["runs"].values())
        one["found"] = sum(
            len({point.step for point in store.client.get_metric_history(run, name)})
            for run in one["runs"]
            for name in NAMES
        )
    return found


def _rows(found: dict[bool, dict], name: str) -> dict[str, dict]:
    ours, plain = found[True], found[False]
    lost = {
        "lost": ours["sent"] - ours["found"],
        "lost_peer": plain["sent"] - plain["found"],
        "sent": ours["sent"],
        "sent_peer": plain["sent"],
        "clients": len(ours["runs"]) + len(plain["runs"]),
        "errors": ours["errors"],
        "errors_peer": plain["errors"],
    }
    result = {}
    for label, share in (("median_ms", 50), ("p99_ms", 99)):
        mine, peer = (
            1e3 * statistics.quantiles(one["latencies"], n=100)[share - 1] for one in (ours, plain)
        )
        result[f"logging_{name}.{label}"] = row(mine, "ms", peer, peer / mine, **lost)
    return result


if __name__ == "__main__":
    print(json.dumps(main()))
