"""Everything starts, answers, and is gone again."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

import spinscope.serve
from spinscope.config import load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.serve import choose_ports, plan, post, project_environment, serve, services

CHECKOUT = Path(__file__).parents[1]
_FLOWS = """
from prefect import flow, serve

@flow
def hello():
    pass

if __name__ == "__main__":
    serve(hello.to_deployment("hello", cron="0 2 * * 6"))
"""
_SERVE = """
import sys
from spinscope.config import load_params
from spinscope.serve import serve
serve(load_params("demo", sys.argv[1:]), sys.argv[1:], say=lambda text: print(text, flush=True))
print("stopped", flush=True)
"""
_FREE = [f"serve.{name}_port=0" for name in ("mlflow", "prefect", "dashboard")]


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    """A project of its own with the pages, a flow and an empty store."""
    root, checkout = tmp_path / "a project", project_root()
    (root / "flows").mkdir(parents=True)
    (root / "flows/serve.py").write_text(_FLOWS)
    for name in ("dashboards", ".streamlit", "params.yaml", "flows/_server.py"):
        (root / name).symlink_to(checkout / name)
    for name in ("SPINSCOPE_SET", "SPINSCOPE_PROFILE", "SPINSCOPE_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(root))
    return root


def _children(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _scheduled(prefect: str) -> list[dict]:
    """Runs that the server plans by itself; its scheduler looks every few seconds."""
    for _ in range(60):
        if found := post(f"{prefect}/api", "flow_runs/filter").json():
            return found
        time.sleep(0.5)
    return []


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that only waits for its parent to notice its end does not."""
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


