"""Web pages of a project, started and stopped together: MLflow, Prefect and the dashboard.

Everything listens on 127.0.0.1. Each program writes to ``build/logs/NAME.log``. An environment
variable marks every process that they start, directly or not, so that all of them are ended.
Process managers such as honcho or supervisor end only their own children, or need a daemon.
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
from platformdirs import user_log_path

from spinscope.config import (
    Params,
    Serve,
    bundled_dashboards,
    bundled_flows,
    project_root,
    settings_environment,
)
from spinscope.errors import SpinscopeError
from spinscope.extras import installed
from spinscope.files import make_private
from spinscope.origins import HOST, hosts

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
    """Environment of a program of the project: its root, its Prefect home, no analytics.

    The Prefect home is created if missing and Prefect is installed. Only its owner can read it.
    """
    home = root / ".prefect"
    with contextlib.suppress(OSError):  # Prefect reports a folder that it cannot write
        if installed("prefect"):
            home.mkdir(mode=0o700, exist_ok=True)
        for path in (home, *home.glob("prefect.db*")):
            make_private(path)
    return {
        **os.environ,
        **_QUIET,
        "SPINSCOPE_ROOT": str(root),
        "PREFECT_HOME": str(home),
        # The server that Prefect starts for a single flow takes 20 s on a fresh database.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def flow_environment(root: Path) -> dict[str, str]:
    """Environment of a flow; the server that Prefect starts for it answers only its processes."""
    environment = project_environment(root)
    if not {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"} & set(environment):
        password = f"flow:{secrets.token_urlsafe(24)}"
        for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
            environment[name] = password
    return environment


@dataclass
class Service:
    """A program to start.

    Parameters
    ----------
    name : str
        Name of the program and its log.
    command : tuple of str
        Command line.
    environment : dict
        Environment variables.
    ready : callable
        Returns whether the program answers.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    ready: Callable[[], bool]
    log: Path | None = None
    process: subprocess.Popen | None = None

    def start(self, root: Path) -> None:
        """Start the program, with its output in a log.

        Where the folder is no project, the log is in the user's folder of logs.
        """
        project = (root / "params.yaml").is_file()
        logs = root / "build/logs" if project else user_log_path("spinscope")
        self.log = logs / f"{self.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                self.command,
                cwd=root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check_alive(self) -> None:
        """Raise SpinscopeError with the end of the log if the program has ended."""
        if (code := self.process.poll()) is not None:
            raise SpinscopeError(f"{self.name} ended with exit code {code}{self.last_lines()}")

    def last_lines(self, count: int = 8) -> str:
        """End of the log, in words for an error message."""
        lines = self.log.read_text(errors="replace").splitlines()
        written = [line for line in lines if line.strip()]
        return "\n".join([f"; the last lines of {self.log}:", *written[-count:]])


