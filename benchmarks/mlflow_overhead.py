"""Overhead of tracking: seconds of logging over seconds of training.

The logging is that of one seed of the profile `laptop` to an SQLite store: import of MLflow and
opening of the store, settings, lineage, every epoch, the complete curves, two reports with tables
per image, three figures, and registration of the model. The seconds of training are the number of
steps times the step measured in the same process; validations are not counted, so that the fraction
is an upper bound. Peer: the same content by MLflow's fluent calls as in its documentation, with
`log_metrics` every epoch and `mlflow.keras.log_model`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from _rows import row
from spinscope.config import Params, Tracking, load_params
from spinscope.families.moke_unet import FAMILY

STEPS, WARM_UP = 10, 3
SEED = 1
VALIDATION_FRAMES = 33
REPORTS, FIGURES = ("validation", "tta"), ("curves.png", "sizes.png", "confusion.png")
CURVES = ("loss", "mcc", "accuracy", "val_loss", "val_mcc", "val_accuracy", "learning_rate")


def main() -> dict[str, dict[str, float | str]]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    params = load_params("laptop", family=FAMILY.name)
    training = params.training
    model, step = _step_seconds(params)
    train_seconds = training.epochs * training.steps_per_epoch * step
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours, peer = _logging_seconds(folder, params, model), _peer_seconds(folder, params, model)
    extra = {"logging_s": ours, "train_s": train_seconds, "step_s": step}
    fractions = ours / train_seconds, peer / train_seconds
    return {"mlflow.overhead": row(fractions[0], "1", fractions[1], peer / ours, **extra)}


def _step_seconds(params: Params):
    """Network of `params` and the median seconds of a training step."""
    from spinscope.training.fit import compiled

    rng = np.random.default_rng(SEED)
    shape = (params.training.batch, params.training.crop, params.training.crop)
    images = rng.normal(size=(*shape, 1)).astype(np.float32)
    labels = rng.integers(0, params.data.scheme, shape).astype(np.int32)
    model = compiled(FAMILY, params, SEED)
    seconds = []
    for _ in range(WARM_UP + STEPS):
        started = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - started)
    return model, statistics.median(seconds[WARM_UP:])


def _logging_seconds(folder: Path, params: Params, model) -> float:
    """Seconds of logging by this package."""
    from spinscope.models.store import save_model
    from spinscope.tracking import lineage, open_store, parent_run, register, seed_run
    from spinscope.tracking.runs import EpochLog, log_curves, log_figure, log_report

    info = {
        "classes": ["background", "skyrmion", "defect"],
        "size_multiple": params.model.size_multiple,
    }
    save_model(folder / "model", model, info, "# Benchmark\n")
    tracking = Tracking(
        uri=f"sqlite:///{folder}/mlruns/mlflow.db",
        artifacts=f"{folder}/mlruns/artifacts",
        experiment="overhead",
        moved_alias="warn",
    )
    _create_store(tracking)
    report, history, figure = _report(), _history(params), _figure()
    frames = [np.random.default_rng(SEED).random((128, 128), np.float32)] * 2
    started = time.perf_counter()
    store = open_store(tracking)
    tags = lineage(params, "md5:benchmark", seed=SEED)
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        log_epoch = EpochLog(run)
        for epoch in range(params.training.epochs):
            log_epoch(epoch, {key: values[epoch] for key, values in history.items()})
        log_curves(run, history)
        for name in REPORTS:
            log_report(run, report, name)
        for name in FIGURES:
            log_figure(run, figure, name)
    register(
        store,
        FAMILY,
        run.run_id,
        folder / "model",
        "overhead",
        seed=SEED,
        reports={SEED: report},
        lineage=tags,
        validated=True,
        examples=frames,
    )
    return time.perf_counter() - started


def _create_store(tracking: Tracking) -> None:
    """Create the tables in another process: the store of a project has them already."""
    import subprocess
    import sys

    code = (
        "import sys; from spinscope.config import Tracking; from spinscope.tracking import "
        "open_store; open_store(Tracking.model_validate_json(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, tracking.model_dump_json()], check=True)


def _peer_seconds(folder: Path, params: Params, model) -> float:
    """Seconds of logging by MLflow's fluent calls."""
    import mlflow

    from spinscope.tracking.runs import flatten

    report, history = _report(), _history(params)
    paths = [folder / name for name in FIGURES]
    for path in paths:
        path.write_bytes(_figure())
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlruns/mlflow.db")
    mlflow.set_experiment("overhead")
    started = time.perf_counter()
    with mlflow.start_run():
        mlflow.log_params(flatten(params.model_dump()))
        for epoch in range(params.training.epochs):
            mlflow.log_metrics({key: values[epoch] for key, values in history.items()}, step=epoch)
        for name in REPORTS:
            for key in ("mcc", "accuracy", "f1", "jaccard"):
                mlflow.log_metric(f"{name}.{key}", report[key])
            mlflow.log_dict(report, f"{name}/report.json")
        for path in paths:
            mlflow.log_artifact(str(path))
        mlflow.keras.log_model(model, name="overhead", registered_model_name="overhead-peer")
    return time.perf_counter() - started


def _history(params: Params) -> dict[str, list[float]]:
    """Curves of a training."""
    return {key: [1 / (epoch + 1) for epoch in range(params.training.epochs)] for key in CURVES}


def _report() -> dict:
    """Report of a validation."""
    row = {"mcc": 0.9, "accuracy": 0.98, "f1": 0.9, "jaccard": 0.85}
    objects = {"true": 900, "predicted": 910, "matched": 890, "precision": 0.98, "recall": 0.99}
    return {
        **row,
        "mcc_per_image_mean": 0.9,
        "objects": objects,
        "size": {"wasserstein_px": 0.4},
        "n_images": VALIDATION_FRAMES,
        "frame_ms": 100.0,
        "tta": 8,
        "per_image": [
            {"name": f"{i:03d}", "source": i, "objects_true": 45, "objects_predicted": 46, **row}
            for i in range(VALIDATION_FRAMES)
        ],
    }


def _figure() -> bytes:
    """PNG of a figure."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    figure.subplots().plot(np.random.default_rng(SEED).normal(size=(200, 4)).cumsum(axis=0))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


if __name__ == "__main__":
    print(json.dumps(main()))
