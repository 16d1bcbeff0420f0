"""Probes of models: grey frames, inverted frames, speckles, and the limits of the imaging.

Every probe of a model is kept below `OUT/probes-points`: a study that was interrupted goes on where
it stopped, and a model that was probed is read back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spinscope.config import Params, dataset_path
from spinscope.datasets import Dataset
from spinscope.files import write_json
from spinscope.jobs.data import plain
from spinscope.studies.kerr.tta import validation_frames
from spinscope.studies.lorentz.study import Subject, subjects

MEASURE = 1  # raise it whenever the same model, frames and settings give other numbers
KINDS = ("grey", "inverted", "speckles", "limits")


def probe(
    params: Params,
    models: Sequence[str],
    out: Path,
    *,
    track: bool = False,
    progress=plain,
) -> dict[str, Any]:
    """Probe the models and write `out/probes.json`; returns it.

    models : REF or NAME=REF each. Labelled frames are those of the validation batches of the
    settings' dataset; where there is none, what needs them is null. Predictions are single passes:
    the network is probed, not the averaging of views.   track : whether MLflow also keeps numbers
    and figures.

    The report holds `models`, `settings`, `data` {path, hash, batches, n_images} or null,
    `grey` and `patch` {name: [256 shares]}, `grey_limit` {name: {uniform, patch}},
    `inverted` {name: {mcc, mcc_inverted, per_image, n_images}}, `speckles` {empty, real}: a row
    {x, film, defects} or {x, speckles, made_up, mcc} at each noise SD, `limits` {snr, contrast,
    gradient}: a row {x, mcc, sd} at each point, and `limit_at` {curve: {name: x or null}} where MCC
    falls below `enough`. Every cell of a row is {name: value}.
    """
    from spinscope.studies.kerr import probe_curves as probes

    chosen = subjects(params, models)
    frames, about = _labelled(params)
    found = {one.name: probed(params, one, frames, about, out, progress=progress) for one in chosen}
    curves = {
        curve: {name: of["limits"][curve] for name, of in found.items()}
        for curve in probes.curves()
    }
    report = {
        "kind": "probes",
        "models": [_model(one) for one in chosen],
        "settings": {**params.probes.model_dump(mode="json"), "seed": params.seed, "views": 1},
        "data": about,
        "published": {"grey": probes.PUBLISHED_GREY},
        "grey": {name: of["grey"]["uniform"] for name, of in found.items()},
        "patch": {name: of["grey"]["patch"] for name, of in found.items()},
        "grey_limit": {
            name: {key: probes.grey_limit(shares) for key, shares in of["grey"].items()}
            for name, of in found.items()
        },
        "inverted": {name: of["inverted"] for name, of in found.items()} if about else None,
        "speckles": {
            key: _rows({name: of["speckles"][key] for name, of in found.items()})
            for key in ("empty", *(["real"] if about else []))
        },
        "limits": {curve: _rows(of) for curve, of in curves.items()},
        "enough": probes.ENOUGH,
        "limit_at": {
            curve: {
                name: probes.limit({row["x"]: row["mcc"] for row in rows})
                for name, rows in of.items()
            }
            for curve, of in curves.items()
        },
    }
    report["speckles"].setdefault("real", None)
    write_json(out / "probes.json", report)
    if track:
        _track(params, report)
    return report


def probed(
    params: Params,
    subject: Subject,
    frames: Dataset | None,
    about: Mapping[str, Any] | None,
    out: Path,
    *,
    progress=plain,
) -> dict[str, Any]:
    """{kind: numbers} of a model; the kinds that `out` holds are read."""
    predict = partial(subject.predictor.classes, tta=1)
    classes = len(subject.predictor.info["classes"])
    kinds: dict[str, Callable[[], Any]] = {
        "grey": lambda: _grey(params, predict),
        "inverted": lambda: _inverted(predict, frames, classes),
        "speckles": lambda: _speckles(params, predict, frames, classes),
        "limits": lambda: _limits(params, predict),
    }
    found = {}
    for kind in progress(KINDS, total=len(KINDS), desc=f"probe {subject.name}"):
        path = out / "probes-points" / f"{kind}-{_key(params, subject, kind, about)}.json"
        if not path.is_file():
            write_json(path, {"model": subject.sha256, "kind": kind, "found": kinds[kind]()})
        found[kind] = json.loads(path.read_text())["found"]
    return found


def probe_lines(report: Mapping[str, Any]) -> list[str]:
    """A line a model: what it calls skyrmion on grey, inverted MCC, speckles, limits."""
    lines = []
    for name in (model["name"] for model in report["models"]):
        uniform, patch = (report[key][name] for key in ("grey", "patch"))
        at = report["grey_limit"][name]
        lines.append(f"{name}")
        lines.append(
            f"  grey      uniform frames {min(uniform):.3f} to {max(uniform):.3f} skyrmion, step "
            f"at {_said(at['uniform'], '.0f')}; patch at most {max(patch):.3f}, step at "
            f"{_said(at['patch'], '.0f')} (published: {report['published']['grey']})"
        )
        if report["inverted"]:
            row = report["inverted"][name]
            lines.append(
                f"  inverted  MCC {row['mcc']:.3f} as it is, {row['mcc_inverted']:.3f} inverted"
            )
        empty = report["speckles"]["empty"]
        words = ", ".join(f"{row['film'][name]:.1f} at {row['x']:g}" for row in empty)
        lines.append(f"  made up   a frame without a skyrmion, at noise SD: {words}")
        if report["speckles"]["real"]:
            rows = report["speckles"]["real"]
            words = ", ".join(f"{row['speckles'][name]:.1f} at +{row['x']:g}" for row in rows)
            lines.append(f"  speckles  a labelled frame, at added noise SD: {words}")
        words = ", ".join(f"{k} {_said(of[name], '.3g')}" for k, of in report["limit_at"].items())
        lines.append(f"  limits    MCC {report['enough']} at {words}")
    return lines


def _said(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)


def _labelled(params: Params) -> tuple[Dataset | None, dict[str, Any] | None]:
    """Labelled frames that no model of these settings was trained on, and what to say of them."""
    path = dataset_path(params)
    if params.data.path == "auto" and not path.is_dir():
        return None, None
    return validation_frames(params)


def _grey(params: Params, predict) -> dict[str, list[float]]:
    from spinscope.studies.kerr import probe_curves as probes

    shape = params.probes.height, params.probes.width
    return {
        "uniform": probes.uniform_grey(predict, shape),
        "patch": probes.patch_grey(predict, shape, params.seed),
    }


def _inverted(predict, frames: Dataset | None, classes: int) -> dict[str, Any] | None:
    from spinscope.studies.kerr import probe_curves as probes

    return None if frames is None else probes.inverted(predict, frames, classes)


def _speckles(params: Params, predict, frames: Dataset | None, classes: int) -> dict[str, Any]:
    from spinscope.studies.kerr import probe_curves as probes

    size, seed = params.probes, params.seed
    min_px = params.evaluation.min_object_px
    empty = [
        {
            "x": noise,
            **probes.made_up_on(
                predict,
                probes.empty_frames(size.frames, (size.height, size.width), noise, seed),
                min_px,
            ),
        }
        for noise in probes.NOISE
    ]
    if frames is None:
        return {"empty": empty}
    real = [
        {"x": noise, **probes.speckles(predict, frames, classes, noise, seed)}
        for noise in probes.ADDED_NOISE
    ]
    return {"empty": empty, "real": real}


def _limits(params: Params, predict) -> dict[str, list[dict[str, float]]]:
    from spinscope.studies.kerr import probe_curves as probes

    size = params.probes
    films = probes.films(size.frames, (size.height, size.width), params.seed)
    return {
        curve: [
            {"x": x, **probes.measure(predict, (film.frame(optics) for film in films))}
            for x, optics in points.items()
        ]
        for curve, points in probes.curves().items()
    }


def _rows(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of every model -> one row a point, whose cells are {name: value}."""
    first = next(iter(of.values()))
    return [
        {"x": row["x"]} | {k: {n: rows[i][k] for n, rows in of.items()} for k in row if k != "x"}
        for i, row in enumerate(first)
    ]


