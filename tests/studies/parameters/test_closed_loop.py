"""The closed loop on synthetic films: the constant is recovered from a biased estimate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.studies.parameters.films import PERIODS, labyrinth, period, write_films
from tests.studies.parameters.test_study import small

from spinscope.analysis.domains import domain_width
from spinscope.config import overridden
from spinscope.corpora.domains import open_domains
from spinscope.families import of
from spinscope.inference.parameters import Distribution, ParameterPredictor
from spinscope.jobs.refining import FILMS, FilmBank
from spinscope.studies.parameters import STUDY, closed_loop
from spinscope.studies.parameters.networks import Network, trained
from spinscope.studies.parameters.views import unseen_films


class Biased(ParameterPredictor):
    """Estimate from the domain width that is too near the middle of the range."""

    def __call__(self, image: np.ndarray, pixel_size: float) -> Distribution:
        (low, high), side = self.limits, self.scales[-1]
        at = (2 * domain_width(image, pixel_size) / side - PERIODS[0]) / np.ptp(PERIODS)
        mean = low + (0.25 + 0.5 * at) * (high - low)
        return Distribution(mean, 0.1 * (high - low), mean, mean)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Call on synthetic films; a bank of such films takes the place of relaxed ones."""
    changed = ["domains.n=60", "domains.sets.dmi.size=128", "domains.cell_nm=2"]
    params = overridden(small(), changed)
    write_films(tmp_path / "domains", "dmi", 0, params.domains)
    family, corpus = of(params), open_domains(tmp_path / "domains")
    info = {**family.info(params), **family.data_info(corpus), "trained": None}
    monkeypatch.setattr(Network, "load", lambda *_: Biased(None, info))

    def films(bank: FilmBank, node: int) -> np.ndarray:
        rng, limits = np.random.default_rng([9, node]), (bank.values[0], bank.values[-1])
        at = period(bank.values[node], limits)
        return np.stack([labyrinth(128, at, rng) for _ in range(FILMS)]).astype(np.float32)

    monkeypatch.setattr(FilmBank, "films", films)
    return STUDY.job(params, tmp_path / "out", corpora=tmp_path)


def test_refinement_removes_the_bias_of_an_estimate(job):
    films, network = unseen_films(job, "dmi"), trained(job.params)[0]
    span = np.ptp(films.values)
    number = int(np.argmin(films.values))
    row = closed_loop.refined(job, network, films, number, 250e-9)
    assert row["true"] == films.values[number]
    assert abs(row["before"] - row["true"]) > 0.1 * span
    assert abs(row["after"] - row["true"]) < 0.5 * abs(row["before"] - row["true"])
    assert row["low"] < row["after"] < row["high"]
    assert abs(row["width_after"]) < abs(row["width_before"])
    json.dumps(row)


def test_films_are_spread_over_the_range(job):
    films = unseen_films(job, "dmi")
    numbers = closed_loop.chosen(films, 4)
    values = films.values[numbers]
    assert len(set(numbers)) == 4
    assert np.all(np.diff(values) > 0)
    assert values[0] < np.quantile(films.values, 0.3) < np.quantile(films.values, 0.7) < values[-1]
    assert sorted(closed_loop.chosen(films, 99)) == list(range(len(films.films)))
    assert closed_loop.chosen(films, 0) == []
