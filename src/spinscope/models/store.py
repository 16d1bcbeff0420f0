"""Model folders: network, info, model card and checksums."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinscope.config import bundled_models, check_stored, renamed
from spinscope.datasets.seen import FRAMES, TrainingFrames
from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.files import atomic_folder, sha256
from spinscope.models.checked import Info, check_network, listed_files, parsed

NETWORK = "model.keras"
EXPORT = "openvino.xml"
"""OpenVINO export of the network, with its weights in openvino.bin; optional."""
CHECK = "openvino.json"
"""Agreement of the export with the Keras network."""
INFO = "model.json"
CARD = "card.md"
SUMS = "SHA256SUMS"
PACKAGE = "rdf.yaml"
"""Description of a package of bioimage.io, which is no model folder."""


def save_model(
    folder: Path | str,
    model,
    info: dict[str, Any],
    card: str,
    frames: TrainingFrames | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    folder : Path
    model : keras.Model
    info : dict
        Everything needed to apply the network; a value that JSON can hold.
    card : str
        Model card in Markdown.
    frames : TrainingFrames, optional
        Frames that the network was trained on, those of its first weights included. Without
        them no score of the model can pass a gate.
    files : mapping, optional
        Further files: name → contents.
    """
    folder = Path(folder)
    with atomic_folder(folder) as partial:
        model.save(partial / NETWORK, include_optimizer=False)
        (partial / INFO).write_text(json.dumps(info, indent=1, sort_keys=True) + "\n")
        (partial / CARD).write_text(card)
        for name, contents in (files or {}).items():
            (partial / name).write_bytes(contents)
        if frames is not None:
            (partial / FRAMES).write_text(json.dumps(frames.to_json(), indent=0) + "\n")
        write_sums(partial)
    return folder


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file of a model folder to SHA256SUMS."""
    lines = [
        f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines))


def model_info(folder: Path | str) -> dict[str, Any]:
    """Info of a model folder, with every checksum verified.

    Raises
    ------
    SpinscopeError
        If a file is missing, is not listed or does not have its checksum, or the info is damaged.
    """
    folder = Path(folder)
    listed = listed_files(folder, SUMS)
    for name in (NETWORK, INFO):
        if name not in listed:
            raise SpinscopeError(f"{folder}/{SUMS} must list {name}")
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise SpinscopeError(f"model folder {folder}: {name} is missing")
        if (actual := sha256(path)) != digest:
            raise SpinscopeError(
                f"model folder {folder}: {name} has sha256 {actual[:12]}, {SUMS} says {digest[:12]}"
            )
    info = _present_names(parsed((folder / INFO).read_bytes(), folder / INFO))
    check_stored(folder / INFO, info, Info)
    return info


def _present_names(info: dict[str, Any]) -> dict[str, Any]:
    """Info with former names of keys replaced."""
    former = {name: info[name] for name in ("magnify", "peak") if name in info}
    kept = {key: value for key, value in info.items() if key not in former}
    if isinstance(former.get("magnify"), dict) or former.get("magnify") is None:
        return kept | renamed(former, "model")
    raise SpinscopeError(f"{INFO}: magnify (={former['magnify']!r:.80}) must be an object or null")


def load_model(folder: Path | str):
    """Keras model and info of a model folder, checked before Keras opens it.

    Raises
    ------
    SpinscopeError
        As `model_info` and `spinscope.models.checked.check_network` do, and if the network does
        not fit its info.
    """
    info, path = model_info(folder), Path(folder) / NETWORK
    check_network(path)
    with explained(f"the network of {folder}"):
        from spinscope.models.backend import keras
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        channels = model.output_shape[-1]
        sides = len(model.input_shape)
    except Exception as error:  # Keras raises many types on damaged networks
        text = " ".join(str(error).split())
        raise SpinscopeError(f"{path} is not a readable network: {text[:200]}") from error
    if sides != 4:
        raise SpinscopeError(f"{path}: the input of the network must be (N, H, W, channels)")
    check_classes(folder, info, channels)
    return model, info


def check_classes(folder: Path | str, info: Mapping[str, Any], channels: int) -> None:
    """Refuse a network that has another number of classes than its info names.

    Parameters
    ----------
    folder : Path or str
        Model folder.
    info : mapping
        Description of the model.
    channels : int
        Channels of the output of its network.

    Raises
    ------
    SpinscopeError
        If the numbers differ.
    """
    classes = info.get("classes")
    if classes is not None and len(classes) != channels:
        raise SpinscopeError(
            f"model folder {folder}: {INFO} names {len(classes)} classes, its network has "
            f"{channels}"
        )


def resolve_local(model_ref: str) -> Path:
    """Folder of a reference `bundled:NAME`, or of a folder on disk.

    Raises
    ------
    SpinscopeError
        If the name is unknown; the sentence lists those that exist.
    """
    scheme, separator, name = model_ref.partition(":")
    if separator and scheme == "bundled":
        names = sorted(path.parent.name for path in bundled_models().glob(f"*/{SUMS}"))
        if name not in names:
            raise SpinscopeError(
                f"model {model_ref!r} does not exist; bundled are: {', '.join(names) or 'none'}"
            )
        return bundled_models() / name
    folder = Path(model_ref)
    if not (folder / SUMS).is_file():
        if axes := _foreign_axes(folder):
            raise SpinscopeError(
                f"model {model_ref!r} is a package of bioimage.io with the input axes {axes}; "
                "spinscope applies only model folders of its own (batch, y, x, channel): apply the "
                "package in its program and take over the masks with `spinscope import`"
            )
        raise SpinscopeError(
            f"model {model_ref!r} must be models:/NAME@ALIAS, models:/NAME/VERSION, "
            "bundled:NAME or a model folder"
        )
    return folder


def _foreign_axes(path: Path) -> str:
    """Axes of the input of a package of bioimage.io, empty for anything else."""
    import yaml

    try:
        if path.is_dir():
            text = (path / PACKAGE).read_bytes()
        else:
            with zipfile.ZipFile(path) as archive:
                text = archive.read(PACKAGE)
        axes = yaml.safe_load(text)["inputs"][0]["axes"]
        if isinstance(axes, str):  # format 0.4
            return ", ".join(axes)
        return ", ".join(str(axis.get("id", axis["type"])) for axis in axes)
    except Exception:  # no package, or one that says nothing about its axes
        return ""
