"""A model on disk: one folder with the network, what it is, its card and checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spinscope.config import bundled_models, renamed
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256

NETWORK = "model.keras"
EXPORT = "openvino.xml"
"""The same network as OpenVINO reads it, with its weights in openvino.bin; optional."""
CHECK = "openvino.json"
"""How far that network agrees with the Keras one."""
INFO = "model.json"
CARD = "card.md"
SUMS = "SHA256SUMS"


def save_model(folder: Path | str, model, info: dict[str, Any], card: str) -> Path:
    """Write a Keras model, its `info` and its card as a model folder, whole or not at all."""
    folder = Path(folder)
    with atomic_folder(folder) as partial:
        model.save(partial / NETWORK, include_optimizer=False)
        (partial / INFO).write_text(json.dumps(info, indent=1, sort_keys=True) + "\n")
        (partial / CARD).write_text(card)
        write_sums(partial)
    return folder


def write_sums(folder: Path) -> None:
    """Record the SHA-256 of every file of a model folder."""
    lines = [
        f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines))


def model_info(folder: Path | str) -> dict[str, Any]:
    """What a model folder says of its model, once every checksum holds.

    Raises SpinscopeError where a file is missing or its bytes differ from the checksum.
    """
    folder = Path(folder)
    if not (folder / SUMS).is_file():
        raise SpinscopeError(f"{folder} is no model folder: it holds no {SUMS}")
    listed = {}
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name in (NETWORK, INFO):
        if name not in listed:
            raise SpinscopeError(f"{folder}/{SUMS} must list {name}")
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise SpinscopeError(f"model folder {folder}: {name} is missing")
        if (found := sha256(path)) != digest:
            raise SpinscopeError(
                f"model folder {folder}: {name} has sha256 {found[:12]}, {SUMS} says {digest[:12]}"
            )
    return _present_names(json.loads((folder / INFO).read_text()))


def _present_names(info: dict[str, Any]) -> dict[str, Any]:
    """Info with the keys of former releases replaced."""
    former = {name: info[name] for name in ("magnify", "peak") if name in info}
    kept = {key: value for key, value in info.items() if key not in former}
    return kept | renamed(former, "model")


def load_model(folder: Path | str):
    """(Keras model, info) of a model folder, its checksums verified."""
    info = model_info(folder)
    import keras

    return keras.saving.load_model(Path(folder) / NETWORK, compile=False), info


def resolve_local(model_ref: str) -> Path:
    """Folder of `bundled:NAME` or of a model folder on disk.

    Raises SpinscopeError for an unknown name, listing those that exist.
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
        raise SpinscopeError(
            f"model {model_ref!r} must be models:/NAME@ALIAS, models:/NAME/VERSION, "
            "bundled:NAME or a model folder"
        )
    return folder
