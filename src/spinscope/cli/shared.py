"""What all verbs share: their options, progress bars and printing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Set = Annotated[
    list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override params.yaml.")
]
Profile = Annotated[str | None, typer.Option(help="demo, laptop or paper.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Data = Annotated[Path | None, typer.Option("--data", help="Dataset folder.")]
Ref = Annotated[
    str, typer.Option("--model", help="models:/NAME@lab, bundled:NAME or a model folder.")
]


def show_progress(items, total: int | None = None, desc: str | None = None, **_: Any):
    """A bar for work over two seconds."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=desc, delay=2)


def say(value: Any, as_json: bool, lines: Callable[[Any], list[str]]) -> None:
    print(json.dumps(value, indent=1) if as_json else "\n".join(lines(value)))
