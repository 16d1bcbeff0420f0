"""The mask editor: a component of the page's own, painted in the browser, and how masks travel."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from spinscope.errors import SpinscopeError

MOST_PIXELS = 2**24 - 1
"""A run's length takes 24 bits; a larger frame is cropped before it is edited."""

_HERE = Path(__file__).parent / "editor"
_mount = st.components.v2.component(
    "spinscope_mask_editor",
    html=(_HERE / "editor.html").read_text(),
    css=(_HERE / "editor.css").read_text(),
    js=(_HERE / "editor.js").read_text(),
)


def check_size(shape: tuple[int, int]) -> None:
    """Raise SpinscopeError for a frame (H, W) that is too large to edit."""
    height, width = shape
    if height * width > MOST_PIXELS:
        raise SpinscopeError(
            f"a frame of {width}x{height} pixels is too large to edit; "
            f"crop it on the left to at most {MOST_PIXELS} pixels"
        )


def encode_mask(mask: np.ndarray) -> str:
    """Runs of a mask (H, W) in base64: little-endian uint32, class << 24 | length.

    Raises SpinscopeError for a mask of 2**24 pixels or more.
    """
    check_size(mask.shape)
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(starts, append=flat.size)
    runs = flat[starts].astype("<u4") << 24 | lengths.astype("<u4")
    return base64.b64encode(runs.tobytes()).decode()


def decode_mask(text: Any, shape: tuple[int, int], n_classes: int) -> np.ndarray:
    """Mask (H, W) uint8 of what `encode_mask` or the editor wrote.

    Raises SpinscopeError where it is none of this shape and these classes.
    """
    try:
        runs = np.frombuffer(base64.b64decode(text, validate=True), dtype="<u4")
    except (TypeError, ValueError, binascii.Error) as error:
        raise SpinscopeError(f"the editor sent no mask: {error}") from error
    values, lengths = (runs >> 24).astype(np.uint8), (runs & 0xFFFFFF).astype(np.int64)
    if lengths.sum() != shape[0] * shape[1]:
        raise SpinscopeError(
            f"the editor sent {int(lengths.sum())} pixels; the frame is {shape[1]}x{shape[0]}"
        )
    if len(values) and int(values.max()) >= n_classes:
        raise SpinscopeError(f"the editor sent class {int(values.max())} of {n_classes} classes")
    return np.repeat(values, lengths).reshape(shape)


@st.cache_data(max_entries=48, show_spinner=False)
def _png(key: str, _picture: np.ndarray) -> str:
    with io.BytesIO() as file:
        Image.fromarray(_picture).save(file, format="PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def mask_editor(
    picture: np.ndarray,
    mask: np.ndarray,
    *,
    key: str,
    identity: str,
    unnamed: str,
    frame: str,
    picture_key: str,
    name: str,
    state: str,
    classes: Sequence[str],
    colours: np.ndarray,
    disc: float,
    turn: int,
    who: str,
    notice: Mapping[str, Any] | None = None,
    sync: bool = False,
    outside: Sequence[tuple[int, int]] = (),
    command: Mapping[str, Any] | None = None,
    on_action: Callable[[], None] = lambda: None,
    on_who: Callable[[], None] = lambda: None,
):
    """Mount the editor and return its result: `action` (once), `draft` and `who`.

    picture : (H, W) uint8 grey levels, `picture_key` names them.   mask : (H, W) uint8.
    identity : names frame, mask and reviewer together; what is painted is kept under it in the
    browser.   unnamed : what it was before a name was typed: such strokes become the reviewer's.
    frame : names frame and reviewer.
    name, state : what to call the frame, and what is said of it already.
    disc : diameter in px of an object that is added by a click.
    turn : grows by one with every action that was dealt with; `notice` then says what came of it.
    sync : send what is painted as `draft` whenever the hand rests.
    outside : a pixel (y, x) of every object to dim.
    command : {id, n, seeds}: delete the objects at these pixels, once for each n.
    """
    return _mount(
        key=key,
        data={
            "id": identity,
            "unnamed": unnamed,
            "frame": frame,
            "shape": list(mask.shape),
            "picture": _png(picture_key, picture),
            "mask": encode_mask(mask),
            "name": name,
            "state": state,
            "classes": list(classes),
            "colours": np.asarray(colours[: len(classes)]).tolist(),
            "disc": float(disc),
            "turn": turn,
            "who": who,
            "notice": notice,
            "sync": sync,
            "dim": {"id": identity, "seeds": [list(map(int, seed)) for seed in outside]}
            if len(outside)
            else None,
            "command": command,
        },
        default={"draft": None, "who": ""},
        on_draft_change=lambda: None,
        on_who_change=on_who,
        on_action_change=on_action,
    )
