"""The study of Lorentz models: what McCray et al. published, measured with models of ours.

Every model is measured once at every point, and the rows are kept below `OUT/ltem-points`: a study
that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.config import Params, dataset_path, ltem_path
from spinscope.errors import SpinscopeError
from spinscope.files import sha256, write_json
from spinscope.jobs.data import plain
from spinscope.jobs.evaluating import predictor

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor
    from spinscope.studies.lorentz.findings import Curves, Rows
    from spinscope.studies.lorentz.scores import Point, Specimen
    from spinscope.studies.report import Section

STUDY = "ltem"
TITLE = "Networks on Lorentz micrographs"
MEASURE = 1  # raise it whenever the same model, films and point give other rows

_IMAGING = {"voltage_kv", "cs_um", "convergence_mrad", "defocus_spread_nm", "mirror_blur_px"}
_IMAGING |= {"phase_ms", "label_mz", "label_erosion_px"}


@dataclass(frozen=True)
class Subject:
    """A model of the study: what to call it, where it comes from, and the network."""

    name: str
    ref: str
    sha256: str
    predictor: Predictor
    views: int

    @property
    def knows_axis(self) -> bool:
        """Whether it was trained for one tilt axis, so that it can be told another."""
        return "axis_deg" in self.predictor.info

    def predict(self, image: np.ndarray, axis_deg: float = 0.0) -> np.ndarray:
        """Classes (H, W); the model is told a tilt axis that is not 0."""
        return self._laid(axis_deg or None, None).classes(image, self.views)

    def segment(self, image: np.ndarray, axis_deg: float, scale: float) -> tuple[np.ndarray, float]:
        """Classes (H, W) of an image that is magnified, and the share of doubtful pixels."""
        return self._laid(axis_deg, scale).segment(image, self.views)

    def _laid(self, axis_deg: float | None, scale: float | None) -> Predictor:
        return self.predictor.with_geometry(axis_deg if self.knows_axis else None, scale)


@dataclass(frozen=True)
class Unseen:
    """Films to test on, in words how they were chosen, and their median distance of neighbours."""

    folder: Path
    films: list[Specimen]
    chosen: str
    spacing_px: float
    digest: str

    @property
    def cell_nm(self) -> float:
        """Edge of a pixel."""
        return 1e9 * self.films[0].film.material.cell


@dataclass(frozen=True)
class Real:
    """A real micrograph, how it was taken, and which model of the study reads it.

    model : its name in the study, None for the last.   scale : None magnifies it until its distance
    of neighbours is that of the test films.   pixel_nm : None where it is not known.
    """

    path: Path
    model: str | None = None
    axis_deg: float = 0.0
    scale: float | None = None
    pixel_nm: float | None = None


def ltem_study(
    params: Params,
    models: Sequence[str],
    films: Path,
    out: Path,
    *,
    numbers: str | None = None,
    n: int | None = None,
    real: Real | None = None,
    track: bool = False,
    progress=plain,
) -> dict:
    """Measure the models and write `out/ltem.json` and `out/ltem.html`; returns the JSON.

    models : REF or NAME=REF each, first the one that was trained at −2 mm and 20°.   films : a
    corpus of films.   numbers, n : see `unseen`.   real : a micrograph without a label.
    track : whether MLflow also keeps scores and figures. The published images at
    `config.ltem_path()` are scored where there are any.
    """
    from spinscope.studies.lorentz import report as lorentz_report
    from spinscope.studies.lorentz.findings import SOURCE, findings, real_row
    from spinscope.studies.report import write_study

    tests = unseen(params, films, numbers=numbers, n=n)
    chosen = subjects(params, models)
    if real is not None:
        _reader(chosen, real)  # a wrong name is said before anything is computed
    curves = {one.name: measured(params, tests, one, out, progress=progress) for one in chosen}
    pairs = {one.name: _pairs(params, one) for one in chosen}
    cell = tests.cell_nm
    rows = findings(curves, {name: of["noise"] for name, of in pairs.items() if of}, cell_nm=cell)
    sections = lorentz_report.sections(curves, pairs, _pictures(params, tests, chosen), cell)
    data = {
        "source": SOURCE,
        "films": _told(tests),
        "imaging": params.ltem.model_dump(mode="json", include=_IMAGING),
        "seed": params.seed,
        "models": [_model(one) for one in chosen],
        **lorentz_report.numbers(curves, pairs, cell),
        "real": None,
    }
    if real is not None:
        data["real"], section = _real(params, _reader(chosen, real), tests, real)
        sections.append(section)
        rows.append(real_row(data["real"]))
    words = [f"{m['name']} ({m['ref']}): {m['trained']}" for m in data["models"]]
    about = lorentz_report.about(len(tests.films), tests.chosen, words, params.ltem)
    page = write_study(out, STUDY, TITLE, about, rows, sections, data)
    report = json.loads(page.with_suffix(".json").read_text())
    if track:
        _track(params, tests, report, sections)
    return report


def subject(params: Params, given: str) -> Subject:
    """A model that is given as REF or NAME=REF."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking import resolve

    named = re.fullmatch(r"([\w .-]+)=(.+)", given)
    name, ref = named.groups() if named and not Path(given).exists() else (given, given)
    digest = sha256(resolve(params.tracking, ref) / NETWORK)
    return Subject(name, ref, digest, predictor(params, ref), params.evaluation.tta)


