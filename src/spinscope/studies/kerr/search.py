"""Free search of networks for two aims: validation MCC, and time per frame."""

from __future__ import annotations

import functools
import shutil
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from spinscope import families, tuning
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Params, overridden
from spinscope.files import kept, partial_folder, write_json
from spinscope.inference import engine
from spinscope.inference.predict import Predictor
from spinscope.jobs.training import exported_copy
from spinscope.models.store import save_model
from spinscope.studies.base import Job
from spinscope.studies.kerr import figures
from spinscope.studies.kerr.trials import (
    DECISIVE,
    TRAINING,
    frames,
    results,
    settings_digest,
    trained,
)
from spinscope.studies.runs import recorded
from spinscope.tuning import Choice, Pruned, Space, Span, Watch, Whole

NAME = "search.json"
FRAME = (512, 672)
"""Rows and columns of the timed frame, those of the published images."""
TIMED = 15
"""Repetitions of the timing."""


def space() -> Space:
    """Space of the search: network, loss, strength of the augmentation, learning rate."""
    return {
        "width": Whole(4, 24),
        "depth": Whole(2, 4),
        "stem": Choice((1, 2, 4)),
        "label_smoothing": Span(0.0, 0.4),
        "skyrmion_weight": Span(0.5, 3.0, log=True),
        "augmentation": Span(0.0, 2.0),
        "scale": Span(0.0, 0.5),
        "learning_rate": Span(3e-4, 1e-2, log=True),
    }


def setting(base: Params, config: Mapping[str, Any]) -> Params:
    """Settings of a trial.

    Parameters
    ----------
    base : Params
        Settings of all trials.
    config : mapping
        Values of `space`. ``augmentation`` multiplies noise, contrast, brightness, gradient and
        blur of `base`; ``skyrmion_weight`` is the class weight of skyrmions against 1 of others.
    """
    strength, own = config["augmentation"], base.augmentation
    values = {
        "noise": strength * own.noise,
        "contrast": min(strength * own.contrast, 0.95),
        "brightness": strength * own.brightness,
        "gradient": strength * own.gradient,
        "blur": min(strength * own.blur, 1.0),
        "scale": config["scale"],
    }
    weights = [1.0] * base.data.scheme
    weights[SKYRMION] = config["skyrmion_weight"]
    return overridden(
        base,
        [
            *(f"model.{name}={config[name]}" for name in ("width", "depth", "stem")),
            *(f"training.{name}={config[name]!r}" for name in ("label_smoothing", "learning_rate")),
            f"training.class_weights={weights}",
            *(f"augmentation.{name}={value!r}" for name, value in values.items()),
        ],
    )


def report(job: Job) -> dict[str, Any]:
    """Search networks and write trials and Pareto front to ``OUT/search.json``.

    The frame is timed before the training, for its time depends only on the architecture. A trial
    that is worse than others and no faster is therefore pruned early (`tuning.Watch.epoch`).
    ``OUT`` also holds the storage ``optuna.db`` and the networks, ``trials/…/training/model``.

    Parameters
    ----------
    job : Job
        Option ``workers``: networks trained side by side, each in a process of its own with one
        thread. They slow the timed frames; the report contains their number.
    """
    params, workers = job.params, job.options["workers"]
    base = overridden(params, params.search.base)
    splits, hash_ = frames(base)
    sections = (*DECISIVE, "seed", "inference")
    digest = settings_digest(base, sections, hash_, base.search.startup, repr(space()))
    study, total = f"search-{digest}", params.search.trials
    run = functools.partial(
        tuning.free_search,
        Candidate(base, job.out),
        space(),
        total,
        job.out,
        study,
        seed=params.seed,
        startup=params.search.startup,
        workers=workers,
        database=params.tuning.storage,
    )
    with recorded(base, hash_, study, job.track, trials=True) as recorder:
        set_ = functools.partial(setting, base)
        trials = [_row(row) for row in results(run, set_, total, "search", job, hash_, recorder)]
        complete = [trial for trial in trials if trial["state"] == "complete"]
        front = tuning.pareto_front([(trial["mcc"], trial["frame_ms"]) for trial in complete])
        found = {
            "kind": "search",
            "n_images": {name: len(some) for name, some in splits.named().items()},
            "data_hash": hash_,
            "settings": digest,
            "base": list(params.search.base),
            "epochs": base.training.epochs,
            "inference": base.inference.model_dump(mode="json"),
            "workers": workers,
            "trials": trials,
            "front": [complete[k]["number"] for k in front],
        }
        write_json(job.out / NAME, found)
        recorder.log(report={NAME: found}, figures={"pareto": figures.pareto_figure(found)})
    return found


