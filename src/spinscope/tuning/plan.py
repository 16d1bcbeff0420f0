"""Plan of a study: a list of configs, or a space that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Span
from optuna.distributions import IntDistribution as Whole

__all__ = ["Choice", "Config", "Plan", "Space", "Span", "Whole", "key"]

Config = dict[str, Any]
Space = Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Plan:
    """A study in the storage of a folder, which may hold several.

    Parameters
    ----------
    out : Path
        Folder of the storage and of the trials.
    name : str
        Name of the study.
    directions : tuple of str
        ``maximize`` or ``minimize`` per value of a result.
    configs : tuple of dict, optional
        Configs that are tried exactly once; None for a search.
    space : mapping, optional
        Name → distribution of a search.
    trials : int
        Number of trials of a search.
    startup : int
        Complete trials before any is pruned and before the search draws other than at random.
    seed : int
        Seed of a search.
    database : str, optional
        Address of a PostgreSQL database that holds the study in place of ``optuna.db``.
    """

    out: Path
    name: str
    directions: tuple[str, ...] = ("maximize",)
    configs: tuple[Config, ...] | None = None
    space: Space | None = None
    trials: int = 0
    startup: int = 0
    seed: int = 0
    database: str | None = None

    def folder(self, config: Config, number: int) -> Path:
        """Folder of a trial, named by its config, or in a search by its number.

        Parameters
        ----------
        config : dict
            A config.
        number : int
            Number of the trial.
        """
        name = f"{number:03d}" if self.configs is None else key(config)
        return self.out / "trials" / self.name / name


def key(config: Config) -> str:
    """Name of a config that is valid for a folder, with its keys in alphabetical order.

    Parameters
    ----------
    config : dict
        A config.

    Examples
    --------
    >>> key({"seed": 1, "factor": "smoothing 30 %"})
    'factor=smoothing-30--,seed=1'
    """
    text = ",".join(f"{name}={config[name]}" for name in sorted(config))
    return "".join(c if c.isalnum() or c in "=,.-_+" else "-" for c in text)
