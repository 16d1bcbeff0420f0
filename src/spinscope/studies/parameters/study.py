"""The study of magnetic parameters: findings of Watanabe et al., measured with our networks.

Networks are trained below ``OUT/parameters-networks``. Every network is measured once, in pieces
that are kept below ``OUT/parameters-points``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spinscope.code import code_digest
from spinscope.config import Params
from spinscope.files import digest, kept
from spinscope.models.store import model_info
from spinscope.studies.base import Job, Stage
from spinscope.studies.parameters import closed_loop, measures, odd_images
from spinscope.studies.parameters import report as parameters_report
from spinscope.studies.parameters.findings import SOURCE, TITLES, findings
from spinscope.studies.parameters.networks import (
    Network,
    given,
    scale_label,
    several,
    train,
    trained,
    used,
)
from spinscope.studies.parameters.views import Films, scales, training_films, unseen_films
from spinscope.studies.report import lines as lines
from spinscope.studies.report import publish
from spinscope.studies.runs import metric_name

STUDY = "parameters"
TITLE = "Magnetic parameters from domain images"

_CODE = ("analysis/domains", "inference/parameters", "models", "physics/domain_images")
_CODE += ("studies/parameters/measures", "studies/parameters/views")
_MARKING = ("corpora/kerr", "jobs/estimate", "studies/parameters/odd_images")
_REFINING = ("jobs/estimate", "jobs/refining", "studies/parameters/closed_loop")

_ODD = 12
"""Test films from which images outside the range of the training are made."""


def networks(job: Job) -> list[Network]:
    """Networks that are measured: those of the settings, and given models."""
    return [*trained(job.params), *given(job)]


def measure(job: Job, network: Network) -> dict[str, Any]:
    """Estimates of one network.

    Parameters
    ----------
    job : Job
        Call of the part.
    network : Network
        A network.

    Returns
    -------
    dict
        `scales`, see `measures.estimates`; for networks that are compared with others also
        `conditions`, see `measures.under_conditions`.
    """
    films, widths = unseen_films(job, network.parameter), scales(job, network.parameter)
    load = functools.cache(lambda: measures.estimate_by(network.load(job)))
    runs: dict[str, Callable[..., Any]] = {"scales": measures.estimates}
    if network.ref or network.scales == several(job.params, network.parameter):
        runs["conditions"] = measures.under_conditions
    key = [network.about(job)["sha256"]]
    return {
        name: _kept(job, films, [*key, name], lambda run=run: run(load(), films, widths))
        for name, run in runs.items()
    }


def measure_width(job: Job, parameter: str) -> dict[str, Any]:
    """Estimates by the domain width, see `measures.baseline`.

    Parameters
    ----------
    job : Job
        Call of the part.
    parameter : str
        "dmi" or "ms".
    """
    films, used = unseen_films(job, parameter), several(job.params, parameter)

    def run() -> dict[str, Any]:
        return measures.baseline(
            films, training_films(job, parameter), scales(job, parameter), used
        )

    return _kept(job, films, ["width", used], run)


def mark(job: Job, parameter: str) -> dict[str, Any]:
    """Count the images without a valid estimate, and the test views, that are marked.

    Parameters
    ----------
    job : Job
        Call of the part.
    parameter : str
        "dmi" or "ms".
    """
    films, network = unseen_films(job, parameter), used(job, parameter)
    info = model_info(network.folder(job))

    def run() -> dict[str, Any]:
        sides, pixels, params = info["scales"], films.pixels, job.params
        some = [films.films[number].m_z for number in closed_loop.chosen(films, _ODD)]
        others = odd_images.odd_films(parameter, params.domains)
        odd = [
            *odd_images.not_domains(sides, pixels, params.kerr),
            *odd_images.outside_training(some, others, films.cell, sides, pixels),
        ]
        views = ((one.image, one.pixel_size) for side in sides for one in films.views(side, 1))
        return odd_images.count_marked(closed_loop.marks(network.load(job)), odd, views)

    key = ["mark", network.about(job)["sha256"], info["trained"], code_digest(_MARKING)]
    return _kept(job, films, key, run)


def films_to_refine(job: Job) -> list[tuple[str, int]]:
    """Parameter and number of the test films whose estimates are refined."""
    return [
        (parameter, number)
        for parameter in TITLES
        for number in closed_loop.chosen(unseen_films(job, parameter), job.options["n"])
    ]


def refine(job: Job, unit: tuple[str, int]) -> dict[str, Any]:
    """Refine the estimate of one film at half of its side, see `closed_loop.refined`.

    Parameters
    ----------
    job : Job
        Call of the part.
    unit : (str, int)
        Parameter and number of the film.
    """
    parameter, number = unit
    films, network = unseen_films(job, parameter), used(job, parameter)
    half = films.films[number].m_z.shape[0] * films.cell / 2
    width = min(scales(job, parameter).values(), key=lambda side: abs(side - half))
    key = ["refine", number, network.about(job)["sha256"], code_digest(_REFINING)]
    return _kept(job, films, key, lambda: closed_loop.refined(job, network, films, number, width))


STAGES = (
    Stage("train", train, lambda job: trained(job.params), isolated=True),
    Stage("measure", measure, networks, isolated=True),
    Stage("width", measure_width, lambda job: list(TITLES)),
    Stage("mark", mark, lambda job: list(TITLES), isolated=True),
    Stage("refine", refine, films_to_refine, isolated=True),
)


def report(job: Job) -> dict[str, Any]:
    """Measure what is missing and write ``OUT/parameters.json`` and ``OUT/parameters.html``.

    Parameters
    ----------
    job : Job
        Options: ``models``, NAME=REF of models that are measured too; ``corpora``, folder of the
        films; ``n``, films whose estimates are refined.

    Raises
    ------
    SpinscopeError
        If films or networks are missing.
    """
    params = job.params
    tests = {parameter: unseen_films(job, parameter) for parameter in TITLES}
    found: dict[str, dict[str, Any]] = {}
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for network in networks(job):
        measured = measure(job, network)
        entry = found.setdefault(network.name, _configuration(job, network))
        summary = summaries(measured, tests[network.parameter], network.scales)
        entry["seeds"].append({**network.about(job), **summary})
        tables.setdefault(network.name, []).append(measured["scales"])
    baselines = {}
    for parameter, films in tests.items():
        used, by_width = several(params, parameter), measure_width(job, parameter)
        pooled = {"scales": by_width["pooled"], "conditions": by_width["conditions"]}
        baselines[parameter] = {
            "pooled": summaries(pooled, films, used),
            "each": summaries(
                {"scales": by_width["each"]}, films, params.scales_study.test_scales_um
            ),
        }
    marked = {parameter: mark(job, parameter) for parameter in TITLES}
    refined: dict[str, list[dict[str, Any]]] = {}
    for unit in films_to_refine(job):
        refined.setdefault(unit[0], []).append(refine(job, unit))
    rows = findings(found, baselines, marked, refined)
    sections = [
        *parameters_report.sections(found, baselines, tables, tests, params),
        parameters_report.marked_section(marked),
        *(parameters_report.refined_section(*item) for item in refined.items()),
        parameters_report.related(),
    ]
    return publish(
        job,
        STUDY,
        TITLE,
        parameters_report.about(params, tests, found),
        rows,
        sections,
        {
            "source": SOURCE,
            "films": {
                parameter: {
                    "n": len(films.films),
                    "groups": _groups(films),
                    "digest": films.digest,
                }
                for parameter, films in tests.items()
            },
            "seed": params.seed,
            "networks": found,
            "baselines": baselines,
            "marked": marked,
            "refined": refined,
        },
        data_hash=tests["dmi"].digest,
        metrics={
            f"{metric_name(name)}.{seed['seed']}.{key}": seed[key]["r2"]
            for name, one in found.items()
            for seed in one["seeds"]
            for key in ("trained", "unseen")
            if seed[key]
        },
    )


def shipped(params: Params, report: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard shows of a report: no reference of a model.

    Parameters
    ----------
    params : Params
        Settings.
    report : dict
        Report of the study.
    """
    named = {
        name: {key: value for key, value in one.items() if key != "ref"}
        for name, one in report["networks"].items()
    }
    return {**report, "networks": named}


