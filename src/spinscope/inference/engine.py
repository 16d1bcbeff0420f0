"""Engines that compute a network: OpenVINO, with bf16 where the processor has it, or Keras.

Keras is the reference. OpenVINO runs an export of the same network that the model folder contains
(registered versions), or the graph that `spinscope.inference.graph` builds of a U-Net, or for other
networks a conversion by Keras that is made once and cached by the checksum of the network. An
export that does not agree with the network is refused.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from platformdirs import user_cache_path

from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.extras import MissingExtra
from spinscope.files import atomic_folder, digest, sha256, write_json
from spinscope.inference.graph import network_graph
from spinscope.models.checked import parsed, require
from spinscope.models.store import (
    CHECK,
    EXPORT,
    NETWORK,
    check_classes,
    load_model,
    model_info,
)

Name = Literal["auto", "openvino", "keras"]
Precision = Literal["auto", "bf16", "f32"]

AGREEMENT = 0.999
"""Fraction of pixels that an export must classify as Keras does."""


class Engine(Protocol):
    """Computes class probabilities of a batch; safe to call from several threads.

    Attributes
    ----------
    name, precision : str
        Name of the library and of the number format.
    streams : int
        Calls computed at once, one processor core each.
    """

    name: str
    precision: str
    streams: int

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Compute (N, H, W, C) float32 from (N, H, W, channels); H, W: multiples of its grid."""
        ...


class KerasEngine:
    """The Keras network, traced once for all sizes."""

    name, precision, streams = "keras", "f32", 1

    def __init__(self, model: Any):
        import tensorflow as tf

        spec = tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.float32)
        # A concrete function: TensorFlow warns of retracing where a process opens several engines.
        traced = tf.function(lambda x: model(x, training=False), input_signature=[spec])
        self._call, self._tensor = traced.get_concrete_function(), tf.constant

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._call(self._tensor(batch, "float32")).numpy()


_CONVERSION = threading.Lock()


class OpenVinoEngine:
    """An exported network that computes `streams` frames at once, one processor core each.

    The network is the file of an export or a graph. With `shape` it computes batches of this shape
    (N, H, W, channels) only.
    """

    name = "openvino"

    def __init__(
        self,
        network: Path | Any,
        precision: str,
        streams: int = 1,
        shape: tuple[int, ...] | None = None,
    ):
        from spinscope.inference.backend import openvino as ov

        self.precision, self.streams = precision, streams
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            options |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(streams)}
        core = ov.Core()
        try:
            model = core.read_model(network) if isinstance(network, Path) else network
            if shape is not None:  # a small network takes two thirds of the time for a fixed shape
                model.reshape(list(shape))
            self._compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            text = " ".join(str(error).split())
            raise SpinscopeError(f"{network} is not a readable network: {text[-200:]}") from error
        with _CONVERSION:
            # OpenVINO builds its tables of number types at their first use, and two threads that
            # use them first at the same time block each other for ever.
            ov.Tensor(np.zeros(1, np.float32), shared_memory=True)
            ov.Type.f32.to_dtype()
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


def uses_export(folder: Path, engine: str) -> bool:
    """Whether the OpenVINO network that a model folder contains is used.

    Parameters
    ----------
    folder : Path
        Model folder.
    engine : {"auto", "openvino", "keras"}
        "auto" is OpenVINO if it is installed and the folder holds its network, else Keras.

    Raises
    ------
    SpinscopeError
        If OpenVINO is requested and missing, or as `check_export` does.
    """
    available = has_openvino() and (folder / EXPORT).is_file()
    if engine == "openvino" and not available:
        raise SpinscopeError(
            f"engine 'openvino' needs OpenVINO and the file {folder / EXPORT}; use engine 'keras'"
        )
    if not available or engine == "keras":
        return False
    check_export(folder)
    return True


