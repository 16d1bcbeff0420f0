"""Train a model further with the corrections of its reviewers, and compare it with the old one."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spinscope import families
from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset, data_hash, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, exclusive, sha256, write_json
from spinscope.jobs.data import split
from spinscope.jobs.evaluating import predictor, score_model
from spinscope.jobs.training import train
from spinscope.progress import Progress, no_progress
from spinscope.reviews.corrected import CORRECTIONS, corrected_dataset
from spinscope.reviews.folder import Reviews

HELD_OUT_EVERY = 4
"""Of the reviewed images of a recording, every fourth is held out of training."""

LABEL_KEPT = "label kept"
"""Use of a dataset frame whose mask was accepted unchanged: its label is kept."""

GROUPS = ("held_out", "trained", "accepted")
"""Groups of reviewed frames in a report, besides the validation frames."""

_SCORES = (
    "mcc",
    "mcc_per_image",
    "accuracy",
    "f1",
    "jaccard",
    "objects",
    "n_images",
    "seen_in_training",
)


@exclusive("out")
def retrain(
    params: Params,
    reviews: Sequence[Path],
    model_ref: str,
    out: Path,
    *,
    run_seeds: Callable[[Params, Path], Callable[[list[int], str | None], list[dict]]]
    | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Train a model further on the dataset of `params`, with the corrections of its reviewers.

    Every fourth reviewed image of a recording, in the order of the first reviews, is held out. It
    is held out of every retraining, so neither the old nor the new model was trained on it. The
    last epoch is kept: no frame of the report chooses an epoch.

    Parameters
    ----------
    params : Params
        Settings.
    reviews : sequence of Path
        Folders of reviews, one per recording.
    model_ref : str
        Model to start from; its architecture and classes override those of `params`.
    out : Path
        Folder of the corrected dataset (`data`), the training (`train`) and `report.json`.
    run_seeds : callable, optional
        (settings, folder) → `run_seeds` of `train`; by default one seed after the other.
    on_epoch : callable, optional
        Called with seed, epoch and metrics.
    progress : callable, optional
        Progress bar.

    Returns
    -------
    dict
        `old` and `new` model with their scores without TTA on the corrected frames `held_out` and
        those `trained` on, on the `accepted` frames, whose labels are masks of a model, and on the
        `validation` batches; `frames` with the MCC of both models; `registered`, `data`, and
        `summary`, the outcome in words.

    Raises
    ------
    SpinscopeError
        If the model makes no masks, or no corrected or accepted frame is left to train on.
    """
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    if not families.of(params).masks:
        raise SpinscopeError(
            f"model {model_ref} of the family {params.family} makes no masks that could be "
            "corrected"
        )
    start = _pinned(params, model_ref)
    dataset, frames, settings = _corrections(params, reviews, start, out / "data")
    training = train(
        settings,
        out / "train",
        run_seeds=run_seeds and run_seeds(settings, out / "train"),
        on_epoch=on_epoch,
        progress=progress,
    )
    groups = {
        group: _named(dataset, {name for name, row in frames.items() if _group(row) == group})
        for group in (*GROUPS, "other")
    }
    groups["validation"] = split(settings)[1].validation
    report: dict[str, Any] = {"tta": 1}
    models = {"old": (start, start), "new": (training["registered"], training["best"])}
    for which, (ref, place) in models.items():
        network, folder = predictor(settings, place), resolve(params.tracking, place)
        digest = sha256(folder / NETWORK)
        report[which] = {"ref": ref, "sha256": digest}
        for group, part in groups.items():
            given = {"fast": True, "progress": progress}
            scores = score_model(settings, folder, part, network, **given) if len(part) else None
            for row in scores["per_image"] if scores else ():
                if row["name"] in frames:
                    frames[row["name"]][f"{which}_mcc"] = row["mcc"]
            if group != "other":
                report[which][group] = scores and {
                    **{key: scores[key] for key in _SCORES},
                    "size_px": scores["size"]["wasserstein_px"],
                }
    rows = list(frames.values())
    replaced = [row for row in rows if row["replaces"]]
    report |= {
        "frames": rows,
        "registered": training["registered"],
        "train": str(out / "train"),
        "data": {
            "path": str(dataset.path),
            "hash": data_hash(dataset),
            "base": str(dataset_path(params)),
            "reviews": [str(folder) for folder in reviews],
            "n_images": len(dataset),
            "reviewed": len(rows),
            "corrected": sum(row["corrected"] for row in rows),
            "held_out": len(groups["held_out"]),
            "accepted": len(groups["accepted"]),
            "labels": {
                "replaced": len(replaced),
                "replaced_validation": sum(row["use"] == "validation" for row in replaced),
                "kept": sum(row["use"] == LABEL_KEPT for row in rows),
            },
        },
    }
    report["summary"] = _summary(report)
    _track(settings, report)
    write_json(out / "report.json", report)
    return report


def _pinned(params: Params, model_ref: str) -> str:
    """Reference that still names the same model when an alias moves."""
    from spinscope.tracking import open_store, registry

    if model_ref.startswith("models:"):
        return registry.find(open_store(params.tracking), model_ref).ref
    return model_ref if model_ref.startswith("bundled:") else str(Path(model_ref).resolve())


