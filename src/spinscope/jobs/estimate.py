"""Estimate a magnetic parameter of an image of domains, with a model of `parameter-cnn`.

A model knows films of one material, those that it was trained on, and estimates one of their
constants: D or Ms. Its estimate holds for images of such films.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spinscope import families
from spinscope.analysis.domains import Signs, signs
from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.evaluation.estimates import judged, square_tiles, with_error
from spinscope.inference.parameters import SHOWN, Distribution, ParameterPredictor
from spinscope.jobs.refining import FilmBank, Refined, refine
from spinscope.progress import Progress, no_progress
from spinscope.recordings import image_of, open_recording

FAMILY = "parameter-cnn"
BUNDLED = {"dmi": "bundled:parameter-cnn", "ms": "bundled:parameter-cnn-ms"}
"""Parameter → model that is shipped with the code."""
_CANDIDATES, _NEAREST = 16, 4
"""Training films with the nearest parameter, and those among them with the nearest width."""


@dataclass(frozen=True)
class DomainImage:
    """An image of domains.

    Parameters
    ----------
    image : (H, W) float32 array
        Grey levels in [0, 1].
    pixel_size : float
        In m.
    name : str
        Name in sentences.
    """

    image: np.ndarray
    pixel_size: float
    name: str = "image"

    @property
    def field_of_view(self) -> tuple[float, float]:
        """Height and width, m."""
        height, width = self.image.shape
        return height * self.pixel_size, width * self.pixel_size


@dataclass(frozen=True)
class NearestFilm:
    """A training film that is like an image.

    Parameters
    ----------
    image : (S, S) uint8 array
        The whole film.
    pixel_size : float
        In m.
    value : float
        Its parameter, SI units.
    """

    image: np.ndarray
    pixel_size: float
    value: float


@dataclass(frozen=True)
class Estimated:
    """Estimate of a parameter of an image; values are in SI units."""

    given: DomainImage
    model: str
    """Reference of the model."""
    parameter: str
    """"dmi" or "ms"."""
    network: Distribution | None
    """Output of the network, whatever the image shows; None where the pixels are too large."""
    reasons: tuple[str, ...]
    """Why the image is outside the range of the training; empty if it is inside."""
    limits: tuple[float, float]
    """Range of the parameter in the training."""
    signs: Signs
    """What is seen of domains in the image."""
    nearest: tuple[NearestFilm, ...]
    material: str
    """Films for which the estimate holds, in words."""
    seconds: float
    """Duration, without loading the model."""
    refined: Refined | None = None
    """Outcome of the closed loop, where it was asked for."""
    note: str = ""
    """Why the estimate was not refined, where it was asked for."""

    @property
    def in_range(self) -> bool:
        """Whether the model was trained on images like this one."""
        return not self.reasons

    @property
    def estimate(self) -> Distribution | None:
        """Estimate with what is known of its error; None for an image without domains.

        The error of an estimate outside the range of the training is unknown, so its interval is
        the range of the parameter in the training.
        """
        return with_error(self.network, self.reasons, self.limits)

    @property
    def summary(self) -> dict[str, Any]:
        """Numbers that JSON can hold, in the units of the edge of the program."""
        _, unit, factor = SHOWN[self.parameter]
        found = self.estimate
        height, width = self.given.field_of_view
        answer = {
            "file": self.given.name,
            "model": self.model,
            "parameter": self.parameter,
            "unit": unit,
            "value": None if found is None else digits(found.mean * factor),
            "sd": None if found is None else digits(found.sd * factor),
            "interval": None
            if found is None
            else [digits(end * factor) for end in (found.low, found.high)],
            "in_range": self.in_range,
            "reasons": list(self.reasons),
            "trained": [digits(end * factor) for end in self.limits],
            "material": self.material,
            "domain_width_nm": digits(self.signs.width * 1e9) if self.signs.width else None,
            "pixel_size_nm": digits(self.given.pixel_size * 1e9),
            "field_of_view_nm": [digits(height * 1e9), digits(width * 1e9)],
            "nearest": [digits(film.value * factor) for film in self.nearest],
            "seconds": round(self.seconds, 3),
        }
        if self.refined is not None:
            numbers = self.refined.summary
            for key in ("value", "sd"):
                numbers[key] = digits(numbers[key] * factor)
            numbers["interval"] = [digits(end * factor) for end in numbers["interval"]]
            answer["refined"] = numbers
        if self.note:
            answer |= {"refined": None, "note": self.note}
        return answer


def digits(value: float) -> float:
    """Round to four significant digits, as estimates are shown."""
    return float(f"{value:.4g}")


def open_parameters(
    params: Params, model_ref: str | None = None, parameter: str | None = None
) -> ParameterPredictor:
    """Load a model as a function of an image and its pixel size.

    Parameters
    ----------
    params : Params
    model_ref : str, optional
        By default the bundled model of the parameter.
    parameter : {"dmi", "ms"}, optional
        Parameter that the model must estimate; by default that of the model, and D without one.

    Raises
    ------
    SpinscopeError
        If the model does not exist, is of another family or estimates another parameter.
    """
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    if parameter not in (None, *SHOWN):
        raise SpinscopeError(f"parameter {parameter!r} must be one of {', '.join(SHOWN)}")
    ref = model_ref or BUNDLED[parameter or "dmi"]
    folder = resolve(params.tracking, ref)
    family = families.of_model(model_info(folder))
    if family.modality != families.get(FAMILY).modality:
        raise SpinscopeError(
            f"model {ref} is of the family {family.name}; magnetic parameters need {FAMILY}"
        )
    predictor = family.predictor(folder, params)
    if parameter not in (None, predictor.parameter):
        raise SpinscopeError(
            f"model {ref} estimates {predictor.parameter}, not {parameter}: leave --parameter out, "
            "or name another model"
        )
    return predictor


def read_domain_image(
    source: Path | str | np.ndarray, pixel_size: float | None = None
) -> DomainImage:
    """Read an image of domains with its pixel size.

    Parameters
    ----------
    source : Path or (H, W) array
        File of one grayscale image, or its pixels: uint8, uint16, or floating-point in [0, 1].
    pixel_size : float, optional
        In m; overrides that of the file.

    Raises
    ------
    SpinscopeError
        If the file cannot be read, is a colour image or holds several frames, or no pixel size is
        known.
    """
    if isinstance(source, np.ndarray):
        if source.ndim != 2:
            raise SpinscopeError(
                f"image has the shape {source.shape}; it must be (H, W), one grey level per pixel"
            )
        recording, name = open_recording(source[None], pixel_size=pixel_size), "image"
    else:
        recording, name = open_recording(source, pixel_size=pixel_size), str(source)
    try:
        if recording.n != 1:
            frames = "several frames" if recording.n is None else f"{recording.n} frames"
            raise SpinscopeError(f"{name} holds {frames}; an estimate needs a file of one image")
        if recording.pixel_size is None:
            raise SpinscopeError(
                f"{name} contains no pixel size, on which the estimate depends: give it in nm "
                "with --pixel-size"
            )
        image = image_of(recording.read(0), recording.scale)
    finally:
        recording.close()
    return DomainImage(image, recording.pixel_size, name)


def estimate(
    params: Params,
    source: Path | str | np.ndarray,
    *,
    pixel_size: float | None = None,
    parameter: str | None = None,
    model_ref: str | None = None,
    refine: bool = False,
    progress: Progress = no_progress,
) -> Estimated:
    """Estimate a magnetic parameter of the film in an image.

    Parameters
    ----------
    params : Params
    source : Path or (H, W) array
        See `read_domain_image`.
    pixel_size : float, optional
        In m; by default that of the file.
    parameter, model_ref : str, optional
        See `open_parameters`.
    refine : bool, default False
        Also relax films at and around the estimate and compare them with the image.
    progress : callable, optional
        Wraps the values at which films are relaxed.

    Raises
    ------
    SpinscopeError
        For an image or a model that cannot be used.
    """
    given = read_domain_image(source, pixel_size)
    predictor = open_parameters(params, model_ref, parameter)
    ref = model_ref or BUNDLED[predictor.parameter]
    found = estimated(predictor, given, model=ref)
    return with_refinement(found, predictor, progress=progress) if refine else found


def estimated(predictor: ParameterPredictor, given: DomainImage, *, model: str = "") -> Estimated:
    """Estimate the parameter of an image with a loaded model.

    Parameters
    ----------
    predictor : ParameterPredictor
        Result of `open_parameters`.
    given : DomainImage
    model : str
        Reference of the model.
    """
    started = time.perf_counter()
    network, marks, why = judged(predictor, given.image, given.pixel_size)
    value = np.mean(predictor.limits) if network is None else network.mean
    return Estimated(
        given, model, predictor.parameter, network, tuple(why), predictor.limits, marks,
        nearest_films(predictor, float(value), marks.width) if marks.contrast else (),
        material_of(predictor.info.get("corpus", {})), time.perf_counter() - started,
    )  # fmt: skip


def with_refinement(
    found: Estimated,
    predictor: ParameterPredictor,
    *,
    bank: FilmBank | None = None,
    progress: Progress = no_progress,
) -> Estimated:
    """Refine an estimate by films that are relaxed at and around it, see `refining.refine`.

    Parameters
    ----------
    found : Estimated
        Result of `estimated`.
    predictor : ParameterPredictor
        Model of the estimate.
    bank : FilmBank, optional
        Films; by default those of the model's material.
    progress : callable, optional
        Wraps the values at which films are relaxed.
    """
    if found.estimate is None:
        return replace(found, note="the image shows no domains that films can be compared with")
    started = time.perf_counter()
    given, network, info = found.given, found.network, predictor.info
    bank = bank or FilmBank.of_corpus(info.get("corpus", {}), min(given.field_of_view))
    tiles = square_tiles(given.image, given.pixel_size, bank.side, int(info.get("pixels", 64)))
    side = min(*given.image.shape, int(bank.side / given.pixel_size * (1 + 1e-9)))
    refined = refine(
        tiles, side * given.pixel_size / tiles.shape[1], (network.mean, network.sd),
        lambda image, pixel_size: predictor(image, pixel_size).mean, bank, progress=progress,
    )  # fmt: skip
    seconds = found.seconds + time.perf_counter() - started
    return replace(found, refined=refined, note="", seconds=seconds)


def nearest_films(
    predictor: ParameterPredictor, value: float, width: float
) -> tuple[NearestFilm, ...]:
    """Training films with a parameter near a value and domains about as wide as those of an image.

    Parameters
    ----------
    predictor : ParameterPredictor
        Model, whose folder holds training films; none are returned where it does not.
    value : float
        Parameter, SI units.
    width : float
        Domain width in m; 0 for an image without domains.
    """
    try:
        films = predictor.films
    except SpinscopeError:
        return ()
    numbers = films.nearest(value, _CANDIDATES)
    if width:
        images = (films.images[k] / np.float32(255) for k in numbers)
        widths = [max(signs(image, films.pixel_size).width, 1e-12) for image in images]
        numbers = numbers[np.argsort(np.abs(np.log(np.array(widths) / width)), kind="stable")]
    return tuple(
        NearestFilm(films.images[k], films.pixel_size, float(films.values[k]))
        for k in numbers[:_NEAREST]
    )


def material_of(corpus: Mapping[str, Any]) -> str:
    """Describe the films of a corpus by its header, in words."""
    if "parameter" not in corpus:
        return "films like those of the training"

    def text(name: str, key: str, factor: float, unit: str) -> str:
        low, high = (value * factor for value in corpus[key])
        return f"{name} {low:.4g} {unit}" if low == high else f"{name} {low:.4g}–{high:.4g} {unit}"

    terms = [
        text(name, key, factor, unit)
        for name, key, factor, unit in (
            ("Ms", "ms", 1e-3, "kA/m"), ("D", "dmi", 1e3, "mJ/m²"), ("Ku", "ku", 1e-6, "MJ/m³"),
            ("A", "a_ex", 1e12, "pJ/m"),
        )
        if key != corpus["parameter"]
    ]  # fmt: skip
    if corpus["parameter"] == "dmi":
        terms.append(f"{corpus['dmi_kind']} DMI")
    return (
        f"films of {', '.join(terms)}, {corpus['thickness_nm']:g} nm thick, relaxed without field"
    )
