"""Weak relabelling: networks trained on the defects of a few sources label those of the others.

The frames have labels of all defects. They are hidden on all but a few sources, so that what the
network recovers can be compared with the truth. Files below the output folder:

``relabelled/``, ``relabelled.dvc``
    The new version of the dataset, and its name for DVC.
``relabelling/hidden-labels/``
    The version with defects on a few sources only.
``relabelling/teacher/seed-S/``
    Networks trained on these sources.
``relabelling/scout/seed-S/``
    A network trained on half of them, which chooses the threshold on the other half.
``relabelling/KIND/seed-S/``
    Students: networks trained on true, weak and hidden labels.
``relabelling.json``
    The report.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spinscope.classes import DEFECT, SKYRMION
from spinscope.code import code_digest
from spinscope.config import Params, overridden
from spinscope.datasets import Dataset, Splits, data_hash, open_dataset, split_by_batch
from spinscope.datasets.manifest import count_objects
from spinscope.datasets.validate import require_valid, validate
from spinscope.errors import SpinscopeError
from spinscope.families.base import SCORING
from spinscope.files import digest, kept, sha256, write_json
from spinscope.inference.predict import Predictor
from spinscope.jobs.data import split
from spinscope.jobs.evaluating import score
from spinscope.models.store import NETWORK
from spinscope.progress import Progress, no_progress
from spinscope.studies.base import Job, Stage
from spinscope.studies.kerr import relabelled_dataset as versions
from spinscope.studies.kerr import relabelling_scores as scores
from spinscope.studies.kerr.figures import recovery_figure, student_figure
from spinscope.studies.kerr.trials import fitted
from spinscope.studies.runs import recorded

REPORT = "relabelling.json"
TEACHER, SCOUT = "teacher", "scout"
STUDENTS = ("true", "weak", "hidden")
"""Labels of the students: by hand; by a network where hidden; and left hidden."""

BOUND = 0.01
"""Loss of MCC that weak labels may cause."""


@dataclass(frozen=True)
class Plan:
    """Networks of the study and their data.

    Parameters
    ----------
    params, teacher : Params
        Settings of students and of teachers.
    dataset : Dataset
        Frames with their true labels.
    splits : Splits
        Their splits.
    hash : str
        Their hash.
    sources : tuple of int
        Sources whose defects are not hidden.
    seeds : tuple of int
        Seeds of teachers and students.
    min_px : int
        Smallest area of a defect in px.
    out : Path
        Output folder.
    """

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
        """Folder of the networks."""
        return self.out / "relabelling"

    def version(self, kind: str) -> Path:
        """Folder of the dataset of the students of a kind.

        Parameters
        ----------
        kind : str
            Kind of the network: teacher, scout, true, weak or hidden.
        """
        where = {"weak": self.out / "relabelled", "hidden": self.folder / "hidden-labels"}
        return where.get(kind, self.dataset.path)

    @property
    def scouted(self) -> tuple[int, ...]:
        """Labelled sources of the scout: every other one; none if there is only one."""
        return self.sources[::2] if len(self.sources) > 1 else ()

    @property
    def teachers(self) -> list[tuple[str, int]]:
        """Kind and seed of the networks that precede the relabelling."""
        scouts = [(SCOUT, self.seeds[0])] if self.scouted else []
        return [*((TEACHER, seed) for seed in self.seeds), *scouts]

    @property
    def students(self) -> list[tuple[str, int]]:
        """Kind and seed of the networks that follow it."""
        return [(kind, seed) for seed in self.seeds for kind in STUDENTS]

    def model(self, kind: str, seed: int) -> Path:
        """Model folder of a network.

        Parameters
        ----------
        kind : str
            Kind of the network: teacher, scout, true, weak or hidden.
        seed : int
            Seed.
        """
        return self.folder / kind / f"seed-{seed}" / "model"

    @property
    def hidden_rows(self) -> frozenset[int]:
        """Rows of the training frames whose defects are hidden."""
        train = self.splits.train
        return frozenset(
            row
            for row, record in zip(train.rows, train.records, strict=True)
            if record.source not in self.sources
        )


def train(job: Job, network: tuple[str, int]) -> dict[str, Any]:
    """Train and score a network of a kind and seed.

    Parameters
    ----------
    job : Job
        Call of the part.
    network : (str, int)
        Kind and seed of the network.
    """
    return train_one(job.params, job.out, *network)


def _hide(job: Job, _: tuple) -> None:
    """Write the version with hidden defects."""
    prepare(job.params, job.out, progress=job.progress)


def _relabel(job: Job, _: tuple) -> None:
    """Write the version with the defects that the teachers found."""
    relabel_frames(job.params, job.out, progress=job.progress)


STAGES = (
    Stage("hide", _hide),
    Stage("train", train, lambda job: plan_of(job.params, job.out).teachers, isolated=True),
    Stage("relabel-frames", _relabel),
    Stage("train", train, lambda job: plan_of(job.params, job.out).students, isolated=True),
)


def report(job: Job) -> dict[str, Any]:
    """Compare students of true, weak and hidden labels: the report of `finish`.

    Parameters
    ----------
    job : Job
        Call of the part.
    """
    return finish(job.params, job.out, track=job.track)


def plan_of(params: Params, out: Path) -> Plan:
    """Plan of the settings.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.

    Raises
    ------
    SpinscopeError
        If the scheme has no defects, or no source is left to relabel.
    """
    settings = overridden(params, params.relabelling.base)
    if settings.data.scheme != 3:
        raise SpinscopeError(
            f"data.scheme (={settings.data.scheme}) must be 3: relabelling is about defects"
        )
    dataset, splits = split(settings)
    hash_ = data_hash(dataset)
    defects = _defects(dataset.path, splits.train.rows, hash_)
    return Plan(
        settings,
        overridden(settings, params.relabelling.teacher),
        dataset,
        splits,
        hash_,
        scores.richest_sources(defects, params.relabelling.labelled_sources),
        tuple(params.seed + k for k in range(params.relabelling.seeds)),
        params.relabelling.min_px,
        Path(out),
    )


def prepare(params: Params, out: Path, *, progress: Progress = no_progress) -> None:
    """Validate the dataset and write the version with hidden defects.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.
    progress : Progress
        Progress bar.
    """
    plan = plan_of(params, out)
    origin = {"what": "defects hidden", "labelled_sources": list(plan.sources)}
    origin["train_batches"] = list(plan.params.data.train_batches)

    def write() -> None:
        require_valid(validate(plan.dataset, plan.splits, plan.folder / "validation"))
        versions.relabelled_dataset(
            plan.dataset,
            lambda i: scores.hide(plan.dataset.label(i)) if i in plan.hidden_rows else None,
            plan.version("hidden"),
            by="hand, defects hidden",
            origin=origin,
            progress=progress,
        )

    versions.kept_version(plan.version("hidden"), [plan.hash, origin], write)


def train_one(params: Params, out: Path, kind: str, seed: int) -> dict[str, Any]:
    """Train a network of a kind and score it on the validation frames.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.
    kind : str
        Kind of the network: teacher, scout, true, weak or hidden.
    seed : int
        Seed.

    Returns
    -------
    dict
        kind, seed, seconds, best_epoch, sha256, data_hash, evaluation, mcc, objects, confusion,
        n_images.

    Raises
    ------
    SpinscopeError
        If the kind is unknown.
    """
    kinds = (TEACHER, SCOUT, *STUDENTS)
    if kind not in kinds:
        raise SpinscopeError(f"kind {kind!r} must be one of {', '.join(kinds)}")
    plan = plan_of(params, out)
    few = {TEACHER: plan.sources, SCOUT: plan.scouted}.get(kind)
    settings = plan.params if few is None else plan.teacher
    dataset = open_dataset(plan.version(kind if few is None else "hidden"))
    splits = _splits(dataset, settings)
    if few is not None:
        splits = Splits(splits.train.select(sources=few), splits.validation)
    folder, hash_ = plan.model(kind, seed).parent, data_hash(dataset)
    info = {"data_hash": hash_, "params": settings.digest()}
    result = fitted(settings, splits, seed, folder, info=info)
    row = {
        "kind": kind,
        "seed": seed,
        "best_epoch": result.best_epoch,
        "sha256": sha256(result.model / NETWORK),
        "data_hash": hash_,
        "evaluation": settings.evaluation.model_dump(mode="json"),
    }

    def scored() -> dict[str, Any]:
        report = score(settings, Predictor.load(result.model), splits.validation, 1)
        named = {key: report[key] for key in ("mcc", "objects", "confusion", "n_images")}
        return {**row, "seconds": result.seconds, **named}

    return kept(folder / "row.json", [row, code_digest(SCORING)], scored)


def relabel_frames(params: Params, out: Path, *, progress: Progress = no_progress) -> Dataset:
    """Write the version of the dataset with the defects that the teachers found.

    The teachers' probabilities are averaged, each the mean over the augmented views of
    ``evaluation.tta``. The threshold is chosen by the scout on labelled sources that it was not
    trained on, since a network is overconfident on those it was. The version must pass validation.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.
    progress : Progress
        Progress bar.

    Returns
    -------
    Dataset
        The new version; a ``.dvc`` file is written beside it.
    """
    plan = plan_of(params, out)
    hidden = open_dataset(plan.version("hidden"))
    models = {network: plan.model(*network) for network in plan.teachers}
    views, min_px = plan.params.evaluation.tta, plan.min_px
    origin = {
        "what": "defects found by networks",
        "models": [
            {"kind": kind, "seed": seed, "sha256": sha256(model / NETWORK)}
            for (kind, seed), model in models.items()
        ],
        "settings": plan.teacher.digest(),
        "labelled_sources": list(plan.sources),
        "views": views,
        "min_px": min_px,
    }

    def write() -> dict[str, list[dict[str, int]]]:
        """Write the version; returns what each teacher alone recovers, frame by frame."""
        networks = [Predictor.load(model) for model in models.values()]
        teachers, threshold = networks[: len(plan.seeds)], 0.5
        if plan.scouted:
            others = hidden.select(sources=set(plan.sources) - set(plan.scouted))
            found = (
                (label, networks[-1].probabilities(image, views)) for _, image, label in others
            )
            threshold = scores.best_threshold(found, min_px=min_px)
        complete = functools.partial(scores.relabelled, threshold=threshold, min_px=min_px)
        alone: dict[str, list[dict[str, int]]] = {str(seed): [] for seed in plan.seeds}

        def label_of(index: int) -> np.ndarray | None:
            if index not in plan.hidden_rows:
                return None
            label, image = hidden.label(index), hidden.image(index)
            found = [teacher.probabilities(image, views) for teacher in teachers]
            for rows, one in zip(alone.values(), found, strict=True):
                rows.append(_recovery(plan, index, complete(label, one)))
            return complete(label, np.mean(found, axis=0))

        made = {**origin, "threshold": threshold}
        versions.relabelled_dataset(
            hidden, label_of, plan.version("weak"), by="model", origin=made, progress=progress
        )
        return alone

    dataset, _ = versions.kept_version(plan.version("weak"), [data_hash(hidden), origin], write)
    checked = validate(
        dataset, _splits(dataset, plan.params), plan.folder / "relabelled-validation"
    )
    require_valid(checked)
    versions.write_dvc(dataset)
    return dataset


def finish(params: Params, out: Path, *, track: bool = True) -> dict[str, Any]:
    """Write ``OUT/relabelling.json`` from the trained networks and record it.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.
    track : bool
        Whether MLflow records the results.

    Returns
    -------
    dict
        `sources` and `rule`: sources labelled by hand and how they were chosen. `defects`:
        precision and recall of the recovered defects (`precision_recall`), also `per_teacher` and
        `per_source`. `mcc` and `defect_mcc`: kind of student → MCC per seed on the validation
        frames, of skyrmions and of defects. `difference`, `difference_defects`,
        `difference_hidden`: to the students of true labels, paired by seed. `within`: whether weak
        labels cost at most `bound`. `data_hash`, `hidden_hash`, `weak_hash`: the versions.

    Raises
    ------
    SpinscopeError
        If a training or the new version is missing.
    """
    plan = plan_of(params, out)
    every = [_row(plan, *network) for network in (*plan.teachers, *plan.students)]
    rows = {kind: [row for row in every if row["kind"] == kind] for kind in STUDENTS}
    weak = open_dataset(plan.version("weak"))
    by_source: dict[int, list[dict[str, int]]] = {}
    for index, row in _relabelled_rows(weak):
        by_source.setdefault(row["source"], []).append(_recovery(plan, index, weak.label(index)))

    def each(name: str, counts: Mapping[Any, list[dict[str, int]]]) -> list[dict[str, Any]]:
        return [{name: int(key), **scores.precision_recall(some)} for key, some in counts.items()]

    mcc = {kind: [row["mcc"] for row in rows[kind]] for kind in STUDENTS}
    of_defects = {
        kind: [scores.defect_mcc(row["confusion"]) for row in rows[kind]] for kind in STUDENTS
    }
    difference = scores.paired_difference(mcc["weak"], mcc["true"])
    found = {
        "kind": "relabelling",
        "sources": list(plan.sources),
        "rule": "the training sources with the most defects per frame; of equals the first",
        "labelled_images": sum(r.source in plan.sources for r in plan.splits.train.records),
        "seeds": list(plan.seeds),
        "defects": {
            **scores.precision_recall(row for rows in by_source.values() for row in rows),
            "per_teacher": each("seed", versions.kept_value(weak.path)),
            "per_source": each("source", dict(sorted(by_source.items()))),
        },
        "mcc": mcc,
        "defect_mcc": of_defects,
        "difference": difference,
        "difference_defects": scores.paired_difference(of_defects["weak"], of_defects["true"]),
        "difference_hidden": scores.paired_difference(mcc["hidden"], mcc["true"]),
        "bound": BOUND,
        "within": difference["mean"] >= -BOUND,
        "n_images": {name: len(some) for name, some in plan.splits.named().items()},
        "data_hash": plan.hash,
        "hidden_hash": rows["hidden"][0]["data_hash"],
        "weak_hash": rows["weak"][0]["data_hash"],
        "dvc": f"{weak.path.name}.dvc",
        "origin": versions.provenance(weak.path)["origin"],
        "settings": plan.params.digest(),
        "trainings": every,
        "seconds": float(np.mean([row["seconds"] for row in every])),
    }
    write_json(plan.out / REPORT, found)
    if track:
        _record(plan, found, figures(params, out))
    return found


def figures(params: Params, out: Path) -> dict[str, Figure]:
    """Figures of a finished study by their captions; they show frames of the dataset.

    Parameters
    ----------
    params : Params
        Settings.
    out : Path
        Output folder.

    Raises
    ------
    SpinscopeError
        If the settings name another dataset than that of the study.
    """
    plan, report = plan_of(params, out), json.loads((Path(out) / REPORT).read_text())
    if report["data_hash"] != plan.hash:
        raise SpinscopeError(
            f"{Path(out) / REPORT} is of the data {report['data_hash']}; {plan.dataset.path} is "
            f"{plan.hash}, they must be the same"
        )
    weak = open_dataset(plan.version("weak"))
    rows = [index for index, _ in _relabelled_rows(weak)]
    richest: dict[int, int] = {}  # source → its frame with the most defects
    for index in sorted(rows, key=lambda i: -np.sum(plan.dataset.label(i) == DEFECT)):
        richest.setdefault(plan.dataset.records[index].source, index)
    drawn = [
        (
            f"{plan.dataset.records[index].name}, source {source}",
            *(read(index) for read in (plan.dataset.image, plan.dataset.label, weak.label)),
        )
        for source, index in list(richest.items())[:4]
    ]
    return {
        "Hidden defects. Green: recovered; blue: missed; orange: false.": recovery_figure(drawn),
        "MCC of skyrmions on the validation frames; a line joins the students of a seed.":
            student_figure(report["mcc"]),
    }  # fmt: skip


def lines(report: dict) -> list[str]:
    """Findings of the study, one per line.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    defects, difference = report["defects"], report["difference"]
    text = [
        f"labelled by hand: sources {', '.join(map(str, report['sources']))} "
        f"({report['labelled_images']} frames); relabelled: {defects['n_images']} frames",
        f"defects: {defects['n_true']} hidden, {defects['n_found']} found",
    ]
    for name, end in (("objects that touch", ""), ("objects at IoU", "_iou"), ("pixels", "_px")):
        precision, recall = (number(defects[f"{key}{end}"]) for key in ("precision", "recall"))
        text.append(f"  by {name:<20} precision {precision}  recall {recall}")
    text.append(
        f"  of the {defects['n_free']} that touch no labelled skyrmion: recall "
        f"{number(defects['recall_free'])}"
    )
    for key, name in (("mcc", "MCC"), ("defect_mcc", "MCC of defects")):
        for kind, values in report[key].items():
            each = "  ".join(f"{value:.4f}" for value in values)
            text.append(f"{name}, {kind + ' labels':<14} {each}")
    within = "within" if report["within"] else "not within"
    spread = "unknown" if difference["sd"] is None else f"{difference['sd']:.4f}"
    text.append(
        f"weak - true: {difference['mean']:+.4f} (SD {spread}), "
        f"{within} {report['bound']:g}; {report['seconds']:.0f} s per training"
    )
    return text


