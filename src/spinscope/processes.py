"""Name processes, and run functions in processes that end with this one.

loky and joblib restart a pool after the death of a worker but leave orphans when the parent is
killed, so the standard library's pool is used with a watch on the parent.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

from spinscope.errors import SpinscopeError

_CLOCK_S = 2.0
"""Tolerance of the start time in names of earlier releases, which depends on the clock."""


def this_process() -> str:
    """Name of this process: its machine, number and start."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def _started(pid: int) -> str | None:
    """Start of a process, unchanged when the clock is set; None if unknown, "" for a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        import psutil  # a system without /proc

        return f"{psutil.Process(pid).create_time():.2f}"
    return "" if state in "ZX" else f"{fields[18]}@{_boot()}"


@functools.cache
def _boot() -> str:
    """Name of the present start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "0"


def this_user() -> str:
    """Name of the user of this process; "unknown" for a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may use a user number without a name
        return "unknown"


def dead(named: str) -> bool:
    """Whether a process has ended.

    Parameters
    ----------
    named : str
        Name from `this_process`. A process of another machine counts as alive; an empty name
        counts as dead.
    """
    host, pid, started = (named + "  ").split(" ")[:3]
    if named and host != socket.gethostname():
        return False
    if not re.fullmatch(r"[1-9]\d{0,8}", pid):
        return True
    try:
        os.kill(int(pid), 0)
        now = _started(int(pid))
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user, who may hide it
        now = _started(int(pid))
    if now is None:
        return False
    if "@" in now and "@" not in started:
        return not _started_at(int(pid), started)
    return now != started


def _started_at(pid: int, time: str) -> bool:
    """Whether a process started at a time, as names of earlier releases hold it."""
    import psutil

    try:
        return abs(psutil.Process(pid).create_time() - float(time)) <= _CLOCK_S
    except (psutil.NoSuchProcess, ValueError):
        return False


def side_by_side(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int
) -> Iterator[Any]:
    """Results of a function of every item, in order, from processes that end with this one.

    Parameters
    ----------
    function : callable
        Function of one item that pickle can hold.
    items : iterable
        Items.
    workers : int
        Number of processes; a single one is also a process of its own.

    Raises
    ------
    SpinscopeError
        If a process is killed.
    """
    context, others = get_context("spawn"), set(active_children())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        try:
            yield from pool.map(function, items)
        except (KeyboardInterrupt, GeneratorExit):
            for process in set(active_children()) - others:  # else the pool waits for its work
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise
        except BrokenProcessPool:
            raise SpinscopeError(
                "a process was killed at work, perhaps for memory; run it again to go on"
            ) from None


def end_with_parent() -> None:
    """Exit when the parent exits, since an orphan would write to the folder of the next call."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    """Exit this process once its parent has exited."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
