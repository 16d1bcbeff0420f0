"""Corpus of annealed lattices."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.conftest import section

from spinscope.config import load_params
from spinscope.corpora import lattice
from spinscope.corpora.chunks import lattice_chunks
from spinscope.corpora.lattice import make_lattice_corpus, open_lattices
from spinscope.datasets import open_dataset
from spinscope.datasets.seen import training_frames
from spinscope.datasets.shards import damaged_files
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.physics.lattice import Hamiltonian, effective_field, energy

SETTINGS = ["lattice.n=7", "lattice.size=16", "lattice.sweeps=40", "lattice.alignments=400",
            "lattice.shard_lattices=3", "lattice.workers=2"]  # fmt: skip


def settings(*more: str):
    return load_params(None, [*SETTINGS, *more]).lattice


def test_lattices_are_aligned_with_their_field(tmp_path):
    dataset = open_lattices(make_lattice_corpus(tmp_path / "c", 0, settings()))
    assert len(dataset) == 7
    assert [record.batch for record in dataset.records] == [0, 1, 2, 3, 4, 5, 0]
    for index, (_, m, field) in enumerate(dataset):
        np.testing.assert_allclose(np.linalg.norm(m, axis=-1), 1, atol=1e-6)
        np.testing.assert_allclose(field, effective_field(m, Hamiltonian()), atol=1e-6)
        row = dataset.store.rows[index]
        assert float(row["energy_j"]) == pytest.approx(energy(m, Hamiltonian()), abs=1e-5)
        assert float(row["torque"]) < 0.02
    assert not damaged_files(tmp_path / "c")
    with pytest.raises(SpinscopeError, match="holds spins, not images"):
        open_dataset(tmp_path / "c")


def test_a_seed_gives_the_same_bytes_whatever_the_threads_and_interruptions(tmp_path, monkeypatch):
    whole = make_lattice_corpus(tmp_path / "whole", 3, settings("lattice.workers=1"))
    calls, anneal = [], lattice.annealed

    def failing(number, *rest):
        calls.append(number)
        if number == 5:
            raise KeyboardInterrupt
        return anneal(number, *rest)

    monkeypatch.setattr(lattice, "annealed", failing)
    with pytest.raises(KeyboardInterrupt):
        make_lattice_corpus(tmp_path / "parts", 3, settings())
    assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(lattice, "annealed", lambda n, *rest: calls.append(n) or anneal(n, *rest))
    calls.clear()
    parts = make_lattice_corpus(tmp_path / "parts", 3, settings())
    assert not set(calls) & {0, 1, 2}  # the first shard was kept
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in parts.iterdir())
    for name in names:
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


KILLED = """
import sys
from spinscope.config import load_params
from spinscope.corpora.lattice import make_lattice_corpus
settings = load_params(None, sys.argv[2:]).lattice
make_lattice_corpus(sys.argv[1], 4, settings, progress=lambda items, **_: items)
"""


@pytest.mark.slow
def test_a_killed_corpus_is_resumed_to_the_same_bytes(tmp_path):
    """A process is killed between two chunks; another one ends the corpus."""
    more = ["lattice.n=60", "lattice.size=64", "lattice.sweeps=300", "lattice.shard_lattices=2"]
    killed, parts = tmp_path / "killed", tmp_path / ".killed.parts"
    words = [sys.executable, "-c", KILLED, str(killed), *SETTINGS, *more]
    process = subprocess.Popen(words)
    while process.poll() is None and len(list(parts.glob("part-*.json"))) < 2:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.json")}
    assert 2 <= len(kept) < 30

    def seen(items, **_):
        for item in items:
            yield item
            assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())

    chosen = settings(*more)
    make_lattice_corpus(killed, 4, chosen, progress=seen)
    whole = make_lattice_corpus(tmp_path / "whole", 4, chosen)
    assert sha256_folder(killed) == sha256_folder(whole)


def test_the_paper_profile_has_the_published_sizes():
    paper = load_params("paper", family="field-fcn")
    assert (paper.lattice.size, paper.lattice.dmi) == (128, 0.3)
    validation = paper.lattice.n // lattice.BATCHES * len(paper.data.validation_batches)
    assert (paper.lattice.n - validation, validation) == (25_000, 5_000)
    assert paper.options == {"architecture": "published"}
    assert paper.training.learning_rate == 0.01


def test_other_seeds_give_other_lattices(tmp_path):
    first, other = (
        open_lattices(make_lattice_corpus(tmp_path / str(seed), seed, settings("lattice.n=2")))
        for seed in (0, 1)
    )
    assert np.abs(first.image(0) - first.image(1)).max() > 0.5
    assert np.abs(first.image(0) - other.image(0)).max() > 0.5


def test_training_lattices_are_recognised_by_pixels_and_by_source(tmp_path):
    dataset = open_lattices(make_lattice_corpus(tmp_path / "c", 0, settings()))
    frames = training_frames(dataset.select(batches=[0, 1]))
    assert frames.contains(dataset) == [True, True, False, False, False, False, True]
    assert dict(frames.simulated) == {"lattice 1 seed 0": frozenset({0, 1, 6})}


def test_a_folder_without_lattices_is_named(tmp_path):
    with pytest.raises(SpinscopeError, match=r"there are no lattices at .*corpus lattice"):
        open_lattices(tmp_path)
    with pytest.raises(SpinscopeError, match="multiple of 2"):
        settings("lattice.size=17")


def test_chunks_made_one_by_one_are_those_of_the_corpus(lattice_folder, tmp_path):
    settings = section("lattice", n=12, size=32, sweeps=60, reflections=1, shard_lattices=8)
    path = tmp_path / "corpus"
    corpus = lattice_chunks(path, 0, settings)
    assert corpus.missing() == [0, 1]
    for chunk in (1, 0):
        corpus.make(chunk)
    assert corpus.missing() == []
    make_lattice_corpus(path, 0, settings)
    assert sha256_folder(path) == sha256_folder(lattice_folder)
    assert corpus.missing() == [], "a complete corpus is made again"
