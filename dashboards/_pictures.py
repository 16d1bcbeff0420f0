"""Pictures of frames and labels: (H, W, 3) uint8 arrays, and what their colours mean."""

from __future__ import annotations

import numpy as np

from spinscope.classes import CLASSES, SKYRMION
from spinscope.drawing import grey_levels

# The hues of the label files, muted so that a page of them does not glare.
TINTS = np.array(
    [(38, 54, 96), (222, 73, 73), (92, 184, 92), (240, 200, 70), (84, 196, 206)], dtype=np.uint8
)
AGREE, MISSED, MADE_UP = (
    np.array(rgb, dtype=np.uint8) for rgb in ((225, 225, 225), (40, 150, 255), (255, 140, 20))
)

IN_A, IN_B = (np.array(rgb, dtype=np.uint8) for rgb in ((42, 140, 200), (224, 122, 31)))
"""What only model A or only model B finds, on a dark picture."""


def frame(image: np.ndarray) -> np.ndarray:
    """The image in grey, stretched to its 1-99 % range."""
    return np.repeat(grey_levels(image)[..., None], 3, axis=-1)


def class_map(label: np.ndarray) -> np.ndarray:
    """Every class in its colour."""
    return TINTS[label]


def tinted(image: np.ndarray, label: np.ndarray, opacity: float) -> np.ndarray:
    """The image with everything but the background tinted; opacity from 0 to 1."""
    grey = frame(image).astype(np.float32)
    mixed = (1 - opacity) * grey + opacity * TINTS[label]
    return np.where((label == 0)[..., None], grey, mixed).astype(np.uint8)


def differences(image: np.ndarray, label: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Skyrmion pixels that were found, missed and made up, on the darkened image."""
    picture = (0.35 * frame(image)).astype(np.uint8)
    truth, found = label == SKYRMION, predicted == SKYRMION
    for where, colour in (
        (truth & found, AGREE),
        (truth & ~found, MISSED),
        (found & ~truth, MADE_UP),
    ):
        # What was found is pale: the eye belongs to what was not.
        share = 0.6 if colour is AGREE else 0.9
        picture[where] = (1 - share) * picture[where] + share * colour
    return picture


def one_or_both(image: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pixels of two bool masks on the darkened image: in both pale, only in A blue, in B orange."""
    picture = (0.45 * frame(image)).astype(np.uint8)
    for where, colour, share in ((a & b, AGREE, 0.45), (a & ~b, IN_A, 0.9), (b & ~a, IN_B, 0.9)):
        picture[where] = (1 - share) * picture[where] + share * colour
    return picture


def cut(array: np.ndarray, zoom: int, x: float, y: float) -> np.ndarray:
    """The part of an (H, W, ...) array that fills the view at `zoom`, centred at x, y in [0, 1]."""
    height, width = (max(1, side // zoom) for side in array.shape[:2])
    top, left = (
        round(p * (n - m)) for p, n, m in zip((y, x), array.shape, (height, width), strict=False)
    )
    return array[top : top + height, left : left + width]


def enlarged(picture: np.ndarray, at_least: int = 640) -> np.ndarray:
    """Every pixel repeated until the picture is `at_least` wide: its pixels stay sharp."""
    times = max(1, -(-at_least // picture.shape[1]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def css(rgb: np.ndarray) -> str:
    """A colour as CSS writes it."""
    return "rgb({}, {}, {})".format(*rgb)


def class_legend(n_classes: int) -> dict[str, str]:
    """Class → CSS colour, of the classes that a scheme knows."""
    return dict(zip(CLASSES, map(css, TINTS[:n_classes]), strict=False))


def difference_legend() -> dict[str, str]:
    """What the colours of `differences` say."""
    return {"found": css(AGREE), "missed": css(MISSED), "made up": css(MADE_UP)}
