"""Training of one network for one seed, resumed after an interruption."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spinscope.config import Params, Training, renamed
from spinscope.datasets import Splits
from spinscope.datasets.seen import TrainingFrames, read_frames, training_frames
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, sha256, write_json
from spinscope.models.backend import keras
from spinscope.models.store import NETWORK, load_model, model_info, save_model
from spinscope.training.trainable import Metric, Trainable

BEST = "best.weights.h5"
RESULT = "result.json"
WEIGHT_DECAY = 1e-4
PLATEAU_FACTOR = 0.5
"""Factor of the learning rate at a plateau."""


@dataclass(frozen=True)
class FitResult:
    """A finished training.

    Parameters
    ----------
    seed : int
    history : dict
        Name of a curve → one value per epoch.
    best_epoch : int
        Epoch, counted from 0, whose weights are saved.
    seconds : float
        Duration, summed over interruptions.
    folder : Path
    info : dict
        What the model folder stores.
    score : float
        Validation value of the headline metric of the saved model.
    """

    seed: int
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    folder: Path
    info: dict
    score: float

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.folder / "model"


def fit(
    family: Trainable,
    splits: Splits,
    params: Params,
    *,
    seed: int,
    folder: Path | str,
    pretrained: Path | None = None,
    info: dict | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> FitResult:
    """Train the network of a family on `splits.train` and choose an epoch on `splits.validation`.

    An interrupted training resumes from its last checkpoint; a finished one is read back. A
    training of other settings, data or code that `folder` contains is moved aside.

    Parameters
    ----------
    family : Trainable
        Network, loss, batches and metric.
    splits : Splits
        Frames of training and validation.
    params : Params
        With `training.keep` "last" no epoch is chosen: the last one is saved. With
        `training.anchor` a the saved weights are averaged with the first ones, a w0 + (1 - a) w.
    seed : int
        Seed of weights, dropout and augmentation.
    folder : Path
        Receives `model/` (the averaged weights of the best epoch), `history.json` and
        `result.json`; until then it holds the checkpoints.
    pretrained : Path, optional
        Model folder whose weights the training starts from.
    info : dict, optional
        Stored in the model folder as well.
    on_epoch : callable, optional
        Called with (epoch, logs) after every epoch.

    Raises
    ------
    SpinscopeError
        If the disk is full, or `pretrained` has weights of other shapes.
    """
    folder = Path(folder)
    settings = training_settings(params, seed, info, pretrained)
    settings["code"] = family.training_code()
    if done := finished(family, folder, settings):
        return done
    _claim(folder, settings)
    model = compiled(family, params, seed)
    if pretrained is not None:
        _start_from(model, pretrained)
    family.prepare(model, splits.train, params, seed)
    training, value = params.training, f"val_{family.metric.name}"
    validation = family.validation_batches(splits.validation, params)
    resume = Resume(folder / "backup", on_epoch)
    started = time.monotonic()
    try:
        first = resume.epoch()
        model.fit(
            family.training_batches(
                splits.train, params, seed=seed, start=first * training.steps_per_epoch
            ),
            validation_data=validation,
            epochs=training.epochs,
            steps_per_epoch=training.steps_per_epoch,
            callbacks=_callbacks(family.metric, training, folder, resume),
            shuffle=False,
            verbose=0,
        )
    except OSError as error:
        raise SpinscopeError(
            f"training in {folder} stopped, its last whole checkpoint is kept: {error}"
        ) from error
    values = resume.history[value]
    best = family.metric.best(values) if training.keep == "best" else len(values) - 1
    network = family.network(params)  # without optimizer and loss
    network.load_weights(folder / BEST, skip_mismatch=False)
    score = values[best]
    if training.anchor and pretrained is not None:
        anchor(network, pretrained, training.anchor)
        model.set_weights(network.get_weights())
        logs = model.evaluate(validation, verbose=0, return_dict=True)
        score = float(logs[family.metric.name])
    measured, files = family.completed(network, splits, params)
    record = {
        "family": family.name,
        **family.info(params),
        **measured,
        "parameters": model.count_params(),
        "seed": seed,
        "best_epoch": best,
        value: score,
        **(info or {}),
    }
    frames = all_training_frames(splits, pretrained)
    save_model(folder / "model", network, record, family.card(record), frames, files)
    write_json(folder / "history.json", resume.history)
    seconds = resume.seconds_before + time.monotonic() - started
    result = {**settings, "best_epoch": best, "seconds": seconds, "info": record}
    write_json(folder / RESULT, result)
    shutil.rmtree(folder / "backup", ignore_errors=True)
    (folder / BEST).unlink(missing_ok=True)
    return FitResult(seed, resume.history, best, seconds, folder, record, score)


def all_training_frames(splits: Splits, pretrained: Path | None) -> TrainingFrames | None:
    """Frames of a training and of its first weights; None if those list none.

    Parameters
    ----------
    splits : Splits
    pretrained : Path or None
        Model folder that the training started from.
    """
    frames = training_frames(splits.train)
    if pretrained is None:
        return frames
    before = read_frames(pretrained)
    return before and before | frames


def training_settings(
    params: Params, seed: int, info: dict | None = None, pretrained: Path | None = None
) -> dict:
    """Everything that decides the outcome of a training: settings, seed, data and first weights.

    Parameters
    ----------
    params : Params
    seed : int
    info : dict, optional
        Holds the `data_hash`.
    pretrained : Path, optional
        Model folder; the checksum of its network counts, not its name.
    """
    sections = {
        name: getattr(params, name).model_dump(mode="json")
        for name in ("data", "model", "training", "augmentation")
    }
    sections["training"].pop("seeds")
    sections["data"].pop("path")
    if params.options:
        sections["options"] = dict(params.options)
    return {
        "seed": seed,
        "settings": sections,
        "data_hash": (info or {}).get("data_hash"),
        "pretrained_sha256": _network_sha256(pretrained),
    }


def finished(family: Trainable, folder: Path, settings: dict) -> FitResult | None:
    """Read the finished training of these settings from `folder`; None without one.

    Parameters
    ----------
    family : Trainable
    folder : Path
    settings : dict
        Those of `training_settings`.
    """
    if not (folder / RESULT).is_file():
        return None
    result = json.loads((folder / RESULT).read_text())
    if not _same(result, settings):
        return None
    history = json.loads((folder / "history.json").read_text())
    info = result["info"]
    score = info[f"val_{family.metric.name}"]
    return FitResult(
        result["seed"], history, result["best_epoch"], result["seconds"], folder, info, score
    )


def compiled(family: Trainable, params: Params, seed: int) -> keras.Model:
    """Network of a family with loss, optimizer and metrics, ready to fit.

    The optimizer is AdamW. With `training.ema` the weights are averaged over the steps. The
    learning rate warms up over a twentieth of the steps and decays by a cosine, or is reduced
    where the metric reaches a plateau.

    Parameters
    ----------
    family : Trainable
    params : Params
    seed : int
        Seed of weights and dropout.
    """
    training = params.training
    steps = training.epochs * training.steps_per_epoch
    rate = training.learning_rate
    if training.schedule == "cosine":
        warm = max(1, steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            1e-2 * rate, max(1, steps - warm), alpha=1e-2, warmup_target=rate, warmup_steps=warm
        )
    metrics, wanted = family.metrics(params), family.metric.name
    if wanted not in [metric.name for metric in metrics]:
        raise SpinscopeError(
            f"family {family.name}: metrics() must contain one with the name of the headline "
            f"metric, {wanted!r}"
        )
    averaged = {"use_ema": True, "ema_momentum": training.ema} if training.ema else {}
    model = family.network(params, seed)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0, **averaged),
        family.loss(params),
        metrics=metrics,
        # On a CPU, TensorFlow's own kernels take two thirds of the time of XLA's.
        jit_compile=False if keras.config.backend() == "tensorflow" else "auto",
    )
    model.optimizer.build(model.trainable_variables)  # else the step is traced twice: 4 s
    return model


class Resume(keras.callbacks.BackupAndRestore):
    """Keras' checkpoint of an interrupted training, written atomically and with all of its state.

    Keras saves weights and optimizer. This class adds the counters of the other callbacks, the
    state of the dropout and the history, so that a resumed training ends with the same history as
    an uninterrupted one. It must be the last callback.

    Parameters
    ----------
    folder : Path
    on_epoch : callable, optional
        Called with (epoch, logs) after every epoch.
    """

    def __init__(self, folder: Path, on_epoch=None):
        super().__init__(str(folder), delete_checkpoint=False)
        self.folder = Path(folder)
        self.others: list[keras.callbacks.Callback] = []
        self.history: dict[str, list[float]] = {}
        self.seconds_before = 0.0
        self._on_epoch = on_epoch
        self._state = self.folder / "state.json"
        self._started = time.monotonic()

    def epoch(self) -> int:
        """First epoch that is not in the checkpoint; 0 without one."""
        return json.loads(self._state.read_text())["epoch"] if self._state.is_file() else 0

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch to the history, write the checkpoint and call `on_epoch`."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        super().on_epoch_end(epoch, logs)
        if self._on_epoch:
            self._on_epoch(epoch, logs)

    def _save_model(self):
        state = {
            "epoch": self._current_epoch,
            "history": self.history,
            "seconds": self.seconds_before + time.monotonic() - self._started,
            "callbacks": [_counters(callback) for callback in self.others],
            "dropout": [state.numpy().tolist() for state in _dropout_states(self.model)],
        }
        with atomic_folder(self.folder) as partial:
            self.model.save_weights(partial / Path(self._weights_path).name)
            write_json(partial / self._state.name, state)
            write_json(
                partial / Path(self._training_metadata_path).name,
                {"epoch": self._current_epoch, "batch": 0},
            )

    def _load_model(self):
        super()._load_model()
        self._started = time.monotonic()
        if not self._state.is_file():
            return
        state = json.loads(self._state.read_text())
        self.history, self.seconds_before = state["history"], state["seconds"]
        for callback, counters in zip(self.others, state["callbacks"], strict=True):
            vars(callback).update(counters)
        for variable, value in zip(_dropout_states(self.model), state["dropout"], strict=True):
            variable.assign(value)


def _dropout_states(model: keras.Model) -> list:
    layers = (layer for layer in model.layers if hasattr(layer, "seed_generator"))
    return [layer.seed_generator.state for layer in layers]


_COUNTERS = ("best", "wait", "cooldown_counter", "best_epoch", "_ema_weights_in_model")


def _counters(callback) -> dict:
    """Numbers that a callback keeps from epoch to epoch."""
    return {
        name: value if value is None or isinstance(value, bool | int) else float(value)
        for name, value in vars(callback).items()
        if name in _COUNTERS
    }


def _callbacks(
    metric: Metric, training: Training, folder: Path, resume: Resume
) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = []
    if training.ema:
        # First, so that the following callbacks validate and save the averaged weights.
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    callbacks.append(AtomicCheckpoint(folder / BEST, metric, every=training.keep == "last"))
    if training.keep == "best":
        callbacks.append(
            keras.callbacks.EarlyStopping(patience=training.early_stopping, **metric.monitor)
        )
    if training.schedule == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                factor=PLATEAU_FACTOR,
                patience=training.plateau_patience,
                **metric.monitor,
            )
        )
    resume.others = callbacks
    return [*callbacks, resume]


class AtomicCheckpoint(keras.callbacks.ModelCheckpoint):
    """Atomic checkpoint of the best epoch's weights, or of every epoch's."""

    def __init__(self, path: Path, metric: Metric, every: bool = False):
        super().__init__(str(path), save_best_only=True, save_weights_only=True, **metric.monitor)
        self.every = every

    def _save_model(self, epoch, batch, logs):
        value = float(logs[self.monitor])
        if not self.every and not self._is_improvement(value, self.best):
            return
        with atomic_file(self.filepath) as partial:
            self.model.save_weights(partial)
        self.best = value


def _claim(folder: Path, settings: dict) -> None:
    """Record the settings of the training in a folder; move one of other settings aside.

    It is renamed to NAME.1, or the next free number, beside the folder.
    """
    record = folder / "settings.json"
    if record.is_file() and not _same(json.loads(record.read_text()), settings):
        asides = (folder.with_name(f"{folder.name}.{k}") for k in itertools.count(1))
        folder.rename(next(path for path in asides if not path.exists()))
    write_json(record, settings)


def _same(stored: dict, settings: dict) -> bool:
    """Whether stored settings, which may have former names, are these settings."""
    stored = {**stored, "settings": renamed(stored.get("settings", {}))}
    return all(stored.get(key) == value for key, value in settings.items())


def _network_sha256(folder: Path | None) -> str | None:
    """Checksum of a model folder's network, all checksums verified; None for no folder."""
    if folder is None:
        return None
    model_info(folder)
    return sha256(Path(folder) / NETWORK)


def _start_from(model: keras.Model, pretrained: Path) -> None:
    source, info = load_model(pretrained)
    try:
        model.set_weights(source.get_weights())
    except ValueError as error:
        raise SpinscopeError(
            f"pretrained {pretrained} (model {info.get('model')}) has weights of other shapes"
        ) from error


def anchor(model: keras.Model, pretrained: Path, fraction: float) -> None:
    r"""Average the weights of a network with those that its training started from.

    .. math:: w \leftarrow a\,w_0 + (1 - a)\,w

    The result is slightly worse on frames like those of the training and better on others.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    pretrained : Path
        Model folder with the first weights w_0.
    fraction : float
        Fraction a of the first weights, in [0, 1].

    References
    ----------
    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    first = load_model(pretrained)[0].get_weights()
    pairs = zip(first, model.get_weights(), strict=True)
    model.set_weights([fraction * before + (1 - fraction) * after for before, after in pairs])