def serve(
    params: Params,
    overrides: Sequence[str] = (),
    *,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Start all programs, print their addresses, and stop them on Ctrl-C or SIGTERM.

    Without MLflow or Prefect, the dashboard is the only one.

    Parameters
    ----------
    params : Params
        Settings.
    overrides : sequence of str
        Overrides that `params` was loaded with; pages and flows load params.yaml with them.
    open_browser : bool
        Open the dashboard.
    say : callable
        Receives each line of text.

    Raises
    ------
    SpinscopeError
        If a program does not start or ends by itself.
    """
    with contextlib.suppress(KeyboardInterrupt), services(params, overrides, say=say) as running:
        addresses, started = running
        for name, address in addresses.items():
            say(f"{name:<12}{address}")
        say("Ctrl-C stops all of them.")
        if open_browser:
            import webbrowser

            webbrowser.open(addresses["dashboard"])
        while True:
            for service in started:
                service.check_alive()
            time.sleep(0.5)


@contextlib.contextmanager
def services(
    params: Params, overrides: Sequence[str] = (), *, say: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[dict[str, str], list[Service]]]:
    """Run MLflow, Prefect with the flows as deployments, and the dashboard inside a block.

    A tracking store that is a server is not started again. SIGTERM and SIGHUP end the block with
    a KeyboardInterrupt, like Ctrl-C.

    Parameters
    ----------
    params, overrides, say
        As in `serve`.

    Yields
    ------
    (dict, list of Service)
        Name → address, and the programs, all of which answer.

    Raises
    ------
    SpinscopeError
        If a port is taken, the store cannot be opened, or a program does not start.
    """
    from spinscope.tracking import open_store

    root = project_root()
    for file in (bundled_dashboards() / "app.py", bundled_flows() / "serve.py"):
        if not file.is_file():
            raise SpinscopeError(f"{file} is missing; install spinscope again")
    ports = choose_ports(params.serve)
    mark = secrets.token_hex(8)
    first, flows, addresses = plan(params, overrides, ports, root, mark)
    groups = [first, [flows]]
    if installed("mlflow") and installed("prefect"):
        open_store(params.tracking)  # before several programs create its tables at once
    else:
        groups = [[service for service in first if service.name == "dashboard"]]
        addresses = {"dashboard": addresses["dashboard"]}
        say("MLflow and Prefect are not installed: pip install 'spinscope[platform]'")
    started: list[Service] = []
    with _handled(signal.default_int_handler):  # SIGTERM and SIGHUP end the block like Ctrl-C
        try:
            say(f"starting {', '.join(service.name for group in groups for service in group)} …")
            for together in groups:
                for service in together:
                    service.start(root)
                    started.append(service)
                for service in together:
                    _await(service, started)
            yield addresses, started
        finally:
            _stop(started, mark)


def choose_ports(wanted: Serve) -> dict[str, int]:
    """Ports of the settings, with 0 replaced by a free port.

    Raises
    ------
    SpinscopeError
        If a port is taken, wanted twice, or not a port.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        # Fixed ports first, so that no free one is chosen that is wanted elsewhere.
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
    """Programs of the project.

    Parameters
    ----------
    params, overrides
        As in `serve`.
    ports : dict
        Port per key of the section ``serve``.
    root : Path
        Folder of the project.
    mark : str
        Value of the environment variable that marks the processes.

    Returns
    -------
    (list of Service, Service, dict)
        Programs that can start at once, the one that serves the flows, and the addresses.
    """
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
    # An address may hold a password, and every user of the machine can read a command line.
    first = [
        Service(
            "mlflow",
            (
                *(sys.executable, "-m", "spinscope.tracking.web"),
                *("--port", str(ports["mlflow_port"])),
            ),
            environment
            | {
                "MLFLOW_BACKEND_STORE_URI": uri,
                "MLFLOW_ARTIFACTS_DESTINATION": str((root / params.tracking.artifacts).resolve()),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
                "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts(ports["mlflow_port"])),
                "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": mlflow,
                "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            },
            lambda: _answers(f"{mlflow}/health"),
        ),
        Service(
            "prefect",
            (
                *(sys.executable, str(bundled_flows() / "_server.py")),
                *("--port", str(ports["prefect_port"])),
            ),
            environment
            | {
                "PREFECT_UI_API_URL": f"{prefect}/api",
                # Otherwise any web site could start flows from the user's browser. Without the
                # token it could still send requests, of which it cannot read the responses.
                "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": prefect,
                "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            },
            lambda: _answers(f"{prefect}/api/health"),
        ),
        Service(
            "dashboard",
            (
                *(sys.executable, str(bundled_dashboards() / "start.py")),
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
        (sys.executable, str(bundled_flows() / "serve.py")),
        environment,
        lambda: _polled(f"{prefect}/api", begun),
    )
    return first, flows, addresses


def post(api: str, path: str) -> httpx.Response:
    """Response of the Prefect server to a request without arguments.

    The server refuses a request without a token, which a page of another site cannot read.

    Parameters
    ----------
    api : str
        Address of the server's API.
    path : str
        Path of the request below `api`.

    Raises
    ------
    httpx.HTTPError
        If the server does not answer.
    """
    client = f"spinscope-{os.getpid()}"
    token = httpx.get(f"{api}/csrf-token", params={"client": client}, timeout=5).json()["token"]
    headers = {"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token}
    return httpx.post(f"{api}/{path}", json={}, headers=headers, timeout=5)


def _answers(address: str) -> bool:
    """Whether a page answers."""
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _polled(api: str, since: float) -> bool:
    """Whether a runner has polled for scheduled runs since then."""
    try:
        found = post(api, "deployments/filter").json()
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    times = (deployment.get("last_polled") for deployment in found)
    return any(datetime.fromisoformat(when).timestamp() >= since for when in times if when)


def _await(service: Service, started: Sequence[Service]) -> None:
    """Wait until a program answers; SpinscopeError if it does not or another one ends."""
    end = time.monotonic() + _START_SECONDS
    while not service.ready():
        for one in started:
            one.check_alive()
        if time.monotonic() > end:
            raise SpinscopeError(
                f"{service.name} did not answer within {_START_SECONDS} s{service.last_lines()}"
            )
        time.sleep(0.2)
    for one in started:
        one.check_alive()  # otherwise another program answered at its address


@contextlib.contextmanager
def _handled(handler) -> Iterator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP inside the block, in the main thread only."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _stop(started: Sequence[Service], mark: str) -> None:
    """End the flows, which still talk to Prefect, then the others, then all marked processes."""
    with _handled(signal.SIG_IGN):  # ending takes seconds and leaves no process
        for flows in (True, False):
            group = [one.process for one in started if (one.name == "flows") == flows]
            for process in group:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            end = time.monotonic() + _STOP_SECONDS
            for process in group:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, end - time.monotonic()))
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = _marked(mark)
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            psutil.wait_procs(left, timeout=_STOP_SECONDS / 2)
        for one in started:
            one.process.wait()


def _marked(mark: str) -> list[psutil.Process]:
    """Living processes that carry the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found
