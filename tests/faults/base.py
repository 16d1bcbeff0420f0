"""Scenarios of faults: a name, what is broken, and trials that say what was lost."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_CALLS = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "rename", "renameat",
    "renameat2", "chmod", "fchmodat", "link", "linkat", "unlink", "unlinkat", "rmdir",
    "mkdir", "mkdirat",
)  # fmt: skip
WRITES = ("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate")
KILL, ERROR, FULL = "signal=SIGKILL:when={}", "error=EIO:when={}", "error=ENOSPC:when={}+"
"""Kill -9, one I/O error, and a disk that stays full from the n-th call on."""

Trials = Iterator[str | None]
"""One item per trial: None, or what was lost."""


@dataclass(frozen=True)
class Scenario:
    """A fault and its trials.

    Attributes
    ----------
    name : str
        Name in the table.
    trials : callable
        (empty folder, random numbers, number of trials) → `Trials`.
    n : int
        Number of trials of the table; 0 for every call that can fail.
    """

    name: str
    trials: Callable[[Path, random.Random, int], Trials]
    n: int


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, n: int = 0) -> Callable[[Callable], Callable]:
    """Decorator: enter a function into `SCENARIOS` under its own name."""

    def enter(function: Callable) -> Callable:
        SCENARIOS[function.__name__] = Scenario(name, function, n)
        return function

    return enter


def row(key: str, folder: Path, seed: int, n: int | None = None) -> dict:
    """Run a scenario; returns {name, tried, lost, ...} with a sentence for each loss.

    Parameters
    ----------
    key : str
        Of `SCENARIOS`.
    folder : Path
        Empty folder.
    seed : int
        Seed of all draws.
    n : int, optional
        Number of trials; by default that of the scenario.
    """
    one = SCENARIOS[key]
    folder.mkdir(parents=True)
    found = list(one.trials(folder, random.Random(f"{key} {seed}"), one.n if n is None else n))
    shutil.rmtree(folder, ignore_errors=True)
    losses = [loss for loss in found if loss is not None]
    return {
        "key": key,
        "name": one.name,
        "tried": len(found),
        "lost": len(losses),
        "losses": losses,
        "seed": seed,
        "command": f"python -m tests.faults --seed {seed} {key}",
    }


class Operations:
    """A process that imports once and forks a child for each operation, which a fault may hit.

    The child stops before the operation, so that strace finds it there. The process ends with the
    one that started it.
    """

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.operations"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    @classmethod
    @functools.cache
    def shared(cls) -> Operations:
        """The process that all scenarios use."""
        return cls()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        assert line, "the process of operations ended"
        return line.strip()

    def kill(self, operation: str, folder: Path, seconds: float) -> int:
        """Run an operation in a child and kill it after a time; returns its exit status."""
        print(operation, folder, file=self._process.stdin)
        pid = int(self._line())
        print(file=self._process.stdin)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return int(self._line())

    def run(self, operation: str, folder: Path, fault: str = "", calls=FILE_CALLS) -> int:
        """Run an operation in a child, with a fault of strace; returns its exit status."""
        print(operation, folder, file=self._process.stdin)
        pid = self._line()
        trace = folder.parent / "strace.log"
        given = ["-e", f"inject={','.join(calls)}:{fault}"] if fault else []
        command = ["strace", "-p", pid, "-o", trace, "-e", f"trace={','.join(calls)}", *given]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        attached = strace.stderr.readline()
        assert "attached" in attached, attached
        print(file=self._process.stdin)
        status = int(self._line())
        strace.stderr.read()
        strace.stderr.close()
        strace.wait()
        return status

    def count(self, operation: str, folder: Path, calls=FILE_CALLS) -> int:
        """Number of calls of an operation that a fault can hit."""
        status = self.run(operation, folder, calls=calls)
        assert status == 0, f"{operation} fails without a fault: {status}"
        lines = (folder.parent / "strace.log").read_text().splitlines()
        return sum(line.startswith(tuple(f"{call}(" for call in calls)) for line in lines)


def chosen(count: int, n: int, rng: random.Random) -> list[int]:
    """Numbers of the calls to hit: all of 1 to `count`, or `n` of them, the last included."""
    if n == 0 or n >= count:
        return list(range(1, count + 1))
    return sorted({*rng.sample(range(1, count + 1), n - 1), count})
