"""When a network should see a frame magnified: where its objects are only few pixels wide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

COVERED = 0.01
"""Share of a frame that objects must cover before their width tells anything: below it a few
specks of noise would."""


@dataclass(frozen=True)
class Upscale:
    """A model's rule: objects narrower than `below_px` are looked at `scale` times magnified."""

    below_px: float
    scale: float

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Upscale | None:
        """The rule that a model's `info` holds under `upscale`, if any."""
        return cls(**info["upscale"]) if info.get("upscale") else None

    def wanted(self, mask: np.ndarray) -> bool:
        """Whether the objects of a mask (H, W) bool cover enough and are too narrow."""
        return bool(mask.mean() >= COVERED and width(mask) < self.below_px)


def width(mask: np.ndarray) -> float:
    r"""Diameter in pixels that the objects of a mask (H, W) bool have, by area and outline.

    .. math:: d = \frac{16}{\pi} \frac{A}{P},

    with P the number of sides that pixels share with the background: discs of diameter d have
    :math:`A = \pi d^2/4` and :math:`P = 4d`. Infinite without an outline.

    >>> y, x = np.mgrid[:40, :40]
    >>> bool(abs(width(np.hypot(y - 20, x - 20) < 10) - 20) < 0.6)
    True
    """
    outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(
        mask[:, 1:] != mask[:, :-1]
    )
    return 16 / np.pi * np.count_nonzero(mask) / outline if outline else np.inf
