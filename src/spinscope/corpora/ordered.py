"""Work on threads whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def ordered(
    make: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield `make(item)` of every item in order, made by so many threads at once.

    Threads serve where Fourier transforms, filters and random numbers run outside Python's lock.
    Items are drawn in this thread, a few ahead; those not begun are left out when the caller stops.

    >>> list(ordered(str, range(4), 2))
    ['0', '1', '2', '3']
    """
    if workers == 1:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()
