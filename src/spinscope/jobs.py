"""The main job in steps, each composed of the layers below; verbs, flows and stages call these.

Results are on disk before they are tracked: a store that fails loses no training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import math
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spinscope.config import Params, dataset_path, project_root
from spinscope.data import Dataset, Splits, data_hash, open_dataset, split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, sha256, write_json

if TYPE_CHECKING:
    from spinscope.data.reviews import Reviews
    from spinscope.inference.predict import Predictor
    from spinscope.tracking import Promotion, Store, Version

FAMILIES = ("moke-unet",)
_PICTURE_PIXELS = 2**24
"""Frames of more pixels are not drawn whole."""
EXAMPLES = 2
"""Frames whose predictions are stored with a registered version."""


def _plain(items: Iterable, **_: Any) -> Iterable:
    return items


@dataclass(frozen=True)
class CheckedData:
    """A dataset that passed validation, split by source."""

    dataset: Dataset
    splits: Splits
    hash: str
    report: Path | None


def corpus(params: Params, out: Path, *, progress=_plain) -> Path:
    """Write the simulated Kerr corpus of `params`; one that stands there complete is kept."""
    from spinscope.data.shards import HEADER, read_header
    from spinscope.physics.kerr_corpus import GENERATOR, make_kerr_corpus

    kerr = params.kerr
    same = ("n", "height", "width", "frames_per_source", "bright")
    wanted = {"seed": params.seed, "generator": GENERATOR}
    wanted |= {key: getattr(kerr, key) for key in same}
    if (out / HEADER).is_file() and wanted.items() <= read_header(out).items():
        return out
    return make_kerr_corpus(out, kerr.n, params.seed, kerr, progress=progress)


def split(params: Params) -> tuple[Dataset, Splits]:
    """The dataset of `params` and its splits."""
    data, path = params.data, dataset_path(params)
    if data.path == "auto" and not path.is_dir():
        raise SpinscopeError(
            f"there are no micrographs at {path}: run `spinscope data fetch moke`, set "
            "SPINSCOPE_MOKE to a copy, or name a dataset with --set data.path=FOLDER"
        )
    dataset = open_dataset(path)
    splits = split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)
    return dataset, splits


def checked_data(params: Params, out: Path | None = None, *, progress=_plain) -> CheckedData:
    """Open, split and validate the dataset of `params`; Data Docs go to `out`.

    Raises SpinscopeError that names file and rule where the data is not fit to train on.
    """
    from spinscope.data.validate import require_valid, validate

    dataset, splits = split(params)
    validation = validate(dataset, splits, out, progress=progress)
    require_valid(validation)
    return CheckedData(dataset, splits, data_hash(dataset), validation.report)


def seeds(params: Params) -> list[int]:
    """The seeds of an experiment: params.seed and those that follow it."""
    return [params.seed + k for k in range(params.training.seeds)]


def train_seed(
    params: Params,
    seed: int,
    out: Path,
    *,
    parent_id: str | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress=_plain,
) -> dict:
    """Train, evaluate and track one seed in `out/seed-SEED`; what has ended is read back.

    Returns {seed, folder, seconds, val_mcc, best_epoch, run_id, validation, tta}: the reports on
    the validation frames without and with test-time augmentation.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.tracking import resolve
    from spinscope.training.fit import fit

    folder = out / f"seed-{seed}"
    dataset, splits = split(params)
    pretrained = params.training.pretrained
    info = {"data_hash": data_hash(dataset), "params": params.digest()}
    with _tracked_seed(params, seed, info["data_hash"], parent_id) as track:
        result = fit(
            splits,
            params,
            seed=seed,
            folder=folder,
            pretrained=resolve(params.tracking, pretrained) if pretrained else None,
            info=info,
            on_epoch=_both(on_epoch, track.epoch),
        )
        predictor = Predictor.load(result.model)
        row = {
            "seed": seed,
            "folder": str(result.model),
            "seconds": result.seconds,
            "val_mcc": result.val_mcc,
            "best_epoch": result.best_epoch,
            "run_id": track.run_id,
        }
        for name, views in (("validation", 1), ("tta", params.evaluation.tta)):
            row[name] = _cached_report(
                folder / f"{name}.json",
                result.model,
                lambda views=views: _report(
                    params, predictor, splits.validation, views, progress=progress
                ),
            )
        write_json(folder / "row.json", row)
        track.finish(result.history, row)
    return row


