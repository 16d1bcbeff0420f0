"""Data and flows of a group on real servers: DVC in an S3 store, Prefect on PostgreSQL."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.servers import HOST, Bucket, Postgres, documented, end, free_port, wait_for

from spinscope.config import project_root

pytestmark = pytest.mark.slow

# States of a Prefect run that are final.
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def test_data_are_pushed_to_the_store_and_pulled_elsewhere(git: str, s3: Bucket, tmp_path):
    environment = {**os.environ, **s3.environment}

    def run(*words: str, at: Path) -> None:
        program = [sys.executable, "-m", "dvc"] if words[0] == "dvc" else [words[0]]
        done = subprocess.run(
            [*program, *words[1:]], cwd=at, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    laptop, server = tmp_path / "laptop", tmp_path / "server"
    (laptop / "data").mkdir(parents=True)
    for number in range(3):
        (laptop / f"data/{number}").write_bytes(os.urandom(1 << 16))
    run("git", "init", "-q", at=laptop)
    run("dvc", "init", "-q", at=laptop)
    run("dvc", "remote", "add", "-d", "lab", f"{s3.url}/dvc", at=laptop)
    run("dvc", "remote", "modify", "lab", "endpointurl", s3.endpoint, at=laptop)
    run("dvc", "remote", "modify", "lab", "verify", "true", at=laptop)
    run("dvc", "add", "-q", "data", at=laptop)
    run("dvc", "push", "-q", at=laptop)
    config = (laptop / ".dvc/config").read_text()
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in config
    run("git", "add", "-A", at=laptop)
    identity = ("-c", "user.name=lab", "-c", "user.email=lab@example.org")
    run("git", *identity, "commit", "-qm", "data", at=laptop)
    run("git", "clone", "-q", str(laptop), str(server), at=tmp_path)
    run("dvc", "pull", "-q", at=server)
    for number in range(3):
        assert (server / f"data/{number}").read_bytes() == (laptop / f"data/{number}").read_bytes()


def test_a_worker_of_the_group_runs_a_flow(postgres: Postgres, tmp_path):
    """Prefect on PostgreSQL with a login; the flows are deployments of a work pool."""
    port, login = free_port(), f"lab:{secrets.token_hex(8)}"
    api = f"http://{HOST}:{port}/api"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")},
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "SPINSCOPE_SET": json.dumps(
            ["flows.work_pool=lab", "flows.train_cron=null", "flows.evaluate_cron=null"]
        ),
        "SPINSCOPE_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    database = postgres.database().rpartition("/")[2]
    written = documented()["PREFECT_API_DATABASE_CONNECTION_URL"]
    server = environment | postgres.environment | {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_API_DATABASE_CONNECTION_URL": written.replace("@/prefect", f"@/{database}"),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }  # fmt: skip
    logs = {name: tmp_path / f"{name}.log" for name in ("server", "worker")}

    def start(name: str, *command: str, env: dict[str, str]) -> subprocess.Popen:
        with logs[name].open("w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", *command], env=env, cwd=project_root(),
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    client = httpx.Client(auth=tuple(login.split(":")), transport=httpx.HTTPTransport(), timeout=30)

    def ready() -> bool:
        try:
            return client.get(f"{api}/health").status_code == 200
        except httpx.TransportError:
            return False

    started = [start("server", "server", "start", "--host", HOST, "--port", str(port), env=server)]
    try:
        wait_for(ready, started[0], logs["server"])
        assert client.get(f"{api}/admin/version").status_code == 200
        stranger = client.get(f"{api}/admin/version", auth=("lab", "wrong"))
        assert stranger.status_code == 401
        token = client.get(f"{api}/csrf-token", params={"client": "test"}).json()["token"]
        client.headers.update({"Prefect-Csrf-Client": "test", "Prefect-Csrf-Token": token})
        pool = {"name": "lab", "type": "process"}
        pool["base_job_template"] = process_template()
        assert client.post(f"{api}/work_pools/", json=pool).status_code == 201
        done = subprocess.run(
            [sys.executable, "flows/serve.py"], cwd=project_root(), env=environment,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "promote/promote: work pool lab" in done.stdout
        deployment = client.get(f"{api}/deployments/name/promote/promote").json()
        assert deployment["work_pool_name"] == "lab"
        parameters = {"name": "no-such-model", "reason": "a test"}
        run = client.post(
            f"{api}/deployments/{deployment['id']}/create_flow_run", json={"parameters": parameters}
        ).json()
        worker = start("worker", "worker", "start", "--pool", "lab", env=environment)
        started.append(worker)

        def state() -> dict:
            return client.get(f"{api}/flow_runs/{run['id']}").json()["state"]

        wait_for(lambda: state()["type"] in ENDED, worker, logs["worker"])
        ended = state()
        assert ended["type"] == "FAILED", (ended, logs["worker"].read_text())
        assert "'no-such-model' is not registered" in ended["message"]
        # The state is in PostgreSQL.
        rows = postgres.execute("SELECT state_type FROM flow_run", database)
        assert rows == [("FAILED",)]
    finally:
        client.close()
        for process in reversed(started):
            end(process)


def process_template() -> dict:
    """Job template of a pool of processes, as `prefect work-pool create --type process` stores."""
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()
