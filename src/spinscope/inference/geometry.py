"""A frame turned and magnified to what a network was trained on, and its answer turned back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinscope.errors import SpinscopeError

LARGEST = 2**28
"""A turned frame of more pixels is refused."""


@dataclass(frozen=True)
class Geometry:
    """How a frame is laid before a network.

    turn_deg : angle, from the columns' direction +x towards the rows' +y, of the line in the frame
    that the network wants along +x.   scale : magnification.
    """

    turn_deg: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.turn_deg):
            raise SpinscopeError(f"turn (={self.turn_deg} degrees) must be a finite angle")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise SpinscopeError(f"scale (={self.scale}) must be a positive factor")

    def turned_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of the smallest frame that holds a turned one of `shape`.

        >>> Geometry(90).turned_shape((30, 20)), Geometry(0, 2).turned_shape((30, 20))
        ((20, 30), (60, 40))
        """
        cos, sin = np.abs(self._direction())
        sides = np.array([cos * shape[0] + sin * shape[1], sin * shape[0] + cos * shape[1]])
        height, width = np.ceil(sides * self.scale - 1e-6).astype(int).tolist()
        if height * width > LARGEST:
            raise SpinscopeError(
                f"scale (={self.scale}) makes a frame of {shape[1]}x{shape[0]} pixels one of "
                f"{width}x{height}; at most {LARGEST} pixels are computed"
            )
        return max(height, 1), max(width, 1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W) turned and magnified, bilinear; beyond its borders a frame is mirrored."""
        if (quarters := self._quarters()) is not None:
            return np.rot90(image, quarters)
        from scipy import ndimage

        if self.scale < 1:  # what the coarser grid cannot hold
            image = ndimage.gaussian_filter(image, (1 / self.scale - 1) / 2, mode="reflect")
        matrix = self._matrix()
        return self._sampled(image, matrix, self.turned_shape(image.shape), "reflect")

    def undo(self, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """What a turned (H', W', C) array says of each pixel of the frame, (H, W, C), bilinear."""
        if (quarters := self._quarters()) is not None:
            return np.rot90(array, -quarters)
        matrix = np.linalg.inv(self._matrix())
        channels = [
            self._sampled(array[..., k], matrix, shape, "nearest") for k in range(array.shape[-1])
        ]
        return np.stack(channels, axis=-1)

    def _direction(self) -> tuple[float, float]:
        angle = np.radians(self.turn_deg)
        return float(np.cos(angle)), float(np.sin(angle))

    def _quarters(self) -> int | None:
        """Quarter turns where it is nothing but these."""
        quarters, rest = divmod(self.turn_deg, 90)
        return int(quarters) % 4 if self.scale == 1 and rest == 0 else None

    def _matrix(self) -> np.ndarray:
        """Steps (y, x) in the frame of a step (y, x) in the turned one."""
        cos, sin = self._direction()
        return np.array([[cos, sin], [-sin, cos]]) / self.scale

    @staticmethod
    def _sampled(
        array: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], beyond: str
    ) -> np.ndarray:
        from scipy import ndimage

        middle, centre = ((np.array(s) - 1) / 2 for s in (array.shape, shape))
        offset = middle - matrix @ centre
        return ndimage.affine_transform(
            np.asarray(array, np.float32), matrix, offset, shape, order=1, mode=beyond
        )
