"""Probes of models: grey frames, inverted frames, speckles, and the limits of the imaging.

Every probe of a model is kept below ``OUT/probes-points``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spinscope.code import code_digest
from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset
from spinscope.families.base import SCORING
from spinscope.files import digest, kept, write_json
from spinscope.inference.rules import rules
from spinscope.progress import Progress, no_progress
from spinscope.studies import models as study_models
from spinscope.studies.base import Job, Stage
from spinscope.studies.kerr import probe_curves as probes
from spinscope.studies.kerr.figures import probe_figures
from spinscope.studies.kerr.tta import validation_frames
from spinscope.studies.models import Subject
from spinscope.studies.runs import metric_name, recorded

MEASURE = 1
"""Version of the measurement, raised if the same model and frames give other numbers."""

KINDS = ("grey", "inverted", "speckles", "limits")


def measure(job: Job, model: str) -> dict[str, Any]:
    """Probes of one model by their kind.

    Parameters
    ----------
    job : Job
        Call of the part.
    model : str
        Reference of the model.
    """
    one = study_models.subject(job.params, model)
    return probed(job.params, one, *_labelled(job.params), job.out, progress=job.progress)


STAGES = (Stage("probe", measure, lambda job: job.options["models"], in_report=True),)


def report(job: Job) -> dict[str, Any]:
    """Probe the models and write ``OUT/probes.json``.

    The labelled frames are those of the validation batches of the settings' dataset; without a
    dataset, what needs them is null. Predictions do not average augmented views.

    Parameters
    ----------
    job : Job
        Call of the part.

    Returns
    -------
    dict
        `models`, `settings`, `data` {path, hash, batches, n_images} or null, `grey` and `patch`
        {model: 256 fractions}, `grey_limit` {model: {uniform, patch}}, `inverted` {model: {mcc,
        mcc_inverted, per_image, n_images}}, `speckles` {empty, real} with a row {x, film, defects}
        or {x, speckles, made_up, mcc} per noise SD, `limits` {snr, contrast, gradient} with a row
        {x, mcc, sd} per point, and `limit_at` {curve: {model: x or null}} where the MCC falls
        below `enough`. Each cell of a row is {model: value}.
    """
    params = job.params
    chosen = study_models.subjects(params, job.options["models"])
    frames, about = _labelled(params)
    by_model = {
        one.name: probed(params, one, frames, about, job.out, progress=job.progress)
        for one in chosen
    }

    def of_models(*keys: str) -> dict[str, Any]:
        """Entry of the probes, by model."""
        return {
            name: functools.reduce(lambda value, key: value[key], keys, found)
            for name, found in by_model.items()
        }

    curves = {curve: of_models("limits", curve) for curve in probes.curves()}
    about_model = ("classes", "family", "seed", "parameters", "data_hash", "augmentation")
    found = {
        "kind": "probes",
        "models": [one.about(*about_model) for one in chosen],
        "settings": {**params.probes.model_dump(mode="json"), "seed": params.seed, "views": 1},
        "data": about,
        "published": {"grey": probes.PUBLISHED_GREY},
        "grey": of_models("grey", "uniform"),
        "patch": of_models("grey", "patch"),
        "grey_limit": {
            name: {key: probes.grey_limit(fractions) for key, fractions in grey.items()}
            for name, grey in of_models("grey").items()
        },
        "inverted": of_models("inverted") if about else None,
        "speckles": {
            "empty": _rows(of_models("speckles", "empty")),
            "real": _rows(of_models("speckles", "real")) if about else None,
        },
        "limits": {curve: _rows(rows) for curve, rows in curves.items()},
        "enough": probes.ENOUGH,
        "limit_at": {
            curve: {
                name: probes.limit({row["x"]: row["mcc"] for row in rows})
                for name, rows in by_name.items()
            }
            for curve, by_name in curves.items()
        },
    }
    write_json(job.out / "probes.json", found)
    if job.track:
        _record(params, found)
    return found


def probed(
    params: Params,
    subject: Subject,
    frames: Dataset | None,
    about: Mapping[str, Any] | None,
    out: Path,
    *,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Probes of a model by their kind, each measured once.

    Parameters
    ----------
    params : Params
        Settings.
    subject : Subject
        The model.
    frames : Dataset, optional
        Labelled frames.
    about : mapping, optional
        Description of the labelled frames.
    out : Path
        Output folder.
    progress : Progress
        Progress bar.
    """
    predict = functools.partial(subject.predictor.classes, tta=1)
    classes, size = len(subject.predictor.info["classes"]), params.probes
    shape, seed, min_px = (size.height, size.width), params.seed, params.evaluation.min_object_px
    labelled = [about["hash"], about["batches"]] if about else None
    simulated = [size.model_dump(mode="json"), seed]
    speckles = [labelled, min_px, probes.OPTICS, probes.NOISE, probes.ADDED_NOISE, probes.SPECKLE]
    kinds = {
        "grey": (
            [*simulated, probes.OPTICS.noise],
            lambda: {
                "uniform": probes.uniform_grey(predict, shape),
                "patch": probes.patch_grey(predict, shape, seed),
            },
        ),
        "inverted": (
            [labelled],
            lambda: None if frames is None else probes.inverted(predict, frames, classes),
        ),
        "speckles": (
            [*simulated, *speckles],
            lambda: {
                "empty": [
                    {"x": noise, **probes.made_up_on(predict, empty, min_px)}
                    for noise in probes.NOISE
                    for empty in [probes.empty_frames(size.frames, shape, noise, seed)]
                ],
                "real": [
                    {"x": noise, **probes.speckles(predict, frames, classes, noise, seed)}
                    for noise in (probes.ADDED_NOISE if frames else ())
                ],
            },
        ),
        "limits": (
            [*simulated, probes.curves()],
            lambda: probes.limit_rows(predict, size.frames, shape, seed),
        ),
    }
    model = [MEASURE, subject.sha256, params.inference.model_dump(mode="json")]
    model += [rules(subject.predictor.info), code_digest(SCORING)]
    found = {}
    for kind in progress(KINDS, total=len(KINDS), desc=f"probe {subject.name}"):
        depends, make = kinds[kind]
        key = [*model, *depends]
        path = out / "probes-points" / f"{kind}-{digest(key)}.json"
        found[kind] = kept(path, key, make)
    return found