def precisions() -> tuple[str, ...]:
    """Return the precisions of OpenVINO on this processor: f32, and bf16 where it is supported."""
    from spinscope.inference.backend import openvino as ov

    supported = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if "BF16" in supported else ("f32",)


def open_engine(
    folder: Path | str, name: Name = "auto", precision: Precision = "auto", streams: int = 1
) -> tuple[Engine, dict[str, Any]]:
    """Open the engine of a model folder.

    Parameters
    ----------
    folder : Path or str
        Model folder.
    name : {"auto", "openvino", "keras"}
        "auto" is OpenVINO where it is installed and agrees with Keras, else Keras.
    precision : {"auto", "bf16", "f32"}
        "auto" is bf16 where the processor supports it and the network agrees in it, else f32.
    streams : int
        Frames that OpenVINO computes at once.

    Returns
    -------
    engine : Engine
        Computes the network.
    info : dict
        Description of the model.

    Raises
    ------
    SpinscopeError
        For a damaged folder, and where OpenVINO is requested and missing.
    """
    folder = Path(folder)
    if name == "keras" or (name == "auto" and not has_openvino()):
        model, info = load_model(folder)
        require(info, folder, "classes", "size_multiple")
        return KerasEngine(model), info
    if not has_openvino():
        raise SpinscopeError("engine 'openvino' must be installed: pip install openvino")
    info = model_info(folder)
    require(info, folder, "classes", "size_multiple")
    network, agreements = _fast_network(folder, info, name)
    if network is None:
        return open_engine(folder, "keras")
    if precision == "auto":
        fast = "bf16" in precisions() and agreements().get("bf16", 0.0) >= AGREEMENT
        precision = "bf16" if fast else "f32"
    return OpenVinoEngine(network, precision, streams), info


def _fast_network(
    folder: Path, info: dict[str, Any], name: Name
) -> tuple[Path | Any | None, Callable[[], dict[str, float]]]:
    """Network for OpenVINO and the function that returns its agreement per precision.

    The network is None where Keras must compute it.
    """
    if (folder / EXPORT).is_file():
        # An export made on a processor without bf16 has no agreement measured for it.
        agreements = check_export(folder)
        return folder / EXPORT, lambda: agreements
    if (graph := unet_graph(folder, info)) is not None:
        return graph, lambda: graph_agreement(folder, graph, info)
    try:
        network = exported(folder)
    except Exception as error:  # the converter raises many kinds; a cache may not be writable
        if name == "openvino" or isinstance(error, MissingExtra):
            raise
        warnings.warn(f"Keras computes {folder}: {error}", stacklevel=3)
        return None, dict
    return network, lambda: stored_agreement(network.parent)


def unet_graph(folder: Path, info: dict[str, Any]) -> Any | None:
    """OpenVINO graph of the network of a model folder, None if it is no U-Net.

    Raises
    ------
    SpinscopeError
        If the network is damaged, or has another number of classes than `info` names.
    """
    graph = network_graph(folder / NETWORK)
    if graph is not None:
        check_classes(folder, info, graph.output(0).get_partial_shape()[-1].get_length())
    return graph


def has_export(folder: Path) -> bool:
    """Whether OpenVINO is installed, and a model folder needs no conversion for it."""
    return has_openvino() and (
        any((place / EXPORT).is_file() for place in (folder, _cache(folder)))
        or _is_unet(folder / NETWORK, sha256(folder / NETWORK))
    )


@functools.lru_cache(64)
def _is_unet(network: Path, checksum: str) -> bool:
    """Whether a network has a graph that is built without Keras."""
    return network_graph(network) is not None


def _cache(folder: Path) -> Path:
    return user_cache_path("spinscope") / "engines" / sha256(folder / NETWORK)[:16]


def exported(folder: Path) -> Path:
    """Return the OpenVINO network of a model folder, converted by Keras once for this user.

    It is kept in `spinscope/engines` in the cache folder of the platform.
    """
    cache = _cache(folder)
    if not (cache / EXPORT).is_file():
        with atomic_folder(cache) as partial:
            export(folder, partial)
    return cache / EXPORT


