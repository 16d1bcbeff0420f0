"""Topological charge of a film and classification of its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

Kind = Literal["skyrmions", "mixed", "stripes", "uniform", "other"]
"""State of a film, see `state`."""

_SLENDER = 2.0  # area of an object over that of its largest disc, above which it is a stripe


@dataclass(frozen=True)
class State:
    """State of a film."""

    kind: Kind
    objects: int
    """Number of reversed domains."""
    charge: float
    """Topological charge."""


def topological_charge(m: np.ndarray) -> float:
    r"""Topological charge of a periodic film, as a sum of solid angles of triangles of spins.

    .. math::
       Q = \frac{1}{4\pi} \int m \cdot (\partial_x m \times \partial_y m)\, dx\,dy
         = \frac{1}{4\pi} \sum \Omega, \qquad
       \tan\frac{\Omega}{2} = \frac{a \cdot (b \times c)}{1 + a \cdot b + b \cdot c + c \cdot a}

    Parameters
    ----------
    m : (H, W, 3) array
        Unit magnetisation.

    Returns
    -------
    float
        An integer up to rounding; -1 for a skyrmion whose core is along -z in a film along +z.

    References
    ----------
    Berg and Luescher, Nucl. Phys. B 190, 412 (1981).
    """
    m = np.asarray(m, dtype=np.float64)
    right, below = np.roll(m, -1, 1), np.roll(m, -1, 0)
    across = np.roll(right, -1, 0)

    def solid_angle(a, b, c):
        volume = np.einsum("...i,...i", a, np.cross(b, c))
        ab, bc, ca = ((p * q).sum(-1) for p, q in ((a, b), (b, c), (c, a)))
        return 2 * np.arctan2(volume, 1 + ab + bc + ca)

    # x is to the right, y down: both triangles of a square have the same orientation.
    total = solid_angle(m, right, across).sum() + solid_angle(m, across, below).sum()
    return float(total / (4 * np.pi))


def state(m: np.ndarray) -> State:
    """Classify a periodic film by its domains with m_z < 0.

    Parameters
    ----------
    m : (H, W, 3) array
        Unit magnetisation.

    Returns
    -------
    State
        Its kind is ``uniform`` without domains; ``skyrmions`` if all are compact and all of charge
        -1 or all of +1; ``stripes`` if none is compact; ``mixed`` if some are; ``other`` for
        compact domains whose charges do not add up, for example bubbles of both chiralities.
    """
    down = m[..., 2] < 0
    charge = topological_charge(m)
    if down.all() or not down.any():
        return State("uniform", int(down.all()), charge)
    labels, count = periodic_objects(down)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    radius = ndimage.maximum(_inner_distance(down), labels, np.arange(1, count + 1))
    compact = area <= _SLENDER * np.pi * (radius + 0.5) ** 2
    if not compact.any():
        kind: Kind = "stripes"
    elif not compact.all():
        kind = "mixed"
    else:
        kind = "skyrmions" if round(abs(charge)) == count else "other"
    return State(kind, count, charge)


def periodic_objects(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the connected objects of a periodic mask (H, W).

    Returns
    -------
    (H, W) int array, int
        Number of the object of each pixel, 0 for none; number of objects.
    """
    labels, count = ndimage.label(mask)
    parent = np.arange(count + 1)

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for first, last in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
        for a, b in zip(first, last, strict=True):
            if a and b:
                parent[max(root(a), root(b))] = min(root(a), root(b))
    roots = np.array([root(i) for i in range(count + 1)])
    _, joined = np.unique(roots, return_inverse=True)
    return joined[labels], int(joined.max())


def _inner_distance(mask: np.ndarray) -> np.ndarray:
    """Distance of every cell of a periodic mask to the nearest cell outside it."""
    (top, left), (height, width) = (n // 4 for n in mask.shape), mask.shape
    padded = np.pad(mask, [(top, top), (left, left)], mode="wrap")
    distance = ndimage.distance_transform_edt(padded)
    return distance[top : top + height, left : left + width]
