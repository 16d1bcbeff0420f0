"""The frame under review: its mask, the order of the frames, and the actions of the editor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from components.editor import decode_mask
from spinscope.classes import CLASSES
from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.reviews.folder import REVIEWS, Review, Reviews, mask_sha256

SAMPLE = 40
"""Frames of a long recording whose uncertainty is computed to order them."""


@dataclass(frozen=True)
class Desk:
    """One frame with the mask that is shown first, and the origin of that mask.

    Parameters
    ----------
    reviews : Reviews
        Reviews of the recording.
    frame : str
        Name of the frame or of its crop.
    image : (H, W) array
        Pixels that a review stores.
    mask : (H, W) uint8 array
        Mask that is shown first.
    n_classes : int
        Number of classes that can be painted.
    origin : mapping
        Model and preprocessing that the mask comes from, as keywords of `Reviews.add`.
    who : str, default ""
        Name of the reviewer.
    refusal : str, default ""
        Why no review of this mask may be saved; empty where one may.
    proposed : bool, default False
        Whether the mask holds corrections that were proposed from another frame, so that it is
        corrected also where the reviewer leaves it unchanged.
    """

    reviews: Reviews
    frame: str
    image: np.ndarray
    mask: np.ndarray
    n_classes: int
    origin: Mapping[str, Any]
    who: str = ""
    refusal: str = ""
    proposed: bool = False

    @property
    def identity(self) -> str:
        """Names recording, frame, mask and reviewer, so that reviewers do not share strokes."""
        return f"{self.unnamed}{self.who}"

    @property
    def unnamed(self) -> str:
        """`identity` before a reviewer has typed a name."""
        return f"{self.reviews.folder.name}/{self.frame}/{mask_sha256(self.mask)[:16]}/"


@dataclass(frozen=True)
class Outcome:
    """Result of an action.

    Parameters
    ----------
    text : str
        Sentence for the reviewer.
    bad : bool, default False
        Whether the action was refused.
    move : str, optional
        "next", "previous", or "open" for the next frame without a review by this reviewer.
    """

    text: str
    bad: bool = False
    move: str | None = None


def reviews_folder(name: str, fingerprint: str) -> Path:
    """Folder of the reviews of a recording, without commas: they separate folders in a command."""
    return project_root() / REVIEWS / f"{name.replace(',', '_')}-{fingerprint[:8]}"


def act(desk: Desk, action: Mapping[str, Any], who: str) -> Outcome:
    """Carry out an action of the editor.

    Parameters
    ----------
    desk : Desk
        Frame under review.
    action : mapping
        Keys action ("next", "previous", "accept", "save" or "reject"), id and mask.
    who : str
        Name of the reviewer.
    """
    kind, who = action.get("action"), who.strip()
    if kind in ("next", "previous"):
        return Outcome("", move=kind)
    refusal = None
    if action.get("id") != desk.identity:
        refusal = "The page shows another frame by now; nothing was saved."
    elif desk.refusal:
        refusal = f"{desk.refusal} Nothing was saved."
    elif not who:
        refusal = "Type your name on the left first; nothing was saved."
    elif desk.who and desk.who != who:
        refusal = f"These strokes are those of {desk.who}, not of {who}; nothing was saved."
    elif kind not in ("accept", "save", "reject"):
        refusal = f"The editor asked for {kind!r}; nothing was saved."
    if refusal:
        return Outcome(refusal, bad=True)
    try:
        mask, status = None, "rejected"
        if kind != "reject":
            mask = decode_mask(action.get("mask"), desk.mask.shape, desk.n_classes)
            unchanged = np.array_equal(mask, desk.mask) and not desk.proposed
            status = "accepted" if unchanged else "corrected"
        review = desk.reviews.add(
            desk.frame,
            desk.image,
            mask,
            status=status,
            who=who,
            before=desk.mask,
            **desk.origin,
        )
    except SpinscopeError as error:
        return Outcome(str(error), bad=True)
    text = f"{desk.frame}: {status}, version {review.version}"
    return Outcome(text, move=None if kind == "save" else "open")


def order_by_uncertainty(n: int, uncertainty: Mapping[int, float]) -> list[int]:
    """Indices of `n` frames, the most uncertain first; frames that were not measured come last."""
    known = sorted(uncertainty, key=lambda index: (-uncertainty[index], index))
    return known + [index for index in range(n) if index not in uncertainty]


def evenly_spaced(n: int, most: int = SAMPLE) -> list[int]:
    """Indices of at most `most` of `n` frames, evenly spaced.

    >>> evenly_spaced(5), evenly_spaced(9, 3)
    ([0, 1, 2, 3, 4], [0, 4, 8])
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def frame_after(order: Sequence[int], index: int, move: str | None, done: set[int]) -> int:
    """Index of the frame to show after a move.

    Parameters
    ----------
    order : sequence of int
        Indices of the frames, in the order in which they are reviewed.
    index : int
        Index of the frame that is shown.
    move : str or None
        Move of an `Outcome`.
    done : set of int
        Indices of the frames that the reviewer has reviewed.

    Examples
    --------
    >>> frame_after([2, 0, 1], 2, "next", set()), frame_after([2, 0, 1], 2, "open", {0})
    (0, 1)
    """
    place = order.index(index)
    following = order[min(place + 1, len(order) - 1)]
    if move == "previous":
        return order[max(place - 1, 0)]
    if move == "next":
        return following
    if move == "open":
        later = (k for k in (*order[place + 1 :], *order[:place]) if k not in done)
        return next(later, following)
    return index


def state_of(own: Review | None, mask: np.ndarray, origin: str) -> str:
    """State of the mask on the desk in words: the reviewer's last decision, or another origin.

    Parameters
    ----------
    own : Review or None
        Last review of the frame by the reviewer.
    mask : (H, W) uint8 array
        Mask that is shown first.
    origin : str
        Where the mask comes from, in words.
    """
    if own is None:
        return "you have not reviewed it"
    if own.label is not None and own.after != mask_sha256(mask):
        return origin
    return f"{own.status}, version {own.version}"


def agreement(reviews: Reviews, frame: str) -> list[tuple[Review, Review, float]]:
    """Compare the last masks of every two reviewers of a frame.

    Returns
    -------
    list of (Review, Review, float)
        Two reviews, and the MCC of their skyrmion pixels.
    """
    masks = [r for r in reviews.by_reviewer(frame).values() if r.label is not None]
    pairs = []
    for one, other in combinations(sorted(masks, key=lambda r: r.who), 2):
        a, b = reviews.label(one), reviews.label(other)
        if a.shape == b.shape:
            pairs.append((one, other, scores(confusion(a, b, len(CLASSES)))["mcc"]))
    return pairs
