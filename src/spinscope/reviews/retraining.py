"""A model trained further with the corrections of its reviewers, and held to the old one."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, sha256, write_json
from spinscope.jobs.data import plain, split
from spinscope.jobs.evaluating import predictor, score
from spinscope.jobs.training import train

if TYPE_CHECKING:
    from spinscope.reviews.folder import Reviews

HELD_BACK = 4
"""Of the pictures of a recording that people reviewed, one in so many only checks models."""

LABEL_KEPT = "label kept"
"""Use of a frame of the dataset whose mask was accepted as the model made it: its label stays."""


def retrain(
    params: Params,
    reviews: Sequence[Path],
    model_ref: str,
    out: Path,
    *,
    run_seeds: Callable[[Params, Path], Callable[[list[int], str], list[dict]]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress=plain,
) -> dict:
    """Train a model further on the dataset of `params` with the corrections of its reviewers.

    reviews : folders of reviews, one a recording.
    model_ref : the model to start from; its architecture and classes go before those of `params`.
    run_seeds : (settings, folder) → `run_seeds` of `train`; in order by default.
    The corrected dataset is written to `out/data`, the training to `out/train`. Of a recording
    each fourth picture, in the order in which they were first reviewed, is held back: it is so in
    every retraining, so neither the old nor the new model learned from it.
    Returns the report that is also written to `out/report.json`: `old` and `new` model with their
    scores, without augmentation, on the frames `held_out`, those `trained` on and the `validation`
    batches; `frames` with the MCC of both, `registered`, `data`, and what it comes to in a
    sentence, `says`. The last epoch is kept: none is chosen by frames that are reported on.
    Raises SpinscopeError where no corrected frame is left to train on.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    pinned = _pinned(params, model_ref)
    dataset, frames, settings = _corrections(params, reviews, pinned, out / "data")
    training = train(
        settings,
        out / "train",
        run_seeds=run_seeds and run_seeds(settings, out / "train"),
        on_epoch=on_epoch,
        progress=progress,
    )
    uses = {
        "held_out": {"held out"},
        "trained": {"train"},
        "other": {"test", "unused", LABEL_KEPT},
    }
    parts = {
        part: _named(dataset, {name for name, row in frames.items() if row["use"] in of})
        for part, of in uses.items()
    }
    parts["validation"] = split(settings)[1].validation
    report: dict[str, Any] = {"tta": 1}
    for which, ref, place in (
        ("old", pinned, pinned),
        ("new", training["registered"], training["best"]),
    ):
        network = predictor(settings, place)
        digest = sha256(resolve(params.tracking, place) / NETWORK)
        report[which] = {"ref": ref, "sha256": digest}
        for part, of in parts.items():
            scored = score(settings, network, of, 1, progress=progress) if len(of) else None
            for row in scored["per_image"] if scored else ():
                if row["name"] in frames:
                    frames[row["name"]][f"{which}_mcc"] = row["mcc"]
            if part != "other":
                report[which][part] = scored and _summary(scored)
    report |= {
        "frames": list(frames.values()),
        "registered": training["registered"],
        "train": str(out / "train"),
        "data": {
            "path": str(dataset.path),
            "hash": data_hash(dataset),
            "base": str(dataset_path(params)),
            "reviews": [str(folder) for folder in reviews],
            "n_images": len(dataset),
            "reviewed": len(frames),
            "held_out": len(parts["held_out"]),
            "labels": {
                "replaced": sum(row["replaces"] for row in frames.values()),
                "replaced_validation": sum(
                    row["replaces"] and row["use"] == "validation" for row in frames.values()
                ),
                "kept": sum(row["use"] == LABEL_KEPT for row in frames.values()),
            },
        },
    }
    report["says"] = _says(report)
    _track_retraining(settings, report)
    write_json(out / "report.json", report)
    return report


def _pinned(params: Params, model_ref: str) -> str:
    """The reference that names the same model still when an alias has moved on."""
    from spinscope.tracking import open_store, registry

    if model_ref.startswith("models:"):
        return registry.find(open_store(params.tracking), model_ref).ref
    return model_ref if model_ref.startswith("bundled:") else str(Path(model_ref).resolve())


def _corrections(
    params: Params, folders: Sequence[Path], model_ref: str, out: Path
) -> tuple[Dataset, dict[str, dict], Params]:
    """The corrected dataset, a row a reviewed frame by its name, and the settings to train with."""
    from spinscope.reviews.folder import CORRECTIONS, Reviews, corrected_dataset

    for folder in folders:
        if not Path(folder).is_dir():
            raise SpinscopeError(f"folder of reviews {folder} does not exist")
    reviews = [Reviews.open(folder) for folder in folders]
    base, splits = split(params)
    use_of = {
        batch: use
        for use, part in splits.named().items()
        for batch in {record.batch for record in part.records}
    }
    dataset = corrected_dataset(reviews, base, out)
    held_back = set().union(*map(_held_back, reviews))
    frames: dict[str, dict] = {}
    rows = json.loads((dataset.path / CORRECTIONS).read_text())["reviewed"]
    replaced = {row["name"] for row in rows if row["replaces"]}
    for row in rows:
        if row["name"] in replaced:
            use = use_of.get(row["batch"], "unused")
        elif row["in_base"]:
            use = LABEL_KEPT
        else:
            use = "held out" if (row["whole"] or row["image"]) in held_back else "train"
        frame = {"name": row["name"], "use": use, "held_out": use == "held out"}
        frame |= {"replaces": row["name"] in replaced, "reviews": []}
        frames.setdefault(row["name"], frame)["reviews"].append(
            {key: row[key] for key in ("reviews", "frame", "version", "status", "who", "when")}
        )
    uses = {name: row["use"] for name, row in frames.items()}
    if "train" not in uses.values():
        counts = ", ".join(f"{n} {use}" for use, n in Counter(uses.values()).items())
        raise SpinscopeError(f"no corrected frame is left to train on; there are: {counts}")
    dataset = _hold_back(dataset, {name for name, use in uses.items() if use == "held out"})
    learned = {r.batch for r in dataset.records if uses.get(r.name) == "train"}
    return dataset, frames, _retraining(params, model_ref, dataset, learned)


