"""What imported masks must fit: the frames of a recording and the classes of a label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spinscope.classes import CLASSES
from spinscope.errors import SpinscopeError

_ENDINGS = re.compile(r"(_seg|_cp_masks|_masks?|_labels?|\.ome)$")
"""Ends that other programs append to the name of an image for its mask."""


@dataclass(frozen=True)
class Drawn:
    """Mask of one frame.

    Attributes
    ----------
    label : (H, W) uint8 array
        Class indices.
    objects : int
        Number of objects in the file; -1 where it holds classes and no objects.
    """

    label: np.ndarray
    objects: int


Masks = dict[int, Callable[[], Drawn]]
"""Frame → function that draws its mask; frames without a mask are missing."""


@dataclass(frozen=True)
class Target:
    """Frames that masks are imported for.

    Attributes
    ----------
    path : Path
        File or folder of the recording, for messages.
    shape : (int, int)
        Height and width of the frames in px.
    names : sequence of str
        Name of each frame.
    name : str
        Name of the recording.
    default : int
        Class of objects whose class the file does not name.
    overlap : bool
        Draw later objects over earlier ones; overlapping objects are refused otherwise.
    """

    path: Path
    shape: tuple[int, int]
    names: Sequence[str]
    name: str
    default: int
    overlap: bool = False
    _index: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: k for k, name in enumerate(self.names)}
        if len(self.names) == 1:
            index.setdefault(self.name, 0)
        object.__setattr__(self, "_index", index)

    def at(self, number: int, masks: Path, what: str) -> int:
        """Check the number of a frame, from 0; `what` names the mask in the message.

        Raises
        ------
        SpinscopeError
            Where the recording has no such frame.
        """
        if not 0 <= number < len(self.names):
            raise SpinscopeError(
                f"{masks}: {what} belongs to frame {number}; {self.path} has only frames 0 to "
                f"{len(self.names) - 1}: give the recording that the masks were drawn on"
            )
        return number

    def check_count(self, count: int, masks: Path) -> None:
        """Refuse more masks than frames.

        Raises
        ------
        SpinscopeError
            With both numbers.
        """
        if count > (n := len(self.names)):
            raise SpinscopeError(
                f"{masks} holds masks of {count} frames, {self.path} has {n}; give the recording "
                "that the masks were drawn on"
            )

    def find(self, file_name: str) -> int | None:
        """Frame of an image or mask by its file name, with endings as `_seg` left out."""
        name = Path(file_name.replace("\\", "/")).name
        stem = Path(name).stem
        known = (stem, name, _ENDINGS.sub("", stem))
        return next((self._index[one] for one in known if one in self._index), None)

    def named(self, file_name: str, masks: Path) -> int:
        """Frame of an image or mask by its file name, as `find`.

        Raises
        ------
        SpinscopeError
            Where no frame has the name.
        """
        if (frame := self.find(file_name)) is not None:
            return frame
        shown = self.names[0] if len(self.names) == 1 else f"{self.names[0]} to {self.names[-1]}"
        raise SpinscopeError(
            f"{masks}: {file_name!r:.80} is the name of no frame of {self.path} ({shown}): rename "
            "it, or give the recording that the masks were drawn on"
        )

    def check_shape(self, shape: Iterable[int], masks: Path, what: str) -> None:
        """Refuse a mask of another size than the frames.

        Raises
        ------
        SpinscopeError
            With both sizes.
        """
        shape = tuple(shape)
        if shape != tuple(self.shape):
            size = "x".join(map(str, reversed(shape)))
            raise SpinscopeError(
                f"{masks}: {what} is {size} pixels, the frames of {self.path} are "
                f"{self.shape[1]}x{self.shape[0]}; a mask must have the size of its frame"
            )

    def check_class(self, label: np.ndarray, masks: Path, what: str) -> None:
        """Refuse class indices without a name.

        Raises
        ------
        SpinscopeError
            With the largest index.
        """
        if (top := int(label.max(initial=0))) >= len(CLASSES):
            raise SpinscopeError(
                f"{masks}: {what} holds class {top}; classes are 0 to {len(CLASSES) - 1} "
                f"({', '.join(CLASSES)}): import object numbers without --class-indices"
            )
