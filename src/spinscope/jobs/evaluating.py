"""A model of any reference, held against frames with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spinscope.config import DEFAULT_FAMILY, Params, Tracking
from spinscope.datasets import Dataset, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.jobs.data import plain

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor


def evaluate_model(
    params: Params,
    model_ref: str,
    folder: Path,
    *,
    batches: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    picture: Path | None = None,
    progress=plain,
) -> dict:
    """Report of any model on any dataset folder, or on some of its batches or sources.

    picture : where to draw the frame with the most labelled objects, its label and the prediction.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    dataset = open_dataset(folder)
    part = dataset.select(batches, sources)
    if not len(part):
        raise SpinscopeError(f"{folder}: no frame is left by --batches and --sources")
    model, views = resolve(params.tracking, model_ref), params.evaluation.tta
    network = predictor(params, model_ref)
    report = score(params, network, part, views, progress=progress)
    if picture is not None:
        draw_frame(network, part, fullest(report), views, picture)
    return {
        "model": {"ref": model_ref, "sha256": sha256(model / NETWORK)},
        "data": {"path": str(folder), "hash": data_hash(dataset)},
        **report,
    }


def family_of(tracking: Tracking, model_ref: str) -> str:
    """Family that a model says it is of; the first of all for one that says none."""
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    return model_info(resolve(tracking, model_ref)).get("family", DEFAULT_FAMILY)


def predictor(params: Params, model_ref: str, *, streams: int = 1) -> Predictor:
    """The model of a reference, on the engine of the settings.

    Frames are turned and magnified as the section `segment` says.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.inference.tiling import Tiling
    from spinscope.tracking import resolve

    engine = params.inference
    return Predictor.load(
        resolve(params.tracking, model_ref),
        engine.engine,
        engine.precision,
        streams=streams,
        tiling=Tiling(engine.tile, engine.overlap),
        axis_deg=params.segment.axis_deg,
        scale=params.segment.scale,
    )


def score(params: Params, predictor, part: Dataset, views: int, *, progress=plain) -> dict:
    """Evaluation report of a network on some frames, with `views` averaged."""
    from spinscope.evaluation import evaluate

    predictor.classes(part.image(0), views)  # the first call traces the network: not a frame's time
    report = evaluate(
        lambda image: predictor.classes(image, views),
        part,
        predictor.info["classes"],
        params.evaluation,
        progress=progress,
    )
    note = fewer_views([predictor], views)
    return {**report, "tta": len(predictor.transforms(views)), **({"note": note} if note else {})}


def fewer_views(predictors: Sequence[Predictor], views: int) -> str | None:
    """Says that the symmetry of a model allows fewer than `views`; None where all allow them."""
    used = min(len(predictor.transforms(views)) for predictor in predictors)
    if used == views:
        return None
    return f"{used} of {views} views averaged: the model's symmetry allows no more"


def fullest(report: dict) -> int:
    """Index of the frame with the most labelled objects."""
    counts = [row["objects_true"] for row in report["per_image"]]
    return counts.index(max(counts))


def draw_frame(predictor: Predictor, dataset: Dataset, index: int, views: int, out: Path) -> Path:
    """Picture of a frame: image, label and prediction side by side."""
    from spinscope.drawing import label_panels, write_panels
    from spinscope.images import to_scheme

    image = dataset.image(index)
    label = to_scheme(dataset.label(index), len(predictor.info["classes"]))
    write_panels(out, label_panels(image, (label, predictor.classes(image, views))))
    return out
