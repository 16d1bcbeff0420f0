"""Reviews of a colleague, taken into a folder of reviews of the same recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spinscope.errors import SpinscopeError
from spinscope.reviews.folder import Review, Reviews, image_sha256, mask_sha256


@dataclass(frozen=True)
class Merged:
    """What `merge` found.

    Attributes
    ----------
    taken : list of Review
        New versions in the folder.
    known : int
        Reviews that the folder had already.
    conflicts : list of Review
        Last reviews of frames for which both folders end with different masks or decisions.
    """

    taken: list[Review]
    known: int
    conflicts: list[Review]


def merge(theirs: Reviews, mine: Reviews, *, prefer_theirs: bool = False) -> Merged:
    """Take the reviews of another folder, with their reviewers and times, as new versions.

    A frame that only one folder has reviewed, or that ends with the same decision and mask in both,
    is merged. Where both end differently, `mine` stays as it is, unless theirs are preferred: then
    they become the last versions, which count. A repeated call takes nothing.

    Parameters
    ----------
    theirs, mine : Reviews
        Folders of reviews of one recording; `mine` may be new.
    prefer_theirs : bool, default False
        Whether their review counts in a conflict.

    Returns
    -------
    Merged
        New versions, known reviews and conflicts.

    Raises
    ------
    SpinscopeError
        Where the other folder holds no review, a frame is another image in it, or a file of it is
        damaged; then nothing is taken.
    """
    frames = theirs.frames()
    if not frames:
        raise SpinscopeError(f"{theirs.folder} holds no review; give a folder of reviews")
    new, conflicts, known = [], [], 0
    for frame in frames:
        ours, others = mine.history(frame), theirs.history(frame)
        images = {review.frame_sha256 for review in ours}
        if images and not images & {review.frame_sha256 for review in others}:
            raise SpinscopeError(
                f"frame {frame!r} is another image in {theirs.folder} than in {mine.folder}; both "
                "must be reviews of one recording"
            )
        keys = {_key(review) for review in ours}
        unknown = [review for review in others if _key(review) not in keys]
        known += len(others) - len(unknown)
        if unknown and ours and _end(ours) != _end(others):
            conflicts.append(others[-1])
            if not prefer_theirs:
                continue
        new += unknown
    for review in new:
        _check(theirs, review)
    return Merged([mine.take(theirs, review) for review in new], known, conflicts)


def _key(review: Review) -> tuple[str, ...]:
    """What tells a review from all others of its frame."""
    return review.who, review.when, review.status, review.after


def _end(history: Sequence[Review]) -> tuple[str, str]:
    """Decision and mask of the last review."""
    return history[-1].status, history[-1].after


def _check(reviews: Reviews, review: Review) -> None:
    """Refuse a review whose image or mask is missing, or is not the one that it names."""
    image = reviews.image(review)
    whole = image_sha256(image) == review.image
    if whole and review.label is not None:
        mask = reviews.label(review)
        whole = mask.shape == image.shape and mask_sha256(mask) == review.after
    if not whole:
        raise SpinscopeError(
            f"{reviews.folder}: image or mask of frame {review.frame!r}, version {review.version}, "
            "was changed by another program; nothing was taken"
        )
