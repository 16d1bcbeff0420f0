"""The web pages of a project, started and stopped together: MLflow, Prefect and the dashboard.

Everything listens on 127.0.0.1. Each program writes to build/logs/NAME.log and leads a process
group of its own; an environment variable marks every process that comes of them, so that none is
left behind, whoever its parent has become.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import psutil

from spinscope.config import Params, Serve, project_root, settings_environment
from spinscope.errors import SpinscopeError

HOST = "127.0.0.1"
_MARK = "SPINSCOPE_SERVE"
_START_SECONDS = 240  # MLflow and Prefect take 12 s each where the machine is idle
_STOP_SECONDS = 10
_QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}


def project_environment(root: Path) -> dict[str, str]:
    """Environment of a program of the project: its root, its Prefect home, no analytics."""
    return {
        **os.environ,
        **_QUIET,
        "SPINSCOPE_ROOT": str(root),
        "PREFECT_HOME": str(root / ".prefect"),
        # The server that Prefect starts for a single flow takes 20 s on a fresh database.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


@dataclass(frozen=True)
class Service:
    """A program to start, and how to see that it answers."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    ready: Callable[[], bool]


@dataclass(frozen=True)
class _Started:
    service: Service
    process: subprocess.Popen
    log: Path


def serve(
    params: Params,
    overrides: Sequence[str] = (),
    *,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Start everything, say the addresses, and stay until Ctrl-C or SIGTERM; then stop everything.

    overrides : those that `params` was loaded with; pages and flows read params.yaml with them.
    Raises SpinscopeError as `services` does, and where one of the programs ends by itself.
    """
    with contextlib.suppress(KeyboardInterrupt), services(params, overrides, say=say) as running:
        for name, address in running.addresses.items():
            say(f"{name:<12}{address}")
        say("Ctrl-C stops all of them.")
        if open_browser:
            import webbrowser

            webbrowser.open(running.addresses["dashboard"])
        running.wait()


@dataclass(frozen=True)
class Running:
    """What runs: name → address, and the programs."""

    addresses: dict[str, str]
    started: tuple[_Started, ...]

    def wait(self) -> None:
        """Stay until a program ends by itself, which raises SpinscopeError."""
        while True:
            _check_alive(self.started)
            time.sleep(0.5)


@contextlib.contextmanager
def services(
    params: Params,
    overrides: Sequence[str] = (),
    *,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Running]:
    """MLflow on the project's store, Prefect with the flows as deployments, and the dashboard.

    A store that is a server already is not started again. Inside the `with` block every program
    answers; after it none is left. SIGTERM and SIGHUP end the block like Ctrl-C, with a
    KeyboardInterrupt.
    Raises SpinscopeError, before anything starts, for a port that is taken or a store that cannot
    be opened; where a program does not start it holds the last lines of its log.
    """
    from spinscope.tracking import open_store

    root = project_root()
    for name in ("dashboards/app.py", "flows/serve.py"):
        if not (root / name).is_file():
            raise SpinscopeError(f"{root / name} is missing; serve needs the project's checkout")
    ports = choose_ports(params.serve)
    open_store(params.tracking)  # no two programs race for its tables
    mark = secrets.token_hex(8)
    first, flows, addresses = plan(params, overrides, ports, root, mark)
    started: list[_Started] = []
    with _ended_by_signals():
        try:
            say(f"starting {', '.join(service.name for service in (*first, flows))} …")
            for service in first:
                started.append(_start(service, root))
            for one in list(started):
                _await(one, started)
            started.append(_start(flows, root))
            _await(started[-1], started)
            yield Running(addresses, tuple(started))
        finally:
            _stop(started, mark)


def choose_ports(wanted: Serve) -> dict[str, int]:
    """The ports of `params.serve`, 0 replaced by a free one.

    Raises SpinscopeError for a port that is taken, asked for twice, or none.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        # Fixed ports first: a free one must not be picked where another is wanted.
        for key, port in sorted(wanted.model_dump().items(), key=lambda item: item[1] == 0):
            if port in chosen.values():
                raise SpinscopeError(f"serve.{key} (={port}) must differ from the other ports")
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except (OSError, OverflowError) as error:
                raise SpinscopeError(
                    f"serve.{key} (={port}) cannot be used: {error.args[-1]}; stop what listens "
                    f"there, or choose another with --set serve.{key}=PORT (0 takes a free one)"
                ) from error
            chosen[key] = listener.getsockname()[1]
    return chosen


def plan(
    params: Params, overrides: Sequence[str], ports: dict[str, int], root: Path, mark: str
) -> tuple[list[Service], Service, dict[str, str]]:
    """The programs that can start at once, the one that serves the flows, and the addresses."""
    from spinscope.tracking.store import public, store_uri

    uri = store_uri(params.tracking)
    mlflow, prefect, dashboard = (
        f"http://{HOST}:{ports[f'{name}_port']}" for name in ("mlflow", "prefect", "dashboard")
    )
    environment = {
        **project_environment(root),
        **settings_environment(params, overrides),
        _MARK: mark,
        "PREFECT_API_URL": f"{prefect}/api",
        "PYTHONUNBUFFERED": "1",
    }
    # Addresses that may hold a password go through the environment: everyone can read a command.
    first = [
        Service(
            "mlflow",
            _module("mlflow server", host=HOST, port=ports["mlflow_port"], workers=1),
            environment
            | {
                "MLFLOW_BACKEND_STORE_URI": uri,
                "MLFLOW_ARTIFACTS_DESTINATION": str((root / params.tracking.artifacts).resolve()),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            lambda: _answers(f"{mlflow}/health"),
        ),
        Service(
            "prefect",
            _module("prefect server start", host=HOST, port=ports["prefect_port"]),
            environment
            | {
                "PREFECT_CLI_PROMPT": "false",
                "PREFECT_UI_API_URL": f"{prefect}/api",
                # Else a page of any other site could start flows from the user's browser.
                "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": prefect,
            },
            lambda: _answers(f"{prefect}/api/health"),
        ),
        Service(
            "dashboard",
            (
                *_module("streamlit run"),
                str(root / "dashboards/app.py"),
                *("--server.headless", "true", "--server.address", HOST),
                *("--server.port", str(ports["dashboard_port"])),
                *("--browser.gatherUsageStats", "false"),
            ),
            environment,
            lambda: _answers(f"{dashboard}/_stcore/health"),
        ),
    ]
    addresses = {"mlflow": mlflow, "prefect": prefect, "dashboard": dashboard}
    if uri.startswith(("http://", "https://")):
        first, addresses["mlflow"] = first[1:], public(uri)
    begun = time.time()
    flows = Service(
        "flows",
        (sys.executable, str(root / "flows/serve.py")),
        environment,
        lambda: _polled(f"{prefect}/api", begun),
    )
    return first, flows, addresses


def _module(words: str, **options: object) -> tuple[str, ...]:
    """Command line of a Python module: its words, then its options."""
    flat = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    return (sys.executable, "-m", *words.split(), *flat)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _polled(api: str, since: float) -> bool:
    """Whether a process has asked for the runs of a deployment since then."""
    try:
        found = httpx.post(f"{api}/deployments/filter", json={}, timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    times = (deployment.get("last_polled") for deployment in found)
    return any(datetime.fromisoformat(when).timestamp() >= since for when in times if when)


def _start(service: Service, root: Path) -> _Started:
    log = root / "build/logs" / f"{service.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(
            service.command,
            cwd=root,
            env=service.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Started(service, process, log)


def _await(one: _Started, started: Sequence[_Started]) -> None:
    """Wait until `one` answers; raise SpinscopeError where any of `started` ends before."""
    end = time.monotonic() + _START_SECONDS
    while not one.service.ready():
        _check_alive(started)
        if time.monotonic() > end:
            raise SpinscopeError(
                f"{one.service.name} did not answer within {_START_SECONDS} s{_last_lines(one.log)}"
            )
        time.sleep(0.2)
    _check_alive(started)  # or another program answered at its address


def _check_alive(started: Sequence[_Started]) -> None:
    for one in started:
        code = one.process.poll()
        if code is not None:
            raise SpinscopeError(
                f"{one.service.name} ended with exit code {code}{_last_lines(one.log)}"
            )


def _last_lines(log: Path, count: int = 8) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([f"; the last lines of {log}:", *lines[-count:]])


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(started: Sequence[_Started], mark: str) -> None:
    """End the programs, the newest first, then whatever else bears the mark."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it takes seconds and leaves nothing behind
    # The flows still talk to Prefect while they end.
    for group in (
        [one for one in started if one.service.name == "flows"],
        [one for one in started if one.service.name != "flows"],
    ):
        for one in group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_SECONDS
        for one in group:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0, end - time.monotonic()))
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        left = _marked(mark)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal_number)
        psutil.wait_procs(left, timeout=_STOP_SECONDS / 2)
    for one in started:
        one.process.wait()


def _marked(mark: str) -> list[psutil.Process]:
    """Living processes that were started by ours, directly or not."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found
