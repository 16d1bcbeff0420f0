r"""Skyrmions in Brownian motion: exact tracks with a known diffusion constant, and their frames.

.. math:: r(t + 1) = r(t) + v + \sqrt{2D}\,\xi, \qquad \langle \xi_a \xi_b \rangle = \delta_{ab}

in pixels and frames. The film extends beyond the frame: skyrmions enter and leave the frame, may
vanish and appear anywhere, and do not interact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.physics.devices import disc
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
    """Draw the tracks of skyrmions in Brownian motion, as a detector sees them.

    Parameters
    ----------
    count : int
        Mean number of skyrmions in the frame.
    frames : int
        Number of frames.
    shape : (int, int)
        Height and width of the frame in pixels.
    diffusion : float
        Diffusion constant D in px²/frame.
    rng : numpy.random.Generator
        Random numbers.
    diameter : (float, float), default (8, 16)
        Range of the diameters in pixels.
    localisation : float, default 0
        Standard deviation of the error of a located coordinate in pixels.
    lifetime : float, optional
        Mean time in frames until a skyrmion vanishes and another appears; infinite by default.
    missed : float, default 0
        Fraction of the positions that are omitted.
    drift : (float, float), default (0, 0)
        Common drift (y, x) in px/frame.
    margin : float, default 20
        Width of the film around the frame in pixels. A skyrmion that leaves the film is replaced
        by another one on the opposite side.

    Returns
    -------
    dict of (n,) arrays
        ``frame``, ``skyrmion`` (its number), ``y_px``, ``x_px`` (located), ``true_y_px``,
        ``true_x_px``, ``diameter_px`` and ``touches_border``, one value per skyrmion and frame
        with its centre in the frame, sorted by frame.

    Raises
    ------
    SpinscopeError
        If diffusion, localisation or lifetime are negative.
    """
    for name, value in (("diffusion", diffusion), ("localisation", localisation)):
        if not value >= 0:
            raise SpinscopeError(f"{name} (={value}) must not be negative")
    if lifetime is not None and not lifetime > 0:
        raise SpinscopeError(f"lifetime (={lifetime}) must be above 0 frames, or None")
    film = np.asarray(shape) + 2 * margin
    total = round(count * film.prod() / np.prod(shape))
    vanishing = 0.0 if lifetime is None else -np.expm1(-1 / lifetime)
    place = rng.random((total, 2)) * film
    size = rng.uniform(*diameter, total)
    number, born = np.arange(total), total
    columns = []
    for frame in range(frames):
        true = place - margin - 0.5
        here = ((true >= -0.5) & (true < np.asarray(shape) - 0.5)).all(axis=1)
        here &= rng.random(total) >= missed
        located = true + localisation * rng.standard_normal(true.shape)
        columns.append(
            (np.full(here.sum(), frame), number[here], located[here], true[here], size[here])
        )
        place = place + np.sqrt(2 * diffusion) * rng.standard_normal(place.shape) + drift
        vanished = rng.random(total) < vanishing
        place[vanished] = rng.random((vanished.sum(), 2)) * film
        new = vanished | ((place < 0) | (place >= film)).any(axis=1)
        place %= film
        size[new] = rng.uniform(*diameter, new.sum())
        number = number.copy()
        number[new] = born + np.arange(new.sum())
        born += new.sum()
    frame, number, located, true, size = map(np.concatenate, zip(*columns, strict=True))
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


def brownian_m(tracks: Mapping[str, np.ndarray], frame: int, shape: tuple[int, int]) -> np.ndarray:
    """Draw the magnetisation along the normal of one frame of tracks: -1 in discs, 1 around them.

    Parameters
    ----------
    tracks : mapping
        Table of `brownian_skyrmions`; the discs have its true positions and diameters.
    frame : int
        Number of the frame.
    shape : (int, int)
        Height and width in pixels.

    Returns
    -------
    (H, W) float32 array
        Magnetisation in [-1, 1].
    """
    present = np.asarray(tracks["frame"]) == frame
    columns = ("true_y_px", "true_x_px", "diameter_px")
    m = np.ones(shape, dtype=np.float32)
    for y, x, size in zip(*(np.asarray(tracks[name])[present] for name in columns), strict=True):
        np.minimum(m, 1 - 2 * np.clip(0.5 + disc(shape, y, x, size / 2), 0, 1), out=m)
    return m


def brownian_frame(
    tracks: Mapping[str, np.ndarray],
    frame: int,
    shape: tuple[int, int],
    optics: KerrOptics,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the Kerr image of one frame of tracks, with discs at the true positions.

    Parameters
    ----------
    tracks : mapping
        Table of `brownian_skyrmions`.
    frame : int
        Number of the frame.
    shape : (int, int)
        Height and width in pixels.
    optics : KerrOptics
        Optics and camera.
    rng : numpy.random.Generator
        Random numbers of the noise.

    Returns
    -------
    (H, W) float32 array, (H, W) uint8 array
        Image in [0, 1] and label.
    """
    m = brownian_m(tracks, frame, shape)
    return kerr_image(m, optics, rng), kerr_label(m)
