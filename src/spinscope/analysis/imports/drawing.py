"""Objects drawn one by one into the mask of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinscope.analysis.imports.filling import Window
from spinscope.analysis.imports.target import Drawn, Target
from spinscope.errors import SpinscopeError


class Canvas:
    """Mask of a frame that is drawn object by object.

    Parameters
    ----------
    masks : Path
        File of the masks, for messages.
    target : Target
        Frames and classes.
    frame : int
        Number of the frame, for messages.
    """

    def __init__(self, masks: Path, target: Target, frame: int):
        self.masks, self.target, self.frame = masks, target, frame
        self._label = np.zeros(target.shape, dtype=np.uint8)
        self._numbers = np.zeros(target.shape, dtype=np.int32)
        self._names: list[str] = []

    def draw(self, name: str, class_: int, window: Window, inside: np.ndarray) -> None:
        """Draw an object.

        Parameters
        ----------
        name : str
            Name of the object, for messages.
        class_ : int
            Its class.
        window, inside
            Its pixels, as of `filling.filled`.

        Raises
        ------
        SpinscopeError
            For an object without a pixel, and one that overlaps another, unless that is allowed.
        """
        if not inside.any():
            raise SpinscopeError(
                f"{self.masks}: {name} contains no pixel centre of frame {self.frame}; an object "
                "must cover at least one: delete or enlarge it"
            )
        numbers = self._numbers[window]
        below = numbers[inside]
        if not self.target.overlap and below.any():
            other = int(below[below > 0][0])
            shared = int(np.count_nonzero(below == other))
            raise SpinscopeError(
                f"{self.masks}: {name} overlaps {self._names[other - 1]} in {shared} pixels of "
                f"frame {self.frame}; a pixel must belong to one object: separate them, or give "
                "--overlap to draw later objects over earlier ones"
            )
        self._names.append(name)
        numbers[inside] = len(self._names)
        self._label[window][inside] = class_

    def drawn(self) -> Drawn:
        """The mask."""
        return Drawn(self._label, len(self._names))
