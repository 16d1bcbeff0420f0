"""What the trials of all studies share: a watched training, and runs of MLflow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import families
from spinscope.config import Params
from spinscope.datasets import Splits, data_hash
from spinscope.errors import SpinscopeError
from spinscope.jobs.data import first_weights, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spinscope.tracking import Run
    from spinscope.training.fit import FitResult
    from spinscope.tuning import Watch

TRAINING = "training"
"""Folder of a trial's training below that of the trial."""


def trained(params: Params, seed: int, folder: Path, watch: Watch) -> tuple[FitResult, Splits]:
    """A network of these settings in `folder/training`, watched epoch by epoch, and its frames."""
    from spinscope.training.fit import fit

    splits, hash_ = frames(params)
    result = fit(
        families.of(params),
        splits,
        params,
        seed=seed,
        folder=folder / TRAINING,
        pretrained=first_weights(params),
        info={"data_hash": hash_, "params": params.digest()},
        on_epoch=lambda epoch, logs: watch.epoch(epoch, logs["val_mcc"]),
    )
    return result, splits


def frames(params: Params) -> tuple[Splits, str]:
    """The splits of the settings, and the data's hash."""
    dataset, splits = split(params)
    return splits, data_hash(dataset)


@dataclass
class Told:
    """Tells MLflow of trials, each once; without a run it tells nobody.

    A store that fails for a moment must not end a study: what could not be told as it came is told
    at the end, when the caller repeats it with `must`.
    """

    run: Run | None
    out: Path
    hash: str
    done: set[str] = field(default_factory=set)

    def __call__(self, row: Mapping[str, Any], params: Params, *, must: bool = False) -> None:
        """A child run of the trial: settings, curves and values."""
        from spinscope.tuning import key

        name = key(row["config"]) if "seed" in row["config"] else f"trial {row['number']:03d}"
        if self.run is None or name in self.done:
            return
        with contextlib.nullcontext() if must else contextlib.suppress(SpinscopeError):
            self._tell(name, row, params)
            self.done.add(name)

    def _tell(self, name: str, row: Mapping[str, Any], params: Params) -> None:
        from spinscope.tracking import lineage, runs

        seed = row["config"].get("seed", params.seed)
        tags = lineage(params, self.hash, seed) | {"state": row["state"]}
        tags |= {f"config.{name}": str(value) for name, value in row["config"].items()}
        with runs.trial_run(self.run, tags, name) as run:
            runs.log_params(run, params)
            history = self.out / row["folder"] / TRAINING / "history.json"
            curves = json.loads(history.read_text()) if history.is_file() else {}
            runs.log_curves(run, curves or {"val_mcc": row["curve"]})
            runs.log_metrics(run, runs.numbers({k: v for k, v in row.items() if k != "config"}))
            if row["values"]:
                runs.log_metrics(run, {"validation.mcc": row["values"][0]})

    def report(self, name: str, report: Mapping[str, Any], figures: Mapping[str, Figure]) -> None:
        """The study itself: its report, and figures by their file names."""
        from spinscope.studies.report import png
        from spinscope.tracking import runs

        if self.run is None:
            return
        runs.log_json(self.run, report, f"study/{name}")
        for file, figure in figures.items():
            runs.log_figure(self.run, png(figure), file)


@contextlib.contextmanager
def told(params: Params, hash_: str, study: str, out: Path, track: bool) -> Iterator[Told]:
    """What tells MLflow of a study that goes on in one parent run, however often it is called."""
    if not track:
        yield Told(None, out, hash_)
        return
    from spinscope.tracking import lineage, open_store, runs

    store = open_store(params.tracking)
    with runs.study_parent(store, params, lineage(params, hash_), study) as run:
        yield Told(run, out, hash_, runs.tracked_trials(run))


def shown(progress: Callable[..., Iterable], configs: list, text: str) -> Callable[[], None]:
    """Moves a bar on by one trial a call."""
    bar = iter(progress(configs, total=len(configs), desc=text))
    return lambda: next(bar, None) and None
