"""Checks of a model folder before anything in it is used, so that no file of it can run code.

Keras opens a network only after its archive, its layers and its weights have been checked here.
The layers must be those of `LAYERS`: an allow-list stays true where a list of dangerous layers
would miss the next one.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spinscope.errors import SpinscopeError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
"""Files of the archive of a network."""

LAYERS: Mapping[str | None, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        None: "__keras_tensor__ __slice__ __ellipsis__",
        "keras": "DTypePolicy Functional",
        "keras.src.models.functional": "Functional",
        "keras.layers": (
            "Activation Add Average AveragePooling2D BatchNormalization Concatenate Conv2D "
            "Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dropout ELU Flatten "
            "GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization InputLayer "
            "LayerNormalization LeakyReLU Maximum MaxPooling2D Minimum Multiply PReLU Permute ReLU "
            "Rescaling Reshape SeparableConv2D Softmax SpatialDropout2D Subtract UpSampling2D "
            "ZeroPadding2D"
        ),
        "keras.initializers": (
            "Constant GlorotNormal GlorotUniform HeNormal HeUniform Ones RandomNormal "
            "RandomUniform TruncatedNormal Zeros"
        ),
        "keras.src.ops.nn": "Relu",
        "keras.src.ops.numpy": (
            "Abs Add Clip Concatenate Divide Exp GetItem Log Maximum Mean Minimum Multiply "
            "Negative Sqrt Square Subtract Sum TrueDivide"
        ),
    }.items()
}
"""Module → classes that a network may consist of."""

REFUSED = {".h5", ".hdf5", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".pb", ".py", ".so"}
"""Ends of the names of files that can contain code, or networks that were not checked."""

MAX_CONFIG = 2**24
"""Largest description of a network, of the info and of the checksums, bytes."""
MAX_WEIGHTS = 2**29
"""Largest weights of a network, bytes."""
MAX_FILTERS = 2**12
"""Largest number of filters, units or input channels of a layer."""
_MAX_DEPTH = 64
_SIZES = ("kernel_size", "pool_size", "strides", "dilation_rate", "size")
_MAX_SIZE = 64


class _Checked(BaseModel):
    """Part of the info; keys that are not named are kept unchecked."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Upscale(_Checked):
    below_px: float = Field(gt=0)
    scale: float = Field(gt=1, le=4)


class _Calibration(_Checked):
    interval: float = Field(gt=0)
    sd: float = Field(gt=0)


class Info(_Checked):
    """Content of `model.json`."""

    family: str = "moke-unet"
    classes: Annotated[list[str], Field(min_length=2, max_length=256)] = ["background", "skyrmion"]
    size_multiple: int = Field(1, ge=1, le=1024)
    scheme: Literal[2, 3, 5] = 2
    symmetry: Literal["square", "axis", "none"] = "square"
    upscale: _Upscale | None = None
    min_peak_probability: float | None = Field(None, gt=0, lt=1)
    level: float | None = Field(None, gt=0, lt=1)
    axis_deg: float | None = None
    pixel_size_nm: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)
    parameters: int = Field(0, ge=0)
    best_epoch: int = Field(0, ge=0)
    model: dict[str, Any] = {}
    options: dict[str, Any] = {}
    corpus: dict[str, Any] = {}
    trained: dict[str, Any] = {}
    architecture: str = ""
    parameter: str = ""
    limits: Annotated[list[float], Field(min_length=2, max_length=2)] = [0, 1]
    scales: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [1]
    pixels: int = Field(64, ge=8, le=4096)
    calibration: _Calibration | None = None


