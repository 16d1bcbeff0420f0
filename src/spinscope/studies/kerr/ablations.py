"""Ablations of the Kerr study, and the master model that combines what helps."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import tuning
from spinscope.config import Params, overridden
from spinscope.datasets import Splits
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.inference.predict import Predictor
from spinscope.jobs.evaluating import score
from spinscope.studies.base import Job
from spinscope.studies.kerr import ablation_table as published
from spinscope.studies.kerr import figures
from spinscope.studies.kerr.ablation_table import lines as lines
from spinscope.studies.kerr.trials import (
    DECISIVE,
    TRAINING,
    frames,
    results,
    settings_digest,
    trained,
)
from spinscope.studies.runs import recorded
from spinscope.tuning import Watch

if TYPE_CHECKING:
    from spinscope.training.fit import FitResult

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
"""Overrides of the published three-class network; its only augmentation is the random crop."""

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
"""Factor of Table I → its overrides of `DEFAULT`; augmentation is that of the settings."""


def report(job: Job) -> dict[str, Any]:
    """Train the factors one at a time, then the master model; write ``OUT/ablations.json``.

    A score is the validation MCC of the kept epoch. The master model has every factor that
    `ablation_table.chosen` names and is trained for ``ablations.master_epochs``, like the
    benchmark, the default network. Both are scored on train, validation and test batches.
    ``OUT`` also holds the storage ``optuna.db`` and the networks, ``trials/…/training/model``.

    Parameters
    ----------
    job : Job
        Options: ``workers``, networks trained side by side; ``factors``, names in `FACTORS`.

    Raises
    ------
    SpinscopeError
        If a factor is unknown or a training fails.
    """
    base = overridden(job.params, job.params.ablations.base)
    factors = _tried(job.options.get("factors"))
    splits, hash_ = frames(base)
    seeds = [base.seed + k for k in range(base.ablations.seeds)]
    digest = settings_digest(base, DECISIVE, hash_, DEFAULT, FACTORS)
    configs = [{"factor": factor, "seed": seed} for factor in factors for seed in seeds]
    with recorded(base, hash_, f"ablations-{digest}", job.track, trials=True) as recorder:
        train = functools.partial(_each, job, base, hash_, recorder)
        by_factor = train(configs, f"ablations-{digest}")
        scores = {name: [r["values"][0] for r in found] for name, found in by_factor.items()}
        rows = published.table(scores, seeds)
        for row in rows:
            found = by_factor[row["factor"]]
            row["models"] = _models(found)
            row["best_epochs"] = [r["best_epoch"] for r in found]
            row["seconds"] = [r["seconds"] for r in found]
        found = {
            "kind": "ablations",
            "n_images": {name: len(some) for name, some in splits.named().items()},
            "data_hash": hash_,
            "settings": digest,
            "base": list(base.ablations.base),
            "epochs": base.training.epochs,
            "rows": rows,
            "master": _master(base, rows, seeds, f"master-{digest}", train),
        }
        write_json(job.out / NAME, found)
        drawn = {
            "table": figures.table_figure(found),
            "generalisation": figures.generalisation_figure(found),
        }
        recorder.log(report={NAME: found}, figures=drawn)
    return found


def setting(base: Params, config: Mapping[str, Any]) -> Params:
    """Settings of a network: the factor of `config`, or several joined by " + ".

    Parameters
    ----------
    base : Params
        Settings of all trials.
    config : mapping
        Config of the trial.
    """
    named = [name for name in config["factor"].split(" + ") if name != "benchmark"]
    own = [override for name in named for override in _overrides(base, name)]
    epochs = [f"training.epochs={config['epochs']}"] if "epochs" in config else []
    return overridden(base, [*DEFAULT, *own, *epochs])


def _overrides(base: Params, factor: str) -> tuple[str, ...]:
    """Overrides of a factor."""
    if not factor.startswith("augmentation"):
        return FACTORS[factor]
    values = base.augmentation.model_dump(mode="json")
    values["invert"] = factor == "augmentation with inversion"
    return tuple(f"augmentation.{name}={json.dumps(value)}" for name, value in values.items())


@dataclass(frozen=True)
class Ablation:
    """Objective that trains a network and, with `scored`, scores it on every split."""

    base: Params
    scored: bool = False

    def __call__(self, config: dict[str, Any], folder: Path, watch: Watch) -> dict[str, Any]:
        """`values` [MCC of the kept epoch], `best_epoch`, `seconds`, and `scores` per split."""
        params = setting(self.base, config)
        result, splits = trained(params, config["seed"], folder, watch)
        scores = {"scores": _scores(params, result, splits)} if self.scored else {}
        single = {"best_epoch": result.best_epoch, "seconds": result.seconds}
        return {"values": [result.score], **single, **scores}


def _scores(params: Params, result: FitResult, splits: Splits) -> dict[str, float]:
    """MCC on the frames of each split that has any."""
    predictor = Predictor.load(result.model)
    return {name: score(params, predictor, some, 1)["mcc"] for name, some in splits.named().items()}


def _master(base: Params, rows, seeds: Sequence[int], study: str, train) -> dict[str, Any]:
    """Train benchmark and master model alike; their MCC on every split."""
    factors, rule = published.chosen(rows)
    names = {"benchmark": "benchmark", "master": " + ".join(factors) or "benchmark"}
    epochs = base.ablations.master_epochs
    configs = [
        {"factor": name, "seed": seed, "epochs": epochs}
        for name in dict.fromkeys(names.values())
        for seed in seeds
    ]
    by_factor = train(configs, study, scored=True)
    splits = list(by_factor["benchmark"][0]["scores"])
    report: dict[str, Any] = {"factors": factors, "rule": rule, "epochs": epochs}
    for name, factor in names.items():
        found = by_factor[factor]
        report[name] = {"models": _models(found)}
        for split in splits:
            mcc = [row["scores"][split] for row in found]
            report[name][split] = {**published.mean_sd(mcc), "mcc": mcc}
    report["difference"] = {
        split: published.paired(*(report[name][split]["mcc"] for name in ("master", "benchmark")))
        for split in splits
    }
    return report


def _models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Model folders of trials, relative to the output folder."""
    return [f"{row['folder']}/{TRAINING}/model" for row in rows]


def _each(
    job: Job, base: Params, hash_: str, recorder, configs: list, study: str, *, scored: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Results of all configs by their factor."""
    run = functools.partial(
        tuning.one_at_a_time,
        Ablation(base, scored),
        configs,
        job.out,
        study,
        workers=job.options["workers"],
        database=base.tuning.storage,
        elsewhere=job.elsewhere,
    )
    name = study.partition("-")[0]
    set_ = functools.partial(setting, base)
    rows = results(run, set_, len(configs), name, job, hash_, recorder)
    factors = dict.fromkeys(config["factor"] for config in configs)
    return {name: [row for row in rows if row["config"]["factor"] == name] for name in factors}


def _tried(factors: Sequence[str] | None) -> list[str]:
    """Factors to try, the default first; SpinscopeError for one that is unknown."""
    chosen = list(FACTORS if factors is None else factors)
    if unknown := [factor for factor in chosen if factor not in FACTORS]:
        raise SpinscopeError(f"factor {unknown[0]!r} must be one of {', '.join(FACTORS)}")
    return list(dict.fromkeys([published.DEFAULT, *chosen]))
