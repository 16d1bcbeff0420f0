"""What lies on the reviewer's desk, the order of the frames, and what an action does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from _editor import decode_mask
from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.reviews.folder import Review, Reviews, mask_sha256

REVIEWS = "reviews"
"""Folder of the project that holds the reviews of every recording."""

SAMPLE = 40
"""Frames of a long recording whose uncertainty is computed to put them in order."""


@dataclass(frozen=True)
class Desk:
    """One frame with the mask that is shown first, and what a review of it must say."""

    reviews: Reviews
    frame: str
    image: np.ndarray
    mask: np.ndarray
    n_classes: int
    model: str
    model_sha256: str
    window: tuple[int, int, int, int] | None = None
    whole: str = ""
    who: str = ""
    treatment: Mapping[str, Any] | None = None

    @property
    def identity(self) -> str:
        """Names recording, frame, mask and reviewer: nobody paints on with another's strokes."""
        return f"{self.unnamed}{self.who}"

    @property
    def unnamed(self) -> str:
        """What `identity` is before a name is typed."""
        return f"{self.reviews.folder.name}/{self.frame}/{mask_sha256(self.mask)[:16]}/"


@dataclass(frozen=True)
class Outcome:
    """What came of an action: a sentence for the reviewer, and how many frames to go on.

    `move` is "next", "previous", "open" (the next frame without a word of the reviewer) or None.
    """

    text: str
    bad: bool = False
    move: str | None = None


def folder_of(name: str, fingerprint: str) -> Path:
    """Where the reviews of a recording lie; without commas, which part folders in a command."""
    return project_root() / REVIEWS / f"{name.replace(',', '_')}-{fingerprint[:8]}"


def act(desk: Desk, action: Mapping[str, Any], who: str) -> Outcome:
    """Do what the editor asks for: step on, or write a new version of the mask."""
    kind = action.get("action")
    if kind in ("next", "previous"):
        return Outcome("", move=kind)
    if action.get("id") != desk.identity:
        return Outcome("The page has gone on to another frame; nothing was saved.", bad=True)
    if not who.strip():
        return Outcome("Type your name on the left first; nothing was saved.", bad=True)
    if desk.who and desk.who != who.strip():
        return Outcome(
            f"These strokes are those of {desk.who}, not of {who.strip()}; nothing was saved.",
            bad=True,
        )
    try:
        if kind == "reject":
            return _say(desk, "rejected", None, who)
        if kind not in ("accept", "save"):
            return Outcome(f"The editor asked for {kind!r}; nothing was saved.", bad=True)
        mask = decode_mask(action.get("mask"), desk.mask.shape, desk.n_classes)
        changed = not np.array_equal(mask, desk.mask)
        outcome = _say(desk, "corrected" if changed else "accepted", mask, who)
    except SpinscopeError as error:
        return Outcome(str(error), bad=True)
    return Outcome(outcome.text, move="open" if kind == "accept" else None)


def _say(desk: Desk, status: str, mask: np.ndarray | None, who: str) -> Outcome:
    review = desk.reviews.add(
        desk.frame,
        desk.image,
        mask,
        status=status,
        who=who,
        model=desk.model,
        model_sha256=desk.model_sha256,
        before=desk.mask,
        window=desk.window,
        whole=desk.whole,
        treatment=desk.treatment,
    )
    return Outcome(f"{desk.frame}: {status}, version {review.version}", move="open")


def in_order(n: int, uncertainty: Mapping[int, float]) -> list[int]:
    """Frames with the most uncertain first; those of unknown uncertainty follow as recorded."""
    known = sorted(uncertainty, key=lambda index: (-uncertainty[index], index))
    return known + [index for index in range(n) if index not in uncertainty]


def sample(n: int, most: int = SAMPLE) -> list[int]:
    """Frames evenly spread over a recording, at most so many.

    >>> sample(5), sample(9, 3)
    ([0, 1, 2, 3, 4], [0, 4, 8])
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def moved(order: Sequence[int], at: int, move: str | None, done: set[int]) -> int:
    """The frame to show after a move; `done` has the reviewer's word already.

    >>> moved([2, 0, 1], 2, "next", set()), moved([2, 0, 1], 2, "open", {0})
    (0, 1)
    """
    place = order.index(at)
    if move == "previous":
        return order[max(place - 1, 0)]
    if move == "next":
        return order[min(place + 1, len(order) - 1)]
    if move == "open":
        later = [index for index in (*order[place + 1 :], *order[:place]) if index not in done]
        return later[0] if later else order[min(place + 1, len(order) - 1)]
    return at


def agreement(reviews: Reviews, frame: str) -> list[tuple[Review, Review, float]]:
    """MCC of the last masks of every two reviewers of a frame, skyrmion against the rest."""
    masks = [r for r in reviews.by_reviewer(frame).values() if r.label is not None]
    pairs = []
    for one, other in combinations(sorted(masks, key=lambda r: r.who), 2):
        a, b = reviews.label(one), reviews.label(other)
        if a.shape == b.shape:
            pairs.append((one, other, scores(confusion(a, b, 5))["mcc"]))
    return pairs
