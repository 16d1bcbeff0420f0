"""What the corpora share: chunks, resumption, and headers with earlier names of settings."""

from __future__ import annotations

import json

import pytest

from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora.films import HEADER, make_film_corpus, open_films
from spinscope.corpora.writing import complete_chunks, missing_chunks, short
from spinscope.datasets.shards import RENAMED, read_header
from spinscope.errors import SpinscopeError


def with_earlier_names(file, kind):
    """Rewrite a header with the earlier names of its settings; returns the names."""
    header, earlier = json.loads(file.read_text()), {new: old for old, new in RENAMED[kind].items()}
    assert earlier.keys() <= header.keys()
    file.write_text(json.dumps({earlier.get(key, key): value for key, value in header.items()}))
    return set(RENAMED[kind])


def test_a_film_corpus_with_earlier_names_is_the_same_corpus(film_settings, tmp_path):
    path = make_film_corpus(tmp_path / "films", 2, 7, film_settings)
    header = open_films(path).header
    assert with_earlier_names(path / HEADER, "films") == {"images", "evaluations", "grained"}
    assert open_films(path).header == header
    queues = []
    make_film_corpus(
        path, 2, 7, film_settings, progress=lambda items, total, **_: queues.append(total) or items
    )
    assert queues == [0]
    more = film_settings.model_copy(update={"max_evaluations": 5})
    with_earlier_names(path / HEADER, "films")
    with pytest.raises(SpinscopeError, match="holds films with max_evaluations"):
        make_film_corpus(path, 2, 7, more)


def test_packed_corpora_with_earlier_names_are_the_same_corpus(film_settings, tmp_path):
    overrides = [
        "kerr.n=2", "kerr.height=64", "kerr.width=64", "ltem.label_mz=0.9",
        "ltem.label_erosion_px=0", "ltem.film_states=[skyrmions, mixed, stripes, other]",
    ]  # fmt: skip
    films = make_film_corpus(tmp_path / "films", 2, 7, film_settings)
    for kind, family, source in (("kerr", "moke-unet", None), ("ltem", "ltem-unet", films)):
        params = load_params("demo", overrides, family=family)
        path = jobs.corpus(params, tmp_path / kind, source=source)
        header = read_header(path)
        with_earlier_names(path / "corpus.json", kind)
        stamp = (path / "corpus.json").stat().st_mtime_ns
        assert read_header(path) == header
        jobs.corpus(params, path, source=source)
        assert (path / "corpus.json").stat().st_mtime_ns == stamp


def test_chunks_are_missing_where_a_number_is():
    rows = {0: [{"number": 0}, {"number": 1}], 1: [{"number": 2}]}

    def read(chunk):
        if chunk == 2:
            raise SpinscopeError("damaged")
        return rows.get(chunk, [])

    assert missing_chunks(7, 2, read) == {1: range(2, 4), 2: range(4, 6), 3: range(6, 7)}
    assert missing_chunks(2, 2, read) == {}


def test_items_are_collected_in_order():
    items = [({"number": number},) for number in (3, 0, 2, 1, 4)]
    missing = {0: range(2), 1: range(2, 4), 2: range(4, 5)}
    numbers = [
        (chunk, [row["number"] for (row,) in done])
        for chunk, done in complete_chunks(items, missing, 2)
    ]
    assert numbers == [(1, [2, 3]), (0, [0, 1]), (2, [4])]


def test_six_digits_are_kept():
    assert (short(1 / 3), short(7), short("a"), short(True)) == (0.333333, 7, "a", True)
