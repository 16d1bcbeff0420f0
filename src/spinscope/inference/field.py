"""Effective field of a spin configuration of any size, by a network of the family `field-fcn`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spinscope.inference.engine import Engine, KerasEngine, OpenVinoEngine
from spinscope.models.field_networks import size_multiple
from spinscope.models.store import EXPORT, load_model, model_info
from spinscope.physics.lattice import checked_sides

_REACH = 32
"""Sites beyond a border that decide the field inside it."""


class FieldPredictor:
    """Function of spins (H, W, 3) that returns their effective field (H, W, 3) in units of J.

    The lattice is periodic. Where the network needs a multiple of some number of sites, the
    lattice is continued by more than the network's reach and the field is cut out again. A site
    that is not known is a zero vector; a site of which only m_z is known is (0, 0, m_z).

    Parameters
    ----------
    engine : Engine
        Computes the network.
    info : mapping
        Description of the model.
    """

    def __init__(self, engine: Engine, info: dict[str, Any]):
        self.engine, self.info = engine, info
        self._multiple = size_multiple(info["architecture"])

    @classmethod
    def load(cls, folder: Path | str, engine: str = "auto", streams: int = 1) -> FieldPredictor:
        """Load a model folder.

        Parameters
        ----------
        folder : Path or str
            Model folder, whose checksums are verified.
        engine : {"auto", "openvino", "keras"}
            "auto" is the OpenVINO network of the folder, if it has one, else Keras.
        streams : int, default 1
            Lattices that are computed at once.
        """
        folder = Path(folder)
        if engine != "keras" and (folder / EXPORT).is_file():
            # Always in single precision: the field is exact to six digits.
            return cls(OpenVinoEngine(folder / EXPORT, "f32", streams), model_info(folder))
        model, info = load_model(folder)
        return cls(KerasEngine(model), info)

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
        height, width = m.shape[:2]
        checked_sides((height, width))
        extra = [-side % self._multiple for side in (height, width)]
        if not any(extra):
            return self.engine(np.ascontiguousarray(m[None], np.float32))[0]
        before = [_REACH if more else 0 for more in extra]
        after = [(_REACH + more + (-_REACH - _REACH) % self._multiple) if more else 0
                 for more in extra]  # fmt: skip
        pad = [*zip(before, after, strict=True), (0, 0)]
        field = self.engine(np.pad(m, pad, mode="wrap")[None].astype(np.float32))[0]
        return field[before[0] : before[0] + height, before[1] : before[1] + width]
