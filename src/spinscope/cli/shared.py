"""Options, progress bars and printing that all verbs share."""

from __future__ import annotations

import functools
import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from spinscope.config import Params, Tracking, load_params
from spinscope.errors import SpinscopeError

MODEL_HELP = "models:/NAME@lab, bundled:NAME or a model folder."

NO_REASON = "no reason given"


def option(kind: Any, text: str, *flags: str) -> Any:
    """Annotation of an option that may be missing, with its help."""
    return Annotated[
        kind if get_origin(kind) is list else kind | None, typer.Option(*flags, help=text)
    ]


def former(kind: Any, flag: str) -> Any:
    """Annotation of a hidden option for a flag of an earlier release.

    Parameters
    ----------
    kind : type
        Type of the value.
    flag : str
        Former flag, for example ``--zoom``.
    """
    return Annotated[kind | None, typer.Option(flag, help="Former name.", hidden=True)]


def renamed(old: str, new: str, value: Any, former_value: Any) -> Any:
    """Value of an option whose flag was renamed, with a hint where the old flag was used.

    Parameters
    ----------
    old : str
        Former flag.
    new : str
        Flag.
    value : any
        Value of the new flag.
    former_value : any
        Value of the former flag.
    """
    if former_value is None:
        return value
    print(f"hint: {old} is now {new}", file=sys.stderr)
    return former_value


def output(default: str, text: str = "Output folder") -> Any:
    """Annotation of the option ``--out``, with its default in the help.

    Parameters
    ----------
    default : str
        Default in words.
    text : str
        Text of the help.
    """
    return option(Path, f"{text} ({default}).", "--out")


Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting, repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Model = Annotated[str, typer.Option("--model", help=MODEL_HELP)]
Profile = option(str, "demo, laptop or paper (laptop).")
Data = option(Path, "Dataset folder (data.path).", "--data")
Seed = option(int, "Seed of the random numbers (seed).")
Tta = option(int, "Augmented views averaged: 1, 2, 3 or 8.")
Reason = option(str, "Reason that the history records.")
Preview = option(Path, "PNG file to draw the first images to.")


def group(text: str) -> typer.Typer:
    """Group of verbs; `text` is its help.

    Parameters
    ----------
    text : str
        Text of the help.
    """
    return typer.Typer(no_args_is_help=True, help=text)


@dataclass(frozen=True)
class Settings:
    """Profile and overrides of a call."""

    profile: str | None
    overrides: list[str]

    def load(self, family: str | None = None, **values: Any) -> Params:
        """Settings, overridden by each ``section__key=value`` that is not None.

        Parameters
        ----------
        family : str, optional
            Name of a family; the shared settings without one.
        **values
            Overrides; ``kerr__n`` is ``kerr.n``. None is ignored.
        """
        extra = [
            f"{key.replace('__', '.')}={value}"
            for key, value in values.items()
            if value is not None
        ]
        return load_params(self.profile, [*self.overrides, *extra], family=family)

    def load_of(self, model: str, **values: Any) -> Params:
        """Settings of the family of a model.

        Parameters
        ----------
        model : str
            Reference of the model.
        """
        from spinscope.jobs import family_of

        return self.load(family_of(self.tracking, model), **values)

    @property
    def tracking(self) -> Tracking:
        """Settings of the tracking store."""
        return self.load().tracking


@dataclass(frozen=True)
class Answer:
    """Result of a verb.

    Parameters
    ----------
    lines : sequence of str
        Text for people.
    value : optional
        Value that ``--json`` prints.
    error : SpinscopeError, optional
        Raised after the answer has been printed.
    """

    lines: Sequence[str] = ()
    value: Any = None
    error: SpinscopeError | None = None