def _corrections(
    params: Params, folders: Sequence[Path], model_ref: str, out: Path
) -> tuple[Dataset, dict[str, dict], Params]:
    """Corrected dataset, one row per reviewed frame by its name, and settings of the training."""
    for folder in folders:
        if not Path(folder).is_dir():
            raise SpinscopeError(f"folder of reviews {folder} does not exist")
    reviews = [Reviews.open(folder) for folder in folders]
    base, splits = split(params)
    use_of_batch = {
        record.batch: use for use, part in splits.named().items() for record in part.records
    }
    dataset = corrected_dataset(reviews, base, out)
    held_out = set().union(*map(_held_out, reviews))
    entries = json.loads((dataset.path / CORRECTIONS).read_text())["reviewed"]
    replaced = {entry["name"] for entry in entries if entry["replaces"]}
    frames: dict[str, dict] = {}
    for entry in entries:
        name = entry["name"]
        if name in replaced:
            use = use_of_batch.get(entry["batch"], "unused")
        elif entry["in_base"]:
            use = LABEL_KEPT
        else:
            use = (
                "held out"
                if (entry["whole_image_sha256"] or entry["image_sha256"]) in held_out
                else "train"
            )
        row = {"name": name, "use": use, "held_out": use == "held out", "corrected": False}
        row |= {"replaces": name in replaced, "reviews": []}
        row = frames.setdefault(name, row)
        row["corrected"] |= entry["corrected"]
        row["reviews"].append(
            {
                key: entry[key]
                for key in ("reviews", "frame", "version", "status", "reviewer", "reviewed_utc")
            }
        )
    uses = {name: row["use"] for name, row in frames.items()}
    if "train" not in uses.values():
        counts = ", ".join(f"{n} {use}" for use, n in Counter(uses.values()).items())
        raise SpinscopeError(
            f"no corrected or accepted frame is left to train on; there are: {counts}"
        )
    dataset = _without_batch(dataset, {name for name, use in uses.items() if use == "held out"})
    batches = {r.batch for r in dataset.records if uses.get(r.name) == "train"}
    return dataset, frames, _settings(params, model_ref, dataset, batches)


def _group(row: dict) -> str:
    """Group of a reviewed frame; an accepted mask is its model's own, so it is no evidence."""
    if row["use"] not in ("held out", "train"):
        return "other"
    if not row["corrected"]:
        return "accepted"
    return "held_out" if row["held_out"] else "trained"


def _held_out(reviews: Reviews) -> set[str]:
    """Hashes of the held-out images: every fourth in the order of the first reviews.

    Later reviews add images at the end, so an image is assigned once; rejected ones count.
    """
    first: dict[str, tuple[str, str]] = {}
    for frame in reviews.frames():
        review = reviews.history(frame)[0]
        image, when = review.frame_sha256, (review.when, frame)
        first[image] = min(first.get(image, when), when)
    return set(sorted(first, key=first.__getitem__)[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])


def _without_batch(dataset: Dataset, names: Set[str]) -> Dataset:
    """Move frames to sources without a batch, so that no split contains them."""
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


def _settings(params: Params, model_ref: str, dataset: Dataset, batches: Set[int]) -> Params:
    """Settings that train the network of `model_ref` further, on these batches as well."""
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
    # The validation frames would choose the epoch that has learned least from new recordings.
    settings["training"] |= {"pretrained": model_ref, "keep": "last", "anchor": 0.0}
    try:
        return Params.model_validate(settings)
    except ValidationError as error:
        raise SpinscopeError(f"retraining {model_ref}: {error.errors()[0]['msg']}") from error


def _named(dataset: Dataset, names: Set[str]) -> Dataset:
    """Frames of these names."""
    keep = [k for k, record in enumerate(dataset.records) if record.name in names]
    return replace(
        dataset,
        records=tuple(dataset.records[k] for k in keep),
        rows=tuple(dataset.rows[k] for k in keep),
    )


def _summary(report: dict) -> str:
    """Outcome of a retraining in words, with the limits of its evidence."""

    def change(group: str) -> str:
        return " to ".join(f"{report[which][group]['mcc']:.3f}" for which in ("old", "new"))

    labels, n = report["data"]["labels"], report["data"]["held_out"]
    if n:
        summary = (
            f"MCC went from {change('held_out')} on {n} corrected frame{'s' * (n > 1)} held back "
            f"from training (others of {'its recording' if n == 1 else 'their recordings'} were "
            f"not), and on the validation frames from {change('validation')}."
        )
    elif report["new"].get("trained"):
        summary = (
            "No corrected frame was held back (of a recording each "
            f"{HELD_OUT_EVERY}th new one is): MCC went from {change('trained')} on frames that the "
            "new model was trained on, which proves little, and on the validation frames from "
            f"{change('validation')}."
        )
    else:
        summary = (
            "No reviewed frame was corrected, so no frame shows whether the new model is better. "
            f"MCC on the validation frames went from {change('validation')}."
        )
    if accepted := report["new"].get("accepted"):
        k = accepted["n_images"]
        summary += (
            f" {k} {'mask was' if k == 1 else 'masks were'} accepted as the model made "
            f"{'it' if k == 1 else 'them'}; the new model agrees with MCC {accepted['mcc']:.3f}, "
            "which is neither a gain nor a loss."
        )
    if k := labels["replaced"]:
        v = labels["replaced_validation"]
        summary += (
            f" {k} {'label' if k == 1 else 'labels'} of the dataset {'was' if k == 1 else 'were'} "
            "replaced by corrections, "
            f"{f'{v} of validation frames among them' if v else 'none of validation frames'}."
        )
    if k := labels["kept"]:
        summary += (
            f" {k} {'mask' if k == 1 else 'masks'} of its frames {'was' if k == 1 else 'were'} "
            f"accepted as the model made {'it' if k == 1 else 'them'}: the labels there stay."
        )
    return summary


def _track(params: Params, report: dict) -> None:
    """Tag the new version with its corrections and their effect, and store the report."""
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
        "retrain.summary": report["summary"],
    }
    registry.tag(store, version, tags)
    log_json(Run(store, version.run_id), report, "retrain.json")
