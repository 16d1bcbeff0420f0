"""The report: perfect, blind and real predictions; figures that can be drawn of it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from tests.conftest import section

from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation import evaluate, figures
from spinscope.images import to_scheme, write_label
from spinscope.tracking.runs import numbers

CLASSES = ("background", "skyrmion", "defect")


def test_the_labels_themselves_score_one(moke_folder):
    dataset = open_dataset(moke_folder)
    answers = iter([to_scheme(label, 3) for _, _, label in dataset])
    report = evaluate(lambda _: next(answers), dataset, CLASSES, section("evaluation"))
    assert report["mcc"] == report["f1"] == report["accuracy"] == report["jaccard"] == 1
    assert report["objects"]["true"] == report["objects"]["matched"] > 0
    assert report["size"]["wasserstein_px"] == 0
    assert report["n_images"] == len(dataset) == len(report["per_image"])
    sizes = report["size"]["per_image"]
    assert [(row["name"], sum(row["true"])) for row in sizes] == [
        (row["name"], row["objects_true"]) for row in report["per_image"]
    ]
    assert all(row["true"] == row["predicted"] for row in sizes)
    assert {key for key in numbers(report) if key.startswith("size.")} == {"size.wasserstein_px"}
    assert np.trace(report["confusion"]) == np.sum(report["confusion"]) == 20 * 64 * 64


def test_a_label_of_another_size_is_named(moke_folder):
    write_label(next((moke_folder / "labels").iterdir()), np.zeros((64, 60), np.uint8))
    with pytest.raises(SpinscopeError, match="is 64x64 pixels, its label 60x64"):
        evaluate(
            lambda image: np.zeros(image.shape, np.uint8),
            open_dataset(moke_folder),
            CLASSES,
            section("evaluation"),
        )


def test_a_blind_model_scores_nothing(moke_folder):
    dataset = open_dataset(moke_folder)
    report = evaluate(
        lambda image: np.zeros(image.shape, np.uint8), dataset, CLASSES, section("evaluation")
    )
    assert report["mcc"] == report["f1"] == 0
    assert report["objects"]["predicted"] == 0
    assert report["objects"]["precision"] is None
    assert report["objects"]["recall"] == 0
    json.dumps(report, allow_nan=False)


def test_pooled_is_not_the_mean_of_images(moke_folder):
    dataset = open_dataset(moke_folder).select(sources=[0])
    first = to_scheme(dataset.label(0), 3)
    answers = iter([first, np.zeros_like(first)])
    report = evaluate(lambda _: next(answers), dataset, CLASSES, section("evaluation"))
    rows = report["per_image"]
    assert [row["mcc"] for row in rows] == [1, 0]
    assert report["mcc_per_image"]["mean"] == pytest.approx(0.5)
    assert report["mcc"] != pytest.approx(0.5, abs=0.01)


def test_figures_are_drawn(moke_folder):
    dataset = open_dataset(moke_folder).select(sources=[0])
    report = evaluate(
        lambda image: (image < 0.5).astype(np.uint8), dataset, CLASSES, section("evaluation")
    )
    curves = {0: {"loss": [1, 0.5], "val_loss": [1, 0.6], "mcc": [0, 0.5], "val_mcc": [0, 0.4]}}
    for figure in (
        figures.training_curves(curves),
        figures.size_distribution(report),
        figures.confusion_matrix(report),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")
