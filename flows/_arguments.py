"""The arguments that every flow takes on its command line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from spinscope.errors import SpinscopeError


def parse(description: str, **extra: str) -> dict:
    """{profile, overrides, …} of the command line; `extra` is name → help of further options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", help="demo, laptop or paper")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE"
    )
    for name, text in extra.items():
        parser.add_argument(f"--{name}", help=text)
    return vars(parser.parse_args())


def whole(name: str, value: int | str | None, least: int = 1) -> int:
    """A number of the command line; `least` where none is given.

    Raises SpinscopeError for what is no whole number, or below `least`.
    """
    text = str(least if value in (None, "") else value)
    if not text.isdecimal() or int(text) < least:
        raise SpinscopeError(f"--{name} (={value}) must be a whole number, at least {least}")
    return int(text)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with the sentence of a SpinscopeError, as the command line does."""
    try:
        yield
    except SpinscopeError as error:
        sys.exit(f"error: {error}")
