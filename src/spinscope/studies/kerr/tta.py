"""Test-time augmentation of registered versions: score and time without, with three, eight views.

Every measurement is kept below `OUT/tta-points` by network, frames and engine: a version that was
measured is read back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.files import sha256, write_json
from spinscope.jobs.data import plain
from spinscope.jobs.evaluating import predictor, score

MEASURE = 1  # raise it whenever the same network, frames and settings give other numbers
VIEWS = (1, 3, 8)
"""None, three as published, and the eight of the dihedral group."""

Row = dict[str, Any]


def registered(params: Params) -> list[str]:
    """References of all registered versions of the family, oldest first.

    Raises SpinscopeError where there is none.
    """
    from spinscope.tracking import open_store, registry

    store, name = open_store(params.tracking), params.family
    if name not in registry.names(store):
        raise SpinscopeError(
            f"no version of {name} is registered: run `spinscope train {name}`, or name models"
        )
    numbers = sorted(registry.versions(store, name)["version"])
    return [f"models:/{name}/{number}" for number in numbers]


def augmented(
    params: Params,
    models: Sequence[str] | None,
    out: Path,
    *,
    track: bool = False,
    progress=plain,
) -> dict[str, Any]:
    """Measure models on the validation frames at every number of views; write `out/tta.json`.

    models : references; None takes every registered version of the family.
    Returns {kind, data {path, hash, batches, n_images}, rows}; a row a model and views: model,
    sha256, views, mcc, objects_true, objects_predicted, frame_ms, n_images. Views that the symmetry
    of a model does not allow are left out.   track : each version's numbers also go to an MLflow
    run of its own, named after it; the run that trained it stays as it was. One that was logged
    is not logged again.
    """
    given = registered(params) if models is None else list(models)
    if not given:
        raise SpinscopeError("test-time augmentation needs at least one model")
    frames, data = validation_frames(params)
    rows = [
        row
        for model in given
        for row in measured(
            params, model, frames, data["hash"], out, track=track, progress=progress
        )
    ]
    report = {"kind": "tta", "data": data, "rows": rows}
    write_json(out / "tta.json", report)
    return report


def validation_frames(params: Params) -> tuple[Dataset, dict[str, Any]]:
    """Frames of the validation batches, and {path, hash, batches, n_images} of them."""
    path, batches = dataset_path(params), list(params.data.validation_batches)
    dataset = open_dataset(path)
    frames = dataset.select(batches=batches)
    about = {"path": str(path), "hash": data_hash(dataset), "batches": batches}
    return frames, {**about, "n_images": len(frames)}


def measured(
    params: Params,
    model: str,
    frames: Dataset,
    digest: str,
    out: Path,
    *,
    track: bool = False,
    progress=plain,
) -> list[Row]:
    """Rows of one model; those that `out` holds are read.   digest : data hash of the frames."""
    from spinscope.inference.rules import rules
    from spinscope.models.store import NETWORK, model_info
    from spinscope.tracking import resolve

    source = resolve(params.tracking, model)
    network = sha256(source / NETWORK)
    folder = out / "tta-points" / _key(params, network, rules(model_info(source)), digest)
    rows: dict[int, Row] = {}
    loaded = None
    for views in VIEWS:
        path = folder / f"{views}.json"
        if not path.is_file():
            loaded = loaded or predictor(params, model)
            write_json(path, _row(params, loaded, frames, views, progress))
        row = json.loads(path.read_text())
        rows.setdefault(row["views"], {"model": model, "sha256": network, **row})
    found = list(rows.values())
    if track and not (folder / "tracked.json").is_file():
        run_id = _track(params, model, digest, found)
        write_json(folder / "tracked.json", {"run_id": run_id, "model": model})
    return found


def markdown(report: Mapping[str, Any]) -> str:
    """Table of the rows as Markdown."""
    lines = ["| model | views | MCC | predicted / labelled | ms a frame |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['model']} | {row['views']} | {row['mcc']:.4f} | {row['objects_predicted']} / "
        f"{row['objects_true']} | {row['frame_ms']:.0f} |"
        for row in report["rows"]
    ]
    return "\n".join(lines)


def augmented_lines(report: Mapping[str, Any]) -> list[str]:
    """A line a model and views."""
    width = max(len(row["model"]) for row in report["rows"])
    lines = [f"{'model':<{width}}  views     MCC  predicted / labelled  ms a frame"]
    lines += [
        f"{row['model']:<{width}}  {row['views']:>5}  {row['mcc']:.4f}  "
        f"{row['objects_predicted']:>9} / {row['objects_true']:<8}  {row['frame_ms']:>10.1f}"
        for row in report["rows"]
    ]
    return lines


def _row(params: Params, loaded, frames: Dataset, views: int, progress) -> Row:
    report = score(params, loaded, frames, views, progress=progress)
    return {
        "views": report["tta"],
        "mcc": report["mcc"],
        "objects_true": report["objects"]["true"],
        "objects_predicted": report["objects"]["predicted"],
        "frame_ms": report["frame_ms"],
        "n_images": report["n_images"],
    }


def _key(params: Params, network: str, rules: dict[str, Any], digest: str) -> str:
    """Names all that the numbers of a model depend on beside the views."""
    engine = {
        "inference": params.inference.model_dump(mode="json"),
        "segment": [params.segment.axis_deg, params.segment.scale],
        "evaluation": params.evaluation.model_dump(mode="json", exclude={"tta", "size_bins"}),
        "batches": list(params.data.validation_batches),
    }
    applied = [rules] if rules else []
    text = json.dumps([MEASURE, network, digest, engine, *applied], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _track(params: Params, model: str, digest: str, rows: Sequence[Row]) -> str:
    from spinscope.tracking import lineage, open_store, runs

    store = open_store(params.tracking)
    tags = {**lineage(params, digest), "model.ref": model, "model.sha256": rows[0]["sha256"]}
    with runs.study_run(store, tags, f"tta {model}") as run:
        kept = ("mcc", "objects_true", "objects_predicted", "frame_ms")
        runs.log_metrics(
            run, {f"views-{row['views']}.{key}": row[key] for row in rows for key in kept}
        )
        runs.log_table(run, rows, "tta.csv")
        return run.run_id
