"""The study of effective fields from lattices to page: kept in pieces, resumed, said in rows."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import tracking_at
from tests.studies.field.test_kerr_image import stripes

from spinscope import cli
from spinscope.config import load_params
from spinscope.corpora.lattice import make_lattice_corpus
from spinscope.errors import SpinscopeError
from spinscope.inference.field import FieldPredictor
from spinscope.models.field_networks import field_network, fit_field
from spinscope.models.store import save_model
from spinscope.physics.lattice import Hamiltonian, effective_field, random_spins
from spinscope.studies import report as study
from spinscope.studies.field import STUDY, measures
from spinscope.studies.field.networks import networks
from spinscope.studies.report import lines


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    """Short recursions, two strengths and fields, and small figures."""
    for name, value in {"ALPHAS": (0.5, 1.0, 1.5), "FIELDS": (0.03, 0.09), "ITERATIONS": 6,
                        "DENOISING": 2, "REPAIRING": 3, "COMPLETING": 2, "STARTS": 1,
                        "AGITATED": 20, "MONTE_CARLO": (40, 10)}.items():  # fmt: skip
        monkeypatch.setattr(measures, name, value)
    monkeypatch.setattr(study, "png", partial(study.png, dpi=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder with test lattices, a training of two seeds, and one published network."""
    path, rng = tmp_path_factory.mktemp("field"), np.random.default_rng(0)
    settings = load_params(
        "demo",
        ["lattice.n=2", "lattice.size=32", "lattice.sweeps=60", "lattice.workers=1"],
        family="field-fcn",
    ).lattice
    make_lattice_corpus(path / "lattices", 5, settings)
    spins = random_spins((32, 32), rng)[None]
    for seed in (0, 10):
        network = field_network("local", seed)
        fit_field(network, spins, effective_field(spins, Hamiltonian()))
        save(path / f"training/seed-{seed}/model", network, "local", seed)
    save(path / "published", field_network("published", 0), "published", 0)
    (path / "training/seed-11").mkdir()  # unfinished
    return path


def save(path: Path, network, architecture: str, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = {"family": "field-fcn", "architecture": architecture, "seed": seed, "parameters": 9}
    save_model(path, network, info, "# A card\n")


@pytest.fixture
def run(folder, tmp_path):
    params = load_params("demo", family="field-fcn")
    params = params.model_copy(update={"tracking": tracking_at(tmp_path / "mlruns")})
    models = [f"own={folder}/training", f"published={folder}/published"]
    return partial(
        STUDY, params, tmp_path / "out", models=models, lattices=folder / "lattices", n=1
    )


def test_a_study_measures_every_seed_and_resumes(run, folder, tmp_path, monkeypatch):
    Image.fromarray((255 * stripes(12.0, shape=(60, 60))).clip(0, 255).astype(np.uint8)).save(
        tmp_path / "kerr.png"
    )
    report = run(image=tmp_path / "kerr.png")
    assert report == json.loads((tmp_path / "out/field.json").read_text())
    own, published = report["trainings"]["own"], report["trainings"]["published"]
    assert [one["seed"] for one in own] == [0, 10]
    assert len(published) == 1
    # The linear convolution was fitted to the true field; random weights know nothing of it.
    assert own[0]["accuracy"]["energy_error"] < 1e-5 < published[0]["accuracy"]["energy_error"]
    rows = {row["name"]: row for row in report["rows"]}
    error = rows["Error of the energy from the inferred field, %, own"]
    assert (error["verdict"], error["n"]) == ("reproduced", 2)
    failed = rows["Error of the energy from the inferred field, %, published"]
    assert failed["verdict"] == "not reproduced"
    page = (tmp_path / "out/field.html").read_text()
    for word in (
        "2 lattices of lattices",
        "NeuralMAG",
        "kerr.png",
        "training Hamiltonian",
        "Monte",
    ):
        assert word in page
    assert len(lines(report)) == len(report["rows"])

    # A second call reads what is kept: no network is loaded, and the numbers are the same.
    monkeypatch.setattr(FieldPredictor, "load", None)
    again = run()
    assert again["rows"] == report["rows"]
    # A lost piece is measured again, the others are not.
    (lost,) = (tmp_path / "out/field-points").glob("smooth-*.json")
    lost.unlink()
    assert run()["references"]["smooth"] == report["references"]["smooth"]


def test_shipped_results_name_no_folder_and_no_image(run, tmp_path):
    params = load_params("demo", family="field-fcn")
    report = {
        "rows": [],
        "image": {"file": "secret.png"},
        "lattices": {"folder": "/home/me/test", "n": 2},
        "trainings": {"own": [{"ref": "/home/me/training/seed-0/model", "seed": 0}]},
    }
    shipped = STUDY.load().shipped(params, report)
    assert "/home" not in json.dumps(shipped)
    assert "secret" not in json.dumps(shipped)
    assert shipped["trainings"]["own"][0]["seed"] == 0


def test_seeds_of_a_training_come_in_order(folder):
    found = networks([f"own={folder}/training", f"{folder}/published", "bundled:x"])
    assert [Path(one.ref).parent.name for one in found[:2]] == ["seed-0", "seed-10"]
    assert [one.name for one in found[2:]] == [f"{folder}/published", "bundled:x"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "a study needs at least one --model"),
        (["a=x", "a=y"], "two models are named 'a'"),
        (["own={folder}/lattices"], "must be a model folder, or that of a training with seeds"),
    ],
)
def test_wrong_models_are_refused(folder, given, message):
    with pytest.raises(SpinscopeError, match=message):
        networks([text.format(folder=folder) for text in given])


def test_bad_words_end_the_verb_with_a_sentence(folder, tmp_path, monkeypatch, capsys):
    def call(*options: object) -> str:
        words = ["spinscope", "study", "field", *options, "--out", tmp_path / "out"]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 1
        return capsys.readouterr().err

    network = ["--model", folder / "published"]
    assert "there are no lattices at" in call(*network, "--lattices", tmp_path)
    lattices = ["--lattices", folder / "lattices"]
    assert "does not exist" in call(*network, *lattices, "--image", tmp_path / "none.png")
    other = ["--model", "bundled:ltem-unet"]
    assert "this study needs networks of field-fcn" in call(*other, *lattices)
