"""Weak relabelling: the defects of a few sources teach a network to label those of the others.

On frames whose defects are all labelled they are hidden on all but a few sources, so that what
the network recovers can be held against the truth. All that is made lies below OUT:

    relabelled/, relabelled.dvc     the new version of the dataset, and its name for DVC
    relabelling/hidden-labels/      the dataset before: defects on a few sources only
    relabelling/teacher/seed-S/     networks that learned from these sources
    relabelling/scout/seed-S/       one of half of them, which chooses the threshold on the others
    relabelling/KIND/seed-S/        students: true, weak and hidden labels
    relabelling.json                the report

Each step is kept and read back, so that a study that was killed goes on where it stopped.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.config import Params, overridden
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset, split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.files import sha256, write_json
from spinscope.jobs.data import first_weights, plain, split
from spinscope.jobs.evaluating import score
from spinscope.processes import side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spinscope.training.fit import FitResult

REPORT = "relabelling.json"
TEACHER, SCOUT = "teacher", "scout"
STUDENTS = ("true", "weak", "hidden")
"""Labels that students learn from: by hand; a model's where they were hidden; and left hidden."""

BOUND = 0.01
"""The MCC that weak labels may cost."""


@dataclass(frozen=True)
class Plan:
    """What is trained on what. `hidden` is the version of `dataset` with its defects hidden."""

    params: Params
    teacher: Params
    dataset: Dataset
    splits: Splits
    hash: str
    sources: tuple[int, ...]
    seeds: tuple[int, ...]
    min_px: int
    out: Path

    @property
    def folder(self) -> Path:
        """Where the steps of the study lie."""
        return self.out / "relabelling"

    def version(self, kind: str) -> Path:
        """Folder of the dataset that students of a kind learn from."""
        where = {"weak": self.out / "relabelled", "hidden": self.folder / "hidden-labels"}
        return where.get(kind, self.dataset.path)

    @property
    def scouted(self) -> tuple[int, ...]:
        """Labelled sources that the scout learns from: every other one; none where there is one."""
        return self.sources[::2] if len(self.sources) > 1 else ()

    @property
    def teachers(self) -> list[tuple[str, int]]:
        """Kind and seed of the networks that are trained before the frames are relabelled."""
        scouts = [(SCOUT, self.seeds[0])] if self.scouted else []
        return [*((TEACHER, seed) for seed in self.seeds), *scouts]

    @property
    def students(self) -> list[tuple[str, int]]:
        """Kind and seed of the networks that are trained afterwards."""
        return [(kind, seed) for seed in self.seeds for kind in STUDENTS]

    def model(self, kind: str, seed: int) -> Path:
        """Model folder of a network."""
        return self.folder / kind / f"seed-{seed}" / "model"

    @property
    def hidden_rows(self) -> frozenset[int]:
        """Frames to train on whose defects are hidden, as rows of the dataset."""
        return frozenset(
            row
            for row, record in zip(self.splits.train.rows, self.splits.train.records, strict=True)
            if record.source not in self.sources
        )


def relabel(
    params: Params, out: Path, *, track: bool = True, workers: int = 1, progress=plain
) -> dict:
    """Hide, teach, relabel, train on true and weak labels, and compare: the report of `finish`.

    workers : trainings under way at once, each a process of its own where there are several.
    """
    plan = prepare(params, out, progress=progress)
    _train(plan.teachers, params, out, workers, progress)
    relabel_frames(params, out, progress=progress)
    _train(plan.students, params, out, workers, progress)
    return finish(params, out, track=track, progress=progress)


def prepare(params: Params, out: Path, *, progress=plain) -> Plan:
    """Validate the dataset and write the version with hidden defects, unless it stands there."""
    from spinscope.datasets.validate import require_valid, validate
    from spinscope.studies.kerr.relabelled_dataset import made_of, relabelled_dataset
    from spinscope.studies.kerr.relabelling_scores import hide

    plan = _plan(params, out)
    origin = {"what": "defects hidden", "labelled_sources": list(plan.sources)}
    origin["train_batches"] = list(plan.params.data.train_batches)
    if made_of(plan.version("hidden"), plan.hash, origin) is None:
        require_valid(validate(plan.dataset, plan.splits, plan.folder / "validation"))
        relabelled_dataset(
            plan.dataset,
            lambda i: hide(plan.dataset.label(i)) if i in plan.hidden_rows else None,
            plan.version("hidden"),
            by="hand, defects hidden",
            origin=origin,
            progress=progress,
        )
    return plan


