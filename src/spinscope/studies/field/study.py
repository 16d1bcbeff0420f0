"""The study of effective fields: findings of Lee et al., measured with our networks.

Every network is measured once, in pieces that are kept below ``OUT/field-points``.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.code import code_digest
from spinscope.config import Params, project_root
from spinscope.corpora.lattice import open_lattices
from spinscope.datasets import Dataset, data_hash
from spinscope.errors import SpinscopeError
from spinscope.families import of
from spinscope.files import atomic_file, digest, kept
from spinscope.images import read_image
from spinscope.jobs.field import respond
from spinscope.studies.base import Job, Stage
from spinscope.studies.field import measures
from spinscope.studies.field import report as field_report
from spinscope.studies.field.findings import SOURCE, denoising_steps, findings
from spinscope.studies.field.kerr_image import infer, kerr_lattice
from spinscope.studies.field.measures import Field, Tests, TrueField
from spinscope.studies.field.networks import Network, networks
from spinscope.studies.field.report import TRUE
from spinscope.studies.report import Section, publish
from spinscope.studies.report import lines as lines
from spinscope.studies.runs import metric_name

STUDY = "field"
TITLE = "Effective fields of spin configurations"
WITHOUT = "without a network"
"""Unit of the true field, Monte Carlo and baselines."""

_CODE = ("inference", "models", "physics/lattice", "physics/recursion", "physics/topology")
_CODE += ("studies/field/measures",)

_APPLICATIONS: dict[str, Callable[[Field, Tests], Any]] = {
    "denoise": measures.denoise,
    "repair": measures.repair,
    "complete": measures.complete,
    "generate": measures.generate,
    "respond": measures.respond,
}
_REFERENCES: dict[str, Callable[[Tests], Any]] = {
    "smooth": measures.smooth,
    "gradient": measures.complete_by_gradient,
    "anneal": measures.anneal,
    "respond": measures.respond_by_monte_carlo,
}


@dataclass(frozen=True)
class TestData:
    """Test lattices with their name and digest."""

    __test__ = False

    dataset: Dataset
    tests: Tests
    digest: str

    @property
    def true_field(self) -> Field:
        """Field of the Hamiltonian of the lattices, in place of a network."""
        return Field(TrueField(self.tests.hamiltonian), mix=1.0)


def test_data(job: Job) -> TestData:
    """Test lattices of a call.

    Raises
    ------
    SpinscopeError
        If there is no corpus of lattices.
    """
    folder = Path(job.options["lattices"] or project_root() / "build/corpus/lattice-test")
    dataset = open_lattices(folder)
    lattices = [dataset.image(index) for index in range(len(dataset))]
    tests = Tests(lattices, dataset.store.hamiltonian, job.params.seed, job.options["n"])
    return TestData(dataset, tests, data_hash(dataset))


def units(job: Job) -> list[Network | str]:
    """Networks of a call, and `WITHOUT`."""
    return [*networks(job.options["models"]), WITHOUT]


def measure(job: Job, unit: Network | str) -> dict[str, Any]:
    """Measurements of one network, or of what needs none.

    Parameters
    ----------
    job : Job
        Call of the part.
    unit : Network or str
        A network, or `WITHOUT`.

    Returns
    -------
    dict
        For a network: `accuracy`, `denoise`, `repair`, `complete`, `generate` and `respond`.
        Without: these of the true field as `true` (no accuracy), and `smooth`, `gradient`, `anneal`
        and `respond`.
    """
    data = test_data(job)
    if isinstance(unit, str):
        found = {"true": _applied(job, data, TRUE, {}, lambda: data.true_field)}
        for name, run in _REFERENCES.items():
            code = ("physics/annealing", *_CODE)
            path, key = _place(job, data, WITHOUT, {}, name, code)
            found[name] = kept(path, key, partial(run, data.tests))
        return found
    about = unit.about(job.params)
    load = functools.cache(partial(unit.field, job.params))
    path, key = _place(job, data, unit.name, about, "accuracy")
    accuracy = partial(_accuracy, job.params, data.dataset, load)
    return {
        "accuracy": kept(path, key, accuracy),
        **_applied(job, data, unit.name, about, load),
    }


STAGES = (Stage("measure", measure, units, isolated=True),)


def report(job: Job) -> dict[str, Any]:
    """Measure what is missing and write ``OUT/field.json`` and ``OUT/field.html``.

    Parameters
    ----------
    job : Job
        Options: ``models``, NAME=FOLDER of a training or REF of a model; ``lattices``, the test
        corpus; ``n``, lattices that are denoised and repaired; ``image``, a Kerr image.

    Raises
    ------
    SpinscopeError
        If lattices or models are missing or named wrongly.
    """
    params, data = job.params, test_data(job)
    trainings: dict[str, list[dict[str, Any]]] = {}
    first: dict[str, Network] = {}
    for network in networks(job.options["models"]):
        found = {"ref": network.ref, **network.about(params), **measure(job, network)}
        trainings.setdefault(network.name, []).append(found)
        first.setdefault(network.name, network)
    references = measure(job, WITHOUT)
    shown = {
        name: _examples(
            job, data, name, network.about(params), partial(network.field, params), trainings[name]
        )
        for name, network in first.items()
    }
    shown[TRUE] = _examples(job, data, TRUE, {}, lambda: data.true_field, [references["true"]])
    rows = findings(trainings, references)
    sections = field_report.sections(trainings, references, shown, data.tests)
    kerr: dict[str, Any] = {}
    if job.options["image"] is not None:
        kerr, section = _kerr(job, data, first)
        sections.insert(-1, section)
    header = data.dataset.store.hamiltonian
    return publish(
        job,
        STUDY,
        TITLE,
        field_report.about(trainings, data.tests, data.dataset.path.name),
        rows,
        sections,
        {
            "source": SOURCE,
            "lattices": {
                "folder": str(data.dataset.path),
                "n": len(data.tests.lattices),
                "size": list(data.tests.lattices[0].shape[:2]),
                "dmi": header.dmi,
                "dmi_kind": header.dmi_kind,
                "data_hash": data.digest,
            },
            "seed": params.seed,
            "trainings": trainings,
            "references": references,
            "image": kerr or None,
        },
        data_hash=data.digest,
        metrics={
            f"{metric_name(name)}.{seed['seed']}.{key}": seed["accuracy"][key]
            for name, seeds in trainings.items()
            for seed in seeds
            for key in ("energy_error", "mse")
        },
    )


def shipped(params: Params, report: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard shows of a report: no path, and nothing of a measured image.

    Parameters
    ----------
    params : Params
        Settings.
    report : dict
        Report of the study.
    """
    lattices = {**report["lattices"], "folder": Path(report["lattices"]["folder"]).name}
    trainings = {
        name: [{key: value for key, value in seed.items() if key != "ref"} for seed in seeds]
        for name, seeds in report["trainings"].items()
    }
    known = {key: value for key, value in report.items() if key != "image"}
    return {**known, "lattices": lattices, "trainings": trainings}


