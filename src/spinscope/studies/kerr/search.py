"""A free search of networks for two aims at once: validation MCC, and the time of a frame."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.config import Params, overridden
from spinscope.files import write_json
from spinscope.jobs.data import plain
from spinscope.studies.kerr import ablation_figures
from spinscope.studies.trials import TRAINING, frames, shown, told, trained

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor
    from spinscope.tuning import Space, Watch

NAME = "search.json"
FRAME = (512, 672)
"""Rows and columns of the frame that is timed, those of the published micrographs."""
TIMED = 15
"""Times that it is computed."""


def space() -> Space:
    """What is searched: network, loss, strength of the augmentation, learning rate."""
    from spinscope.tuning import Choice, Span, Whole

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
    """The settings of a trial.

    `augmentation` times the strengths of the settings' own augmentation (noise, contrast,
    brightness, gradient, blur), `scale` its own scale; `skyrmion_weight` is the class weight of
    the skyrmion against 1 of every other class.
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
    weights[1] = config["skyrmion_weight"]
    return overridden(
        base,
        [
            *(f"model.{name}={config[name]}" for name in ("width", "depth", "stem")),
            f"training.label_smoothing={config['label_smoothing']!r}",
            f"training.class_weights={weights}",
            f"training.learning_rate={config['learning_rate']!r}",
            *(f"augmentation.{name}={value!r}" for name, value in values.items()),
        ],
    )


def search(
    params: Params, out: Path, *, workers: int = 1, track: bool = True, progress=plain
) -> dict:
    """Search for networks, and write their trials and Pareto front to `OUT/search.json`.

    The frame's time is a network's before it is trained: it hangs on the layers alone, and so what
    is worse than others and no faster is given up early (`tuning.Watch.epoch`).
    out : also holds the storage `optuna.db` and the networks, `trials/…/training/model`.
    workers : networks trained side by side, each in a process of its own with one thread; they
    slow the frames that are timed, one network's at a time, and the report names their number.
    track : keep a run of MLflow for the study with a child run a trial.
    Returns what is written.
    """
    from spinscope import tuning

    base = overridden(params, params.search.base)
    splits, hash_ = frames(base)
    study = f"search-{_digest(base, hash_)}"
    step = shown(progress, list(range(params.search.trials)), "search")
    with told(base, hash_, study, out, track) as tell:

        def on_result(row: dict[str, Any]) -> None:
            step()
            tell(row, setting(base, row["config"]))

        found = tuning.free_search(
            Candidate(base, out),
            space(),
            params.search.trials,
            out,
            study,
            seed=params.seed,
            startup=params.search.startup,
            workers=workers,
            on_result=on_result,
        )
        for row in found:
            tell(row, setting(base, row["config"]), must=True)
        trials = [_row(row) for row in found]
        complete = [trial for trial in trials if trial["state"] == "complete"]
        front = tuning.pareto_front([(trial["mcc"], trial["frame_ms"]) for trial in complete])
        report = {
            "kind": "search",
            "n_images": {part: len(of) for part, of in splits.named().items()},
            "data_hash": hash_,
            "settings": _digest(base, hash_),
            "base": list(params.search.base),
            "epochs": base.training.epochs,
            "inference": base.inference.model_dump(mode="json"),
            "workers": workers,
            "trials": trials,
            "front": [complete[k]["number"] for k in front],
        }
        write_json(out / NAME, report)
        tell.report(NAME, report, {"pareto.png": ablation_figures.pareto_figure(report)})
    return report


def search_lines(report: Mapping[str, Any]) -> list[str]:
    """What was tried, and a line a network of the Pareto front, the fastest first."""
    states = [trial["state"] for trial in report["trials"]]
    text = [f"{len(states)} trials, {states.count('pruned')} of them given up early; Pareto front:"]
    text.append(f"{'trial':>5}{'MCC':>9}{'ms':>8}  settings")
    by_number = {trial["number"]: trial for trial in report["trials"]}
    for trial in sorted((by_number[k] for k in report["front"]), key=lambda t: t["frame_ms"]):
        values = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial["params"].items()
        )
        text.append(f"{trial['number']:>5}{trial['mcc']:>9.4f}{trial['frame_ms']:>8.1f}  {values}")
    return text


@dataclass(frozen=True)
class Candidate:
    """Times a network's frame and trains it."""

    base: Params
    out: Path

    def __call__(self, config: dict[str, Any], folder: Path, watch: Watch) -> dict[str, Any]:
        """`values` [MCC of the epoch kept, milliseconds a frame], `best_epoch`, `seconds`."""
        from spinscope.tuning import Pruned

        params = setting(self.base, config)
        milliseconds = _kept_time(params, folder / "frame.json", self.out / ".timing.lock")
        watch.cost(milliseconds)
        try:
            result, _ = trained(params, self.base.seed, folder, watch)
        except Pruned:
            shutil.rmtree(folder / TRAINING, ignore_errors=True)
            raise
        return {
            "values": [result.val_mcc, milliseconds],
            "best_epoch": result.best_epoch,
            "seconds": result.seconds,
        }


def _kept_time(params: Params, path: Path, lock: Path) -> float:
    """Milliseconds of a frame, measured once and kept in a file."""
    if not path.is_file():
        write_json(path, {"frame_ms": frame_time(params, lock)})
    return json.loads(path.read_text())["frame_ms"]


def frame_time(params: Params, lock: Path) -> float:
    """Median milliseconds of one frame of `FRAME` through a network of these settings.

    By the engine of the section `inference`; OpenVINO uses every core it is given. Where the
    precision is left open it is bf16 on a processor that computes in it: how well an untrained
    network stands it says nothing of the trained one.
    lock : a file that keeps other processes from being timed meanwhile.
    """
    from filelock import FileLock

    image = np.random.default_rng(params.seed).random(FRAME, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        predictor = untrained(params, Path(folder))
        with FileLock(lock):
            for _ in range(2):
                predictor.classes(image)
            times = []
            for _ in range(TIMED):
                started = time.perf_counter()
                predictor.classes(image)
                times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def untrained(params: Params, folder: Path) -> Predictor:
    """A network of these settings as it is before training, on the engine of the settings."""
    from spinscope import families
    from spinscope.classes import CLASSES
    from spinscope.inference import engine
    from spinscope.inference.predict import Predictor
    from spinscope.jobs.training import exported_copy
    from spinscope.models.store import save_model
    from spinscope.models.unet import size_multiple, unet

    scheme, chosen = params.data.scheme, params.inference
    info = {"classes": list(CLASSES[:scheme]), "size_multiple": size_multiple(params.model)}
    model = save_model(folder / "model", unet(params.model, scheme), info, "# Untrained\n")
    if chosen.engine == "keras" or not engine.has_openvino():
        return Predictor.load(model, "keras")
    precision = chosen.precision
    if precision == "auto":
        precision = "bf16" if "bf16" in engine.precisions() else "f32"
    return Predictor.load(
        exported_copy(families.of(params), model, folder / "fast"), "openvino", precision
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A trial as the report holds it; the MCC of one that was given up is its best so far."""
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


def _digest(base: Params, hash_: str) -> str:
    """Names all that decides a trial beside its config."""
    named = ("seed", "data", "model", "training", "augmentation", "inference")
    sections = {name: base.model_dump(mode="json")[name] for name in named}
    sections["data"].pop("path")
    text = json.dumps([sections, hash_, base.search.startup, repr(space())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
