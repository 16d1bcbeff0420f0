"""The Lorentz study: findings of McCray et al., measured with our models.

Every model is measured once at every point; the rows are kept below ``OUT/ltem-points``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.code import code_digest
from spinscope.config import Params, dataset_path, ltem_path, project_root
from spinscope.corpora.films import HEADER, open_films
from spinscope.datasets import shards
from spinscope.errors import SpinscopeError
from spinscope.families.base import SCORING
from spinscope.files import digest, kept
from spinscope.images import read_image
from spinscope.studies import models as study_models
from spinscope.studies.base import Job, Stage
from spinscope.studies.lorentz import report as lorentz_report
from spinscope.studies.lorentz import scores
from spinscope.studies.lorentz.findings import SOURCE, Curves, Rows, findings, real_row
from spinscope.studies.lorentz.real_image import real_image
from spinscope.studies.lorentz.report import real_section
from spinscope.studies.models import Subject
from spinscope.studies.report import Section, publish
from spinscope.studies.report import lines as lines
from spinscope.studies.runs import metric_name

STUDY = "ltem"
TITLE = "Networks on Lorentz images"
MEASURE = 1
"""Version of the measurement; raise it if the same inputs give other rows."""

_IMAGING = {"voltage_kv", "cs_um", "convergence_mrad", "defocus_spread_nm", "mirror_blur_px"}
_IMAGING |= {"phase_ms", "label_mz", "label_erosion_px"}


@dataclass(frozen=True)
class TestFilms:
    """Films to test on.

    Parameters
    ----------
    folder : Path
        Their corpus.
    films : list of Specimen
        The films.
    chosen : str
        Rule that chose them, in words.
    spacing_px : float
        Median distance of neighbouring skyrmions in px.
    digest : str
        Digest of corpus and choice.
    """

    __test__ = False

    folder: Path
    films: list[scores.Specimen]
    chosen: str
    spacing_px: float
    digest: str

    @property
    def cell_nm(self) -> float:
        """Pixel size in nm."""
        return 1e9 * self.films[0].film.material.cell

    def about(self) -> dict[str, Any]:
        """Entry `films` of the report."""
        return {
            "folder": str(self.folder),
            "chosen": self.chosen,
            "n": len(self.films),
            "names": [one.name for one in self.films],
            "cell_nm": self.cell_nm,
            "spacing_px": self.spacing_px,
        }


def films(job: Job) -> TestFilms:
    """Test films of a call.

    Parameters
    ----------
    job : Job
        Call of the part.
    """
    folder = job.options["films"] or project_root() / "build/corpus/films"
    return unseen(job.params, Path(folder), numbers=job.options["numbers"], n=job.options["n"])


def measure(job: Job, model: str) -> Curves:
    """Rows of one model at all points.

    Parameters
    ----------
    job : Job
        Call of the part.
    model : str
        Reference of the model.
    """
    return measured(job, films(job), study_models.subject(job.params, model))


STAGES = (Stage("measure", measure, lambda job: job.options["models"], in_report=True),)


def report(job: Job) -> dict[str, Any]:
    """Measure the models and write ``OUT/ltem.json`` and ``OUT/ltem.html``.

    The published images at `config.ltem_path()` are scored where there are any.

    Parameters
    ----------
    job : Job
        Options: ``models``, REF or NAME=REF, first the one trained at −2 mm and 20°; ``films``, a
        corpus of films; ``numbers`` and ``n``, see `unseen`; ``real``, a Lorentz image without a
        label, with ``real_model``, ``axis`` (degrees), ``scale`` and ``pixel_size`` (nm).

    Raises
    ------
    SpinscopeError
        If films or models are missing or named wrongly.
    """
    params, tests = job.params, films(job)
    chosen = study_models.subjects(params, job.options["models"])
    reader = _reader(job, chosen)  # a wrong name fails before anything is computed
    curves = {one.name: measured(job, tests, one) for one in chosen}
    pairs = {one.name: _pairs(params, one) for one in chosen}
    cell = tests.cell_nm
    noise = {name: own["noise"] for name, own in pairs.items() if own}
    rows = findings(curves, noise, cell_nm=cell)
    sections = lorentz_report.sections(curves, pairs, _images(params, tests, chosen), cell)
    about_model = ("family", "seed", "parameters", "data_hash")
    models = [
        {
            **one.about(*about_model),
            "views": len(one.predictor.transforms(one.views)),
            "knows_axis": one.knows_axis,
            "trained": lorentz_report.trained(one.predictor.info),
        }
        for one in chosen
    ]
    numbers = lorentz_report.numbers(curves, pairs, cell)
    real = None
    if reader is not None:
        real, section = _real(job, reader, tests)
        sections.append(section)
        rows.append(real_row(real))
    about = [f"{model['name']} ({model['ref']}): {model['trained']}" for model in models]
    return publish(
        job,
        STUDY,
        TITLE,
        lorentz_report.about(len(tests.films), tests.chosen, about, params.ltem),
        rows,
        sections,
        {
            "source": SOURCE,
            "films": tests.about(),
            "imaging": params.ltem.model_dump(mode="json", include=_IMAGING),
            "seed": params.seed,
            "models": models,
            **numbers,
            "real": real,
        },
        data_hash=tests.digest,
        curves={
            f"{metric_name(name)}/{key}/{score}": [step[score]["mean"] for step in steps]
            for name, own in numbers["curves"].items()
            for key, steps in own.items()
            for score in scores.SCORES
        },
        metrics={f"real.{key}": real[key] for key in ("count", "doubt")} if real else None,
    )


def shipped(params: Params, report: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard shows of a report: no published or real images, no path of the corpus.

    Parameters
    ----------
    params : Params
        Settings.
    report : dict
        Report of the study.
    """
    films = {**report["films"], "folder": Path(report["films"]["folder"]).name}
    left_out = ("pairs", "real")
    return {key: value for key, value in report.items() if key not in left_out} | {"films": films}


