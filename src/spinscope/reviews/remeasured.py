"""Results folder measured again with the masks that reviewers accepted or corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.live.given import GivenMasks
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import Results, open_results
from spinscope.recordings import image_of
from spinscope.reviews.corrected import FinalReview, final_reviews
from spinscope.reviews.folder import Reviews, image_sha256


def remeasure(
    folder: Path | str,
    reviews: Path | str,
    out: Path | str | None = None,
    *,
    on_frame: Callable[[int], None] | None = None,
) -> Results:
    """Measure a segmented recording again, with the reviewed masks in place of the model's.

    The last review of a frame counts, if it is accepted or corrected; a reviewed section replaces
    that section of the mask. All other frames keep the mask of the model. Error bars over augmented
    views belong to the model's masks, so the new tables have none.

    Parameters
    ----------
    folder : Path
        Results folder that ``spinscope segment`` wrote; it is not changed.
    reviews : Path
        Folder of reviews of the recording.
    out : Path, optional
        New results folder, by default `folder` with ``-reviewed`` appended.
    on_frame : callable, optional
        Called with the number of frames that are done.

    Returns
    -------
    Results
        The new results. Their tables have a column `reviewer`, and their settings name the reviews;
        the same reviews are measured once.

    Raises
    ------
    SpinscopeError
        If no frame of the recording has a review that counts, or the recording has moved.
    """
    results, folder = open_results(folder), Path(folder)
    recording = results.recording()
    white = recording.scale
    frames = {k: image_sha256(image_of(raw, white)) for k, raw in recording.frames()}
    used: dict[str, list[FinalReview]] = {}
    for one in final_reviews([Reviews.open(reviews)]):
        if one.review.frame_sha256 in frames.values():
            used.setdefault(one.review.frame_sha256, []).append(one)
    if not used:
        raise SpinscopeError(f"{reviews} holds no accepted or corrected frame of {folder}")
    counted = [one.review for every in used.values() for one in every]
    masks = {
        k: partial(_reviewed, results, k, used.get(found, ()))
        for k, found in frames.items()
        if k < results.n_frames
    }
    reviewers = {
        k: ", ".join(sorted({one.review.who for one in used[found]}))
        for k, found in frames.items()
        if found in used
    }
    settings = {key: value for key, value in results.summary["settings"].items() if key != "tta"}
    settings.pop("recording", None)
    settings["reviews"] = {
        "folder": str(reviews),
        "frames": {review.frame: review.after for review in counted},
        "reviewers": {review.frame: review.who for review in counted},
    }
    return segment_recording(
        recording,
        GivenMasks(
            masks,
            results.summary["classes"],
            "it has no mask in the results",
            reviewers,
        ),
        Path(out) if out else folder.with_name(f"{folder.name}-reviewed"),
        settings={**settings, "tta": 1},
        min_px=settings["min_px"],
        on_frame=on_frame,
        warnings=None,
    )


def _reviewed(results: Results, index: int, final: Sequence[FinalReview]) -> np.ndarray:
    """Mask of a frame with what its reviews replace."""
    mask = results.mask(index)
    for one in final:
        y0, x0, y1, x1 = one.review.window or (0, 0, *mask.shape)
        mask[y0:y1, x0:x1] = one.reviews.label(one.review)
    return mask