def lines(report: Mapping[str, Any]) -> list[str]:
    """Lines per model: grey levels called skyrmion, MCC when inverted, speckles, limits.

    Parameters
    ----------
    report : mapping
        Report of the part.
    """

    def number(value: float | None, form: str) -> str:
        return "none" if value is None else format(value, form)

    text = []
    for name in (model["name"] for model in report["models"]):
        uniform, patch = (report[key][name] for key in ("grey", "patch"))
        at = report["grey_limit"][name]
        text.append(name)
        text.append(
            f"  grey      uniform frames {min(uniform):.3f} to {max(uniform):.3f} skyrmion, step "
            f"at {number(at['uniform'], '.0f')}; patch at most {max(patch):.3f}, step at "
            f"{number(at['patch'], '.0f')} (published: {report['published']['grey']})"
        )
        if report["inverted"]:
            row = report["inverted"][name]
            text.append(
                f"  inverted  MCC {row['mcc']:.3f} as it is, {row['mcc_inverted']:.3f} inverted"
            )
        empty, real = report["speckles"]["empty"], report["speckles"]["real"]
        counts = ", ".join(f"{row['film'][name]:.1f} at {row['x']:g}" for row in empty)
        text.append(f"  false     per frame without a skyrmion, at noise SD: {counts}")
        if real:
            counts = ", ".join(f"{row['speckles'][name]:.1f} at +{row['x']:g}" for row in real)
            text.append(f"  speckles  per labelled frame, at added noise SD: {counts}")
        limits = report["limit_at"].items()
        values = ", ".join(f"{curve} {number(at[name], '.3g')}" for curve, at in limits)
        text.append(f"  limits    MCC {report['enough']} at {values}")
    return text


def _labelled(params: Params) -> tuple[Dataset | None, dict[str, Any] | None]:
    """Frames of the validation batches and their description; None where there is no dataset."""
    if params.data.path == "auto" and not dataset_path(params).is_dir():
        return None, None
    return validation_frames(params)


def _rows(by_model: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of every model as one row per point, whose cells are {model: value}."""
    return [
        {
            key: row[key] if key == "x" else {n: rows[k][key] for n, rows in by_model.items()}
            for key in row
        }
        for k, row in enumerate(next(iter(by_model.values())))
    ]


def _record(params: Params, report: Mapping[str, Any]) -> None:
    """Record numbers, curves and figures in a run of their own."""
    metrics, curves = {}, {}
    for name in (model["name"] for model in report["models"]):
        allowed = metric_name(name)
        curves |= {f"{allowed}/{key}": report[key][name] for key in ("grey", "patch")}
        for curve, rows in report["limits"].items():
            curves[f"{allowed}/{curve}"] = [row["mcc"][name] for row in rows]
            metrics[f"{allowed}/limit.{curve}"] = report["limit_at"][curve][name]
        if report["inverted"]:
            row = report["inverted"][name]
            metrics |= {f"{allowed}/{key}": row[key] for key in ("mcc", "mcc_inverted")}
        for key, cell in (("empty", "film"), ("real", "speckles")):
            if rows := report["speckles"][key]:
                curves[f"{allowed}/speckles.{key}"] = [row[cell][name] for row in rows]
    data_hash = report["data"]["hash"] if report["data"] else "none"
    with recorded(params, data_hash, "study probes", True) as recorder:
        figures = probe_figures(report)
        recorder.log(
            report={"probes.json": report}, metrics=metrics, curves=curves, figures=figures
        )
