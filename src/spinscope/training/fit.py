"""Train one network for one seed; a training that is killed goes on where it stopped."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from spinscope.classes import CLASSES
from spinscope.config import Params
from spinscope.datasets import Splits
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, sha256, write_json
from spinscope.models.losses import SkyrmionMCC, segmentation_loss
from spinscope.models.store import NETWORK, load_model, model_info, save_model
from spinscope.models.unet import size_multiple, unet
from spinscope.training.pipeline import load_frames, training_batches, validation_batches

BEST = "best.weights.h5"
RESULT = "result.json"
MONITOR = {"monitor": "val_mcc", "mode": "max"}


@dataclass(frozen=True)
class FitResult:
    """What a training gave: curves a value an epoch, its best epoch (from 0), where it lies."""

    seed: int
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    folder: Path
    info: dict

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.folder / "model"

    @property
    def val_mcc(self) -> float:
        """Validation MCC of the saved model."""
        return self.info["val_mcc"]


def fit(
    splits: Splits,
    params: Params,
    *,
    seed: int,
    folder: Path | str,
    pretrained: Path | None = None,
    info: dict | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> FitResult:
    """Train the U-Net of `params` on `splits.train`, choosing the epoch by `splits.validation`.

    With `training.keep` "last" no epoch is chosen: the last is kept.

    folder : holds `model/` (the best epoch's averaged weights), `history.json` and `result.json`
        at the end, and what a killed training needs to go on before that; a training that has
        ended is read back and not run again.
    pretrained : model folder whose weights the training starts from.
    With `training.anchor` a the weights that are kept are averaged with it: a w0 + (1 - a) w.
    on_epoch : called with (epoch, logs) after every epoch, to show or to track it.
    A training of other settings that the folder holds is moved aside, not lost.
    """
    folder = Path(folder)
    settings = training_settings(params, seed, info, pretrained)
    if done := finished(folder, settings):
        return done
    _claim(folder, settings)
    model = compiled_unet(params, seed)
    if pretrained is not None:
        _start_from(model, pretrained)
    training, scheme = params.training, params.data.scheme
    frames = load_frames(splits.train, scheme, balance=training.source_balance)
    checks = load_frames(splits.validation, scheme)
    resume = Resume(folder / "backup", on_epoch)
    started = time.monotonic()
    try:
        first = resume.epoch()
        model.fit(
            training_batches(
                frames,
                training,
                params.augmentation,
                seed=seed,
                start=first * training.steps_per_epoch,
            ),
            validation_data=validation_batches(checks, size_multiple(params.model)),
            epochs=training.epochs,
            steps_per_epoch=training.steps_per_epoch,
            callbacks=_callbacks(params, folder, resume),
            shuffle=False,
            verbose=0,
        )
    except OSError as error:
        raise SpinscopeError(
            f"training in {folder} stopped, its last whole checkpoint is kept: {error}"
        ) from error
    history = resume.history
    best = len(history["val_mcc"]) - 1
    if training.keep == "best":
        best = max(range(len(history["val_mcc"])), key=history["val_mcc"].__getitem__)
    # Without optimizer and loss, which nobody who applies the model needs.
    network = unet(params.model, scheme)
    network.load_weights(folder / BEST, skip_mismatch=False)
    val_mcc = history["val_mcc"][best]
    if training.anchor and pretrained is not None:
        anchor(network, pretrained, training.anchor)
        model.set_weights(network.get_weights())
        scored = validation_batches(checks, size_multiple(params.model))
        val_mcc = float(model.evaluate(scored, verbose=0, return_dict=True)["mcc"])
    record = {
        "family": params.family,
        "symmetry": params.augmentation.symmetry,
        "scheme": scheme,
        "classes": list(CLASSES[:scheme]),
        "model": params.model.layers,
        **params.model.rules,
        "size_multiple": size_multiple(params.model),
        "parameters": model.count_params(),
        "seed": seed,
        "best_epoch": best,
        "val_mcc": val_mcc,
        **(info or {}),
    }
    save_model(folder / "model", network, record, card=_card(record))
    write_json(folder / "history.json", history)
    seconds = resume.seconds_before + time.monotonic() - started
    result = {**settings, "best_epoch": best, "seconds": seconds, "info": record}
    write_json(folder / RESULT, result)
    shutil.rmtree(folder / "backup", ignore_errors=True)
    (folder / BEST).unlink(missing_ok=True)
    return FitResult(seed, history, best, seconds, folder, record)


def training_settings(
    params: Params, seed: int, info: dict | None = None, pretrained: Path | None = None
) -> dict:
    """What decides a training's outcome: its settings, seed, data's hash and first weights.

    pretrained : model folder; the digest of its network counts, for a reference may move on.
    """
    sections = {
        name: getattr(params, name).model_dump(mode="json")
        for name in ("data", "model", "training", "augmentation")
    }
    sections["training"].pop("seeds")
    sections["data"].pop("path")
    return {
        "seed": seed,
        "settings": sections,
        "data_hash": (info or {}).get("data_hash"),
        "pretrained_sha256": _network_sha256(pretrained),
    }


def finished(folder: Path | str, settings: dict) -> FitResult | None:
    """The training of these settings that has ended in `folder`, or None."""
    folder = Path(folder)
    if not (folder / RESULT).is_file():
        return None
    result = json.loads((folder / RESULT).read_text())
    if not _same(result, settings):
        return None
    history = json.loads((folder / "history.json").read_text())
    return FitResult(
        result["seed"], history, result["best_epoch"], result["seconds"], folder, result["info"]
    )


def compiled_unet(params: Params, seed: int) -> keras.Model:
    """The U-Net of `params` with loss, optimizer and score, ready to fit.

    AdamW; with `training.ema` the weights are averaged over the steps; the learning rate warms up
    over a twentieth of the steps and falls by a cosine, or follows the plateaus of the score.
    """
    training, scheme = params.training, params.data.scheme
    steps = training.epochs * training.steps_per_epoch
    rate = training.learning_rate
    if training.schedule == "cosine":
        warm = max(1, steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            1e-2 * rate, max(1, steps - warm), alpha=1e-2, warmup_target=rate, warmup_steps=warm
        )
    averaged = {"use_ema": True, "ema_momentum": training.ema} if training.ema else {}
    model = unet(params.model, scheme, seed=seed)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=training.weight_decay, clipnorm=1.0, **averaged),
        segmentation_loss(scheme, training.label_smoothing, training.class_weights),
        metrics=[SkyrmionMCC()],
    )
    model.optimizer.build(model.trainable_variables)  # else the step is traced twice: 4 s
    return model


class Resume(keras.callbacks.BackupAndRestore):
    """Keras' backup, whole or not at all, with the state that it leaves out.

    Beside weights and optimizer it keeps the counters of the other callbacks, where the dropout
    masks are in their sequence, and the history, so that a training that goes on ends with the
    same history. It must be the last callback.
    """

    def __init__(self, backup_dir: Path, on_epoch=None):
        super().__init__(str(backup_dir), delete_checkpoint=False)
        self.folder = Path(backup_dir)
        self.others: list[keras.callbacks.Callback] = []
        self.history: dict[str, list[float]] = {}
        self.seconds_before = 0.0
        self._on_epoch = on_epoch
        self._state = self.folder / "state.json"
        self._started = time.monotonic()

    def epoch(self) -> int:
        """Epoch that the training goes on with; 0 for a new one."""
        return json.loads(self._state.read_text())["epoch"] if self._state.is_file() else 0

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch to the history, show it, and keep all of it."""
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
    """Numbers that a callback carries from epoch to epoch."""
    kept = {name: vars(callback)[name] for name in _COUNTERS if name in vars(callback)}
    return {
        name: value if value is None or isinstance(value, bool | int) else float(value)
        for name, value in kept.items()
    }


def _callbacks(params: Params, folder: Path, resume: Resume) -> list[keras.callbacks.Callback]:
    training = params.training
    callbacks: list[keras.callbacks.Callback] = []
    if training.ema:
        # First: what follows then sees, checks and keeps the averaged weights.
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    callbacks.append(AtomicCheckpoint(folder / BEST, every=training.keep == "last"))
    if training.keep == "best":
        callbacks.append(keras.callbacks.EarlyStopping(patience=training.early_stopping, **MONITOR))
    if training.schedule == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                factor=training.plateau_factor, patience=training.plateau_patience, **MONITOR
            )
        )
    resume.others = list(callbacks)
    return [*callbacks, resume]


class AtomicCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras' checkpoint of the best, or of `every` epoch's weights; a full disk leaves the last."""

    def __init__(self, path: Path, every: bool = False):
        super().__init__(str(path), save_best_only=True, save_weights_only=True, **MONITOR)
        self.every = every

    def _save_model(self, epoch, batch, logs):
        if not self.every and not self._is_improvement(float(logs["val_mcc"]), self.best):
            return
        with atomic_file(self.filepath) as partial:
            self.model.save_weights(partial)
        self.best = float(logs["val_mcc"])


def _claim(folder: Path, settings: dict) -> None:
    """Note whose training this folder holds; one of other settings is moved aside, whole.

    It keeps its place beside the folder as NAME.1, or the next number that is free.
    """
    note = folder / "settings.json"
    if note.is_file() and not _same(json.loads(note.read_text()), settings):
        asides = (folder.with_name(f"{folder.name}.{k}") for k in itertools.count(1))
        folder.rename(next(path for path in asides if not path.exists()))
    write_json(note, settings)


def _same(kept: dict, settings: dict) -> bool:
    return all(kept.get(key) == value for key, value in settings.items())


def _network_sha256(folder: Path | None) -> str | None:
    """Digest of a model folder's network, once every checksum holds; None for no folder."""
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


def anchor(model: keras.Model, pretrained: Path, share: float) -> None:
    r"""Average a network with the one that its training started from.

    .. math:: w \leftarrow a\,w_0 + (1 - a)\,w

    It gives up a little on frames like those of the training and gains on others.
    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    first = load_model(pretrained)[0].get_weights()
    pairs = zip(first, model.get_weights(), strict=True)
    model.set_weights([share * before + (1 - share) * after for before, after in pairs])


def _card(record: dict) -> str:
    return (
        f"# {record['family']}, seed {record['seed']}\n\n"
        f"U-Net of {record['parameters']} parameters, {record['scheme']} classes "
        f"({', '.join(record['classes'])}), `{json.dumps(record['model'])}`.\n"
        f"Validation MCC {record['val_mcc']:.4f} at epoch {record['best_epoch'] + 1}.\n"
    )
