"""Linear part of the networks of `field_networks`, in NumPy: no Keras is needed to apply it."""

from __future__ import annotations

import numpy as np

PUBLISHED, LOCAL = "published", "local"
ARCHITECTURES = (PUBLISHED, LOCAL)
FIELD = "field"
"""Name of the linear convolution of the architecture `local`."""


def size_multiple(architecture: str) -> int:
    """Number of which the sides of a lattice must be multiples."""
    return 16 if architecture == PUBLISHED else 8


def linear_weights(network) -> np.ndarray | None:
    """Weights (28, 3) of the linear convolution of a Keras model, the constants last.

    They are None for an architecture without it.
    """
    if network.name != LOCAL:
        return None
    kernel, constant = network.get_layer(FIELD).get_weights()
    return np.concatenate([kernel.reshape(27, 3), constant[None]])


def linear_field(weights: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """Effective field of spins by the weights of `linear_weights`.

    Parameters
    ----------
    weights : (28, 3) array
    spins : (..., H, W, 3) array

    Returns
    -------
    (..., H, W, 3) array
        In units of J.
    """
    return patches(spins) @ weights.astype(spins.dtype)


def patches(spins: np.ndarray) -> np.ndarray:
    """The 3×3 spins around each site and a one, (..., H, W, 28), of a periodic lattice."""
    shifts = [(1 - i, 1 - j) for i in range(3) for j in range(3)]
    rolled = [np.roll(spins, shift, axis=(-3, -2)) for shift in shifts]
    return np.concatenate([*rolled, np.ones((*spins.shape[:-1], 1), spins.dtype)], axis=-1)