def train_one(params: Params, out: Path, kind: str, seed: int) -> dict[str, Any]:
    """Train a teacher or a student of a kind, and score it on the validation frames.

    Returns {kind, seed, seconds, best_epoch, sha256, data_hash, evaluation, mcc, objects,
    confusion, n_images}; what has ended is read back.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.models.store import NETWORK
    from spinscope.training.fit import fit

    if kind not in (TEACHER, SCOUT, *STUDENTS):
        known = ", ".join((TEACHER, SCOUT, *STUDENTS))
        raise SpinscopeError(f"kind {kind!r} must be one of {known}")
    plan = _plan(params, out)
    few = {TEACHER: plan.sources, SCOUT: plan.scouted}.get(kind)
    settings = plan.params if few is None else plan.teacher
    dataset = open_dataset(plan.version(kind if few is None else "hidden"))
    splits = _splits(dataset, settings)
    if few is not None:
        splits = Splits(splits.train.select(sources=few), splits.validation)
    info = {"data_hash": data_hash(dataset), "params": settings.digest()}
    folder = plan.model(kind, seed).parent
    result: FitResult = fit(
        families.of(settings),
        splits,
        settings,
        seed=seed,
        folder=folder,
        pretrained=first_weights(settings),
        info=info,
    )
    row = {
        "kind": kind,
        "seed": seed,
        "best_epoch": result.best_epoch,
        "sha256": sha256(result.model / NETWORK),
        "data_hash": info["data_hash"],
        "evaluation": settings.evaluation.model_dump(mode="json"),
    }
    if (kept := _read(folder / "row.json")) and row.items() <= kept.items():
        return kept
    scored = score(settings, Predictor.load(result.model), splits.validation, 1)
    scored = {key: scored[key] for key in ("mcc", "objects", "confusion", "n_images")}
    row |= {"seconds": result.seconds, **scored}
    write_json(folder / "row.json", row)
    return row


def relabel_frames(params: Params, out: Path, *, progress=plain) -> Dataset:
    """Write the version of the dataset whose hidden defects the teachers found; returns it.

    The teachers' probabilities, each the mean over the views of `evaluation.tta`, are averaged.
    From which probability on a pixel is a defect, a scout that learned from half of the labelled
    sources says on the other half: on those that it learned from, any network is too sure.
    The version passes validation or is not used. Beside it lies its `.dvc` file.
    """
    from spinscope.classes import DEFECT, SKYRMION
    from spinscope.datasets.validate import require_valid, validate
    from spinscope.inference.predict import Predictor
    from spinscope.models.store import NETWORK
    from spinscope.studies.kerr.relabelled_dataset import made_of, relabelled_dataset, write_dvc
    from spinscope.studies.kerr.relabelling_scores import best_threshold, recovery, relabelled

    plan = _plan(params, out)
    hidden, weak = open_dataset(plan.version("hidden")), plan.version("weak")
    models = [plan.model(kind, seed) for kind, seed in plan.teachers]
    views, min_px = plan.params.evaluation.tta, plan.min_px
    origin = {
        "what": "defects found by networks",
        "models": [
            {"kind": kind, "seed": seed, "sha256": sha256(model / NETWORK)}
            for (kind, seed), model in zip(plan.teachers, models, strict=True)
        ],
        "settings": plan.teacher.digest(),
        "labelled_sources": list(plan.sources),
        "views": views,
        "min_px": min_px,
    }
    dataset = made_of(weak, data_hash(hidden), origin)
    kept = _read(plan.folder / "teachers.json")
    if dataset is None or kept is None or kept["models"] != origin["models"]:
        networks = [Predictor.load(model) for model in models]
        teachers = networks[: len(plan.seeds)]
        threshold = 0.5
        if plan.scouted:
            held_back = set(plan.sources) - set(plan.scouted)
            part = hidden.select(sources=held_back)
            threshold = best_threshold(
                ((label, networks[-1].probabilities(image, views)) for _, image, label in part),
                min_px=min_px,
            )

        def probabilities(index: int) -> list[np.ndarray]:
            image = hidden.image(index)
            return [teacher.probabilities(image, views) for teacher in teachers]

        alone: dict[int, list[dict[str, int]]] = {seed: [] for seed in plan.seeds}

        def label_of(index: int) -> np.ndarray | None:
            if index not in plan.hidden_rows:
                return None
            label, found = hidden.label(index), probabilities(index)
            true = plan.dataset.label(index) == DEFECT
            for seed, one in zip(plan.seeds, found, strict=True):
                new = relabelled(label, one, threshold=threshold, min_px=min_px) == DEFECT
                counts = recovery(true, new, label == SKYRMION, iou=plan.params.evaluation.iou)
                alone[seed].append(counts)
            mean = np.mean(found, axis=0)
            return relabelled(label, mean, threshold=threshold, min_px=min_px)

        origin["threshold"] = threshold
        dataset = relabelled_dataset(
            hidden, label_of, weak, by="model", origin=origin, progress=progress
        )
        write_json(
            plan.folder / "teachers.json",
            {
                "models": origin["models"],
                "alone": {str(seed): rows for seed, rows in alone.items()},
            },
        )
    require_valid(
        validate(dataset, _splits(dataset, plan.params), plan.folder / "relabelled-validation")
    )
    write_dvc(dataset)
    return dataset


def finish(params: Params, out: Path, *, track: bool = True, progress=plain) -> dict:
    """Write OUT/relabelling.json of all that was trained, track it, and return it.

    sources, rule : who was labelled by hand, and how they were chosen.   defects : precision and
    recall of the recovered defects (`precision_recall`), `per_teacher` and `per_source`.   mcc :
    kind of student → MCC of skyrmions on the validation frames, one a seed;
    defect_mcc : that of defects, which says whether they were learned.   difference,
    difference_defects, difference_hidden : paired over the seeds, to the students of true labels.
    within : whether weak labels cost at most `bound`.   data_hash, hidden_hash, weak_hash : the
    versions.
    Raises SpinscopeError where a training or the new version is missing.
    """
    from spinscope.studies.kerr.relabelling_scores import (
        defect_mcc,
        paired_difference,
        precision_recall,
    )

    plan = _plan(params, out)
    every = [_row(plan, *which) for which in (*plan.teachers, *plan.students)]
    rows = {kind: [row for row in every if row["kind"] == kind] for kind in STUDENTS}
    weak = open_dataset(plan.version("weak"))
    origin, recovered = _recovered(plan, weak)
    alone = _read(plan.folder / "teachers.json")["alone"]
    mcc = {kind: [row["mcc"] for row in rows[kind]] for kind in STUDENTS}
    of_defects = {kind: [defect_mcc(row["confusion"]) for row in rows[kind]] for kind in STUDENTS}
    difference = paired_difference(mcc["weak"], mcc["true"])
    report = {
        "kind": "relabelling",
        "sources": list(plan.sources),
        "rule": "the sources to train on with the most defects a frame; of equals the first",
        "labelled_images": sum(r.source in plan.sources for r in plan.splits.train.records),
        "seeds": list(plan.seeds),
        "defects": {
            **precision_recall(row for rows in recovered.values() for row in rows),
            "per_teacher": [
                {"seed": seed, **precision_recall(alone[str(seed)])} for seed in plan.seeds
            ],
            "per_source": [
                {"source": source, **precision_recall(of)} for source, of in recovered.items()
            ],
        },
        "mcc": mcc,
        "defect_mcc": of_defects,
        "difference": difference,
        "difference_defects": paired_difference(of_defects["weak"], of_defects["true"]),
        "difference_hidden": paired_difference(mcc["hidden"], mcc["true"]),
        "bound": BOUND,
        "within": difference["mean"] >= -BOUND,
        "n_images": {name: len(part) for name, part in plan.splits.named().items()},
        "data_hash": plan.hash,
        "hidden_hash": rows["hidden"][0]["data_hash"],
        "weak_hash": rows["weak"][0]["data_hash"],
        "dvc": f"{weak.path.name}.dvc",
        "origin": origin,
        "settings": plan.params.digest(),
        "trainings": every,
        "seconds": float(np.mean([row["seconds"] for row in every])),
    }
    write_json(plan.out / REPORT, report)
    if track:
        _track(plan, report, figures(params, out))
    return report


def figures(params: Params, out: Path) -> dict[str, Figure]:
    """Figures of a finished study by their captions; they show frames of the dataset.

    Raises SpinscopeError where the settings name another dataset than that of the study.
    """
    from spinscope.classes import DEFECT
    from spinscope.studies.kerr.relabelled_dataset import provenance
    from spinscope.studies.kerr.relabelling_figures import mcc_figure, recovery_figure

    plan, report = _plan(params, out), json.loads((Path(out) / REPORT).read_text())
    if report["data_hash"] != plan.hash:
        raise SpinscopeError(
            f"{Path(out) / REPORT} is of the data {report['data_hash']}; {plan.dataset.path} is "
            f"{plan.hash}, they must be the same"
        )
    weak = open_dataset(plan.version("weak"))
    said = provenance(weak.path)["frames"]
    rows = [index for index, row in enumerate(said) if row["by"] == "model"]
    drawn, seen = [], set()
    for index in sorted(rows, key=lambda i: -np.sum(plan.dataset.label(i) == DEFECT)):
        record = plan.dataset.records[index]
        if record.source not in seen and len(drawn) < 4:
            seen.add(record.source)
            true, found = plan.dataset.label(index), weak.label(index)
            title = f"{record.name}, source {record.source}"
            drawn.append((title, plan.dataset.image(index), true, found))
    return {
        "Defects of frames whose defects were hidden. Green: recovered; blue: missed; orange: "
        "made up.": recovery_figure(drawn),
        "MCC of skyrmions on the validation frames; a line joins the students of a seed.":
            mcc_figure(report["mcc"]),
    }  # fmt: skip


def relabel_lines(report: dict) -> list[str]:
    """What the study found, a line each."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    defects, difference = report["defects"], report["difference"]
    lines = [
        f"labelled by hand: sources {', '.join(map(str, report['sources']))} "
        f"({report['labelled_images']} frames); relabelled: {defects['n_images']} frames",
        f"defects: {defects['n_true']} hidden, {defects['n_found']} found",
    ]
    for name, end in (("objects that touch", ""), ("objects at IoU", "_iou"), ("pixels", "_px")):
        precision, recall = (number(defects[f"{key}{end}"]) for key in ("precision", "recall"))
        lines.append(f"  by {name:<20} precision {precision}  recall {recall}")
    lines.append(
        f"  of the {defects['n_free']} that touch no labelled skyrmion: recall "
        f"{number(defects['recall_free'])}"
    )
    for what, name in (("mcc", "MCC"), ("defect_mcc", "MCC of defects")):
        for kind, values in report[what].items():
            each = "  ".join(f"{value:.4f}" for value in values)
            lines.append(f"{name}, {kind + ' labels':<14} {each}")
    says = "within" if report["within"] else "not within"
    lines.append(
        f"weak - true: {difference['mean']:+.4f} (SD {difference['sd']:.4f}), "
        f"{says} {report['bound']:g}; {report['seconds']:.0f} s a training"
    )
    return lines


