"""Models of any reference: their family, loading and evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.config import Params, Tracking
from spinscope.datasets import Dataset, data_hash
from spinscope.datasets.seen import FRAMES, read_frames
from spinscope.errors import SpinscopeError
from spinscope.families.segmentation import most_skyrmions
from spinscope.files import digest, kept, sha256
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor

EVIDENCE = ("network", "rules", "frames", "settings", "code", "packages")
"""Keys of `evidence`: everything that decides a score."""

_TRIED = 4
"""Frames of a source from which its conditions and its level are found."""


def evaluate_model(
    params: Params,
    model_ref: str,
    folder: Path,
    *,
    batches: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    image: Path | None = None,
    adapt: bool = False,
    progress: Progress = no_progress,
) -> dict:
    """Evaluate a model on a dataset folder, or on some of its batches or sources.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    model_ref : str
    folder : Path
        Dataset folder.
    batches, sources : sequence of int, optional
        Frames to evaluate; by default all.
    image : Path, optional
        PNG to draw: one frame, its label and the prediction.
    adapt : bool, default False
        Whether scale and polarity of each source are found as `segment` does, where the settings
        are "auto"; otherwise the frames are taken as they are.
    progress : callable, optional

    Returns
    -------
    dict
        Report of `score_model`, with `model` {ref, sha256} and `data` {path, hash}; with `adapt`
        or a level in the settings also `sources`, rows {source, scale, polarity, level}.

    Raises
    ------
    SpinscopeError
        If the model or the dataset does not exist, or no frame is selected.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    family = families.of(params)
    dataset = family.open(folder)
    frames = dataset.select(batches, sources)
    if not len(frames):
        raise SpinscopeError(f"{folder}: no frame is left by --batches and --sources")
    model, views = resolve(params.tracking, model_ref), params.evaluation.tta
    network, hash_ = family.predictor(model, params), data_hash(dataset)
    of_source = None
    if adapt or params.segment.level is not None:
        if not family.masks:
            raise SpinscopeError(f"a model of the family {family.name} has no scale and no level")
        of_source = _of_source(params, network, frames, sha256(model / NETWORK), adapt)
    report = score_model(
        params,
        model,
        frames,
        network,
        views=views,
        data=hash_,
        fast=True,
        of_source=of_source,
        progress=progress,
    )
    if image is not None:
        drawn = network
        if of_source is not None:
            drawn = of_source(frames.records[most_skyrmions(report)].source)
        family.draw(drawn, frames, report, views, image)
    if of_source is not None:
        report["sources"] = [
            _conditions_row(source, of_source(source)) for source in sorted(frames.sources)
        ]
        report["evidence"]["settings"] = digest(
            [report["evidence"]["settings"], adapt, report["sources"]]
        )
    return {
        "model": {"ref": model_ref, "sha256": sha256(model / NETWORK)},
        "data": {"path": str(folder), "hash": hash_},
        **report,
    }


def _of_source(
    params: Params, network: Predictor, frames: Dataset, checksum: str, adapt: bool
) -> Callable[[int], Predictor]:
    """Function that returns the predictor of a source, with its conditions and its level."""
    from spinscope.jobs.conditions import with_conditions
    from spinscope.jobs.levels import with_level
    from spinscope.recordings.array import ArrayRecording

    @functools.cache
    def of(source: int) -> Predictor:
        places = [k for k, record in enumerate(frames.records) if record.source == source]
        chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), _TRIED)).round())
        images = [frames.image(places[int(k)]) for k in chosen]
        alike = [image for image in images if image.shape == images[0].shape]
        recording, fitting = ArrayRecording(np.stack(alike), f"source {source}"), network
        if adapt:
            fitting, _ = with_conditions(network, params.segment, recording)
        return with_level(fitting, params.segment, [{"sha256": checksum}], recording)[0]

    return of


def _conditions_row(source: int, fitting: Predictor) -> dict[str, Any]:
    """Scale, polarity and level of the frames of a source."""
    return {
        "source": source,
        "scale": fitting.geometry.scale if fitting.geometry else None,
        "polarity": "bright" if fitting.inverted else "dark",
        "level": fitting.level,
    }


