"""Corrections of a colleague, taken into a folder of reviews of the same recording.

They are the reviews of another folder, or masks that another program made. A results folder stands
for the reviews that are stored in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import partial_folder
from spinscope.jobs.importing import Import, checked
from spinscope.live.results import SUMMARY, Results, open_results
from spinscope.recordings import Recording, image_of, open_recording
from spinscope.reviews.folder import REVIEWS, Review, Reviews, image_sha256, mask_sha256


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
    notes : tuple of str
        What the user should know about masks that were taken, one sentence each.
    """

    taken: list[Review]
    known: int
    conflicts: list[Review]
    notes: tuple[str, ...] = ()


def holds_reviews(path: Path) -> bool:
    """Whether a path is a folder of reviews or a results folder, and not masks.

    Parameters
    ----------
    path : Path
        File or folder.
    """
    return (path / SUMMARY).is_file() or (path / "frames").is_dir()


def reviews_in(folder: Path) -> Reviews:
    """Open a folder of reviews, or the reviews that are stored in a results folder.

    Parameters
    ----------
    folder : Path
        Either of them; a folder that does not exist is a folder of reviews without any.
    """
    return Reviews.open(folder / REVIEWS if (folder / SUMMARY).is_file() else folder)


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


def merge_masks(
    file: Path,
    frames: Path | None,
    mine: Path,
    who: str,
    *,
    prefer_theirs: bool = False,
    **drawing: str | bool | None,
) -> Merged:
    """Take masks that a colleague made with another program, as corrections by this colleague.

    A frame whose last review by this colleague has the same mask is known. See `merge` for frames
    that `mine` ends otherwise.

    Parameters
    ----------
    file : Path
        Masks, see `spinscope.analysis.imports.open_masks`.
    frames : Path or None
        Recording of the masks; None where `mine` is a results folder, which knows its recording.
    mine : Path
        Folder of reviews, or results folder. The masks of a results folder are those that were
        corrected; an equal mask is a review that accepts it.
    who : str
        Name of the colleague.
    prefer_theirs : bool, default False
        Whether the masks count in a conflict.
    **drawing
        `object_class`, `class_indices`, `overlap` and `empty` of `spinscope.jobs.import_masks`.

    Returns
    -------
    Merged
        New versions, known masks and conflicts.

    Raises
    ------
    SpinscopeError
        For masks that cannot be read or do not fit the recording, for a recording that is missing
        or given twice, and as `merge`; then nothing is taken.
    """
    reviews = reviews_in(mine)
    with _recording_of(mine, frames) as (recording, results), partial_folder() as folder:
        one = checked(file, recording, **drawing)
        theirs, known = Reviews.open(folder / REVIEWS), 0
        for k in sorted(one.masks):
            frame, mask = recording.names(k), one.masks[k]().label
            image = image_of(recording.read(k), recording.scale)
            last = reviews.latest(frame, who.strip())
            if last and (last.after, last.image) == (mask_sha256(mask), image_sha256(image)):
                known += 1
                continue
            theirs.add(frame, image, mask, who=who, **_origin(one, results, k, mask))
        if not theirs.frames():
            return Merged([], known, [], tuple(one.notes))
        found = merge(theirs, reviews, prefer_theirs=prefer_theirs)
    return Merged(found.taken, known + found.known, found.conflicts, tuple(one.notes))


@contextlib.contextmanager
def _recording_of(mine: Path, frames: Path | None) -> Iterator[tuple[Recording, Results | None]]:
    """Recording of masks, and the results folder that takes them, None for a folder of reviews."""
    known = (mine / SUMMARY).is_file()
    if known and frames is not None:
        raise SpinscopeError(f"--frames {frames} is not needed: {mine} knows its recording")
    if not known and frames is None:
        raise SpinscopeError(
            "masks need their recording: give --frames RECORDING, or a results folder to --into"
        )
    results = open_results(mine) if known else None
    recording = results.recording() if results else open_recording(frames)
    with contextlib.closing(recording):
        yield recording, results


def _origin(one: Import, results: Results | None, index: int, mask: np.ndarray) -> dict[str, Any]:
    """Decision about the mask of a frame, the mask before it, and where that came from."""
    if results is None or index >= results.n_frames:
        model = {"model": f"imported:{one.file.name}", "model_sha256": one.origin["masks_sha256"]}
        return {"status": "corrected", "before": "", **model}
    before, models = results.mask(index), results.summary["settings"].get("models", [])
    return {
        "status": "accepted" if np.array_equal(mask, before) else "corrected",
        "before": before,
        "model": ", ".join(model["ref"] for model in models),
        "model_sha256": ", ".join(model["sha256"] for model in models),
    }


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
