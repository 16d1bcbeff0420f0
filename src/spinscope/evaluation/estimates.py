"""Estimates of magnetic parameters with what is known of their error.

The error of a network is known for images like those of its training only. Any other image is
marked: its interval is the whole range of the parameter, and one without domains has no estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spinscope.analysis.domains import Signs, reasons, signs
from spinscope.inference.parameters import SHOWN, Distribution, ParameterPredictor
from spinscope.physics.domain_images import view

NO_ESTIMATE = ("no domains", "not a domain image", "pixel size")
"""Beginnings of the reasons for which there is no estimate at all."""
FEWEST_PX = 16
"""Smallest side in px of a part of an image that is as large as the largest training view."""
_TILES = 16


def judged(
    predictor: ParameterPredictor, image: np.ndarray, pixel_size: float
) -> tuple[Distribution | None, Signs, list[str]]:
    """Output of a network for an image, and whether it was trained on such images.

    Parameters
    ----------
    predictor : ParameterPredictor
    image : (H, W) array
        Grey levels in [0, 1].
    pixel_size : float
        In m.

    Returns
    -------
    Distribution or None
        None where the pixels are too large.
    Signs
        Signs of domains; of the tile with the median domain width, where the image is larger than
        the training views.
    list of str
        Why the image is outside the range of the training; empty if it is inside.
    """
    info, largest = predictor.info, predictor.scales[-1]
    width = int(largest / pixel_size * (1 + 1e-9))
    if width < FEWEST_PX:
        why = (
            f"pixel size: {pixel_size * 1e9:.4g} nm, so that a view of the training "
            f"({largest * 1e9:.4g} nm) has {width} px; at least {FEWEST_PX}"
        )
        return None, signs(np.zeros((8, 8)), pixel_size), [why]
    tiles = square_tiles(image, pixel_size, largest, int(info.get("pixels", 64)))
    side = min(*image.shape, width) * pixel_size
    found = predictor(image, pixel_size)
    middle, why = _marks(tiles, side / tiles.shape[1], info.get("trained"))
    return found, middle, [*why, *_beyond(found, predictor)]


def _beyond(found: Distribution, predictor: ParameterPredictor) -> list[str]:
    """Reason of an estimate that is further outside the range of the training than its SD."""
    low, high = predictor.limits
    if low - found.sd <= found.mean <= high + found.sd:
        return []
    name, unit, factor = SHOWN[predictor.parameter]
    trained = f"{low * factor:.3g} to {high * factor:.3g} {unit}"
    return [f"value: {name} is {found.mean * factor:.3g} {unit}; the training has {trained}"]


def with_error(
    network: Distribution | None, why: Sequence[str], limits: tuple[float, float]
) -> Distribution | None:
    """Estimate with what is known of its error; None for an image without domains.

    Parameters
    ----------
    network : Distribution or None
        Output of the network.
    why : sequence of str
        Reasons of `judged`.
    limits : (float, float)
        Range of the parameter in the training, which is the interval of a marked image.
    """
    if network is None or any(reason.startswith(NO_ESTIMATE) for reason in why):
        return None
    if not why:
        return network
    low, high = limits
    return Distribution(float(np.clip(network.mean, low, high)), (high - low) / 12**0.5, low, high)


def square_tiles(image: np.ndarray, pixel_size: float, side: float, pixels: int) -> np.ndarray:
    """Cut an image into square tiles of at most `side`, without overlap.

    Parameters
    ----------
    image : (H, W) array
    pixel_size : float
        In m.
    side : float
        Largest side of a tile, m.
    pixels : int
        Largest side of a tile in px; a tile of more pixels is averaged to this number.

    Returns
    -------
    (n, p, p) float32 array
        At most 16 tiles, evenly spread over the image.
    """
    n = min(*image.shape, int(side / pixel_size * (1 + 1e-9)))
    places = [np.linspace(0, length - n, length // n).round().astype(int) for length in image.shape]
    corners = [(y, x) for y in places[0] for x in places[1]]
    chosen = np.unique(np.linspace(0, len(corners) - 1, _TILES).round().astype(int))
    tiles = [image[y : y + n, x : x + n] for y, x in (corners[k] for k in chosen)]
    if n > pixels:
        tiles = [view(tile, pixel_size, n * pixel_size, pixels=pixels) for tile in tiles]
    return np.stack(tiles).astype(np.float32)


def _marks(
    tiles: np.ndarray, pixel_size: float, trained: Mapping | None
) -> tuple[Signs, list[str]]:
    """Signs of the tile with the median domain width, and reasons that most of the tiles give."""
    found = sorted((signs(tile, pixel_size) for tile in tiles), key=lambda one: one.width)
    middle = found[len(found) // 2]
    if trained is None:
        return middle, ["training: the model does not contain the range of its training images"]
    given: dict[str, list[str]] = {}
    for one in found:
        for reason in reasons(one, trained):
            given.setdefault(reason.partition(" is ")[0], []).append(reason)
    return middle, [
        texts[len(texts) // 2] for texts in given.values() if 2 * len(texts) > len(found)
    ]
