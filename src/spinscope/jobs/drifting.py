"""Drift reports: imaging conditions of recordings against those of a model's training set."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.classes import SKYRMION
from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.drift import judge, make_reference, measure_frame, sentence
from spinscope.drift.reference import IMAGING, MIN_SOURCES, Reference
from spinscope.errors import SpinscopeError
from spinscope.families.base import Family
from spinscope.progress import Progress, no_progress
from spinscope.recordings import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOURCES, _PER_SOURCE = 64, 2
"""Largest number of sources of a reference, and of frames per source."""
FRAMES = 8
"""Largest number of frames of a recording that are measured."""
_BINNINGS = (1, 2, 4)
"""Binnings at which objects are searched, since a network overlooks objects that are too large."""
_EVIDENCE, _MIN_FIT, _MIN_OBJECTS = 1.5, 0.35, 5
"""Evidence by which an inverted or binned frame must exceed the frame as it is, and the smallest
correlation with its mask and number of objects."""


def training_reference(
    family: Family, predictor: Any, frames: Dataset, progress: Progress = no_progress
) -> Reference | None:
    """Imaging conditions of a training set, with the masks of a model.

    Parameters
    ----------
    family : Family
    predictor : Any
        Loaded model.
    frames : Dataset
        Training frames; at most two of each of 64 sources are measured.
    progress : callable, optional

    Returns
    -------
    Reference or None
        None for a family without masks, and for fewer than five sources.
    """
    of_source: dict[int, list[int]] = {}
    for index, record in enumerate(frames.records):
        of_source.setdefault(record.source, []).append(index)
    if not family.masks or len(of_source) < MIN_SOURCES:
        return None
    sources = spread_evenly(sorted(of_source), _SOURCES)
    measured = []
    for source in progress(sources, total=len(sources), desc="imaging conditions"):
        chosen = spread_evenly(of_source[source], _PER_SOURCE)
        measured.append(
            _median([_measured(family, predictor, frames.image(index)) for index in chosen])
        )
    return make_reference(measured)


def drift(
    params: Params,
    paths: Sequence[Path],
    model_ref: str,
    *,
    reference: Path | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Compare recordings with the training set of a model.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    paths : sequence of Path
        Images, stacks, videos and folders of images.
    model_ref : str
        Reference of the model.
    reference : Path, optional
        Dataset folder to compare with, in place of the model's training set.
    progress : callable, optional

    Returns
    -------
    list of dict
        One per recording: `file`, `frames` measured, `objects` per frame, `sentence`,
        `out_of_range` (names of measures) and `measures`, a list of `Judgement` as dicts.

    Raises
    ------
    SpinscopeError
        If a recording cannot be read, or the model stores no imaging conditions.
    """
    from spinscope.recordings import open_recording
    from spinscope.tracking import resolve

    family = families.of(params)
    folder = resolve(params.tracking, model_ref)
    if not family.masks:
        raise SpinscopeError(
            f"{model_ref} is a model of the family {family.name}, which makes no masks; drift is "
            "measured on masks"
        )
    predictor = family.predictor(folder, params)
    if reference is None:
        known = stored_reference(folder, model_ref)
    else:
        known = training_reference(family, predictor, family.open(reference), progress)
        if known is None:
            raise SpinscopeError(f"{reference} must hold frames of at least {MIN_SOURCES} sources")
    rows = []
    for path in paths:
        with contextlib.closing(open_recording(path)) as recording:
            rows.append(drift_of(recording, family, predictor, known))
    return rows


def stored_reference(folder: Path, model_ref: str) -> Reference:
    """Imaging conditions that a model folder stores.

    Parameters
    ----------
    folder : Path
        Model folder.
    model_ref : str
        Name of the model in sentences.

    Raises
    ------
    SpinscopeError
        If it stores none.
    """
    path = folder / IMAGING
    if not path.is_file():
        raise SpinscopeError(
            f"{model_ref} does not store the imaging conditions of its training set: give a "
            "dataset with --reference, or train it again"
        )
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        raise SpinscopeError(f"{path} must be a readable JSON file") from None
    return Reference.from_json(value)


def drift_of(
    recording: Recording, family: Family, predictor: Any, reference: Reference
) -> dict[str, Any]:
    """Drift report of an open recording, see `drift`; frames that cannot be read do not count.

    Parameters
    ----------
    recording : Recording
    family : Family
    predictor : Any
        Loaded model.
    reference : Reference
        Training set.

    Raises
    ------
    RecordingError
        If none of the frames can be read.
    """
    from spinscope.recordings import image_of, readable_frames

    frames = spread_evenly(range(recording.n or 1), FRAMES)
    images = (image_of(frame, recording.scale) for frame in readable_frames(recording, frames))
    measured = [_searched(family, predictor, image) for image in images]
    if not measured:
        recording.read(frames[0])  # raises the reason
    judged = judge(_median(measured), reference)
    return {
        "file": str(recording.path),
        "frames": len(measured),
        "objects": float(np.mean([values["objects"] for values in measured])),
        "sentence": sentence(judged),
        "out_of_range": [one.name for one in judged if one.out],
        "measures": [asdict(one) for one in judged],
    }


def _measured(family: Family, predictor: Any, image: np.ndarray) -> dict[str, float]:
    """Imaging conditions of a frame with the mask of a model."""
    return measure_frame(image, np.asarray(family.predict(predictor, image)) == SKYRMION)


def _searched(family: Family, predictor: Any, image: np.ndarray) -> dict[str, float]:
    """Imaging conditions of a frame in which a model may find no objects as it is.

    The model is also applied to the inverted frame and to binned ones. Of these masks, the one with
    the strongest evidence is used: correlation with the frame times contrast times diameter, which
    is the same for all masks that show the objects.
    """
    best = _measured(family, predictor, image)
    for values in _alternatives(family, predictor, image):
        if (
            values["objects"] >= _MIN_OBJECTS
            and _fit(values) >= _MIN_FIT
            and _evidence(values) > _EVIDENCE * _evidence(best)
        ):
            best = values
    return best


def _alternatives(family: Family, predictor: Any, image: np.ndarray) -> Iterator[dict[str, float]]:
    """Imaging conditions with the masks of the inverted frame and of binned ones."""
    from skimage.transform import resize

    for binning in _BINNINGS:
        shape = [side // binning for side in image.shape]
        if min(shape) < 96:
            return
        small = image if binning == 1 else resize(image, shape, anti_aliasing=True)
        for frame in (small, 1 - small)[binning == 1 :]:
            mask = np.asarray(family.predict(predictor, frame.astype(np.float32))) == SKYRMION
            if binning > 1:
                mask = resize(mask.astype(np.float32), image.shape, order=1) > 0.5
            yield measure_frame(image, mask)


def _fit(values: Mapping[str, float]) -> float:
    """Correlation of a frame with its mask; 0 without objects."""
    fit = math.hypot(*(values[f"contrast_{axis}"] for axis in range(3)))
    return fit if math.isfinite(fit) else 0.0


def _evidence(values: Mapping[str, float]) -> float:
    fit = _fit(values)
    return fit * values["contrast"] * values["diameter_px"] if fit else 0.0


def _median(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median of every value over frames; NaN where no frame has it."""
    medians = {}
    for key in rows[0]:
        known = [row[key] for row in rows if not math.isnan(row[key])]
        medians[key] = float(np.median(known)) if known else math.nan
    return medians


def spread_evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many items, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, most)]
