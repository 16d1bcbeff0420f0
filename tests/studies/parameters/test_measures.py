"""Scores of estimates, imaging conditions, and the baseline by the domain width."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.studies.parameters.films import write_films
from tests.studies.parameters.test_study import small

from spinscope.config import overridden
from spinscope.studies.parameters import STUDY
from spinscope.studies.parameters.measures import CONDITIONS, baseline, estimates, scores
from spinscope.studies.parameters.networks import side
from spinscope.studies.parameters.views import (
    Condition,
    pixelated,
    scales,
    training_films,
    unseen_films,
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    params = small()
    changed = ["domains.n=60", "domains.sets.dmi.size=128", "domains.cell_nm=2"]
    settings = overridden(params, changed).domains
    write_films(folder / "domains", "dmi", 0, settings)
    return STUDY.job(params, folder / "out", corpora=folder)


@pytest.fixture(scope="module")
def films(job):
    return unseen_films(job, "dmi")


def test_views_are_those_of_the_films_and_the_same_in_every_call(films):
    first, second = (list(films.views(250e-9, 2)) for _ in range(2))
    assert [one.film for one in first] == [k for k in range(len(films.films)) for _ in "12"]
    assert first[0].pixel_size == pytest.approx(250e-9 / films.pixels)
    np.testing.assert_array_equal(first[3].image, second[3].image)
    assert not np.array_equal(first[0].image, first[1].image)


def test_no_test_film_is_a_training_film(job, films):
    numbers = {film.name for film in training_films(job, "dmi").films}
    assert numbers.isdisjoint(film.name for film in films.films)
    assert len(numbers) == 40
    assert len(films.films) == 10


def test_perfect_estimates_have_no_error_and_wrong_ones_have(films):
    table = {"film": [0, 1, 2], "sd": [0, 0, 0]}
    values = films.values[:3]
    table |= {"mean": values, "low": values - 1e-5, "high": values + 1e-5}
    found = scores([table], films)
    assert (found["r2"], found["rmse"], found["coverage"]) == (1, 0, 1)
    assert found["half_width"] == pytest.approx(1e-5)
    table["mean"] = values + 2e-5
    table |= {"low": table["mean"] - 1e-5, "high": table["mean"] + 1e-5}
    found = scores([table], films)
    assert found["bias"] == found["rmse"] == pytest.approx(2e-5)
    assert found["coverage"] == 0
    mean = {**table, "mean": [values.mean()] * 3}
    assert scores([mean], films)["r2"] == pytest.approx(0)


def test_scores_of_a_group_are_those_of_its_films(films):
    table = {key: [0.0] * len(films.films) for key in ("mean", "sd", "low", "high")}
    table["film"] = list(range(len(films.films)))
    assert scores([table], films, "held back")["n"] == len(films.films)


def test_blocks_have_the_mean_of_their_pixels():
    image = np.arange(16.0).reshape(4, 4)
    found = pixelated(image, 2)
    assert found[0, 0] == found[1, 1] == image[:2, :2].mean()
    assert found.mean() == image.mean()


@pytest.mark.parametrize(
    ("condition", "spread"),
    [(Condition(noise=0.5), 0.5), (Condition(noise=0.5, contrast=0.4), 0.2), (Condition(), 0)],
)
def test_noise_is_in_units_of_the_contrast(condition, spread):
    found = condition.applied(np.full((64, 64), 0.5), np.random.default_rng(0))
    assert found.std() == pytest.approx(spread, rel=0.05)


def test_the_domain_width_gives_the_constant_of_synthetic_films(job, films):
    widths = scales(job, "dmi")
    assert widths[2.0] == side(2.0, job.params, "dmi") == pytest.approx(250e-9)
    found = baseline(films, training_films(job, "dmi"), widths, (1.0, 2.0))
    assert list(found["each"]) == list(found["pooled"]) == ["1", "1.5", "2"]
    assert list(found["conditions"]) == list(CONDITIONS)
    best = scores([found["each"]["2"]], films)
    assert best["r2"] > 0.8
    assert 0.6 <= best["coverage"] <= 1
    json.dumps(found)


def test_estimates_keep_the_order_of_the_views(films):
    def estimate(image, pixel_size):
        return float(image.mean()), 1.0, pixel_size, 2.0

    found = estimates(estimate, films, {2.0: 250e-9}, n=1)["2"]
    images = [one.image for one in films.views(250e-9, 1)]
    assert found["mean"] == pytest.approx([float(image.mean()) for image in images], rel=1e-4)
    assert found["low"][0] == pytest.approx(250e-9 / films.pixels, rel=1e-4)
