"""What computes a network: OpenVINO with the processor's bf16 units, or Keras.

Keras is the reference. OpenVINO runs an export of the same network, which is kept beside it in the
model folder (registered versions) or made once and cached by the network's checksum (any other
folder); an export that does not agree with Keras is refused.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256, write_json
from spinscope.models.store import CHECK, EXPORT, NETWORK, load_model, model_info

Name = Literal["auto", "openvino", "keras"]
Precision = Literal["auto", "bf16", "f32"]

AGREEMENT = 0.999
"""Share of pixels on which an export must choose the class that Keras chooses."""


class Engine(Protocol):
    """Class probabilities of a batch; safe to call from several threads.

    streams : calls that are computed side by side, one processor core each.
    """

    name: str
    precision: str
    streams: int

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """(N, H, W, 1) float32 → (N, H, W, C) float32; H and W multiples of the network's."""
        ...


class KerasEngine:
    """The Keras network itself, traced once for every size."""

    name, precision, streams = "keras", "f32", 1

    def __init__(self, model: Any):
        import tensorflow as tf

        spec = tf.TensorSpec((None, None, None, 1), tf.float32)
        self._call = tf.function(lambda x: model(x, training=False), input_signature=[spec])

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._call(batch).numpy()


class OpenVinoEngine:
    """An exported network. `streams` frames are computed at once, one processor core each."""

    name = "openvino"

    def __init__(self, network: Path, precision: str, streams: int = 1):
        import openvino as ov

        core = ov.Core()
        self.precision, self.streams = precision, streams
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            options |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(streams)}
        self._compiled = core.compile_model(core.read_model(network), "CPU", options)
        self._local = threading.local()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        if not hasattr(self._local, "request"):  # a request serves one caller at a time
            self._local.request = self._compiled.create_infer_request()
        request = self._local.request
        request.infer({0: batch}, share_inputs=True)
        return request.get_output_tensor(0).data.copy()


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def precisions() -> tuple[str, ...]:
    """What OpenVINO computes in on this processor: f32, and bf16 where it has units for it."""
    import openvino as ov

    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if "BF16" in able else ("f32",)


def open_engine(
    folder: Path | str, name: Name = "auto", precision: Precision = "auto", streams: int = 1
) -> tuple[Engine, dict[str, Any]]:
    """The engine of a model folder and what the folder says of its model.

    name : auto is OpenVINO where it is installed and agrees with Keras, else Keras.
    precision : auto is bf16 where the processor computes in it and the network stands it.
    Raises SpinscopeError for a damaged folder, or where OpenVINO is asked for and missing.
    """
    folder = Path(folder)
    if name == "keras" or (name == "auto" and not has_openvino()):
        model, info = load_model(folder)
        return KerasEngine(model), info
    if not has_openvino():
        raise SpinscopeError("engine 'openvino' must be installed: pip install openvino")
    info = model_info(folder)
    try:
        network = exported(folder)
    except Exception as error:  # the converter raises many kinds; a cache may not be writable
        if name == "openvino":
            raise
        warnings.warn(f"Keras computes {folder}: {error}", stacklevel=2)
        return open_engine(folder, "keras")
    if precision == "auto":
        # Where the export was made without bf16 units, nobody knows how bf16 agrees.
        measured = json.loads((network.parent / CHECK).read_text())["agreement"]
        stands = measured.get("bf16", 0.0) >= AGREEMENT
        precision = "bf16" if stands and "bf16" in precisions() else "f32"
    return OpenVinoEngine(network, precision, streams), info


def exported(folder: Path) -> Path:
    """The OpenVINO network of a model folder: its own, or one made once under build/engines."""
    if (folder / EXPORT).is_file():
        return folder / EXPORT
    cache = project_root() / "build/engines" / sha256(folder / NETWORK)[:16]
    if not (cache / EXPORT).is_file():
        with atomic_folder(cache) as partial:
            export(folder, partial)
    return cache / EXPORT


def export(folder: Path, target: Path) -> dict[str, float]:
    """Write the OpenVINO network of a model folder into `target`, checked against Keras.

    Returns precision → share of the pixels that get the class that Keras gives them; it is kept
    beside the network, which is computed in bf16 only where that share is high enough.
    Raises SpinscopeError where float32 agrees on fewer than 99.9 % of the pixels.
    """
    model, info = load_model(folder)
    network = target / EXPORT
    model.export(str(network), format="openvino", verbose=False)
    reference = KerasEngine(model)
    shares = {p: agreement(reference, OpenVinoEngine(network, p), info) for p in precisions()}
    if shares["f32"] < AGREEMENT:
        for path in (network, network.with_suffix(".bin")):
            path.unlink()
        raise SpinscopeError(
            f"model folder {folder}: OpenVINO agrees with Keras on {100 * shares['f32']:.2f} % "
            f"of the pixels; it must on {100 * AGREEMENT:g} %"
        )
    write_json(target / CHECK, {"agreement": shares, "pixels": "smooth noise of four scales"})
    return shares


def agreement(a: Engine, b: Engine, info: dict[str, Any], seed: int = 0) -> float:
    """Share of pixels that two engines give the same class, on smooth noise of several scales."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    side = max(info["size_multiple"], 256 // info["size_multiple"] * info["size_multiple"])
    noise = rng.normal(size=(4, side, side)).astype(np.float32)
    frames = np.stack([gaussian_filter(n, s) for n, s in zip(noise, (1, 3, 6, 12), strict=True)])
    frames /= frames.std(axis=(1, 2), keepdims=True)
    batch = frames[..., None]
    return float((a(batch).argmax(-1) == b(batch).argmax(-1)).mean())