def evidence(
    params: Params,
    model: Path,
    frames: Dataset,
    *,
    views: int = 1,
    data: str | None = None,
    fast: bool = False,
) -> dict[str, str]:
    """Everything that decides a score, as digests; only reports of equal evidence are the same.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    model : Path
        Model folder.
    frames : Dataset
    views : int, default 1
        Augmented views that are averaged.
    data : str, optional
        `data_hash` of the folder of the frames, if it is known.
    fast : bool, default False
        Whether the engine of the section `inference` computes the network, not Keras.

    Returns
    -------
    dict
        `network`, `rules` (info and training frames of the model folder), `frames` (pixels, labels
        and sources), `settings`, `code` and `packages`.
    """
    from spinscope.models.store import INFO, NETWORK
    from spinscope.tracking.lineage import installed

    rules = [sha256(model / name) for name in (INFO, FRAMES) if (model / name).is_file()]
    settings: dict[str, Any] = {**params.evaluation.model_dump(), **params.options, "views": views}
    if fast:
        segment = params.segment
        settings |= {**params.inference.model_dump(), "axis_deg": segment.axis_deg}
        settings |= {"scale": None if segment.scale == "auto" else segment.scale}
        settings |= {"polarity": "bright"} if segment.polarity == "bright" else {}
    names = [[record.name, record.source] for record in frames.records]
    return {
        "network": sha256(model / NETWORK),
        "rules": digest(rules),
        "frames": digest([data or data_hash(frames), names]),
        "settings": digest(settings),
        "code": families.of(params).scoring_code(),
        "packages": digest(installed(("keras", "tensorflow-cpu", "tensorflow", "numpy", "scipy"))),
    }


def score_model(
    params: Params,
    model: Path,
    frames: Dataset,
    network: Any = None,
    *,
    views: int = 1,
    data: str | None = None,
    fast: bool = False,
    path: Path | None = None,
    of_source: Callable[[int], Predictor] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Report of a model folder on some frames, with its evidence and the frames it was trained on.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    model : Path
        Model folder.
    frames : Dataset
    network : any, optional
        The loaded model; by default it is loaded with Keras, if a score must be computed.
    views, data, fast
        See `evidence`.
    path : Path, optional
        JSON file that keeps the report; it is read back only if all of its evidence is equal.
    of_source : callable, optional
        Id of a source → predictor of its frames; for families with masks.
    progress : callable, optional

    Returns
    -------
    dict
        Report of the family, with `seen_in_training` (number of these frames that the model was
        trained on, None if it lists none; as true or false in every row per image) and `evidence`.
    """
    key = evidence(params, model, frames, views=views, data=data, fast=fast)

    def make() -> dict:
        loaded = families.of(params).predictor(model) if network is None else network
        report = score(params, loaded, frames, views, of_source=of_source, progress=progress)
        trained = read_frames(model)
        seen = [None] * len(frames) if trained is None else trained.contains(frames)
        for row, row_seen in zip(report["per_image"], seen, strict=True):
            row["seen_in_training"] = row_seen
        count = None if trained is None else sum(seen)
        return {**report, "seen_in_training": count, "evidence": key}

    return make() if path is None else kept(path, key, make)


def family_of(tracking: Tracking, model_ref: str) -> str:
    """Name of the family of a model.

    Parameters
    ----------
    tracking : Tracking
    model_ref : str
    """
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    return families.of_model(model_info(resolve(tracking, model_ref))).name


def predictor(params: Params, model_ref: str, *, streams: int = 1, masks: bool = False) -> Any:
    """Load the model of a reference with the engine and the inference rules of the settings.

    Parameters
    ----------
    params : Params
        Sections `tracking`, `inference` and `segment`.
    model_ref : str
    streams : int, default 1
        Frames that are computed at once.
    masks : bool, default False
        Whether the model must make masks.

    Raises
    ------
    SpinscopeError
        If the model does not exist, or makes no masks where it must.
    """
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    folder = resolve(params.tracking, model_ref)
    family = families.of_model(model_info(folder))
    if masks and not family.masks:
        raise SpinscopeError(f"model {model_ref} of the family {family.name} makes no masks")
    return family.predictor(folder, params, streams=streams)


def score(
    params: Params,
    predictor: Any,
    frames: Dataset,
    views: int = 1,
    *,
    of_source: Callable[[int], Predictor] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Report of a loaded model on some frames, by the family of the settings.

    Parameters
    ----------
    params : Params
    predictor : Any
        Loaded model.
    frames : Dataset
    views : int, default 1
        Augmented views that are averaged.
    of_source : callable, optional
        Id of a source → predictor of its frames; for families with masks.
    progress : callable, optional
    """
    family = families.of(params)
    given = {} if of_source is None else {"of_source": of_source}
    report = family.score(predictor, frames, params, views=views, progress=progress, **given)
    required = (family.metric.name, "n_images", "frame_ms", "per_image")
    if missing := [key for key in required if key not in report]:
        raise SpinscopeError(
            f"family {family.name}: a report of score() must contain {', '.join(required)}; "
            f"{', '.join(missing)} is missing"
        )
    if any(key not in row for row in report["per_image"] for key in ("name", "source")):
        raise SpinscopeError(
            f"family {family.name}: every row per_image of score() must contain name and source"
        )
    return report
