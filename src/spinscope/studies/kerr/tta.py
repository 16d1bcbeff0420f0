"""Test-time augmentation: score and time per frame with one, three and eight augmented views.

Every measurement is kept below ``OUT/tta-points``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spinscope.code import code_digest
from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash, open_dataset
from spinscope.datasets.seen import read_frames
from spinscope.errors import SpinscopeError
from spinscope.evaluation import seen_text
from spinscope.families.base import SCORING
from spinscope.files import digest, kept, sha256, write_json
from spinscope.inference.rules import rules
from spinscope.jobs.evaluating import predictor, score
from spinscope.models.store import NETWORK, model_info
from spinscope.progress import Progress, no_progress
from spinscope.studies.base import Job, Stage
from spinscope.studies.runs import recorded
from spinscope.tracking import open_store, registry, resolve

MEASURE = 1
"""Version of the measurement; raise it if the same inputs give other numbers."""

VIEWS = (1, 3, 8)
"""Views averaged: one, three as published, and the eight of the dihedral group."""

COLUMNS = ("mcc", "objects_true", "objects_predicted", "frame_ms")

Row = dict[str, Any]


def registered(params: Params) -> list[str]:
    """References of all registered versions of the family, oldest first.

    Parameters
    ----------
    params : Params
        Settings.

    Raises
    ------
    SpinscopeError
        If there is none.
    """
    store, name = open_store(params.tracking), params.family
    if name not in registry.names(store):
        raise SpinscopeError(
            f"no version of {name} is registered: run `spinscope train {name}`, or name models"
        )
    return [f"models:/{name}/{n}" for n in sorted(registry.versions(store, name)["version"])]


def models(job: Job) -> list[str]:
    """References of the models to measure.

    Parameters
    ----------
    job : Job
        Call of the part.
    """
    given = job.options["models"]
    return registered(job.params) if given is None else list(given)


def measure(job: Job, model: str) -> list[Row]:
    """Rows of one model, one per number of views.

    Parameters
    ----------
    job : Job
        Call of the part.
    model : str
        Reference of the model.
    """
    frames, data = validation_frames(job.params)
    given = (job.params, model, frames, data["hash"], job.out)
    return measured(*given, track=job.track, progress=job.progress)


STAGES = (Stage("measure", measure, models, in_report=True),)


def report(job: Job) -> dict[str, Any]:
    """Measure the models on the validation frames and write ``OUT/tta.json``.

    Parameters
    ----------
    job : Job
        Call of the part.

    Returns
    -------
    dict
        `kind`, `data` {path, hash, batches, n_images} and `rows`, one per model and number of
        views: model, sha256, seen_in_training, views, mcc, objects_true, objects_predicted,
        frame_ms, n_images.
        Views that the symmetry of a model does not allow are left out.

    Raises
    ------
    SpinscopeError
        If there is no model.
    """
    chosen = models(job)
    if not chosen:
        raise SpinscopeError("test-time augmentation needs at least one model")
    rows = [row for model in chosen for row in measure(job, model)]
    found = {"kind": "tta", "data": validation_frames(job.params)[1], "rows": rows}
    write_json(job.out / "tta.json", found)
    return found


def validation_frames(params: Params) -> tuple[Dataset, dict[str, Any]]:
    """Frames of the validation batches, and their {path, hash, batches, n_images}.

    Parameters
    ----------
    params : Params
        Settings.
    """
    path, batches = dataset_path(params), list(params.data.validation_batches)
    dataset = open_dataset(path)
    frames = dataset.select(batches=batches)
    about = {"path": str(path), "hash": data_hash(dataset), "batches": batches}
    return frames, {**about, "n_images": len(frames)}


def measured(
    params: Params,
    model: str,
    frames: Dataset,
    data_hash: str,
    out: Path,
    *,
    track: bool = False,
    progress: Progress = no_progress,
) -> list[Row]:
    """Rows of one model, each measured once; with `track` recorded once in a run of their own.

    Parameters
    ----------
    params : Params
        Settings.
    model : str
        Reference of the model.
    frames : Dataset, optional
        Labelled frames.
    data_hash : str
        Hash of the dataset.
    out : Path
        Output folder.
    track : bool
        Whether MLflow records the results.
    progress : Progress
        Progress bar.
    """
    source = resolve(params.tracking, model)
    network = sha256(source / NETWORK)
    key = [
        *(MEASURE, network, data_hash, rules(model_info(source))),
        params.inference.model_dump(mode="json"),
        [params.segment.axis_deg, params.segment.scale],
        params.evaluation.model_dump(mode="json", exclude={"tta", "size_bins"}),
        list(params.data.validation_batches),
        code_digest(SCORING),
    ]
    folder = out / "tta-points" / digest(key)
    load = functools.cache(lambda: predictor(params, model))
    trained = read_frames(source)
    seen = None if trained is None else sum(trained.contains(frames))

    def row(views: int) -> Row:
        scores = score(params, load(), frames, views, progress=progress)
        objects = {f"objects_{name}": scores["objects"][name] for name in ("true", "predicted")}
        single = {name: scores[name] for name in ("mcc", "frame_ms", "n_images")}
        return {"views": scores["tta"], **single, **objects}

    rows: dict[int, Row] = {}
    for views in VIEWS:
        one = kept(folder / f"{views}.json", [key, views], functools.partial(row, views))
        about = {"model": model, "sha256": network, "seen_in_training": seen}
        rows.setdefault(one["views"], {**about, **one})
    found = list(rows.values())
    if track:
        record = functools.partial(_record, params, model, data_hash, found)
        kept(folder / "tracked.json", [key, model], record)
    return found


def lines(report: Mapping[str, Any]) -> list[str]:
    """One line per model and number of views.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """
    width = max(len(row["model"]) for row in report["rows"])
    header = f"{'model':<{width}}  views     MCC  predicted / labelled  ms per frame"
    return [
        header,
        *(
            f"{row['model']:<{width}}  {row['views']:>5}  {row['mcc']:.4f}  "
            f"{row['objects_predicted']:>9} / {row['objects_true']:<8}  {row['frame_ms']:>12.1f}"
            for row in report["rows"]
        ),
        *sorted({f"{row['model']}: {seen_text(row)}" for row in report["rows"]}),
    ]


def _record(params: Params, model: str, data_hash: str, rows: Sequence[Row]) -> str:
    """Record the rows of a model in a run of their own; returns its id."""
    tags = {"model.ref": model, "model.sha256": rows[0]["sha256"]}
    with recorded(params, data_hash, f"tta {model}", True, tags=tags) as recorder:
        metrics = {f"views-{row['views']}.{key}": row[key] for row in rows for key in COLUMNS}
        recorder.log(metrics=metrics, tables={"tta.csv": rows})
        return recorder.run.run_id
