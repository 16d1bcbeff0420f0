"""Training examples of magnetic parameters: views of films at the scales of a training.

Example `number` is a pure function of the seed and the number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spinscope.physics.domain_images import degraded, kerr_image, view

ZOOM = 0.5
"""Share of the examples that are magnified parts of views."""
CLEAN = 0.5
"""Share of the examples without noise, blur and background."""
NOISE, BLUR_PX, BACKGROUND = 0.45, 1.5, 0.5
"""Largest noise and background, in units of the contrast, and largest blur of an example, px."""


@dataclass(frozen=True)
class FilmViews:
    """Films in memory and the scales at which they are seen.

    Parameters
    ----------
    films : (N, H, W) uint8 array
        Levels of m_z, 0 to 255.
    values : (N,) array
        Parameter of each film, relative to the range of the training: 0 to 1.
    cell : float
        Edge of a cell, m.
    scales : tuple of float
        Sides of the views, m.
    pixels : int
        Side of a view, px.
    """

    films: np.ndarray
    values: np.ndarray
    cell: float
    scales: tuple[float, ...]
    pixels: int

    def example(
        self, rng: np.random.Generator, *, varied: bool, zoom: float = 0.0
    ) -> tuple[np.ndarray, float, np.float32]:
        """Draw a view of a film at a random place, scale and orientation.

        Parameters
        ----------
        rng : numpy.random.Generator
        varied : bool
            Whether examples are also mirrored and reversed, and a part of them has noise, blur and
            a background.
        zoom : float, default 0
            Share of the examples that are a part of a view, magnified to its number of pixels, and
            so fill the scales between those of the training.

        Returns
        -------
        image : (pixels, pixels) float32 array
        scale : float
            Side of the view, m.
        value : float
        """
        index = int(rng.integers(len(self.films)))
        scale = self.scales[int(rng.integers(len(self.scales)))]
        film = self.films[index].astype(np.float32) * np.float32(2 / 255) - 1
        origin = tuple(int(n) for n in rng.integers(film.shape))
        image = np.rot90(
            kerr_image(view(film, self.cell, scale, origin, self.pixels)), int(rng.integers(4))
        )
        if zoom and rng.random() < zoom:
            image, scale = self._magnified(image, scale, rng)
        if varied:
            image = image[:, ::-1] if rng.random() < 0.5 else image
            image = 1 - image if rng.random() < 0.5 else image
            if rng.random() > CLEAN:
                image = degraded_as_trained(image, rng)
        return np.ascontiguousarray(image, np.float32), scale, np.float32(self.values[index])

    def _magnified(
        self, image: np.ndarray, scale: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Random part of a view, from the smallest scale on, with as many pixels as the view."""
        smallest = max(0.5, min(self.scales) / scale)
        side = round(self.pixels * rng.uniform(smallest, 1))
        top, left = rng.integers(self.pixels - side + 1, size=2)
        part = image[top : top + side, left : left + side]
        large = ndimage.zoom(part, self.pixels / side, order=1, mode="nearest", grid_mode=True)
        return large, scale * side / self.pixels


def degraded_as_trained(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image with random noise, blur and background, as a part of the training examples."""
    return degraded(
        image,
        rng,
        blur_px=rng.uniform(0, BLUR_PX),
        noise=rng.uniform(0, NOISE),
        background=rng.uniform(0, BACKGROUND),
    )