def export(folder: Path, target: Path) -> dict[str, float]:
    """Write the OpenVINO network of a model folder into `target`, compared with Keras.

    The agreement is stored beside the network, which is computed in bf16 only where it is high
    enough.

    Returns
    -------
    dict
        Precision → fraction of pixels that get the class that Keras gives them.

    Raises
    ------
    SpinscopeError
        Where float32 agrees on fewer than 99.9 % of the pixels.
    """
    model, info = load_model(folder)
    network = target / EXPORT
    convert(model, network)
    fractions = _of_masks(KerasEngine(model), network, info)
    if fractions["f32"] < AGREEMENT:
        for path in (network, network.with_suffix(".bin")):
            path.unlink()
        raise SpinscopeError(
            f"model folder {folder}: OpenVINO agrees with Keras on {100 * fractions['f32']:.2f} % "
            f"of the pixels; at least {100 * AGREEMENT:g} % are required"
        )
    write_json(target / CHECK, {"agreement": fractions, "pixels": "smooth noise of four scales"})
    with contextlib.suppress(OSError):  # so that the first use on this machine need not measure it
        write_json(_measured(folder, target), {"agreement": fractions})
    return fractions


def convert(model: Any, network: Path) -> None:
    """Write the OpenVINO network of a Keras model to a file."""
    from spinscope.inference import backend

    assert backend  # Keras would import OpenVINO with its telemetry
    model.export(str(network), format="openvino", verbose=False)


def stored_agreement(folder: Path) -> dict[str, float]:
    """Agreement that is stored beside an export: precision → fraction of pixels.

    Raises
    ------
    SpinscopeError
        If the file is missing or damaged.
    """
    return _fractions(folder / CHECK)


def graph_agreement(folder: Path, graph: Any, info: dict[str, Any]) -> dict[str, float]:
    """Agreement of the precisions of a graph with float32, measured once for this user.

    Parameters
    ----------
    folder : Path
        Model folder.
    graph : openvino.Model
        Its graph.
    info : dict
        Description of the model.

    Returns
    -------
    dict
        Precision → fraction of pixels that get the class that float32 gives them.
    """
    key = digest(["graph", sha256(folder / NETWORK), *precisions()])
    return _kept(
        user_cache_path("spinscope") / "agreement" / f"{key}.json",
        lambda: _of_masks(OpenVinoEngine(graph, "f32"), graph, info),
    )


def check_export(folder: Path) -> dict[str, float]:
    """Agreement of the export in a model folder with its Keras network, measured on this machine.

    What the folder says about itself is believed for the models that are shipped with the code
    only. For others it is measured before the first use, and kept in the cache of the user by the
    checksums of both networks.

    Parameters
    ----------
    folder : Path
        Model folder with an export.

    Returns
    -------
    dict
        Precision → fraction of the outputs that agree.

    Raises
    ------
    SpinscopeError
        If fewer than 99.9 % agree in float32.
    """
    if folder.resolve().is_relative_to(bundled_models().resolve()):
        return stored_agreement(folder) if (folder / CHECK).is_file() else {"f32": 1.0}
    fractions = _kept(_measured(folder, folder), lambda: _measured_export(folder))
    if fractions["f32"] < AGREEMENT:
        raise SpinscopeError(
            f"model folder {folder}: {EXPORT} agrees with {NETWORK} on "
            f"{100 * fractions['f32']:.2f} % of the outputs; at least {100 * AGREEMENT:g} % are "
            f"required. It is not the export of this network: remove it"
        )
    return fractions


