"""Models of any reference: their family, loading and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spinscope import families
from spinscope.config import Params, Tracking
from spinscope.datasets import Dataset, data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.progress import Progress, no_progress


def evaluate_model(
    params: Params,
    model_ref: str,
    folder: Path,
    *,
    batches: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    image: Path | None = None,
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
    progress : callable, optional

    Returns
    -------
    dict
        Report of the family, with `model` {ref, sha256} and `data` {path, hash}.

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
    network = family.predictor(model, params)
    report = family.score(network, frames, params, views=views, progress=progress)
    if image is not None:
        family.draw(network, frames, report, views, image)
    return {
        "model": {"ref": model_ref, "sha256": sha256(model / NETWORK)},
        "data": {"path": str(folder), "hash": data_hash(dataset)},
        **report,
    }


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
    progress : callable, optional
    """
    family = families.of(params)
    report = family.score(predictor, frames, params, views=views, progress=progress)
    required = (family.metric.name, "n_images", "frame_ms", "per_image")
    if missing := [key for key in required if key not in report]:
        raise SpinscopeError(
            f"family {family.name}: a report of score() must contain {', '.join(required)}; "
            f"{', '.join(missing)} is missing"
        )
    return report