def _held_back(reviews: Reviews) -> set[str]:
    """Hashes of the pictures that are held back: each fourth in the order of their first review.

    What is reviewed later comes later, so a picture's lot is cast once; rejected ones count.
    """
    first: dict[str, tuple[str, str]] = {}
    for frame in reviews.frames():
        review = reviews.history(frame)[0]
        picture, when = review.whole or review.image, (review.when, frame)
        first[picture] = min(first.get(picture, when), when)
    return set(sorted(first, key=first.__getitem__)[HELD_BACK - 1 :: HELD_BACK])


def _hold_back(dataset: Dataset, names: Set[str]) -> Dataset:
    """The dataset with these frames as sources of no batch, so that no split can take them."""
    first = max(dataset.sources) + 1
    old = sorted({record.source for record in dataset.records if record.name in names})
    new = {source: first + k for k, source in enumerate(old)}
    with atomic_file(dataset.path / "table.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerow(("source_id", "img_fn", "label_fn"))
        for index, record in enumerate(dataset.records):
            source = new[record.source] if record.name in names else record.source
            writer.writerow((source, *dataset.names(index)))
    return open_dataset(dataset.path)


def _retraining(params: Params, model_ref: str, dataset: Dataset, batches: Set[int]) -> Params:
    """Settings that train the network of `model_ref` further on these batches as well."""
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    info, settings = model_info(resolve(params.tracking, model_ref)), params.model_dump()
    settings["data"] |= {
        "path": str(dataset.path.resolve()),
        "scheme": len(info["classes"]),
        "train_batches": tuple(sorted({*params.data.train_batches, *batches})),
    }
    settings["model"] = {**info["model"], **{rule: info.get(rule) for rule in params.model.rules}}
    if family := info.get("family"):
        settings["family"] = family
    if symmetry := info.get("symmetry"):
        settings["augmentation"]["symmetry"] = symmetry
    # The validation frames would choose the epoch that has learned least of new recordings.
    settings["training"] |= {"pretrained": model_ref, "keep": "last", "anchor": 0.0}
    try:
        return Params.model_validate(settings)
    except ValidationError as error:
        raise SpinscopeError(f"retraining {model_ref}: {error.errors()[0]['msg']}") from error


def _named(dataset: Dataset, names: Set[str]) -> Dataset:
    keep = [k for k, record in enumerate(dataset.records) if record.name in names]
    return replace(
        dataset,
        records=tuple(dataset.records[k] for k in keep),
        rows=tuple(dataset.rows[k] for k in keep),
    )


def _summary(report: dict) -> dict:
    """The pooled figures of an evaluation's report."""
    keys = ("mcc", "mcc_per_image", "accuracy", "f1", "jaccard", "objects", "n_images")
    return {key: report[key] for key in keys} | {"size_px": report["size"]["wasserstein_px"]}


def _says(report: dict) -> str:
    """What a retraining came to, and how far that can be trusted."""

    def change(part: str) -> str:
        return " to ".join(f"{report[which][part]['mcc']:.3f}" for which in ("old", "new"))

    validation = f"on the validation frames from {change('validation')}"
    labels, n = report["data"]["labels"], report["data"]["held_out"]
    more = ""
    if labels["replaced"]:
        more += f" {_count(labels['replaced'], 'label of the dataset')} replaced by corrections"
        of = labels["replaced_validation"]
        more += f", {of} of validation frames among them." if of else ", none of validation frames."
    if labels["kept"]:
        more += (
            f" {_count(labels['kept'], 'mask of its frames')} accepted as the model made "
            f"{'it' if labels['kept'] == 1 else 'them'}: the labels there stay."
        )
    if not n:
        return (
            f"No corrected frame was held back (of a recording each {HELD_BACK}th new one is): "
            f"MCC went from {change('trained')} on frames that the new model was trained on, "
            f"which proves little, and {validation}.{more}"
        )
    whose = "its recording" if n == 1 else "their recordings"
    frames = f"{n} corrected frame{'' if n == 1 else 's'} held back from training"
    return (
        f"MCC went from {change('held_out')} on {frames} (others of {whose} were not), "
        f"and {validation}.{more}"
    )


def _count(n: int, what: str) -> str:
    """
    >>> _count(1, "label of it"), _count(2, "label of it")
    ('1 label of it was', '2 labels of it were')
    """
    noun, rest = what.split(" ", 1)
    return f"{n} {noun} {rest} was" if n == 1 else f"{n} {noun}s {rest} were"


def _track_retraining(params: Params, report: dict) -> None:
    """Tell the new version which corrections it learned from, and what they brought."""
    from spinscope.tracking import Run, open_store, registry
    from spinscope.tracking.runs import log_json

    store = open_store(params.tracking)
    version = registry.find(store, report["registered"])
    data = report["data"]
    tags = {
        "retrain.from": report["old"]["ref"],
        "retrain.from_sha256": report["old"]["sha256"],
        "retrain.reviews": ",".join(Path(folder).name for folder in data["reviews"]),
        "retrain.frames": data["reviewed"],
        "retrain.held_out": data["held_out"],
        "retrain.labels_replaced": data["labels"]["replaced"],
        "retrain.says": report["says"],
    }
    registry.tag(store, version, tags)
    log_json(Run(store, version.run_id), report, "retrain.json")
