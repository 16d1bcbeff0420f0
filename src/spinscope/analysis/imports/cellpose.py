"""Masks of cellpose (`NAME_seg.npy`) and other NumPy arrays of object numbers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.analysis.imports.label_images import numbered
from spinscope.analysis.imports.pickled import Array, Refused, loads
from spinscope.analysis.imports.target import Drawn, Masks, Target
from spinscope.errors import SpinscopeError

SEG = "_seg.npy"
"""End of the names of cellpose's files."""


def read_cellpose(path: Path, target: Target, class_indices: bool = False) -> Masks:
    """Read the masks of a file of cellpose, or of a folder of them.

    Only arrays, dictionaries, lists, text and numbers are read; a file that names anything else is
    refused, and nothing in it is executed. A plain array of numbers (`.npy`) is read as well.

    Parameters
    ----------
    path : Path
        File with the masks of one frame or of all, or folder of files `NAME_seg.npy` for frames
        NAME.
    target : Target
        Frames and classes.
    class_indices : bool
        Whether pixels are class indices instead of object numbers.

    Raises
    ------
    SpinscopeError
        For a damaged file, one that names functions, and masks that do not fit the frames.
    """
    if path.is_dir():
        files = sorted(path.glob(f"*{SEG}"))
        target.check_count(len(files), path)
        return {
            target.named(file.name, path): functools.partial(_one, file, target, class_indices)
            for file in files
        }
    masks, name = _masks(path)
    if masks.ndim == 3 and len(masks) > 1:
        target.check_count(len(masks), path)
        if len(masks) != len(target.names):
            raise SpinscopeError(
                f"{path} holds masks of {len(masks)} frames, {target.path} has "
                f"{len(target.names)}; a stack must have one mask per frame"
            )
        frames = list(range(len(masks)))
    else:
        masks = masks.reshape(1, *masks.shape[-2:])
        frames = [0] if len(target.names) == 1 else [target.named(name or path.name, path)]
    return {
        frame: functools.partial(numbered, mask, path, target, f"mask {frame}", class_indices)
        for frame, mask in zip(frames, masks, strict=True)
    }


def _one(path: Path, target: Target, class_indices: bool) -> Drawn:
    masks, _ = _masks(path)
    return numbered(np.squeeze(masks), path, target, "the mask", class_indices)


def _masks(path: Path) -> tuple[np.ndarray, str]:
    """Array of object numbers, (H, W) or (n, H, W), and name of the image where it is known."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = {1: "read_array_header_1_0", 2: "read_array_header_2_0"}[version[0]]
            shape, fortran, dtype = getattr(np.lib.format, header)(file)
            content: Any = file.read()
        if dtype.hasobject:
            found = _dictionary(loads(content))
        else:
            order = "F" if fortran else "C"
            found = {"masks": np.frombuffer(content, dtype).reshape(shape, order=order)}
    except Refused as error:
        raise SpinscopeError(
            f"{path} names {error}; only arrays, dictionaries, lists, text and numbers are read, "
            "since anything else could run a program: save the masks as TIFF"
        ) from error
    except Exception as error:  # NumPy raises many kinds on damaged files
        text = " ".join(str(error).split()) or type(error).__name__
        raise SpinscopeError(f"{path} is not a readable NumPy file: {text:.200}") from error
    masks = found.get("masks")
    masks = masks.value if isinstance(masks, Array) else masks
    if not isinstance(masks, np.ndarray) or masks.ndim not in (2, 3) or not masks.size:
        raise SpinscopeError(
            f"{path} must hold an array (H, W) or (n, H, W) of object numbers named masks; save it "
            "with cellpose, or the array alone with numpy.save"
        )
    name = found.get("filename")
    return masks, name if isinstance(name, str) else ""


def _dictionary(value: Any) -> dict[Any, Any]:
    """Dictionary in the array of one object that cellpose writes."""
    if isinstance(value, Array) and isinstance(value.value, list) and len(value.value) == 1:
        value = value.value[0]
    if not isinstance(value, dict):
        raise ValueError("it holds no dictionary")
    return value
