"""Dataset with the corrections of reviewers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.classes import BACKGROUND, OUTSIDE
from spinscope.datasets import Dataset, Record, open_dataset, write_moke
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, write_json
from spinscope.reviews.folder import Review, Reviews, file_name, image_sha256, present_keys

CORRECTIONS = "corrections.json"
"""File of a corrected dataset that lists its reviews."""


@dataclass(frozen=True)
class FinalReview:
    """The review that counts for a frame, and its folder."""

    reviews: Reviews
    review: Review

    def row(self, record: Record, *, in_base: bool, replaces: bool) -> dict[str, Any]:
        """Entry of corrections.json."""
        review = asdict(replace(self.review, label=None))
        del review["label"]
        return {
            "name": record.name,
            "source": record.source,
            "batch": record.batch,
            "in_base": in_base,
            "corrected": self.reviews.was_corrected(self.review),
            "replaces": replaces,
            "reviews": str(self.reviews.folder),
            **present_keys(review),
        }


def corrected_dataset(reviews: Sequence[Reviews], base: Dataset, out: Path | str) -> Dataset:
    """Write a dataset in the MOKE layout: `base` with all accepted and corrected frames.

    The latest review of a frame counts, if it is accepted or corrected; an image that was reviewed
    several times counts once. Frames of `base` stay in their batches, so that a corrected
    validation frame is never trained on. Their label is replaced by a mask that somebody corrected
    (`Reviews.was_corrected`); it is kept where a model's mask was accepted unchanged or rejected.
    All other frames are new: each folder of reviews is a source, and all of them are one batch
    after those of `base`, marked `only_training`.

    Parameters
    ----------
    reviews : sequence of Reviews
        Folders of reviews.
    base : Dataset
        Dataset to correct; its batches keep their numbers, sources and frames.
    out : Path or str
        Folder to write. Its corrections.json lists every review that counts, whether its frame is
        in `base` (`in_base`), whether its mask was ever corrected (`corrected`) and whether it
        replaced a label (`replaces`).

    Returns
    -------
    Dataset
        The new dataset.

    Raises
    ------
    SpinscopeError
        Where no frame is accepted or corrected.
    """
    final = final_reviews(reviews)
    if not final:
        folders = ", ".join(str(one.folder) for one in reviews) or "no folder"
        raise SpinscopeError(f"no frame is accepted or corrected in {folders}")
    indices: dict[str, list[int]] = {}
    for index in range(len(base)):
        indices.setdefault(image_sha256(base.image(index)), []).append(index)
    in_base: dict[int, list[FinalReview]] = {}
    for one in final:
        for index in indices.get(one.review.frame_sha256, ()):
            in_base.setdefault(index, []).append(one)
    new = [one for one in final if one.review.frame_sha256 not in indices]
    first_source = max(base.sources, default=-1) + 1
    batch = max((r.batch for r in base.records if r.batch is not None), default=-1) + 1
    folders = list(dict.fromkeys(one.reviews.folder for one in new))
    taken = {record.name for record in base.records}
    rows: list[dict[str, Any]] = []

    def frames() -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for index, (record, image, label) in enumerate(base):
            for one in in_base.get(index, ()):
                if replaces := one.reviews.was_corrected(one.review):
                    label = _with_review(label, one.reviews.label(one.review), one.review)
                rows.append(one.row(record, in_base=True, replaces=replaces))
            yield record, image, label
        for one in new:
            folder = one.reviews.folder
            name = _free_name(f"{folder.name}-{file_name(one.review.frame)}", taken)
            source = first_source + folders.index(folder)
            record = Record(name, source, batch, "only_training")
            rows.append(one.row(record, in_base=False, replaces=False))
            yield record, one.reviews.image(one.review), one.reviews.label(one.review)

    deep = bool(new) or any(base.depth(index) > 8 for index in range(len(base)))
    with atomic_folder(out) as partial:
        write_moke(partial, frames(), bits=16 if deep else 8)
        write_json(
            partial / CORRECTIONS,
            {"base": str(base.path), "base_frames": len(base), "reviewed": rows},
        )
    return open_dataset(out)


def final_reviews(reviews: Sequence[Reviews]) -> list[FinalReview]:
    """Return the last review of each image by time, without rejected frames."""
    last: dict[tuple[str, Any], FinalReview] = {}
    for one in reviews:
        for frame in one.frames():
            review = one.latest(frame)
            key = (review.image, review.window)  # a section and the whole frame are two images
            if key not in last or last[key].review.when <= review.when:
                last[key] = FinalReview(one, review)
    kept = [one for one in last.values() if one.review.status != "rejected"]
    return sorted(kept, key=lambda one: one.review.when)  # later sections replace earlier ones


def corrected_frames(reviews: Reviews) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield image and mask of each frame or crop whose last mask was corrected.

    Raises
    ------
    SpinscopeError
        Where there is none.
    """
    final = [one.review for one in final_reviews([reviews]) if reviews.was_corrected(one.review)]
    if not final:
        raise SpinscopeError(f"{reviews.folder} holds no corrected frame")
    for review in final:
        yield reviews.image(review), reviews.label(review)


def _with_review(label: np.ndarray, reviewed: np.ndarray, review: Review) -> np.ndarray:
    """Label with the reviewed mask in it; classes that no model segments are kept."""
    label = label.copy()
    y0, x0, y1, x1 = review.window or (0, 0, *label.shape)
    section = label[y0:y1, x0:x1]
    beyond = (reviewed == BACKGROUND) & (section >= OUTSIDE)
    label[y0:y1, x0:x1] = np.where(beyond, section, reviewed)
    return label


def _free_name(name: str, taken: set[str]) -> str:
    """Name that is not taken yet, with a number appended if needed."""
    k, free = 1, name
    while free in taken:
        k += 1
        free = f"{name}-{k}"
    taken.add(free)
    return free
