"""Command line of a flow, and tasks of which a bounded number runs at once."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prefect.futures import PrefectFuture

from spinscope.errors import SpinscopeError


def parse(description: str, **extra: str) -> dict:
    """Arguments of the command line by name; `extra` maps further options to their help.

    Parameters
    ----------
    description : str
        Help of the program.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", help="demo, laptop or paper")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a setting, repeatable",
    )
    for name, text in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=text)
    return vars(parser.parse_args())


def bounded(
    submit: Callable[[Any], PrefectFuture], units: Sequence[Any], at_once: int
) -> list[Any]:
    """Results of `submit(unit)` in order, with at most `at_once` units under way.

    A deployment loads the flow from its file, which loses the bound of a task runner.

    Parameters
    ----------
    submit : callable
        Starts one unit and returns its future.
    units : sequence
        Units, in order.
    at_once : int
        Largest number of units under way.
    """
    under_way: deque[PrefectFuture] = deque()
    results = []
    for unit in units:
        if len(under_way) == at_once:
            results.append(under_way.popleft().result())
        under_way.append(submit(unit))
    return results + [future.result() for future in under_way]


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with the sentence of a SpinscopeError, as the command line does."""
    try:
        yield
    except SpinscopeError as error:
        sys.exit(f"error: {error}")
