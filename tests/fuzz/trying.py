"""Try a reader with many changed inputs, in child processes with limits on time and memory."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CHECKOUT = Path(__file__).parents[2]
SECONDS = 1.0
"""Longest time of one input, in seconds of the processor."""
BYTES = 2**30
"""Most memory that one input may take."""
_STUCK_SECONDS = 60
"""Longest wait for one input, on a machine that does other things as well."""
_ADDRESSES = 6 * 2**30
"""Address space of a child beyond what it has after the first input."""


@dataclass
class Tried:
    """Outcome of a reader.

    Attributes
    ----------
    name : str
        Name of the reader.
    tried : int
        Number of inputs.
    bad : list of (int, str)
        Number of the input, and what happened.
    """

    name: str
    tried: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        """Row of the table."""
        return {"name": self.name, "tried": self.tried, "bad": len(self.bad)}


def try_reader(name: str, n: int, seed: int = 0, first: int = 0) -> Tried:
    """Try a reader; the inputs depend on its name, the seed and their number only.

    Parameters
    ----------
    name : str
        Name of the reader.
    n, first : int
        Number of inputs, and number of the first of them.
    seed : int
    """
    outcome, end = Tried(name), first + n
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        while first < end:
            for number, problem in _child(name, first, end, seed, Path(scratch)):
                first = number + 1
                outcome.tried += 1
                if problem:
                    outcome.bad.append((number, problem))
    return outcome


def _child(
    name: str, first: int, end: int, seed: int, scratch: Path
) -> Iterator[tuple[int, str | None]]:
    """Outcomes of inputs in one process, until it ends."""
    words = [sys.executable, "-m", "tests.fuzz.trying", name, str(first), str(end), str(seed)]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "src"))),
        "SPINSCOPE_ROOT": str(CHECKOUT),
    }
    with (scratch / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [*words, str(scratch)], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE,
            stderr=errors,
        )  # fmt: skip
    number, waited = first - 1, 20 * _STUCK_SECONDS  # imports come before the first input
    buffer = b""
    try:
        while True:
            if not select.select([process.stdout], [], [], waited)[0]:
                yield number + 1, f"no answer within {waited} s"
                return
            if not (block := os.read(process.stdout.fileno(), 1 << 16)):
                break
            *lines, buffer = (buffer + block).split(b"\n")
            for line in lines:
                number, problem = json.loads(line)
                waited = _STUCK_SECONDS
                yield number, problem
        if process.wait() and number + 1 < end:
            tail = (scratch / "stderr").read_bytes()[-300:].decode(errors="replace")
            if waited != _STUCK_SECONDS:
                raise RuntimeError(f"{name} does not read its own valid inputs: {tail}")
            yield number + 1, f"the process ended with {process.returncode}: {tail}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _run(name: str, first: int, end: int, seed: int, scratch: Path) -> None:
    """Read inputs, and write a line per input: its number, and what is wrong or null."""
    from tests.fuzz.readers import READERS

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print to it
    warnings.simplefilter("ignore")
    reader, valid = READERS[name], scratch / "valid"
    if not valid.is_dir():
        (scratch / "making").mkdir(exist_ok=True)
        reader.make(scratch / "making")
        (scratch / "making").rename(valid)
    for number in (-1, -2, -3):  # imports, and the first use of libraries
        _one(reader, number, seed, valid, scratch / "work")
    vm = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (vm + _ADDRESSES, vm + _ADDRESSES))
    for number in range(first, end):
        problem = _one(reader, number, seed, valid, scratch / "work")
        answers.write(json.dumps([number, problem]) + "\n")
        answers.flush()


def _one(reader: Any, number: int, seed: int, valid: Path, work: Path) -> str | None:
    """Read one input; what is wrong, or None."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rng = np.random.default_rng([seed, number + 2**16])
    given = reader.draw(valid, work, rng)
    before = _peak(reset=True)
    start = time.process_time()
    problem = None
    try:
        reader.read(given)
    except Exception as error:
        problem = _problem(error)
    seconds, memory = time.process_time() - start, _peak() - before
    if problem is None and seconds > SECONDS:
        problem = f"{seconds:.1f} s"
    if problem is None and memory > BYTES:
        problem = f"{memory / 2**30:.1f} GiB"
    return problem


def _problem(error: BaseException) -> str | None:
    """What is wrong about an error; None for a sentence of the package."""
    from spinscope.errors import SpinscopeError

    chain, one = [], error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    if any(isinstance(one, MemoryError) for one in chain):
        return f"asked for more than {_ADDRESSES >> 30} GiB: {error!r:.200}"
    if not isinstance(error, SpinscopeError):
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/spinscope/" in frame.filename] or frames
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return f"{place}: {error!r:.300}"
    if "\n" in str(error):
        return f"more than one line: {str(error)!r:.200}"
    return None


def _peak(*, reset: bool = False) -> int:
    """Peak of the resident memory in bytes; with `reset`, it starts again from the present one."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    _run(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
