"""The study of magnetic parameters from films to page: kept in pieces, resumed, said in rows."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import tracking_at
from tests.studies.parameters.films import labyrinth, write_films

from spinscope.analysis.domains import signs, trained_range
from spinscope.config import Params, load_params, overridden
from spinscope.errors import SpinscopeError
from spinscope.families import of
from spinscope.inference.parameters import Distribution, ParameterPredictor
from spinscope.jobs.data import split
from spinscope.models.store import model_info, save_model
from spinscope.studies import report as study_report
from spinscope.studies.parameters import STUDY, closed_loop, networks, odd_images, study
from spinscope.studies.parameters.measures import CONDITIONS
from spinscope.studies.parameters.networks import Network, settings, shrunk, trained
from spinscope.studies.report import lines

NETWORKS = {
    "dmi-1.0": ("dmi", "published", [1.0]),
    "dmi-several": ("dmi", "published", [1.0, 2.0]),
    "dmi-own": ("dmi", "scaled", [1.0, 2.0]),
    "ms-several": ("ms", "published", [1.0, 2.0]),
    "ms-added": ("ms", "published", [1.0, 1.5, 2.0]),
    "ms-own": ("ms", "scaled", [1.0, 2.0]),
}


REFINED = {"true": 5e-4, "before": 4e-4, "after": 4.9e-4, "low": 4e-4, "high": 6e-4, "films": 0}


def small(**changed) -> Params:
    """Settings of the demo profile: films of 256 nm, an eighth of the published ones."""
    chosen = {
        name: {"parameter": parameter, "architecture": architecture, "scales_um": scales}
        for name, (parameter, architecture, scales) in NETWORKS.items()
    }
    values = {"seeds": 1, "views": 1, "test_scales_um": [1.0, 1.5, 2.0], "networks": chosen}
    overrides = [f"scales_study.{key}={json.dumps(value)}"
                 for key, value in (values | changed).items()]  # fmt: skip
    overrides += ["training.epochs=1", "training.steps_per_epoch=2", "training.batch=2"]
    return load_params("demo", overrides, family="parameter-cnn")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """Films of both parameters, and of another seed for D."""
    folder, settings = tmp_path_factory.mktemp("corpora"), small().domains
    for name, parameter in (("domains", "dmi"), ("domains-ms", "ms")):
        write_films(folder / name, parameter, 0, settings)
    write_films(folder / "domains-test", "dmi", 1, settings.model_copy(update={"n": 6}))
    return folder


class Guess(ParameterPredictor):
    """Estimates that do not depend on the image, in place of a network."""

    def __init__(self, info: dict):
        super().__init__(None, info)
        self.rng = np.random.default_rng(0)

    def __call__(self, image: np.ndarray, pixel_size: float) -> Distribution:
        low, high = self.limits
        mean = float(self.rng.uniform(low, high))
        return Distribution(mean, 0.1 * (high - low), mean - 1e-5, mean + 1e-5)


@pytest.fixture(scope="module")
def built(corpora, tmp_path_factory) -> Path:
    """Output folder with a model for every configuration; their networks are not used."""
    params, out = small(), tmp_path_factory.mktemp("networks") / "out"
    job = STUDY.job(params, out, corpora=corpora)
    network = of(params).network(overridden(params, ["options.architecture=published"]))
    trained_on: dict[str, dict] = {}
    for one in trained(params):
        own, folder = settings(job, one), one.folder(job)
        dataset, splits = split(own)
        if one.parameter not in trained_on:
            store, films = dataset.store, splits.train
            seen = [signs(films.image(k), store.pixel_size(films.rows[k])) for k in range(24)]
            trained_on[one.parameter] = trained_range(seen)
        family = of(own)
        info = {
            "family": family.name, **family.info(own), **family.data_info(dataset),
            "trained": trained_on[one.parameter], "parameters": 9, "seed": one.seed,
        }  # fmt: skip
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_model(folder, network, info, "# A card\n")
    return out


@pytest.fixture
def job(built, corpora, tmp_path):
    params = small().model_copy(update={"tracking": tracking_at(tmp_path / "mlruns")})
    return partial(STUDY.job, params, built, corpora=corpora)


def test_a_study_measures_every_network_and_resumes(job, built, monkeypatch):
    monkeypatch.setattr(study_report, "png", partial(study_report.png, dpi=20))
    for name in list(CONDITIONS)[2:]:
        monkeypatch.delitem(CONDITIONS, name)
    rng = np.random.default_rng(0)
    others = [labyrinth(64, 0.05, rng) for _ in range(2)]
    monkeypatch.setattr(odd_images, "odd_films", lambda *_: others)
    monkeypatch.setattr(closed_loop, "refined", lambda *given: {**REFINED, "film": str(given[3])})
    guess = lambda one, job: Guess(model_info(one.folder(job)))  # noqa: E731
    monkeypatch.setattr(Network, "load", guess)
    report = study.report(job(n=2))
    assert report == json.loads((built / "parameters.json").read_text())
    assert list(report["networks"]) == list(NETWORKS)
    assert report["films"]["dmi"]["groups"] == {"held back": 4, "another seed": 6}
    assert report["films"]["ms"]["groups"] == {"held back": 4}
    own = report["networks"]["dmi-own"]
    assert own["labels"]["1.5"] == "1.5 µm (187.5 nm)"
    (seed,) = own["seeds"]
    assert seed["scores"]["1"]["n"] == 10
    assert (seed["trained"]["n"], seed["unseen"]["n"], seed["all"]["n"]) == (20, 10, 30)
    # A guess estimates nothing; the domain width of these films is a function of D.
    assert seed["all"]["r2"] < 0.5 < report["baselines"]["dmi"]["pooled"]["all"]["r2"]
    assert report["networks"]["ms-added"]["seeds"][0]["conditions"] == {}
    page = (built / "parameters.html").read_text()
    assert report["marked"]["dmi"]["odd"]["n"] == 100
    assert report["marked"]["dmi"]["odd"]["kinds"]["uniform"] == {"n": 3, "marked": 3}
    assert [len(films) for films in report["refined"].values()] == [2, 2]
    for word in ("Fig. 2", "Fig. 5", "2603.28812", "1.5 µm (187.5 nm)", "0.125 times", "Closed"):
        assert word in page
    assert len(lines(report)) == len(report["rows"])

    # A second call reads what is kept: no network is loaded, and the numbers are the same.
    monkeypatch.setattr(Network, "load", None)
    monkeypatch.setattr(odd_images, "odd_films", None)
    monkeypatch.setattr(closed_loop, "refined", None)
    assert study.report(job(n=2))["rows"] == report["rows"]
    shipped = json.dumps(STUDY.load().shipped(job().params, report))
    assert str(built) not in shipped
    assert '"mean"' not in shipped  # no single estimate


def test_a_given_model_is_measured_beside_the_networks(job, built):
    folder = built / "parameters-networks/dmi-own/seed-0/model"
    (model,) = networks.given(job(models=[f"lab={folder}"]))
    assert (model.name, model.scales, model.parameter) == ("lab", (1.0, 2.0), "dmi")
    with pytest.raises(SpinscopeError, match="has the name of a network of the study"):
        networks.given(job(models=[f"dmi-own={folder}"]))
    with pytest.raises(SpinscopeError, match="this study needs models of magnetic parameters"):
        networks.given(job(models=["bundled:ltem-unet"]))


@pytest.mark.slow
def test_a_network_is_trained_at_its_scales_and_read_back(job, tmp_path, monkeypatch):
    chosen = job()
    chosen = STUDY.job(chosen.params, tmp_path / "out", corpora=chosen.options["corpora"])
    one = next(one for one in trained(chosen.params) if one.name == "ms-added")
    row = networks.train(chosen, one)
    info = model_info(one.folder(chosen))
    assert info["parameter"] == "ms"
    assert info["scales"] == pytest.approx([125e-9, 187.5e-9, 250e-9])
    found = one.load(chosen)(np.eye(32), 125e-9 / 32)
    assert found.low < found.mean < found.high
    monkeypatch.setattr("spinscope.training.fit.compiled", None)
    assert networks.train(chosen, one) == row


def test_scales_shrink_with_the_films():
    paper, laptop = (load_params(name, family="parameter-cnn") for name in ("paper", "laptop"))
    assert [shrunk(paper, one) for one in ("dmi", "ms")] == [1, 1]
    assert [shrunk(laptop, one) for one in ("dmi", "ms")] == [1, 0.5]
    job = STUDY.job(laptop)
    one = next(one for one in trained(laptop) if one.name == "ms-neighbours")
    given = settings(job, one).options
    assert given["scales_nm"] == [250, 300, 400, 500, 750, 1000]
    assert given["parameter"] == "ms"
    for one in trained(laptop):  # a corpus must have the views on which an epoch is chosen
        known = laptop.domains.sets[one.parameter].scales_nm
        assert set(settings(job, one).options["scales_nm"]) <= set(known)


def test_the_study_needs_two_networks_to_compare():
    few = {"dmi": {"parameter": "dmi", "architecture": "published", "scales_um": [1.0, 2.0]}}
    with pytest.raises(SpinscopeError, match="two networks of dmi with the same scales"):
        networks.several(small(networks=few), "dmi")


def test_seeds_come_one_after_the_other():
    found = trained(small(seeds=2))
    assert [one.seed for one in found[: len(NETWORKS)]] == [0] * len(NETWORKS)
    assert [one.name for one in found[len(NETWORKS) :]] == list(NETWORKS)