def verb(
    app: typer.Typer, name: str | None = None, *, settings: bool = True, as_json: bool = True
) -> Callable[[Callable], Callable]:
    """Register a function as a verb, with ``--set``, ``--profile`` and ``--json`` added.

    Parameters
    ----------
    app : typer.Typer
        Group of the verb.
    name : str, optional
        Name of the verb; that of the function by default.
    settings : bool
        Add ``--set`` and ``--profile`` and pass them as the function's first argument, `Settings`.
    as_json : bool
        Add ``--json``.

    Returns
    -------
    callable
        Decorator of a function that returns an `Answer`.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[settings:]
        added = []
        if settings:
            added += [("overrides", Overrides, []), ("profile", Profile, None)]
        if as_json:
            added.append(("json", Json, False))
        extra = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, kind, default in added
        ]

        @functools.wraps(function)
        def call(**given: Any) -> None:
            wanted_json = given.pop("json", False)
            first = [Settings(given.pop("profile"), given.pop("overrides"))] if settings else []
            answer = function(*first, **given)
            if wanted_json:
                print(json.dumps(answer.value, indent=1))
            elif answer.lines:
                print("\n".join(answer.lines))
            if answer.error is not None:
                raise answer.error

        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in [*own, *extra]]
        call.__signature__ = inspect.Signature(parameters)
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name)(call)
        return function

    return register


def show_progress(items, total: int | None = None, desc: str | None = None, **_: Any):
    """Progress bar for work over two seconds.

    Parameters
    ----------
    items : iterable
        Items to iterate over.
    total : int, optional
        Number of items.
    desc : str, optional
        Title of the bar.
    """
    return _bar(items, total=total, desc=desc, delay=2)


def _bar(items=None, **options: Any):
    """Bar of tqdm in a terminal; in a log file, a line every ten seconds and one at the end."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        line = "{desc}: {n_fmt} of {total_fmt}, {elapsed} elapsed, {remaining} left{postfix}"
        options |= {"file": _Lines(), "bar_format": line}
    return tqdm(items, **options)


class _Lines:
    """Writes states of a bar as lines to standard error, without carriage returns."""

    pause_s = 10

    def __init__(self):
        self.shown, self.state, self.since = "", "", -float("inf")

    def write(self, text: str) -> None:
        """Take the next state, or the end of the line that closes a bar."""
        self.state = text.strip() or self.state
        now = time.monotonic()
        if self.state != self.shown and (text == "\n" or now - self.since >= self.pause_s):
            self.shown, self.since = self.state, now
            print(self.state, file=sys.stderr)

    def flush(self) -> None:
        """Flush standard error."""
        sys.stderr.flush()


class Bar:
    """Progress bar of one task after another; a context manager that closes the last."""

    bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def start(self, **options: Any) -> None:
        """Close the bar of the previous task and show one for the next."""
        self.__exit__()
        self.bar = _bar(**options)


class EpochBar(Bar):
    """Progress bar over the epochs of each seed."""

    def __init__(self, params: Params):
        from spinscope import families

        self.epochs = params.training.epochs
        metric = families.of(params).metric
        self.metric, self.form = f"val_{metric.name}", metric.form

    def __call__(self, seed: int, epoch: int, logs: dict[str, float]) -> None:
        if self.bar is None or epoch < self.bar.n:
            self.start(total=self.epochs, initial=epoch, desc=f"train seed {seed}", unit="epoch")
        self.bar.set_postfix({self.metric: f"{logs[self.metric]:{self.form}}"}, refresh=False)
        self.bar.update(epoch + 1 - self.bar.n)
        if epoch + 1 == self.epochs:
            self.__exit__()


class FrameBar(Bar):
    """Progress bar over the frames of each recording, for work over two seconds."""

    name: str | None = None

    def __call__(self, name: str, done: int, total: int | None = None) -> None:
        if name != self.name:
            self.name = name
            self.start(desc=name, total=total, initial=done, unit=" frames", delay=2)
        self.bar.update(done - self.bar.n)


def integers(flag: str, text: str | None) -> list[int] | None:
    """Comma-separated integers of an option; None where it was not given.

    Parameters
    ----------
    flag : str
        Flag of the option, without hyphens.
    text : str, optional
        Value of the option.
    """
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise SpinscopeError(f"--{flag} {text!r} must be integers, comma-separated") from None


def words(text: str | None) -> list[str]:
    """Comma-separated words of an option; empty where it was not given.

    Parameters
    ----------
    text : str, optional
        Value of the option.
    """
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def table_answer(table, empty: str) -> Answer:
    """A pandas table as rows of JSON or as text; `empty` is printed for a table without rows.

    Parameters
    ----------
    table : DataFrame
        The table.
    empty : str
        Text for a table without rows.
    """
    if table.empty:
        return Answer([empty], [])
    text = table.to_string(index=False, max_colwidth=48)
    return Answer([text], json.loads(table.to_json(orient="records")))