def holds_seed(out: Path, seed: int, settings: str) -> bool:
    """Whether `out` holds the finished training of a seed with settings of this digest."""
    from spinscope.training.fit import RESULT

    path = out / f"seed-{seed}" / RESULT
    return path.is_file() and json.loads(path.read_text())["info"]["params"] == settings


def finish_training(
    params: Params,
    rows: Sequence[dict],
    out: Path,
    *,
    parent_id: str | None = None,
    validated: bool = False,
) -> dict:
    """Summarise the seeds, keep the best model in `out/best`, track and register it.

    validated : whether the data passed validation; a gate asks for it.
    Returns the training's report: table over the seeds, best seed, registered reference.
    """
    from spinscope.tracking import over_seeds

    rows = sorted(rows, key=lambda row: row["seed"])
    best = max(rows, key=lambda row: row["validation"]["mcc"])
    with atomic_folder(out / "best") as copy:
        shutil.copytree(best["folder"], copy, dirs_exist_ok=True)
        _add_fast_network(copy)
    report = {
        "family": "moke-unet",
        "profile": params.profile,
        "data": str(dataset_path(params)),
        "seeds": [
            {
                **{key: row[key] for key in ("seed", "seconds", "best_epoch", "run_id")},
                "mcc": row["validation"]["mcc"],
                "mcc_tta": row["tta"]["mcc"],
                "objects": row["validation"]["objects"],
            }
            for row in rows
        ],
        "best_seed": best["seed"],
        "best": str(out / "best"),
        **{
            name: over_seeds({row["seed"]: row[name] for row in rows})
            for name in ("validation", "tta")
        },
    }
    if parent_id is not None:
        version = _track_experiment(params, rows, best, report, out, parent_id, validated)
        report["registered"] = version.ref
    write_json(out / "report.json", report)
    return report


def _add_fast_network(folder: Path) -> None:
    """Export the network of a model folder to OpenVINO, where that is installed and agrees."""
    from spinscope.inference.engine import export, has_openvino
    from spinscope.models.store import write_sums

    if not has_openvino():
        return
    try:
        export(folder, folder)
    except SpinscopeError as error:  # Keras computes it then
        warnings.warn(str(error), stacklevel=2)
    write_sums(folder)