def parsed(text: bytes, name: Path | str) -> dict[str, Any]:
    """Object of a JSON text.

    Raises
    ------
    SpinscopeError
        If it is too long, too deep, damaged or no object.
    """
    if len(text) > MAX_CONFIG:
        raise SpinscopeError(f"{name} has {len(text)} bytes; at most {MAX_CONFIG} are read")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpinscopeError(f"{name} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise SpinscopeError(f"{name} (={content!r:.80}) must be a JSON object")
    return content


def listed_files(folder: Path, sums: str) -> dict[str, str]:
    """File → checksum, as the list of a model folder names them.

    Parameters
    ----------
    folder : Path
        Model folder.
    sums : str
        Name of the list.

    Raises
    ------
    SpinscopeError
        If the list is damaged or names a file elsewhere, or the folder contains a file that is
        not listed or can contain code.
    """
    path = folder / sums
    if not path.is_file():
        raise SpinscopeError(f"{folder} is no model folder: it holds no {sums}")
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise SpinscopeError(f"{path} has more than {MAX_CONFIG} bytes")
        lines = path.read_text().splitlines()
        present = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    except (OSError, UnicodeDecodeError) as error:
        raise SpinscopeError(f"{path} is not a readable list of checksums: {error}") from error
    listed = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise SpinscopeError(f"{path}: {line!r:.90} must read SHA256  NAME")
        if name != Path(name).name or not name.isprintable() or len(name.encode()) > 255:
            raise SpinscopeError(f"{path}: {name!r:.80} must be the name of a file in the folder")
        listed[name] = digest
    for name in present:
        if name != sums and name not in listed:
            raise SpinscopeError(f"model folder {folder}: {name} is not listed in {sums}")
    for name in listed:
        if Path(name).suffix.lower() in REFUSED:
            raise SpinscopeError(
                f"model folder {folder}: {name} is refused; a network must be model.keras, and "
                "files that can contain code are not read"
            )
    return listed


def require(info: Mapping[str, Any], folder: Path | str, *keys: str) -> None:
    """Refuse a model whose info lacks a key.

    Raises
    ------
    SpinscopeError
        With the first key that is missing.
    """
    for key in keys:
        if key not in info:
            raise SpinscopeError(f"model folder {folder}: model.json must have the key {key!r}")


def check_network(path: Path) -> None:
    """Refuse the file of a network that Keras must not open.

    Parameters
    ----------
    path : Path
        File `model.keras`.

    Raises
    ------
    SpinscopeError
        If the archive is damaged, contains other files or more than `MAX_WEIGHTS`, or names a
        class outside of `LAYERS`; or if the weights are not plain arrays in the file itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != len(MEMBERS) or set(names) != MEMBERS:
                raise SpinscopeError(
                    f"{path} contains {', '.join(sorted(names))[:200]}; a network contains "
                    f"{', '.join(sorted(MEMBERS))}"
                )
            config = _member(archive, CONFIG, MAX_CONFIG)
            _member(archive, "metadata.json", MAX_CONFIG)
            weights = _member(archive, WEIGHTS, MAX_WEIGHTS)
    except SpinscopeError:
        raise
    except Exception as error:  # zipfile raises many types on damaged archives
        raise SpinscopeError(f"{path} is not a readable archive: {error}") from error
    content = parsed(config, f"{path}: {CONFIG}")
    content.pop("compile_config", None)  # not read
    _check_layers(content, path)
    _check_weights(weights, path)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Contents of a member, counted while they are unpacked: the header may be false."""
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise SpinscopeError(f"{archive.filename}: {name} has more than {limit} bytes")
    return content


def _check_layers(content: Mapping[str, Any], path: Path) -> None:
    """Refuse classes outside of the allow-list, and layers of implausible size."""
    channels, weights = 1, 0
    for part in _dicts(content, path):
        if "class_name" in part:
            name, module = part["class_name"], part.get("module")
            known = LAYERS.get(module) if module is None or isinstance(module, str) else None
            registered = part.get("registered_name")
            if not isinstance(name, str) or name not in (known or ()):
                raise SpinscopeError(
                    f"{path}: {module}.{name} is not a layer of the networks that are read"
                )
            if registered not in (None, name):
                raise SpinscopeError(f"{path}: {name} is registered as {registered!r:.80}")
        for key in ("filters", "units"):
            if key in part:
                count = _integers([part[key]], key, MAX_FILTERS, path)
                kernel = _integers(part.get("kernel_size", 1), "kernel_size", _MAX_SIZE, path)
                channels, weights = max(channels, count), weights + count * kernel
        for key in _SIZES:
            if part.get(key) is not None:
                _integers(part[key], key, _MAX_SIZE, path)
        shape = part.get("batch_shape")
        if isinstance(shape, list):
            sides = [1 if side is None else side for side in shape]
            channels = max(channels, _integers(sides, "batch_shape", 2**14, path))
    if 4 * 4 * weights * channels > 4 * MAX_WEIGHTS:
        raise SpinscopeError(f"{path} describes more than {MAX_WEIGHTS} bytes of weights")


def _dicts(content: Any, path: Path) -> Iterator[dict[str, Any]]:
    """All objects in a JSON value."""
    left = [(content, 0)]
    while left:
        value, depth = left.pop()
        if depth > _MAX_DEPTH:
            raise SpinscopeError(f"{path}: {CONFIG} is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            yield value
            left += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list):
            left += [(one, depth + 1) for one in value]


def _integers(values: Any, key: str, limit: int, path: Path) -> int:
    """Product of integers from 1 to a limit."""
    values = list(values) if isinstance(values, Iterable) else [values]
    for value in values:
        if type(value) is not int or not 1 <= value <= limit:
            raise SpinscopeError(f"{path}: {key} (={value!r:.80}) must be from 1 to {limit}")
    return math.prod(values)


def _check_weights(content: bytes, path: Path) -> None:
    """Refuse weights that are stored elsewhere, compressed, or no numbers."""
    import h5py

    where = f"{path}: {WEIGHTS}"
    size = 0
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            left: list[tuple[Any, int]] = [(file, 0)]
            while left:
                group, depth = left.pop()
                if depth > _MAX_DEPTH:
                    raise SpinscopeError(f"{where} is nested more than {_MAX_DEPTH} levels deep")
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise SpinscopeError(f"{where}: {name!r:.80} is a link to another place")
                    one = group[name]
                    if isinstance(one, h5py.Group):
                        left.append((one, depth + 1))
                        continue
                    _check_array(one, f"{where}: {name!r:.80}")
                    size += one.nbytes
                    if size > len(content):
                        raise SpinscopeError(f"{where} describes more bytes than it has")
    except SpinscopeError:
        raise
    except Exception as error:  # h5py raises many types on damaged files
        raise SpinscopeError(f"{where} cannot be read: {' '.join(str(error).split())}") from error


def _check_array(one: Any, where: str) -> None:
    """Refuse an array that is not stored as plain numbers in the file itself."""
    import h5py

    if not isinstance(one, h5py.Dataset) or one.dtype.kind not in "fiub":
        raise SpinscopeError(f"{where} must be an array of numbers")
    if one.is_virtual or one.external or one.chunks is not None:
        raise SpinscopeError(f"{where} must be stored uncompressed in the file itself")
