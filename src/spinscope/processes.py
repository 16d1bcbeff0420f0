"""Name processes, and run functions in processes that end with this one.

loky and joblib restart a pool after the death of a worker but leave orphans when the parent is
killed, so the standard library's pool is used with a watch on the parent.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from typing import Any

from spinscope.errors import SpinscopeError

_CLOCK_S = 2.0
"""Tolerance of the start time of a process, which changes when the machine's clock is set."""


def this_process() -> str:
    """Name of this process: its machine, number and start time."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


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
    import psutil

    host, pid, started = (named + "  ").split(" ")[:3]
    if named and host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) > _CLOCK_S
    except (psutil.NoSuchProcess, ValueError):
        return True


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
