"""MLflow record of a study: one run, with a child run per training where it trains any."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.studies.figures import png
from spinscope.tracking import Run, lineage, open_store, runs


@dataclass
class Recorder:
    """Writes a study to MLflow; does nothing without a run.

    Parameters
    ----------
    run : Run, optional
        Run of the study.
    done : set of str
        Names of the trials that are recorded already.
    """

    run: Run | None = None
    done: set[str] = field(default_factory=set)

    def trial(
        self,
        name: str,
        params: Params,
        data_hash: str,
        *,
        seed: int | None = None,
        tags: Mapping[str, str] | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        metrics: Mapping[str, Any] | None = None,
        settings: bool = False,
        must: bool = True,
    ) -> None:
        """Record a training as a child run, once.

        Parameters
        ----------
        name : str
            Name of the trial within the study.
        params : Params
            Settings of the training.
        data_hash : str
            Hash of its dataset.
        seed : int, optional
            Seed of the training.
        tags : mapping, optional
            Further tags.
        curves : mapping, optional
            Values per epoch by name.
        metrics : mapping, optional
            Numbers, nested or not; other values are left out.
        settings : bool
            Whether all settings are recorded as parameters.
        must : bool
            Whether a store that fails is an error. Without it the trial stays unrecorded and the
            same call can be repeated.
        """
        if self.run is None or name in self.done:
            return
        tags = lineage(params, data_hash, seed) | (tags or {})
        with contextlib.nullcontext() if must else contextlib.suppress(SpinscopeError):
            with runs.trial_run(self.run, tags, name) as run:
                if settings:
                    runs.log_params(run, params)
                runs.log_curves(run, curves or {})
                runs.log_metrics(run, runs.numbers(metrics or {}))
            self.done.add(name)

    def log(
        self,
        *,
        report: Mapping[str, Mapping[str, Any]] | None = None,
        metrics: Mapping[str, Any] | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        figures: Mapping[str, Figure | bytes] | None = None,
    ) -> None:
        """Record results of the study itself: reports, tables and figures by their file names."""
        if self.run is None:
            return
        runs.log_metrics(self.run, runs.numbers(metrics or {}))
        runs.log_curves(self.run, curves or {})
        for file, value in (report or {}).items():
            runs.log_json(self.run, value, f"study/{file}")
        for file, rows in (tables or {}).items():
            runs.log_table(self.run, rows, file)
        for file, figure in (figures or {}).items():
            runs.log_figure(self.run, png(figure), f"{file}.png")


@contextlib.contextmanager
def recorded(
    params: Params,
    data_hash: str,
    name: str,
    track: bool,
    *,
    trials: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Recorder]:
    """Recorder of a study.

    Parameters
    ----------
    params : Params
        Settings of the study.
    data_hash : str
        Hash of its dataset.
    name : str
        Name of its run.
    track : bool
        Whether anything is recorded.
    trials : bool
        Whether the study trains networks. Its run is then continued by every call of this name.
    tags : mapping, optional
        Further tags of the run.
    """
    if not track:
        yield Recorder()
        return
    store, tags = open_store(params.tracking), lineage(params, data_hash) | (tags or {})
    if trials:
        with runs.study_parent(store, params, tags, name) as run:
            yield Recorder(run, runs.tracked_trials(run))
    else:
        with runs.study_run(store, params, tags, name) as run:
            yield Recorder(run)


def metric_name(text: str) -> str:
    """Text with the characters that MLflow allows in the name of a metric.

    Parameters
    ----------
    text : str
        Text.

    Examples
    --------
    >>> metric_name("a model (x)")
    'a model _x_'
    """
    return re.sub(r"[^A-Za-z0-9_. -]", "_", text)
