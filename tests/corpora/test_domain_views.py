"""Views of domain films belong to the film of their label, whatever its shard."""

from __future__ import annotations

import numpy as np
import pytest
from tests.studies.parameters.films import labyrinth, period, write_films

from spinscope.analysis.domains import domain_width
from spinscope.config import load_params
from spinscope.corpora.domains import open_domains


def test_every_film_is_that_of_its_label(tmp_path):
    changed = ["domains.n=7", "domains.sets.dmi.size=128", "domains.shard_films=3"]
    settings = load_params("demo", changed, family="parameter-cnn").domains
    dataset = open_domains(write_films(tmp_path / "films", "dmi", 0, settings))
    store, limits = dataset.store, dataset.store.limits
    assert len(dataset) == 7 * len(store.scales)
    for index, record in enumerate(dataset.records):
        width = domain_width(store.film(index), store.cell)
        true = period(float(dataset.label(index)[0]), limits) * 128 * store.cell / 2
        assert width == pytest.approx(true, rel=0.1)
        assert record.source == index // len(store.scales)
        assert dataset.names(index)[0] == f"images-{record.source // 3:04d}.npy"


def test_synthetic_domains_have_the_width_that_they_are_drawn_with():
    found = [
        domain_width(labyrinth(128, at, np.random.default_rng(k)), 1.0)
        for k, at in enumerate((0.12, 0.2, 0.3))
    ]
    assert found == pytest.approx([0.12 * 64, 0.2 * 64, 0.3 * 64], rel=0.1)
