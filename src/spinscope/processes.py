"""Processes: one that is named so that others see when it died, and some that work beside it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

from spinscope.errors import SpinscopeError

_CLOCK_S = 2.0
"""A machine's clock is set while studies run, and with it what is said of when a process began."""


def this_process() -> str:
    """Names this process: its machine, number and beginning."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def dead(named: str) -> bool:
    """Whether a process of this machine is gone, or none is named at all.

    named : as `this_process` gives it. Of another machine's nothing is known: it counts as alive.
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
    """`function` of every item, in order, each in one of some processes that end with this one.

    One worker is a process too, so that what dies in it takes nothing with it.
    Raises SpinscopeError where one dies.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        try:
            yield from pool.map(function, items)
        except BrokenProcessPool:
            raise SpinscopeError(
                "a process was killed at work, perhaps for memory; run it again to go on"
            ) from None


def end_with_parent() -> None:
    """End this process as soon as its parent has, however that ended.

    An orphan would go on beside whoever takes up the work again, in the same folder.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