@functools.lru_cache(maxsize=2)
def _defects(path: Path, rows: tuple[int, ...], hash_: str) -> dict[int, list[int]]:
    """Number of defects in every frame of each source; cached, for reading labels takes seconds."""
    dataset, found = open_dataset(path), {}
    for row in rows:
        count = count_objects(dataset.label(row) == DEFECT)
        found.setdefault(dataset.records[row].source, []).append(count)
    return found


def _splits(dataset: Dataset, params: Params) -> Splits:
    """Splits of a version by the batches of the settings."""
    data = params.data
    return split_by_batch(dataset, data.train_batches, data.validation_batches, data.test_batches)


def _row(plan: Plan, kind: str, seed: int) -> dict[str, Any]:
    """Row of a network that has been trained, with its folder."""
    folder = plan.model(kind, seed).parent
    if not (folder / "row.json").is_file():
        raise SpinscopeError(f"the {kind} network of seed {seed} is missing below {plan.folder}")
    row = json.loads((folder / "row.json").read_text())["value"]
    return {**row, "folder": folder.relative_to(plan.out).as_posix()}


def _relabelled_rows(dataset: Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and provenance of each frame that a model labelled."""
    for index, row in enumerate(versions.provenance(dataset.path)["frames"]):
        if row["by"] == "model":
            yield index, row


def _recovery(plan: Plan, index: int, label: np.ndarray) -> dict[str, int]:
    """Counts of the defects that a new label recovers in a frame."""
    true = plan.dataset.label(index) == DEFECT
    return scores.recovery(true, label == DEFECT, label == SKYRMION, iou=plan.params.evaluation.iou)


def _record(plan: Plan, report: dict, drawn: dict[str, Figure]) -> None:
    """Record the study with a child run per training."""
    params = plan.params
    decisive = [plan.hash, params.digest(), plan.teacher.digest(), plan.sources, plan.min_px]
    name = f"relabelling {digest(decisive)}"
    with recorded(params, plan.hash, name, True, trials=True) as recorder:
        for row in report["trainings"]:
            history = plan.out / row["folder"] / "history.json"
            recorder.trial(
                f"{row['kind']} {row['seed']}",
                params,
                row["data_hash"],
                seed=row["seed"],
                curves=json.loads(history.read_text()),
                metrics={key: row[key] for key in ("mcc", "seconds", "best_epoch")},
            )
        recorder.log(
            report={REPORT: report},
            metrics={key: report[key] for key in ("defects", "difference")},
            tables={"study/provenance.csv": versions.provenance(plan.version("weak"))["frames"]},
            figures={f"relabelling-{k}": figure for k, figure in enumerate(drawn.values())},
        )
