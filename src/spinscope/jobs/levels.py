"""The level at which the boundary of skyrmions is drawn: read, found from images, or fitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.config import HALF, Segment, magnetisation
from spinscope.errors import SpinscopeError
from spinscope.evaluation.levels import BINS, best_level, level_counts
from spinscope.evaluation.metrics import confusion, scores
from spinscope.files import provenance, write_json
from spinscope.images import to_scheme
from spinscope.inference.level import (
    FITTED_SD,
    half_contrast_level,
    level_of_mz,
    with_peaks,
)
from spinscope.inference.predict import Ensemble
from spinscope.live.stored import parse_json
from spinscope.recordings import Recording, image_of, readable_frames

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor

_FRAMES = 4
"""Frames of a recording from which the level of half contrast is found."""


def with_level(
    model: Predictor, settings: Segment, models: Sequence[dict[str, str]], recording: Recording
) -> tuple[Predictor, str | None]:
    """Return a model with the boundary at the level of the settings, for one recording.

    Parameters
    ----------
    model : Predictor or Ensemble
    settings : Segment
        Section `segment` of the settings.
    models : sequence of dict
        `sha256` of each network of the model; empty where it is unknown.
    recording : Recording
        Recording whose half contrast is found, where the settings ask for it.

    Returns
    -------
    model : Predictor or Ensemble
    warning : str or None
        Why half contrast was not found; the most probable class counts then.

    Raises
    ------
    SpinscopeError
        For a file that `calibrate` did not write, or wrote for another model, for half
        contrast of a watched folder or of Lorentz images, and for a magnetisation that the model
        has no level of.
    """
    level = settings.level
    if (m_z := magnetisation(level)) is not None:
        if isinstance(model, Ensemble):
            raise SpinscopeError(
                f"segment.level (={level}) must be a probability or a file for several models, "
                "because levels of m_z are those of a single network"
            )
        return model.with_level(*level_of_mz(model.info, m_z)), None
    if level == HALF:
        level = _half_contrast(model, recording, settings)
        if level is None:
            return model, (
                f"{recording.name}: half contrast was not found, because skyrmions and film "
                "differ too little in brightness; the most probable class counts"
            )
    elif isinstance(level, str):
        level = _read_level(Path(level), {row["sha256"] for row in models})
        return model.with_level(level, FITTED_SD), None
    return model if level is None else model.with_level(level), None


def _read_level(path: Path, networks: set[str]) -> float:
    """Level in a file of `write_level`, which must have been fitted with these networks."""
    content = parse_json(path)
    level, made_for = content.get("level"), content.get("models")
    if type(level) is not float or not 0 < level < 1:
        raise SpinscopeError(f"{path}: level (={level!r:.80}) must be between 0 and 1")
    if not networks:
        raise SpinscopeError(
            f"segment.level (={path}) is a file for one model, and cannot be checked for a loaded "
            "one: give the reference of the model"
        )
    if not isinstance(made_for, list) or networks != set(map(str, made_for)):
        raise SpinscopeError(
            f"{path} was fitted for another model; run `spinscope calibrate` with this one"
        )
    return level


def _half_contrast(model: Predictor, recording: Recording, settings: Segment) -> float | None:
    """Level of half contrast of a recording, from a few frames; None where it is unknown."""
    from spinscope import families
    from spinscope.inference.sample import recording_region

    if recording.n is None:
        raise SpinscopeError(
            f"segment.level (={HALF}) must be a number or a file for a watched folder, whose "
            "frames are still to come"
        )
    if (modality := families.of_model(model.info).modality) != "Kerr":
        raise SpinscopeError(
            f"segment.level (={HALF}) must be left out for {modality} images: the contrast of a "
            "skyrmion changes sign across it"
        )
    chosen = np.unique(np.linspace(0, recording.n - 1, min(recording.n, _FRAMES)).round())

    read = list(readable_frames(recording, chosen.astype(int).tolist()))
    if not read:
        return None
    region = recording_region(recording.shape, read, settings.region)

    def frames() -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for raw in map(region.sample, read):
            probability = model.mask_and_probability(raw, settings.tta)[1]
            yield image_of(raw, recording.scale), probability

    level = half_contrast_level(frames())
    return None if level is None else round(level, 3)


def fit_level(
    model: Predictor, frames: Iterable[tuple[np.ndarray, np.ndarray]], views: int = 1
) -> dict[str, Any]:
    """Find the level at which the masks of a model agree best with corrected ones.

    Parameters
    ----------
    model : Predictor or Ensemble
    frames : iterable of ((H, W) array, (H, W) uint8 array)
        Images, and class indices of their corrected masks.
    views : {1, 2, 3, 8}
        Number of augmented views.

    Returns
    -------
    dict
        `level`; `mcc` of the masks at that level, and `mcc_most_probable` of the masks without
        one; number of `frames`.

    Raises
    ------
    SpinscopeError
        For a mask of another size than its image, and where no mask has a skyrmion.
    """
    model, classes = model.with_level(None), len(model.info["classes"])
    counts = np.zeros((2, BINS), dtype=np.int64)
    matrix, used = np.zeros((classes, classes), dtype=np.int64), 0
    for image, label in frames:
        if image.shape != label.shape:
            raise SpinscopeError(
                f"image {image.shape} and corrected mask {label.shape} must be of one shape"
            )
        truth = to_scheme(label, classes)
        mask, probability = model.mask_and_probability(image, views)
        if min_peak := model.info.get("min_peak_probability"):
            probability = with_peaks(probability, min_peak)
        counts += level_counts(probability, truth == SKYRMION)
        matrix += confusion(truth, mask, classes)
        used += 1
    if not counts[1].any():
        raise SpinscopeError("a level needs at least one corrected mask with a skyrmion")
    level, mcc = best_level(counts)
    return {"level": level, "mcc": mcc, "mcc_most_probable": scores(matrix)["mcc"], "frames": used}


def write_level(path: Path, fitted: dict[str, Any], networks: Sequence[str]) -> Path:
    """Write a fitted level as the file that the setting `segment.level` reads."""
    return write_json(path, provenance() | fitted | {"models": list(networks)})
