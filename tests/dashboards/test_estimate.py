"""The page of magnetic parameters, with a briefly trained model and small domain films."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.dashboards.conftest import open_page, settle, text

from spinscope import families
from spinscope.analysis.domains import signs
from spinscope.config import load_params, project_root
from spinscope.corpora.domains import open_domains
from spinscope.inference.parameters import ParameterPredictor
from spinscope.jobs import estimate as jobs
from spinscope.jobs.data import split
from spinscope.jobs.refining import FilmBank
from spinscope.training.fit import fit

CHECKOUT = project_root()
NAME = "parameter-cnn"
VALUE, INTERVAL, TRUE = "D, mJ/m²", "90 % interval, mJ/m²", "True D, mJ/m²"
RESIDUALS = "Width residual", "Correlation residual"


@pytest.fixture(scope="module")
def model(tmp_path_factory, domains_folder) -> Path:
    """Folder of a model that was trained for a moment."""
    folder = tmp_path_factory.mktemp("parameters")
    given = ["training.epochs=1", "training.steps_per_epoch=8", "training.batch=8"]
    params = load_params("demo", [f"data.path={domains_folder}", *given], family=NAME)
    dataset, splits = split(params)
    family = families.get(NAME)
    return fit(family, splits, params, seed=0, folder=folder, info=family.data_info(dataset)).model


@pytest.fixture
def root(tmp_path, monkeypatch, model) -> Path:
    """A project with this model as the bundled one."""
    settle(tmp_path, load_params("demo", [f"data.path={tmp_path}/moke"]), monkeypatch)
    (tmp_path / "models").mkdir()
    (tmp_path / f"models/{NAME}").symlink_to(model)
    return tmp_path


@pytest.fixture
def films(root, domains_folder):
    """Films of the project."""
    (root / "build/corpus").mkdir(parents=True)
    (root / "build/corpus/domains").symlink_to(domains_folder)
    return open_domains(domains_folder)


@pytest.fixture
def relaxed(monkeypatch, films) -> Callable[[], int]:
    """Films of the corpus in place of relaxed ones; returns how many values were asked for."""
    last = len(films.store.scales)
    values = np.array([films.label(k)[0] for k in range(0, len(films), last)])
    asked = []

    def nearest(bank: FilmBank, node: int) -> np.ndarray:
        asked.append(node)
        near = np.argsort(np.abs(values - bank.values[node]))[:3]
        return np.stack([films.store.film(k * last) for k in near])

    monkeypatch.setattr(FilmBank, "films", nearest)
    return lambda: len(asked)


def opened(file: Path | str, pixel_size_nm: float | None = None):
    """Open the page with a file."""
    app = open_page("estimate.py")
    app.selectbox("domain image").set_value("another file …").run()
    app.text_input("domain image path").set_value(str(file)).run()
    if pixel_size_nm is not None:
        app.number_input(f"pixel size of {file}").set_value(pixel_size_nm).run()
    assert not app.exception
    return app


def numbers(app) -> dict[str, str]:
    assert not app.exception
    assert not app.error, text(app)
    return {metric.label: metric.value for metric in app.metric}


def successes(app) -> list[str]:
    return [element.value for element in app.success]


def untrained_view(films) -> int:
    """Index of the view that the page shows first: the largest of a film of no training."""
    first = next(k for k, record in enumerate(films.records) if record.batch in (4, 5))
    return first + len(films.store.scales) - 1


def test_a_view_of_a_film_is_estimated(root, films, model):
    app = open_page("estimate.py")
    found, index = numbers(app), untrained_view(films)
    image, pixel_size = films.image(index), films.store.pixel_size(index)
    expected = ParameterPredictor.load(model, "keras")(image, pixel_size)
    value, sd = map(float, found[VALUE].split(" ± "))
    assert value == pytest.approx(1e3 * expected.mean, abs=0.01)
    assert sd == pytest.approx(1e3 * expected.sd, rel=0.05)
    ends = [float(word) for word in found[INTERVAL].split(" to ")]
    assert ends == pytest.approx([1e3 * expected.low, 1e3 * expected.high], rel=0.01)
    assert float(found[TRUE]) == pytest.approx(1e3 * films.label(index)[0], rel=0.01)
    width = signs(image, pixel_size).width
    assert float(found["Domain width, nm"]) == pytest.approx(1e9 * width, abs=0.5)
    assert "in the range of the training images" in successes(app)[0]
    assert "Ms 1500 kA/m" in text(app)
    assert len(app.get("image")) == 5  # with the nearest training films
    assert len(app.get("vega_lite_chart")) == 1
    assert not (root / "mlruns").exists()  # looking creates nothing


def test_films_of_the_training_are_marked_and_come_last(films):
    app = open_page("estimate.py")
    box = next(box for box in app.selectbox if box.label == "Film")
    trained = {record.source for record in films.records if record.batch < 4}
    marks = [option.endswith("training") for option in box.options]
    assert sum(marks) == len(trained) > 0
    assert marks == sorted(marks)
    assert "its error on other films is larger" not in text(app)
    box.set_value(min(trained)).run()
    assert "its error on other films is larger" in text(app)
    index = next(k for k, record in enumerate(films.records) if record.source == min(trained))
    assert float(numbers(app)[TRUE]) == pytest.approx(1e3 * films.label(index)[0], rel=0.01)


def test_training_films_of_the_model_are_offered_without_a_corpus(root):
    app = open_page("estimate.py")
    assert app.selectbox("domain image").value == "training films of the model"
    assert {VALUE, TRUE} <= set(numbers(app))
    assert "trained on this film" in text(app)


def test_a_file_needs_its_pixel_size(root, films):
    index = untrained_view(films)
    Image.fromarray(np.rint(255 * films.image(index)).astype(np.uint8)).save(root / "view.png")
    app = opened(root / "view.png")
    assert "An image needs its pixel size" in app.info[0].value
    assert not app.metric
    size = 1e9 * films.store.pixel_size(index)
    app.number_input(f"pixel size of {root}/view.png").set_value(size).run()
    of_file = numbers(app)
    of_film = numbers(open_page("estimate.py"))
    assert TRUE not in of_file
    of_film.pop(TRUE)
    value, expected = (float(found.pop(VALUE).split(" ± ")[0]) for found in (of_file, of_film))
    assert value == pytest.approx(expected, abs=0.01)
    assert of_file["Domain width, nm"] == of_film["Domain width, nm"]


def test_the_pixel_size_of_a_calibrated_file_is_the_default(root, films):
    index = untrained_view(films)
    size = films.store.pixel_size(index)
    tifffile.imwrite(
        root / "view.tif", np.rint(255 * films.image(index)).astype(np.uint8), imagej=True,
        resolution=(1e-6 / size, 1e-6 / size), metadata={"unit": "um"},
    )  # fmt: skip
    app = opened(root / "view.tif")
    stored = app.number_input(f"pixel size of {root}/view.tif").value
    assert stored == pytest.approx(1e9 * size, rel=1e-4)
    assert VALUE in numbers(app)


def test_another_scale_is_marked_and_has_the_interval_of_the_training(root, films):
    index = untrained_view(films)
    Image.fromarray(np.rint(255 * films.image(index)).astype(np.uint8)).save(root / "view.png")
    app = opened(root / "view.png", 1e9 * films.store.pixel_size(index) / 5)
    assert numbers(app)[INTERVAL] == "0.1 to 1"
    assert not successes(app)
    assert "outside the range of the training images" in app.warning[0].value
    assert "- scale: the image is 50 nm wide" in app.warning[0].value


def test_an_image_without_domains_has_no_value(root):
    Image.fromarray(np.full((64, 64), 128, np.uint8)).save(root / "grey.png")
    app = opened(root / "grey.png", 4.0)
    assert numbers(app) == {VALUE: "–"}
    assert "No estimate" in app.warning[0].value
    assert "no domains" in app.warning[0].value
    assert not any(button.label == "Refine" for button in app.button)
    assert not app.get("vega_lite_chart")


def test_bad_files_are_one_sentence(root):
    Image.new("RGB", (32, 32), "red").save(root / "colour.png")
    tifffile.imwrite(root / "stack.tif", np.zeros((9, 32, 32), np.uint8))
    for name, rule in (
        ("colour.png", "must be grayscale"),
        ("none.png", "does not exist"),
        ("params.yaml", "cannot be read"),
    ):
        assert rule in opened(root / name).error[0].value
    app = opened(root / "stack.tif", 8.0)
    assert "holds 9 frames" in app.error[0].value


def test_an_estimate_is_refined_when_asked(films, relaxed):
    app = open_page("estimate.py")
    assert not set(RESIDUALS) & set(numbers(app))
    assert not relaxed()
    app.button("refine").click().run()
    found, count = numbers(app), relaxed()
    assert count >= 5
    value, sd = map(float, found["Refined D, mJ/m²"].split(" ± "))
    assert 0.1 <= value <= 1 and 0 < sd < 0.9
    for name in RESIDUALS:
        assert " → " in found[name]
    assert len(app.get("image")) == 8  # image, and films before and after
    assert len(app.get("vega_lite_chart")) == 3
    app.run()
    assert numbers(app) == found  # kept
    assert relaxed() == count
    next(box for box in app.selectbox if box.label == "Film").select_index(1).run()
    assert not set(RESIDUALS) & set(numbers(app))  # of another film


def test_films_that_do_not_look_like_the_image_are_warned_about(films, relaxed, monkeypatch):
    real = jobs.with_refinement

    def improbable(*args, **options):
        found = real(*args, **options)
        return replace(found, refined=replace(found.refined, probability=1e-4))

    monkeypatch.setattr(jobs, "with_refinement", improbable)
    app = open_page("estimate.py")
    app.button("refine").click().run()
    assert "probability 0.0001" in app.warning[0].value


def test_a_refinement_that_fails_leaves_the_estimate(films, monkeypatch):
    def fails(*_, **__):
        raise jobs.SpinscopeError("the extra `sim` is missing")

    monkeypatch.setattr(jobs, "with_refinement", fails)
    app = open_page("estimate.py")
    app.button("refine").click().run()
    assert app.error[0].value == "the extra `sim` is missing"
    assert len(app.get("vega_lite_chart")) == 1
    assert VALUE in {metric.label for metric in app.metric}


def test_a_model_of_the_other_parameter_or_family_is_refused(root, model):
    app = open_page("estimate.py")
    app.segmented_control("parameter").set_value("ms").run()
    assert "spinscope train parameter-cnn-ms" in app.info[0].value
    app.selectbox("parameter model ms").set_value("another folder …").run()
    copy = shutil.copytree(model, root / "copy")
    app.text_input("parameter model ms path").set_value(str(copy)).run()
    assert not app.exception
    assert "estimates D; choose it above" in app.error[0].value
    app.segmented_control("parameter").set_value("dmi").run()
    app.selectbox("parameter model dmi").set_value("another folder …").run()
    app.text_input("parameter model dmi path").set_value(str(CHECKOUT / "models/field-fcn")).run()
    assert not app.exception
    assert "is of the family field-fcn" in app.error[0].value
    app.text_input("parameter model dmi path").set_value(str(copy)).run()
    assert VALUE in numbers(app)


def test_a_value_has_as_many_digits_as_its_sd(load):
    with_sd = load("domains").with_sd
    assert with_sd(0.43217, 0.0524) == "0.432 ± 0.052"
    assert with_sd(412.3, 23.9) == "412 ± 24"
    assert with_sd(1.0, 1.04) == "1.0 ± 1.0"
