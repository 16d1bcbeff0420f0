"""A retraining as a process of its own, which outlives the page and the dashboard.

`build/retrain/STAMP/` holds `job.json` (command and settings), `log.txt` and, after the training,
the report `out/report.json`.
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

import psutil

from spinscope.config import Params, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.serve import flow_environment
from spinscope.training.checkpoint import finished_epochs

JOBS = "build/retrain"
"""Folder of the project that holds all retrainings."""

_LOG_BYTES = 20_000
_CLOCK_S = 2.0
_children: list[subprocess.Popen] = []


@dataclass(frozen=True)
class Job:
    """A retraining that was started: its folder, and the content of job.json."""

    folder: Path
    about: dict[str, Any]

    @property
    def log(self) -> Path:
        """File with the output of the process."""
        return self.folder / "log.txt"

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.folder / "out"

    @property
    def report(self) -> dict[str, Any] | None:
        """Comparison of the new model with the old one; None before the end."""
        path = self.out / "report.json"
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.about["pid"])
            same = abs(process.create_time() - self.about["created"]) < _CLOCK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def minutes(self) -> float | None:
        """Duration in minutes; None without a report."""
        path = self.out / "report.json"
        return (path.stat().st_mtime - self.about["created"]) / 60 if path.is_file() else None

    def epochs(self) -> tuple[int, int, float | None]:
        """Finished epochs, all epochs, and the seconds that the others take; None if unknown."""
        each, every = self.about.get("epochs", 0), self.about.get("seeds", 0)
        seeds = [finished_epochs(path) for path in (self.out / "train").glob("seed-*")]
        done, seconds = (sum(values) for values in zip((0, 0.0), *seeds, strict=True))
        at_once = max(1, sum(0 < epochs < each for epochs, _ in seeds))
        left = seconds / done * max(each * every - done, 0) / at_once if done else None
        return done, each * every, left

    def stop(self) -> None:
        """End the process and its children."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.about["pid"], signal.SIGTERM)

    def tail(self, lines: int = 12) -> str:
        """Last lines of the log; of a progress bar its last state."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - _LOG_BYTES, 0))
            text = file.read().decode(errors="replace").replace("\r\n", "\n")
        shown = [line.rsplit("\r", 1)[-1].rstrip() for line in text.split("\n")]
        return "\n".join([line for line in shown if line][-lines:])


def command(
    folders: Sequence[Path], model: str, profile: str, out: Path, seeds: int, epochs: int
) -> list[str]:
    """Command line of the flow `retrain`."""
    return [
        *(sys.executable, "-m", "spinscope", "flow", "run", "retrain"),
        *("--reviews", ",".join(map(str, folders))),
        *("--model", model, "--profile", profile, "--out", str(out)),
        *("--set", f"training.seeds={seeds}", "--set", f"training.epochs={epochs}"),
    ]


def expected_duration(params: Params, seeds: int, epochs: int) -> str:
    """Number of steps of a retraining, and its duration estimated from the last one."""
    steps = seeds * epochs * params.training.steps_per_epoch
    size = f"{seeds} × {epochs} epochs of {params.training.steps_per_epoch} steps"
    for job in jobs():
        if job.about.get("profile") == params.profile and (minutes := job.minutes):
            guess = minutes * steps / job.about["steps"]
            return f"{size}: {in_words(60 * guess)}, estimated from the last retraining."
    return f"{size}. The duration is estimated after the first retraining."


def in_words(seconds: float) -> str:
    """Duration in words.

    >>> in_words(12), in_words(400)
    ('a minute or less', 'about 7 minutes')
    """
    return "a minute or less" if seconds <= 60 else f"about {seconds / 60:.0f} minutes"


def start(params: Params, folders: Sequence[Path], model: str, seeds: int, epochs: int) -> Job:
    """Start a retraining, detached from the dashboard.

    Parameters
    ----------
    params : Params
        Settings; their profile is that of the retraining.
    folders : sequence of Path
        Folders of reviews.
    model : str
        Reference of the model to train further.
    seeds, epochs : int
        Number of networks, and of epochs of each.

    Raises
    ------
    SpinscopeError
        If a retraining is running.
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
            env=flow_environment(root),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)
    created = 0.0
    with contextlib.suppress(psutil.Error):
        created = psutil.Process(child.pid).create_time()
    about = {
        "pid": child.pid,
        "created": created,
        "command": line[1:],
        "reviews": [str(path) for path in folders],
        "model": model,
        "profile": params.profile,
        "seeds": seeds,
        "epochs": epochs,
        "steps": seeds * epochs * params.training.steps_per_epoch,
    }
    write_json(folder / "job.json", about)
    return Job(folder, about)


def jobs() -> list[Job]:
    """Retrainings of this project, the newest first."""
    for child in _children:
        child.poll()  # reaps it once it has ended
    files = sorted((project_root() / JOBS).glob("*/job.json"), reverse=True)
    return [Job(path.parent, json.loads(path.read_text())) for path in files]
