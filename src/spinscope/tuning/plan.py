"""What a study tries: a list of configs, or a space that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included; `log` draws their logarithm uniformly."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """One of a few names or numbers."""

    of: tuple[str | int | float, ...]


Space = Mapping[str, Span | Whole | Choice]


@dataclass(frozen=True)
class Plan:
    """A study: its name in the storage of `out`, which may hold several, and what it tries.

    configs : tried one each, exactly once; None for a search of `trials` in `space`.
    directions : "maximize" or "minimize", one a value of a result.   startup : complete trials
    before any is pruned, and before the search draws other than at random.
    """

    out: Path
    name: str
    directions: tuple[str, ...] = ("maximize",)
    configs: tuple[Config, ...] | None = None
    space: Space | None = None
    trials: int = 0
    startup: int = 0
    seed: int = 0

    def folder(self, config: Config, number: int) -> Path:
        """Where a trial keeps its files: named by its config, or by its number in a search."""
        name = f"{number:03d}" if self.configs is None else key(config)
        return self.out / "trials" / self.name / name


def key(config: Config) -> str:
    """Name of a config that a folder can bear, its parts in the order of their names.

    >>> key({"seed": 1, "factor": "smoothing 30 %"})
    'factor=smoothing-30--,seed=1'
    """
    text = ",".join(f"{name}={config[name]}" for name in sorted(config))
    return "".join(c if c.isalnum() or c in "=,.-_+" else "-" for c in text)
