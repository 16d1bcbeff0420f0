"""Progress reports: a function that wraps an iterable, with the arguments of tqdm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[..., Iterable]
"""``progress(items, total=None, desc="", unit="it")`` yields the items and reports on them."""


def no_progress(items: Iterable, **_: Any) -> Iterable:
    """No-op progress bar."""
    return items
