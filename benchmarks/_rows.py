"""Rows of the results of a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any


def row(value: float, unit: str, peer: float, ratio: float | None = None, **more: Any) -> dict:
    """Return a result with four significant digits.

    Parameters
    ----------
    value : float
        Measured value.
    unit : str
        Its unit.
    peer : float
        Value of another program, an earlier version or a limit.
    ratio : float, optional
        Factor by which the value is better than the peer's; `value` over `peer` by default.
    **more
        Further entries.
    """
    ratio = value / peer if ratio is None else ratio
    rounded = {"value": value, "unit": unit, "peer": peer, "ratio": ratio}
    return {k: float(f"{v:.4g}") if k != "unit" else v for k, v in rounded.items()} | more


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    start = perf_counter()
    work()
    return perf_counter() - start
