"""Masks that no network made, in the place of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from spinscope.inference.predict import Segmented
from spinscope.recordings import RecordingError


class GivenMasks:
    """Masks of the frames of a recording, measured by `segment_recording`.

    Parameters
    ----------
    masks : mapping
        Frame → function that returns its mask, (H, W) uint8.
    classes : sequence of str
        Name of each class.
    missing : str
        Why a frame has no mask; such a frame has a row without objects, as one that cannot be read.
    reviewers : mapping, optional
        Frame → who reviewed its mask; then the tables have a column `reviewer`, empty elsewhere.
    """

    def __init__(
        self,
        masks: Mapping[int, Callable[[], np.ndarray]],
        classes: Sequence[str],
        missing: str,
        reviewers: Mapping[int, str] | None = None,
    ):
        self.info = {"classes": list(classes)}
        self.engine = SimpleNamespace(name="given", precision="masks")
        self._masks, self._missing, self._reviewers = masks, missing, reviewers
        self._lock = threading.Lock()  # masks of one file share it

    def reviewer(self, index: int) -> str | None:
        """Return who reviewed the mask of a frame, "" for nobody; None without reviewers."""
        return None if self._reviewers is None else self._reviewers.get(index, "")

    def at(
        self, index: int, raw: np.ndarray | RecordingError
    ) -> tuple[_OneMask, np.ndarray | RecordingError]:
        """Return what stands for the network at a frame, and the frame or why it has no mask."""
        if isinstance(raw, RecordingError):
            return _OneMask(None), raw
        if index not in self._masks:
            return _OneMask(None), RecordingError(self._missing, index)
        with self._lock:
            return _OneMask(self._masks[index]()), raw


class _OneMask:
    """Returns one mask, or an empty one."""

    doubted = False

    def __init__(self, mask: np.ndarray | None):
        self._mask = mask

    def segment_views(self, raw: np.ndarray, tta: int) -> Segmented:
        """Mask; its probability is unknown, and there are no views."""
        mask = np.zeros(raw.shape, np.uint8) if self._mask is None else self._mask
        return Segmented(mask, float("nan"), [], None)
