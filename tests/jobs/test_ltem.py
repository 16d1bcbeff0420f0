"""The second family through the house: films, images, training, registry, folders in 16 bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinscope import cli, jobs
from spinscope.config import Params, load_params
from spinscope.corpora.ovf import write_ovf
from spinscope.datasets import Record, open_dataset, write_moke
from spinscope.datasets.shards import read_header
from spinscope.errors import SpinscopeError
from spinscope.images import read_image, to_scheme
from spinscope.models.store import model_info, save_model
from spinscope.models.unet import unet
from spinscope.physics.film import Film, Material

SIZE = 64


def film_file(path: Path, rng: np.random.Generator) -> Path:
    """OVF file of a film with four Néel skyrmions, as mumax3 writes it in A/m."""
    m = np.zeros((SIZE, SIZE, 3))
    m[..., 2] = 1
    for row in (SIZE / 4, 3 * SIZE / 4):
        for column in (SIZE / 4, 3 * SIZE / 4):
            at, radius = np.array([row, column]) + rng.uniform(-6, 6, 2), rng.uniform(4, 7)
            y, x = ((np.arange(SIZE) - c + SIZE / 2) % SIZE - SIZE / 2 for c in at)
            y, x = np.meshgrid(y, x, indexing="ij")
            r = np.hypot(y, x) + 1e-9
            theta = 2 * np.arctan2(np.sinh(radius / 2.5), np.sinh(r / 2.5))
            near = r < SIZE / 5
            sin = np.sin(theta)
            m[near] = np.stack([sin * x / r, sin * y / r, np.cos(theta)], axis=-1)[near]
    return write_ovf(path, m * rng.uniform(1.5e5, 3e5), (27.5e-9, 3e-9, 3e-9), unit="A/m")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A corpus of six films."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(3)
    files = [film_file(folder / f"film-{k}.ovf", rng) for k in range(6)]
    return jobs.import_films(load_params(family="ltem-unet"), files, folder / "corpus")


def settings(folder: Path) -> list[str]:
    """Overrides of a training that takes seconds, with a store of its own."""
    return [
        f"data.path={folder}/ltem", "data.train_batches=[0, 1, 2, 3]",
        "data.validation_batches=[4]", "data.test_batches=[5]", "model.width=4", "model.depth=2",
        "training.seeds=1", "training.epochs=2", "training.steps_per_epoch=3", "training.batch=2",
        "training.crop=64", "ltem.images_per_film=2", "augmentation.symmetry=axis",
        "evaluation.tta=2", f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db",
        f"tracking.artifacts={folder}/mlruns/artifacts",
    ]  # fmt: skip


@pytest.fixture
def params(tmp_path, template_store, lenient) -> Params:
    return load_params("demo", settings(tmp_path), family="ltem-unet")


def test_from_films_to_the_lab(params, films, tmp_path):
    corpus = jobs.corpus(params, tmp_path / "ltem", source=films)
    report = jobs.train(params, tmp_path / "out")
    assert (report["family"], report["registered"]) == ("ltem-unet", "models:/ltem-unet-demo/1")
    info = model_info(Path(report["best"]))
    assert (info["family"], info["symmetry"], info["classes"]) == (
        "ltem-unet", "axis", ["background", "skyrmion"],
    )  # fmt: skip
    assert (info["axis_deg"], info["pixel_size_nm"]) == (0, 3)
    assert info["corpus"]["tilt_deg"] == [20, 20]
    assert "sha256" not in info["corpus"]

    jobs.promote(params, "ltem-unet-demo", None, "first")
    lab = "models:/ltem-unet-demo@lab"
    assert jobs.family_of(params.tracking, lab) == "ltem-unet"
    scored = jobs.evaluate_model(params, lab, corpus, batches=[5])
    assert np.shape(scored["confusion"]) == (2, 2)
    assert scored["n_images"] == 2
    assert scored["tta"] == 2
    assert "note" not in scored
    more = params.model_copy(update={"evaluation": params.evaluation.model_copy(update={"tta": 8})})
    scored = jobs.evaluate_model(more, lab, corpus, batches=[5])
    assert scored["tta"] == 2
    assert scored["note"].startswith("2 of 8 views averaged")


def test_images_are_kept_where_they_are_the_ones_asked_for(params, films, tmp_path):
    out = jobs.corpus(params, tmp_path / "ltem", source=films)
    stamp = (out / "corpus.json").stat().st_mtime_ns
    jobs.corpus(params, out, source=films)
    assert (out / "corpus.json").stat().st_mtime_ns == stamp
    (out / "labels-0000.npy").write_bytes(b"")  # a damaged one is made again
    jobs.corpus(params, out, source=films)
    assert open_dataset(out).label(0).any()
    other = load_params("demo", [*settings(tmp_path), "ltem.tilt_deg=[10, 30]"], family="ltem-unet")
    jobs.corpus(other, out, source=films)
    assert read_header(out)["tilt_deg"] == [10, 30]
    with pytest.raises(SpinscopeError, match=r"no films at .*spinscope corpus films"):
        jobs.corpus(params, tmp_path / "ltem", source=tmp_path / "none")


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["spinscope", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        return code, *capsys.readouterr()

    return call


def test_verbs_make_images_train_and_evaluate_a_folder_of_16_bit(
    run, films, tmp_path, template_store, lenient
):
    sets = [word for value in settings(tmp_path) for word in ("--set", value)]
    sets += ["--profile", "demo"]
    code, out, error = run(
        "corpus", "ltem", "--films", films, "--preview", tmp_path / "p.png", *sets
    )
    assert code == 0, error
    assert f"12 images of 6 films in {tmp_path / 'ltem'}" in out
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[0] == 1000
    code, out, error = run("train", "ltem-unet", "--out", tmp_path / "train", *sets)
    assert code == 0, error
    assert "registered: models:/ltem-unet-demo/1" in out
    assert run("registry", "promote", "ltem-unet-demo", *sets)[0] == 0

    folder = folder_of_16_bit(tmp_path / "moke", open_dataset(tmp_path / "ltem"))
    words = ("--model", "models:/ltem-unet-demo@lab", "--data", folder, "--json")
    code, out, error = run("evaluate", *words, *sets)
    assert code == 0, error
    report = json.loads(out)
    assert (report["n_images"], report["classes"]) == (12, ["background", "skyrmion"])
    # The model's own settings are those of its family, without being told.
    assert report["tta"] == 2


def folder_of_16_bit(path: Path, dataset) -> Path:
    """The dataset in the MOKE layout, its images PNG of 16 bit."""
    frames = ((Record(r.name, r.source, r.batch), image, label) for r, image, label in dataset)
    return write_moke(path, frames, bits=16).path


def test_the_moke_layout_keeps_16_bit_and_the_two_classes(params, films, tmp_path):
    corpus = open_dataset(jobs.corpus(params, tmp_path / "ltem", source=films))
    folder = folder_of_16_bit(tmp_path / "moke", corpus)
    read = open_dataset(folder)
    file = next((folder / "images").iterdir())
    with Image.open(file) as image:
        assert image.mode == "I;16"
    assert read.depth(0) == 16
    for index in range(len(corpus)):
        np.testing.assert_array_equal(read.image(index), corpus.image(index))
        np.testing.assert_array_equal(read.label(index), corpus.label(index))
        assert len(np.unique(read.image(index))) > 1000
        assert set(np.unique(to_scheme(read.label(index), 2))) == {0, 1}
    with Image.open(next((folder / "labels").iterdir())) as label:
        colours = {colour for _, colour in label.convert("RGB").getcolors()}
    assert colours == {(255, 0, 0), (0, 0, 255)}
    low = np.full((32, 32), 7 / 65535, np.float32)
    Image.fromarray(np.round(low * 65535).astype(np.uint16)).save(tmp_path / "low.png")
    np.testing.assert_array_equal(read_image(tmp_path / "low.png"), low)


def test_films_come_in_and_go_out_as_scripts(run, tmp_path):
    file = film_file(tmp_path / "one.ovf", np.random.default_rng(0))
    words = ("--import", file, "--out", tmp_path / "films", "--mx3", tmp_path / "mx3")
    code, out, error = run("corpus", "films", *words)
    assert code == 0, error
    assert f"1 films in {tmp_path / 'films'}: 1 skyrmions" in out
    script = (tmp_path / "mx3" / "one.mx3").read_text()
    assert "SetGridSize(64, 64, 1)" in script
    code, _, error = run("corpus", "films", "--import", file, "--n", 3)
    assert code == 1
    assert "--import takes films as they are" in error


def test_without_the_extra_one_sentence_says_how_to_get_it(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "neuralmag", None)
    code, _, error = run("corpus", "films", "--n", 1, "--out", tmp_path / "films")
    assert code == 1
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert "pip install 'spinscope[sim]'" in error
    assert not (tmp_path / "films").exists()


def test_a_recordings_axis_and_scale_reach_the_network(params, films, tmp_path):
    """Turned by a quarter, a recording is segmented as it was before it was turned."""
    from spinscope.images import read_label, write_image

    corpus = open_dataset(jobs.corpus(params, tmp_path / "ltem", source=films))
    info = {"family": "ltem-unet", "symmetry": "axis", "axis_deg": 0.0, "size_multiple": 8}
    info["classes"] = ["background", "skyrmion"]
    model = save_model(tmp_path / "model", unet(params.model, 2), info, "# untrained\n")
    image = corpus.image(0)
    write_image(tmp_path / "plain.png", image, bits=16)
    # Turned anticlockwise, the axis that lay along the columns' direction +x lies along -y.
    write_image(tmp_path / "turned.png", np.rot90(image), bits=16)

    def mask(name: str, **segment) -> tuple[np.ndarray, dict]:
        of = params.model_copy(update={"segment": params.segment.model_copy(update=segment)})
        (row,) = jobs.segment(of, [tmp_path / name], [str(model)], tmp_path / "masks")
        summary = json.loads((Path(row["folder"]) / "summary.json").read_text())
        return read_label(row["mask"]), summary["settings"]

    plain, about = mask("plain.png")
    assert {"axis_deg", "scale"}.isdisjoint(about)
    turned, about = mask("turned.png", axis_deg=-90.0)
    assert about["axis_deg"] == -90
    np.testing.assert_array_equal(np.rot90(turned, -1), plain)
    (row,) = jobs.segment(
        params.model_copy(update={"segment": params.segment.model_copy(update={"tta": 8})}),
        [tmp_path / "plain.png"], [str(model)], tmp_path / "views",
    )  # fmt: skip
    assert row["note"] == "2 of 8 views averaged: the model's symmetry allows no more"
    finer, about = mask("plain.png", scale=2.0)
    assert (finer.shape, about["scale"]) == (image.shape, 2.0)
    moke = tmp_path / "moke"
    with pytest.raises(SpinscopeError, match=r"axis_deg \(=30\).*moke-unet"):
        of = params.model_copy(
            update={"segment": params.segment.model_copy(update={"axis_deg": 30.0})}
        )
        jobs.segment(of, [tmp_path / "plain.png"], ["bundled:moke-unet"], moke)


def test_the_label_threshold_that_leaves_nothing_names_the_film(params, tmp_path):
    m = np.zeros((32, 32, 3), np.float32)
    m[..., 2] = 1
    film = Film(m, Material(ms=2e5, a_ex=1.5e-11, dmi=1e-3))
    file = write_ovf(tmp_path / "up.ovf", film.m * 2e5, (27.5e-9, 3e-9, 3e-9), unit="A/m")
    folder = jobs.import_films(params, [file], tmp_path / "films")
    uniform = params.model_copy(
        update={"ltem": params.ltem.model_copy(update={"film_states": ("uniform",)})}
    )
    with pytest.raises(SpinscopeError, match=r"film up: .*no skyrmion"):
        jobs.corpus(uniform, tmp_path / "ltem", source=folder)
    assert not (tmp_path / "ltem").exists()