def unseen(
    params: Params, folder: Path, *, numbers: str | None = None, n: int | None = None
) -> TestFilms:
    """Films of a corpus that no model was trained on.

    Parameters
    ----------
    params : Params
        Settings.
    folder : Path
        Corpus of films.
    numbers : str, optional
        ``all``, or ``FIRST:LAST`` without LAST. By default the films in the test batches of the
        settings' Lorentz corpus.
    n : int, optional
        Largest number of films, evenly chosen.

    Raises
    ------
    SpinscopeError
        If there are no films, or the Lorentz corpus was made of others or with another label.
    """
    if not (folder / HEADER).is_file():
        raise SpinscopeError(
            f"there are no films at {folder}: run `spinscope corpus films`, or name a corpus of "
            "films with --films"
        )
    corpus = open_films(folder)
    if numbers is None:
        names, chosen = _test_batches(params, corpus)
        indices = scores.unseen_films(corpus, params.ltem, names=names)
    else:
        indices = scores.unseen_films(corpus, params.ltem, numbers=_range(numbers))
        first, last = (corpus.rows[indices[k]]["number"] for k in (0, -1))
        chosen = f"number {first} to {last} of {folder.name}"
    if n is not None and n < len(indices):
        indices = [indices[k * len(indices) // n] for k in range(n)]
        chosen += f", {n} of them evenly chosen"
    found = scores.specimens(corpus, indices, params.ltem)
    rows = [corpus.rows[index] for index in indices]
    spacing = [
        np.sqrt(2 * one.label.size / (np.sqrt(3) * max(row["objects"], 1)))
        for one, row in zip(found, rows, strict=True)
    ]
    key = digest([corpus.header.get("seed"), rows])
    return TestFilms(folder, found, chosen, float(np.median(spacing)), key)


def measured(job: Job, tests: TestFilms, subject: Subject) -> Curves:
    """Rows of a model at all points, each point measured once.

    Parameters
    ----------
    job : Job
        Call of the part.
    tests : TestFilms
        Films to test on.
    subject : Subject
        The model.
    """
    params, plan = job.params, scores.curves()
    if not subject.knows_axis:
        del plan["axis_known"]
    key = [
        *(MEASURE, subject.sha256, subject.views, tests.digest, params.seed),
        params.ltem.model_dump(mode="json", include=_IMAGING),
        params.inference.model_dump(mode="json"),
        params.evaluation.min_object_px,
        code_digest(SCORING),
    ]
    folder = job.out / f"{STUDY}-points" / digest(key)
    given = {"seed": params.seed, "min_px": params.evaluation.min_object_px}
    score = functools.partial(scores.measure, subject.predict, tests.films, **given)
    points, rows = scores.points(plan), {}
    for point in job.progress(points, total=len(points), desc=f"study {subject.name}"):
        at = asdict(point)
        path = folder / f"{digest(at)}.json"
        rows[point] = kept(path, [key, at], functools.partial(score, point, params.ltem))
    return {name: {x: rows[point] for x, point in curve.items()} for name, curve in plan.items()}


def _range(text: str) -> range:
    """Film numbers of the option ``numbers``."""
    if text == "all":
        return range(2**31)
    if not (found := re.fullmatch(r"(\d+):(\d+)", text)):
        raise SpinscopeError(f"--numbers {text!r} must be all or FIRST:LAST")
    return range(int(found[1]), int(found[2]))


def _test_batches(params: Params, corpus) -> tuple[set[str], str]:
    """Names of the films in the test batches of the Lorentz corpus, and the rule in words."""
    path, batches = dataset_path(params), params.data.test_batches
    header = shards.read_header(path) if (path / shards.HEADER).is_file() else {}
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
    by_name = {row["name"]: row for row in corpus.rows}
    names = set()
    for row in shards.ShardStore.open(path).rows:
        film = by_name.get(row["film"])
        if film is None or not np.isclose(float(row["ms"]), film["ms"], rtol=1e-4):
            raise SpinscopeError(
                f"{path} was made of other films than those of {corpus.path}: it holds "
                f"{row['film']} of ms {row['ms']} A/m"
            )
        if int(row["batch"]) in batches:
            names.add(row["film"])
    return names, f"batch {', '.join(map(str, batches))} of {path.name}, held back from training"


def _pairs(params: Params, subject: Subject) -> dict[str, dict[float, Rows]]:
    """Rows on the published images, with noise unclipped and clipped; empty without images."""
    folder = ltem_path()
    pairs = scores.published_pairs(folder) if folder.is_dir() else []
    given = {"seed": params.seed, "min_px": params.evaluation.min_object_px}
    score = functools.partial(scores.measure_pairs, subject.predict, pairs, **given)
    return {
        curve: {x: score(x, clipped=curve == "clipped" and x > 0) for x in scores.NOISE}
        for curve in (("noise", "clipped") if pairs else ())
    }


def _images(params: Params, tests: TestFilms, chosen: Sequence[Subject]) -> dict[str, list[tuple]]:
    """The first film at a few points with the prediction of each model, by caption."""
    film = tests.films[0]
    at = {f"{100 * x:.0f} % noise": scores.Point(noise=x) for x in (0.0, 0.5, 1.0)}
    at |= {
        "−1 mm": scores.Point(defocus_mm=-1),
        "10°": scores.Point(tilt_deg=10),
        "axis 90°": scores.Point(axis_deg=90),
    }
    images = {
        title: scores.simulated_image(film, point, params.ltem, params.seed)
        for title, point in at.items()
    }
    return {
        f"{film.name}, {one.name}. Pale: found; blue: missed; orange: false.": [
            (title, image, film.label, one.predict(image)) for title, image in images.items()
        ]
        for one in chosen
    }


def _reader(job: Job, chosen: Sequence[Subject]) -> Subject | None:
    """Model that segments the real image; None without an image."""
    if job.options["real"] is None:
        return None
    by_name = {one.name: one for one in chosen}
    name = job.options["real_model"] or chosen[-1].name
    if name not in by_name:
        raise SpinscopeError(
            f"model {name!r} of the real image must be one of {', '.join(by_name)}"
        )
    return by_name[name]


def _real(job: Job, reader: Subject, tests: TestFilms) -> tuple[dict[str, Any], Section]:
    """Report of the real image and its section."""
    options = job.options
    path, pixel_nm = Path(options["real"]), options["pixel_size"]
    image = read_image(path)
    found = real_image(
        reader.segment,
        image,
        trained_spacing=tests.spacing_px,
        axis_deg=options["axis"],
        either_way=reader.knows_axis,
        scale=options["scale"],
        pixel_size=None if pixel_nm is None else 1e-9 * pixel_nm,
        min_px=job.params.evaluation.min_object_px,
    )
    report = {"file": path.name, "model": reader.name, **found.report}
    return report, real_section(path.name, reader.name, image, found)
