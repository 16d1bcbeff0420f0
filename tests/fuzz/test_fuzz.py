"""A few inputs of every reader; `python -m tests.fuzz` tries 10 000 of each."""

from __future__ import annotations

import json

import pytest
from tests.fuzz.__main__ import PAGE, TABLE, printed
from tests.fuzz.readers import READERS
from tests.fuzz.trying import try_reader

HEAVY = {"model", "rest", "video"}
"""Readers that import TensorFlow or MLflow, or decode videos, tried by the command only."""


@pytest.mark.parametrize("name", sorted(set(READERS) - HEAVY))
def test_changed_inputs_are_read_or_refused_in_one_sentence(name):
    n = 15 if name in ("results", "chunks") else 40
    outcome = try_reader(name, n, seed=1)
    assert outcome.tried == n
    assert not outcome.bad


def test_the_page_shows_the_table():
    rows = json.loads(TABLE.read_text())
    assert {row["name"] for row in rows} == set(READERS)
    assert printed(rows) in PAGE.read_text()
