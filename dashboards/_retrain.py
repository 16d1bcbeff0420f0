"""A retraining as a program of its own: started, watched through its files, shown when it is done.

build/retrain/STAMP/ holds job.json (what was started), log.txt and, when it is done, the report
out/report.json. The program goes on when the page is closed or the dashboard is stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spinscope.config import Params, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.serve import project_environment

JOBS = "build/retrain"
_children: dict[int, subprocess.Popen] = {}


@dataclass(frozen=True)
class Job:
    """A retraining that was started."""

    folder: Path
    about: dict[str, Any]

    @property
    def log(self) -> Path:
        """What the program prints."""
        return self.folder / "log.txt"

    @property
    def report(self) -> dict[str, Any] | None:
        """New model against old, once it is there."""
        path = self.folder / "out" / "report.json"
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def running(self) -> bool:
        """Whether its program still runs."""
        import psutil

        pid = self.about["pid"]
        if pid in _children and _children[pid].poll() is not None:
            return False
        try:
            process = psutil.Process(pid)
            started = abs(process.create_time() - self.about["created"]) < 2
            return started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    @property
    def minutes(self) -> float | None:
        """How long it took to its report, None where there is none."""
        path = self.folder / "out" / "report.json"
        return (path.stat().st_mtime - self.about["created"]) / 60 if path.is_file() else None

    def stop(self) -> None:
        """End the program and what it started."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.killpg(self.about["pid"], signal.SIGTERM)

    def tail(self, lines: int = 12) -> str:
        """The last lines of the log; a progress bar counts as its last state."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - 20_000, 0))
            text = file.read().decode(errors="replace")
        kept = [
            line.rsplit("\r", 1)[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")
        ]
        return "\n".join([line for line in kept if line][-lines:])


def command(
    folders: Sequence[Path], model: str, profile: str, out: Path, seeds: int, epochs: int
) -> list[str]:
    """Command line of the flow that retrains."""
    return [
        *(sys.executable, "-m", "spinscope", "flow", "run", "retrain"),
        *("--reviews", ",".join(map(str, folders))),
        *("--model", model, "--profile", profile, "--out", str(out)),
        *("--set", f"training.seeds={seeds}", "--set", f"training.epochs={epochs}"),
    ]


def expected(params: Params, seeds: int, epochs: int) -> str:
    """How long a retraining may take, as far as an earlier one here tells."""
    steps = seeds * epochs * params.training.steps_per_epoch
    what = f"{seeds} × {epochs} epochs of {params.training.steps_per_epoch} steps"
    for job in jobs():
        if job.about.get("profile") == params.profile and (minutes := job.minutes):
            guess = minutes * steps / job.about["steps"]
            about = "a minute or less" if guess <= 1 else f"about {guess:.0f} minutes"
            return f"{what}: {about}, judged by the last retraining here."
    return f"{what}. How long that takes here is known after the first retraining."


def start(params: Params, folders: Sequence[Path], model: str, seeds: int, epochs: int) -> Job:
    """Start a retraining from reviews, detached from the dashboard.

    Raises SpinscopeError where one is running already.
    """
    if any(job.running for job in jobs()):
        raise SpinscopeError("a retraining is running already; wait for it or stop it")
    root = project_root()
    folder = root / JOBS / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    line = command(folders, model, params.profile, folder / "out", seeds, epochs)
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            line,
            cwd=root,
            env=project_environment(root),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    about = {
        "pid": child.pid,
        "created": _created(child.pid),
        "command": line[1:],
        "reviews": [str(path) for path in folders],
        "model": model,
        "profile": params.profile,
        "steps": seeds * epochs * params.training.steps_per_epoch,
    }
    write_json(folder / "job.json", about)
    return Job(folder, about)


def _created(pid: int) -> float:
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def jobs() -> list[Job]:
    """Retrainings that were started, the last one first."""
    files = sorted((project_root() / JOBS).glob("*/job.json"), reverse=True)
    return [Job(path.parent, json.loads(path.read_text())) for path in files]