def _fractions(path: Path) -> dict[str, float]:
    """Fraction per precision that a file holds."""
    try:
        found = parsed(path.read_bytes(), path)["agreement"]
        return {name: float(found[name]) for name in {"f32", "bf16"} & set(found)} | {
            "f32": float(found["f32"])
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SpinscopeError(f"{path} must hold the agreement of an export: {error}") from error


def _kept(path: Path, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Fractions in a file of the user's cache, measured where it does not exist."""
    try:
        return _fractions(path)
    except SpinscopeError:
        fractions = measure()
        with contextlib.suppress(OSError):  # a cache that cannot be written
            write_json(path, {"agreement": fractions})
        return fractions


def _measured(folder: Path, export: Path) -> Path:
    """File of the user's cache with the agreement of a network and an export on this processor."""
    files = (folder / NETWORK, export / EXPORT, (export / EXPORT).with_suffix(".bin"))
    key = digest([*(sha256(path) for path in files if path.is_file()), *precisions()])
    return user_cache_path("spinscope") / "agreement" / f"{key}.json"


def record_export(folder: Path, target: Path, model: Any, info: dict[str, Any]) -> None:
    """Keep the agreement of an export that was just made, for `check_export` on this machine.

    Parameters
    ----------
    folder, target : Path
        Model folder, and folder of the export.
    model : keras.Model
        Network of the folder.
    info : dict
        Description of the model.
    """
    fractions = _measure(KerasEngine(model), model.input_shape, info, target / EXPORT)
    with contextlib.suppress(OSError):  # a cache that cannot be written
        write_json(_measured(folder, target), {"agreement": fractions})


def _measured_export(folder: Path) -> dict[str, float]:
    """Compare the export in a model folder with the graph of its network, or with Keras."""
    info = model_info(folder)
    graph = unet_graph(folder, info) if "classes" in info else None
    if graph is not None:
        return _measure(OpenVinoEngine(graph, "f32"), (), info, folder / EXPORT)
    model, _ = load_model(folder)
    return _measure(KerasEngine(model), model.input_shape, info, folder / EXPORT)


def _measure(
    reference: Engine, shape: tuple[int | None, ...], info: dict[str, Any], export: Path
) -> dict[str, float]:
    """Compare an export with a reference, on noise of a shape where there are no classes."""
    try:
        if "classes" in info:
            return _of_masks(reference, export, info)
        sides = [side or 64 for side in shape[1:3]]
        batch = np.random.default_rng(0).random((4, *sides, shape[-1]), np.float32)
        expected, found = reference(batch), OpenVinoEngine(export, "f32")(batch)
    except SpinscopeError:
        raise
    except Exception as error:  # OpenVINO and Keras report inputs of another shape in many ways
        text = " ".join(str(error).split())
        raise SpinscopeError(
            f"{export} cannot compute what {NETWORK} does: {text[-200:]}"
        ) from error
    alike = found.shape == expected.shape and (
        np.abs(found - expected) <= 1e-3 * np.abs(expected).max()
    )
    return {"f32": float(np.mean(alike))}


def _of_masks(reference: Engine, network: Path | Any, info: dict[str, Any]) -> dict[str, float]:
    """Precision → fraction of pixels that get the class that a reference gives them."""
    return {p: agreement(reference, OpenVinoEngine(network, p), info) for p in precisions()}


def agreement(a: Engine, b: Engine, info: dict[str, Any], seed: int = 0) -> float:
    """Return the fraction of pixels that two engines classify alike, on noise of four scales."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    side = max(info["size_multiple"], 256 // info["size_multiple"] * info["size_multiple"])
    noise = rng.normal(size=(4, side, side)).astype(np.float32)
    frames = np.stack([gaussian_filter(n, s) for n, s in zip(noise, (1, 3, 6, 12), strict=True)])
    frames /= frames.std(axis=(1, 2), keepdims=True)
    batch = frames[..., None]
    first, second = a(batch), b(batch)
    if first.shape != second.shape:
        return 0.0
    return float((first.argmax(-1) == second.argmax(-1)).mean())
