"""Results folder measured again with the masks that reviewers accepted or corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.inference.predict import Segmented
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import Results, open_results
from spinscope.recordings import Recording, image_of
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
        The new results. Their settings name the reviews and their reviewers; the same reviews are
        measured once.

    Raises
    ------
    SpinscopeError
        If no frame of the recording has a review that counts, or the recording has moved.
    """
    results, folder = open_results(folder), Path(folder)
    recording = results.recording()
    masks = _ReviewedMasks(results, recording, final_reviews([Reviews.open(reviews)]))
    if not masks.used:
        raise SpinscopeError(f"{reviews} holds no accepted or corrected frame of {folder}")
    settings = {key: value for key, value in results.summary["settings"].items() if key != "tta"}
    settings.pop("recording", None)
    settings["reviews"] = {
        "folder": str(reviews),
        "frames": masks.used,
        "reviewers": masks.reviewers,
    }
    return segment_recording(
        recording,
        masks,
        Path(out) if out else folder.with_name(f"{folder.name}-reviewed"),
        settings={**settings, "tta": 1},
        min_px=settings["min_px"],
        on_frame=on_frame,
        warnings=None,
    )


class _ReviewedMasks:
    """Takes the place of a network: returns the reviewed or stored mask of each frame."""

    doubted = False

    def __init__(self, results: Results, recording: Recording, final: Sequence[FinalReview]):
        self.info = {"classes": results.summary["classes"]}
        self.engine = SimpleNamespace(name="reviewed", precision="masks")
        self._results, self._white = results, recording.scale
        self._frames = {
            self._hash(raw): index for index, raw in recording.frames() if index < results.n_frames
        }
        self._reviews: dict[str, list[FinalReview]] = {}
        for one in final:
            if one.review.frame_sha256 in self._frames:
                self._reviews.setdefault(one.review.frame_sha256, []).append(one)
        self.used = {
            one.review.frame: one.review.after for every in self._reviews.values() for one in every
        }
        """Reviewed frame → hash of its mask."""
        self.reviewers = {
            one.review.frame: one.review.who for every in self._reviews.values() for one in every
        }
        """Reviewed frame → its reviewer."""

    def _hash(self, raw: np.ndarray) -> str:
        return image_sha256(image_of(raw, self._white))

    def segment_views(self, raw: np.ndarray, tta: int) -> Segmented:
        """Mask of a frame; its probability is unknown, and there are no views."""
        found = self._hash(raw)
        mask = self._results.mask(self._frames[found])
        for one in self._reviews.get(found, ()):
            y0, x0, y1, x1 = one.review.window or (0, 0, *mask.shape)
            mask[y0:y1, x0:x1] = one.reviews.label(one.review)
        return Segmented(mask, float("nan"), [], None)