def _accuracy(params: Params, lattices: Dataset, load: Callable[[], Field]) -> dict[str, Any]:
    """Scores of the family on the test lattices, without the single lattices."""
    found = of(params).score(load().call, lattices, params)
    return {key: value for key, value in found.items() if key != "per_image"}


def _applied(
    job: Job, data: TestData, name: str, about: dict[str, Any], load: Callable[[], Field]
) -> dict[str, Any]:
    """Measurements of every application, each kept in a file of its own."""
    found = {}
    for application, run in job.progress(list(_APPLICATIONS.items()), desc=f"study {name}"):
        path, key = _place(job, data, name, about, application)
        found[application] = kept(path, key, lambda run=run: run(load(), data.tests))
    return found


def _place(
    job: Job,
    data: TestData,
    name: str,
    about: dict[str, Any],
    measure: str,
    code: tuple[str, ...] = _CODE,
) -> tuple[Path, list[Any]]:
    """File of a measurement and the key of everything that it depends on."""
    tests = data.tests
    n = tests.n if measure in ("denoise", "smooth", "repair") else None
    key = [
        about.get("sha256", name),
        data.digest,
        tests.seed,
        n,
        measure,
        code_digest(code, (respond,)),
    ]
    return job.out / f"{STUDY}-points" / f"{measure}-{digest(key)}.json", key


def _examples(
    job: Job,
    data: TestData,
    name: str,
    about: dict[str, Any],
    load: Callable[[], Field],
    seeds: list[dict[str, Any]],
) -> dict[str, np.ndarray]:
    """Spins that the page shows, kept in one file."""
    steps = denoising_steps([one["denoise"] for one in seeds])
    path = _place(job, data, name, about, f"examples-{steps}")[0].with_suffix(".npz")
    if not path.is_file():
        arrays = dict(measures.examples(load(), data.tests, steps))
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        with atomic_file(path) as unfinished:
            unfinished.write_bytes(buffer.getvalue())
    with np.load(path) as stored:
        return dict(stored)


def _kerr(job: Job, data: TestData, first: dict[str, Network]) -> tuple[dict[str, Any], Section]:
    """Report of the Kerr image and its section."""
    path = Path(job.options["image"])
    if not path.is_file():
        raise SpinscopeError(f"--image {path} does not exist")
    hamiltonian = data.tests.hamiltonian
    given, scale = kerr_lattice(read_image(path), hamiltonian)
    spins, found = {}, {}
    for name, network in first.items():
        spins[name], found[name] = infer(network.field(job.params), given, hamiltonian)
    m_z = given.shown(given.m_z)
    section = field_report.kerr_section(path.name, scale, m_z, spins, found)
    return {"file": path.name, **scale, "networks": found}, section
