"""Declaration of the parts of a study, from which its verb and its flow are made.

A study is a package with a list ``PARTS``. A part names a module that is imported only when the
part runs. The module defines:

``report(job)``
    Measure what is missing, write the report below ``job.out`` and return it.
``lines(report)``
    Lines that the verb prints.
``STAGES``
    Optional: work of many units that precedes the report, a tuple of `Stage`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from spinscope.config import Params, load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import locked
from spinscope.processes import side_by_side
from spinscope.progress import Progress, no_progress


@dataclass(frozen=True)
class Option:
    """Parameter of a part, the same for its verb, its flow and its functions.

    Parameters
    ----------
    name : str
        Name of the parameter; the verb's flag is the same with hyphens unless `flag` is given.
    help : str
        Meaning, with unit and default.
    type : type
        ``str``, ``int``, ``float``, ``bool``, ``Path`` or ``list[str]``.
    default : optional
        Value where none is given.
    minimum : float, optional
        Smallest number that is allowed.
    required : bool
        Whether a call without it is an error.
    flag : str, optional
        Flag of the verb, for example ``--model``.
    former : str, optional
        Flag of an earlier release, accepted with a hint.
    """

    name: str
    help: str
    type: Any = str
    default: Any = None
    minimum: float | None = None
    required: bool = False
    flag: str | None = None
    former: str | None = None

    def parse(self, value: Any) -> Any:
        """Value of the option's type from the text of a flow's parameter.

        Parameters
        ----------
        value : str or number, optional
            Value of the parameter; lists are separated by commas.

        Raises
        ------
        SpinscopeError
            If a number is malformed or too small, or a required option is missing.
        """
        if self.type == list[str]:
            value = value.split(",") if isinstance(value, str) else value or ()
            value = [text.strip() for text in value if text.strip()]
            if self.required and not value:
                raise SpinscopeError(f"--{self.name} must name at least one {self.name[:-1]}")
            return value or self.default
        if value in (None, ""):
            return self.default
        if self.type is int:
            least = int(self.minimum or 0)
            if not str(value).isdecimal() or int(value) < least:
                raise SpinscopeError(
                    f"--{self.name} (={value}) must be a whole number, at least {least}"
                )
        if self.type is bool:
            return str(value).lower() in ("true", "yes", "1")
        return self.type(value)


WORKERS = Option("workers", "Trainings side by side.", int, 1, minimum=1)
MODELS = Option("models", "REF or NAME=REF, repeatable.", list[str], required=True, flag="--model")


@dataclass(frozen=True)
class Job:
    """One call of a part.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Folder of the report and of everything that is kept for a resumed call.
    options : mapping
        Value of each option of the part by its name.
    track : bool
        Whether MLflow records the results.
    progress : Progress
        Progress bar.
    elsewhere : callable, optional
        (function, units) → calls the function with each unit on the workers of a flow, for a report
        that finds its units itself.
    """

    params: Params
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    track: bool = False
    progress: Progress = no_progress
    elsewhere: Callable[[Callable[[Any], Any], Sequence[Any]], Any] | None = None


Unit = Any
"""A value that names one unit of work and that pickle can hold."""


def _single(_: Job) -> list[Unit]:
    """A stage of one unit."""
    return [()]


@dataclass(frozen=True)
class Stage:
    """Units of work whose results are kept on disk.

    Parameters
    ----------
    name : str
        Name of the units in progress bars and flows.
    run : callable
        Function of a job and one unit. A repeated call reads the kept result.
    units : callable
        Function of a job that lists the units; one unit by default.
    isolated : bool
        Run each unit in a process of its own, as a training needs.
    in_report : bool
        The report runs missing units itself; only a flow runs them one by one.
    """

    name: str
    run: Callable[[Job, Unit], Any]
    units: Callable[[Job], Sequence[Unit]] = _single
    isolated: bool = False
    in_report: bool = False

    def run_all(self, job: Job, workers: int = 1) -> list[Any]:
        """Results of all units in order, `workers` at a time where they are isolated.

        Parameters
        ----------
        job : Job
            Call of the part.
        workers : int
            Units that run at a time.
        """
        units = self.units(job)
        if not self.isolated:
            return [self.run(job, unit) for unit in units]
        if workers == 1:
            results = map(functools.partial(self.run, job), units)
        else:
            call = functools.partial(self.run, replace(job, progress=no_progress))
            results = side_by_side(call, units, workers)
        return list(job.progress(results, total=len(units), desc=self.name))

    def run_one(self, job: Job, unit: Unit) -> Any:
        """Result of one unit, from a process of its own where it is isolated.

        Parameters
        ----------
        job : Job
            Call of the part.
        unit : any
            One unit of the stage.
        """
        if not self.isolated:
            return self.run(job, unit)
        call = functools.partial(self.run, replace(job, progress=no_progress))
        (result,) = side_by_side(call, [unit], 1)
        return result


@dataclass(frozen=True)
class Part:
    """A part of a study: one verb, one flow and one report.

    Parameters
    ----------
    name : str
        Name of the verb ``spinscope study NAME``.
    help : str
        One line that describes the part, imperative.
    module : str
        Module with `report`, `lines` and `STAGES`.
    flow : str
        Name of the flow and its deployment.
    out : str
        Default output folder below ``build/``.
    family : str
        Family whose settings apply.
    options : tuple of Option
        Parameters besides settings, output folder and tracking.
    track : bool
        Whether the verb records results in MLflow by default.
    page : str, optional
        File of the HTML page that the part writes.
    cron : str, optional
        Key of the section ``flows`` with the schedule of the flow.
    """

    name: str
    help: str
    module: str
    flow: str
    out: str
    family: str
    options: tuple[Option, ...] = ()
    track: bool = False
    page: str | None = None
    cron: str | None = None

    def load(self) -> ModuleType:
        """Module of the part, imported on first use."""
        return import_module(self.module)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Stages that precede the report."""
        return getattr(self.load(), "STAGES", ())

    def settings(
        self, profile: str | None, overrides: Sequence[str], options: Mapping[str, Any]
    ) -> Params:
        """Settings of the part's family, or of that of the first model if the part takes any.

        Parameters
        ----------
        profile : str, optional
            Profile of the settings.
        overrides : sequence of str
            ``section.key=value`` each.
        options : mapping
            Value of each option by its name.
        """
        family = options.get("family") or self.family
        if "family" in options and options.get("models"):
            from spinscope.jobs import family_of

            family = family_of(load_params(profile, overrides).tracking, options["models"][0])
        return load_params(profile, overrides, family=family)

    def job(
        self,
        params: Params,
        out: Path | None = None,
        *,
        track: bool | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Job:
        """Job of this part, with default values for what is not given.

        Parameters
        ----------
        params : Params
            Settings.
        out : Path
            Output folder.
        track : bool
            Whether MLflow records the results.
        progress : Progress
            Progress bar.
        """
        given = {option.name: option.default for option in self.options} | options
        track = self.track if track is None else track
        return Job(params, Path(out or project_root() / "build" / self.out), given, track, progress)

    def __call__(self, *args: Any, **given: Any) -> dict[str, Any]:
        """Run the stages and return the report; the arguments are those of `job`."""
        job = self.job(*args, **given)
        with locked(job.out):
            for stage in self.stages:
                if not stage.in_report:
                    stage.run_all(job, job.options.get("workers", 1))
            return self.load().report(job)
