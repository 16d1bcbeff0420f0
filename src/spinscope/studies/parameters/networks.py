"""Networks of the study: those that it trains over seeds, and models that are given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.config import Params, overridden, project_root
from spinscope.errors import SpinscopeError
from spinscope.families import of
from spinscope.files import sha256
from spinscope.models.store import EXPORT, NETWORK, model_info
from spinscope.studies.base import Job
from spinscope.studies.models import named_refs
from spinscope.tracking import resolve

if TYPE_CHECKING:
    from spinscope.inference.parameters import ParameterPredictor

PUBLISHED_FILM_UM = 2.048
"""Side of the published films, µm."""
PUBLISHED, OWN = "published", "scaled"
"""Architectures: that of the paper, and that of this project, which knows the pixel size."""

NETWORKS = "parameters-networks"
"""Folder of the trainings below that of the reports."""


@dataclass(frozen=True)
class Network:
    """One network of the study.

    Parameters
    ----------
    name : str
        Name of its configuration, or of a given model.
    parameter, architecture : str
        What it estimates, and how it is built.
    scales : tuple of float
        Scales of its training views, µm of the published films.
    seed : int
        Seed of its training.
    ref : str, optional
        Reference of a given model; None for a network that the study trains.
    """

    name: str
    parameter: str
    architecture: str
    scales: tuple[float, ...]
    seed: int
    ref: str | None = None

    def __str__(self) -> str:
        return f"{self.name} seed {self.seed}"

    def folder(self, job: Job) -> Path:
        """Model folder on this machine."""
        if self.ref is not None:
            return resolve(job.params.tracking, self.ref)
        return self.training(job) / f"seed-{self.seed}" / "model"

    def training(self, job: Job) -> Path:
        """Folder of the training over all seeds."""
        return job.out / NETWORKS / self.name

    def load(self, job: Job) -> ParameterPredictor:
        """Load the network."""
        from spinscope.inference.parameters import ParameterPredictor

        return ParameterPredictor.load(self.folder(job))

    def about(self, job: Job) -> dict[str, Any]:
        """Entry of the report: seed, number of weights, training data and digest."""
        folder = self.folder(job)
        info = model_info(folder)
        known = {key: info.get(key) for key in ("seed", "parameters", "data_hash")}
        return {**known, "sha256": sha256(folder / NETWORK)}


def shrunk(params: Params, parameter: str) -> float:
    """Side of our films relative to the published ones, and so of every scale."""
    domains = params.domains
    return domains.sets[parameter].size * domains.cell_nm / (1e3 * PUBLISHED_FILM_UM)


def side(scale: float, params: Params, parameter: str) -> float:
    """Side of our views at a scale in µm of the published films, m."""
    return scale * 1e-6 * shrunk(params, parameter)


def scale_label(scale: float, params: Params, parameter: str) -> str:
    """Scale of the paper and, where it differs, ours: "1.5 µm (750 nm)"."""
    ours = f" ({side(scale, params, parameter) * 1e9:g} nm)"
    return f"{scale:g} µm{'' if shrunk(params, parameter) == 1 else ours}"


def corpus(job: Job, parameter: str, *, tests: bool = False) -> Path:
    """Folder of the films of a parameter, or of those of another seed.

    Parameters
    ----------
    job : Job
        Call of the part.
    parameter : str
        "dmi" or "ms".
    tests : bool
        Whether films of another seed are meant.
    """
    name = {"dmi": "domains", "ms": "domains-ms"}[parameter]
    folder = job.options["corpora"] or project_root() / "build/corpus"
    return Path(folder) / (f"{name}-test" if tests else name)


def trained(params: Params) -> list[Network]:
    """Networks that the study trains, in order: every configuration, then the next seed."""
    study = params.scales_study
    return [
        Network(name, one.parameter, one.architecture, one.scales_um, params.seed + number)
        for number in range(study.seeds)
        for name, one in study.networks.items()
    ]


def given(job: Job) -> list[Network]:
    """Models that are measured beside the networks of the study.

    Raises
    ------
    SpinscopeError
        If a model is of another family, or two have the same name.
    """
    params, found = job.params, []
    for name, ref in named_refs(job.options["models"] or ()):
        if name in params.scales_study.networks:
            raise SpinscopeError(f"model {name!r} has the name of a network of the study")
        info = model_info(resolve(params.tracking, ref))
        if "parameter" not in info:
            raise SpinscopeError(
                f"model {ref} is of the family {info.get('family')!r}; this study needs models of "
                "magnetic parameters"
            )
        parameter, architecture = info["parameter"], info["architecture"]
        factor = shrunk(params, parameter)
        scales = tuple(round(1e6 * one / factor, 4) for one in info["scales"])
        found.append(Network(name, parameter, architecture, scales, info.get("seed", 0), ref))
    return found


def used(job: Job, parameter: str) -> Network:
    """Network whose marks and refinement are measured: a given model, else our own.

    Parameters
    ----------
    job : Job
        Call of the part.
    parameter : str
        "dmi" or "ms".
    """
    scales = several(job.params, parameter)
    every = [*given(job), *trained(job.params)]
    return next(
        one
        for one in every
        if one.parameter == parameter
        and (one.ref or (one.architecture == OWN and one.scales == scales))
    )


def settings(job: Job, network: Network) -> Params:
    """Settings of the training of a network."""
    params = job.params
    sides = [round(1e9 * side(scale, params, network.parameter), 4) for scale in network.scales]
    return overridden(
        params,
        [
            *params.scales_study.base,
            f"data.path={json.dumps(str(corpus(job, network.parameter)))}",
            f"options.parameter={network.parameter}",
            f"options.architecture={network.architecture}",
            f"options.scales_nm={sides}",
        ],
    )


def train(job: Job, network: Network) -> dict[str, Any]:
    """Train one network, or read back a finished training; returns its row, see `train_seed`.

    Parameters
    ----------
    job : Job
        Call of the part.
    network : Network
        Of `trained`.
    """
    from spinscope.jobs.training import exported_copy, train_seed

    params, folder = settings(job, network), network.folder(job)
    row = train_seed(params, network.seed, network.training(job))
    if not (folder / EXPORT).is_file():
        exported_copy(of(params), folder, folder)
    return row


def several(params: Params, parameter: str) -> tuple[float, ...]:
    """Scales of the networks that are compared: both architectures are trained at these.

    Parameters
    ----------
    params : Params
        Settings.
    parameter : str
        "dmi" or "ms".

    Raises
    ------
    SpinscopeError
        If there are no two such networks.
    """
    by_kind: dict[str, list[tuple[float, ...]]] = {PUBLISHED: [], OWN: []}
    for one in params.scales_study.networks.values():
        if one.parameter == parameter and len(one.scales_um) > 1:
            by_kind[one.architecture].append(one.scales_um)
    for scales in by_kind[PUBLISHED]:
        if scales in by_kind[OWN]:
            return scales
    raise SpinscopeError(
        f"scales_study.networks must hold two networks of {parameter} with the same scales, more "
        f"than one: one {PUBLISHED} and one {OWN}"
    )