def _plan(params: Params, out: Path) -> Plan:
    from spinscope.studies.kerr.relabelling_scores import richest_sources

    settings = overridden(params, params.relabelling.base)
    if settings.data.scheme != 3:
        raise SpinscopeError(
            f"data.scheme (={settings.data.scheme}) must be 3: relabelling is about defects"
        )
    dataset, splits = split(settings)
    hash_ = data_hash(dataset)
    return Plan(
        settings,
        overridden(settings, params.relabelling.teacher),
        dataset,
        splits,
        hash_,
        richest_sources(
            _defects(dataset.path, splits.train.rows, hash_), params.relabelling.labelled_sources
        ),
        tuple(params.seed + k for k in range(params.relabelling.seeds)),
        params.relabelling.min_px,
        Path(out),
    )


@functools.lru_cache(maxsize=2)
def _defects(path: Path, rows: tuple[int, ...], hash_: str) -> dict[int, list[int]]:
    """Defects in every frame of each source; reading the labels takes seconds."""
    from spinscope.classes import DEFECT
    from spinscope.datasets.manifest import count_objects

    dataset, found = open_dataset(path), {}
    for row in rows:
        count = count_objects(dataset.label(row) == DEFECT)
        found.setdefault(dataset.records[row].source, []).append(count)
    return found


