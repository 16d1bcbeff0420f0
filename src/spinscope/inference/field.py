"""Effective field of a spin configuration of any size, by a network of the family `field-fcn`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.inference.engine import (
    Engine,
    KerasEngine,
    OpenVinoEngine,
    convert,
    record_export,
    uses_export,
)
from spinscope.models.checked import require
from spinscope.models.linear_field import linear_field, linear_weights, size_multiple
from spinscope.models.store import EXPORT, load_model, model_info
from spinscope.physics.lattice import checked_sides

LINEAR = "linear.npy"
"""File of a model folder with the weights of the linear part, beside the OpenVINO network."""
_REACH = 64
"""Sites beyond a border that decide the field inside it."""
_SHAPES = 4
"""Shapes whose engines are kept."""


class FieldPredictor:
    """Function of spins (H, W, 3) that returns their effective field (H, W, 3) in units of J.

    The lattice is periodic. Where the network needs a multiple of some number of sites, the
    lattice is continued by more than the network's reach and the field is cut out again. A site
    that is not known is a zero vector; a site of which only m_z is known is (0, 0, m_z).

    Parameters
    ----------
    engine : callable
        Shape of a batch → engine that computes the network for it.
    info : mapping
        Description of the model.
    linear : (28, 3) array, optional
        Weights of the exact part of the architecture `local`.
    """

    def __init__(
        self,
        engine: Callable[[tuple[int, ...]], Engine],
        info: dict[str, Any],
        linear: np.ndarray | None = None,
    ):
        self.info = info
        self.linear = None if linear is None else functools.partial(linear_field, linear)
        """Function of spins → their field without the correction, also of disordered spins; None
        for an architecture without this part."""
        self._engine = functools.lru_cache(_SHAPES)(engine)
        self._multiple = size_multiple(info["architecture"])

    @classmethod
    def load(cls, folder: Path | str, engine: str = "auto", streams: int = 1) -> FieldPredictor:
        """Load a model folder.

        Parameters
        ----------
        folder : Path or str
            Model folder, whose checksums are verified.
        engine : {"auto", "openvino", "keras"}
            "auto" is OpenVINO if it is installed and the folder holds its network, else Keras.
        streams : int, default 1
            Lattices that are computed at once.

        Raises
        ------
        SpinscopeError
            If the folder is damaged, or OpenVINO is requested and missing.
        """
        folder = Path(folder)
        if uses_export(folder, engine):
            # In single precision: the field of a clean lattice is exact to six digits.
            info, linear, network = model_info(folder), folder / LINEAR, folder / EXPORT
            require(info, folder, "architecture")
            weights = _read_weights(linear) if linear.is_file() else None
            return cls(lambda shape: OpenVinoEngine(network, "f32", streams, shape), info, weights)
        model, info = load_model(folder)
        require(info, folder, "architecture")
        keras = KerasEngine(model)
        return cls(lambda _: keras, info, linear_weights(model))

    def __call__(self, m: np.ndarray) -> np.ndarray:
        """Effective field of spins.

        Parameters
        ----------
        m : (H, W, 3) array

        Returns
        -------
        (H, W, 3) float32 array

        Raises
        ------
        SpinscopeError
            If a side is shorter than 16 sites.
        """
        shape = m.shape[:2]
        checked_sides(shape)
        before, pads = zip(*(_padding(side, self._multiple) for side in shape), strict=True)
        batch = np.ascontiguousarray(np.pad(m, [*pads, (0, 0)], mode="wrap")[None], np.float32)
        field = self._engine(batch.shape)(batch)[0]
        return field[before[0] :, before[1] :][: shape[0], : shape[1]]


def export(folder: Path, target: Path) -> None:
    """Write the OpenVINO network and the linear weights of a model folder into `target`."""
    model, info = load_model(folder)
    convert(model, target / EXPORT)
    weights = linear_weights(model)
    if weights is not None:
        np.save(target / LINEAR, weights)
    record_export(folder, target, model, info)


def _read_weights(path: Path) -> np.ndarray:
    """Weights (28, 3) of the linear part."""
    try:
        weights = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise SpinscopeError(f"{path} is not a readable array: {error}") from error
    if weights.shape != (28, 3) or weights.dtype != np.float32:
        raise SpinscopeError(
            f"{path} ({weights.dtype}, {weights.shape}) must be float32 of shape (28, 3)"
        )
    return np.array(weights)


def _padding(side: int, multiple: int) -> tuple[int, tuple[int, int]]:
    """Sites before a side, and sites before and after it, that make it a multiple."""
    if side % multiple == 0:
        return 0, (0, 0)
    return _REACH, (_REACH, _REACH + -(side + 2 * _REACH) % multiple)
