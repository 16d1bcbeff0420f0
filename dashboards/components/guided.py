"""Corrections by clicks and scribbles in the editor, and their proposals in other frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import streamlit as st

from components.desk import Desk, Outcome
from components.editor import decode_mask, encode_mask
from components.review_queue import Work
from spinscope.analysis.clicks import click, scribble
from spinscope.analysis.propagation import propagate
from spinscope.errors import SpinscopeError

REACH = 10
"""Frames before and after a corrected one in which its corrections are proposed, at most."""


def answer(desk: Desk, work: Work, index: int, request: Mapping[str, Any]) -> dict[str, Any]:
    """Correct a mask by a click or a scribble of the editor.

    Parameters
    ----------
    desk : Desk
        Frame under review.
    work : Work
        Recording under review.
    index : int
        Index of the frame.
    request : mapping
        Keys id and n of the request, mask, class and pixels ([y, x] each; one pixel is a click).

    Returns
    -------
    dict
        id and n; mask, the corrected mask, or error, a sentence for the reviewer.
    """
    known = {"id": request.get("id"), "n": request.get("n")}
    try:
        mask = decode_mask(request.get("mask"), desk.mask.shape, desk.n_classes)
        value, pixels = _checked(request, desk.n_classes)
        foreground = work.foreground(index)
        if len(pixels) == 1 and value:
            y, x = pixels[0]
            corrected = click(mask, foreground, (int(y), int(x)), value)
        else:
            corrected = scribble(mask, foreground, pixels, value)
    except SpinscopeError as error:
        return {**known, "error": str(error)}
    return {**known, "mask": encode_mask(corrected)}


def _checked(request: Mapping[str, Any], n_classes: int) -> tuple[int, np.ndarray]:
    """Class and pixels (n, 2) of a request."""
    value = request.get("class")
    try:
        pixels = np.array(request.get("pixels"), dtype=np.int64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise SpinscopeError(f"the editor sent no pixels: {error}") from error
    if not isinstance(value, int) or not 0 <= value < n_classes:
        raise SpinscopeError(f"the editor sent class {value!r} of {n_classes} classes")
    return value, pixels


def proposals(work: Work) -> dict[str, tuple[str, np.ndarray]]:
    """Proposed masks of this session: name of the frame → corrected frame and mask."""
    key = work.recording.fingerprint, *sorted(work.origin.items())
    return st.session_state.setdefault("proposals", {}).setdefault(key, {})


def propose(desk: Desk, work: Work, index: int, action: Mapping[str, Any]) -> Outcome:
    """Propose the corrections of a frame in the frames before and after it.

    Parameters
    ----------
    desk : Desk
        Frame under review.
    work : Work
        Recording under review.
    index : int
        Index of the frame.
    action : mapping
        Action of the editor, with its mask.
    """
    try:
        corrected = decode_mask(action.get("mask"), desk.mask.shape, desk.n_classes)
        model = work.mask(index)[0]
        if np.array_equal(model, corrected):
            return Outcome("The mask is that of the model: nothing to propose.", bad=True)
        found = {}
        for step in (1, -1):
            places = [index + step * k for k in range(1, REACH + 1)]
            places = [k for k in places if 0 <= k < len(work.recording)]
            masks = propagate(model, corrected, _neighbours(work, places))
            found |= dict(zip(places, masks, strict=False))
    except SpinscopeError as error:
        return Outcome(str(error), bad=True)
    changed = {k: mask for k, mask in found.items() if not np.array_equal(mask, work.mask(k)[0])}
    if not changed:
        return Outcome("The probability map of no other frame supports the corrections.", bad=True)
    proposals(work).update({work.frame(k): (desk.frame, mask) for k, mask in changed.items()})
    names = [work.recording.names[k] for k in sorted(changed)]
    shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return Outcome(f"Proposed in {len(names)} other frame{'s' * (len(names) > 1)}: {shown}")


def _neighbours(work: Work, places: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for k in places:
        yield work.mask(k)[0], work.foreground(k)
