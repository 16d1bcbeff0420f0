"""The mask editor: a Streamlit component, and the encoding of masks on their way to the browser.

A mask travels as runs: base64 of little-endian uint32, class << 24 | length.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from spinscope.errors import SpinscopeError

MOST_PIXELS = 2**24 - 1
"""Largest frame in px: the length of a run has 24 bits."""

_FILES = Path(__file__).parent
_mount = st.components.v2.component(
    "spinscope_mask_editor",
    html=(_FILES / "editor.html").read_text(),
    css=(_FILES / "editor.css").read_text(),
    js=(_FILES / "editor.js").read_text(),
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
    """Encode a mask (H, W).

    Raises
    ------
    SpinscopeError
        If it has more than `MOST_PIXELS` pixels.
    """
    check_size(mask.shape)
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(starts, append=flat.size)
    runs = flat[starts].astype("<u4") << 24 | lengths.astype("<u4")
    return base64.b64encode(runs.tobytes()).decode()


def decode_mask(text: Any, shape: tuple[int, int], n_classes: int) -> np.ndarray:
    """Decode a mask that the browser sent.

    Parameters
    ----------
    text : str
        Encoded mask.
    shape : (H, W)
        Shape of the frame.
    n_classes : int
        Number of classes that can be painted.

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    SpinscopeError
        If it is not a mask of this shape with these classes.
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


def encode_map(foreground: np.ndarray) -> np.ndarray:
    """Encode a probability map as an image (H, W, 3) uint8.

    Red holds the high and green the low byte of 65535 p: browsers read 8 bits of a channel, which
    are too few where the probability of a missed object rises by a few percent.

    Parameters
    ----------
    foreground : (H, W) array
        Probability that a pixel belongs to any object.
    """
    levels = np.round(65535 * foreground.astype(np.float32)).astype(np.uint16)
    return np.stack([levels >> 8, levels & 255, np.zeros_like(levels)], axis=-1).astype(np.uint8)


@st.cache_data(max_entries=48, show_spinner=False)
def _png(key: str, _image: np.ndarray) -> str:
    """Data URL of an image (H, W) or (H, W, 3) uint8."""
    with io.BytesIO() as file:
        Image.fromarray(_image).save(file, format="PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def mask_editor(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    key: str,
    image_key: str,
    foreground: np.ndarray | None = None,
    outside: Sequence[tuple[int, int]] = (),
    on_action: Callable[[], None] = lambda: None,
    on_who: Callable[[], None] = lambda: None,
    on_guide: Callable[[], None] = lambda: None,
    **data: Any,
):
    """Show the editor.

    Parameters
    ----------
    image : (H, W) uint8 array
        Grey levels.
    mask : (H, W) uint8 array
        Mask to edit.
    key : str
        Key of the component.
    image_key : str
        Name of the image, which is encoded once.
    foreground : (H, W) array, optional
        Probability that a pixel belongs to any object, for the tool Guided. Without it, the server
        answers its clicks.
    outside : sequence of (y, x)
        One pixel of every object that is dimmed.
    on_action, on_who, on_guide : callable
        Called when the editor sends an action, the name of the reviewer, or a click or scribble of
        the tool Guided.
    **data
        Further input of the editor:

        - id: names frame, mask and reviewer; the browser keeps strokes under it.
        - unnamed: id without a reviewer; the first reviewer takes over its strokes.
        - frame: names frame and reviewer.
        - name, state: frame and its status in words.
        - classes, colours: names of the classes, and their RGB.
        - disc: diameter in px of an added object.
        - answered, notice: number of completed actions, and outcome of the last one.
        - who: name of the reviewer.
        - sync: whether the edited mask is sent as draft.
        - command: {id, n, seeds} deletes the objects at the seeds, once for each n, of any value.
        - guided: {id, n, mask} or {id, n, error} answers the click or scribble n.

    Returns
    -------
    Component result
        `action` and `guide` (once), `draft`, `who`, and `guiding` once the tool Guided was chosen.
    """
    map_ = None
    if foreground is not None:
        map_ = _png(f"map {image_key}", encode_map(foreground))
    dim = {"id": data["id"], "seeds": [list(map(int, seed)) for seed in outside]}
    return _mount(
        key=key,
        data={
            **data,
            "shape": list(mask.shape),
            "image": _png(image_key, image),
            "map": map_,
            "mask": encode_mask(mask),
            "dim": dim if len(outside) else None,
        },
        default={"draft": None, "who": "", "guiding": False},
        on_draft_change=lambda: None,
        on_guiding_change=lambda: None,
        on_who_change=on_who,
        on_action_change=on_action,
        on_guide_change=on_guide,
    )