def lines(report: Mapping[str, Any]) -> list[str]:
    """Number of trials, and one line per network of the Pareto front, the fastest first.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    states = [trial["state"] for trial in report["trials"]]
    text = [f"{len(states)} trials, {states.count('pruned')} of them pruned; Pareto front:"]
    text.append(f"{'trial':>5}{'MCC':>9}{'ms':>8}  settings")
    front = [trial for trial in report["trials"] if trial["number"] in report["front"]]
    for trial in sorted(front, key=lambda trial: trial["frame_ms"]):
        values = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial["params"].items()
        )
        text.append(f"{trial['number']:>5}{trial['mcc']:>9.4f}{trial['frame_ms']:>8.1f}  {values}")
    return text


@dataclass(frozen=True)
class Candidate:
    """Objective that times a frame and trains the network."""

    base: Params
    out: Path

    def __call__(self, config: dict[str, Any], folder: Path, watch: Watch) -> dict[str, Any]:
        """`values` [MCC of the kept epoch, ms per frame], `best_epoch`, `seconds`."""
        params, lock = setting(self.base, config), self.out / ".timing.lock"
        timed = functools.partial(frame_time, params, lock)
        milliseconds = kept(folder / "frame.json", config, timed)
        watch.cost(milliseconds)
        try:
            result, _ = trained(params, self.base.seed, folder, watch)
        except Pruned:
            shutil.rmtree(folder / TRAINING, ignore_errors=True)
            raise
        single = {"best_epoch": result.best_epoch, "seconds": result.seconds}
        return {"values": [result.score, milliseconds], **single}


def frame_time(params: Params, lock: Path) -> float:
    """Median time of one frame of `FRAME` through an untrained network of these settings.

    The engine is that of the section ``inference``; OpenVINO uses every core. The precision
    ``auto`` is bf16 on a processor that computes in it, since an untrained network cannot show
    whether bf16 is accurate enough.

    Parameters
    ----------
    params : Params
        Settings of network and engine.
    lock : Path
        Lock file that keeps other processes from being timed at the same time.

    Returns
    -------
    float
        Milliseconds.
    """
    image = np.random.default_rng(params.seed).random(FRAME, dtype=np.float32)
    with partial_folder() as folder:
        predictor = untrained(params, Path(folder))
        with FileLock(lock):
            times = []
            for _ in range(2 + TIMED):  # the first two warm up
                started = time.perf_counter()
                predictor.classes(image)
                times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def untrained(params: Params, folder: Path) -> Predictor:
    """Untrained network of these settings on their engine.

    Parameters
    ----------
    params : Params
        Settings.
    folder : Path
        Folder of the training.
    """
    from spinscope.models.unet import unet

    scheme, chosen = params.data.scheme, params.inference
    info = {"classes": list(CLASSES[:scheme]), "size_multiple": params.model.size_multiple}
    model = save_model(folder / "model", unet(params.model, scheme), info, "# Untrained\n")
    if chosen.engine == "keras" or not engine.has_openvino():
        return Predictor.load(model, "keras")
    precision = chosen.precision
    if precision == "auto":
        precision = "bf16" if "bf16" in engine.precisions() else "f32"
    fast = exported_copy(families.of(params), model, folder / "fast")
    return Predictor.load(fast, "openvino", precision)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Row of a trial in the report; the MCC of a pruned one is its best so far."""
    complete = row["state"] == "complete"
    return {
        "number": row["number"],
        "params": row["config"],
        "mcc": row["values"][0] if complete else max(row["curve"]),
        "frame_ms": row["values"][1] if complete else row["cost"],
        "state": row["state"],
        "epochs": row["epochs"],
        "model": f"{row['folder']}/{TRAINING}/model" if complete else None,
    }
