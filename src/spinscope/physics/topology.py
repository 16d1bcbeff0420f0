r"""Topological charge of a film, and which state it is in.

.. math:: Q = \frac{1}{4\pi} \int m \cdot (\partial_x m \times \partial_y m)\, dx\,dy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

Kind = Literal["skyrmions", "mixed", "stripes", "uniform", "other"]

_SLENDER = 2.0  # an object is a stripe when its area is so many times its largest disc's


@dataclass(frozen=True)
class State:
    """What a film holds: its kind, the number of reversed domains, its topological charge."""

    kind: Kind
    objects: int
    charge: float


def topological_charge(m: np.ndarray) -> float:
    r"""Q of a periodic film (H, W, 3), as the sum of the solid angles of its triangles over 4 pi.

    .. math:: \tan\frac{\Omega}{2} = \frac{a \cdot (b \times c)}{1 + a \cdot b + b \cdot c + c
        \cdot a}

    An integer to rounding, and -1 for a skyrmion with its core along -z in a film along +z.
    Source: Berg and Luescher, Nucl. Phys. B 190, 412 (1981).
    """
    m = np.asarray(m, dtype=np.float64)
    right, below = np.roll(m, -1, 1), np.roll(m, -1, 0)
    across = np.roll(right, -1, 0)

    def solid_angle(a, b, c):
        volume = np.einsum("...i,...i", a, np.cross(b, c))
        ab, bc, ca = ((p * q).sum(-1) for p, q in ((a, b), (b, c), (c, a)))
        return 2 * np.arctan2(volume, 1 + ab + bc + ca)

    # x to the right, y downwards: both triangles of a square are run through in the same sense.
    total = solid_angle(m, right, across).sum() + solid_angle(m, across, below).sum()
    return float(total / (4 * np.pi))


def state(m: np.ndarray) -> State:
    """Classify a periodic film (H, W, 3) by its domains with m_z < 0.

    uniform : none.   skyrmions : all compact, each of charge -1 or all of +1.
    stripes : none compact.   mixed : some compact, some not.
    other : compact domains whose charges do not add up, bubbles of no fixed sense for instance.
    """
    down = m[..., 2] < 0
    charge = topological_charge(m)
    if not down.any():
        return State("uniform", 0, charge)
    if down.all():
        return State("uniform", 1, charge)
    labels, count = periodic_objects(down)
    depth = _inner_distance(down)
    index = np.arange(1, count + 1)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    radius = ndimage.maximum(depth, labels, index)
    compact = area <= _SLENDER * np.pi * (radius + 0.5) ** 2
    if not compact.any():
        kind: Kind = "stripes"
    elif not compact.all():
        kind = "mixed"
    else:
        kind = "skyrmions" if round(abs(charge)) == count else "other"
    return State(kind, count, charge)


def periodic_objects(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """(labels (H, W), count) of the connected objects of a periodic mask."""
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
    pad = [(n // 4, n // 4) for n in mask.shape]
    distance = ndimage.distance_transform_edt(np.pad(mask, pad, mode="wrap"))
    (top, _), (left, _) = pad
    return distance[top : top + mask.shape[0], left : left + mask.shape[1]]
