"""Rotation and scaling applied before inference, and undone on the network's output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError

MAX_PIXELS = 2**28
"""Largest number of pixels of a rotated or scaled image."""


@dataclass(frozen=True)
class Geometry:
    """Rotation and scale between an image and the grid of the network.

    Parameters
    ----------
    rotate_deg : float
        Angle in degrees of the line in the image that comes to lie along +x, from the columns'
        direction (+x) to the rows' direction (+y).
    scale : float
        Ratio between network and image pixels.

    Raises
    ------
    SpinscopeError
        For an angle that is not finite or a scale not above 0.
    """

    rotate_deg: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.rotate_deg):
            raise SpinscopeError(f"rotate (={self.rotate_deg} degrees) must be a finite angle")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise SpinscopeError(f"scale (={self.scale}) must be a positive factor")

    @classmethod
    def for_model(
        cls, info: Mapping[str, Any], axis_deg: float | None, scale: float | None
    ) -> Geometry | None:
        """Return the geometry for recordings with this tilt axis, at this scale.

        Parameters
        ----------
        info : mapping
            Description of the model; `axis_deg` is the tilt axis of its training images.
        axis_deg : float or None
            Tilt axis of the recording in degrees.
        scale : float or None
            Ratio between network and image pixels.

        Returns
        -------
        Geometry or None
            None where neither is given.

        Raises
        ------
        SpinscopeError
            For a tilt axis where the model was trained without one.
        """
        if axis_deg is None and scale is None:
            return None
        if axis_deg is not None and "axis_deg" not in info:
            raise SpinscopeError(
                f"axis_deg (={axis_deg:g}) must be left out: the model "
                f"({info.get('family', 'of no family')}) knows no tilt axis"
            )
        rotate = 0.0 if axis_deg is None else axis_deg - info["axis_deg"]
        return cls(rotate, 1.0 if scale is None else scale)

    def rotated_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the shape of the smallest image that holds a rotated and scaled one.

        >>> Geometry(90).rotated_shape((30, 20)), Geometry(0, 2).rotated_shape((30, 20))
        ((20, 30), (60, 40))
        """
        cos, sin = np.abs(self._direction())
        sides = np.array([cos * shape[0] + sin * shape[1], sin * shape[0] + cos * shape[1]])
        height, width = np.ceil(sides * self.scale - 1e-6).astype(int).tolist()
        if height * width > MAX_PIXELS:
            raise SpinscopeError(
                f"scale (={self.scale}) makes a frame of {shape[1]}x{shape[0]} pixels one of "
                f"{width}x{height}; at most {MAX_PIXELS} pixels are computed"
            )
        return max(height, 1), max(width, 1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Rotate and scale an (H, W) image, bilinear, mirrored beyond its borders."""
        if (quarters := self._quarters()) is not None:
            return np.rot90(image, quarters)
        from scipy import ndimage

        if self.scale < 1:  # remove what the coarser grid cannot hold
            image = ndimage.gaussian_filter(image, (1 / self.scale - 1) / 2, mode="reflect")
        if self.rotate_deg % 360 == 0:
            return self.resized(image)
        return self._sampled(image, self._matrix(), self.rotated_shape(image.shape), "reflect")

    def resized(self, image: np.ndarray) -> np.ndarray:
        """Scale an (H, W) image, bilinear, without smoothing it before."""
        return _resized(image, Geometry(scale=self.scale).rotated_shape(image.shape), self.scale)

    def nearest(self, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the values of a scaled (H', W') array at the nearest pixels of a grid.

        Parameters
        ----------
        array : (H', W') array
            Values at `scale`.
        shape : (int, int)
            Height and width of the image.
        """
        rows, columns = (
            np.clip(np.rint(_places(old, new, 1 / self.scale)), 0, old - 1).astype(np.intp)
            for old, new in zip(array.shape, shape, strict=True)
        )
        return array[rows[:, None], columns]

    def undo(self, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the values of a rotated (H', W', C) array at each pixel of the image, bilinear."""
        if (quarters := self._quarters()) is not None:
            return np.rot90(array, -quarters)
        if self.rotate_deg % 360 == 0:
            return _resized(array, shape, 1 / self.scale)
        matrix = np.linalg.inv(self._matrix())
        channels = [
            self._sampled(array[..., k], matrix, shape, "nearest") for k in range(array.shape[-1])
        ]
        return np.stack(channels, axis=-1)

    def _direction(self) -> tuple[float, float]:
        """Cosine and sine of the angle."""
        angle = np.radians(self.rotate_deg)
        return float(np.cos(angle)), float(np.sin(angle))

    def _quarters(self) -> int | None:
        """Number of quarter rotations, None for any other geometry."""
        quarters, rest = divmod(self.rotate_deg, 90)
        return int(quarters) % 4 if self.scale == 1 and rest == 0 else None

    def _matrix(self) -> np.ndarray:
        """Step (y, x) in the image for a step (y, x) in the rotated one."""
        cos, sin = self._direction()
        return np.array([[cos, sin], [-sin, cos]]) / self.scale

    @staticmethod
    def _sampled(
        array: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], mode: str
    ) -> np.ndarray:
        """Resample an array about its centre onto a grid of another shape."""
        from scipy import ndimage

        old_centre, new_centre = ((np.array(s) - 1) / 2 for s in (array.shape, shape))
        offset = old_centre - matrix @ new_centre
        return ndimage.affine_transform(
            np.asarray(array, np.float32), matrix, offset, shape, order=1, mode=mode
        )


def _places(old: int, new: int, scale: float) -> np.ndarray:
    """Places (new,) along an axis of `old` pixels, of the pixels of one that is scaled."""
    return (np.arange(new) - (new - 1) / 2) / scale + (old - 1) / 2


def _resized(array: np.ndarray, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Scale an (H, W) or (H, W, C) array about its centre, bilinear, one axis after the other."""
    array = np.asarray(array, np.float32)
    for axis in np.argsort(np.divide(shape, array.shape[:2])):  # the one that shrinks first
        old, new = array.shape[axis], shape[axis]
        place = np.clip(_places(old, new, scale), 0, old - 1)
        before = np.minimum(place.astype(np.intp), max(old - 2, 0))
        part = (place - before).astype(np.float32)
        part = part.reshape([-1 if k == axis else 1 for k in range(array.ndim)])
        lower = array.take(before, axis)
        upper = array.take(np.minimum(before + 1, old - 1), axis)
        upper -= lower
        upper *= part
        array = np.add(lower, upper, out=upper)
    return array
