"""The contract of every family."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinscope import families
from spinscope.config import load_params
from spinscope.datasets import split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.families import Family
from spinscope.models.store import load_model, save_model
from spinscope.physics.lattice import random_spins
from spinscope.training.fit import compiled


@pytest.fixture(params=families.names())
def family(request) -> Family:
    return families.get(request.param)


@pytest.fixture
def settings(family, request):
    """Settings of the family for one batch of two examples of 32 x 32."""
    given = ["model.width=4", "model.depth=2", "model.stem=2", "training.batch=2",
             "training.crop=32", "training.epochs=1", "data.train_batches=[0]",
             "data.validation_batches=[2]", "data.test_batches=[]"]  # fmt: skip
    if family.modality == "Domains":
        given.append("options.parameter=dmi")
    fixtures = {"Spins": "lattice_folder", "Domains": "domains_folder"}
    folder = request.getfixturevalue(fixtures.get(family.modality, "moke_folder"))
    return load_params("demo", [*given, f"data.path={folder}"], family=family.name)


def inputs(family, network) -> np.ndarray:
    """A batch of two random inputs, of 32 x 32 where the network takes any size."""
    rng = np.random.default_rng(0)
    if family.input == "spins":
        return np.stack([random_spins((32, 32), rng) for _ in range(2)])
    shape = [side or 32 for side in network.input_shape[1:]]
    return rng.normal(size=(2, *shape)).astype(np.float32)


def test_the_settings_have_a_section_of_the_family(family):
    params = load_params(family=family.name)
    assert families.of(params) is family
    assert family.modality in ("Kerr", "Lorentz", "Spins", "Domains")
    assert family.input in ("image", "spins")
    assert not (family.masks and family.modality in ("Spins", "Domains"))


def test_same_settings_same_output_after_save_and_load(family, settings, tmp_path):
    network = family.network(settings, seed=3)
    image = inputs(family, network)
    made = np.asarray(network(image))
    np.testing.assert_array_equal(made, np.asarray(family.network(settings, seed=3)(image)))
    info = {"family": family.name, **family.info(settings)}
    folder = save_model(tmp_path / "model", network, info, "# A card\n")
    np.testing.assert_allclose(made, np.asarray(load_model(folder)[0](image)), atol=1e-6)
    assert families.of_model(load_model(folder)[1]) is family


def test_a_batch_trains_and_a_report_holds_the_headline(family, settings, tmp_path):
    dataset = family.open(settings.data.path)
    splits = split_by_batch(dataset, (0,), (2,))
    model = compiled(family, settings, 0)
    batch = next(iter(family.training_batches(splits.train, settings, seed=0)))
    logs = model.train_on_batch(*batch, return_dict=True)
    assert np.isfinite([logs["loss"], logs[family.metric.name]]).all()
    again = next(iter(family.training_batches(splits.train, settings, seed=0)))
    for a, b in zip(batch, again, strict=True):
        np.testing.assert_array_equal(a, b)
    checked = model.evaluate(
        family.validation_batches(splits.validation, settings), return_dict=True, verbose=0
    )
    assert family.metric.name in checked

    measured, files = family.completed(model, splits, settings)
    record = {"family": family.name, **family.info(settings), **measured, "seed": 0,
              "parameters": 1, "best_epoch": 0, f"val_{family.metric.name}": 0.5,
              **family.data_info(dataset)}  # fmt: skip
    folder = save_model(tmp_path / "model", model, record, family.card(record), files=files)
    assert family.name in (folder / "card.md").read_text()
    predictor = family.predictor(folder)
    report = family.score(predictor, splits.validation, settings)
    assert {family.metric.name, "n_images", "frame_ms", "per_image", *family.listed} <= set(report)
    assert report["n_images"] == len(report["per_image"]) == len(splits.validation)
    assert "validation" in family.reports(settings)
    quantities = family.quantities(settings)
    assert quantities[0].name == family.metric.name
    assert quantities[0].limit is not None and quantities[0].margin is not None
    values = [quantity.per_source(report["per_image"]) for quantity in quantities]
    assert set(values[0]) == set(splits.validation.sources)
    assert family.frame_ratio(predictor, dataset.image(0)) > 0
    figures = family.figures(report)
    assert all(name.endswith(".png") for name in figures)
    output = family.predict(predictor, dataset.image(0))
    assert family.difference(output, output) == 0
    assert set(family.answer_example) <= set(family.answer_options)
    answers = family.answers(predictor, {**family.answer_options, **family.answer_example})
    answer = answers(dataset.image(0), None)
    assert list(answer) == list(family.answer_columns)
    json.dumps(answer, allow_nan=False)


def test_an_unknown_family_is_named():
    with pytest.raises(SpinscopeError, match="family 'resnet' must be one of field-fcn, ltem-unet"):
        families.get("resnet")