def train(
    params: Params,
    out: Path,
    *,
    run_seeds: Callable[[list[int], str], list[dict]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress=_plain,
) -> dict:
    """Validate, train every seed, evaluate, track and register: the main job of a family.

    run_seeds : (seeds, id of the parent run) → rows of `train_seed`, where a flow brings its own
        concurrency and retries; in order by default.
    Returns the report that is also written to `out/report.json`.
    """
    from spinscope.tracking import lineage, open_store, parent_run

    data = checked_data(params, out / "validation", progress=progress)
    store = open_store(params.tracking)
    with parent_run(store, params, lineage(params, data.hash)) as parent:

        def in_order(every: list[int], parent_id: str) -> list[dict]:
            return [
                train_seed(
                    params,
                    seed,
                    out,
                    parent_id=parent_id,
                    on_epoch=on_epoch and partial(on_epoch, seed),
                    progress=progress,
                )
                for seed in every
            ]

        rows = (run_seeds or in_order)(seeds(params), parent.run_id)
        return finish_training(params, rows, out, parent_id=parent.run_id, validated=True)


def evaluate_model(
    params: Params,
    model_ref: str,
    folder: Path,
    *,
    batches: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    picture: Path | None = None,
    progress=_plain,
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
    report = _report(params, network, part, views, progress=progress)
    if picture is not None:
        draw_frame(network, part, fullest(report), views, picture)
    return {
        "model": {"ref": model_ref, "sha256": sha256(model / NETWORK)},
        "data": {"path": str(folder), "hash": data_hash(dataset)},
        **report,
    }


def segment(
    params: Params,
    paths: Sequence[Path],
    model_refs: Sequence[str],
    out: Path,
    *,
    watch: bool = False,
    stop: Callable[[], bool] | None = None,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> list[dict]:
    """Segment and measure recordings with a model, or with the mean of several.

    paths : images, stacks, videos and folders of images; every one is opened before the first is
        segmented. Each gets a folder of results `out/NAME` and an overlay of its first frame, a
        single image also its mask as a label file.
    watch : `paths` is one folder whose frames are taken as they appear, until `stop` says so.
    on_frame : is told (name, frames done, frames in all or None).
    Returns a row a recording: file, folder, frames, objects, fraction of the area, frames_per_s.
    """
    from spinscope.data.stream import open_stream
    from spinscope.data.stream import watch as watch_folder
    from spinscope.tracking import resolve

    settings = params.segment
    folders = {ref: resolve(params.tracking, ref) for ref in model_refs}
    size = settings.pixel_size_nm and settings.pixel_size_nm * 1e-9
    if watch:
        if len(paths) != 1:
            raise SpinscopeError(f"--watch must name one folder, not {len(paths)} paths")
        streams = [
            watch_folder(
                paths[0],
                pixel_size=size,
                settle=settings.settle_s,
                idle=settings.idle_s,
                stop=stop or (lambda: False),
            )
        ]
    else:
        streams = [open_stream(path, pixel_size=size) for path in paths]
    if not streams:
        raise SpinscopeError("segment needs at least one image, stack, video or folder")
    names = [stream.name for stream in streams]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(f"two recordings are named {twice[0]!r}; their results would collide")
    for stream in streams:
        if stream.n == 1 and math.prod(stream.shape) <= _PICTURE_PIXELS:
            stream.read(0)  # of single images, a bad one stops the call before the first is done
    predictors, about = _predictors(params, folders)
    return [
        _segment_one(
            params,
            stream,
            predictors,
            out,
            {**about, "tta": settings.tta, "min_px": params.evaluation.min_object_px},
            on_frame and partial(on_frame, stream.name, total=stream.n),
        )
        for stream in streams
    ]


def measure(params: Params, folder: Path) -> dict[str, Any]:
    """Figures of lattice and tracks of a folder of results, which gets their tables."""
    from spinscope.live.measurements import measure_recording
    from spinscope.live.results import open_results

    return measure_recording(open_results(folder), params.measure)


def export(folder: Path, kinds: Sequence[str], out: Path | None = None) -> dict[str, Path]:
    """Write a folder of results as other programs read it; returns kind → file.

    kinds : of `analysis.exports.KINDS`.   out : folder to write to, by default that of the results.
    The recording itself is read again where it is still there; without it there are no grey values.
    """
    from spinscope.analysis.exports import KINDS, SUFFIXES
    from spinscope.data.stream import image_of
    from spinscope.live.results import open_results

    results = open_results(folder)
    for kind in kinds:
        if kind not in KINDS:
            raise SpinscopeError(f"export {kind!r} must be one of {', '.join(KINDS)}")
    about, names = results.summary["stream"], dict(enumerate(results.table("frames")["name"]))
    try:
        stream = results.stream()
    except SpinscopeError:
        if {"png", "mp4"} & set(kinds):  # they are drawn on the frames
            raise
        stream = None
    written = {}
    for kind in kinds:
        images: Iterable = itertools.repeat(None)
        if stream is not None:
            images = (image_of(raw, stream.scale) for _, raw in stream.frames())
        target = (out or folder) / f"{about['name']}{SUFFIXES[kind]}"
        pairs = zip(results.masks(), images, strict=False)  # masks end first where a call stopped
        KINDS[kind](
            target,
            ((k, image, mask) for k, (mask, image) in enumerate(pairs)),
            classes=results.summary["classes"],
            pixel_size=about["pixel_size"],
            interval=about["interval"],
            names=names.__getitem__,
            min_px=results.summary["about"]["min_px"],
        )
        written[kind] = target
    return written


def predictor(params: Params, model_ref: str, *, streams: int = 1) -> Predictor:
    """The model of a reference, on the engine of the settings."""
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
    )


def _predictors(params: Params, folders: dict[str, Path]) -> tuple[list[Predictor], dict]:
    """The models of an ensemble, reference → folder, and what identifies them."""
    from spinscope.models.store import NETWORK

    predictors = [
        predictor(params, str(folder), streams=_workers(params)) for folder in folders.values()
    ]
    classes = {tuple(one.info["classes"]) for one in predictors}
    if len(classes) != 1:
        raise SpinscopeError(
            f"models {', '.join(folders)} must know the same classes, not {sorted(classes)}"
        )
    about = [{"ref": ref, "sha256": sha256(folder / NETWORK)} for ref, folder in folders.items()]
    return predictors, {"models": about, "inference": params.inference.model_dump()}


def _workers(params: Params) -> int:
    return params.segment.workers or len(os.sched_getaffinity(0))


def _segment_one(params, stream, predictors, out: Path, about: dict, on_frame) -> dict:
    from spinscope.data import write_label
    from spinscope.data.pictures import overlay, write_picture
    from spinscope.live.pipeline import segment_stream

    results = segment_stream(
        stream,
        predictors,
        out / stream.name,
        about=about,
        tta=params.segment.tta,
        min_px=params.evaluation.min_object_px,
        workers=_workers(params),
        part=params.segment.part,
        on_frame=on_frame,
    )
    row = {
        "file": str(stream.path),
        "folder": str(results.folder),
        "frames": results.n,
        "objects": results.summary["figures"]["objects"],
        "frames_per_s": results.summary["timing"]["frames_per_s"],
    }
    if results.n:
        mask = results.mask(0)
        classes = results.summary["classes"]
        row["fraction"] = {name: float((mask == k).mean()) for k, name in enumerate(classes)}
        if mask.size <= _PICTURE_PIXELS:
            row["overlay"] = str(out / f"{stream.name}.overlay.png")
            write_picture(row["overlay"], [overlay(stream.read(0), mask)])
            if results.n == 1:
                row["mask"] = str(out / f"{stream.name}.mask.png")
                write_label(row["mask"], mask)
    return row


def promote(
    params: Params, name: str, version: int | None, reason: str, *, who: str | None = None
) -> Promotion:
    """Promote a registered version through the gates of `params`.

    The current lab version is measured on the candidate's frames where they differ.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.tracking import measured_on, open_store
    from spinscope.tracking import promote as promote_version
    from spinscope.tracking import version as find_version

    store = open_store(params.tracking)
    candidate = find_version(store, name, version)

    def measure(folder: Path) -> float:
        dataset, splits = split(params)
        here, there = measured_on(params, data_hash(dataset)), candidate.tags.get("measured_on")
        if here != there:
            raise SpinscopeError(
                f"{candidate.ref} was measured on other frames ({there}) than the settings name "
                f"({here}); promote it with the profile that it was trained with"
            )
        return _report(params, Predictor.load(folder), splits.validation, 1)["mcc"]

    return promote_version(
        store,
        name,
        candidate.version,
        reason=reason,
        gates=params.gates,
        who=who,
        measure=measure,
    )


def fullest(report: dict) -> int:
    """Index of the frame with the most labelled objects."""
    counts = [row["objects_true"] for row in report["per_image"]]
    return counts.index(max(counts))


def draw_frame(predictor: Predictor, dataset: Dataset, index: int, views: int, out: Path) -> Path:
    """Picture of a frame: image, label and prediction side by side."""
    from spinscope.data import to_scheme
    from spinscope.data.pictures import picture_row, write_picture

    image = dataset.image(index)
    label = to_scheme(dataset.label(index), len(predictor.info["classes"]))
    write_picture(out, picture_row(image, (label, predictor.classes(image, views))))
    return out


def _report(params: Params, predictor, part: Dataset, views: int, *, progress=_plain) -> dict:
    from spinscope.evaluation import evaluate

    predictor.classes(part.image(0), views)  # the first call traces the network: not a frame's time
    report = evaluate(
        lambda image: predictor.classes(image, views),
        part,
        predictor.info["classes"],
        params.evaluation,
        progress=progress,
    )
    return {**report, "tta": views}


def _cached_report(path: Path, model: Path, make: Callable[[], dict]) -> dict:
    """A report that is kept beside the model it is of, so that a repeated call reads it."""
    from spinscope.models.store import NETWORK

    digest = sha256(model / NETWORK)
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept.get("model_sha256") == digest:
            return kept
    report = {**make(), "model_sha256": digest}
    write_json(path, report)
    return report


def _both(*calls: Callable | None) -> Callable:
    def every(*arguments):
        for call in calls:
            if call is not None:
                call(*arguments)

    return every


class _Untracked:
    """Stands in for a tracked seed where no parent run is named."""

    run_id: str | None = None

    def epoch(self, epoch: int, logs: dict[str, float]) -> None: ...
    def finish(self, history: dict[str, list[float]], row: dict) -> None: ...


class _TrackedSeed(_Untracked):
    """Writes one seed's curves, reports and figures to its run."""

    def __init__(self, run):
        self.run, self.run_id = run, run.run_id

    def epoch(self, epoch: int, logs: dict[str, float]) -> None:
        from spinscope.tracking.runs import log_epoch

        # A store that fails for a moment must not end a training; `finish` logs all again.
        with contextlib.suppress(SpinscopeError):
            log_epoch(self.run, epoch, logs)

    def finish(self, history: dict[str, list[float]], row: dict) -> None:
        from spinscope.evaluation import figures
        from spinscope.tracking.runs import log_curves, log_figure, log_metrics, log_report

        log_curves(self.run, history)
        log_metrics(self.run, {"seconds": row["seconds"], "best_epoch": row["best_epoch"]})
        for name in ("validation", "tta"):
            log_report(self.run, row[name], name)
        for name, figure in (
            ("curves.png", figures.training_curves({row["seed"]: history})),
            ("sizes.png", figures.size_distribution(row["validation"])),
            ("confusion.png", figures.confusion_matrix(row["validation"])),
        ):
            log_figure(self.run, _png(figure), name)


@contextlib.contextmanager
def _tracked_seed(params: Params, seed: int, hash_: str, parent_id: str | None):
    if parent_id is None:
        yield _Untracked()
        return
    from spinscope.tracking import Run, lineage, open_store, seed_run

    parent = Run(open_store(params.tracking), parent_id)
    with seed_run(parent, lineage(params, hash_, seed)) as run:
        yield _TrackedSeed(run)


def _track_experiment(
    params: Params,
    rows: Sequence[dict],
    best: dict,
    report: dict,
    out: Path,
    parent_id: str,
    validated: bool,
) -> Version:
    from spinscope.evaluation import figures
    from spinscope.tracking import Run, lineage, measured_on, open_store, register
    from spinscope.tracking.runs import log_figure, log_json, log_metrics

    store: Store = open_store(params.tracking)
    parent = Run(store, parent_id)
    dataset, splits = split(params)
    log_metrics(parent, report["validation"])
    log_metrics(parent, {f"tta.{key}": value for key, value in report["tta"].items()})
    log_json(parent, report, "report.json")
    histories = {
        row["seed"]: json.loads((out / f"seed-{row['seed']}" / "history.json").read_text())
        for row in rows
    }
    log_figure(parent, _png(figures.training_curves(histories)), "curves.png")
    hash_, name = data_hash(dataset), params.tracking.experiment
    tags = lineage(params, hash_, best["seed"]) | {
        "network.sha256": best["validation"]["model_sha256"]
    }
    if same := _registered_before(store, name, tags):
        return same
    examples = [splits.validation.image(i) for i in range(min(EXAMPLES, len(splits.validation)))]
    return register(
        store,
        best["run_id"] or parent_id,
        best["folder"],
        name,
        seed=best["seed"],
        reports={row["seed"]: row["validation"] for row in rows},
        lineage=tags,
        measured_on=measured_on(params, hash_),
        validated=validated,
        examples=examples,
    )


def _registered_before(store: Store, name: str, tags: dict[str, str]) -> Version | None:
    """The newest version, if it is of the same network, settings and data."""
    from spinscope.tracking import registry

    if name not in registry.names(store):
        return None
    newest = registry.version(store, name)
    same = ("network.sha256", "params.digest", "data.hash")
    return newest if all(newest.tags.get(key) == tags[key] for key in same) else None


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def out_folder(name: str) -> Path:
    """Default folder of a job's output: build/NAME of the project."""
    return project_root() / "build" / name


HELD_BACK = 4
"""Of the pictures of a recording that people reviewed, one in so many only checks models."""


def retrain(
    params: Params,
    reviews: Sequence[Path],
    model_ref: str,
    out: Path,
    *,
    run_seeds: Callable[[Params, Path], Callable[[list[int], str], list[dict]]] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress=_plain,
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
    uses = {"held_out": {"held out"}, "trained": {"train"}, "other": {"test", "unused"}}
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
            scored = _report(settings, network, of, 1, progress=progress) if len(of) else None
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
    from spinscope.data.reviews import CORRECTIONS, Reviews, corrected_dataset

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
    for row in json.loads((dataset.path / CORRECTIONS).read_text())["reviewed"]:
        use = use_of.get(row["batch"], "unused") if row["replaces"] else "train"
        if not row["replaces"] and (row["whole"] or row["image"]) in held_back:
            use = "held out"
        frame = {"name": row["name"], "use": use, "held_out": use == "held out", "reviews": []}
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
    settings["model"] = info["model"]
    # The validation frames would choose the epoch that has learned least of new recordings.
    settings["training"] |= {"pretrained": model_ref, "keep": "last"}
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
    if not report["data"]["held_out"]:
        return (
            f"No corrected frame was held back (of a recording each {HELD_BACK}th new one is): "
            f"MCC went from {change('trained')} on frames that the new model was trained on, "
            f"which proves little, and {validation}."
        )
    return (
        f"MCC went from {change('held_out')} on {report['data']['held_out']} corrected frames held "
        f"back from training (others of their recordings were not), and {validation}."
    )


def _track_retraining(params: Params, report: dict) -> None:
    """Tell the new version which corrections it learned from, and what they brought."""
    from spinscope.tracking import Run, open_store, registry
    from spinscope.tracking.runs import log_json
    from spinscope.tracking.store import reachable

    store = open_store(params.tracking)
    version = registry.find(store, report["registered"])
    data = report["data"]
    tags = {
        "retrain.from": report["old"]["ref"],
        "retrain.from_sha256": report["old"]["sha256"],
        "retrain.reviews": ",".join(Path(folder).name for folder in data["reviews"]),
        "retrain.frames": data["reviewed"],
        "retrain.held_out": data["held_out"],
        "retrain.says": report["says"],
    }
    with reachable(store.uri):
        for key, value in tags.items():
            store.client.set_model_version_tag(version.name, str(version.version), key, str(value))
    log_json(Run(store, version.run_id), report, "retrain.json")
