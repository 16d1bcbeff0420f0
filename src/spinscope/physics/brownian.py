r"""Skyrmions in Brownian motion: exact tracks with a known diffusion constant, and their frames.

.. math:: r(t + 1) = r(t) + v + \sqrt{2D}\,\xi, \qquad \langle \xi_a \xi_b \rangle = \delta_{ab}

in px and frames. The film is larger than the frame: skyrmions move in and out of it, may vanish
and come up anywhere, and do not see each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.physics.kerr import KerrOptics, kerr_image, kerr_label


def brownian_skyrmions(
    count: int,
    frames: int,
    shape: tuple[int, int],
    diffusion: float,
    rng: np.random.Generator,
    *,
    diameter: tuple[float, float] = (8.0, 16.0),
    localisation: float = 0.0,
    lifetime: float | None = None,
    missed: float = 0.0,
    drift: tuple[float, float] = (0.0, 0.0),
    margin: float = 20.0,
) -> dict[str, np.ndarray]:
    """Tracks of Brownian skyrmions as they are seen: one row a skyrmion and frame.

    count : skyrmions in the frame on average.   frames : how many.   shape : (H, W) of the frame.
    diffusion : D in px^2 / frame.   diameter : px, drawn uniformly between the two for each.
    localisation : standard deviation in px of the noise of a located position, y and x each.
    lifetime : mean time in frames after which one vanishes and another comes up somewhere; None
    is for ever.   missed : part of the sightings that are left out.   drift : (y, x) px / frame of
    all together.   margin : px of film around the frame; who leaves the film is replaced by
    another one on the opposite side.
    Returns frame, skyrmion (its number), y_px, x_px (as located), true_y_px, true_x_px,
    diameter_px and touches_border of those whose centre is in the frame, sorted by frame.
    Raises SpinscopeError for a negative diffusion, localisation or lifetime.
    """
    for name, value in (("diffusion", diffusion), ("localisation", localisation)):
        if not value >= 0:
            raise SpinscopeError(f"{name} (={value}) must not be negative")
    if lifetime is not None and not lifetime > 0:
        raise SpinscopeError(f"lifetime (={lifetime}) must be above 0 frames, or None")
    film = np.asarray(shape) + 2 * margin
    everywhere = round(count * film.prod() / np.prod(shape))
    vanishing = 0.0 if lifetime is None else -np.expm1(-1 / lifetime)
    place = rng.random((everywhere, 2)) * film
    size = rng.uniform(*diameter, everywhere)
    number, born = np.arange(everywhere), everywhere
    columns = []
    for frame in range(frames):
        true = place - margin - 0.5
        here = ((true >= -0.5) & (true < np.asarray(shape) - 0.5)).all(axis=1)
        here &= rng.random(everywhere) >= missed
        located = true + localisation * rng.standard_normal(true.shape)
        columns.append(
            (np.full(here.sum(), frame), number[here], located[here], true[here], size[here])
        )
        place = place + np.sqrt(2 * diffusion) * rng.standard_normal(place.shape) + drift
        vanished = rng.random(everywhere) < vanishing
        place[vanished] = rng.random((vanished.sum(), 2)) * film
        new = vanished | ((place < 0) | (place >= film)).any(axis=1)
        place %= film
        size[new] = rng.uniform(*diameter, new.sum())
        number = number.copy()
        number[new] = born + np.arange(new.sum())
        born += new.sum()
    frame, number, located, true, size = (
        np.concatenate(part) for part in zip(*columns, strict=True)
    )
    edge = np.minimum(true + 0.5, np.asarray(shape) - 0.5 - true).min(axis=1)
    return {
        "frame": frame,
        "skyrmion": number,
        "y_px": located[:, 0],
        "x_px": located[:, 1],
        "true_y_px": true[:, 0],
        "true_x_px": true[:, 1],
        "diameter_px": size,
        "touches_border": edge < size / 2,
    }


def brownian_frame(
    tracks: Mapping[str, np.ndarray],
    frame: int,
    shape: tuple[int, int],
    optics: KerrOptics,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Kerr image (H, W) float32 in [0, 1] and label (H, W) uint8 of one frame of the tracks.

    tracks : as of `brownian_skyrmions`; discs are drawn at the true positions, with borders
    smooth over a pixel.
    """
    seen = np.asarray(tracks["frame"]) == frame
    m = np.ones(shape, dtype=np.float32)
    for y, x, size in zip(
        *(np.asarray(tracks[name])[seen] for name in ("true_y_px", "true_x_px", "diameter_px")),
        strict=True,
    ):
        reach = size / 2 + 1
        rows, columns = (slice(max(0, int(c - reach)), max(0, int(c + reach) + 2)) for c in (y, x))
        gy, gx = np.ogrid[: shape[0], : shape[1]]
        distance = size / 2 - np.hypot(gy[rows] - y, gx[:, columns] - x)
        np.minimum(m[rows, columns], 1 - 2 * np.clip(0.5 + distance, 0, 1), out=m[rows, columns])
    return kerr_image(m, optics, rng), kerr_label(m)