def _splits(dataset: Dataset, params: Params) -> Splits:
    data = params.data
    return split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)


def _train(
    what: Sequence[tuple[str, int]], params: Params, out: Path, workers: int, progress: Callable
) -> None:
    one = functools.partial(_train_named, params, out)
    done = map(one, what) if workers == 1 else side_by_side(one, what, workers)
    for _ in progress(done, total=len(what), desc="train"):
        pass


def _train_named(params: Params, out: Path, what: tuple[str, int]) -> dict[str, Any]:
    return train_one(params, out, *what)


def _row(plan: Plan, kind: str, seed: int) -> dict[str, Any]:
    folder = plan.model(kind, seed).parent
    row = _read(folder / "row.json")
    if row is None:
        raise SpinscopeError(f"the {kind} network of seed {seed} is missing below {plan.folder}")
    return {**row, "folder": folder.relative_to(plan.out).as_posix()}


def _recovered(plan: Plan, weak: Dataset) -> tuple[dict, dict[int, list[dict[str, int]]]]:
    """Where the version came from, and the recovery of every frame a model labelled, by source."""
    from spinscope.classes import DEFECT, SKYRMION
    from spinscope.studies.kerr.relabelled_dataset import provenance
    from spinscope.studies.kerr.relabelling_scores import recovery

    said, rows = provenance(weak.path), {}
    for index, row in enumerate(said["frames"]):
        if row["by"] == "model":
            true, found = (of.label(index) == DEFECT for of in (plan.dataset, weak))
            skyrmions = weak.label(index) == SKYRMION
            counts = recovery(true, found, skyrmions, iou=plan.params.evaluation.iou)
            rows.setdefault(row["source"], []).append(counts)
    return said["origin"], dict(sorted(rows.items()))


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def _track(plan: Plan, report: dict, drawn: dict[str, Figure]) -> None:
    """A study with a trial a training; one that is tracked again is the same run."""
    from spinscope.studies.kerr.relabelled_dataset import provenance
    from spinscope.studies.report import png
    from spinscope.tracking import lineage, open_store, runs

    store, tags = open_store(plan.params.tracking), lineage(plan.params, plan.hash)
    decisive = [plan.hash, plan.params.digest(), plan.teacher.digest(), plan.sources, plan.min_px]
    key = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]
    with runs.study_parent(store, plan.params, tags, f"relabelling {key}") as parent:
        for row in report["trainings"]:
            name = f"{row['kind']} {row['seed']}"
            of = {**tags, "data.hash": row["data_hash"], "seed": str(row["seed"])}
            with runs.trial_run(parent, of, name) as run:
                runs.log_curves(run, _read(plan.out / row["folder"] / "history.json"))
                runs.log_metrics(run, {key: row[key] for key in ("mcc", "seconds", "best_epoch")})
        runs.log_metrics(parent, runs.numbers({k: report[k] for k in ("defects", "difference")}))
        runs.log_json(parent, report, f"study/{REPORT}")
        runs.log_table(parent, provenance(plan.version("weak"))["frames"], "study/provenance.csv")
        for number, figure in enumerate(drawn.values()):
            runs.log_figure(parent, png(figure), f"relabelling-{number}.png")