def summaries(measured: Mapping[str, Any], films: Films, used: Sequence[float]) -> dict[str, Any]:
    """Scores of the estimates of one network.

    Parameters
    ----------
    measured : mapping
        `scales` and, if measured, `conditions`.
    films : Films
        Test films.
    used : sequence of float
        Scales of the training.

    Returns
    -------
    dict
        `scores` by scale; `trained`, `unseen` and `all` scales together, None without any;
        `groups`, all scales of each group of films; `conditions`, the same of each condition.
    """
    tables = measured["scales"]

    def together(tables: Mapping[str, Any], group: str | None = None) -> dict[str, Any]:
        known = {f"{scale:g}" for scale in used}
        kinds = {
            "trained": [table for scale, table in tables.items() if scale in known],
            "unseen": [table for scale, table in tables.items() if scale not in known],
            "all": list(tables.values()),
        }
        return {
            kind: measures.scores(some, films, group) if some else None
            for kind, some in kinds.items()
        }

    return {
        "scores": {scale: measures.scores([table], films) for scale, table in tables.items()},
        **together(tables),
        "groups": {group: together(tables, group)["all"] for group in _groups(films)},
        "conditions": {
            name: together(some) for name, some in measured.get("conditions", {}).items()
        },
    }


def _groups(films: Films) -> dict[str, int]:
    """Number of films of each group."""
    names = [film.group for film in films.films]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _configuration(job: Job, network: Network) -> dict[str, Any]:
    """Entry of the report of a configuration, without its seeds."""
    params = job.params
    every = sorted({*network.scales, *params.scales_study.test_scales_um})
    return {
        "parameter": network.parameter,
        "architecture": network.architecture,
        "scales": list(network.scales),
        "labels": {f"{scale:g}": scale_label(scale, params, network.parameter) for scale in every},
        "given": network.ref is not None,
        "ref": network.ref,
        "seeds": [],
    }


def _kept(job: Job, films: Films, key: list[Any], run: Callable[[], Any]) -> Any:
    """Result of a measurement, kept in a file of its own."""
    widths = list(job.params.scales_study.test_scales_um)
    key = [*key, films.digest, widths, code_digest(_CODE)]
    return kept(job.out / f"{STUDY}-points" / f"{digest(key)}.json", key, run)