def subjects(params: Params, given: Sequence[str]) -> list[Subject]:
    """The models of a study; raises SpinscopeError for none, or two of one name."""
    if not given:
        raise SpinscopeError("a study needs at least one --model")
    found = [subject(params, one) for one in given]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpinscopeError(f"two models are named {twice[0]!r}; name them as --model NAME=REF")
    return found


def unseen(
    params: Params, folder: Path, *, numbers: str | None = None, n: int | None = None
) -> Unseen:
    """Films of a corpus to test on.

    numbers : "all", or "FIRST:LAST" of the films, without LAST; where None, the films that the
    Lorentz corpus of the settings holds in its test batches.   n : at most so many, evenly chosen.
    """
    from spinscope.corpora.films import HEADER, open_films
    from spinscope.studies.lorentz.scores import specimens, unseen_films

    if not (folder / HEADER).is_file():
        raise SpinscopeError(
            f"there are no films at {folder}: run `spinscope corpus films`, or name a corpus of "
            "films with --films"
        )
    films = open_films(folder)
    if numbers is None:
        names, chosen = _test_batches(params, films)
        indices = unseen_films(films, params.ltem, names=names)
    else:
        indices = unseen_films(films, params.ltem, numbers=_range(numbers))
        first, last = (films.rows[indices[k]]["number"] for k in (0, -1))
        chosen = f"number {first} to {last} of {folder.name}"
    if n is not None and n < len(indices):
        indices = [indices[k * len(indices) // n] for k in range(n)]
        chosen += f", {n} of them evenly chosen"
    found = specimens(films, indices, params.ltem)
    rows = [films.rows[index] for index in indices]
    spacing = [
        np.sqrt(2 * one.label.size / (np.sqrt(3) * max(row["objects"], 1)))
        for one, row in zip(found, rows, strict=True)
    ]
    digest = _digest([films.header.get("seed"), rows])
    return Unseen(folder, found, chosen, float(np.median(spacing)), digest)


def _range(text: str) -> range:
    if text == "all":
        return range(2**31)
    if not (found := re.fullmatch(r"(\d+):(\d+)", text)):
        raise SpinscopeError(f"--numbers {text!r} must be all or FIRST:LAST")
    return range(int(found[1]), int(found[2]))


def _test_batches(params: Params, films) -> tuple[set[str], str]:
    """Names of the films in the test batches of the Lorentz corpus, and words for them."""
    from spinscope.datasets.shards import HEADER, ShardStore, read_header

    path, batches = dataset_path(params), params.data.test_batches
    header = read_header(path) if (path / HEADER).is_file() else {}
    if header.get("kind") != "ltem":
        raise SpinscopeError(
            f"there is no Lorentz corpus at {path} to say which films no model has seen: name "
            "films with --numbers FIRST:LAST, or --numbers all for films made with another seed"
        )
    for key in ("label_mz", "label_erosion_px"):
        ours = getattr(params.ltem, key)
        if header.get(key) != ours:
            raise SpinscopeError(
                f"{path} was made with ltem.{key} = {header.get(key)}, the settings say {ours}"
            )
    by_name = {row["name"]: row for row in films.rows}
    names = set()
    for row in ShardStore.open(path).rows:
        film = by_name.get(row["film"])
        if film is None or not np.isclose(float(row["ms"]), film["ms"], rtol=1e-4):
            raise SpinscopeError(
                f"{path} was made of other films than those of {films.path}: it holds "
                f"{row['film']} of ms {row['ms']} A/m"
            )
        if int(row["batch"]) in batches:
            names.add(row["film"])
    return names, f"batch {', '.join(map(str, batches))} of {path.name}, held back from training"


def measured(
    params: Params, tests: Unseen, subject: Subject, out: Path, *, progress=plain
) -> Curves:
    """Rows of a model at all points; those that `out` holds are read."""
    from spinscope.studies.lorentz import scores as lorentz

    plan = lorentz.curves()
    if not subject.knows_axis:
        del plan["axis_known"]
    folder = out / f"{STUDY}-points" / _key(params, tests, subject)
    points = lorentz.points(plan)
    missing = [point for point in points if not _file(folder, point).is_file()]
    for point in progress(missing, total=len(missing), desc=f"study {subject.name}"):
        rows = lorentz.measure(
            subject.predict,
            tests.films,
            point,
            params.ltem,
            seed=params.seed,
            min_px=params.evaluation.min_object_px,
        )
        write_json(_file(folder, point), {"point": lorentz.point_row(point), "rows": rows})
    kept = {point: json.loads(_file(folder, point).read_text())["rows"] for point in points}
    return {name: {x: kept[point] for x, point in curve.items()} for name, curve in plan.items()}


def _key(params: Params, tests: Unseen, subject: Subject) -> str:
    """Names all that the rows of a model depend on beside the point."""
    imaging = params.ltem.model_dump(mode="json", include=_IMAGING)
    engine, min_px = params.inference.model_dump(mode="json"), params.evaluation.min_object_px
    model = [subject.sha256, subject.views]
    return _digest([MEASURE, *model, tests.digest, imaging, params.seed, engine, min_px])


def _file(folder: Path, point: Point) -> Path:
    from spinscope.studies.lorentz.scores import point_row

    return folder / f"{_digest(point_row(point))}.json"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pairs(params: Params, subject: Subject) -> dict[str, dict[float, Rows]]:
    """Rows on the published images, noise as it is and clipped; empty where there are none."""
    from spinscope.studies.lorentz.scores import NOISE, measure_pairs, published_pairs

    folder = ltem_path()
    pairs = published_pairs(folder) if folder.is_dir() else []
    return {
        manner: {
            x: measure_pairs(
                subject.predict,
                pairs,
                x,
                clipped=manner == "clipped" and x > 0,
                seed=params.seed,
                min_px=params.evaluation.min_object_px,
            )
            for x in NOISE
        }
        for manner in (("noise", "clipped") if pairs else ())
    }


def _pictures(params: Params, tests: Unseen, chosen: Sequence[Subject]) -> dict[str, list[tuple]]:
    """The first film at a few points, and what each model finds."""
    from spinscope.studies.lorentz.scores import Point, picture

    film = tests.films[0]
    at = {f"{100 * x:.0f} % noise": Point(noise=x) for x in (0.0, 0.5, 1.0)}
    at |= {"−1 mm": Point(defocus_mm=-1), "10°": Point(tilt_deg=10), "axis 90°": Point(axis_deg=90)}
    images = {title: picture(film, point, params.ltem, params.seed) for title, point in at.items()}
    return {
        f"{film.name}, {one.name}. Pale: found; blue: missed; orange: made up.": [
            (title, image, film.label, one.predict(image)) for title, image in images.items()
        ]
        for one in chosen
    }


def _reader(chosen: Sequence[Subject], real: Real) -> Subject:
    by_name = {one.name: one for one in chosen}
    name = real.model or chosen[-1].name
    if name not in by_name:
        raise SpinscopeError(
            f"model {name!r} of the real image must be one of {', '.join(by_name)}"
        )
    return by_name[name]


def _real(
    params: Params, reader: Subject, tests: Unseen, real: Real
) -> tuple[dict[str, Any], Section]:
    """Report of the real image and the section that shows it."""
    from spinscope.images import read_image
    from spinscope.studies.lorentz.real_image import real_image
    from spinscope.studies.lorentz.report import real_section

    image = read_image(real.path)
    found = real_image(
        reader.segment,
        image,
        trained_spacing=tests.spacing_px,
        axis_deg=real.axis_deg,
        either_way=reader.knows_axis,
        scale=real.scale,
        pixel_size=None if real.pixel_nm is None else 1e-9 * real.pixel_nm,
        min_px=params.evaluation.min_object_px,
    )
    report = {"file": real.path.name, "model": reader.name, **found.report}
    return report, real_section(real.path.name, reader.name, image, found)


def _told(tests: Unseen) -> dict[str, Any]:
    """The films as the report names them."""
    return {
        "folder": str(tests.folder),
        "chosen": tests.chosen,
        "n": len(tests.films),
        "names": [one.name for one in tests.films],
        "cell_nm": tests.cell_nm,
        "spacing_px": tests.spacing_px,
    }


def _model(one: Subject) -> dict[str, Any]:
    """A model as the report names it."""
    from spinscope.studies.lorentz.report import trained

    info = one.predictor.info
    return {
        "name": one.name,
        "ref": one.ref,
        "sha256": one.sha256,
        "views": len(one.predictor.transforms(one.views)),
        "knows_axis": one.knows_axis,
        **{key: info.get(key) for key in ("family", "seed", "parameters", "data_hash")},
        "trained": trained(info),
    }


def _track(params: Params, tests: Unseen, report: dict, sections: Sequence[Section]) -> None:
    """A run of its own: scores as curves, findings as a table, figures."""
    from spinscope.studies.lorentz.scores import SCORES
    from spinscope.studies.report import png
    from spinscope.tracking import lineage, open_store, runs

    store = open_store(params.tracking)
    with runs.study_run(store, lineage(params, tests.digest), f"study {STUDY}") as run:
        history = {
            # What MLflow allows in the name of a metric.
            f"{re.sub(r'[^A-Za-z0-9_. -]', '_', name)}/{key}/{score}": [
                step[score]["mean"] for step in steps
            ]
            for name, curves in report["curves"].items()
            for key, steps in curves.items()
            for score in SCORES
        }
        runs.log_curves(run, history)
        if real := report["real"]:
            runs.log_metrics(run, {f"real.{key}": real[key] for key in ("count", "doubt")})
        runs.log_table(run, report["rows"], "study/rows.csv")
        runs.log_json(run, report, "study/ltem.json")
        for section in sections:
            for number, figure in enumerate(section.figures.values()):
                name = section.title.lower().replace(" ", "-") + (f"-{number}" if number else "")
                runs.log_figure(run, png(figure), f"{name}.png")
