"""The ablations of the Kerr study, and the master model of all that helps.

Every network is trained once: a study that was killed goes on where it stopped, within an epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Params, overridden
from spinscope.datasets import Splits
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.jobs.data import plain
from spinscope.studies.kerr import ablation_figures
from spinscope.studies.kerr import ablation_table as published
from spinscope.studies.trials import Told, frames, shown, told, trained

if TYPE_CHECKING:
    from spinscope.training.fit import FitResult
    from spinscope.tuning import Watch

NAME = "ablations.json"

_NO_AUGMENTATION = (
    "symmetry=none scale=0 shift=true noise=0 contrast=0 brightness=0 gradient=0 blur=0 "
    "invert=false restandardise=false poisson=0 salt=0 clip=0 gamma=[1,1] background=0"
)
DEFAULT = (
    "data.scheme=3",
    "model.activation=relu",
    "model.dropout=0.05",
    "training.label_smoothing=0.2",
    "training.class_weights=null",
    *(f"augmentation.{setting}" for setting in _NO_AUGMENTATION.split()),
)
"""The published three-class network: no augmentation but the random crop."""

FACTORS: dict[str, tuple[str, ...]] = {
    "three-class": (),
    "two-class": ("data.scheme=2",),
    "augmentation": (),
    "augmentation with inversion": (),
    "PReLU": ("model.activation=prelu",),
    "tanh": ("model.activation=tanh",),
    "mish": ("model.activation=mish",),
    "label smoothing 30 %": ("training.label_smoothing=0.3",),
    "label smoothing 40 %": ("training.label_smoothing=0.4",),
    "dropout 10 %": ("model.dropout=0.10",),
    "dropout 15 %": ("model.dropout=0.15",),
}
"""Factor of Table I → what it lays over `DEFAULT`; augmentation is that of the settings."""


def ablations(
    params: Params,
    out: Path,
    *,
    workers: int = 1,
    track: bool = True,
    factors: Sequence[str] | None = None,
    progress=plain,
) -> dict:
    """Train the factors one at a time, then the master model; writes `OUT/ablations.json`.

    A score is the MCC on the validation batches of the epoch that is kept. The master model has
    every factor that `evaluation.ablations.chosen` names, and is trained for
    `ablations.master_epochs` beside the benchmark, the default network trained as long; both are
    scored on the train, validation and test batches.
    out : also holds the storage `optuna.db` and the networks, `trials/…/training/model`.
    workers : networks trained side by side, each in a process of its own with one thread.
    track : keep a run of MLflow for the study with a child run a network.
    factors : of `FACTORS`, those to try; by default all.
    Returns what is written.
    """
    base = overridden(params, params.ablations.base)
    tried = _tried(factors)
    splits, hash_ = frames(base)
    seeds = [params.seed + k for k in range(params.ablations.seeds)]
    study = f"ablations-{_digest(base, hash_)}"
    configs = [{"factor": factor, "seed": seed} for factor in tried for seed in seeds]
    with told(base, hash_, study, out, track) as tell:
        found = _each(Ablation(base), configs, out, study, workers, tell, progress)
        scores = {
            factor: [r["values"][0] for r in found if r["config"]["factor"] == factor]
            for factor in tried
        }
        rows = published.table(scores, seeds)
        for row in rows:
            of = [r for r in found if r["config"]["factor"] == row["factor"]]
            row["models"] = [f"{r['folder']}/training/model" for r in of]
            row["best_epochs"] = [r["best_epoch"] for r in of]
            row["seconds"] = [r["seconds"] for r in of]
        report = {
            "kind": "ablations",
            "n_images": {part: len(of) for part, of in splits.named().items()},
            "data_hash": hash_,
            "settings": _digest(base, hash_),
            "base": list(params.ablations.base),
            "epochs": base.training.epochs,
            "rows": rows,
            "master": _master(base, rows, seeds, hash_, out, workers, tell, progress),
        }
        write_json(out / NAME, report)
        tell.report(
            NAME,
            report,
            {
                "table.png": ablation_figures.table_figure(report),
                "generalisation.png": ablation_figures.generalisation_figure(report),
            },
        )
    return report


def ablation_lines(report: Mapping[str, Any]) -> list[str]:
    """A line a factor, and the master model."""
    return published.lines(report)


def setting(base: Params, config: Mapping[str, Any]) -> Params:
    """The settings of a network: the factor of `config`, or several joined by " + "."""
    named = [name for name in config["factor"].split(" + ") if name != "benchmark"]
    own = [override for name in named for override in _overrides(base, name)]
    epochs = [f"training.epochs={config['epochs']}"] if "epochs" in config else []
    return overridden(base, [*DEFAULT, *own, *epochs])


def _overrides(base: Params, factor: str) -> tuple[str, ...]:
    if not factor.startswith("augmentation"):
        return FACTORS[factor]
    values = base.augmentation.model_dump(mode="json")
    values["invert"] = factor == "augmentation with inversion"
    return tuple(f"augmentation.{name}={json.dumps(value)}" for name, value in values.items())


@dataclass(frozen=True)
class Ablation:
    """Trains a network and scores it; with `scored` on all parts of the data."""

    base: Params
    scored: bool = False

    def __call__(self, config: dict[str, Any], folder: Path, watch: Watch) -> dict[str, Any]:
        """`values` [MCC of the epoch kept], `best_epoch`, `seconds`, and `scores` a part."""
        params = setting(self.base, config)
        result, splits = trained(params, config["seed"], folder, watch)
        report = {
            "values": [result.val_mcc],
            "best_epoch": result.best_epoch,
            "seconds": result.seconds,
        }
        if self.scored:
            report["scores"] = _scores(params, result, splits)
        return report


def _scores(params: Params, result: FitResult, splits: Splits) -> dict[str, float]:
    """MCC on the frames of each part that has any."""
    from spinscope.inference.predict import Predictor
    from spinscope.jobs.evaluating import score

    predictor = Predictor.load(result.model)
    return {part: score(params, predictor, of, 1)["mcc"] for part, of in splits.named().items()}


def _master(
    base: Params,
    rows: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    hash_: str,
    out: Path,
    workers: int,
    tell: Told,
    progress,
) -> dict[str, Any]:
    """Benchmark and master model, trained alike, and their MCC on all parts of the data."""
    factors, rule = published.chosen(rows)
    names = {"benchmark": "benchmark", "master": " + ".join(factors) or "benchmark"}
    epochs = base.ablations.master_epochs
    configs = [
        {"factor": name, "seed": seed, "epochs": epochs}
        for name in dict.fromkeys(names.values())
        for seed in seeds
    ]
    study = f"master-{_digest(base, hash_)}"
    found = _each(Ablation(base, scored=True), configs, out, study, workers, tell, progress)
    report: dict[str, Any] = {"factors": factors, "rule": rule, "epochs": epochs}
    for name, factor in names.items():
        of = [row for row in found if row["config"]["factor"] == factor]
        report[name] = {"models": [f"{row['folder']}/training/model" for row in of]}
        for part in of[0]["scores"]:
            mcc = [row["scores"][part] for row in of]
            report[name][part] = {**published.mean_sd(mcc), "mcc": mcc}
    report["difference"] = {
        part: published.paired(report["master"][part]["mcc"], report["benchmark"][part]["mcc"])
        for part in found[0]["scores"]
    }
    return report


def _each(
    objective: Ablation,
    configs: list[dict[str, Any]],
    out: Path,
    study: str,
    workers: int,
    tell: Told,
    progress,
) -> list[dict[str, Any]]:
    """Results of all configs, each told and shown as it comes."""
    from spinscope import tuning

    step = shown(progress, configs, study.partition("-")[0])

    def on_result(row: dict[str, Any]) -> None:
        step()
        tell(row, setting(objective.base, row["config"]))

    found = tuning.one_at_a_time(
        objective, configs, out, study, workers=workers, on_result=on_result
    )
    for row in found:
        tell(row, setting(objective.base, row["config"]), must=True)
    return found


def _tried(factors: Sequence[str] | None) -> list[str]:
    """The factors to try, the default first; raises SpinscopeError for one that is unknown."""
    chosen = list(FACTORS if factors is None else factors)
    if unknown := [factor for factor in chosen if factor not in FACTORS]:
        raise SpinscopeError(f"factor {unknown[0]!r} must be one of {', '.join(FACTORS)}")
    return list(dict.fromkeys([published.DEFAULT, *chosen]))


def _digest(base: Params, hash_: str) -> str:
    """Names all that decides a score beside factor and seed."""
    sections = {name: getattr(base, name).model_dump(mode="json") for name in
                ("data", "model", "training", "augmentation")}  # fmt: skip
    sections["training"].pop("seeds")
    sections["data"].pop("path")
    text = json.dumps([sections, hash_, DEFAULT, FACTORS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