def _key(params: Params, subject: Subject, kind: str, about: Mapping[str, Any] | None) -> str:
    """Names all that the numbers of a probe depend on."""
    from spinscope.inference.rules import rules
    from spinscope.studies.kerr import probe_curves as probes

    depends: list[Any] = [MEASURE, subject.sha256, params.inference.model_dump(mode="json")]
    if applied := rules(subject.predictor.info):
        depends.append(applied)
    labelled = [about["hash"], about["batches"]] if about else None
    if kind != "inverted":
        depends += [params.probes.model_dump(mode="json"), params.seed]
    depends += {
        "grey": lambda: [probes.OPTICS.noise],
        "inverted": lambda: [labelled],
        "speckles": lambda: [labelled, params.evaluation.min_object_px, probes.OPTICS,
                             probes.NOISE, probes.ADDED_NOISE, probes.SPECKLE],
        "limits": lambda: [probes.curves()],
    }[kind]()  # fmt: skip
    text = json.dumps(depends, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _model(one: Subject) -> dict[str, Any]:
    info = one.predictor.info
    kept = ("classes", "family", "seed", "parameters", "data_hash", "augmentation")
    known = {key: info.get(key) for key in kept}
    return {"name": one.name, "ref": one.ref, "sha256": one.sha256, **known}


def _track(params: Params, report: Mapping[str, Any]) -> None:
    """A run of its own: numbers as metrics, curves, and the figures."""
    from spinscope.studies.kerr import probe_figures
    from spinscope.studies.report import png
    from spinscope.tracking import lineage, open_store, runs

    digest = report["data"]["hash"] if report["data"] else "none"
    store = open_store(params.tracking)
    with runs.study_run(store, lineage(params, digest), "study probes") as run:
        metrics, curves = {}, {}
        for name in (model["name"] for model in report["models"]):
            allowed = re.sub(r"[^A-Za-z0-9_. -]", "_", name)
            curves[f"{allowed}/grey"] = report["grey"][name]
            curves[f"{allowed}/patch"] = report["patch"][name]
            for curve, rows in report["limits"].items():
                curves[f"{allowed}/{curve}"] = [row["mcc"][name] for row in rows]
                if (at := report["limit_at"][curve][name]) is not None:
                    metrics[f"{allowed}/limit.{curve}"] = at
            if report["inverted"]:
                row = report["inverted"][name]
                metrics |= {f"{allowed}/{key}": row[key] for key in ("mcc", "mcc_inverted")}
            for key in ("empty", "real"):
                cell = {"empty": "film", "real": "speckles"}[key]
                rows = report["speckles"][key] or ()
                if rows:
                    curves[f"{allowed}/speckles.{key}"] = [row[cell][name] for row in rows]
        runs.log_metrics(run, metrics)
        runs.log_curves(run, curves)
        runs.log_json(run, report, "study/probes.json")
        for name, figure in probe_figures.figures(report).items():
            runs.log_figure(run, png(figure), f"{name}.png")
