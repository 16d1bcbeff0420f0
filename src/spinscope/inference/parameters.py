"""Magnetic parameter of a domain image of any size, by a network of the family `parameter-cnn`."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.inference.engine import OpenVinoEngine, convert, record_export, uses_export
from spinscope.models.checked import require
from spinscope.models.store import EXPORT, load_model, model_info
from spinscope.physics.domain_images import resampled

FILMS = "films.npz"
"""File of a model folder with training films: `images`, `values` and `pixel_size`."""
MAX_FILMS = 2**28
"""Largest size of the training films of a model, bytes."""
UNITS = {"dmi": "J/m²", "ms": "A/m"}
"""Unit of a parameter."""
SHOWN = {"dmi": ("D", "mJ/m²", 1e3), "ms": ("Ms", "kA/m", 1e-3)}
"""Parameter → symbol, unit at the edge of the program, and factor from SI units to it."""
_REVERSED = np.array([-1, 1], np.float32)  # levels, and the scale, of a reversed film
_NEEDED = ("parameter", "architecture", "limits", "scales", "pixels", "calibration")
_SCALED = "scaled"  # as in models.parameter_networks, which would load Keras
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

    An image is cut into square tiles of at most the largest training view, whose estimates are
    averaged; the standard deviation stays that of a tile, because the tiles of a film err together.

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
            info = model_info(folder)
            require(info, folder, *_NEEDED)
            return cls(OpenVinoEngine(folder / EXPORT, "f32"), info, folder)
        model, info = load_model(folder)
        require(info, folder, *_NEEDED)
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
        path = self._folder / FILMS
        try:
            content = io.BytesIO(path.read_bytes())
            with zipfile.ZipFile(content) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > MAX_FILMS:
                raise SpinscopeError(f"{path} has more than {MAX_FILMS} bytes")
            with np.load(content, allow_pickle=False) as file:
                films = ReferenceFilms(file["images"], file["values"], float(file["pixel_size"]))
        except SpinscopeError:
            raise
        except Exception as error:  # zipfile and NumPy raise many types on damaged files
            raise SpinscopeError(f"{path} must contain training films: {error}") from error
        if films.images.ndim != 3 or films.values.shape != films.images.shape[:1]:
            raise SpinscopeError(f"{path} must contain as many images as values")
        return films

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
        inputs = np.stack([network_input(tile, pixel_size, self.info) for tile in tiles])
        return self.distribution(outputs(self._engine, inputs, self.info))

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
        """Squares of at most the largest training view, which cover an image evenly."""
        most = max(1, min(*image.shape, math.floor(self.scales[-1] / pixel_size + 1e-6)))
        rows, columns = (_parts(n, most) for n in image.shape)
        return [image[row, column] for row in rows for column in columns]


def export(folder: Path, target: Path) -> None:
    """Write the OpenVINO network of a model folder into `target`."""
    model, info = load_model(folder)
    convert(model, target / EXPORT)
    record_export(folder, target, model, info)


def network_input(image: np.ndarray, pixel_size: float, info: Mapping[str, Any]) -> np.ndarray:
    """Input of the network of a model for one image, (P, P, C) float32.

    The published network sees grey levels from -1 to 1. The own one, `scaled`, sees levels of mean
    0 and standard deviation 1, and as a second channel the binary logarithm of the side of the
    image, relative to half the largest scale of the training.

    Parameters
    ----------
    image : (N, N) array
        Square image, or part of one.
    pixel_size : float
        Edge of a pixel, m.
    info : mapping
        Description of the model: `architecture`, `pixels` P and `scales`.
    """
    pixels = info["pixels"]
    small = image if len(image) == pixels else resampled(image, (pixels, pixels))
    if info["architecture"] != _SCALED:
        return (2 * np.asarray(small, np.float32) - 1)[..., None]
    standard = (small - small.mean()) / max(float(small.std()), 1e-6)
    scale = math.log2(2 * len(image) * pixel_size / max(info["scales"]))
    return np.stack([standard, np.full_like(standard, scale)], axis=-1).astype(np.float32)


def outputs(
    network: Callable[[np.ndarray], Any], inputs: np.ndarray, info: Mapping[str, Any]
) -> np.ndarray:
    """Outputs of the network of a model, (N, 1) or (N, 2).

    A film that is turned, mirrored or reversed has the same parameters: the outputs of `scaled` are
    means over the eight symmetries of the square and both polarities.

    Parameters
    ----------
    network : callable
    inputs : (N, P, P, C) array
        See `network_input`.
    info : mapping
        Description of the model.
    """
    if info["architecture"] != _SCALED:
        return np.asarray(network(inputs))
    turned = [np.rot90(one, turn, (1, 2)) for one in (inputs, inputs * _REVERSED)
              for turn in range(4)]  # fmt: skip
    both = np.concatenate([*turned, *(one[:, :, ::-1] for one in turned)])
    return np.asarray(network(both)).reshape(len(turned) * 2, len(inputs), -1).mean(0)


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
