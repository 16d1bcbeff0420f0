"""The classes of a mask and their colours."""

from __future__ import annotations

import numpy as np

CLASSES = ("background", "skyrmion", "defect", "outside", "edge")
"""Name of each class, in the order of its index."""

BACKGROUND, SKYRMION, DEFECT, OUTSIDE, EDGE = range(5)

COLOURS = np.array(
    [(0, 0, 255), (255, 0, 0), (0, 255, 0), (255, 255, 0), (0, 255, 255)], dtype=np.uint8
)
"""RGB of each class in a label file: blue, red, green, yellow, cyan."""

SCHEMES = {
    2: np.array([0, 1, 0, 0, 0], dtype=np.uint8),
    3: np.array([0, 1, 2, 0, 0], dtype=np.uint8),
    5: np.array([0, 1, 2, 3, 4], dtype=np.uint8),
}
"""Number of classes of a model → its class for each of the five classes of a label."""
