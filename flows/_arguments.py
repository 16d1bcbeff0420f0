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


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with the sentence of a SpinscopeError, as the command line does."""
    try:
        yield
    except SpinscopeError as error:
        sys.exit(f"error: {error}")
