"""Magnetic parameter of a domain image of any size, by a network of the family `parameter-cnn`."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.inference.engine import OpenVinoEngine, uses_export
from spinscope.models.scaled_input import canvas, canvases
from spinscope.models.store import EXPORT, load_model, model_info
from spinscope.physics.domain_images import resampled

FILMS = "films.npz"
"""File of a model folder with training films: `images`, `values` and `pixel_size`."""
UNITS = {"dmi": "J/m²", "ms": "A/m"}
"""Unit of a parameter."""
SHOWN = {"dmi": ("D", "mJ/m²", 1e3), "ms": ("Ms", "kA/m", 1e-3)}
"""Parameter → symbol, unit at the edge of the program, and factor from SI units to it."""
LEVEL = 0.9
"""Probability with which a value lies in the interval of a distribution."""


@dataclass(frozen=True)
class Distribution:
    """Estimate of a parameter with its uncertainty, SI units."""

    mean: float
    sd: float
    """Standard deviation."""
    low: float
    high: float
    """Ends of the interval that contains the value with a probability of 90 %."""


@dataclass(frozen=True)
class ReferenceFilms:
    """Training films that a model folder contains."""

    images: np.ndarray
    """Images, (N, S, S) uint8."""
    values: np.ndarray
    """Parameter of each film, (N,), SI units."""
    pixel_size: float
    """Pixel size of the images, m."""

    def nearest(self, value: float, n: int) -> np.ndarray:
        """Numbers of the n films whose parameters are nearest to a value, the nearest first."""
        return np.argsort(np.abs(self.values - value), kind="stable")[:n]


class ParameterPredictor:
    """Function of an image and its pixel size that returns the distribution of a parameter.

    An image larger than the largest training view is cut into tiles, whose estimates are averaged;
    the standard deviation stays that of a tile, because the tiles of a film err together.

    Parameters
    ----------
    engine : callable
        Batch (N, H, W, C) float32 → (N, 1) or (N, 2).
    info : mapping
        Description of the model.
    folder : Path, optional
        Model folder, for `films`.
    """

    def __init__(self, engine: Any, info: dict[str, Any], folder: Path | None = None):
        self.info = info
        self.parameter: str = info["parameter"]
        self.unit = UNITS[self.parameter]
        self.limits: tuple[float, float] = tuple(info["limits"])
        """Range of the parameter in the training, SI units."""
        self._engine, self._folder = engine, folder

    @classmethod
    def load(cls, folder: Path | str, engine: str = "auto") -> ParameterPredictor:
        """Load a model folder.

        Parameters
        ----------
        folder : Path or str
            Model folder, whose checksums are verified.
        engine : {"auto", "openvino", "keras"}
            "auto" is OpenVINO if it is installed and the folder holds its network, else Keras.

        Raises
        ------
        SpinscopeError
            If the folder is damaged, or OpenVINO is requested and missing.
        """
        folder = Path(folder)
        if uses_export(folder, engine):
            return cls(OpenVinoEngine(folder / EXPORT, "f32"), model_info(folder), folder)
        model, info = load_model(folder)
        return cls(lambda batch: model(batch, training=False).numpy(), info, folder)

    @property
    def scales(self) -> tuple[float, ...]:
        """Sides of the training views, m, ascending."""
        return tuple(sorted(self.info["scales"]))

    @cached_property
    def films(self) -> ReferenceFilms:
        """Training films that the model folder contains.

        Raises
        ------
        SpinscopeError
            If the folder contains none.
        """
        if self._folder is None or not (self._folder / FILMS).is_file():
            raise SpinscopeError(f"the model contains no training films ({FILMS})")
        with np.load(io.BytesIO((self._folder / FILMS).read_bytes())) as file:
            return ReferenceFilms(file["images"], file["values"], float(file["pixel_size"]))

    def __call__(self, image: np.ndarray, pixel_size: float) -> Distribution:
        """Estimate the parameter of an image.

        Parameters
        ----------
        image : (H, W) array
            Grey levels; bright or dark domains may be up.
        pixel_size : float
            Edge of a pixel, m.
        """
        tiles = self._tiles(np.asarray(image, np.float32), pixel_size)
        inputs = np.concatenate([network_inputs(tile, pixel_size, self.info) for tile in tiles])
        return self.distribution(np.asarray(self._engine(inputs)))

    def distribution(self, output: np.ndarray) -> Distribution:
        """Distribution of the outputs (N, 1) or (N, 2) of the network for the tiles of an image."""
        low, high = self.limits
        output = output.astype(np.float64)
        mean = float(output[:, 0].mean())
        sd, reach = spread(output, self.info["calibration"])
        sd, reach = (float(np.sqrt(np.square(value).mean())) for value in (sd, reach))
        value, span = low + mean * (high - low), high - low
        return Distribution(value, sd * span, value - reach * span, value + reach * span)

    def _tiles(self, image: np.ndarray, pixel_size: float) -> list[np.ndarray]:
        """Parts of an image of at most the largest training view, which cover it evenly."""
        most = max(1, math.floor(self.scales[-1] / pixel_size + 1e-6))
        rows, columns = (_parts(n, most) for n in image.shape)
        return [image[row, column] for row in rows for column in columns]


def export(folder: Path, target: Path) -> None:
    """Write the OpenVINO network of a model folder into `target`."""
    model, _ = load_model(folder)
    model.export(str(target / EXPORT), format="openvino", verbose=False)


def network_inputs(image: np.ndarray, pixel_size: float, info: dict[str, Any]) -> np.ndarray:
    """Inputs of the network of a model that cover one image, (n, H, W, C) float32.

    Parameters
    ----------
    image, pixel_size, info
        See `network_input`.
    """
    if info["architecture"] == "scaled":
        return canvases(image, pixel_size, info["canvas_pixel"])
    return network_input(image, pixel_size, info)[None]


def network_input(image: np.ndarray, pixel_size: float, info: dict[str, Any]) -> np.ndarray:
    """Input of the network of a model for one image, (H, W, C) float32.

    Parameters
    ----------
    image : (H, W) array
    pixel_size : float
        Edge of a pixel, m.
    info : mapping
        Description of the model: `architecture`, `pixels` and `canvas_pixel`.
    """
    if info["architecture"] == "scaled":
        return canvas(image, pixel_size, info["canvas_pixel"])
    side, pixels = min(image.shape), info["pixels"]
    top, left = ((n - side) // 2 for n in image.shape)
    square = image[top : top + side, left : left + side]
    return (2 * resampled(square, (pixels, pixels)) - 1)[..., None]


def spread(output: np.ndarray, calibration: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation and half width of the 90 % interval of outputs, relative, (N,) each.

    Parameters
    ----------
    output : (N, 1) or (N, 2) array
        Mean, and for some networks the logarithm of the standard deviation.
    calibration : mapping
        `sd` and `interval`: factors on the standard deviation of the network, 1 if it has none.
    """
    sd = np.exp(output[:, 1]) if output.shape[1] > 1 else np.ones(len(output))
    return sd * calibration["sd"], sd * calibration["interval"]


def _parts(n: int, most: int) -> list[slice]:
    """Parts of at most `most` of n pixels, evenly placed."""
    count = math.ceil(n / most)
    if count == 1:
        return [slice(0, n)]
    starts = np.rint(np.linspace(0, n - most, count)).astype(int)
    return [slice(start, start + most) for start in starts.tolist()]