@pytest.mark.slow
def test_three_addresses_answer_and_nothing_is_left(root):
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, *_FREE], stdout=subprocess.PIPE, text=True
    ) as process:
        addresses = {}
        for line in process.stdout:
            name, _, rest = line.strip().partition(" ")
            if rest.strip().startswith("http"):
                addresses[name] = rest.strip()
            if line.startswith("Ctrl-C"):
                break
        assert set(addresses) == {"mlflow", "prefect", "dashboard"}, _logs(root)
        assert "MLflow" in httpx.get(addresses["mlflow"]).text
        found = post(f"{addresses['prefect']}/api", "deployments/filter").json()
        assert [deployment["name"] for deployment in found] == ["hello"]
        assert _scheduled(addresses["prefect"]), _logs(root)
        assert "<title>Streamlit" in httpx.get(addresses["dashboard"]).text
        _check_that_other_sites_are_refused(addresses)
        children = _children(process)
        listening = {
            connection.laddr
            for child in children
            for connection in child.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert {address.ip for address in listening} == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().strip() == "stopped"
    assert process.returncode == 0
    assert len(children) >= 4
    assert not _alive(children)
    assert _mode(root / "mlruns/mlflow.db") == 0o600
    assert _mode(root / "mlruns") == _mode(root / ".prefect") == 0o700


def _check_that_other_sites_are_refused(addresses: dict[str, str]) -> None:
    """Requests that a page of another site makes a browser send, and those of a rebound name."""
    foreign = {"Origin": "http://attacker.example"}
    mlflow, prefect, dashboard = (addresses[name] for name in ("mlflow", "prefect", "dashboard"))
    name = b'{"name": "forged"}'  # without a Content-Type, so that a browser asks nobody first
    local = {"Origin": "http://localhost:8888"}  # a page of another program on this machine
    rebound = {"Host": "attacker.example:4200"}
    for headers in (foreign, local, rebound):
        forged = httpx.post(f"{prefect}/api/work_pools/", content=name, headers=headers)
        assert (forged.status_code, forged.text[:10]) == (403, "The header")
    assert httpx.post(f"{prefect}/api/work_pools/", content=name).status_code == 403  # no token
    assert httpx.get(f"{prefect}/api/flows/count", headers=rebound).status_code == 403
    read = httpx.get(f"{prefect}/api/csrf-token", params={"client": "x"}, headers=foreign)
    assert "access-control-allow-origin" not in read.headers
    create = f"{mlflow}/api/2.0/mlflow/experiments/create"
    for headers in (foreign, local, {"Host": "attacker.example:5000"}, {"Host": "10.0.0.1"}):
        assert httpx.post(create, content=name, headers=headers).status_code == 403
    file = f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/model.keras"
    assert httpx.put(file, content=b"forged", headers=local).status_code == 403
    assert httpx.get(mlflow, headers={"Host": "attacker.example:5000"}).status_code == 403
    assert _websocket(dashboard) == 101
    assert _websocket(dashboard, Origin=foreign["Origin"]) == 403
    rebound = "attacker.example:8501"
    assert _websocket(dashboard, Host=rebound, Origin=f"http://{rebound}") == 403


def _websocket(address: str, **headers: str) -> int:
    """Status of the response to the opening of the dashboard's websocket."""
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    with httpx.stream("GET", f"{address}/_stcore/stream", headers=upgrade | headers) as response:
        return response.status_code


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_the_owner_reads_the_database_of_the_flows(tmp_path):
    (tmp_path / ".prefect").mkdir(mode=0o755)
    for name in ("prefect.db", "prefect.db-wal"):
        (tmp_path / ".prefect" / name).touch(0o644)
    project_environment(tmp_path)
    assert _mode(tmp_path / ".prefect") == 0o700
    assert {_mode(path) for path in (tmp_path / ".prefect").iterdir()} == {0o600}


_STAND_IN = """
import os, sys
import spinscope.serve as module
import spinscope.tracking
from spinscope.config import load_params

stubborn, last = sys.argv[1:3]

def service(name, program):
    command = (sys.executable, "-c", program)
    environment = {**os.environ, "SPINSCOPE_SERVE": MARK}
    return module.Service(name, command, environment, lambda: os.path.exists(f"{name}.up"))

def plan(params, overrides, ports, root, mark):
    global MARK
    MARK = mark
    os.chdir(root)
    return [service("stubborn", stubborn)], service("flows", last), {"dashboard": "http://x"}

module.plan, module._STOP_SECONDS = plan, 1
spinscope.tracking.open_store = lambda tracking: None  # its tables take seconds to build
module.serve(load_params("demo", sys.argv[3:]), say=lambda text: print(text, flush=True))
print("stopped", flush=True)
"""
_STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
open("orphan.pid", "w").write(str(child.pid))
open("stubborn.up", "w")
time.sleep(600)
"""
_UP = "import time; open('flows.up', 'w'); time.sleep(600)"


def _orphan(root: Path) -> psutil.Process:
    return psutil.Process(int((root / "orphan.pid").read_text()))


def test_sigterm_ends_also_what_does_not_listen_to_it(root):
    with subprocess.Popen(
        [sys.executable, "-c", _STAND_IN, _STUBBORN, _UP, *_FREE], stdout=subprocess.PIPE, text=True
    ) as process:
        while not process.stdout.readline().startswith("Ctrl-C"):
            assert process.poll() is None, _logs(root)
        children = [*_children(process), _orphan(root)]
        process.terminate()
        assert process.stdout.read().strip() == "stopped"
    assert len(children) >= 3
    assert not _alive(children)


def test_a_program_that_does_not_start_stops_the_others_and_says_why(root):
    failed = subprocess.run(
        [sys.executable, "-c", _STAND_IN, _STUBBORN, "raise SystemExit('no such flow')", *_FREE],
        capture_output=True,
        text=True,
    )
    assert "SpinscopeError: flows ended with exit code 1; the last lines of" in failed.stderr
    assert "no such flow" in failed.stderr
    orphan = int((root / "orphan.pid").read_text())
    assert not psutil.pid_exists(orphan) or not _alive([psutil.Process(orphan)])


def test_a_taken_port_is_named_before_anything_starts(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        params = load_params("demo", [*_FREE, f"serve.prefect_port={port}"])
        with pytest.raises(SpinscopeError, match=rf"serve\.prefect_port \(={port}\) cannot be"):
            serve(params)
    assert not (root / "build").exists()
    assert not (root / "mlruns").exists()


@pytest.mark.parametrize(
    ("ports", "rule"),
    [
        ({"mlflow_port": 70000}, r"mlflow_port \(=70000\) cannot be used"),
        ({"mlflow_port": -1}, r"mlflow_port \(=-1\) cannot be used"),
    ],
)
def test_a_port_that_is_none(ports, rule):
    wanted = load_params("demo", _FREE).serve.model_copy(update=ports)
    with pytest.raises(SpinscopeError, match=rule):
        choose_ports(wanted)


def test_free_ports_differ_and_a_wanted_one_is_kept():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wanted = load_params("demo", [*_FREE, f"serve.dashboard_port={port}"]).serve
    chosen = choose_ports(wanted)
    assert chosen["dashboard_port"] == port
    assert len(set(chosen.values())) == 3
    twice = wanted.model_copy(update={"mlflow_port": port})
    with pytest.raises(SpinscopeError, match="must differ from the other ports"):
        choose_ports(twice)


def test_without_the_platform_only_the_dashboard_starts(tmp_path, monkeypatch):
    """In a folder that is no project, nothing is written into it."""
    monkeypatch.setattr(spinscope.serve, "installed", lambda module: False)
    monkeypatch.setattr(spinscope.serve, "bundled_dashboards", lambda: CHECKOUT / "dashboards")
    monkeypatch.setattr(spinscope.serve, "bundled_flows", lambda: CHECKOUT / "flows")
    monkeypatch.setattr(spinscope.serve, "user_log_path", lambda name: tmp_path / "logs" / name)
    params, said = load_params("demo", _FREE), []
    (empty := tmp_path / "empty").mkdir()
    monkeypatch.setenv("SPINSCOPE_ROOT", str(empty))
    with services(params, _FREE, say=said.append) as (addresses, started):
        assert list(addresses) == ["dashboard"]
        assert httpx.get(f"{addresses['dashboard']}/_stcore/health", timeout=30).text == "ok"
        assert started[0].log == tmp_path / "logs/spinscope/dashboard.log"
    assert "pip install 'spinscope[platform]'" in said[0]
    assert not list(empty.iterdir())


def test_outside_a_checkout(tmp_path, monkeypatch):
    params = load_params("demo", _FREE)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    with pytest.raises(SpinscopeError, match=r"app\.py is missing"):
        serve(params)


def _logs(root: Path) -> str:
    return "\n".join(
        f"== {log.name}\n{log.read_text()[-2000:]}" for log in (root / "build/logs").glob("*.log")
    )


def test_the_settings_reach_the_programs_unchanged(root, monkeypatch):
    """Also where a flow is started on the web page with another profile."""
    monkeypatch.setenv("SPINSCOPE_SET", '["training.epochs=5", "training.batch=3"]')
    secret = "tracking.uri=postgresql://lab:s3cret@db/mlflow"
    overrides = ["training.epochs=7", secret]
    params, paper = load_params("demo", overrides), load_params("paper", overrides)
    assert (params.training.epochs, params.training.batch) == (7, 3)
    ports = {"mlflow_port": 1, "prefect_port": 2, "dashboard_port": 3}
    first, flows, _ = plan(params, overrides, ports, root, "mark")
    for service in (*first, flows):
        with monkeypatch.context() as patch:
            for key, value in service.environment.items():
                patch.setenv(key, value)
            assert load_params() == params
            assert load_params("paper") == paper
        assert "s3cret" not in " ".join(service.command)
